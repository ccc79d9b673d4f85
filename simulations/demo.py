"""The demo: a coordinator and three partners' nodes as separate processes over TLS on loopback.

It only calls the commands that a real operator and real partners call, in the same order.
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text
from ruamel.yaml import YAML

from coordinator.config import CoordinatorConfig
from coordinator.report.page import render_report
from coordinator.report.released import release_table, report_of, view_of
from coordinator.service import process_guard
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.records import RoundRow, RunRow
from partner_node.segments.count_ranges import CountRange
from protocol.errors import RunFailedError, UsageError
from protocol.privacy.words import meaning
from simulations.retail import PARTNERS, generate, write
from simulations.retail_consents import write_consents
from simulations.retail_features import FEATURE_QUERY, FEATURES
from simulations.retail_feedback import QUESTION, write_feedback

N_CLUSTERS: Final = 6
_START_TIMEOUT_S: Final = 60.0
_STOP_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerView:
    """What one partner saw and sent, read from its own node."""

    id: str
    name: str
    customers: int
    messages: int
    bytes_sent: int
    by_segment: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """What the demo left in its folder."""

    report: Path
    seconds: float
    rounds: int
    partners: tuple[PartnerView, ...]


def run_demo(out: Path, *, n_customers: int, seed: int, console: Console) -> DemoResult:
    """Run the whole demo in the folder `out`.

    Args:
        out: Folder for everything; one that an earlier demo made is replaced.
        n_customers: Customers of all partners together.

    Raises:
        UsageError: `out` is not a demo's folder.
        FedsegError: A step failed; its output says why.
    """
    began = time.monotonic()
    _fresh_folder(out)
    _say(console, "1. Data", f"generating transactions in {out}/data")
    partners = generate(n_customers=n_customers, seed=seed, profiles=PARTNERS[:3])
    ids = [partner.profile.id for partner in partners]
    files = {partner.profile.id: write(partner, out / "data").transactions for partner in partners}
    wishes = {
        partner.profile.id: write_consents(
            partner.truth.column("customer_id").to_pylist(),
            out / "data",
            partner.profile.id,
            seed=seed,
        )
        for partner in partners
    }
    said = {
        partner.profile.id: write_feedback(
            partner.truth, out / "data", partner.profile.id, seed=seed
        )
        for partner in partners
    }
    (out / "features.sql").write_text(FEATURE_QUERY, encoding="utf-8")

    _say(console, "2. Set-up", "coordinator, three nodes, one agreement, signed by all")
    port = _free_port()
    coordinator = out / "coordinator"
    _command(
        "coordinator", "init", "--dir", coordinator, "--legal-name", "Demo operator",
        "--contact", "operator@coordinator.example", "--port", port, "--grace-s", "20",
        "--by-hand",
    )  # fmt: skip
    authority = coordinator / "tls" / "coordinator-ca.crt"
    for partner in partners:
        name = partner.profile.id
        _command(
            "node", "init", "--dir", out / name, "--partner", name,
            "--legal-name", partner.profile.name, "--contact", f"dpo@{name}.example",
            "--jurisdiction", "GB",
            "--coordinator", f"127.0.0.1:{port}", "--root-certificates", authority,
            "--data", files[name], "--id-column", "customer_id",
            "--query-file", out / "features.sql",
            "--consents", wishes[name].consents, "--objections", wishes[name].objections,
            "--max-customers", len(partner.truth) + 1_000, "--youngest-customer", 18,
            *(word for f in FEATURES for word in ("--unit", f"{f.name}={f.unit}")),
        )  # fmt: skip
    _agree(out, coordinator, ids)
    for name in ids:
        _command("node", "feedback", "import", said[name], "--dir", out / name)

    _say(console, "3. Serve", "four processes, TLS on loopback")
    with ExitStack() as running:
        running.enter_context(_sigterm_interrupts())
        running.enter_context(_serving("coordinator", coordinator, out / "coordinator.log"))
        _await(lambda: (coordinator / "address").exists(), "the coordinator's address")
        for name in ids:
            running.enter_context(_serving("node", out / name, out / f"{name}.log"))
        for name in ids:
            _command("node", "check", "--dir", out / name)
        _say(
            console,
            "4. Run",
            "masked and noised answers; ten questions at most for the segments, one for how "
            "satisfied their customers are",
        )
        _command("coordinator", "run", "start", "--dir", coordinator, "--watch", show=True)
        _say(console, "5. Assign", "each partner its own customers, locally")
        views = tuple(_view(out / p.profile.id, p.profile.id, p.profile.name) for p in partners)

    store = CoordinatorConfig.load(coordinator).open_store()
    row = store.runs()[0]
    report = out / "report.html"
    _print_result(store, row, views, console)
    _write_report(report, store, row, views)
    return DemoResult(
        report=report,
        seconds=time.monotonic() - began,
        rounds=len(store.rounds(row.run_id)),
        partners=views,
    )


def _say(console: Console, what: str, more: str) -> None:
    console.print(Text.assemble((what, "bold"), "  ", more))


def _agree(out: Path, coordinator: Path, ids: Sequence[str]) -> None:
    cards = [value for name in ids for value in ("--card", out / name / "partner-card.json")]
    _command(
        "coordinator", "agreement", "draft", "--dir", coordinator, "--id", "demo-segments",
        "--out", out / "agreement.yaml", *cards,
    )  # fmt: skip
    _edit_agreement(out / "agreement.yaml")
    _command("coordinator", "agreement", "lint", out / "agreement.yaml")
    draft = out / "agreement-unsigned.json"
    _command("coordinator", "agreement", "draft", out / "agreement.yaml", "--out", draft)
    signed = []
    for name in ids:
        signed.append(out / f"agreement-signed-by-{name}.json")
        _command("node", "agreement", "sign", draft, "--out", signed[-1], "--dir", out / name)
    complete = out / "agreement.json"
    _command(
        "coordinator", "agreement", "publish", *signed, "--out", complete, "--dir", coordinator
    )
    for name in ids:
        _command("node", "agreement", "install", complete, "--dir", out / name)
    _command(
        "coordinator", "partner", "admit", "--dir", coordinator,
        *(out / name / "partner-card.json" for name in ids),
    )  # fmt: skip


def _edit_agreement(path: Path) -> None:
    """What people do in an editor: features, number of clusters, and a question to customers."""
    yaml = YAML()
    values = yaml.load(path.read_text(encoding="utf-8"))
    values["purpose"]["text"] = (
        "Common customer segments, so that each partner can address its own customers better."
    )
    values["features"] = [feature.to_dict() for feature in FEATURES]
    values["plan"] |= {
        "n_clusters": N_CLUSTERS,
        "n_clusters_min": N_CLUSTERS,
        "max_rounds": 12,
        "satisfaction": QUESTION.to_dict(),
    }
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(values, file)


def _view(directory: Path, name: str, legal_name: str) -> PartnerView:
    assigned = _command("node", "segments", "assign", "--dir", directory)
    messages = _command("node", "egress", "list", "--dir", directory)["messages"]
    counted = [m["customers"] for m in messages if m["customers"] is not None]
    return PartnerView(
        id=name,
        name=legal_name,
        customers=counted[-1],
        messages=len(messages),
        bytes_sent=sum(m["bytes"] for m in messages),
        by_segment={
            identity: CountRange(**found).words
            for identity, found in assigned["by_segment"].items()
        },
    )


def _print_result(
    store: CoordinatorStore, row: RunRow, views: Sequence[PartnerView], console: Console
) -> None:
    shown = view_of(store, row.run_id)
    release = shown.release
    for part in release_table(shown, width=console.width):
        console.print(part)
    rounds = store.rounds(row.run_id)
    traffic = {t.partner: t for t in store.traffic(row.run_id)}
    seen = Table("party", "saw", "sent", title="What each party saw", show_lines=True)
    for view in views:
        own = ", ".join(f"{identity}: {words}" for identity, words in view.by_segment.items())
        seen.add_row(
            view.name,
            f"its own {view.customers:,} customers who may be counted now, and totals over all "
            "partners.\n"
            f"{traffic[view.id].messages} messages down, {traffic[view.id].bytes_down:,} bytes.\n"
            f"Own customers by segment (known here only): {own}",
            f"{view.messages} messages up, {view.bytes_sent:,} bytes: a greeting, keys, "
            "signatures, masked sums; no row",
        )
    seen.add_row(
        "Coordinator",
        f"{sum(r.partners for r in rounds)} masked vectors of {_lengths(rounds)} numbers that "
        f"look random, and {len(rounds)} totals over {rounds[0].partners} partners; "
        "no partner's own numbers",
        "announcements that every node checks; the release",
    )
    console.print(seen)
    _say(console, "Privacy", release.privacy_words)
    if release.privacy is not None:
        privacy = release.privacy
        console.print(meaning(privacy.epsilon, float(privacy.delta), privacy.unit))
    console.print(
        "Another demo may end in other segments: a first run's start is drawn from all partners' "
        "randomness, and k-means stops at a local optimum. Further runs under an agreement start "
        "from its last release, so that customers who do not change keep their segments, whose ids "
        "last.",
    )


def _lengths(rounds: Sequence[RoundRow]) -> str:
    shortest, longest = (f(r.length for r in rounds) for f in (min, max))
    return f"{longest:,}" if shortest == longest else f"{shortest:,} to {longest:,}"


def _write_report(
    path: Path, store: CoordinatorStore, row: RunRow, views: Sequence[PartnerView]
) -> None:
    """The operator's report, with the counts that the partners of a demo may show."""
    data = report_of(view_of(store, row.run_id), store, row)
    own = {view.name: view.customers for view in views}
    partners = tuple(replace(p, customers=own.get(p.name)) for p in data.partners)
    path.write_text(render_report(replace(data, partners=partners)), encoding="utf-8")


# --- processes ---------------------------------------------------------------------------------


def _command(side: str, *arguments: object, show: bool = False) -> dict[str, Any]:
    """Run one fedseg command and return its data."""
    words = [_program(side), *(str(a) for a in arguments), "--format", "json"]
    done = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=None if show else subprocess.PIPE, text=True,
        check=False, timeout=300,
    )  # fmt: skip
    if done.returncode != 0:
        raise RunFailedError(
            f"{' '.join(str(a) for a in arguments[:3])} ended with {done.returncode}: "
            f"{(done.stderr or done.stdout).strip()[-2000:]}"
        )
    data: dict[str, Any] = json.loads(done.stdout)["data"]
    return data


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Have SIGTERM end the demo as Ctrl-C does, so that what it started ends before it."""

    def interrupt(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)  # once is enough: the children are being ended
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _serving(side: str, directory: Path, log: Path) -> Iterator[None]:
    """A serving process, stopped at the end; its guard ends it even when the demo is killed."""
    serve = [_program(side), "serve", "--dir", str(directory)]
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-I", process_guard.__file__, f"{_STOP_TIMEOUT_S:g}", *serve],
            stdin=subprocess.PIPE,  # closes when this process ends, however it ends
            stdout=subprocess.DEVNULL,
            stderr=file,
        )
    try:
        yield
        if process.poll() is not None:
            raise RunFailedError(f"{directory.name} ended early; see {log}")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(2 * _STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()


def _program(side: str) -> str:
    return str(Path(sys.executable).with_name(f"fedseg-{side}"))


def _await(ready: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not ready():
        if time.monotonic() > deadline:
            raise RunFailedError(f"waited {_START_TIMEOUT_S:g} s for {what}")
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _fresh_folder(out: Path) -> None:
    marker = out / ".fedseg-demo"
    if out.exists() and any(out.iterdir()):
        if not marker.exists():
            raise UsageError(
                f"{out} is not empty and was not made by the demo",
                remedy="choose another --out",
            )
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    marker.touch()
