"""The demo: a coordinator and three partners' nodes as separate processes over TLS on loopback.

It only calls the commands that a real operator and real partners call, in the same order.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text
from ruamel.yaml import YAML

from coordinator.config import CoordinatorConfig
from coordinator.report.page import render_report
from coordinator.report.released import release_table, report_of, view_of
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.records import RoundRow, RunRow
from machine.tables import Table
from partner_node.segments.count_ranges import CountRange
from protocol.errors import UsageError
from protocol.privacy.words import meaning
from simulations.demo_consoles import on_free_ports, stay_open
from simulations.demo_processes import command, free_port, serving, sigterm_interrupts, until
from simulations.retail import PARTNERS, generate, write
from simulations.retail_consents import write_consents
from simulations.retail_features import FEATURE_QUERY, FEATURES
from simulations.retail_feedback import QUESTION, write_feedback

N_CLUSTERS: Final = 6


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


def run_demo(
    out: Path, *, n_customers: int, seed: int, console: Console, stay: bool = False
) -> DemoResult:
    """Run the whole demo in the folder `out`.

    Args:
        out: Folder for everything; one that an earlier demo made is replaced.
        n_customers: Customers of all partners together.
        stay: Whether the processes stay until Ctrl-C, and the consoles of the coordinator and of
            the first partner with them.

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
    port = free_port()
    coordinator = out / "coordinator"
    command(
        "coordinator", "init", "--dir", coordinator, "--legal-name", "Demo operator",
        "--contact", "operator@coordinator.example", "--port", port, "--grace-s", "20",
        "--by-hand",
    )  # fmt: skip
    authority = coordinator / "tls" / "coordinator-ca.crt"
    for partner in partners:
        name = partner.profile.id
        command(
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
    on_free_ports(coordinator / "coordinator.toml", *(out / name / "node.toml" for name in ids))
    _agree(out, coordinator, ids)
    for name in ids:
        command("node", "feedback", "import", said[name], "--dir", out / name)

    _say(console, "3. Serve", "four processes, TLS on loopback")
    result: DemoResult | None = None
    try:
        with ExitStack() as running:
            running.enter_context(sigterm_interrupts())
            running.enter_context(serving("coordinator", coordinator, out / "coordinator.log"))
            until(lambda: (coordinator / "address").exists(), "the coordinator's address")
            for name in ids:
                running.enter_context(serving("node", out / name, out / f"{name}.log"))
            for name in ids:
                command("node", "check", "--dir", out / name)
            _say(
                console,
                "4. Run",
                "masked and noised answers; ten questions at most for the segments, one for how "
                "satisfied their customers are",
            )
            command("coordinator", "run", "start", "--dir", coordinator, "--watch", show=True)
            _say(console, "5. Assign", "each partner its own customers, locally")
            views = tuple(_view(out / p.profile.id, p.profile.id, p.profile.name) for p in partners)

            store = CoordinatorConfig.load(coordinator).open_store()
            row = store.runs()[0]
            _print_result(store, row, views, console)
            _write_report(report := out / "report.html", store, row, views)
            result = DemoResult(
                report=report,
                seconds=time.monotonic() - began,
                rounds=len(store.rounds(row.run_id)),
                partners=views,
            )
            if stay:
                stay_open(out, coordinator, out / ids[0], console)
    except KeyboardInterrupt:
        if result is None or not stay:
            raise
    return result


def _say(console: Console, what: str, more: str) -> None:
    console.print(Text.assemble((what, "bold"), "  ", more))


def _agree(out: Path, coordinator: Path, ids: Sequence[str]) -> None:
    cards = [value for name in ids for value in ("--card", out / name / "partner-card.json")]
    command(
        "coordinator", "agreement", "draft", "--dir", coordinator, "--id", "demo-segments",
        "--out", out / "agreement.yaml", *cards,
    )  # fmt: skip
    _edit_agreement(out / "agreement.yaml")
    command("coordinator", "agreement", "lint", out / "agreement.yaml")
    draft = out / "agreement-unsigned.json"
    command("coordinator", "agreement", "draft", out / "agreement.yaml", "--out", draft)
    signed = []
    for name in ids:
        signed.append(out / f"agreement-signed-by-{name}.json")
        command("node", "agreement", "sign", draft, "--out", signed[-1], "--dir", out / name)
    complete = out / "agreement.json"
    command("coordinator", "agreement", "publish", *signed, "--out", complete, "--dir", coordinator)
    for name in ids:
        command("node", "agreement", "install", complete, "--dir", out / name)
    command(
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
    assigned = command("node", "segments", "assign", "--dir", directory)
    messages = command("node", "egress", "list", "--dir", directory)["messages"]
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
