"""What ``--format json`` prints: exactly one object, the same for every command."""

from __future__ import annotations

import json
from typing import Any, Final

from protocol.errors import FedsegError

SCHEMA_VERSION: Final = 5


def success(data: dict[str, Any]) -> str:
    """The envelope of a command that succeeded."""
    return _envelope("ok", data)


def refusal(data: dict[str, Any]) -> str:
    """The envelope of a command whose result is that a check failed."""
    return _envelope("refused", data)


def failure(error: FedsegError) -> str:
    """The envelope of a command that failed; its exit status is ``error.exit_code``."""
    return _envelope(
        "refused" if error.exit_code == 3 else "failed",
        {"code": error.code, "message": error.message, "remedy": error.remedy},
    )


def _envelope(status: str, data: dict[str, Any]) -> str:
    return json.dumps(
        {"schema_version": SCHEMA_VERSION, "status": status, "data": data},
        allow_nan=False,
    )
