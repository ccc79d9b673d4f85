"""A real deployment for tests: coordinator and nodes as processes, talking TLS on loopback.

It is set up by the functions behind the command line, in this process (starting a process for
each of some twenty commands would take longer than the tests); everything that serves is a real
process that is started as an operator and a partner start it.
"""

from __future__ import annotations

import csv
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial, partialmethod
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from ruamel.yaml import YAML

from coordinator.cli import agreement as operator_agreement
from coordinator.cli import drafting
from coordinator.cli import partner as operator_partner
from coordinator.cli import setup as operator_setup
from coordinator.config import CoordinatorConfig
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.records import RunRow
from coordinator.store.settings import FILE
from partner_node import keystore
from partner_node.cli import agreement as partner_agreement
from partner_node.cli import setup as partner_setup
from partner_node.config.node_config import NodeConfig
from partner_node.egress.manifest import Manifest
from partner_node.egress.records import WAITING, Manifests
from partner_node.home import NodeHome
from partner_node.keystore import MIN_LOG2_N, Keystore
from partner_node.sources.kinds import open_source
from partner_node.store.node_store import NodeStore
from partner_node.store.times import stamp
from protocol.agreement.document import Agreement
from protocol.agreement.governance import SEGMENTATION
from protocol.clustering.lloyd_exact import LloydExact
from protocol.clustering.plan import plan_seed
from protocol.queries import customer_vectors
from protocol.release.document import Release, SignedRelease, make_release
from protocol.ring import EXACT_FRACTION_BITS
from protocol.scaling import FeatureScale
from simulations.retail_features import AgreedFeature
from tests.end_to_end.command_line import PATIENCE_S, program
from tests.end_to_end.transport_support import free_port, wait_for

NAMES: Final = ("north", "middle", "south")
COLUMNS: Final = ("recency", "orders", "spend")
BOUNDS: Final = {"recency": ("0", "365"), "orders": ("1", "100"), "spend": ("0", "5000")}


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerData:
    """What one partner brings: a file, and the query that makes features of it."""

    file: Path
    id_column: str = "customer_id"
    query: str | None = None


def withdrawal(customer: str) -> str:
    """The line of a table of consents (`grant`) by which a customer withdraws."""
    return f"{customer},ConsentWithdrawn,2026-01-02T00:00:00Z,{SEGMENTATION},1\n"


def plain_features() -> list[dict[str, Any]]:
    """The features of `write_customers`, as an agreement writes them."""
    return [
        AgreedFeature(
            name=name,
            unit="units",
            minimum=low,
            maximum=high,
            transform="none",
            weight="1",
            words="tells customers apart",
        ).to_dict()
        for name, (low, high) in BOUNDS.items()
    ]


def customers(seed: int, n: int) -> np.ndarray:
    """Values of `COLUMNS` for `n` customers without clear groups: Lloyd needs many rounds."""
    rng = np.random.default_rng(seed)
    return np.column_stack(
        [
            rng.integers(0, 366, n),
            rng.integers(1, 101, n),
            rng.integers(0, 500_001, n) / 100,
        ]
    )


def write_customers(file: Path, values: np.ndarray, *, prefix: str = "c") -> PartnerData:
    """One row a customer, ids ``c0``, ``c1`` …"""
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["customer_id", *COLUMNS])
        for number, row in enumerate(values.tolist()):
            writer.writerow([f"{prefix}{number}", *(repr(v) for v in row)])
    return PartnerData(file=file)


@dataclass
class Serving:
    """One serving process and its log."""

    command: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or start it again."""
        self.collect()
        with self.log.open("ab") as file:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=os.environ | self.environment,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        if self.process is None:
            raise LookupError(f"{self.command} was not started")
        return self.process.pid

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """``kill -9``, and wait for its end."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def ask_to_end(self) -> None:
        """SIGTERM, as a supervisor does it."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        """End it politely; its exit status."""
        if self.process is None:
            return 0
        self.ask_to_end()
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def wait(self) -> int:
        """Wait until it ends by itself; its exit status."""
        if self.process is None:
            raise LookupError("not started")
        return self.process.wait(PATIENCE_S)

    def collect(self) -> None:
        """Make sure that it has ended."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def said(self) -> str:
        """Everything that it wrote."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""


@dataclass
class Deployment:
    """A coordinator and its partners' nodes in one folder."""

    directory: Path
    names: tuple[str, ...]
    coordinator: Serving
    nodes: dict[str, Serving]
    keystores: dict[str, Keystore] = field(default_factory=dict)

    @property
    def operator_folder(self) -> Path:
        """The coordinator's folder."""
        return self.directory / "coordinator"

    def folder(self, name: str) -> Path:
        """A partner's node folder."""
        return self.directory / name

    @property
    def address(self) -> str:
        """``host:port`` of the public port."""
        return (self.operator_folder / "address").read_text().strip()

    # --- processes -----------------------------------------------------------------------------

    def start_coordinator(self) -> None:
        """Start `serve` and wait until partners can connect."""
        (self.operator_folder / "address").unlink(missing_ok=True)
        self.coordinator.start()
        wait_for(
            lambda: (self.operator_folder / "address").exists() or not self.coordinator.is_alive(),
            timeout_s=PATIENCE_S,
            what="the public port",
        )
        if not self.coordinator.is_alive():
            raise RuntimeError(self.coordinator.said())

    def start(self) -> None:
        """Start everything."""
        self.start_coordinator()
        for node in self.nodes.values():
            node.start()
        for name in self.names:
            self.await_connected(name)

    def await_connected(self, name: str, *, times: int = 1) -> None:
        """Wait until a node said so often that it is connected."""
        node = self.nodes[name]
        wait_for(
            lambda: node.said().count("link: connected") >= times or not node.is_alive(),
            timeout_s=PATIENCE_S,
            what=f"the link of {name}",
        )
        if not node.is_alive():
            raise RuntimeError(node.said())

    def stop(self) -> None:
        """End everything that still runs, the nodes first: they take their leave."""
        for node in self.nodes.values():
            node.ask_to_end()
        for serving in (*self.nodes.values(), self.coordinator):
            if serving.is_alive():
                serving.stop()
            serving.collect()

    # --- runs ----------------------------------------------------------------------------------

    @contextmanager
    def store(self) -> Iterator[CoordinatorStore]:
        """The coordinator's database."""
        with closing(CoordinatorConfig.load(self.operator_folder).open_store()) as store:
            yield store

    @contextmanager
    def node_store(self, name: str) -> Iterator[NodeStore]:
        """A node's database, opened with its own keys."""
        home = NodeHome.load(self.folder(name))
        if name not in self.keystores:
            self.keystores[name] = home.keystore()
        with closing(home.store(self.keystores[name])) as store:
            yield store

    def request(self) -> bytes:
        """Ask for a run under the newest agreement, as `run start` does."""
        run_id = os.urandom(16)
        with self.store() as store:
            store.request_run(run_id, store.agreements()[0].verify())
        return run_id

    def row(self, run_id: bytes) -> RunRow:
        """Where a run stands."""
        with self.store() as store:
            return store.run(run_id)

    def await_end(self, run_id: bytes, *, timeout_s: float = PATIENCE_S) -> RunRow:
        """Wait for a run's end, for a bounded time."""
        with self.store() as store:
            wait_for(
                lambda: store.run(run_id).ended,
                timeout_s=timeout_s,
                what=f"the end of the run, which stands at {store.run(run_id)}",
            )
            return store.run(run_id)

    def await_progress(
        self,
        run_id: bytes,
        condition: Callable[[RunRow], bool],
        *,
        timeout_s: float = PATIENCE_S,
    ) -> RunRow:
        """Wait until a run has come so far, or has ended."""
        with self.store() as store:
            wait_for(
                lambda: store.run(run_id).ended or condition(store.run(run_id)),
                timeout_s=timeout_s,
                what="the run's progress",
            )
            return store.run(run_id)

    def run(self) -> RunRow:
        """One whole run."""
        return self.await_end(self.request())

    def hold_back(self, name: str, hold: str) -> None:
        """Start a node again, with another setting of what waits there for a person.

        Args:
            hold: As in ``node.toml``.
        """
        node = self.nodes[name]
        connected = node.said().count("link: connected")
        node.kill()
        file = self.folder(name) / "node.toml"
        text = file.read_text(encoding="utf-8")
        changed, times = re.subn(r'(?m)^(# )?hold = "\w+"$', f'hold = "{hold}"', text)
        if times != 1:
            raise LookupError("hold is written in another way")
        file.write_text(changed, encoding="utf-8")
        node.start()
        self.await_connected(name, times=connected + 1)

    def decide(self, run_id: bytes, name: str, decisions: Iterable[str]) -> list[str]:
        """Decide what waits at a node until the run has ended, or no decision is left.

        Returns:
            SHA-256 of each message decided on.
        """
        decided: list[str] = []
        coming = iter(decisions)
        with self.node_store(name) as store:

            def all_decided() -> bool:
                now = stamp(datetime.now(UTC))
                for held in Manifests(store).held():
                    if held.state(now) != WAITING:
                        continue
                    decision = next(coming, None)
                    if decision is None:
                        return True
                    with store.transaction():
                        Manifests(store).decide(
                            held.number, decision, now=now, by="anna", account="",
                            counts=lambda _who, _account: True,
                        )  # fmt: skip
                    decided.append(held.manifest.sha256)
                return self.row(run_id).ended

            wait_for(all_decided, timeout_s=2 * PATIENCE_S, what="the end of the run")
        return decided

    @contextmanager
    def grace_time(self, grace_s: int) -> Iterator[None]:
        """Runs that are begun meanwhile wait so long for whoever is missing."""
        file = self.operator_folder / "coordinator.toml"
        text = file.read_text(encoding="utf-8")
        changed = re.sub(r"(?m)^grace_s = \d+$", f"grace_s = {grace_s}", text)
        file.write_text(changed, encoding="utf-8")
        try:
            if CoordinatorConfig.load(self.operator_folder).patience.grace_s != grace_s:
                raise LookupError("grace_s is written in another way")
            yield
        finally:
            file.write_text(text, encoding="utf-8")

    def run_while_customers_withdraw(self, said: Mapping[str, tuple[Path, str]]) -> bytes:
        """One whole run, after whose first round customers withdraw; its id.

        Args:
            said: For each node the table that is added to, and the lines; nodes stand still
                meanwhile, so that none reads half a table, and all read the tables anew before
                their next answer.
        """
        run_id = self.request()
        self.await_progress(run_id, lambda row: bool(row.progress) and row.progress["round"] >= 2)
        pids = [self.nodes[name].pid for name in said]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            for table, lines in said.values():
                with table.open("a", encoding="utf-8") as file:
                    file.write(lines)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        row = self.await_end(run_id)
        if row.state != "finished":
            raise RuntimeError(f"the run did not finish: {row}")
        return run_id

    def answers(self, run_id: bytes, name: str) -> list[Manifest]:
        """The manifest of each answer of a run that left a node, in the order of rounds."""
        with self.node_store(name) as store:
            numbers = [
                r.manifest for r in store.egress() if r.run_id == run_id and r.customers is not None
            ]
            return [Manifests(store).get(number or 0).manifest for number in numbers]

    def check_withdrawn(self, run_id: bytes, name: str, *, customers: int) -> None:
        """One customer of a node was out of the next round, by the manifests of its answers.

        Args:
            customers: How many were counted before.
        """
        counted = [answer.customers for answer in self.answers(run_id, name)]
        rounds = self.release(run_id).rounds
        before = counted.index(customers - 1)
        assert before >= 1, "nobody was counted before the customer withdrew"
        assert counted == [customers] * before + [customers - 1] * (rounds - before)

    @property
    def agreement(self) -> Agreement:
        """The newest agreement, verified."""
        with self.store() as store:
            return store.agreements()[0].verify()

    def release(self, run_id: bytes) -> Release:
        """A run's release at the coordinator, verified."""
        with self.store() as store:
            return SignedRelease.from_bytes(store.release(run_id)).verify(self.agreement)

    def sqlite_files(self) -> list[Path]:
        """Every SQLite database in the deployment's folder.

        Another process looks into the files: one that closes a file by itself loses the locks that
        its own SQLite holds on it, and may read an old state of it ever after
        (https://www.sqlite.org/howtocorrupt.html, 2.2).
        """
        done = subprocess.run(
            [sys.executable, "-c", _DATABASES_BELOW, str(self.directory)],
            check=True,
            capture_output=True,
            text=True,
        )
        return [Path(line) for line in done.stdout.splitlines()]


_DATABASES_BELOW: Final = """
import sys
from pathlib import Path
for path in sorted(Path(sys.argv[1]).rglob("*")):
    if path.is_file():
        with path.open("rb") as file:
            if file.read(16) == b"SQLite format 3" + bytes(1):
                print(path)
"""


def make_coordinator(
    directory: Path,
    *,
    grace_s: int = 30,
    resend_s: int = 1,
    control: bool = False,
    store: str = FILE,
) -> Path:
    """A coordinator's folder, on a free port that it keeps over restarts.

    Args:
        control: Whether partners can join by invitation.
        store: Where its state is, as `init` has it.
    """
    folder = directory / "coordinator"
    operator_setup.init(
        legal_name="Test operator",
        contact="operator@coordinator.example",
        directory=folder,
        port=free_port(),
        control_port=free_port() if control else None,
        by_hand=not control,
        grace_s=grace_s,
        store=store,
    )
    config = folder / "coordinator.toml"
    text = config.read_text()
    config.write_text(text.replace("resend_s = 5", f"resend_s = {resend_s}"))
    if CoordinatorConfig.load(folder).patience.resend_s != resend_s:
        raise LookupError("resend_s is written in another way")
    return folder


#: What scrypt gave in this process.
_DERIVED: Final = lru_cache(maxsize=None)(keystore._derive)


@contextmanager
def cheap_key_stores() -> Iterator[None]:
    """New key stores open eight times as fast, and one that was opened here at once.

    What scrypt costs is tested with the key store.
    """
    with pytest.MonkeyPatch.context() as patch:
        create = staticmethod(partial(Keystore.create, log2_n=MIN_LOG2_N))
        patch.setattr(keystore, "_derive", _DERIVED)
        patch.setattr(Keystore, "create", create)
        patch.setattr(Keystore, "save", partialmethod(Keystore.save, log2_n=MIN_LOG2_N))
        yield


def make_node(directory: Path, name: str, data: PartnerData, *, address: str = "") -> Path:
    """A node's folder."""
    folder = directory / name
    query_file = None
    if data.query is not None:
        query_file = directory / f"{name}.sql"
        query_file.write_text(data.query, encoding="utf-8")
    config = CoordinatorConfig.load(directory / "coordinator")
    with cheap_key_stores():
        partner_setup.init(
            partner=name,
            legal_name=f"Shop {name}",
            contact=f"dpo@{name}.example",
            jurisdiction=["DE"],
            coordinator=address or f"127.0.0.1:{config.port}",
            root_certificates=directory / "coordinator" / "tls" / "coordinator-ca.crt",
            data=data.file,
            id_column=data.id_column,
            query_file=query_file,
            consents=directory / f"{name}-consents.csv",
            youngest_customer=18,
            max_customers=200_000,
            directory=folder,
        )
    grant(folder, directory / f"{name}-consents.csv")
    return folder


def say_units(folder: Path, features: Sequence[Mapping[str, Any]]) -> None:
    """A node's data have the features in the agreed units, as its configuration says."""
    file = folder / "node.toml"
    before, heading, after = file.read_text(encoding="utf-8").partition("[data.units]\n")
    rest = after[after.index("\n\n") :]
    lines = [f'{feature["name"]} = "{feature["unit"]}"' for feature in features]
    file.write_text(before + heading + "\n".join(lines) + rest, encoding="utf-8")


def grant(folder: Path, consents: Path) -> None:
    """Everybody in a node's data agrees, as its consent table says."""
    config = NodeConfig.load(folder / "node.toml")
    source = open_source(config.data, config.limits)
    lines = [f"{config.data.id_column},event,time,purpose,notice"]
    for chunk in source.chunks((), max_rows=100_000):
        lines += [f"{i},ConsentGiven,2026-01-01T00:00:00Z,{SEGMENTATION},1" for i in chunk.ids]
    consents.write_text("\n".join(lines) + "\n", encoding="utf-8")


def draft_agreement(
    directory: Path,
    names: Sequence[str],
    *,
    features: Sequence[Mapping[str, Any]],
    n_clusters: int = 4,
    max_rounds: int = 50,
    min_segment_size: int = 2,
    id: str = "test-segments",
    epsilon: str = "",
    satisfaction: Mapping[str, Any] | None = None,
    fewest: int | None = None,
    start: str = "release",
    supersedes: Agreement | None = None,
    joined: bool = False,
) -> Path:
    """The file that partners sign; exact totals unless there is an `epsilon`.

    Args:
        supersedes: The version before, if this is a later one.
        fewest: The fewest clusters where their number is to be chosen.
        start: What a run starts from: the last release, or ``anew``.
        satisfaction: What customers are asked about how satisfied they are.
        joined: Whether the coordinator has the cards, as the partners joined by invitation.
    """
    version = 1 if supersedes is None else supersedes.version + 1
    stem = id if supersedes is None else f"{id}-{version}"
    draft = directory / f"{stem}.yaml"
    drafting.draft(
        out=draft,
        card=None if joined else [directory / name / "partner-card.json" for name in names],
        joined=joined,
        id=id,
        epsilon=epsilon or None,
        exact=not epsilon,
        start=drafting.Start(start),
        directory=directory / "coordinator",
    )
    yaml = YAML()
    values = yaml.load(draft.read_text(encoding="utf-8"))
    values["features"] = [dict(feature) for feature in features]
    values["plan"]["n_clusters"] = n_clusters
    values["plan"]["max_rounds"] = max_rounds
    if epsilon:
        values["plan"]["n_clusters_min"] = fewest or n_clusters
    if satisfaction is not None:
        values["plan"]["satisfaction"] = dict(satisfaction)
    if supersedes is not None:
        values["version"], values["supersedes"] = version, supersedes.hash.hex()
    values["min_segment_size"] = min_segment_size
    values["min_customers_per_partner"] = 1
    with draft.open("w", encoding="utf-8") as file:
        yaml.dump(values, file)
    for name in names:
        say_units(directory / name, features)
    unsigned = directory / f"{stem}-unsigned.json"
    drafting.draft(out=unsigned, source=draft)
    return unsigned


def sign_agreement(directory: Path, unsigned: Path, names: Sequence[str]) -> Path:
    """Every partner signs; the coordinator publishes. The complete file is returned."""
    copies = []
    for name in names:
        copies.append(unsigned.with_name(f"{unsigned.stem}-{name}.json"))
        partner_agreement.sign(file=unsigned, out=copies[-1], directory=directory / name)
    complete = unsigned.with_name(f"{unsigned.stem}-complete.json")
    operator_agreement.publish(files=copies, out=complete, directory=directory / "coordinator")
    return complete


def admit(directory: Path, names: Sequence[str]) -> None:
    """Let nodes through the public port."""
    operator_partner.admit(
        cards=[directory / name / "partner-card.json" for name in names],
        directory=directory / "coordinator",
    )


def make_deployment(
    directory: Path,
    data: Mapping[str, PartnerData],
    *,
    grace_s: int = 30,
    resend_s: int = 1,
    environment: Mapping[str, str] | None = None,
    node_address: str = "",
    control: bool = False,
    store: str = FILE,
    **agreement: Any,
) -> Deployment:
    """Everything that comes before the first `serve`: folders, keys, a signed agreement.

    Args:
        data: Each partner's customers, by the partner's name.
        environment: Added to the environment of all processes.
        node_address: Where nodes connect to, when not straight to the public port.
        control: Whether the coordinator has a control port.
        store: Where the coordinator's state is, as `init` has it.
        agreement: For `draft_agreement`.
    """
    names = tuple(data)
    make_coordinator(directory, grace_s=grace_s, resend_s=resend_s, control=control, store=store)
    for name, own in data.items():
        make_node(directory, name, own, address=node_address)
    agreement.setdefault("features", plain_features())
    unsigned = draft_agreement(directory, names, **agreement)
    complete = sign_agreement(directory, unsigned, names)
    for name in names:
        partner_agreement.install(file=complete, directory=directory / name)
    admit(directory, names)
    return Deployment(
        directory=directory,
        names=names,
        coordinator=serving(
            "coordinator", directory / "coordinator", environment=environment or {}
        ),
        nodes={n: serving("node", directory / n, environment=environment or {}) for n in names},
    )


def serving(side: str, folder: Path, *, environment: Mapping[str, str] | None = None) -> Serving:
    """The process that serves a folder, not started yet."""
    return Serving(
        command=[program(side), "serve", "--dir", str(folder)],
        log=folder.parent / f"{folder.name}.log",
        environment=environment or {},
    )


@contextmanager
def running(deployment: Deployment) -> Iterator[Deployment]:
    """Start everything, and end it afterwards."""
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.stop()


def pooled_release(agreement: Agreement, run_hash: bytes, values: np.ndarray) -> Release:
    """What one holder of all rows would release: Lloyd in plain integers, from the run's start.

    Args:
        values: All partners' customers in input units, shape ``(n_samples, n_features)``.
    """
    grid = customer_vectors(FeatureScale.of(agreement.coordinates).to_grid(values)).astype(np.int64)
    rows = grid[:, : agreement.n_coordinates]
    squares = np.rint((rows.astype(object) ** 2).sum(axis=1).astype(float) / 2**EXACT_FRACTION_BITS)
    plan = LloydExact.start(
        n_clusters=agreement.plan.n_clusters,
        limit=FeatureScale.of(agreement.coordinates).limit,
        max_rounds=agreement.plan.max_rounds,
        seed=plan_seed(run_hash),
    )
    while plan.result is None:
        distances = ((rows[:, None, :] - plan.centroids[None, :, :]) ** 2).sum(axis=2)
        nearest = distances.argmin(axis=1)
        table = np.zeros((agreement.plan.n_clusters, agreement.n_coordinates + 2), dtype=np.int64)
        np.add.at(table[:, :-2], nearest, rows)
        np.add.at(table[:, -2], nearest, squares.astype(np.int64))
        np.add.at(table[:, -1], nearest, 1)
        plan = plan.advance(table.ravel(), customers=len(rows))
    members = frozenset(range(agreement.n_partners))
    return make_release(agreement, plan.result, run_hash=run_hash, members=members)


def integrity(file: Path) -> str:
    """What SQLite says about a database file: ``ok`` when it is sound."""
    with closing(sqlite3.connect(file, timeout=60)) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
