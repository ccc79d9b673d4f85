"""Three partners with three kinds of source and three consent systems, deployed, from end to end.

North has a PostgreSQL server and a CRM's table of consents; middle a folder of Parquet files and
the receipts of a consent platform; south a CSV file and an event log in JSON lines. Each has
numbers, a membership and a channel, of which some are missing. A customer of each withdraws in the
middle of the run. Most customers have said how satisfied they are.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from coordinator.config import CoordinatorConfig
from partner_node.cli import agreement as partner_agreement
from partner_node.cli import feedback as partner_feedback
from partner_node.cli import setup as partner_setup
from partner_node.home import NodeHome
from partner_node.store.ledger import Ledger
from partner_node.store.refusals import Refusals
from protocol.agreement.governance import SEGMENTATION
from protocol.errors import RuleError
from protocol.percents import percent_words
from protocol.release.document import release_centres
from protocol.scaling import FeatureScale
from tests.end_to_end import deployment as deploy
from tests.end_to_end.command_line import command
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


#: What the agreement says of a membership and a channel, and each channel's place among its levels.
LEVELS: list[dict[str, Any]] = [
    {"name": "member", "type": "boolean", "unit": "of the loyalty club", "weight": "0.5",
     "necessity": "tells customers apart"},
    {"name": "channel", "type": "categorical", "unit": "of most orders", "weight": "0.5",
     "levels": ["web", "shop", "phone"], "other": "phone",
     "missing": {"rule": "replace", "value": "shop"}, "necessity": "tells customers apart"},
]  # fmt: skip
PLACES = {"web": 0, "shop": 1, None: 1, "fax": 2}


def levels_of(name: str) -> dict[str, list[Any]]:
    """Who is a member, and through which channel each buys; no channel is known of some."""
    spent = values_of(name)[:, 2]
    channels = ["web", "shop", None, "fax"]
    return {
        "member": [bool(value > np.median(spent)) for value in spent],
        "channel": [channels[i % 7 % 4] for i in range(EACH)],
    }


#: What customers are asked. Who spends more is more satisfied; every fifth does not answer.
QUESTION = {"question": "How satisfied are you with us?", "lowest": 1, "highest": 5}


def scores_of(name: str) -> dict[str, float]:
    """What the customers who answered said, by id."""
    spent = values_of(name)[:, 2]
    place = spent.argsort().argsort() / EACH
    return {i: 1 + round(8 * place[n]) / 2 for n, i in enumerate(ids_of(name)) if n % 5}


def coordinates_of(name: str) -> np.ndarray:
    """What the sums see of customers, worked out here: one number a feature or a channel."""
    levels = levels_of(name)
    channels = np.eye(3)[[PLACES[channel] for channel in levels["channel"]]]
    return np.column_stack([values_of(name), np.array(levels["member"], dtype=float), channels])


def table_of(name: str) -> pa.Table:
    columns: dict[str, Any] = {"customer_id": ids_of(name)}
    numbers = dict(zip(COLUMNS, values_of(name).T.copy(), strict=True))
    return pa.table(columns | numbers | levels_of(name))


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

    def withdrawal(self) -> tuple[Path, str]:
        """What is written, and where, when the customer who withdraws does."""
        return self.path, self.row(f"{self.name}-{WITHDRAWS}", LATER, given=False)


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
            levels = levels_of("south")
            writer.writerow(["customer_id", *COLUMNS, *levels])
            members = ["Yes" if member else "No" for member in levels["member"]]
            rows = zip(ids_of("south"), values_of("south").tolist(), members, levels["channel"],
                       strict=True)  # fmt: skip
            writer.writerows([i, *row, member, channel or ""] for i, row, member, channel in rows)
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
                partner_setup.init(
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
            directory, NAMES, features=[*deploy.plain_features(), *LEVELS], n_clusters=3,
            epsilon="2", min_segment_size=50, max_rounds=12, satisfaction=QUESTION,
        )  # fmt: skip
        complete = deploy.sign_agreement(directory, unsigned, NAMES)
        for name in NAMES:
            partner_agreement.install(file=complete, directory=directory / name)
            said_by = directory / f"said-{name}.csv"
            lines = (f"{i},satisfaction,{GIVEN},{score}\n" for i, score in scores_of(name).items())
            said_by.write_text("customer_id,kind,at,score\n" + "".join(lines), encoding="utf-8")
            partner_feedback.import_(file=said_by, directory=directory / name)
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
    return deployed.run_while_customers_withdraw(
        {name: file.withdrawal() for name, file in consents.items()}
    )


@pytest.mark.parametrize("name", NAMES)
def test_numbers_levels_and_what_is_missing_are_read_alike_from_every_source(
    deployed: Deployment, name: str
) -> None:
    scale = FeatureScale.of(deployed.agreement.coordinates)
    expected = dict(zip(ids_of(name), scale.to_grid(coordinates_of(name)).tolist(), strict=True))
    customers = NodeHome.load(deployed.folder(name)).customers(deployed.agreement, None)
    found: dict[str, list[float]] = {}
    for ids, vectors in customers.identified():
        found.update(zip(ids.tolist(), vectors[:, :-2].tolist(), strict=True))
    assert found == expected
    words = ("data", "check", "--dir", deployed.folder(name), "--format", "json")
    done = command("node", *words)
    assert done.returncode == 0, done.stderr
    notes = " | ".join(json.loads(done.stdout)["data"]["notes"])
    none, others = (levels_of(name)["channel"].count(channel) for channel in (None, "fax"))
    assert f"channel: {none} customers ({percent_words(none / EACH)}) have no value" in notes
    assert f"channel: {others} values are no agreed level" in notes


def test_the_segments_have_the_shares_at_each_level(deployed: Deployment, ended: bytes) -> None:
    release = deployed.release(ended)
    centres = release_centres(release, deployed.agreement)
    assert centres.shape == (len(release.segments), 7)
    sizes = np.array([segment.size for segment in release.segments], dtype=float)
    overall = sizes @ centres / sizes.sum()
    expected = np.vstack([coordinates_of(name) for name in NAMES]).mean(axis=0)
    assert overall[3:] == pytest.approx(expected[3:], abs=0.15)  # the rest is noise


def test_the_release_tells_how_satisfied_each_segments_customers_are(
    deployed: Deployment, ended: bytes
) -> None:
    """Of those who may be counted in the last round, and answered; nothing else left a node."""
    agreement, release = deployed.agreement, deployed.release(ended)
    terms = agreement.plan.satisfaction
    assert terms is not None
    scale = FeatureScale.of(agreement.coordinates)
    scores: list[list[float]] = [[] for _ in release.segments]
    for name in NAMES:
        grid = scale.to_grid(coordinates_of(name))
        offsets = grid[:, None, :] - release.centres[None].astype(float)
        nearest = (offsets**2).sum(axis=2).argmin(axis=1)
        for i, place in zip(ids_of(name), nearest.tolist(), strict=True):
            if i in scores_of(name) and i not in (f"{name}-{WITHDRAWS}", f"{name}-{NEVER}"):
                scores[place].append(scores_of(name)[i])
    told = 0
    for segment, own in zip(release.segments, scores, strict=True):
        found = segment.satisfaction
        if found is None:
            continue
        told += 1
        assert abs(found.answered - len(own)) <= 4.5 * found.answered_sigma
        assert abs(found.score(terms) - np.mean(own)) <= 2.5 * found.margin(terms)
    assert told, "all had enough answers, as the noise goes"
    for name in NAMES:
        last = deployed.answers(ended, name)[-1]
        assert last.question is not None
        assert "how satisfied" in last.question.words
        assert last.customers == EACH - 2
        words = ("segments", "show", "--dir", deployed.folder(name), "--format", "json")
        done = command("node", *words)
        assert done.returncode == 0, done.stderr
        cards = json.loads(done.stdout)["data"]["segments"]
        assert sum(card["satisfaction"] is not None for card in cards) == told


@pytest.mark.parametrize("name", NAMES)
def test_who_withdraws_in_mid_run_is_out_of_the_next_round_by_the_manifests(
    deployed: Deployment, ended: bytes, name: str
) -> None:
    deployed.check_withdrawn(ended, name, customers=EACH - 1)
    answers = deployed.answers(ended, name)
    assert [answer.round for answer in answers] == list(range(deployed.release(ended).rounds))
    assert {answer.receiver for answer in answers} == {"Test operator"}
    done = command("node", "budget", "show", "--dir", deployed.folder(name), "--format", "json")
    assert done.returncode == 0, done.stderr
    charges = json.loads(done.stdout)["data"]["charges"]
    assert {charge["run_id"] for charge in charges} == {ended.hex()}
    assert [str(answer.question.share_variance) for answer in answers if answer.question] == [
        charge["share_variance"] for charge in charges
    ]


@pytest.mark.parametrize("name", NAMES)
def test_each_partner_exports_its_own_customers_who_may_be_counted_now(
    deployed: Deployment, ended: bytes, name: str
) -> None:
    out = deployed.folder(name) / "crm-import.csv"
    words = ("segments", "export", "--for", "own-marketing", "--out", out)
    done = command("node", *words, "--dir", deployed.folder(name), "--format", "json")
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


def test_after_a_signed_stop_every_node_refuses_and_nothing_is_read_or_charged(
    deployed: Deployment, ended: bytes, consents: dict[str, ConsentFile]
) -> None:
    """The last test here: a stop cannot be taken back."""
    stop = deployed.directory / "stop.json"

    def said(side: str, folder: Path, *words: object, status: int = 0) -> dict[str, Any]:
        done = command(side, *words, "--dir", folder, "--format", "json")
        assert done.returncode == status, done.stderr
        data: dict[str, Any] = json.loads(done.stdout)["data"]
        return data

    def left(name: str) -> tuple[list[bytes], int, int]:
        with deployed.node_store(name) as store:
            charges = [charge.context for charge in Ledger(store).charges()]
            return charges, len(store.egress()), len(store.runs())

    def refusals(name: str) -> list[tuple[bytes, str]]:
        with deployed.node_store(name) as store:
            return [(r.run_id, r.code) for r in Refusals(store).all()]

    agreement = deployed.agreement
    words = ("agreement", "stop", "--yes", "--reason", "a breach", "--out", stop)
    stopped = said("node", deployed.folder("north"), *words)
    assert (stopped["partner"], stopped["agreement_hash"]) == ("north", agreement.hash.hex())
    for name in ("middle", "south"):
        taken = said("node", deployed.folder(name), "agreement", "accept-stop", stop)
        assert (taken["partner"], taken["runs_ended"]) == ("north", [])

    # The coordinator goes on as if there were no stop. Whoever looked for consents or customers
    # now would say so, by another code: there are none any more.
    before = {name: left(name) for name in NAMES}
    for name in NAMES:
        assert before[name][0], "the run before was charged"
        consents[name].path.unlink()
    (deployed.directory / "south.csv").unlink()
    asked: list[bytes] = []
    while not all(any(code == "E-WITHDRAWN" for _, code in refusals(n)) for n in NAMES):
        assert len(asked) < 5, "a node is never asked"
        asked.append(deployed.request())  # the first refusal ends it: not all may have been asked
        row = deployed.await_end(asked[-1])
        assert (row.state, row.code) == ("failed", "E-WITHDRAWN"), row
        assert "breach" not in row.reason
    for name in NAMES:
        codes = {code for run_id, code in refusals(name) if run_id in asked or not run_id}
        # When a run ends, its driver says so also to nodes that never opened it.
        assert codes - {"E-RUN-OTHER"} == {"E-WITHDRAWN"}
        assert left(name) == before[name], "nothing was charged, nothing left, no run began"

    taken = said("coordinator", deployed.operator_folder, "agreement", "stop", stop)
    assert (taken["partner"], taken["runs_ended"]) == ("north", [])
    error = said("coordinator", deployed.operator_folder, "run", "start", status=3)
    assert error["code"] == "E-WITHDRAWN"
    with pytest.raises(RuleError, match="north stopped agreement"):
        deployed.request()
