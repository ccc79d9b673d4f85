"""A consortium in empty folders: an operator, four partners with customers in four kinds of
sources, and a fifth who comes later.
"""

from __future__ import annotations

import csv
import socket
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from coordinator.runs.due import past
from protocol.agreement.governance import SEGMENTATION
from tests.connect_proxy import ConnectProxy, connect_proxy
from tests.end_to_end import deployment as deploy
from tests.end_to_end.command_line import PATIENCE_S, command
from tests.end_to_end.deployment import Deployment
from tests.end_to_end.story import Story
from tests.end_to_end.transport_support import free_port, wait_for
from tests.partner_node.postgresql_server import Database, running_server
from tests.shell import Done

OPERATOR: Final = "operator"
#: The first four, with where their customers are, and who comes later.
KINDS: Final = {"north": "csv", "east": "parquet", "south": "sqlite", "west": "postgresql"}
LATE: Final = "harbour"
EVERYBODY: Final = (*KINDS, LATE)
#: The partner that gets out through an HTTP proxy alone, and what that asks for.
BEHIND: Final = "north"
LOGIN: Final = "user:pass word"
EACH: Final = 400
FEATURES: Final = ("recency", "frequency", "monetary")
UNITS: Final = ("recency=days", "frequency=orders", "monetary=EUR")
#: Middles of the four groups of customers, in the features' units.
_GROUPS: Final = ((20, 40, 3000), (300, 2, 60), (40, 6, 150), (200, 90, 20000))
_ACCOUNT: Final = "fedseg"


def said(side: str, *words: object) -> dict[str, Any]:
    """The data of a command that succeeds; it is no part of the story."""
    done = command(side, *words, "--format", "json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = Done(done.returncode, done.stdout, done.stderr).envelope["data"]
    return found


@dataclass
class Consortium:
    """The story, the processes, and where customers are."""

    story: Story
    deployment: Deployment
    database: Database
    proxy: ConnectProxy
    schema: str
    port: int
    codes: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where everybody works."""
        return self.story.folder

    def source(self, name: str) -> Sequence[object]:
        """How a partner says where its customers are."""
        kind = KINDS.get(name, "csv")
        if kind == "postgresql":
            return (
                "--kind", kind, "--host", self.database.socket_folder, "--database", "postgres",
                "--user", _ACCOUNT, "--ssl", "disable", "--table", f"{self.schema}.customers",
            )  # fmt: skip
        table = ("--table", "customers") if kind == "sqlite" else ()
        return "--kind", kind, "--data", _file(name, kind), *table

    def join(self, name: str, invitation: str) -> None:
        """A partner joins, tells its code, and serves."""
        way: tuple[object, ...] = ()
        if name == BEHIND:
            way = ("--proxy", self.proxy.url, "--proxy-password-file", "proxy-password")
        done = self.story.give(
            name, "join", invitation, "--dir", name, "--legal-name", f"Shop {name}",
            "--contact", f"office@{name}.example", "--jurisdiction", "DE", *self.source(name),
            "--id-column", "customer_id", "--consents", f"{name}-consents.csv",
            "--youngest-customer", 18, *(w for unit in UNITS for w in ("--unit", unit)), *way,
        )  # fmt: skip
        listed = said("coordinator", "partner", "list", "--dir", "coordinator")["partners"]
        (self.codes[name],) = [one["code"] for one in listed if one["partner"] == name]
        assert self.codes[name] in done, "both sides show the same code"
        self.story.serve(name, self.deployment.nodes[name])

    def sign(self, name: str, hash: str, *, told: bool = True) -> None:
        """A partner reads the proposed agreement and signs it."""
        if told:
            assert hash[:12] in self.story.give(name, "agreement", "proposals", "--dir", name)
        for act in ("show", "sign"):
            self.story.give(name, "agreement", act, "--proposed", hash[:12], "--dir", name)

    def propose(self, file: str) -> str:
        """The operator proposes an agreement; its hash."""
        self.story.give(OPERATOR, "agreement", "propose", file, "--dir", "coordinator")
        newest = said("coordinator", "agreement", "status", "--dir", "coordinator")["proposals"]
        (one,) = [found for found in newest if not found["complete"]]
        return str(one["agreement_hash"])

    def await_version(self, version: int, names: Sequence[str]) -> None:
        """Every node has taken a version up by itself."""
        for name in names:
            node = self.deployment.nodes[name]
            wait_for(
                lambda node=node: f"version {version}, is in force" in node.said(),
                timeout_s=PATIENCE_S,
                what=f"version {version} at {name}",
            )

    def scheduled(self, version: int) -> bytes:
        """The id of the run that the schedule began under a version, once it did."""
        found: list[bytes] = []

        def begun() -> bool:
            now = datetime.now(UTC)
            with self.deployment.store() as store:
                found[:] = [
                    due.run_id for due in past(store, now) if due.version == version and due.run_id
                ]
            return bool(found)

        wait_for(begun, timeout_s=PATIENCE_S, what="a run by the schedule")
        return found[0]

    def edit(self, file: str, **values: Any) -> None:
        """The operator changes a draft in an editor."""
        yaml = YAML()
        path = self.folder / file
        draft = yaml.load(path.read_text(encoding="utf-8"))
        for name, value in values.items():
            if isinstance(value, dict) and name in draft:
                draft[name].update(value)
            else:
                draft[name] = value
        with path.open("w", encoding="utf-8") as opened:
            yaml.dump(draft, opened)

    def restart(self, name: str) -> None:
        """A partner's process ends as a supervisor ends it, and is started again."""
        node = self.deployment.nodes[name]
        times = node.said().count("link: connected")
        assert node.stop() == 0
        node.start()
        self.deployment.await_connected(name, times=times + 1)


def every_day(at: datetime) -> dict[str, Any]:
    """A schedule whose moment today is at a time, and open for a day."""
    return {
        "every": 1, "unit": "days", "first_day": f"{at:%Y-%m-%d}", "at": f"{at:%H:%M}",
        "window_hours": 24,
    }  # fmt: skip


def this_minute() -> datetime:
    """Now, to the minute; never midnight, when the first schedule's moment is."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    return now.replace(minute=max(1, now.minute)) if now.hour == 0 else now


@contextmanager
def consortium(folder: Path, runtime: Path) -> Iterator[Consortium]:
    """Folders of customers and nothing else, and a database server of one partner.

    Args:
        folder: Where everybody works.
        runtime: For the server's package.
    """
    with running_server(runtime) as database, connect_proxy(credentials=LOGIN) as proxy:
        port = _free_pair()
        schema = database.schema()
        for number, name in enumerate(EVERYBODY):
            _write(folder, name, number, database, schema)
        secret = folder / "proxy-password"
        secret.write_text(LOGIN, encoding="utf-8")
        secret.chmod(0o600)
        deployment = Deployment(
            directory=folder,
            names=tuple(KINDS),
            coordinator=deploy.serving("coordinator", folder / "coordinator"),
            nodes={name: deploy.serving("node", folder / name) for name in EVERYBODY},
        )
        story = Story(
            folder,
            shown={
                database.socket_folder: "/run/postgresql",
                f"{schema}.customers": "crm.customers",
                proxy.url: "http://proxy.example:8080",
                f"127.0.0.1:{proxy.port}": "proxy.example:8080",
                str(port + 1): "9444",
                str(port): "9443",
                f"{folder}/": "",
            },
        )
        made = Consortium(story, deployment, database, proxy, schema, port)
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(folder)
                patch.setenv("COLUMNS", "100")
                yield made
        finally:
            deployment.stop()


def _free_pair() -> int:
    """A port that is free, as the one after it is."""
    for _ in range(50):
        if _is_free((port := free_port()) + 1):
            return port
    raise LookupError("no two ports in a row are free")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _file(name: str, kind: str) -> str:
    return f"{name}.{'db' if kind == 'sqlite' else kind}"


def _customers(number: int) -> np.ndarray:
    """Customers of the four groups, as many of each."""
    rng = np.random.default_rng(number)
    middles = np.array(_GROUPS, dtype=float)[np.arange(EACH) % len(_GROUPS)]
    spread = middles * rng.normal(1.0, 0.1, (EACH, len(FEATURES)))
    return np.clip(np.rint(spread), 0, [365, 200, 50_000]).astype(int)


def _write(folder: Path, name: str, number: int, database: Database, schema: str) -> None:
    """A partner's customers where its systems have them, and everybody's consent."""
    values = _customers(number)
    ids = [f"{name}-{i}" for i in range(EACH)]
    kind = KINDS.get(name, "csv")
    table = pa.table({"customer_id": ids, **dict(zip(FEATURES, values.T, strict=True))})
    rows = [[id, *row] for id, row in zip(ids, values.tolist(), strict=True)]
    if kind == "csv":
        with (folder / _file(name, kind)).open("w", newline="") as opened:
            csv.writer(opened).writerows([["customer_id", *FEATURES], *rows])
    elif kind == "parquet":
        pq.write_table(table, folder / _file(name, kind))
    elif kind == "sqlite":
        with closing(sqlite3.connect(folder / _file(name, kind))) as file, file:
            columns = ", ".join(f"{feature} INTEGER" for feature in FEATURES)
            file.execute(f"CREATE TABLE customers (customer_id TEXT, {columns})")
            file.executemany("INSERT INTO customers VALUES (?, ?, ?, ?)", rows)
    else:
        database.ingest(table, schema, "customers")
        database.run(
            f"CREATE ROLE {_ACCOUNT} LOGIN;; GRANT USAGE ON SCHEMA {schema} TO {_ACCOUNT};;"
            f"GRANT SELECT ON {schema}.customers TO {_ACCOUNT}"
        )
    lines = [f"{id},ConsentGiven,2026-01-01T00:00:00Z,{SEGMENTATION},1" for id in ids]
    header = "customer_id,event,time,purpose,notice"
    (folder / f"{name}-consents.csv").write_text("\n".join([header, *lines, ""]), encoding="utf-8")
