"""Settings of tables of consents, objections and births in a node's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

from partner_node.sources.places import Place

Holds = Literal["consents", "objections", "births"]
HOLDS: Final[tuple[Holds, ...]] = get_args(Holds)

#: Parts of an event that a consent table needs, and optional ones.
NEEDED: Final = ("subject", "event", "time", "purpose", "notice")
OPTIONAL: Final = ("until",)
#: Optional part of a row in a database's table: when it was last updated.
UPDATED: Final = "updated"
#: Parts that a table of births needs.
BIRTH: Final = ("subject", "born")
#: Parts that may be constants of a whole table.
CONSTANT: Final = ("purpose", "notice")
#: Events, in the words of the W3C Data Privacy Vocabulary.
EVENTS: Final = (
    "ConsentGiven",
    "RenewedConsentGiven",
    "ConsentRequested",
    "ConsentRequestDeferred",
    "ConsentRefused",
    "ConsentWithdrawn",
    "ConsentRevoked",
    "ConsentExpired",
    "ConsentInvalidated",
    "ConsentUnknown",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentSource:
    """One table of consents, objections or births.

    Attributes:
        name: For messages.
        holds: Consents, one row an event; or objections or births, one row a customer.
        kind: Kind of file or database, by its name in the table of `consent.kinds`.
        place: Where it is, in the form that its kind reads.
        table: A database's table or view, its schema first where it has one; empty for files.
        columns: Column of ``subject``, and for consents of ``event``, ``time``, ``purpose``,
            ``notice`` and ``until``, for births of ``born``; left out where it has the same name.
            In a database also of ``updated``, the time when a row was last updated.
        constants: Values for the whole table instead of a column: ``purpose``, ``notice``.
        events: Meaning of this table's own words for events, such as ``yes = "ConsentGiven"``.
        flags: Columns of an objection table whose flags mark who objects; without any, everybody in
            the table does.
        heartbeat: A file that is touched whenever the table is updated; without one a file's own
            time is used, and in a database the newest ``updated`` or, for consents, the newest
            event.
    """

    name: str
    holds: Holds
    kind: str
    place: Place
    table: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    events: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    heartbeat: Path | None = None

    @property
    def where(self) -> str:
        """Where it is, in messages: a path, or a table of a database."""
        if not self.table:
            return self.place.name
        return f"table {'.'.join(self.table)} of {self.place.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentSection:
    """``[consent]``: what customers were informed of, and the tables of their choices.

    Attributes:
        purpose: The purpose, as a prefixed name, that this partner's notice states.
        notices: Versions of the notice that state it.
        assessment: File with the assessment of a legitimate interest; None without one.
        youngest_customer: No customer is younger than this, in years, as this partner knows from
            its contracts; None where a table of births has each one's age.
        sources: Tables of consents, objections and births.
    """

    purpose: str
    notices: tuple[str, ...]
    assessment: Path | None
    youngest_customer: int | None
    sources: tuple[ConsentSource, ...]
