"""Three partners with three kinds of source and three consent systems, deployed, from end to end.

North has a PostgreSQL server and a CRM's table of consents; middle a folder of Parquet files and
the receipts of a consent platform; south a CSV file and an event log in JSON lines. A customer of
each withdraws in the middle of the run.
"""

from __future__ import annotations

import csv
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from coordinator.config import CoordinatorConfig
from partner_node import cli as partner
from partner_node.egress.records import Manifests
from protocol.governance import SEGMENTATION
from tests.end_to_end import deployment as deploy
from tests.end_to_end.deployment import COLUMNS, NAMES, Deployment
from tests.partner_node.postgresql_server import running_server

pytestmark = pytest.mark.slow

EACH = 400
#: The customer of each who withdraws in mid-run, and one who never agreed.
WITHDRAWS, NEVER = "7", "8"
GIVEN = "2026-01-10T08:15:00Z"
LATER = "2026-02-10T08:15:00Z"
#: What `node.toml` says of each table beside its path; an event log in our own words needs nothing.
SAID: dict[str, dict[str, Any]] = {
    "north": {
        "columns": {
            "subject": "PartyId",
            "event": "PrivacyConsentStatus",
            "time": "EffectiveFrom",
            "notice": "PolicyVersion",
        },
        "constants": {"purpose": SEGMENTATION},
        "events": {
            "OptIn": "ConsentGiven",
            "OptOut": "ConsentWithdrawn",
            "NotSeen": "ConsentRequested",
        },
    },
    "middle": {
        "delimiter": "|",
        "columns": {
            "subject": "Identifier",
            "event": "Transaction Type",
            "time": "Receipt Date",
            "purpose": "Purpose",
            "notice": "Purpose Version",
        },
        "events": {
            "CONFIRMED": "ConsentGiven",
            "WITHDRAWN": "ConsentWithdrawn",
            "PENDING": "ConsentRequested",
        },
    },
}


def toml(value: str | dict[str, str]) -> str:
    """A value as TOML writes it."""
    if isinstance(value, str):
        return json.dumps(value)
    return "{ " + ", ".join(f"{k} = {json.dumps(v)}" for k, v in value.items()) + " }"


def ids_of(name: str) -> list[str]:
    return [f"{name}-{i}" for i in range(EACH)]


def values_of(name: str) -> np.ndarray:
    return deploy.customers(NAMES.index(name), EACH)


def table_of(name: str) -> pa.Table:
    columns: dict[str, Any] = {"customer_id": ids_of(name)}
    return pa.table(columns | dict(zip(COLUMNS, values_of(name).T.copy(), strict=True)))


class ConsentFile:
    """One partner's record of consents in its own system's form."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path
        header = {
            "north": "PartyId,PrivacyConsentStatus,EffectiveFrom,PolicyVersion\n",
            "middle": "Identifier|Purpose|Purpose Version|Transaction Type|Receipt Date\n",
            "south": "",
        }[name]
        never = f"{name}-{NEVER}"
        rows = "".join(self.row(i, GIVEN, given=True) for i in ids_of(name) if i != never)
        path.write_text(header + rows, encoding="utf-8")

    def row(self, customer: str, time: str, *, given: bool) -> str:
        """One event as this system writes it."""
        if self.name == "north":
            return f"{customer},{'OptIn' if given else 'OptOut'},{time},1\n"
        if self.name == "middle":
            said = "CONFIRMED" if given else "WITHDRAWN"
            return f"{customer}|{SEGMENTATION}|1|{said}|{time}\n"
        event = {
            "customer_id": customer,
            "event": f"dpv:Consent{'Given' if given else 'Withdrawn'}",
            "time": time,
            "purpose": SEGMENTATION,
            "notice": "1",
        }
        return json.dumps(event) + "\n"

    def withdraw(self) -> None:
        """The customer who withdraws does."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(self.row(f"{self.name}-{WITHDRAWS}", LATER, given=False))


@pytest.fixture(scope="module")
def consents() -> dict[str, ConsentFile]:
    return {}


@pytest.fixture(scope="module")
def deployed(
    tmp_path_factory: pytest.TempPathFactory, consents: dict[str, ConsentFile]
) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("three")
    with running_server(tmp_path_factory.mktemp("postgresql")) as database:
        schema = database.schema()
        database.ingest(table_of("north"), schema, "customers")
        folder = directory / "exports"
        folder.mkdir()
        whole = table_of("middle")
        pq.write_table(whole.slice(0, 150), folder / "part-1.parquet")
        pq.write_table(whole.slice(150), folder / "part-2.parquet")
        south = directory / "south.csv"
        with south.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["customer_id", *COLUMNS])
            rows = zip(ids_of("south"), values_of("south").tolist(), strict=True)
            writer.writerows([i, *row] for i, row in rows)
        consents.update(
            north=ConsentFile("north", directory / "crm.csv"),
            middle=ConsentFile("middle", directory / "receipts.csv"),
            south=ConsentFile("south", directory / "log.jsonl"),
        )
        deploy.make_coordinator(directory, grace_s=60, resend_s=1)
        port = CoordinatorConfig.load(directory / "coordinator").port
        sources: dict[str, dict[str, Any]] = {
            "north": {
                "kind": "postgresql", "host": database.socket_folder, "database": "postgres",
                "user": "postgres", "table": f"{schema}.customers",
            },
            "middle": {"kind": "parquet", "data": folder},
            "south": {"kind": "csv", "data": south},
        }  # fmt: skip
        for name, source in sources.items():
            with deploy.cheap_key_stores():
                partner.setup.init(
                    partner=name, legal_name=f"Shop {name}", contact=f"dpo@{name}.example",
                    jurisdiction=["DE"], id_column="customer_id", youngest_customer=18,
                    coordinator=f"127.0.0.1:{port}",
                    root_certificates=directory / "coordinator" / "tls" / "coordinator-ca.crt",
                    consents=consents[name].path, max_customers=EACH, directory=directory / name,
                    **source,
                )  # fmt: skip
        for name, said in SAID.items():
            file = directory / name / "node.toml"
            text = file.read_text(encoding="utf-8")
            line = f"path = {json.dumps(str(consents[name].path))}\n"
            assert text.count(line) == 1
            more = "".join(f"{key} = {toml(value)}\n" for key, value in said.items())
            file.write_text(text.replace(line, line + more), encoding="utf-8")
        unsigned = deploy.draft_agreement(
            directory, NAMES, features=deploy.plain_features(), n_clusters=3, epsilon="2",
            min_segment_size=50,
        )  # fmt: skip
        complete = deploy.sign_agreement(directory, unsigned, NAMES)
        for name in NAMES:
            partner.agreement.install(file=complete, directory=directory / name)
        deploy.admit(directory, NAMES)
        made = Deployment(
            directory=directory,
            names=NAMES,
            coordinator=deploy.serving("coordinator", directory / "coordinator"),
            nodes={name: deploy.serving("node", directory / name) for name in NAMES},
        )
        with deploy.running(made):
            yield made


@pytest.fixture(scope="module")
def ended(deployed: Deployment, consents: dict[str, ConsentFile]) -> bytes:
    """A run in the middle of which a customer of each partner withdrew."""
    run_id = deployed.request()
    deployed.await_progress(run_id, lambda row: bool(row.progress) and row.progress["round"] >= 1)
    pids = [deployed.nodes[name].pid for name in NAMES]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        for file in consents.values():
            file.withdraw()
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    row = deployed.await_end(run_id)
    assert row.state == "finished", row
    return run_id


@pytest.mark.parametrize("name", NAMES)
def test_who_withdraws_in_mid_run_is_out_of_the_next_round_by_the_manifests(
    deployed: Deployment, ended: bytes, name: str
) -> None:
    with deployed.node_store(name) as store:
        numbers = [
            r.manifest for r in store.egress() if r.run_id == ended and r.customers is not None
        ]
        counted = [Manifests(store).get(number or 0).manifest.customers for number in numbers]
    rounds = deployed.release(ended).rounds
    before = counted.index(EACH - 2)
    assert before >= 1
    assert counted == [EACH - 1] * before + [EACH - 2] * (rounds - before)


@pytest.mark.parametrize("name", NAMES)
def test_each_partner_exports_its_own_customers_who_may_be_counted_now(
    deployed: Deployment, ended: bytes, name: str
) -> None:
    out = deployed.folder(name) / "crm-import.csv"
    words = ("segments", "export", "--for", "own-marketing", "--out", out)
    done = deploy.command("node", *words, "--dir", deployed.folder(name), "--format", "json")
    assert done.returncode == 0, done.stderr
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    kept = [i for i in ids_of(name) if i not in (f"{name}-{WITHDRAWS}", f"{name}-{NEVER}")]
    assert sorted(row["customer_id"] for row in rows) == sorted(kept)
    release = deployed.release(ended)
    assert {row["segment_id"] for row in rows} <= {f"S{s.segment}" for s in release.segments}
    assert {row["release"] for row in rows} == {release.hash.hex()[:16]}
    assert all(row["segment_name"] for row in rows)


def test_all_three_hold_the_same_release(deployed: Deployment, ended: bytes) -> None:
    for name in NAMES:
        with deployed.node_store(name) as store:
            assert len(store.releases()) == 1
    assert deployed.release(ended).participants == NAMES
