"""Refusal of spreadsheet formulas in CSV: one rule for all files that a node writes.

A spreadsheet recognises a formula by a cell's first character, in quotes or not. Texts are never
escaped here, as a changed id would match nothing; so a text that would be a formula is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from protocol.errors import RuleError

#: First characters by which a spreadsheet recognises a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def refuse_formulas(texts: Iterable[str], *, what: str, remedy: str) -> None:
    """Refuse texts if one would be a formula in a spreadsheet.

    Args:
        what: What each of them is, for the message, which does not quote the text.
        remedy: The way out.

    Raises:
        RuleError: E-CSV-FORMULA.
    """
    if any(map(is_formula, texts)):
        raise RuleError(
            f"{what} begins like a formula (=, +, -, @, tab or return), and a spreadsheet that "
            "opens the file would work it out",
            code="E-CSV-FORMULA",
            remedy=remedy,
        )


def is_formula(text: str) -> bool:
    """Whether a spreadsheet would read a text as a formula; whole numbers are not.

    >>> [is_formula(text) for text in ("=1+1", "-17", "@a", "-1+cmd", "A=1")]
    [True, False, True, True, False]
    """
    return text.startswith(_FORMULA) and not text[1:].isdecimal()
