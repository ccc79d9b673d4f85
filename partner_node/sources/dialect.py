"""How a database writes what the rules for customers ask: one place for each phrase.

The rules themselves (`row_rules`) are the same everywhere and are put together from these; each
database has its own phrases in the ``dialect`` of its folder.
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
        as_number: A number as a double; no finite one where the value is none.
        as_double: A number that SQL has computed, as a double.
        small_letters: A text as `as_text` gives it, in small letters.
        unfit_id: Whether a text that is neither missing nor empty can be no id.
        unfit_words: What such ids are, with those that are missing or empty.
        is_nan: Whether a double is NaN.
        is_infinite: Whether a double is infinite.
        id_types: Types, in lower case, that ids may have; empty where each value has its own.
        number_types: Types, in lower case, that features of numbers may have; empty likewise.
        level_types: Types, in lower case, that features with levels may have; empty likewise.
        no_text: Whether a value is bytes, which are no level whatever they spell; empty where a
            column's type says so.
        text_cast: How a person writes a cast to text, for messages.
        number_cast: How a person writes a cast to a number, for messages.
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
        """The place of a column's value among levels, as a double; -1 where it is none.

        Infinite where it is not even a text.
        NULL where it is missing: also what a column of doubles, or a text of one, writes as NaN.
        Each text has its own condition: DuckDB answers ``IN`` over more than a few with a join,
        and what a join gives on several threads comes in another order each time.
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
        """Whether an id is none; see `unfit_words`."""
        return f"({text} IS NULL OR {text} = '' OR {self.unfit_id.format(text)})"


def quoted(name: str) -> str:
    """A column's or table's name as SQL writes it, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def table_relation(parts: tuple[str, ...]) -> str:
    """A table's name, with its schema where it has one, as SQL writes it."""
    return ".".join(quoted(part) for part in parts)


#: The name under which a feature query sees the files.
INPUT: Final = "input"
