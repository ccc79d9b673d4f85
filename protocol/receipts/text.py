"""The errors about receipts."""

from __future__ import annotations

from protocol.errors import LogError, MalformedError


def malformed(message: str) -> MalformedError:
    """The error for bytes that are not of the receipts' formats."""
    return MalformedError(message, code="E-RECEIPT-FORMAT", remedy="Ask its maker for it again.")


def does_not_hold(message: str, code: str) -> LogError:
    """The error for a receipt that does not show what it says."""
    return LogError(
        message, code=code, remedy="Do not rely on it: show it to the authority, or to an auditor."
    )
