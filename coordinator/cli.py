"""fedseg-coordinator: the command line of whoever operates the coordinator."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from importlib import metadata, resources
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from coordinator import config as settings
from coordinator.agreement_file import (
    agreement_template,
    load_signed,
    load_stop,
    load_yaml,
    privacy_template,
    save_signed,
)
from coordinator.bundle import bundle_sha256
from coordinator.certificates import certificate_files, check_host, make_server_certificate
from coordinator.config import CoordinatorConfig
from coordinator.console import Format, FormatOption, diagnostics, output, run
from coordinator.keystore import create_key, create_passphrase
from coordinator.release_report import release_data, release_table, step_in, write_report
from coordinator.run_driver import Patience
from coordinator.runs import serve_lock
from coordinator.store import FAILED, CoordinatorStore, RunRow, key_end
from protocol.agreement import Agreement, SignedAgreement
from protocol.clustering.release import SignedRelease, promised
from protocol.errors import (
    AgreementError,
    ConfigError,
    MalformedError,
    RunFailedError,
    UsageError,
    naming_file,
)
from protocol.governance import SEGMENTATION
from protocol.installation import Software
from protocol.partner_card import MAX_BYTES, PartnerCard
from protocol.privacy.accounting import epsilon_text
from protocol.privacy.words import counted, meaning
from protocol.signing import public_bytes

app = typer.Typer(
    name="fedseg-coordinator",
    help="Run the coordinator of a federation: it adds masked answers and learns totals only.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
agreement_app = typer.Typer(help="Write, check and publish the agreement.", no_args_is_help=True)
partner_app = typer.Typer(help="Admit partners' nodes to the public port.", no_args_is_help=True)
run_app = typer.Typer(help="Start and watch runs.", no_args_is_help=True)
release_app = typer.Typer(help="Show and export released segments.", no_args_is_help=True)
app.add_typer(agreement_app, name="agreement")
app.add_typer(partner_app, name="partner")
app.add_typer(run_app, name="run")
app.add_typer(release_app, name="release")

Directory = Annotated[
    Path,
    typer.Option(
        "--dir",
        envvar="FEDSEG_COORDINATOR_DIR",
        help="The coordinator's folder.",
        show_default=True,
    ),
]
RunArgument = Annotated[
    str, typer.Argument(help="Run id, or its first digits; the newest run when left out.")
]
HERE = Path("fedseg-coordinator")
SERVER_NAME = "coordinator"
ADDRESS_FILE = "address"
NOT_SERVED = "no process serves this coordinator"
#: How long a new agreement holds before it must be looked at again.
_REVIEW_DAYS = 182
_WATCH_EVERY_S = 0.1
#: Where nobody sees a bar, a line at most so often.
_LINE_EVERY_S = 1.0
_INIT_OPTIONS = {
    "operator.legal_name": "--legal-name",
    "operator.contact": "--contact",
    "public.host": "--host",
    "public.port": "--port",
    "runs.grace_s": "--grace-s",
}


@app.command()
def init(
    legal_name: Annotated[str, typer.Option(help="Who operates the coordinator.")],
    contact: Annotated[str, typer.Option(help="Where its operator is reached.")],
    directory: Directory = HERE,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 9443,
    name: Annotated[
        list[str] | None,
        typer.Option(help="Name or address that partners use; repeat it for several."),
    ] = None,
    grace_s: Annotated[int, typer.Option(help="Seconds a missing partner is waited for.")] = 60,
    format: Format = FormatOption,
) -> None:
    """Make the coordinator's folder: configuration, signing key, TLS certificate, database."""
    if (directory / settings.FILE_NAME).exists():
        raise UsageError(
            f"{directory / settings.FILE_NAME} exists already",
            remedy="choose another --dir; an existing coordinator is never overwritten",
        )
    hosts = name or [host]
    for option, value in [("--host", host), *(("--name", n) for n in name or ())]:
        _check_host(option, value)
    tls = certificate_files(directory / "tls", name=SERVER_NAME)
    text = settings.template(
        legal_name=legal_name,
        contact=contact,
        host=host,
        port=port,
        certificate=str(tls.certificate.relative_to(directory)),
        key=str(tls.key.relative_to(directory)),
        patience=Patience(grace_s=grace_s),
    )
    _check_options(text, directory)
    with _all_or_nothing(directory):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        passphrase = create_passphrase(directory / settings.PASSPHRASE_FILE)
        key = create_key(directory / settings.KEY_FILE, passphrase)
        files = make_server_certificate(
            directory / "tls",
            name=SERVER_NAME,
            hosts=hosts,
            now=datetime.now(UTC),
            lifetime_days=825,
        )
        (directory / settings.FILE_NAME).write_text(text, encoding="utf-8")
        CoordinatorConfig.load(directory).open_store().close()
    data = {
        "directory": str(directory),
        "public_key": public_bytes(key).hex(),
        "root_certificates": str(files.authority),
        "bundle_sha256": bundle_sha256(),
    }
    output.result(
        data,
        f"Coordinator made in {directory}. Give partners {files.authority}",
        f"Public key {data['public_key']}",
    )


def _check_host(option: str, value: str) -> None:
    try:
        check_host(value)
    except ValueError as error:
        raise UsageError(
            f"{option}: {error}", remedy="give a DNS name in ASCII or an IP address"
        ) from error


def _check_options(text: str, directory: Path) -> None:
    """Refuse a configuration that could not be read again; names options, for no file is there."""
    try:
        CoordinatorConfig.parse(text.encode("utf-8"), directory)
    except ConfigError as error:
        message = error.message
        for key, option in _INIT_OPTIONS.items():
            message = message.replace(f"{settings.FILE_NAME}.{key}", option)
        raise UsageError(message, remedy="see `fedseg-coordinator init --help`") from error


@contextmanager
def _all_or_nothing(directory: Path) -> Iterator[None]:
    """Take away what was made in `directory` when something fails; leave what was there."""
    existed = directory.exists()
    before = set(directory.rglob("*"))
    try:
        yield
    except BaseException:
        for path in sorted(set(directory.rglob("*")) - before, reverse=True):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()
        if not existed and directory.exists():
            directory.rmdir()
        raise


# --- agreement ---------------------------------------------------------------------------------


@agreement_app.command("draft")
def agreement_draft(
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
        typer.Option("--exact", help="Exact totals instead, without any noise: not anonymous."),
    ] = False,
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
        ),
        legal_name=settings.quoted(config.legal_name),
        contact=settings.quoted(config.contact),
        public_key=public_bytes(config.signing_key()).hex(),
        software=Software.installed(metadata.version, resources.files),
    )
    out.write_text(text, encoding="utf-8")
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


@agreement_app.command("lint")
def agreement_lint(
    file: Annotated[Path, typer.Argument(help="Agreement in YAML, or an envelope.")],
    format: Format = FormatOption,
) -> None:
    """Check an agreement against every rule; nothing is written."""
    agreement = load_signed(file).agreement if file.suffix == ".json" else load_yaml(file)
    problems = agreement.lint()
    if problems:
        for problem in problems[1:]:
            diagnostics.print(problem.diagnostics())
        raise problems[0]
    warnings = _lint_warnings(agreement)
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
    """What the agreed number of runs means for one customer; nothing for exact totals."""
    terms = agreement.privacy
    if terms is None:
        return ""
    total = terms.epsilon_of(terms.budget)
    return (
        f"All {counted(terms.runs, 'run')} together: epsilon {epsilon_text(total)} at delta "
        f"{terms.delta.normalize():f}. {meaning(total, float(terms.delta), terms.unit)}"
    )


def _lint_warnings(agreement: Agreement) -> list[str]:
    """What may be signed, but will not run here."""
    installed, agreed = Software.installed(metadata.version, resources.files), agreement.software
    if installed == agreed:
        return []
    what = (
        f"software.version is {agreed.version}, installed is {installed.version}"
        if installed.version != agreed.version
        else f"software.sha256 is not that of the installed code, {installed.sha256.hex()}"
    )
    return [f"{what}: runs need what was agreed at the coordinator and at every partner"]


@agreement_app.command("status")
def agreement_status(
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


@agreement_app.command("publish")
def agreement_publish(
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


@agreement_app.command("stop")
def agreement_stop(
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


# --- partners ----------------------------------------------------------------------------------


@partner_app.command("admit")
def partner_admit(
    cards: Annotated[list[Path], typer.Argument(help="Partners' cards.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Let a card's node key take an earlier one's place.")
    ] = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Let partners' nodes through the public port; `serve` notices within a second."""
    from coordinator.superlink import node_key_bytes  # Flower takes long to import

    store = CoordinatorConfig.load(directory).open_store()
    read = load_cards(cards)
    published = [signed.agreement for signed in store.agreements()]
    for card in read:
        node_key_bytes(card.node_key.encode("ascii"))
        _check_party(card, published)
    replaced = store.admit({card.id: card.node_key for card in read}, replace=replace)
    admitted = [card.id for card in read]
    output.result(
        {"admitted": admitted, "replaced": replaced},
        f"Admitted {', '.join(admitted)}.",
        *(
            f"Replaced the node key of {id} that ends in {key_end(replaced[id])}."
            for id in replaced
        ),
    )


def _check_party(card: PartnerCard, published: Sequence[Agreement]) -> None:
    """Refuse a card that takes a party's id and has another signing key."""
    keys = {p.public_key for agreement in published for p in agreement.parties if p.id == card.id}
    if keys and card.public_key not in keys:
        raise AgreementError(
            f"the card of {card.id!r} has another public key than the party {card.id!r} of a "
            "published agreement",
            code="E-AGR-PARTY",
            remedy=f"ask {card.id} for its card again, over a way that you trust",
        )


@partner_app.command("remove")
def partner_remove(
    partner: Annotated[str, typer.Argument(help="The partner's id, see `partner list`.")],
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Shut a partner's node out; `serve` notices within a second."""
    CoordinatorConfig.load(directory).open_store().remove(partner)
    output.result({"removed": partner}, f"The node of {partner} may not connect any more.")


@partner_app.command("list")
def partner_list(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """Which partners' nodes may connect."""
    admitted = CoordinatorConfig.load(directory).open_store().admitted()
    table = Table("partner", "node key")
    for partner, key in admitted.items():
        table.add_row(partner, key_end(key))
    output.result({"admitted": admitted}, table)


# --- serve -------------------------------------------------------------------------------------


@app.command()
def serve(directory: Directory = HERE) -> None:
    """Open the public port and drive runs until stopped (Ctrl-C or SIGTERM)."""
    from coordinator.service import CoordinatorService  # Flower takes long to import

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    config = CoordinatorConfig.load(directory)

    def announce(address: str) -> None:
        write_address(directory, address)
        diagnostics.print(f"serving partners at {address}")

    try:
        CoordinatorService(config=config, announce=announce).serve(stop)
    finally:
        (directory / ADDRESS_FILE).unlink(missing_ok=True)


def write_address(directory: Path, address: str) -> None:
    """Leave the public address in the folder, for scripts that wait for it."""
    temporary = directory / ".address"
    temporary.write_text(address + "\n", encoding="ascii")
    temporary.replace(directory / ADDRESS_FILE)


# --- runs --------------------------------------------------------------------------------------


@run_app.command("start")
def run_start(
    agreement: Annotated[
        str, typer.Option(help="Agreement's id; the newest one when left out.")
    ] = "",
    without: Annotated[
        list[str] | None,
        typer.Option(
            help="A partner that is left out; repeat it for several. After an agreement's first "
            "run they can join only with others, at least min_atom at once."
        ),
    ] = None,
    watch: Annotated[bool, typer.Option(help="Stay and show progress.")] = False,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Ask for a run; `serve` drives it."""
    store = CoordinatorConfig.load(directory).open_store()
    chosen = _choose_agreement(store, agreement)
    chosen.check_time(datetime.now(UTC))
    chosen.check_review(datetime.now(UTC))
    chosen.check_software(Software.installed(metadata.version, resources.files))
    strangers = set(without or ()) - {party.id for party in chosen.parties}
    if strangers:
        raise UsageError(
            f"--without: {', '.join(sorted(strangers))} is no party of agreement {chosen.id!r}",
            remedy=f"its parties are {', '.join(party.id for party in chosen.parties)}",
        )
    run_id = os.urandom(16)
    store.request_run(run_id, chosen, without=without or ())
    if watch:
        _report_end(store, follow(store, run_id, directory))
        return
    if not is_served(directory):
        diagnostics.print(f"note: {NOT_SERVED}; the run waits", style="yellow")
    output.result({"run_id": run_id.hex()}, f"Run {run_id.hex()} is requested.")


@run_app.command("watch")
def run_watch(
    run: RunArgument = "", directory: Directory = HERE, format: Format = FormatOption
) -> None:
    """Show a run's progress until it has ended; exit status 1 when it failed."""
    store = CoordinatorConfig.load(directory).open_store()
    _report_end(store, follow(store, find_run(store, run).run_id, directory))


@run_app.command("list")
def run_list(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """All runs, newest first."""
    store = CoordinatorConfig.load(directory).open_store()
    rows = store.runs()
    privacy = {row.agreement_hash: promised(store.agreement(row.agreement_hash)) for row in rows}
    table = Table("run", "state", "rounds", "started", "reason")
    for row in rows:
        table.add_row(
            row.run_id.hex()[:8],
            row.state,
            str(row.progress.get("round", "")),
            row.created_at[:19],
            f"{row.code} {row.reason}".strip(),
        )
    output.result(
        {"runs": [row.to_dict() | {"privacy": privacy[row.agreement_hash]} for row in rows]},
        table,
        *(f"Privacy: {words}." for words in sorted(set(privacy.values()))),
    )


@run_app.command("stop")
def run_stop(
    run: RunArgument = "", directory: Directory = HERE, format: Format = FormatOption
) -> None:
    """End a run; its driver notices within a second."""
    store = CoordinatorConfig.load(directory).open_store()
    row = find_run(store, run)
    if row.ended:
        raise UsageError(f"run {row.run_id.hex()[:8]} has ended already: {row.state}")
    store.fail(row.run_id, "E-STOPPED", "stopped by the operator", "start a new run")
    output.result({"run_id": row.run_id.hex()}, f"Run {row.run_id.hex()[:8]} is stopped.")


def is_served(directory: Path) -> bool:
    """Whether a process serves this coordinator now."""
    with serve_lock(directory) as free:
        return not free


def follow(store: CoordinatorStore, run_id: bytes, directory: Path) -> RunRow:
    """Show a run's progress until it has ended: a bar on a terminal, else lines.

    Raises:
        RunFailedError: Nobody serves the coordinator, so the run would wait for ever.
    """
    lines = _Lines()
    with Progress(
        TextColumn("{task.fields[doing]}"),
        BarColumn(),
        TextColumn("round {task.completed:.0f} of at most {task.total:.0f}"),
        TextColumn("{task.fields[partners]}"),
        TimeElapsedColumn(),
        console=diagnostics,
        disable=not diagnostics.is_terminal,
        transient=True,
    ) as bar:
        task = bar.add_task("run", total=1, doing="requested", partners="")
        while True:
            row = store.run(run_id)
            progress = row.progress
            if progress:
                bar.update(
                    task,
                    total=progress["max_rounds"],
                    completed=progress["round"],
                    doing=progress["doing"],
                    partners=_partner_words(progress),
                )
                if not diagnostics.is_terminal:
                    lines.show(progress)
            if row.ended:
                return row
            if not is_served(directory):
                raise RunFailedError(
                    f"run {run_id.hex()[:8]} stays requested, and {NOT_SERVED}",
                    code="E-NOT-SERVED",
                    remedy=f"fedseg-coordinator serve --dir {directory}: the run then goes on; or "
                    f"give it up: fedseg-coordinator run stop {run_id.hex()[:8]} --dir {directory}",
                )
            time.sleep(_WATCH_EVERY_S)


class _Lines:
    """Progress for whoever reads a log: a line for each change of phase, at most one a second."""

    def __init__(self) -> None:
        self._shown: object = None
        self._at = -_LINE_EVERY_S

    def show(self, progress: dict[str, Any]) -> None:
        """Print a line when the phase, the partners or their refusals are others than shown."""
        now = time.monotonic()
        what = [progress.get(k) for k in ("phase", "participants", "left_out", "refusals")]
        if what == self._shown or now - self._at < _LINE_EVERY_S:
            return
        self._shown, self._at = what, now
        diagnostics.print(
            f"{progress['doing']}, round {progress['round']} of at most "
            f"{progress['max_rounds']}, {_partner_words(progress)}"
        )


def _partner_words(progress: dict[str, Any]) -> str:
    """How many partners have answered, and who is missing."""
    waiting, refusals = progress["waiting_for"], progress.get("refusals", {})
    answered = len(progress["participants"]) - len(waiting)
    words = f"{answered}/{len(progress['participants'])} partners"
    if not waiting:
        return words
    missing = [f"{id} ({_refusal_words(refusals[id])})" if id in refusals else id for id in waiting]
    return f"{words}, waiting for {', '.join(missing)}"


def _refusal_words(code: str) -> str:
    """A refusal's code; of an answer that is held, also that a person has to let it out."""
    return f"{code}: waits for approval there" if code == "E-EGRESS-HELD" else code


def _report_end(store: CoordinatorStore, row: RunRow) -> None:
    """Say how a run ended; raises RunFailedError when it failed."""
    if row.state == FAILED:
        raise RunFailedError(row.reason, code=row.code, remedy=row.remedy)
    privacy = SignedRelease.from_bytes(store.release(row.run_id)).release.privacy_words
    output.result(row.to_dict() | {"privacy": privacy}, f"{_run_words(row)} Privacy: {privacy}.")


# --- releases ----------------------------------------------------------------------------------


@release_app.command("list")
def release_list(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """All releases, newest first."""
    store = CoordinatorConfig.load(directory).open_store()
    table = Table("run", "agreement", "segments", "partners", "released", "privacy")
    releases = []
    for run_id, released_at, envelope in store.releases():
        release = SignedRelease.from_bytes(envelope).release
        releases.append(
            {
                "run_id": run_id.hex(),
                "agreement_id": release.agreement_id,
                "agreement_hash": release.agreement_hash.hex(),
                "release_hash": release.hash.hex(),
                "segments": len(release.segments),
                "participants": list(release.participants),
                "released_at": released_at,
                "privacy": release.privacy_words,
            }
        )
        table.add_row(
            run_id.hex()[:8],
            release.agreement_id,
            str(len(release.segments)),
            str(len(release.participants)),
            released_at[:16].replace("T", " "),
            release.statement
            + (f", epsilon {epsilon_text(release.privacy.epsilon)}" if release.privacy else ""),
        )
    output.result(
        {"releases": releases}, table, "Times are UTC. What protects each: `release show RUN`."
    )


@release_app.command("show")
def release_show(
    run: RunArgument = "", directory: Directory = HERE, format: Format = FormatOption
) -> None:
    """A run's segments: sizes, and centres in the features' units."""
    store = CoordinatorConfig.load(directory).open_store()
    row = find_run(store, run, finished=True)
    agreement = store.agreement(row.agreement_hash)
    release = SignedRelease.from_bytes(store.release(row.run_id)).verify(agreement)
    step = step_in(store, release)
    output.result(release_data(release, agreement, step), *release_table(release, agreement, step))


@release_app.command("export")
def release_export(
    out: Annotated[Path, typer.Option(help="File to write: .json (signed) or .html (report).")],
    run: RunArgument = "",
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Write the signed release, or a report for people."""
    store = CoordinatorConfig.load(directory).open_store()
    row = find_run(store, run, finished=True)
    agreement = store.agreement(row.agreement_hash)
    envelope = store.release(row.run_id)
    signed = SignedRelease.from_bytes(envelope)
    signed.verify(agreement)
    if out.suffix == ".json":
        out.write_bytes(envelope)
    elif out.suffix == ".html":
        write_report(out, signed, agreement, store, row)
    else:
        raise UsageError(f"{out} ends in neither .json nor .html")
    output.result({"file": str(out)}, f"Wrote {out}.")


# --- shared ------------------------------------------------------------------------------------


def load_card(path: Path) -> PartnerCard:
    """Read a partner's card; raises UsageError, MalformedError, which name the file."""
    try:
        with path.open("rb") as file:
            return PartnerCard.from_bytes(file.read(MAX_BYTES + 1))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}",
            remedy="name the file partner-card.json that `fedseg-node init` wrote",
        ) from error
    except MalformedError as error:
        raise MalformedError(
            f"{path} is no partner's card: {error.message}",
            code=error.code,
            remedy="name the file partner-card.json that `fedseg-node init` wrote",
        ) from error


def load_cards(paths: Sequence[Path]) -> list[PartnerCard]:
    """Read partners' cards; refuses two of one partner."""
    cards: dict[str, tuple[Path, PartnerCard]] = {}
    for path in paths:
        card = load_card(path)
        for earlier, known in cards.values():
            if card.id == known.id or card.public_key == known.public_key:
                raise UsageError(
                    f"{earlier} and {path} are cards of the same partner, {known.id!r}",
                    remedy="name each partner's card once",
                )
        cards[card.id] = (path, card)
    return [card for _, card in cards.values()]


def join_copies(files: list[Path]) -> SignedAgreement:
    """All signatures over several copies of one agreement; what is wrong names its file."""
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


def find_run(store: CoordinatorStore, prefix: str, *, finished: bool = False) -> RunRow:
    """The run whose id begins with `prefix`; the newest when it is empty."""
    rows = [
        row
        for row in store.runs()
        if row.run_id.hex().startswith(prefix) and (row.state == "finished" or not finished)
    ]
    if not rows or (prefix and len(rows) > 1):
        what = "finished run" if finished else "run"
        found = f"{len(rows)} {what}s begin" if rows else f"no {what} begins"
        raise UsageError(f"{found} with {prefix!r}", remedy="see `run list`")
    return rows[0]


def _choose_agreement(store: CoordinatorStore, id: str) -> Agreement:
    for signed in store.agreements():
        if not id or signed.agreement.id == id:
            return signed.verify()
    raise UsageError(
        f"no agreement {id!r} is published here" if id else "no agreement is published here",
        remedy="fedseg-coordinator agreement publish",
    )


def _run_words(row: RunRow) -> str:
    rounds = row.progress.get("round", 0)
    seconds = row.progress.get("elapsed_s", 0)
    return f"Run {row.run_id.hex()[:8]} {row.state} after {rounds} rounds, {seconds} s."


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


def main() -> None:
    """Entry point of ``fedseg-coordinator``."""
    run(app)
