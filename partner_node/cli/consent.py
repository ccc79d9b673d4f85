"""Commands about customers' eligibility: `consent …`."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from machine.console import Format, FormatOption, output
from partner_node.cli.asked_agreement import AgreementFile, asked_of
from partner_node.cli.options import HERE, Directory, Subject, Under
from partner_node.consent.count import is_left_out
from partner_node.consent.gate import REGISTER, Entry
from partner_node.consent.words import (
    explain_values,
    explain_words,
    unmatched_words,
)
from partner_node.home import NodeHome
from partner_node.register.requests import RightsRegister
from partner_node.shown.consent import consent_shown
from protocol.errors import RuleError, SourceError

app = typer.Typer(help="Which customers may be counted.", no_args_is_help=True)


@app.command("status")
def status(
    agreement: AgreementFile = None,
    under: Under = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """How many customers are counted now, and which rules keep others out."""
    home, terms = asked_of(directory, under, agreement)
    output.show(consent_shown(home, datetime.now(UTC), terms))


@app.command("explain")
def explain(
    subject: Subject,
    agreement: AgreementFile = None,
    under: Under = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Which rule decides about one customer, and what every source holds of it."""
    home, terms = asked_of(directory, under, agreement)
    party = home.party(terms)
    now = datetime.now(UTC)
    gate = home.gate(terms, party)
    reason, entries = gate.explain(subject, now)
    entries = [_with_wishes(home, subject, entry) for entry in entries]
    customers = home.customers(terms, None, unique=False)
    known = any((ids == subject).any() for ids in customers.ids())
    left_out = known and is_left_out(subject, customers, terms)
    warnings = []
    try:
        home.rules(terms, party).check(now)
        gate.check_rows_fresh(now)
    except (RuleError, SourceError) as error:
        warnings.append(f"this node answers nothing now: {error.message}")
    output.warn(warnings)
    output.result(
        {**explain_values(subject, known, left_out, reason, entries), "warnings": warnings},
        *explain_words(subject, known, left_out, reason, entries),
    )


@app.command("unmatched")
def unmatched(
    feedback: Annotated[
        Path | None,
        typer.Option(help="A file for `feedback import`, to look up its ids too."),
    ] = None,
    under: Under = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Ids in consents, objections, births and this node's register that the data lack."""
    home = NodeHome.load(directory).chosen(under)
    agreement = home.signed_agreement().agreement
    now = datetime.now(UTC)
    customers = home.customers(agreement, None, unique=False)
    gate = home.gate(agreement, home.party(agreement))
    listed = gate.unmatched(customers.ids(), now)
    if feedback is not None:
        from partner_node.segments.feedback import not_in_data
        from partner_node.segments.feedback_file import read_feedback

        said = read_feedback(feedback, now=now, terms=agreement.plan.satisfaction)
        missing = not_in_data((one.subject for one in said), customers)
        listed[feedback.name] = tuple(sorted(missing))
    nearest = customers.nearest_ids({i for ids in listed.values() for i in ids})
    output.result(
        {
            "unmatched": [
                {
                    "name": name,
                    "ids": [{"id": i, "in_data_instead": nearest.get(i)} for i in ids],
                }
                for name, ids in listed.items()
            ]
        },
        *unmatched_words(listed, nearest),
    )


def _with_wishes(home: NodeHome, subject: str, entry: Entry) -> Entry:
    """Add a customer's wishes in the register of rights, with their dates, to `entry`."""
    if entry.table != REGISTER:
        return entry
    with closing(home.store(home.keystore())) as store:
        wishes = RightsRegister(store).wishes_of(subject)
    return replace(
        entry, rows=tuple({"wish": wish, "since": at} for wish, at in sorted(wishes.items()))
    )
