"""``agreement``: commands to draft, check, publish and stop an agreement."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from importlib import metadata, resources
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from coordinator import config as settings
from coordinator.agreement_file import (
    agreement_template,
    load_agreement,
    load_signed,
    load_stop,
    load_yaml,
    privacy_template,
    save_signed,
)
from coordinator.cli.cards import load_cards
from coordinator.cli.options import HERE, Directory
from coordinator.config import CoordinatorConfig
from coordinator.report.released import views_in
from machine.console import Format, FormatOption, diagnostics, output
from machine.files import write_file
from protocol.agreement.document import ANEW, Agreement
from protocol.agreement.governance import SEGMENTATION
from protocol.agreement.partner_card import PartnerCard
from protocol.agreement.software import Software
from protocol.agreement_rules import problems_of
from protocol.errors import AgreementError, UsageError, naming_file
from protocol.privacy.accounting import epsilon_text
from protocol.privacy.words import counted, meaning
from protocol.release.document import EXACT_WORDS, promised
from protocol.release.row_caps import wide_row_caps
from protocol.signed_agreement import SignedAgreement
from protocol.signing import public_bytes

app = typer.Typer(help="Write, check and publish the agreement.", no_args_is_help=True)


#: Validity of a new agreement, after which it must be reviewed.
_REVIEW_DAYS = 182
_EXACT_WARNING = (
    f"{EXACT_WORDS}, from the difference of two rounds; an epsilon of 8 to 10 under privacy costs "
    "little accuracy (docs/measurements.md) and shows nobody's row"
)


class Start(StrEnum):
    """What a run starts from."""

    RELEASE = "release"
    ANEW = ANEW


@app.command("draft")
def draft(
    out: Annotated[Path, typer.Option(help="File to write.")],
    source: Annotated[
        Path | None,
        typer.Argument(help="Agreement in YAML; when left out, a YAML to be edited is written."),
    ] = None,
    card: Annotated[
        list[Path] | None, typer.Option(help="A partner's card (from `fedseg-node init`).")
    ] = None,
    id: Annotated[str, typer.Option(help="Short name of a new agreement.")] = "our-segments",
    purpose: Annotated[str, typer.Option(help="What the segments are for.")] = (
        "Common customer segments for the partners' own marketing."
    ),
    purpose_term: Annotated[
        str, typer.Option(help="The purpose as consents and notices name it.")
    ] = SEGMENTATION,
    notice_version: Annotated[
        str, typer.Option(help="Version of the notice that tells customers of the purpose.")
    ] = "1",
    epsilon: Annotated[
        str | None,
        typer.Option(
            help="Differential privacy: what one run means for one customer; 1 when left out."
        ),
    ] = None,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact",
            help="Exact totals instead, without any noise: not anonymous, rows of single customers "
            "can be computed.",
        ),
    ] = False,
    start: Annotated[
        Start,
        typer.Option(
            help="What a run starts from: the last signed release, so that unchanged customers "
            "keep their segments; or anew every time."
        ),
    ] = Start.RELEASE,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Write a new agreement in YAML from partners' cards; or, from YAML, the file to be signed."""
    if out.exists():
        raise UsageError(f"{out} exists already", remedy="choose another --out")
    if source is not None:
        written = load_yaml(source)
        with naming_file(source):
            signed = SignedAgreement.draft(written)
        save_signed(out, signed)
        output.result(
            {"agreement": signed.agreement.hash.hex(), "file": str(out)},
            f"Wrote {out}, agreement {signed.agreement.hash.hex()[:16]}…. "
            "Send it to every partner: `fedseg-node agreement sign`.",
        )
        return
    if exact and epsilon is not None:
        raise UsageError("--exact and --epsilon exclude each other", remedy="leave one of them out")
    config = CoordinatorConfig.load(directory)
    parties = [_party_values(read) for read in load_cards(card or [])]
    now = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    time_format = "%Y-%m-%dT%H:%M:%SZ"
    text = agreement_template(
        id=settings.quoted(id),
        purpose=settings.quoted(purpose),
        purpose_term=settings.quoted(purpose_term),
        notice_version=settings.quoted(notice_version),
        effective=now.strftime(time_format),
        review_by=(now + timedelta(days=_REVIEW_DAYS)).strftime(time_format),
        expires=(now + timedelta(days=365)).strftime(time_format),
        parties=parties,
        privacy=privacy_template(
            None if exact else _epsilon(epsilon or "1"),
            customers=max(1, sum(party["max_customers"] for party in parties)),
            n_partners=len(parties),
            anew=start == Start.ANEW,
        ),
        legal_name=settings.quoted(config.legal_name),
        contact=settings.quoted(config.contact),
        public_key=public_bytes(config.signing_key()).hex(),
        software=Software.installed(metadata.version, resources.files),
    )
    write_file(out, text)
    if exact:
        diagnostics.print(f"warning: {_EXACT_WARNING}", style="yellow")
    output.result(
        {"file": str(out)},
        f"Wrote {out}. Edit it, then `agreement lint {out}` and `agreement draft {out} --out …`.",
    )


def _epsilon(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite():
        raise UsageError(f"--epsilon {text!r} is no number", remedy="for instance 1")
    if number != round(number, 3):
        raise UsageError(f"--epsilon {text!r}: at most three decimals", remedy="for instance 0.125")
    return number


@app.command("lint")
def lint(
    file: Annotated[Path, typer.Argument(help="Agreement in YAML, or an envelope.")],
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Check an agreement against every rule; nothing is written.

    Row caps are compared with the last release under the same id that the coordinator's folder has.
    """
    agreement = load_agreement(file)
    problems = problems_of(agreement)
    if problems:
        for problem in problems[1:]:
            diagnostics.print(problem.diagnostics())
        raise problems[0]
    warnings = [*_lint_warnings(agreement), *_row_cap_warnings(agreement, directory)]
    for warning in warnings:
        diagnostics.print(f"warning: {warning}", style="yellow")
    output.result(
        {"agreement": agreement.hash.hex(), "problems": [], "warnings": warnings},
        f"{file}: no problems. {agreement.n_partners} partners, "
        f"{len(agreement.features)} features, "
        f"{_clusters(agreement)}; {promised(agreement)}.",
        _all_runs(agreement),
    )


def _clusters(agreement: Agreement) -> str:
    fewest, most = agreement.plan.n_clusters_min, agreement.plan.n_clusters
    return f"{most} clusters" if fewest == most else f"{fewest} to {most} clusters"


def _all_runs(agreement: Agreement) -> str:
    """The guarantee of all agreed runs for one customer, in words; empty for exact totals."""
    terms = agreement.privacy
    if terms is None:
        return ""
    total = terms.epsilon_of(terms.budget)
    return (
        f"All {counted(terms.runs, 'run')} together: epsilon {epsilon_text(total)} at delta "
        f"{terms.delta.normalize():f}. {meaning(total, float(terms.delta), terms.unit)}"
    )


def _lint_warnings(agreement: Agreement) -> list[str]:
    """Warnings about what may be signed, but should be read first or will not run here."""
    return ([] if agreement.privacy else [_EXACT_WARNING]) + _software_warnings(agreement)


def _row_cap_warnings(agreement: Agreement, directory: Path) -> list[str]:
    if not (directory / settings.FILE_NAME).exists():
        return []
    store = CoordinatorConfig.load(directory).open_store()
    for _, _, view in views_in(store):
        if view.release.agreement_id == agreement.id:
            return wide_row_caps(agreement, view.release)
    return []


def _software_warnings(agreement: Agreement) -> list[str]:
    installed, agreed = Software.installed(metadata.version, resources.files), agreement.software
    if installed == agreed:
        return []
    what = (
        f"software.version is {agreed.version}, installed is {installed.version}"
        if installed.version != agreed.version
        else f"software.sha256 is not that of the installed code, {installed.sha256.hex()}"
    )
    return [f"{what}: runs need what was agreed at the coordinator and at every partner"]


@app.command("status")
def status(
    files: Annotated[list[Path], typer.Argument(help="Envelopes of the same agreement.")],
    format: Format = FormatOption,
) -> None:
    """Who signed, over all copies that came back."""
    joined = join_copies(files)
    missing = {party.id for party in joined.missing()}
    table = Table("partner", "signed", title=f"Agreement {joined.agreement.id}")
    for party in joined.agreement.parties:
        table.add_row(party.id, "no" if party.id in missing else "yes")
    data = {
        "agreement": joined.agreement.hash.hex(),
        "signed": [p.id for p in joined.agreement.parties if p.id not in missing],
        "missing": sorted(missing),
    }
    output.result(data, table)


@app.command("publish")
def publish(
    files: Annotated[list[Path], typer.Argument(help="Signed copies of the agreement.")],
    out: Annotated[Path, typer.Option(help="The agreement with every signature, for partners.")],
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Join all signatures, keep the agreement for runs, and write the complete file."""
    joined = join_copies(files)
    config = CoordinatorConfig.load(directory)
    if joined.agreement.coordinator.public_key != public_bytes(config.signing_key()):
        raise AgreementError(
            "the agreement names another coordinator's key",
            code="E-AGR-PARTY",
            remedy="draft it again with this coordinator's public key",
        )
    store = config.open_store()
    store.add_agreement(joined)
    save_signed(out, joined)
    output.result(
        {"agreement": joined.agreement.hash.hex(), "file": str(out)},
        f"Agreement {joined.agreement.id} is signed by everyone; wrote {out}.",
    )


@app.command("stop")
def stop(
    file: Annotated[Path, typer.Argument(help="A partner's signed stop.")],
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Take a partner's signed stop: its agreement's runs end now, and no other begins."""
    stop = load_stop(file)
    store = CoordinatorConfig.load(directory).open_store()
    with naming_file(file):
        ended = store.stop_agreement(stop)
    output.result(
        {
            "agreement": stop.agreement_hash.hex(),
            "partner": stop.partner,
            "at": stop.at,
            "reason": stop.reason,
            "runs_ended": [run_id.hex() for run_id in ended],
        },
        f"{stop.partner} stopped agreement {stop.agreement_hash.hex()[:16]}… at {stop.at}; no run "
        f"begins under it any more. Runs that it ended: {len(ended)}. Pass {file} on to the other "
        "partners: fedseg-node agreement accept-stop.",
    )


def join_copies(files: list[Path]) -> SignedAgreement:
    """Merge the signatures of several copies of one agreement; errors name the file."""
    joined = load_signed(files[0])
    for file in files:
        copy = load_signed(file)
        with naming_file(file):
            copy.missing()
        try:
            joined = joined.merged(copy)
        except AgreementError as error:
            raise AgreementError(
                f"{files[0]} and {file} hold different agreements; signatures cannot be joined",
                code=error.code,
                remedy=error.remedy,
            ) from error
    return joined


def _party_values(card: PartnerCard) -> dict[str, Any]:
    return {
        "id": card.id,
        "legal_name": settings.quoted(card.legal_name),
        "contact": settings.quoted(card.contact),
        "dpo": settings.quoted(card.dpo),
        "public_key": card.public_key.hex(),
        "jurisdictions": ", ".join(settings.quoted(name) for name in card.jurisdictions),
        "max_customers": card.max_customers,
    }
