"""Tables of centres that fit a terminal: headers wrap, and many features fill several tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from machine.tables import Table
from machine.text import number_words

#: Length up to which a header is not wrapped, and the largest one of its lines.
_EASY, _MOST = 9, 20
#: Width of a column beyond its text: padding and a rule.
_RULES: Final = 3


def centre_tables(
    titles: Sequence[str],
    names: Sequence[str],
    columns: Sequence[tuple[str, str]],
    rows: Sequence[Sequence[str]],
    values: Sequence[Sequence[float]],
    *,
    width: int,
) -> list[Table]:
    """Tables of numbers, one row per segment; see `feature_tables`.

    Args:
        values: Shape ``(n_rows, n_features)``.
    """
    cells = [[number_words(value) for value in row] for row in values]
    return feature_tables(titles, names, columns, rows, cells, width=width)


def range_cells(ranges: Sequence[Sequence[tuple[float, float] | None]]) -> list[list[str]]:
    """Ranges as text; a dash where one is too narrow to see under the noise.

    >>> range_cells([[(0.0, 3.14159), None]])
    [['0 – 3.142', '–']]
    """
    return [[_range_words(*found) if found else "–" for found in row] for row in ranges]


def _range_words(low: float, high: float) -> str:
    return f"{number_words(low)} – {number_words(high)}"


def feature_tables(
    titles: Sequence[str],
    names: Sequence[str],
    columns: Sequence[tuple[str, str]],
    rows: Sequence[Sequence[str]],
    cells: Sequence[Sequence[str]],
    *,
    width: int,
) -> list[Table]:
    """Tables of one row per segment, split by columns so that nothing is truncated.

    Args:
        titles: Titles of the first table, and of those that follow it.
        names: Headers of the columns in `rows`.
        columns: Names and units of the features; a unit may be empty.
        rows: Leading cells of each row in every table, shape ``(n_rows, n_names)``.
        cells: Texts, shape ``(n_rows, n_features)``.
        width: Characters of a line of the terminal.
    """
    least = [max([0, *(len(row[i]) for row in cells)]) for i in range(len(columns))]
    heads = [
        folded(name, least[i]) + (f"\n{folded(f'({unit})', least[i])}" if unit else "")
        for i, (name, unit) in enumerate(columns)
    ]
    widths = [
        max(least[i], *(len(line) for line in head.split("\n"))) for i, head in enumerate(heads)
    ]
    first = 1 + sum(
        _RULES + max([len(name), *(len(row[i]) for row in rows)]) for i, name in enumerate(names)
    )
    tables: list[Table] = []
    for group in _groups(widths, width - first):
        table = Table(title=titles[min(len(tables), len(titles) - 1)] if titles else None)
        for name in names:
            table.add_column(name, justify="right", no_wrap=True)
        for index in group:
            table.add_column(heads[index], justify="right", no_wrap=True)
        for row, numbers in zip(rows, cells, strict=True):
            table.add_row(*row, *(numbers[index] for index in group))
        tables.append(table)
    return tables


def folded(name: str, least: int = 0) -> str:
    """Wrap a name after underscores and spaces.

    Args:
        least: Characters that fit into a line in any case.

    >>> folded("items_per_order")
    'items_\\nper_order'
    """
    room = max(_EASY, least)
    lines = [""]
    for part in _parts(name):
        if lines[-1] and len(lines[-1]) + len(part) > room:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.strip() for line in lines)


def _parts(name: str) -> list[str]:
    parts = [""]
    for letter in name:
        if len(parts[-1]) >= _MOST:
            parts.append("")
        parts[-1] += letter
        if letter in "_ ":
            parts.append("")
    return [part for part in parts if part] or [""]


def _groups(widths: Sequence[int], room: int) -> list[list[int]]:
    """Groups of columns for one table each, in order; at least one column in each."""
    groups: list[list[int]] = [[]]
    used = 0
    for index, width in enumerate(widths):
        if groups[-1] and used + width + _RULES > room:
            groups.append([])
            used = 0
        groups[-1].append(index)
        used += width + _RULES
    return groups
