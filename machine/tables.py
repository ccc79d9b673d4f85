"""Tables for people: nothing in them is cut, however narrow the terminal is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from rich.table import Table

from machine.text import shown


def folding_table(*headers: str, title: str, whole: Collection[str] = ()) -> Table:
    """A table whose cells fold where they are too long, and whose headers fold between words.

    Args:
        whole: Headers of columns whose cells stay on one line: what is read aloud, or copied.
    """
    table = Table(title=title)
    for header in headers:
        longest = max(map(len, header.split()), default=1)
        table.add_column(header, overflow="fold", min_width=longest, no_wrap=header in whole)
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
