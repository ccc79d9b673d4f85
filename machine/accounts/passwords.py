"""Passwords: which ones are taken, and how they are kept (argon2id, RFC 9106)."""

from __future__ import annotations

from functools import cached_property
from threading import Lock
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from protocol.errors import UsageError

MIN_CHARACTERS: Final = 12
MAX_BYTES: Final = 1_024
#: Of RFC 9106, for a machine that does other work: 64 MiB, three passes.
_MEMORY_KIB: Final = 65_536
_PASSES: Final = 3
_LANES: Final = 4


class Passwords:
    """Makes and checks hashes, one at a time: together many would take the machine's memory.

    Args:
        memory_kib, passes, lanes: The cost of argon2.
    """

    def __init__(
        self, *, memory_kib: int = _MEMORY_KIB, passes: int = _PASSES, lanes: int = _LANES
    ) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=lanes)
        self._one = Lock()

    def hashed(self, password: str) -> str:
        """The hash to keep.

        Raises:
            UsageError: It is too short or too long (E-PASSWORD).
        """
        if len(password) < MIN_CHARACTERS or len(password.encode()) > MAX_BYTES:
            raise UsageError(
                f"the password has {len(password)} characters",
                code="E-PASSWORD",
                remedy=f"take at least {MIN_CHARACTERS} characters, such as four words, and at "
                f"most {MAX_BYTES} bytes",
            )
        with self._one:
            return self._hasher.hash(password)

    def fits(self, password: str, kept: str | None) -> bool:
        """Whether a password is the one of a hash.

        Args:
            kept: None where there is no account, which takes as long as a wrong password does.
        """
        if len(password.encode("utf-8", "surrogatepass")) > MAX_BYTES:
            password = ""
        with self._one:
            try:
                return self._hasher.verify(kept or self._nobodys, password) and kept is not None
            except (VerificationError, InvalidHashError):
                return False

    @cached_property
    def _nobodys(self) -> str:
        """The hash of no password that anybody may have."""
        return self._hasher.hash("")
