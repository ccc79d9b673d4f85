"""Real input: one retailer's invoices, cut into three partners by country, clustered deployed."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import numpy as np
import pytest

from partner_node.home import NodeHome
from protocol.release.document import EXACT_WORDS, release_centres
from protocol.release.personas import release_names
from protocol.scaling import FeatureScale
from simulations.retail_features import ONLINE_RETAIL_FEATURES, ONLINE_RETAIL_QUERY
from tests.end_to_end import deployment as deploy
from tests.end_to_end.command_line import command
from tests.end_to_end.deployment import Deployment, PartnerData
from tests.release_schema import check_release

INVOICES = (
    Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "online_retail_invoices.csv"
)
EUROPE = frozenset(
    {
        *("Austria", "Belgium", "Channel Islands", "Cyprus", "Czech Republic", "Denmark", "EIRE"),
        *("European Community", "Finland", "France", "Germany", "Greece", "Iceland", "Italy"),
        *("Lithuania", "Malta", "Netherlands", "Norway", "Poland", "Portugal", "Spain", "Sweden"),
        "Switzerland",
    }
)
PARTNERS = ("united-kingdom", "rest-of-europe", "rest-of-world")
N_CLUSTERS = 5
FEATURES = [feature.to_dict() for feature in ONLINE_RETAIL_FEATURES]
NAMES = [feature["name"] for feature in FEATURES]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not INVOICES.is_file(), reason="the invoices are not at hand"),
]


def partner_of(country: str) -> str:
    if country == "United Kingdom":
        return "united-kingdom"
    return "rest-of-europe" if country in EUROPE else "rest-of-world"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each partner's invoices, in a file of its own."""
    directory = tmp_path_factory.mktemp("invoices")
    rows: dict[str, list[dict[str, str]]] = {name: [] for name in PARTNERS}
    with INVOICES.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        header = list(reader.fieldnames or ())
        for row in reader:
            rows[partner_of(row["Country"])].append(row)
    for name, own in rows.items():
        with (directory / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, header)
            writer.writeheader()
            writer.writerows(own)
    assert min(map(len, rows.values())) > 100
    return {name: directory / f"{name}.csv" for name in PARTNERS}


@pytest.fixture(scope="module")
def features(files: dict[str, Path]) -> dict[str, np.ndarray]:
    """Each partner's feature rows, computed here with DuckDB from the partner's file."""
    return {name: _features(path) for name, path in files.items()}


def _features(path: Path) -> np.ndarray:
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE VIEW input AS SELECT * FROM read_csv(?, header = true, all_varchar = true)"
            .replace("?", f"'{path}'")
        )  # fmt: skip
        found = connection.execute(ONLINE_RETAIL_QUERY)
        columns = [column[0] for column in found.description or ()]
        assert columns == ["customer_id", *NAMES]
        return np.array([row[1:] for row in found.fetchall()], dtype=np.float64)


@pytest.fixture(scope="module")
def deployed(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, Path]
) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("retail")
    data = {n: PartnerData(file=path, query=ONLINE_RETAIL_QUERY) for n, path in files.items()}
    made = deploy.make_deployment(
        directory,
        data,
        features=FEATURES,
        n_clusters=N_CLUSTERS,
        max_rounds=40,
        min_segment_size=50,
        grace_s=60,
        resend_s=5,
    )
    with deploy.running(made):
        yield made


@pytest.fixture(scope="module")
def finished(deployed: Deployment) -> SimpleNamespace:
    for name in PARTNERS:
        checked = command("node", "check", "--dir", deployed.folder(name))
        assert checked.returncode == 0, checked.stdout + checked.stderr
    row = deployed.await_end(deployed.request(), timeout_s=240)
    assert row.state == "finished", row
    return SimpleNamespace(row=row, release=deployed.release(row.run_id))


def test_the_release_is_that_of_the_pooled_rows(
    deployed: Deployment, finished: SimpleNamespace, features: dict[str, np.ndarray]
) -> None:
    pooled = np.vstack(list(features.values()))
    expected = deploy.pooled_release(deployed.agreement, finished.release.run_hash, pooled)
    assert finished.release.to_bytes() == expected.to_bytes()
    assert {name: len(rows) for name, rows in features.items()} == {
        name: _customers_counted(deployed, name) for name in PARTNERS
    }


def _customers_counted(deployed: Deployment, name: str) -> int:
    with deployed.node_store(name) as store:
        counted = {r.customers for r in store.egress() if r.customers is not None}
    assert len(counted) == 1, "the same customers in every round"
    return int(counted.pop())


def test_recency_and_frequency_and_spend_agree_with_sums_over_the_pooled_file(
    features: dict[str, np.ndarray],
) -> None:
    """Written down in another way than the feature query: orders and cancellations by invoice."""
    with duckdb.connect() as connection:
        orders, spend, buyers = connection.execute(
            f"""
            WITH lines AS (
                SELECT *, InvoiceNo LIKE 'C%' OR Quantity <= 0 AS is_return
                FROM read_csv('{INVOICES}', header = true, sample_size = -1)
                WHERE CAST(CustomerID AS VARCHAR) NOT IN ('', '(blank)')
            ), buyers AS (
                SELECT DISTINCT CustomerID, Country = 'United Kingdom' AS british,
                    list_contains({sorted(EUROPE)}, Country) AS european
                FROM lines WHERE NOT is_return
            )
            SELECT
                count(DISTINCT (InvoiceNo, lines.CustomerID)) FILTER (WHERE NOT is_return),
                sum(Quantity * UnitPrice),
                (SELECT count(*) FROM buyers)
            FROM lines JOIN buyers ON lines.CustomerID = buyers.CustomerID
                AND (Country = 'United Kingdom') = british
                AND list_contains({sorted(EUROPE)}, Country) = european
            """
        ).fetchall()[0]
    pooled = np.vstack(list(features.values()))
    assert len(pooled) == buyers
    assert pooled[:, NAMES.index("orders")].sum() == orders
    assert pooled[:, NAMES.index("net_spend")].sum() == pytest.approx(
        float(spend), abs=0.01 * buyers
    )
    recency = pooled[:, NAMES.index("recency_days")]
    assert recency.min() >= 1
    assert recency.max() <= 374
    returned = pooled[:, NAMES.index("net_spend")]
    assert (returned <= 0).any(), "some customers sent back more than they kept"


def test_own_assignments_add_up_to_the_sizes_and_totals_of_the_segments(
    deployed: Deployment, finished: SimpleNamespace
) -> None:
    counts: dict[int, int] = dict.fromkeys(range(1, len(finished.release.segments) + 1), 0)
    sums: dict[int, np.ndarray] = {}
    scale = FeatureScale.of(deployed.agreement.coordinates)
    for name in PARTNERS:
        out = deployed.directory / f"{name}-segments.csv"
        done = command(
            "node", "segments", "assign", "--dir", deployed.folder(name), "--out", out,
            "--format", "json",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        for segment, values in _with_features(deployed, name, out):
            counts[segment] += 1
            sums[segment] = sums.get(segment, 0) + scale.to_grid(values[None, :])[0]
    assert finished.release.withheld is None
    assert counts == {s.segment: s.size for s in finished.release.segments}
    if finished.release.converged:
        for segment in finished.release.segments:
            mean = sums[segment.segment] / segment.size
            assert np.abs(mean - segment.centre).max() <= 0.5 + 1e-6


def _with_features(
    deployed: Deployment, name: str, assigned: Path
) -> Iterator[tuple[int, np.ndarray]]:
    with assigned.open(newline="") as file:
        segment_of = {
            row["customer_id"]: int(row["segment_id"].removeprefix("S"))
            for row in csv.DictReader(file)
        }
    path = NodeHome.load(deployed.folder(name)).config.data.place.name
    with duckdb.connect() as connection:
        connection.execute(
            f"CREATE VIEW input AS SELECT * FROM read_csv('{path}', all_varchar = true)"
        )
        rows = connection.execute(ONLINE_RETAIL_QUERY).fetchall()
    assert {row[0] for row in rows} == set(segment_of), "every customer once"
    for row in rows:
        yield segment_of[row[0]], np.array(row[1:], dtype=np.float64)


def test_the_segments_tell_loyal_big_spenders_from_people_who_bought_once(
    deployed: Deployment, finished: SimpleNamespace
) -> None:
    centres = release_centres(finished.release, deployed.agreement)
    sizes = [segment.size for segment in finished.release.segments]
    assert len(sizes) == N_CLUSTERS
    orders, spend, recency = (
        centres[:, NAMES.index(n)] for n in ("orders", "net_spend", "recency_days")
    )
    best = int(np.argmax(orders))
    assert orders[best] >= 5, "regular customers"
    assert spend[best] == spend.max(), "who also spend most"
    assert recency[best] <= 60, "and came lately"
    once = int(np.argmin(orders))
    assert orders[once] < 1.6
    assert spend[once] < spend[best] / 4
    assert recency.max() > 4 * recency[best]
    assert sizes[once] > 200
    called = dict(enumerate(release_names(deployed.agreement, finished.release)))
    assert called[best] == "Loyal big spenders"
    assert "one-time buyers" in called[once]


def test_a_marketer_sees_cards_of_own_customers_and_exports_for_an_agreed_use(
    deployed: Deployment, finished: SimpleNamespace
) -> None:
    folder = deployed.folder("united-kingdom")

    def said(*words: object) -> dict[str, Any]:
        done = command("node", "segments", *words, "--dir", folder, "--format", "json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)["data"]
        return found

    cards = {card["name"]: card for card in said("show")["segments"]}
    assert {"Loyal big spenders", "Lapsed one-time buyers"} <= set(cards)
    out = deployed.directory / "united-kingdom-export.csv"
    (use, *_), forbidden = (
        deployed.agreement.results_use.allowed, deployed.agreement.results_use.forbidden,
    )  # fmt: skip
    said("export", "--for", use, "--out", out)
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name, card in cards.items():
        assert card["do_not_use_for"] == list(forbidden)
        own = sum(row["segment_name"] == name for row in rows)
        reach = card["own_customers"]
        assert reach["least"] is None or reach["least"] <= own <= reach["most"]
    refused = command(
        "node", "segments", "export", "--for", "no-agreed-use", "--out", out, "--dir", folder
    )
    assert (refused.returncode, "E-USE" in refused.stderr) == (3, True)


def test_the_operator_and_each_partner_see_the_same_segments(
    deployed: Deployment, finished: SimpleNamespace
) -> None:
    def data(side: str, *words: object) -> dict[str, Any]:
        done = command(side, *words, "--format", "json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)["data"]
        return found

    shown = check_release(data("coordinator", "release", "show", "--dir", deployed.operator_folder))
    assert shown["privacy"] == EXACT_WORDS
    for name in PARTNERS:
        own = data("node", "segments", "list", "--dir", deployed.folder(name))
        assert own["privacy"] == EXACT_WORDS
        assert own["participants"] == list(PARTNERS)
        assert {k: v for k, v in own.items() if k != "received_at"} == shown, "one view of it"
