"""fedseg-node: the command line of a partner's node."""

from __future__ import annotations

import logging
import secrets
import signal
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from partner_node.budget import (
    budget_values,
    budget_words,
    forecast_values,
    forecast_words,
    recompute,
    terms_of,
)
from partner_node.config import NodeConfig
from partner_node.consent_words import (
    explain_values,
    explain_words,
    status_values,
    status_words,
)
from partner_node.console import Format, FormatOption, diagnostics, output, run
from partner_node.home import (
    CARD_FILE,
    FILE_NAME,
    PASSPHRASE_FILE,
    NodeHome,
    home_passphrase,
    missing_signatures,
    naming,
    read_agreement,
    verified,
    write_atomically,
)
from partner_node.keystore import Keystore, write_private_file
from partner_node.node import software_version
from partner_node.plain_words import agreement_words
from partner_node.preflight import preflight
from partner_node.record_tables import (
    egress_privacy,
    egress_values,
    egress_words,
    hash_lines,
    number_words,
    refusal_values,
    refusal_words,
    run_values,
    run_words,
)
from partner_node.source_options import source_options
from partner_node.sources.files import find_files
from partner_node.store import NodeStore, stamp
from protocol.agreement import Agreement, SignedAgreement
from protocol.clustering.choose_k import choice_words
from protocol.clustering.release import (
    HIDDEN_WORDS,
    TYPICAL_WORDS,
    Ranges,
    Release,
    SignedRelease,
    centre_intervals,
    release_centres,
    typical_ranges,
)
from protocol.clustering.segment_names import release_names
from protocol.errors import AgreementError, MalformedError, RuleError, SourceError, UsageError
from protocol.limits import MAX_CUSTOMERS_PER_PARTNER
from protocol.partner_card import PartnerCard
from protocol.privacy.accounting import rho_of_cost
from protocol.privacy.words import fuel

app = typer.Typer(
    name="fedseg-node",
    help="Run a partner's node: it answers sum queries on its own customers; no row leaves it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
agreement_app = typer.Typer(help="Read, sign and install the agreement.", no_args_is_help=True)
segments_app = typer.Typer(help="Shared segments and own assignments.", no_args_is_help=True)
egress_app = typer.Typer(help="What left this node.", no_args_is_help=True)
app.add_typer(agreement_app, name="agreement")
app.add_typer(segments_app, name="segments")
app.add_typer(egress_app, name="egress")
budget_app = typer.Typer(help="What this node's customers have spent.", no_args_is_help=True)
app.add_typer(budget_app, name="budget")

consent_app = typer.Typer(help="Which customers may be counted.", no_args_is_help=True)
app.add_typer(consent_app, name="consent")

Directory = Annotated[
    Path, typer.Option("--dir", envvar="FEDSEG_NODE_DIR", help="The node's folder.")
]
HERE = Path("fedseg-node")


@app.command()
def init(
    partner: Annotated[str, typer.Option(help="Short name in the agreement, like north-shop.")],
    legal_name: Annotated[str, typer.Option(help="The organisation's legal name.")],
    contact: Annotated[str, typer.Option(help="Where its data protection officer is reached.")],
    coordinator: Annotated[str, typer.Option(help="host:port of the coordinator.")],
    root_certificates: Annotated[
        Path, typer.Option(help="Authority of the coordinator's certificate (PEM).")
    ],
    id_column: Annotated[str, typer.Option(help="Column with the customers' ids.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="The customers' file; of csv and parquet also a glob or a folder. Not for "
            "postgresql."
        ),
    ] = None,
    kind: Annotated[
        str, typer.Option(help="csv, parquet, duckdb, sqlite or postgresql; see docs/sources.md.")
    ] = "csv",
    table: Annotated[
        str | None,
        typer.Option(
            help="The table of a database, like customers or sales.customers; or --query-file."
        ),
    ] = None,
    query_file: Annotated[
        Path | None,
        typer.Option(
            help="SQL that makes one row a customer; it reads files as table `input`, in a "
            "database the database's own tables."
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(help="PostgreSQL's server, or the absolute path of its socket's folder."),
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="PostgreSQL's port; 5432 when left out.", min=1, max=65_535)
    ] = None,
    database: Annotated[str | None, typer.Option(help="PostgreSQL's database.")] = None,
    user: Annotated[
        str | None, typer.Option(help="PostgreSQL's account; it needs SELECT and no more.")
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(help="File with its password, mode 0600. The password itself is no option."),
    ] = None,
    ssl: Annotated[
        str | None,
        typer.Option(
            help="verify-full (when left out), verify-ca, require, or on this machine disable."
        ),
    ] = None,
    consents: Annotated[
        Path | None,
        typer.Option(help="Table of consents, .csv, .parquet or .jsonl: one row an event."),
    ] = None,
    objections: Annotated[
        Path | None, typer.Option(help="Table of customers who object: one row each.")
    ] = None,
    notice_version: Annotated[
        str, typer.Option(help="Version of your notice that tells customers of the purpose.")
    ] = "1",
    max_customers: Annotated[
        int,
        typer.Option(
            help="Row cap: most customers that the node may count.",
            min=1,
            max=MAX_CUSTOMERS_PER_PARTNER,
        ),
    ] = 1_000_000,
    passphrase_env: Annotated[
        bool, typer.Option(help="Take the passphrase from FEDSEG_PASSPHRASE, not from a file.")
    ] = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Make the node's folder: keys, configuration, and the card for the coordinator."""
    if (directory / FILE_NAME).exists():
        raise UsageError(
            f"{directory / FILE_NAME} exists already",
            remedy="choose another --dir; an existing node is never overwritten",
        )
    text = NodeConfig.template(
        partner=partner,
        address=coordinator,
        id_column=id_column,
        root_certificates=str(root_certificates.absolute()),
        query_file=None if query_file is None else str(query_file.absolute()),
        passphrase_file=None if passphrase_env else PASSPHRASE_FILE,
        **source_options(
            kind=kind,
            path=data,
            table=table,
            has_query=query_file is not None,
            host=host,
            port=port,
            database=database,
            user=user,
            password_file=password_file,
            ssl=ssl,
        ),
        consents=None if consents is None else str(consents.absolute()),
        objections=None if objections is None else str(objections.absolute()),
        notice=notice_version,
    )
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    made = [directory / FILE_NAME]
    write_atomically(directory / FILE_NAME, text.encode("utf-8"))
    try:
        config = NodeConfig.load(directory / FILE_NAME)
        if not passphrase_env:
            passphrase = secrets.token_urlsafe(32).encode("ascii")
            write_private_file(directory / PASSPHRASE_FILE, passphrase + b"\n")
            made.append(directory / PASSPHRASE_FILE)
        keystore = Keystore.create(config.keys.store, home_passphrase(config))
        made.append(config.keys.store)
        card = _card(keystore, partner, legal_name, contact, max_customers)
        write_atomically(directory / CARD_FILE, card.to_bytes())
    except BaseException:
        for path in made:
            path.unlink()
        raise
    warnings = _missing_files(config)
    output.warn(warnings)
    output.result(
        {
            "directory": str(directory),
            "card": str(directory / CARD_FILE),
            "warnings": warnings,
            **card.to_dict(),
        },
        f"Node made in {directory}. Send {directory / CARD_FILE} to the coordinator; it holds "
        "public keys only.",
    )


def _missing_files(config: NodeConfig) -> list[str]:
    """What the configuration names and is not there yet; `check` needs it, a new node does not."""
    warnings = []
    try:
        if config.data.path is not None:
            find_files(config.data.path, kind=config.data.kind)
    except SourceError as error:
        warnings.append(f"--data {error.message}; {error.remedy}")
    server = config.data.server
    if server is not None and server.password_file and not server.password_file.is_file():
        warnings.append(
            f"--password-file {server.password_file}: no such file; write the password there, "
            "with mode 0600"
        )
    for source in config.consent.sources:
        try:
            find_files(source.path, section="[[consent.sources]]")
        except SourceError as error:
            warnings.append(f"--{source.holds} {error.message}; {error.remedy}")
    authority = config.coordinator.root_certificates
    if not authority.is_file():
        warnings.append(
            f"--root-certificates {authority}: no such file; ask the operator for "
            "coordinator-ca.crt, or correct root_certificates in node.toml"
        )
    return warnings


def _card(
    keystore: Keystore, partner: str, legal_name: str, contact: str, max_customers: int
) -> PartnerCard:
    """The card, when the coordinator will be able to read it; else UsageError."""
    card = PartnerCard(
        id=partner,
        legal_name=legal_name,
        contact=contact,
        public_key=keystore.identity_public,
        node_key=keystore.node_public_openssh().decode("ascii").strip(),
        max_customers=max_customers,
    )
    try:
        return PartnerCard.from_bytes(card.to_bytes())
    except MalformedError as error:
        raise UsageError(error.message, remedy="call init again with another value") from error


@app.command()
def check(
    agreement: Annotated[
        Path | None,
        typer.Option(help="Check against this agreement, signed or not, before one is installed."),
    ] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Preflight: everything that a run needs, or each problem with its way out."""
    report = preflight(directory, now=datetime.now(UTC), agreement_file=agreement)
    table = Table("check", "result", "details", title="Preflight")
    for item in report.items:
        table.add_row(item.name, "passed" if item.passed else "PROBLEM", item.details)
    output.result(
        {"passed": report.passed, "checks": [item.to_dict() for item in report.items]},
        table,
        "PASSED" if report.passed else "",
        refused=not report.passed,
    )
    problems = [item.problem for item in report.items if item.problem is not None]
    for problem in problems:
        diagnostics.print(problem.diagnostics(), style="red")
    if problems:
        raise typer.Exit(problems[0].exit_code)


# --- agreement ---------------------------------------------------------------------------------


@agreement_app.command("show")
def agreement_show(
    file: Annotated[
        Path | None, typer.Argument(help="An envelope; the installed one when left out.")
    ] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """The agreement in plain words, for whoever decides whether to sign."""
    signed = _agreement(file, directory)
    path = file or NodeHome.load(directory).config.node.agreement
    missing = [party.id for party in missing_signatures(signed, path)]
    output.result(
        {
            "agreement": signed.agreement.to_dict(),
            "hash": signed.agreement.hash.hex(),
            "missing_signatures": missing,
        },
        *agreement_words(signed.agreement, missing),
        *_charged_before(signed.agreement, directory),
    )


def _charged_before(agreement: Agreement, directory: Path) -> list[str]:
    """What this node has charged under versions of an agreement, and under others already."""
    if agreement.privacy is None or not (directory / FILE_NAME).exists():
        return []
    home = NodeHome.load(directory)
    store = home.store(home.keystore())
    others = store.charged_under()
    words = []
    if others.pop(agreement.id, 0):
        left = fuel(agreement.privacy, spent=store.spent(agreement))
        words.append(f"Charged at this node under its versions so far: {left}.")
    if others:
        words.append(
            f"This node also has charges under {', '.join(others)}; see `fedseg-node budget show`."
        )
    return words


@agreement_app.command("sign")
def agreement_sign(
    file: Annotated[Path, typer.Argument(help="The agreement's envelope.")],
    out: Annotated[Path, typer.Option(help="Where the signed copy goes.")],
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Sign an agreement with this node's key; run `agreement show FILE` first."""
    home = NodeHome.load(directory)
    keystore = home.keystore()
    signed = read_agreement(file)
    agreement = signed.agreement
    missing_signatures(signed, file)  # nobody signs beside a signature that does not fit
    with naming(file):
        index = agreement.index_of_key(keystore.identity_public)
        if agreement.parties[index].id != home.config.node.partner:
            raise AgreementError(
                f"the agreement calls this node {agreement.parties[index].id!r}, "
                f"its configuration {home.config.node.partner!r}",
                code="E-AGR-PARTY",
                remedy=f'write partner = "{agreement.parties[index].id}" in '
                f"{home.config.file.name}, or ask the operator for an agreement with your name",
            )
        agreement.check_software(software_version())
    copy = SignedAgreement(
        agreement=agreement, envelope=signed.envelope.signed_by(keystore.identity)
    )
    write_atomically(out, copy.to_bytes())
    output.result(
        {"agreement": agreement.hash.hex(), "file": str(out)},
        f"Signed agreement {agreement.id}, version {agreement.version}; wrote {out}.",
    )


@agreement_app.command("install")
def agreement_install(
    file: Annotated[Path, typer.Argument(help="The agreement with every signature.")],
    downgrade: Annotated[
        bool, typer.Option("--downgrade", help="Replace a higher version of the same agreement.")
    ] = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Put the fully signed agreement into force at this node, also at one that serves now."""
    home = NodeHome.load(directory)
    signed = read_agreement(file)
    agreement = verified(signed, file)
    keystore = home.keystore()
    with naming(file):
        agreement.index_of_key(keystore.identity_public)
    earlier = home.installed_agreement()
    if (
        earlier is not None
        and not downgrade
        and earlier.id == agreement.id
        and earlier.version > agreement.version
    ):
        raise AgreementError(
            f"{file} is version {agreement.version} of agreement {agreement.id}; version "
            f"{earlier.version} is installed",
            code="E-AGR-ROLLBACK",
            remedy="install a version that is higher, or, when all parties go back to this one, "
            "add --downgrade",
        )
    write_atomically(home.config.node.agreement, signed.to_bytes())
    store = home.store(keystore)
    with store.transaction():
        ended = store.end_runs_of_other_agreements(agreement.hash, now=stamp(datetime.now(UTC)))
    replaces = earlier if earlier is not None and earlier.hash != agreement.hash else None
    output.result(
        {
            "agreement": agreement.hash.hex(),
            "id": agreement.id,
            "version": agreement.version,
            "file": str(home.config.node.agreement),
            "replaces": None
            if replaces is None
            else {"agreement": replaces.hash.hex(), "id": replaces.id, "version": replaces.version},
            "runs_ended": [run_id.hex() for run_id in ended],
        },
        f"Agreement {agreement.id}, version {agreement.version}, is in force here, signed by all "
        f"{agreement.n_partners} parties.",
        "" if replaces is None else _replaced(agreement, replaces),
        f"Unfinished runs of other agreements that it ended: {len(ended)}." if ended else "",
        "A node that serves now takes it up with the next message that it gets.",
    )


def _replaced(agreement: Agreement, earlier: Agreement) -> str:
    same = (earlier.id, earlier.version) == (agreement.id, agreement.version)
    return f"It replaces agreement {earlier.id}, version {earlier.version}" + (
        f", with OTHER TERMS UNDER THE SAME VERSION: hash {agreement.hash.hex()} instead of "
        f"{earlier.hash.hex()}."
        if same
        else "."
    )


# --- serve -------------------------------------------------------------------------------------


@app.command()
def serve(directory: Directory = HERE) -> None:
    """Connect to the coordinator and answer until stopped (Ctrl-C or SIGTERM)."""
    from partner_node.serving import serve_node  # Flower takes long to import

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    serve_node(directory, stop)


@app.command()
def status(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """Runs that this node took part in, how they ended, and what it refused."""
    home = NodeHome.load(directory)
    store = home.store(home.keystore())
    runs, refusals = store.runs(), store.refusals()
    releases = [SignedRelease.from_bytes(envelope).release for _, envelope in store.releases()]
    output.result(
        {
            "partner": home.config.node.partner,
            "releases": len(releases),
            "runs": run_values(runs, releases),
            "refusals": refusal_values(refusals),
        },
        *run_words(runs, releases),
        *refusal_words(refusals),
    )


@egress_app.command("list")
def egress_list(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """Every message that left this node: what it was, and how many customers it counted."""
    home = NodeHome.load(directory)
    records = home.store(home.keystore()).egress()
    output.result(
        {"messages": egress_values(records), "privacy": egress_privacy(records)},
        *egress_words(records),
    )


# --- budget ------------------------------------------------------------------------------------


@budget_app.command("show")
def budget_show(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """Runs left and epsilon spent, with every charge: what was asked, and what it cost."""
    agreement, store = _ledger(directory)
    charges, others = store.charges(agreement.id), store.charged_under()
    others.pop(agreement.id, None)
    output.result(
        budget_values(agreement, charges, others), *budget_words(agreement, charges, others)
    )


@budget_app.command("forecast")
def budget_forecast(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """How many runs the budget still holds, and what epsilon would be after each."""
    agreement, store = _ledger(directory)
    charges = store.charges(agreement.id)
    output.result(forecast_values(agreement, charges), *forecast_words(agreement, charges))


@budget_app.command("recompute")
def budget_recompute(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """Compute every cost anew from what it follows from, and compare with the ledger."""
    agreement, store = _ledger(directory)
    charges = store.charges(agreement.id)
    total = recompute(charges)
    terms = terms_of(agreement)
    output.result(
        {"charges": len(charges), "rho": rho_of_cost(total), "epsilon": terms.epsilon_of(total)},
        f"{len(charges)} charges computed anew: rho {rho_of_cost(total):.6g}, epsilon "
        f"{terms.epsilon_of(total):.4g} at delta {terms.delta.normalize():f}; the ledger says the "
        "same.",
    )


def _ledger(directory: Path) -> tuple[Agreement, NodeStore]:
    home = NodeHome.load(directory)
    agreement = home.signed_agreement().agreement
    terms_of(agreement)
    return agreement, home.store(home.keystore())


# --- segments ----------------------------------------------------------------------------------


@segments_app.command("list")
def segments_list(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """The newest release: every signature checked again, centres in the features' units."""
    home = NodeHome.load(directory)
    received_at, release, agreement = _newest_release(home)
    names = release_names(agreement, release)
    centres = release_centres(release, agreement)
    low, high = centre_intervals(release, agreement)
    ranges = typical_ranges(release, agreement)
    features = [feature.name for feature in agreement.features]
    table = Table(title=f"Segments of {agreement.id}")
    table.add_column("segment", justify="right")
    table.add_column("name")
    table.add_column("customers of all partners", justify="right")
    means = Table(title="Their centres")
    means.add_column("segment", justify="right")
    for feature in agreement.features:
        means.add_column(f"{feature.name}\n({feature.unit})", justify="right", overflow="fold")
    for segment, name, centre in zip(release.segments, names, centres, strict=True):
        table.add_row(str(segment.segment), name, segment.size_words)
        means.add_row(str(segment.segment), *(number_words(float(v)) for v in centre))
    typical = Table(title="Their typical ranges")
    typical.add_column("segment", justify="right")
    for feature in agreement.features:
        typical.add_column(f"{feature.name}\n({feature.unit})", justify="right", overflow="fold")
    for segment, found in zip(release.segments, ranges or [], strict=False):
        typical.add_row(str(segment.segment), *(_range_words(r) for r in found))
    output.result(
        {
            "agreement": agreement.id,
            "agreement_version": agreement.version,
            "agreement_hash": agreement.hash.hex(),
            "run_hash": release.run_hash.hex(),
            "release": release.hash.hex(),
            "received_at": received_at,
            "privacy": release.privacy_words,
            "signed_by": list(release.participants),
            "segments": [
                {
                    "segment": segment.segment,
                    "name": name,
                    "size": segment.size,
                    "size_margin": segment.size_margin,
                    "centre": dict(zip(features, map(float, centres[row]), strict=True)),
                    "centre_low": dict(zip(features, map(float, low[row]), strict=True)),
                    "centre_high": dict(zip(features, map(float, high[row]), strict=True)),
                    "typical": None
                    if ranges is None
                    else {
                        name: None if found is None else list(found)
                        for name, found in zip(features, ranges[row], strict=True)
                    },
                }
                for row, (segment, name) in enumerate(zip(release.segments, names, strict=True))
            ],
            "withheld": release.withheld.reason if release.withheld else None,
            "merged": release.merged.reason if release.merged else None,
            "k_scores": [score.to_dict() for score in release.choice],
        },
        table,
        means,
        *_typical_parts(typical, ranges),
        f"Privacy: {release.privacy_words}.",
        choice_words(release.choice),
        f"Merged: {release.merged.reason}." if release.merged else "",
        f"Withheld: {release.withheld.reason}." if release.withheld else "",
        f"Signed by {', '.join(release.participants)} under agreement {agreement.id}, version "
        f"{agreement.version}. Compare with the other partners and the report:\n"
        + hash_lines(release),
    )


def _typical_parts(table: Table, ranges: Sequence[Ranges] | None) -> list[object]:
    """The table of typical ranges; that noise hides them, or nothing when they were not asked."""
    if not ranges:
        return []
    told = any(span for found in ranges for span in found)
    return [table, f"{TYPICAL_WORDS}."] if told else [f"{HIDDEN_WORDS}."]


def _range_words(found: tuple[float, float] | None) -> str:
    """From where to where; a dash where that is too narrow to tell under the noise."""
    return "–" if found is None else f"{number_words(found[0])} – {number_words(found[1])}"


@segments_app.command("assign")
def segments_assign(
    out: Annotated[
        Path | None,
        typer.Option(
            help="File to write, .csv or .parquet; when left out, one in the node's output folder."
        ),
    ] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Write each own customer's segment; the file stays here."""
    from partner_node.assignments import write_assignments  # Arrow takes long to import

    home = NodeHome.load(directory)
    _, release, agreement = _newest_release(home)
    path = out or home.config.node.output / f"assignments-{release.hash.hex()[:16]}.parquet"
    names = release_names(agreement, release)
    party = home.party(agreement)
    home.rules(agreement, party).check(datetime.now(UTC))
    customers = home.customers(agreement, home.gate(agreement, party))
    summary = write_assignments(customers, release, agreement, path, names=names)
    table = Table("segment", "name", "own customers", title=f"{summary.customers:,} customers")
    for segment, name, count in zip(release.segments, names, summary.by_segment, strict=True):
        table.add_row(str(segment.segment), name, f"{count:,}")
    output.result(
        {
            "file": str(path),
            "privacy": release.privacy_words,
            "customers": summary.customers,
            "by_segment": {
                str(s.segment): c for s, c in zip(release.segments, summary.by_segment, strict=True)
            },
        },
        table,
        f"Privacy: {release.privacy_words}.",
        f"Wrote {path}.",
    )


# --- consent -----------------------------------------------------------------------------------


@consent_app.command("status")
def consent_status(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """How many customers may be counted now, and which rules keep others out."""
    home = NodeHome.load(directory)
    agreement = home.signed_agreement().agreement
    party = home.party(agreement)
    now = datetime.now(UTC)
    home.rules(agreement, party).check(now)
    gate = home.gate(agreement, party)
    standing = gate.standing(home.customers(agreement, None).ids(), now)
    output.result(
        status_values(gate, party.legal_basis, standing),
        *status_words(gate, party.legal_basis, standing, now),
    )


@consent_app.command("explain")
def consent_explain(
    subject: Annotated[str, typer.Option(help="The customer's id, as the data have it.")],
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Which rule decides about one customer, and what every source holds of it."""
    home = NodeHome.load(directory)
    agreement = home.signed_agreement().agreement
    party = home.party(agreement)
    now = datetime.now(UTC)
    reason, entries = home.gate(agreement, party).explain(subject, now)
    known = any((ids == subject).any() for ids in home.customers(agreement, None).ids())
    warnings = []
    try:
        home.rules(agreement, party).check(now)
    except (RuleError, SourceError) as error:
        warnings.append(f"this node answers nothing now: {error.message}")
    output.warn(warnings)
    output.result(
        {**explain_values(subject, known, reason, entries), "warnings": warnings},
        *explain_words(subject, known, reason, entries),
    )


def _newest_release(home: NodeHome) -> tuple[str, Release, Agreement]:
    """When it was received, the release with every signature checked again, its agreement.

    The agreement may be an earlier one than the one in force now.
    """
    store = home.store(home.keystore())
    for received_at, envelope in store.releases():
        signed = SignedRelease.from_bytes(envelope)
        kept = store.agreement(signed.release.agreement_hash) or home.signed_agreement()
        agreement = kept.verify()
        return received_at, signed.verify(agreement), agreement
    raise RuleError(
        "this node has received no release yet",
        code="E-NO-RELEASE",
        remedy="a run must finish first; see `fedseg-node status`",
    )


def _agreement(file: Path | None, directory: Path) -> SignedAgreement:
    return read_agreement(file) if file else NodeHome.load(directory).signed_agreement()


def main() -> None:
    """Entry point of ``fedseg-node``."""
    run(app)
