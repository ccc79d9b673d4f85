"""``[consent]`` of ``node.toml``, read and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from partner_node.config_section import ConfigSection, near
from partner_node.consent.settings import (
    BIRTH,
    CONSTANT,
    EVENTS,
    HOLDS,
    KINDS,
    NEEDED,
    OPTIONAL,
    ConsentSource,
    Holds,
)
from partner_node.data_config import read_delimiter
from protocol.governance import SEGMENTATION, TERM, VERSION

CONSENT_KEYS: Final = ("purpose", "notices", "assessment", "youngest_customer", "sources")
_SOURCE_KEYS: Final = (
    "name", "holds", "kind", "path", "delimiter", "columns", "constants", "events", "flags",
    "heartbeat",
)  # fmt: skip
#: What each kind of table has columns for.
_PARTS: Final[Mapping[Holds, tuple[str, ...]]] = {
    "consents": (*NEEDED, *OPTIONAL),
    "objections": ("subject",),
    "births": BIRTH,
}
_TERM: Final = re.compile(TERM)
_OLDEST: Final = 120
_VERSION: Final = re.compile(VERSION)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentSection:
    """``[consent]``: what customers were told, and where their wishes are.

    Attributes:
        purpose: The purpose, as a prefixed name, that this partner's notice tells of.
        notices: Versions of the notice that tell of it.
        assessment: File with the assessment of a legitimate interest; None without one.
        youngest_customer: No customer is younger than this, in years, as this partner knows from
            its contracts; None where a table of births says how old each is.
        sources: Tables of consents, objections and births.
    """

    purpose: str
    notices: tuple[str, ...]
    assessment: Path | None
    youngest_customer: int | None
    sources: tuple[ConsentSource, ...]


def read_consent(consent: ConfigSection, *, id_column: str) -> ConsentSection:
    """The section's values.

    Args:
        id_column: What the customers' ids are called in the data.

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
    said = source.one_of("holds", HOLDS)
    holds: Holds = next(known for known in HOLDS if known == said)
    kind = source.one_of("kind", KINDS)
    columns, constants = source.mapping("columns"), source.mapping("constants")
    events, flags = source.mapping("events"), source.texts("flags")
    known = _PARTS[holds]
    for key, given, allowed in (
        ("columns", columns, known),
        ("constants", constants, CONSTANT),
    ):
        for name in given:
            if name not in allowed:
                raise source.problem(
                    f"{key}.{name}",
                    f"is unknown{near(name, allowed)}",
                    f"known: {', '.join(allowed)}",
                )
    for word, event in events.items():
        if event not in EVENTS:
            raise source.problem(
                f"events.{word}",
                f"is {event!r}{near(event, EVENTS)}",
                "known: " + ", ".join(EVENTS),
            )
    for name in constants:
        if name in columns:
            raise source.problem(
                f"constants.{name}", f"and columns.{name} are both set", "keep one of them"
            )
    if holds != "consents" and (constants or events):
        raise source.problem("holds", f'is "{holds}"', "constants and events are for consents")
    if holds != "objections" and flags:
        raise source.problem("holds", f'is "{holds}"', "flags are for objections")
    return ConsentSource(
        name=source.text("name", max_length=60),
        holds=holds,
        kind=next(known for known in KINDS if known == kind),
        path=str(source.path("path")),
        delimiter=read_delimiter(source),
        columns=MappingProxyType({"subject": id_column, **columns}),
        constants=constants,
        events=events,
        flags=flags,
        heartbeat=source.path("heartbeat") if source.optional("heartbeat") else None,
    )
