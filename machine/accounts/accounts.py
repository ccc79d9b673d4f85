"""Accounts of people in a database of their own, so that a fault there touches no run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, LiteralString, Protocol

from machine.accounts.acts import Acts
from machine.accounts.guessing import Guessing
from machine.accounts.passwords import Passwords
from machine.accounts.roles import Role
from machine.accounts.schema import MIGRATIONS
from machine.accounts.second_factor import new_recovery_codes, new_secret, recovery_hash, step_of
from machine.database import Database
from machine.times import stamp
from protocol.errors import UsageError

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
_LONGEST_SUBJECT: Final = 255
_REMEDY: Final = "restore it from a backup, or move it away and make the accounts anew"


class Seal(Protocol):
    """What encrypts a secret at rest; a node's key store is one."""

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """Encrypt a secret for its place."""
        ...

    def unseal(self, sealed: bytes, context: bytes) -> bytes:
        """Decrypt what `seal` returned for the same place."""
        ...


class FileModeAlone:
    """Keeps secrets as they are, for a side without a key to seal with: the file has mode 0600."""

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """The secret as it is."""
        return plain

    def unseal(self, sealed: bytes, context: bytes) -> bytes:
        """The secret as it is."""
        return sealed


class NoSeal:
    """For whoever opens the accounts for roles and the log alone: no secret is made or read."""

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """Raises ValueError."""
        raise ValueError("these accounts were opened without a key")

    def unseal(self, sealed: bytes, context: bytes) -> bytes:
        """Raises ValueError."""
        raise ValueError("these accounts were opened without a key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One person's account.

    Attributes:
        id: Never used again, also after the account was removed.
        identity: Issuer and subject, where another service vouches for the person; else None.
    """

    id: int
    name: str
    role: Role
    made_at: str
    changed_at: str
    identity: tuple[str, str] | None = None

    @property
    def mark(self) -> str:
        """What no other account has: not one that was made under the same name, nor one in a file
        of accounts that was made anew, where ids begin again. Nor has the same account after its
        password or its role was set anew: whoever had it before may be somebody else.
        """
        return f"{self.id} {self.changed_at}"

    def may_be_used(self, *, issuer: str | None) -> bool:
        """Whether whoever vouches for the person does so here; true where nobody has to.

        Args:
            issuer: The identity provider that vouches here; None for none.
        """
        return self.identity is None or self.identity[0] == issuer

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            "name": self.name, "role": self.role.value, "made_at": self.made_at,
            "changed_at": self.changed_at,
            "identity": None
            if self.identity is None
            else {"issuer": self.identity[0], "subject": self.identity[1]},
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """What a person needs to sign in beside the password; shown once.

    Attributes:
        secret: Of the authenticator, in base32.
        recovery_codes: Each replaces it once.
    """

    account: Account
    secret: str
    recovery_codes: tuple[str, ...]


class Accounts:
    """The accounts of one side.

    Args:
        path: The database's file, or ``:memory:``.
        seal: What encrypts the secrets of second factors.
    """

    def __init__(self, path: Path | str, seal: Seal, *, passwords: Passwords | None = None) -> None:
        self.database = Database(
            path, name="the file of accounts", migrations=MIGRATIONS, remedy=_REMEDY
        )
        self.acts = Acts(self.database)
        self.guessing = Guessing(self.database)
        self._seal = seal
        self._passwords = Passwords() if passwords is None else passwords

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def add(self, name: str, role: Role, password: str, now: datetime) -> Enrolment:
        """Make an account with a new second factor.

        Raises:
            UsageError: The name is no name (E-ACCOUNT-NAME) or taken (E-ACCOUNT-EXISTS), or the
                password is refused (E-PASSWORD).
        """
        _check_name(name)
        kept = self._passwords.hashed(password)
        with self.database.transaction():
            self._refuse_taken(name)
            self.database.ask(
                "INSERT INTO accounts (name, role, password, last_step, made_at, changed_at)"
                " VALUES (?, ?, ?, 0, ?, ?)",
                name, role.value, kept, stamp(now), stamp(now),
            )  # fmt: skip
            return self._enrolled(self.get(name))

    def add_vouched(
        self, name: str, role: Role, *, issuer: str, subject: str, now: datetime
    ) -> Account:
        """Make an account of somebody for whom an identity provider vouches; no password opens it.

        Args:
            issuer, subject: What the provider calls itself, and the person.

        Raises:
            UsageError: The name is no name (E-ACCOUNT-NAME), or the name or the person has an
                account already (E-ACCOUNT-EXISTS).
        """
        _check_name(name)
        with self.database.transaction():
            self._refuse_taken(name)
            other = self.of_identity(issuer, subject)
            if other is not None:
                raise UsageError(
                    f"{subject} at {issuer} has the account {other.name} already",
                    code="E-ACCOUNT-EXISTS",
                    remedy="remove that account first, or give it another role: user role",
                )
            self.database.ask(
                "INSERT INTO accounts (name, role, last_step, issuer, subject, made_at, changed_at)"
                " VALUES (?, ?, 0, ?, ?, ?, ?)",
                name, role.value, issuer, subject, stamp(now), stamp(now),
            )  # fmt: skip
            return self.get(name)

    def reset(self, name: str, password: str, now: datetime) -> Enrolment:
        """Set a new password and second factor; ends the account's sessions and waits.

        Raises:
            UsageError: There is no such account (E-ACCOUNT-UNKNOWN), a provider vouches for its
                person (E-ACCOUNT-VOUCHED), or the password is refused.
        """
        kept = self._passwords.hashed(password)
        with self.database.transaction():
            account = self.get(name)
            if account.identity is not None:
                raise UsageError(
                    f"{account.identity[0]} vouches for {name}: the account has no password",
                    code="E-ACCOUNT-VOUCHED",
                    remedy="remove it and make it anew, without --oidc, for one with a password",
                )
            self.database.ask(
                "UPDATE accounts SET password = ?, changed_at = ? WHERE id = ?",
                kept, stamp(now), account.id,
            )  # fmt: skip
            self._end_sessions(account)
            self.guessing.forget(name)
            return self._enrolled(self.get(name))

    def change_role(self, name: str, role: Role, now: datetime) -> Account:
        """Give somebody another role; ends the account's sessions. Raises UsageError as `get`."""
        with self.database.transaction():
            account = self.get(name)
            self.database.ask(
                "UPDATE accounts SET role = ?, changed_at = ? WHERE id = ?",
                role.value, stamp(now), account.id,
            )  # fmt: skip
            self._end_sessions(account)
            return self.get(name)

    def remove(self, name: str) -> Account:
        """Delete an account with its sessions; the log keeps its name. Raises as `get`."""
        with self.database.transaction():
            account = self.get(name)
            self.database.ask("DELETE FROM accounts WHERE id = ?", account.id)
            self.database.wipe_at_commit()
        return account

    def get(self, name: str) -> Account:
        """The account of a name; raises UsageError (E-ACCOUNT-UNKNOWN)."""
        account = self.of_name(name)
        if account is None:
            raise UsageError(
                f"there is no account {name!r}",
                code="E-ACCOUNT-UNKNOWN",
                remedy="`user list` shows all",
            )
        return account

    def all(self) -> list[Account]:
        """Every account, by name."""
        return [_account(row) for row in self.database.ask(_SELECT + " ORDER BY name")]

    def of_name(self, name: str) -> Account | None:
        """The account of a name; None where there is none."""
        row = self.database.one(_SELECT + " WHERE name = ?", name)
        return None if row is None else _account(row)

    def of_id(self, number: int) -> Account | None:
        """The account of an id; None where it was removed."""
        row = self.database.one(_SELECT + " WHERE id = ?", number)
        return None if row is None else _account(row)

    def of_identity(self, issuer: str, subject: str) -> Account | None:
        """The account of somebody for whom a provider vouches; None where there is none."""
        row = self.database.one(_SELECT + " WHERE issuer = ? AND subject = ?", issuer, subject)
        return None if row is None else _account(row)

    def prove(self, name: str, password: str, code: str, now: datetime) -> Account | None:
        """The account whose password and second factor are right; None where anything is wrong.

        The code is used up. All is computed whatever is wrong, so that the time does not tell.
        """
        row = self.database.one(
            "SELECT id, password, second_factor FROM accounts WHERE name = ?", name
        )
        number, kept, sealed = (None, None, None) if row is None else row
        right = self._passwords.fits(password, kept)
        secret = _NOBODYS if sealed is None else self._secret(number, sealed)
        step = step_of(code, secret, now)
        if number is None or not right:
            return None
        with self.database.transaction():
            now_kept = self.database.one("SELECT password FROM accounts WHERE id = ?", number)
            if now_kept != (kept,) or not self._used_up(number, step, code):
                return None  # the password may have been set anew meanwhile
            return self.of_id(number)

    def _used_up(self, number: int, step: int | None, code: str) -> bool:
        ask = self.database.ask
        if step is not None:
            sql: LiteralString = (
                "UPDATE accounts SET last_step = ? WHERE id = ? AND last_step < ? RETURNING id"
            )
            return bool(ask(sql, step, number, step))
        hashed = recovery_hash(code)
        sql = "DELETE FROM recovery_codes WHERE account = ? AND hash = ? RETURNING account"
        return hashed is not None and bool(ask(sql, number, hashed))

    def _enrolled(self, account: Account) -> Enrolment:
        secret, codes = new_secret(), new_recovery_codes()
        ask = self.database.ask
        ask(
            "UPDATE accounts SET second_factor = ?, last_step = 0 WHERE id = ?",
            self._seal.seal(secret.encode(), _context(account.id)),
            account.id,
        )
        ask("DELETE FROM recovery_codes WHERE account = ?", account.id)
        for code in codes:
            ask("INSERT INTO recovery_codes VALUES (?, ?)", account.id, recovery_hash(code))
        self.database.wipe_at_commit()
        return Enrolment(account=account, secret=secret, recovery_codes=tuple(codes))

    def _secret(self, number: int, sealed: bytes) -> str:
        return self._seal.unseal(sealed, _context(number)).decode("ascii")

    def _end_sessions(self, account: Account) -> None:
        self.database.ask("DELETE FROM sessions WHERE account = ?", account.id)

    def _refuse_taken(self, name: str) -> None:
        found = self.of_name(name)
        if found is not None:
            raise UsageError(
                f"there is an account {name} already",
                code="E-ACCOUNT-EXISTS",
                remedy="choose another name, or "
                + (
                    "set its password anew: user reset"
                    if found.identity is None
                    else "remove that account first: user remove"
                ),
            )


_SELECT: Final = "SELECT id, name, role, made_at, changed_at, issuer, subject FROM accounts"
#: The secret of no account, with which a code is compared where there is none.
_NOBODYS: Final = "A" * 32


def is_subject(text: object) -> bool:
    """Whether a text may name somebody at a provider: at most 255 printable letters of ASCII."""
    return (
        isinstance(text, str)
        and 1 <= len(text) <= _LONGEST_SUBJECT
        and text.isascii()
        and text.isprintable()
    )


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name of an account",
            code="E-ACCOUNT-NAME",
            remedy="use small letters, digits and . _ @ + -, 64 at most, like anna.berg",
        )


def _context(number: int) -> bytes:
    return b"accounts/second-factor/%d" % number


def _account(row: tuple[Any, ...]) -> Account:
    identity = None if row[5] is None else (row[5], row[6])
    return Account(
        id=row[0], name=row[1], role=Role(row[2]), made_at=row[3], changed_at=row[4],
        identity=identity,
    )  # fmt: skip
