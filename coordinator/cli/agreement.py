"""``agreement``: commands to draft, check, publish and stop an agreement."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from importlib import metadata, resources
from pathlib import Path
from typing import Annotated

import typer

from coordinator import config as settings
from coordinator.agreement_file import load_agreement, load_signed, load_stop, save_signed
from coordinator.cli import builds, drafting
from coordinator.cli.noting import noted
from coordinator.cli.options import HERE, Directory
from coordinator.config import CoordinatorConfig
from coordinator.control.proposals import Proposals
from coordinator.control.taking_stops import take_stop
from coordinator.report.released import views_in
from coordinator.shown.agreements import agreement_shown, agreements_shown, chosen_agreement
from coordinator.shown.proposals import proposals_shown
from coordinator.store.diligence import Diligence
from coordinator.store.hand_overs import KeptHandOvers
from machine.console import Format, FormatOption, diagnostics, output
from machine.tables import Table
from protocol.agreement.document import Agreement
from protocol.agreement.software import PROTOCOL, Software
from protocol.agreement_rules import problems_of
from protocol.errors import AgreementError, naming_file
from protocol.privacy.accounting import epsilon_text
from protocol.privacy.words import counted, meaning
from protocol.release.document import promised
from protocol.release.row_caps import wide_row_caps
from protocol.signed_agreement import SignedAgreement
from protocol.signing import public_bytes

app = typer.Typer(help="Write, check and publish the agreement.", no_args_is_help=True)


app.command("draft")(drafting.draft)
app.add_typer(builds.app, name="builds")


@app.command("lint")
def lint(
    file: Annotated[Path, typer.Argument(help="Agreement in YAML, or an envelope.")],
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Check an agreement against every rule; nothing is written.

    Row caps are compared with the last release under the same id that the coordinator's folder has,
    and the agreement with the version that it supersedes.
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
    differing = drafting.since_version_before(agreement, directory)
    left_out = drafting.not_compared(agreement, directory)
    output.result(
        {
            **agreement.named(),
            "problems": [],
            "warnings": warnings,
            "not_compared": left_out,
            "changes": None if differing is None else differing.to_dict(),
        },
        *drafting.changed_words(differing),
        f"{file}: no problems. {agreement.n_partners} partners, "
        f"{len(agreement.features)} features, "
        f"{_clusters(agreement)}; {promised(agreement)}.",
        _all_runs(agreement),
        *(f"Not compared: {why}." for why in left_out),
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
    return ([] if agreement.privacy else [drafting.EXACT_WARNING]) + _software_warnings(agreement)


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
    warnings = []
    if agreed.protocol not in (None, PROTOCOL):
        warnings.append(
            f"software.protocol is {agreed.protocol}, and {installed.version} speaks {PROTOCOL}: "
            "no run begins here; write the one that is spoken"
        )
    if installed.build in agreed.allowed:
        return warnings
    what = (
        f"software.version is {agreed.version}, installed is {installed.version}"
        if installed.version != agreed.version
        else f"software.sha256 is not that of the installed code, {installed.sha256.hex()}"
    )
    return [*warnings, f"{what}: runs need what was agreed at the coordinator and at every partner"]


@app.command("propose")
def propose(
    file: Annotated[Path, typer.Argument(help="Agreement in YAML, or an envelope.")],
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Propose an agreement online to its parties, who joined by invitation."""
    with naming_file(file):
        draft = SignedAgreement.draft(load_agreement(file))
    config = CoordinatorConfig.load(directory)
    _check_own_key(draft.agreement, config)
    about = draft.agreement.hash.hex()[:16]
    with closing(config.open_store()) as store, noted(config, "agreement propose", about):
        replaced = Proposals(store).propose(draft, now=datetime.now(UTC))
    warnings = [*_lint_warnings(draft.agreement), *_row_cap_warnings(draft.agreement, directory)]
    for warning in warnings:
        diagnostics.print(f"warning: {warning}", style="yellow")
    agreement = draft.agreement
    differing = drafting.since_version_before(agreement, directory)
    output.result(
        {
            **agreement.named(),
            "replaced": [one.hash.hex() for one in replaced],
            "warnings": warnings,
            "changes": None if differing is None else differing.to_dict(),
        },
        *drafting.changed_words(differing),
        f"Proposed agreement {agreement.id}, version {agreement.version}, "
        f"{agreement.hash.hex()[:16]}…, to {', '.join(p.id for p in agreement.parties)}. They read "
        "it with `fedseg-node agreement show --proposed`.",
        f"Proposals that it takes the place of: {len(replaced)}." if replaced else "",
    )


@app.command("list")
def list_agreements(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """Every published version, the newest first, and what was proposed online."""
    with closing(CoordinatorConfig.load(directory).open_store()) as store:
        output.show(agreements_shown(store, datetime.now(UTC)))


@app.command("show")
def show(
    agreement: Annotated[
        str, typer.Argument(help="The agreement's id; may be left out where there is one.")
    ] = "",
    version: Annotated[
        int | None, typer.Option(min=1, help="Its version; the newest when left out.")
    ] = None,
    proposed: Annotated[
        bool, typer.Option("--proposed", help="What was proposed online, signed by all or not.")
    ] = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """A version in plain words: who signed, and what changed since the one before."""
    with closing(CoordinatorConfig.load(directory).open_store()) as store:
        chosen = chosen_agreement(store, agreement, version, proposed=proposed)
        output.show(agreement_shown(store, chosen.hash, datetime.now(UTC)))


@app.command("status")
def status(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Envelopes of the same agreement that came back; without any: what was proposed "
            "online."
        ),
    ] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Who signed, over all copies that came back, or online."""
    if not files:
        with closing(CoordinatorConfig.load(directory).open_store()) as store:
            proposals = Proposals(store)
            found = proposals.all()
            for one in found:
                proposals.publish(one.hash)
            output.show(proposals_shown(found, datetime.now(UTC)))
        return
    joined = join_copies(files)
    missing = {party.id for party in joined.missing()}
    table = Table("partner", "signed", title=f"Agreement {joined.agreement.id}")
    for party in joined.agreement.parties:
        table.add_row(party.id, "no" if party.id in missing else "yes")
    data = {
        **joined.agreement.named(),
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
    _check_own_key(joined.agreement, config)
    store = config.open_store()
    with noted(config, "agreement publish", joined.agreement.hash.hex()[:16]):
        Diligence(store).check(joined.agreement, datetime.now(UTC))
        store.add_agreement(joined)
        save_signed(out, joined)
    output.result(
        {**joined.agreement.named(), "file": str(out)},
        f"Agreement {joined.agreement.id} is signed by everyone; wrote {out}.",
        f"It takes effect at {joined.agreement.effective:%Y-%m-%d %H:%M} UTC; runs until then are "
        "under the version before."
        if joined.agreement.effective > datetime.now(UTC)
        else "",
    )


@app.command("stop")
def stop(
    file: Annotated[Path, typer.Argument(help="A partner's signed stop.")],
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Take a partner's signed stop: its agreement's runs end now, and no other begins."""
    stop = load_stop(file)
    config = CoordinatorConfig.load(directory)
    store = config.open_store()
    with naming_file(file), noted(config, "agreement stop", stop.agreement_hash.hex()[:16]):
        ended = take_stop(store, stop)
    output.result(
        {
            **store.agreement(stop.agreement_hash).named(),
            "partner": stop.partner,
            "at": stop.at,
            "reason": stop.reason,
            "runs_ended": [run_id.hex() for run_id in ended],
        },
        f"{stop.partner} stopped agreement {stop.agreement_hash.hex()[:16]}… at {stop.at}; no run "
        f"begins under it any more. Runs that it ended: {len(ended)}. Pass {file} on to the other "
        "partners: fedseg-node agreement accept-stop.",
    )


def _check_own_key(agreement: Agreement, config: CoordinatorConfig) -> None:
    own = public_bytes(config.signing_key())
    with closing(config.open_store()) as store:
        known = KeptHandOvers(store).load()
    if agreement.coordinator.public_key not in known.same_owner(own):
        raise AgreementError(
            "the agreement names another coordinator's key",
            code="E-AGR-PARTY",
            remedy="draft it again with this coordinator's public key",
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
