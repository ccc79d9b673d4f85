"""Phrases of a database's SQL for the rules for customers.

The rules themselves (`row_rules`) are the same everywhere and are composed of these; each database
has its own phrases in the ``dialect`` of its folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Phrases of one database's SQL; ``{0}`` stands for an expression.

    Attributes:
        name: The database's name for people.
        as_text: An id as text, compared byte by byte.
        as_number: A number as a double; not finite where the value is not a number.
        as_double: A number that SQL has computed, as a double.
        small_letters: A text from `as_text`, in lower case.
        unfit_id: Whether a text that is neither missing nor empty is unusable as an id.
        unfit_words: Description of all unusable ids, including missing and empty ones.
        is_nan: Whether a double is NaN.
        is_infinite: Whether a double is infinite.
        id_types: Types, in lower case, that ids may have; empty where each value has its own.
        number_types: Types, in lower case, that features of numbers may have; empty likewise.
        level_types: Types, in lower case, that features with levels may have; empty likewise.
        no_text: Whether a value is bytes, which are never a level; empty where the column's type
            tells.
        text_cast: A cast to text as a person writes it, for messages.
        number_cast: A cast to a number as a person writes it, for messages.
    """

    name: str
    as_text: str
    as_number: str
    as_double: str
    unfit_id: str
    is_nan: str
    is_infinite: str
    id_types: frozenset[str]
    number_types: frozenset[str]
    level_types: frozenset[str]
    no_text: str
    text_cast: str
    number_cast: str
    small_letters: str = "lower({0})"
    unfit_words: str = "missing, empty or with a NUL character"

    def id_text(self, column: str) -> str:
        """The id in a column, as text."""
        return self.as_text.format(quoted(column))

    def number(self, column: str) -> str:
        """The number in a column, as a double."""
        return self.as_number.format(quoted(column))

    def level(self, column: str, levels: Sequence[Sequence[str]], *, folded: bool) -> str:
        """The index of a column's value among levels, as a double; -1 for any other text.

        Infinite where it is not a text. NULL where it is missing, including NaN in a column of
        doubles or written as text. Each text has its own condition: DuckDB evaluates a longer
        ``IN`` as a join, whose rows come in another order each time on several threads.
        """
        text = self.id_text(column)
        if folded:
            text = self.small_letters.format(text)
        cases = "".join(
            f" WHEN {text} = {literal(known)} THEN {place}"
            for place, texts in enumerate(levels)
            for known in texts
        )
        missing = f"WHEN {quoted(column)} IS NULL THEN NULL"
        small = self.small_letters.format(self.id_text(column))
        not_a_number = f"WHEN {small} = 'nan' THEN NULL"
        if self.no_text:
            missing += f" WHEN {self.no_text.format(quoted(column))} THEN 9e999"
        return self.as_double.format(f"CASE {missing}{cases} {not_a_number} ELSE -1 END")

    def bad_id(self, text: str) -> str:
        """Whether an id is unusable; see `unfit_words`."""
        return f"({text} IS NULL OR {text} = '' OR {self.unfit_id.format(text)})"


def quoted(name: str) -> str:
    """A column's or table's name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def table_relation(parts: tuple[str, ...]) -> str:
    """A table's name, with its schema if any, as quoted SQL identifiers."""
    return ".".join(quoted(part) for part in parts)


#: The view over the files that a feature query reads.
INPUT: Final = "input"
