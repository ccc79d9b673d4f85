"""Tables for people: nothing in them is cut, however narrow the terminal is.

Every table that is printed is one of these; nothing else imports `rich.table`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from rich import table as drawn
from rich.cells import cell_len

from machine.text import shown


class Table(drawn.Table):
    """A table whose cells fold where they are too long, and whose headers fold between words.

    A column that is not wrapped (``no_wrap``) is as wide as its longest cell.
    """

    def add_column(self, header: Any = "", *others: Any, **how: Any) -> None:
        """As `rich.table.Table.add_column`, folding unless told otherwise."""
        if isinstance(header, str) and not {"width", "min_width", "max_width"} & how.keys():
            parts = header.splitlines() if how.get("no_wrap") else header.split()
            how["min_width"] = max(map(cell_len, parts), default=1)
        super().add_column(header, *others, **({"overflow": "fold"} | how))

    def add_row(self, *cells: Any, **how: Any) -> None:
        """As `rich.table.Table.add_row`."""
        super().add_row(*cells, **how)
        for column, cell in zip(self.columns, cells, strict=False):
            if column.no_wrap and isinstance(cell, str):
                widest = max(map(cell_len, cell.splitlines()), default=1)
                column.min_width = max(column.min_width or 1, widest)


def folding_table(*headers: str, title: str, whole: Collection[str] = ()) -> Table:
    """A table with these headers.

    Args:
        whole: Headers of columns whose cells stay on one line: what is read aloud, or copied.
    """
    table = Table(title=title)
    for header in headers:
        table.add_column(header, no_wrap=header in whole)
    return table


def filled_table(
    title: str,
    headers: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    whole: Collection[str] = (),
) -> Table:
    """A folding table with its rows; `whole` as for `folding_table`."""
    table = folding_table(*headers, title=title, whole=whole)
    for row in rows:
        table.add_row(*row)
    return table


def changes_view(rows: Sequence[tuple[str, str | None, str | None]], *, title: str) -> list[object]:
    """A line, and below it a table of fields with what stood there before and what stands now.

    Args:
        rows: Field, text before and text now; None where the field is not there.
        title: The line; all that is shown where there are no rows.
    """
    if not rows:
        return [title]
    table = folding_table("field", "before", "now", title="")
    for field, before, now in rows:
        table.add_row(field, _stood(before), _stood(now))
    return [f"{title}:", table]


def _stood(text: str | None) -> str:
    return "(not there)" if text is None else shown(text) or "(nothing)"
