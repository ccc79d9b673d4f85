"""What a spreadsheet works out when it opens a CSV file: one rule for all files that a node writes.

A spreadsheet takes a cell for a formula by its first character, in quotes or not. Texts are never
changed here, for an id that was changed is found nowhere; so what would be a formula is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from protocol.errors import RuleError

#: What a spreadsheet takes for a formula at the start of a cell.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def refuse_formulas(texts: Iterable[str], *, what: str, remedy: str) -> None:
    """Refuse texts of which one would be a formula in a spreadsheet.

    Args:
        what: What each of them is, in words; the text itself is not told.
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
    """Whether a spreadsheet takes a text for a formula; whole numbers are none.

    >>> [is_formula(text) for text in ("=1+1", "-17", "@a", "-1+cmd", "A=1")]
    [True, False, True, True, False]
    """
    return text.startswith(_FORMULA) and not text[1:].isdecimal()
