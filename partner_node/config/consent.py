"""``[consent]`` of ``node.toml``, read and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from partner_node.config.data import read_table, refuse_misplaced
from partner_node.config_section import ConfigSection, near
from partner_node.consent.kinds import KINDS
from partner_node.consent.settings import (
    BIRTH,
    CONSTANT,
    EVENTS,
    HOLDS,
    NEEDED,
    OPTIONAL,
    UPDATED,
    ConsentSection,
    ConsentSource,
    Holds,
)
from protocol.agreement.governance import SEGMENTATION, TERM, VERSION

CONSENT_KEYS: Final = ("purpose", "notices", "assessment", "youngest_customer", "sources")
_EVERY_KIND: Final = (
    "name", "holds", "kind", "columns", "constants", "events", "flags", "heartbeat",
)  # fmt: skip
#: The keys that each kind accepts besides those of every kind.
_KEYS_OF_KIND: Final[Mapping[str, tuple[str, ...]]] = {
    name: kind.keys for name, kind in KINDS.items()
}
_SOURCE_KEYS: Final = tuple(
    dict.fromkeys([*_EVERY_KIND, *(key for keys in _KEYS_OF_KIND.values() for key in keys)])
)
#: The parts that each kind of table has columns for.
_PARTS: Final[Mapping[Holds, tuple[str, ...]]] = {
    "consents": (*NEEDED, *OPTIONAL),
    "objections": ("subject",),
    "births": BIRTH,
}
_TERM: Final = re.compile(TERM)
_OLDEST: Final = 120
_VERSION: Final = re.compile(VERSION)


def read_consent(consent: ConfigSection, *, id_column: str) -> ConsentSection:
    """Read and check the section.

    Args:
        id_column: The column with customers' ids in the data.

    Raises:
        ConfigError: E-CONFIG, naming the key, its value and the way out.
    """
    found = consent.sections("sources", _SOURCE_KEYS)
    sources = tuple(_consent_source(section, id_column) for section in found)
    names = [source.name for source in sources]
    for twice in sorted({name for name in names if names.count(name) > 1}):
        raise consent.problem("sources", f"names {twice!r} twice", "give each source its own name")
    return ConsentSection(
        purpose=consent.text("purpose", default=SEGMENTATION, pattern=_TERM, form=SEGMENTATION),
        notices=consent.texts("notices", pattern=_VERSION),
        assessment=consent.path("assessment") if consent.optional("assessment") else None,
        youngest_customer=consent.integer("youngest_customer", lowest=0, highest=_OLDEST, default=0)
        if consent.sets("youngest_customer")
        else None,
        sources=sources,
    )


def _consent_source(source: ConfigSection, id_column: str) -> ConsentSource:
    holds = next(known for known in HOLDS if known == source.one_of("holds", HOLDS))
    kind = KINDS[source.one_of("kind", tuple(KINDS))]
    refuse_misplaced(source, kind.name, _EVERY_KIND, _KEYS_OF_KIND)
    columns, constants = source.mapping("columns"), source.mapping("constants")
    events, flags = source.mapping("events"), source.texts("flags")
    parts = (*_PARTS[holds], UPDATED) if kind.is_database else _PARTS[holds]
    _refuse_unknown_parts(source, parts, columns, constants)
    for word, event in events.items():
        if event not in EVENTS:
            raise source.problem(
                f"events.{word}",
                f"is {event!r}{near(event, EVENTS)}",
                "known: " + ", ".join(EVENTS),
            )
    if holds != "consents" and (constants or events):
        raise source.problem("holds", f'is "{holds}"', "constants and events are for consents")
    if holds != "objections" and flags:
        raise source.problem("holds", f'is "{holds}"', "flags are for objections")
    heartbeat = source.path("heartbeat") if source.optional("heartbeat") else None
    if heartbeat is not None and UPDATED in columns:
        raise source.problem("heartbeat and columns.updated", "are both set", "keep one of them")
    if kind.is_database and holds != "consents" and heartbeat is None and UPDATED not in columns:
        raise source.problem(
            "heartbeat or columns.updated",
            "is missing",
            f"nothing else says how fresh {holds} in a database are: name a file that is touched, "
            "or a column with the time, whenever the table is brought up to date",
        )
    return ConsentSource(
        name=source.text("name", max_length=60),
        holds=holds,
        kind=kind.name,
        place=kind.place.read(source),
        table=_table(source) if kind.is_database else (),
        columns=MappingProxyType({"subject": id_column, **columns}),
        constants=constants,
        events=events,
        flags=flags,
        heartbeat=heartbeat,
    )


def _refuse_unknown_parts(
    source: ConfigSection,
    parts: tuple[str, ...],
    columns: Mapping[str, str],
    constants: Mapping[str, str],
) -> None:
    for key, given, allowed in (("columns", columns, parts), ("constants", constants, CONSTANT)):
        for name in given:
            if name not in allowed:
                raise source.problem(
                    f"{key}.{name}",
                    f"is unknown{near(name, allowed)}",
                    f"known: {', '.join(allowed)}",
                )
    for name in constants:
        if name in columns:
            raise source.problem(
                f"constants.{name}", f"and columns.{name} are both set", "keep one of them"
            )


def _table(source: ConfigSection) -> tuple[str, ...]:
    """The name of the table or view, split into schema and name."""
    table = read_table(source) if source.sets("table") else None
    if table is None:
        raise source.problem("table", "is missing", "name a table or a view of the database")
    return table
