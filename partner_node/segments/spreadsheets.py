"""Refusal of spreadsheet formulas in CSV: one rule for all files that a node writes.

A spreadsheet recognises a formula by a cell's first character, in quotes or not. A text that would
be one is refused, as a changed id matches nothing elsewhere; or, where that is asked for, it is
written with an apostrophe before it, which a spreadsheet hides.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from protocol.errors import RuleError

#: First characters by which a spreadsheet recognises a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def refuse_formulas(texts: Iterable[str], *, what: str, remedy: str, named: bool = False) -> None:
    """Refuse texts if one would be a formula in a spreadsheet.

    Args:
        what: What each of them is, for the message.
        remedy: The way out.
        named: Whether the message quotes the first such text.

    Raises:
        RuleError: E-CSV-FORMULA.
    """
    found = next(filter(is_formula, texts), None)
    if found is not None:
        raise RuleError(
            f"{what}{f', {found!r},' if named else ''} begins like a formula (=, +, -, @, tab or "
            "return), and a spreadsheet that opens the file would work it out",
            code="E-CSV-FORMULA",
            remedy=remedy,
        )


def is_formula(text: str) -> bool:
    """Whether a spreadsheet would read a text as a formula; whole numbers are not.

    >>> [is_formula(text) for text in ("=1+1", "-17", "@a", "-1+cmd", "A=1")]
    [True, False, True, True, False]
    """
    return text.startswith(_FORMULA) and not text[1:].isdecimal()


def escaped(text: str) -> str:
    """A text as a spreadsheet does not work it out.

    >>> escaped("=1+1"), escaped("-17")
    ("'=1+1", '-17')
    """
    return f"'{text}" if is_formula(text) else text
