"""What a command prints and a page shows: one set of values, and the same in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One result.

    Attributes:
        values: It as JSON values.
        parts: It for people: paragraphs and Rich tables; an empty text is left out.
        warnings: What people are to notice; part of `values` too.
        refused: Whether the result is that a check failed.
    """

    values: dict[str, Any]
    parts: Sequence[object]
    warnings: Sequence[str] = ()
    refused: bool = False
