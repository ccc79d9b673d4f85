"""Tables with many columns, over as many tables as fit the terminal: headers never wrap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from machine.tables import Table
from machine.text import number_words
from protocol.agreement.features import SHARE
from protocol.percents import whole_percent_words

#: Width of a column beyond its text: padding and a rule.
_RULES: Final = 3
#: Least width of the column of labels.
_LEAST_LABEL: Final = 20


def segment_tables(
    title: str,
    ids: Sequence[str],
    labels: Sequence[str],
    cells: Sequence[Sequence[str]],
    *,
    label: str,
    width: int,
) -> list[Table]:
    """Tables with a row per label and a column per segment, or other short header, split to fit.

    Args:
        cells: One text a label and segment, shape ``(n_labels, n_ids)``.
        label: The header of the labels.
        width: Characters of a line of the terminal.
    """
    widths = [
        max([len(identity), *(len(row[i]) for row in cells)]) + _RULES
        for i, identity in enumerate(ids)
    ]
    longest = max([len(label), *map(len, labels)])
    front = min(longest, max(_LEAST_LABEL, width - 1 - _RULES - sum(widths))) + _RULES + 1
    tables: list[Table] = []
    for group in _groups(widths, width - front):
        table = Table(title=title + (", continued" if tables else ""))
        table.add_column(label, overflow="fold")
        for index in group:
            table.add_column(ids[index], justify="right", no_wrap=True)
        for name, row in zip(labels, cells, strict=True):
            table.add_row(name, *(row[index] for index in group))
        tables.append(table)
    return tables


def _groups(widths: Sequence[int], room: int) -> list[list[int]]:
    """Groups of columns for one table each, in order; at least one column in each."""
    groups: list[list[int]] = [[]]
    used = 0
    for index, width in enumerate(widths):
        if groups[-1] and used + width > room:
            groups.append([])
            used = 0
        groups[-1].append(index)
        used += width
    return groups


def value_words(value: float, unit: str) -> str:
    """A feature's value for people: a share of customers in percent, else a number.

    >>> value_words(0.357, "share of customers"), value_words(0.357, "orders")
    ('36 %', '0.357')
    """
    return whole_percent_words(value) if unit == SHARE else number_words(value)
