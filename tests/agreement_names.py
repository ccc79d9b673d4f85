"""How JSON names an agreement: `agreement` is its id, `agreement_hash` its hash."""

from __future__ import annotations

import re
from typing import Any, Final

_HASH: Final = re.compile(r"[0-9a-f]{64}")


def check_names(found: Any) -> None:
    """Raise AssertionError if something in JSON values names an agreement by its hash.

    >>> check_names({"runs": [{"agreement": "ours", "agreement_hash": "0a" * 32}]})
    >>> check_names({"runs": [{"agreement": "0a" * 32}]})
    Traceback (most recent call last):
    ...
    AssertionError: agreement: 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a
    """
    if isinstance(found, list):
        for one in found:
            check_names(one)
    if isinstance(found, dict):
        named, hashed = found.get("agreement", ""), found.get("agreement_hash", "0a" * 32)
        assert isinstance(named, str | None) and not _HASH.fullmatch(named or ""), (
            f"agreement: {named}"
        )
        assert _HASH.fullmatch(hashed), f"agreement_hash: {hashed}"
        for one in found.values():
            check_names(one)
