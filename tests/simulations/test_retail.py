"""Generated transactions, and the features that the demonstration makes of them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from protocol.agreement.features import Feature
from protocol.errors import UsageError
from protocol.strict import Fields
from simulations.retail import (
    COLUMNS,
    FIRST_DAY,
    KINDS,
    LAST_DAY,
    PARTNERS,
    generate,
    partner_profiles,
    write,
)
from simulations.retail_features import (
    FEATURE_QUERY,
    FEATURES,
    ONLINE_RETAIL_FEATURES,
    ONLINE_RETAIL_QUERY,
    feature_query,
)

ONLINE_RETAIL = Path(__file__).parents[3] / "shared" / "data" / "online_retail_invoices.csv"


@pytest.fixture(scope="module")
def partners():
    return generate(n_customers=6_000, seed=7)


def query(sql: str, table: pa.Table) -> list[dict[str, object]]:
    with duckdb.connect() as connection:
        connection.register("input", table)
        return connection.sql(sql).to_arrow_table().to_pylist()


def lines(*rows: tuple[str, str, str | None, int, float]) -> pa.Table:
    return pa.table(dict(zip(COLUMNS, zip(*rows, strict=True), strict=True)))


# --- the generator -------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_transactions_and_another_seed_others():
    first, again, other = (generate(n_customers=90, seed=seed) for seed in (1, 1, 2))
    assert all(a.transactions.equals(b.transactions) for a, b in zip(first, again, strict=True))
    assert all(a.truth.equals(b.truth) for a, b in zip(first, again, strict=True))
    assert not any(a.transactions.equals(b.transactions) for a, b in zip(first, other, strict=True))


def test_partners_differ_in_size_and_in_their_mix_of_customers(partners):
    sizes = [partner.truth.num_rows for partner in partners]
    assert sum(sizes) == 6_000
    assert max(sizes) >= 3 * min(sizes)
    loyal = [
        pc.sum(pc.equal(partner.truth["kind"], "loyal")).as_py() / partner.truth.num_rows
        for partner in partners
    ]
    assert max(loyal) > 2 * min(loyal)


def test_every_customer_has_a_kind_and_at_least_one_order(partners):
    for partner in partners:
        assert set(partner.truth["kind"].to_pylist()) <= set(KINDS)
        orders = query("SELECT DISTINCT customer_id FROM input WHERE quantity > 0",
                       partner.transactions)  # fmt: skip
        assert {row["customer_id"] for row in orders} == set(
            partner.truth["customer_id"].to_pylist()
        )


def test_cancellations_start_with_c_have_negative_quantities_and_follow_an_order(partners):
    for partner in partners:
        found = query(
            """SELECT count(*) FILTER (starts_with(invoice, 'C')) AS cancelled, count(*) AS lines,
                   bool_and(starts_with(invoice, 'C') = (quantity < 0)) AS agree,
                   min(unit_price) AS least, count(DISTINCT date) AS days,
                   min(date) AS first, max(date) AS last
            FROM input""",
            partner.transactions,
        )[0]
        assert found["agree"]
        assert 0.005 < found["cancelled"] / found["lines"] < 0.10
        assert found["least"] > 0
        assert FIRST_DAY <= found["first"] <= found["last"] <= LAST_DAY
        orphans = query(
            """SELECT count(*) AS n FROM input AS c WHERE quantity < 0 AND NOT EXISTS (
                   SELECT 1 FROM input AS o WHERE o.customer_id = c.customer_id
                   AND o.quantity = -c.quantity AND o.unit_price = c.unit_price
                   AND o.date <= c.date)
            """,
            partner.transactions,
        )
        assert orphans == [{"n": 0}]


def test_an_invoice_has_one_customer_and_one_day_and_numbers_rise_with_time(partners):
    for partner in partners:
        mixed = query(
            """SELECT invoice FROM input GROUP BY invoice
            HAVING count(DISTINCT customer_id) > 1 OR count(DISTINCT date) > 1""",
            partner.transactions,
        )
        assert mixed == []
        days = partner.transactions["date"].to_numpy()
        assert (days[1:] >= days[:-1]).all()


def test_sales_follow_the_season_and_the_week(partners):
    table = partners[0].transactions
    rows = query("SELECT month(date) AS m, dayofweek(date) AS d, count(*) AS n FROM input "
                 "WHERE quantity > 0 GROUP BY ALL", table)  # fmt: skip
    by_month = {m: sum(r["n"] for r in rows if r["m"] == m) for m in range(1, 13)}
    by_weekday = {d: sum(r["n"] for r in rows if r["d"] == d) for d in range(7)}
    assert by_month[12] > 1.3 * np.median(list(by_month.values()))
    assert by_weekday[6] > 2 * by_weekday[0]


def test_amounts_have_a_heavy_tail(partners):
    amounts = np.concatenate([np.abs(p.transactions["unit_price"].to_numpy()) for p in partners])
    assert amounts.max() > 4 * np.quantile(amounts, 0.9999) > 200 * np.median(amounts)


def test_kinds_differ_as_their_names_say(partners):
    features = {kind: [] for kind in KINDS}
    for partner in partners:
        kinds = dict(zip(*(column.to_pylist() for column in partner.truth.columns), strict=True))
        for row in query(FEATURE_QUERY, partner.transactions):
            features[kinds[row["customer_id"]]].append(row)
    median = {
        kind: {f.name: float(np.median([row[f.name] for row in rows])) for f in FEATURES}
        for kind, rows in features.items()
    }
    assert median["one-time"]["orders"] == 1
    assert median["loyal"]["orders"] == max(m["orders"] for m in median.values())
    assert median["big-spender"]["net_spend"] == max(m["net_spend"] for m in median.values())
    assert median["lapsed"]["recency_days"] == max(m["recency_days"] for m in median.values())
    assert median["bargain-hunter"]["items_per_order"] == max(
        m["items_per_order"] for m in median.values()
    )
    assert max(median["new"]["tenure_days"], median["seasonal"]["tenure_days"]) < 60


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_files_hold_what_was_generated_and_the_truth_lies_apart(tmp_path, file_format):
    partner = generate(n_customers=60, seed=3)[2]
    files = write(partner, tmp_path, file_format=file_format)
    assert files.transactions == tmp_path / f"loyalty.{file_format}"
    assert files.truth == tmp_path / "ground-truth" / f"loyalty.{file_format}"
    with duckdb.connect() as connection:
        read = connection.sql(f"SELECT * FROM '{files.transactions}'").to_arrow_table()
        truth = connection.sql(f"SELECT * FROM '{files.truth}'").to_arrow_table()
    assert read.to_pylist() == partner.transactions.to_pylist()
    assert truth.to_pylist() == partner.truth.to_pylist()
    assert "kind" not in read.column_names


def test_any_number_of_partners_gets_distinct_names():
    profiles = partner_profiles(20)
    for attribute in ("id", "name", "prefix"):
        assert len({getattr(profile, attribute) for profile in profiles}) == 20
    assert [p.truth.num_rows for p in generate(n_customers=20, seed=0, profiles=profiles)] == [
        1
    ] * 20


@pytest.mark.parametrize(
    "call",
    [
        lambda: generate(n_customers=2, seed=0),
        lambda: generate(n_customers=2, seed=0, profiles=()),
        lambda: generate(n_customers=9, seed=-1),
        lambda: partner_profiles(0),
    ],
)
def test_impossible_requests_are_refused_with_a_way_out(call):
    with pytest.raises(UsageError) as caught:
        call()
    assert caught.value.remedy


def test_an_unknown_file_format_is_refused(tmp_path):
    partner = generate(n_customers=3, seed=0)[0]
    with pytest.raises(UsageError, match="'xlsx'"):
        write(partner, tmp_path, file_format="xlsx")


def test_each_partner_gets_at_least_one_customer_and_mixes_are_complete():
    assert all(len(profile.mix) == len(KINDS) for profile in PARTNERS)
    assert [p.truth.num_rows for p in generate(n_customers=3, seed=0)] == [1, 1, 1]


# --- the features --------------------------------------------------------------------------


def test_features_of_one_customer_are_as_counted_by_hand():
    table = lines(
        ("1", "2025-01-10", "a", 2, 10.0),
        ("1", "2025-01-10", "a", 1, 5.0),
        ("2", "2025-03-01", "a", 3, 4.0),
        ("C3", "2025-03-05", "a", -3, 4.0),
        ("4", "2025-12-31", "b", 1, 9.99),
    )
    rows = sorted(
        query(feature_query(date(2026, 1, 1)), table), key=lambda r: str(r["customer_id"])
    )
    assert rows == [
        {"customer_id": "a", "recency_days": 306, "orders": 2, "net_spend": 25.0,
         "items_per_order": 3.0, "tenure_days": 356},
        {"customer_id": "b", "recency_days": 1, "orders": 1, "net_spend": 9.99,
         "items_per_order": 1.0, "tenure_days": 1},
    ]  # fmt: skip


def test_customers_without_an_order_rows_without_a_customer_and_later_rows_do_not_count():
    table = lines(
        ("C1", "2025-01-10", "only-cancelled", -2, 10.0),
        ("2", "2025-01-10", "only-negative", -2, 10.0),
        ("C5", "2025-01-10", "positive-cancellation", 2, 10.0),
        ("c6", "2025-01-10", "small-letter", 2, 10.0),
        ("3", "2026-01-01", "later", 2, 10.0),
        ("4", "2025-01-10", None, 2, 10.0),
    )
    assert query(feature_query(date(2026, 1, 1)), table) == []


def test_the_query_works_when_every_column_was_read_as_text():
    table = lines(("1", "2025-01-10", "a", 2, 10.0), ("C2", "2025-01-11", "a", -1, 10.0))
    text = pa.table({name: table[name].cast(pa.string()) for name in table.column_names})
    assert query(feature_query(date(2025, 2, 1)), text) == query(
        feature_query(date(2025, 2, 1)), table
    )


@pytest.mark.parametrize("features", [FEATURES, ONLINE_RETAIL_FEATURES])
def test_agreed_features_are_taken_by_an_agreement_and_are_what_the_query_makes(features):
    read = [Feature.read(Fields(f.to_dict(), "feature")) for f in features]
    made = query(FEATURE_QUERY, generate(n_customers=3, seed=0)[0].transactions)[0]
    assert ["customer_id", *(f.name for f in read)] == list(made)
    assert all(f.min < f.max and Decimal(0) < f.weight <= 1 for f in read)
    assert all(f.min >= 0 for f in read if f.transform == "log1p")
    assert all(f.words for f in features)


def test_agreed_bounds_clip_few_of_the_generated_customers(partners):
    for feature in FEATURES:
        values = np.concatenate(
            [[r[feature.name] for r in query(FEATURE_QUERY, p.transactions)] for p in partners]
        )
        beyond = (values < float(feature.minimum)) | (values > float(feature.maximum))
        assert beyond.mean() < 0.02, feature.name


@pytest.mark.skipif(not ONLINE_RETAIL.is_file(), reason="needs ../shared/data")
def test_features_of_real_invoices_leave_out_cancellations_and_blank_customers():
    with duckdb.connect() as connection:
        connection.execute(
            f"CREATE VIEW input AS SELECT * FROM read_csv('{ONLINE_RETAIL}', all_varchar = true)"
        )
        table = connection.sql(ONLINE_RETAIL_QUERY).to_arrow_table()
    assert table.num_rows == 4_339
    assert "(blank)" not in set(table["customer_id"].to_pylist())
    assert pc.min(table["orders"]).as_py() == 1
    assert pc.max(table["orders"]).as_py() == 210
    assert 0 <= pc.min(table["recency_days"]).as_py() <= pc.max(table["tenure_days"]).as_py() <= 374
