"""The error hierarchy of fedseg.

Every error that can reach a person or another machine is a `FedsegError` with a stable code
(``E-…``). A node tells the coordinator the code and nothing else; the message and the remedy are
for the person at this machine. Command lines turn `exit_code` into the process's exit status:
1 failed, 2 wrong usage, 3 refused by a rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class FedsegError(Exception):
    """Base of all errors raised by fedseg.

    Args:
        message: What is wrong: names the thing and the value.
        code: Stable code, if more precise than the class's own.
        remedy: The way out, in one sentence; may be empty.
    """

    default_code = "E-FAILED"
    exit_code = 1

    def __init__(self, message: str, *, code: str | None = None, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    def diagnostics(self) -> str:
        """The message for a person: code, what is wrong, and the way out."""
        return f"{self}\n  Way out: {self.remedy}" if self.remedy else str(self)


# --- wrong input from a person -------------------------------------------------------------


class UsageError(FedsegError):
    """A command was called with arguments that it does not accept."""

    default_code = "E-USAGE"
    exit_code = 2


class ConfigError(FedsegError):
    """A configuration file has a missing, unknown or invalid key."""

    default_code = "E-CONFIG"
    exit_code = 2


class SourceError(FedsegError):
    """Customers' data cannot be read as the agreement and the configuration say."""

    default_code = "E-SOURCE"
    exit_code = 3


class KeystoreError(FedsegError):
    """A private key is missing, unprotected or cannot be decrypted."""

    default_code = "E-KEYSTORE"
    exit_code = 3


class StoreError(FedsegError):
    """A state database is missing, of another version or damaged."""

    default_code = "E-STORE"


class TransportError(FedsegError):
    """The other side cannot be reached or does not speak our protocol."""

    default_code = "E-TRANSPORT"


# --- rules ---------------------------------------------------------------------------------


class RuleError(FedsegError):
    """A rule of the agreement or of the protocol forbids what was asked."""

    default_code = "E-RULE"
    exit_code = 3


class AgreementError(RuleError):
    """The agreement is malformed, incomplete, unsigned, expired or not ours."""

    default_code = "E-AGR-SCHEMA"


class EncodingRangeError(RuleError):
    """A value lies outside the agreed bounds, or a sum could overflow Z_2^64."""

    default_code = "E-RANGE"


class ProtocolError(RuleError):
    """Base of the state machines' errors."""

    default_code = "E-PROTOCOL"


class LocalProtocolError(ProtocolError):
    """Our own side used a state machine in the wrong order: a defect in fedseg."""

    default_code = "E-LOCAL"
    exit_code = 1


class RemoteProtocolError(ProtocolError):
    """The other side sent something that the protocol forbids."""

    default_code = "E-REMOTE"


class MalformedError(RemoteProtocolError):
    """Bytes that are not a message of this protocol (framing, size, type)."""

    default_code = "E-MALFORMED"


class SignatureError(RemoteProtocolError):
    """A signature does not verify against the key that the agreement names."""

    default_code = "E-SIGNATURE"


class LogError(RemoteProtocolError):
    """An audit log's proof, signature or stored hash does not hold; the code says which."""


class ArchiveError(RemoteProtocolError):
    """An archive is not written in the one form that is read."""

    default_code = "E-ARCHIVE"


class PackError(RemoteProtocolError):
    """An evidence pack does not show what it says; the code says where."""


class RunFailedError(FedsegError):
    """A run ended without a release; the code says why."""

    default_code = "E-RUN-FAILED"


@contextmanager
def naming_file(file: object, *, remedy: str = "") -> Iterator[None]:
    """Add the agreement's file name to every AgreementError raised in the block.

    Args:
        file: Its path.
        remedy: The way out where the error has none of its own.
    """
    try:
        yield
    except AgreementError as error:
        raise AgreementError(
            f"{file}: {error.message}", code=error.code, remedy=error.remedy or remedy
        ) from error
