"""Checks of the options of ``fedseg-node init`` that name the source."""

from __future__ import annotations

from typing import Any

from partner_node.sources.kinds import KINDS
from partner_node.sources.places import Said
from protocol.errors import UsageError


def source_options(*, kind: str, table: str | None, has_query: bool, place: Said) -> dict[str, Any]:
    """Arguments about the source for the configuration's template.

    Args:
        has_query: Whether there is a feature query, which replaces the table.
        place: The options that name where the source is; None for those that were left out.

    Raises:
        UsageError: An option is missing, or belongs to another kind.
    """
    if kind not in KINDS:
        raise UsageError(f"--kind is {kind!r}, allowed: {', '.join(KINDS)}")
    chosen = KINDS[kind]
    for name, value in place.items():
        if value is not None and name not in chosen.place.options:
            option = f"--{name.replace('_', '-')}"
            if option in chosen.instead:
                raise UsageError(
                    f"{option} is not for --kind {kind}", remedy=chosen.instead[option]
                )
            takers = [k.name for k in KINDS.values() if name in k.place.options]
            raise UsageError(
                f"{option} is for --kind {' or '.join(takers)}",
                remedy=f"leave it out, or set --kind; it is {kind} now",
            )
    said = chosen.place.checked(place, kind)
    if not chosen.has_tables:
        if table is not None:
            raise UsageError(f"--table is not for --kind {kind}", remedy=chosen.instead["--table"])
    elif (table is None) != has_query:
        raise UsageError(
            f"--kind {kind} needs either --table or --query-file",
            remedy="name the table with one row a customer, or a query that makes it",
        )
    if table is not None:
        said["table"] = table
    return {"kind": kind, **said}
