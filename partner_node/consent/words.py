"""Decisions of the consent gate, in words and values for the person at this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from machine.tables import Table, folding_table
from machine.text import how_many, minute, shown
from partner_node.consent.count import Count
from partner_node.consent.gate import REGISTER, ConsentGate, Entry, Standing
from partner_node.consent.verdicts import Reason
from protocol.agreement.governance import LegalBasis

#: The reason shown for a customer whom the agreement leaves out for a missing value.
MISSING_VALUE: Final = "missing-value"
#: Most ids of one list that people are shown.
_MOST_SHOWN: Final = 100


def strangers(gate: ConsentGate, standing: Standing) -> list[str]:
    """Warnings about tables of which no customer is in the data.

    An objection under an id that the data write in another way keeps nobody out.
    """
    return [
        f"{table.name}: none of its {how_many(named, 'id')} is in the data, so it "
        + ("keeps nobody out" if table.holds == "objections" else "is about nobody")
        + "; ids must be written alike, letter by letter"
        for table, (named, found) in zip(gate.tables, standing.listed, strict=True)
        if named and not found
    ]


def unmatched_words(
    listed: Mapping[str, Sequence[str]], nearest: Mapping[str, str]
) -> list[object]:
    """Ids of lists that the data lack, beside those that may be meant, for people."""
    words: list[object] = []
    for name, ids in listed.items():
        if not ids:
            words.append(f"{shown(name)}: every id is in the data.")
            continue
        table = Table(title=f"{shown(name)}: {how_many(len(ids), 'id')} not in the data")
        table.add_column("id", overflow="fold")
        table.add_column("in the data instead", overflow="fold")
        for subject in ids[:_MOST_SHOWN]:
            meant = nearest.get(subject)
            table.add_row(repr(subject), "" if meant is None else repr(meant))
        words.append(table)
        if len(ids) > _MOST_SHOWN:
            words.append(f"{len(ids) - _MOST_SHOWN:,} more; --format json names them all.")
    return words


def status_values(gate: ConsentGate, basis: LegalBasis, count: Count) -> dict[str, Any]:
    """Number of customers that are counted now, and of the others by reason, as JSON values."""
    standing, counted = count.standing, count.standing.counted
    kept_out = {str(_name(reason)): counted[reason] for reason in Reason if counted[reason]}
    if count.left_out:
        kept_out[MISSING_VALUE] = count.left_out
    return {
        "basis": basis.basis,
        "customers": counted.total(),
        "eligible": count.customers,
        "kept_out": kept_out,
        "sources": [
            {
                "name": table.name,
                "holds": table.source.holds,
                "kind": table.source.kind,
                "path": table.source.where,
                "updated_at": f"{updated:%Y-%m-%dT%H:%M:%SZ}",
                "ids": named,
                "ids_in_data": found,
            }
            for table, (named, found), updated in zip(
                gate.tables, standing.listed, standing.updated, strict=True
            )
        ]
        + [
            {
                "name": REGISTER,
                "holds": "objections",
                "kind": "register",
                "path": None,
                "updated_at": None,
                "ids": standing.register[0],
                "ids_in_data": standing.register[1],
            }
        ],
    }


def status_words(gate: ConsentGate, basis: LegalBasis, count: Count, now: datetime) -> list[object]:
    """The same for people."""
    standing = count.standing
    sources = folding_table(
        "source", "holds", "brought up to date", "ids", "in the data", title="Consent sources"
    )
    for table, (named, found), updated in zip(
        gate.tables, standing.listed, standing.updated, strict=True
    ):
        hours = (now - updated).total_seconds() / 3600
        sources.add_row(
            shown(table.name), table.source.holds, f"{hours:.1f} hours ago", f"{named:,}",
            f"{found:,}",
        )  # fmt: skip
    named, found = standing.register
    sources.add_row(REGISTER, "objections", "read each time", f"{named:,}", f"{found:,}")
    counted = standing.counted
    decided = folding_table("customers", "", title="Who is counted now")
    decided.add_row(f"{count.customers:,}", "are counted")
    for reason in Reason:
        if counted[reason]:
            decided.add_row(f"{counted[reason]:,}", f"kept out: {reason.words}")
    if count.left_out:
        decided.add_row(
            f"{count.left_out:,}", "left out as agreed: no value where the agreement needs one"
        )
    return [f"Legal basis: {basis.words}.", sources, decided, *_when_nobody(gate, count)]


def _when_nobody(gate: ConsentGate, count: Count) -> list[object]:
    """What tables have to say, where what they say lets nobody be counted."""
    asked = {
        Reason.WITHDRAWN: "ConsentGiven and RenewedConsentGiven alone permit: `events` in "
        "[[consent.sources]] translates a table's own words.",
        Reason.OTHER_PURPOSE: f"The agreed purpose is {gate.purpose}, letter by letter: "
        "`constants` in [[consent.sources]] names it where the table does not.",
        Reason.OTHER_NOTICE: f"Notices that count: {', '.join(gate.notices)}.",
    }
    if count.customers:
        return []
    return [words for reason, words in asked.items() if count.standing.counted[reason]]


def explain_values(
    subject: str, known: bool, left_out: bool, reason: Reason | None, entries: Sequence[Entry]
) -> dict[str, Any]:
    """Why one customer is or is not counted, as JSON values.

    Args:
        left_out: Whether an agreed rule leaves it out for a missing value.
    """
    return {
        "subject": subject,
        "in_data": known,
        "eligible": reason is None and not left_out,
        "reason": MISSING_VALUE if reason is None and left_out else _name(reason),
        "sources": [
            {
                "name": entry.table,
                "rows": list(entry.rows),
                "reason": _name(entry.reason),
            }
            for entry in entries
        ],
    }


def explain_words(
    subject: str, known: bool, left_out: bool, reason: Reason | None, entries: Sequence[Entry]
) -> list[object]:
    """The same for people."""
    who = f"Customer {shown(subject)}"
    words: list[object] = [
        f"{who} may be counted now."
        if reason is None and not left_out
        else f"{who} is not counted: it has no value where the agreement needs one; "
        "fedseg-node rights access shows which."
        if reason is None
        else f"{who} is not counted: {reason.words}."
    ]
    if not known:
        words.append("The data hold no such customer.")
    for entry in entries:
        called = shown(entry.table)
        if not entry.rows:
            held = "nothing about this customer" if entry.reason is None else entry.reason.words
            words.append(f"{called}: {held}.")
            continue
        columns = [name for name in entry.rows[0] if name != "subject"]
        table = Table(title=called)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in entry.rows:
            # The register's times are this node's own; a table's are shown as they stand there.
            told = row | {"since": minute(row["since"])} if entry.table == REGISTER else row
            table.add_row(*(_text(told[name]) for name in columns))
        words += [table, f"{called}: {entry.reason.words}." if entry.reason else ""]
    return words


def _name(reason: Reason | None) -> str | None:
    return None if reason is None else reason.name.lower().replace("_", "-")


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join("" if v is None else shown(str(v)) for v in value) or "listed"
    return "" if value is None else shown(str(value))
