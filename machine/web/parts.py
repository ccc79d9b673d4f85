"""What commands print, as HTML needs it: paragraphs, and tables with headers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.text import Text

from machine.tables import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePart:
    """A table.

    Attributes:
        headers: Empty where the first column names the rows.
        numbers: Which columns are numbers, by their place.
    """

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int]
    kind: Literal["table"] = "table"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """A paragraph; its line ends are kept."""

    text: str
    kind: Literal["text"] = "text"


def html_parts(parts: Iterable[object]) -> list[TablePart | Paragraph]:
    """Paragraphs and Rich tables in the form that templates write; empty texts are left out.

    Raises:
        TypeError: A part is neither.
    """
    return [_part(one) for one in parts if one != ""]


def _part(one: object) -> TablePart | Paragraph:
    if isinstance(one, str):
        return Paragraph(text=str(one))
    if not isinstance(one, Table):
        raise TypeError(f"no page shows a {type(one).__name__}")
    cells = [[_text(cell) for cell in column.cells] for column in one.columns]
    headers = [_text(column.header) for column in one.columns]
    return TablePart(
        title="" if one.title is None else _text(one.title),
        headers=tuple(headers) if one.show_header else (),
        rows=_rows(cells),
        numbers=frozenset(
            place for place, column in enumerate(one.columns) if column.justify == "right"
        ),
    )


def _rows(columns: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple(zip(*columns, strict=True))


def _text(cell: object) -> str:
    if isinstance(cell, Text):
        return cell.plain
    if not isinstance(cell, str):
        raise TypeError(f"no page shows a cell of {type(cell).__name__}")
    return cell
