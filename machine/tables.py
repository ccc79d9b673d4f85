"""Tables for people: nothing in them is cut, however narrow the terminal is."""

from __future__ import annotations

from rich.table import Table


def folding_table(*headers: str, title: str) -> Table:
    """A table whose cells fold where they are too long, and whose headers fold between words."""
    table = Table(title=title)
    for header in headers:
        longest = max(map(len, header.split()), default=1)
        table.add_column(header, overflow="fold", min_width=longest)
    return table
