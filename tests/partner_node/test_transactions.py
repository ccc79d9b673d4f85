"""Features made of transactions: every database gives what a few lines of Python give."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from partner_node.config.node_config import NodeConfig
from partner_node.sources.kinds import KINDS, open_source
from partner_node.sources.source import Source
from partner_node.sources.transactions import FEATURES
from protocol.errors import ConfigError, SourceError
from simulations.retail_features import ONLINE_RETAIL_QUERY
from tests.partner_node import mysql_server, postgresql_server
from tests.partner_node.source_suite import refusal, rows

SHARED_INVOICES = (
    Path(__file__).resolve().parents[3] / "shared" / "data" / "online_retail_invoices.csv"
)
COLUMNS = {"customer": "Kunde", "date": "Tag", "order": "Beleg Nr.", "quantity": "n", "price": "p"}
#: [data.transactions] by name, without the columns.
Options = Mapping[str, Any]


@dataclass(frozen=True)
class Line:
    customer: str | None
    time: datetime
    order: str
    quantity: int
    price: float


def random_lines(seed: int, n_lines: int = 400) -> list[Line]:
    """Lines of few customers and orders, so that everything happens: cancellations, returns, ..."""
    rng = np.random.default_rng(seed)
    lines: list[Line] = []
    for _ in range(n_lines):
        quantity = int(rng.integers(1, 9))
        number = f"{int(rng.integers(100, 190))}"
        draw = rng.random()
        if draw < 0.15:
            number, quantity = f"C{number}", -quantity
        elif draw < 0.2:
            quantity = -quantity
        elif draw < 0.22:
            quantity = 0
        customer = [None, "", "(none)", *(f"{i:03d}" for i in range(25))][int(rng.integers(0, 28))]
        day = datetime.fromisoformat("2025-01-01") + timedelta(
            minutes=int(rng.integers(0, 200 * 24 * 60))
        )
        lines.append(Line(customer, day, number, quantity, int(rng.integers(1, 9_999)) / 100))
    return [*lines, *lines[:5]]  # equal lines are lines


def reference(lines: Sequence[Line], options: Options) -> dict[str, list[float]]:
    """The features as docs/sources.md defines them."""
    lines = [
        line for line in lines if line.customer and line.customer != options.get("no_customer")
    ]
    if options["observation_date"] == "latest":
        observed = max(line.time.date() for line in lines) + timedelta(1)
    else:
        observed = date.fromisoformat(options["observation_date"])
    first_day = observed - timedelta(options.get("window_days", 100_000))
    by_customer: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        if first_day <= line.time.date() < observed:
            by_customer[line.customer or ""].append(line)
    found = {}
    for customer, own in by_customer.items():
        rule = options.get("cancelled")

        def is_cancelled(line: Line, rule: str | None = rule) -> bool:
            if rule == "negative":
                return line.quantity < 0
            return rule is not None and line.order.startswith(rule)

        bought = [x for x in own if not is_cancelled(x) and x.quantity >= 0]
        if not bought:
            continue
        orders = {x.order for x in bought}
        first = min(x.time.date() for x in bought)
        last = max(x.time.date() for x in bought)
        money = "amount" in options
        basket = sum(x.quantity * x.price if money else x.quantity for x in bought) / len(orders)
        found[customer] = [
            (observed - last).days,
            len(orders),
            sum(x.quantity * x.price for x in own),
            basket,
            (last - first).days / (len(orders) - 1) if len(orders) > 1 else (observed - first).days,
            (observed - first).days,
            len({x.order for x in own if is_cancelled(x)}),
        ]
    return found


@dataclass
class Servers:
    """The servers, each started when it is asked for."""

    request: pytest.FixtureRequest

    def named(self, kind: str) -> postgresql_server.Database | mysql_server.Database:
        """The server of a kind of source."""
        server: postgresql_server.Database | mysql_server.Database = self.request.getfixturevalue(
            kind
        )
        return server


@pytest.fixture
def servers(request: pytest.FixtureRequest) -> Servers:
    return Servers(request)


# --- the lines in every kind of source ----------------------------------------------------------

Written = Callable[[datetime], str]


def table_of(lines: Sequence[Line], written: Written | None) -> pa.Table:
    """The lines; times as timestamps, or as `written`."""
    return pa.table(
        {
            "Kunde": pa.array([x.customer for x in lines], pa.string()),
            "Tag": pa.array([x.time for x in lines], pa.timestamp("us"))
            if written is None
            else pa.array([written(x.time) for x in lines], pa.string()),
            "Beleg Nr.": [x.order for x in lines],
            "n": pa.array([x.quantity for x in lines], pa.int64()),
            "p": pa.array([x.price for x in lines], pa.float64()),
            "a": pa.array([x.quantity * x.price for x in lines], pa.float64()),
        }
    )


def data_lines(
    kind: str, folder: Path, lines: Sequence[Line], written: Written | None, servers: Servers
) -> str:
    """The lines in a source of a kind; its part of ``[data]``."""
    return table_lines(kind, folder, table_of(lines, written), servers)


def text_lines(
    kind: str, folder: Path, lines: Sequence[Mapping[str, str]], servers: Servers
) -> str:
    """Lines of texts by column, whatever they say, in a source of a kind."""
    return table_lines(kind, folder, lines_table(lines), servers)


def lines_table(lines: Sequence[Mapping[str, str]]) -> pa.Table:
    """Lines of texts by column as a table."""
    columns = lines[0].keys()
    return pa.table({name: pa.array([x[name] for x in lines], pa.string()) for name in columns})


def table_lines(kind: str, folder: Path, table: pa.Table, servers: Servers) -> str:
    """A table in a source of a kind; its part of ``[data]``."""
    if kind == "csv":
        pa_csv.write_csv(table, folder / "lines.csv")
        return 'path = "lines.csv"'
    if kind == "parquet":
        pq.write_table(table, folder / "lines.parquet")
        return 'path = "lines.parquet"'
    if kind == "duckdb":
        with duckdb.connect(folder / "lines.duckdb") as connection:
            connection.register("given", table)
            connection.execute('CREATE TABLE "invoice lines" AS FROM given')
        return "path = 'lines.duckdb'\ntable = 'main.invoice lines'"
    if kind == "sqlite":
        with closing(sqlite3.connect(folder / "lines.db")) as connection:
            texts = ("Tag", "p")
            columns = ", ".join(
                f'"{c}" TEXT' if c in texts else f'"{c}"' for c in table.column_names
            )
            connection.execute(f"CREATE TABLE lines ({columns})")
            days = [None if t is None else str(t) for t in table["Tag"].to_pylist()]
            values = [days if c == "Tag" else table[c].to_pylist() for c in table.column_names]
            marks = ", ".join("?" * table.num_columns)
            connection.executemany(
                f"INSERT INTO lines VALUES ({marks})", list(zip(*values, strict=True))
            )
            connection.commit()
        return 'path = "lines.db"\ntable = "lines"'
    database = servers.named(kind)
    schema, place = database.schema(), database.server
    database.ingest(table, schema, "lines")
    return (
        f'host = "{place.host}"\ndatabase = "{place.database}"\nuser = "{place.user}"\n'
        f'table = "{schema}.lines"'
    )


def opened(folder: Path, kind: str, data: str, options: Options) -> Source:
    """The source of a ``node.toml`` with these lines."""
    said = {k: v for k, v in (COLUMNS | dict(options)).items() if v is not None}
    keys = "\n".join(f"{k} = {v!r}" for k, v in said.items())
    text = NodeConfig.template(partner="north", address="c.example:1")
    before, after = text.split("[data]\n")[0], text.split("[keys]")[1]
    section = f'[data]\nkind = "{kind}"\n{data}\n[data.transactions]\n{keys}\n[keys]'
    (folder / "node.toml").write_text(before + section + after, encoding="utf-8")
    config = NodeConfig.load(folder / "node.toml")
    return open_source(config.data, config.limits)


FIXED: Options = {"observation_date": "2025-06-15", "no_customer": "(none)"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("options", "written"),
    [
        (FIXED | {"cancelled": "C"}, None),
        (FIXED | {"cancelled": "negative", "window_days": 60}, None),
        (FIXED | {"amount": "a", "quantity": None, "price": None, "cancelled": "C"}, None),
        (FIXED | {"observation_date": "latest", "window_days": 30}, None),
        ({"observation_date": "latest", "cancelled": "C"}, lambda t: t.isoformat()),
        (FIXED | {"cancelled": "C"}, lambda t: t.date().isoformat()),
        (FIXED | {"cancelled": "C"}, lambda t: t.isoformat(timespec="seconds") + "Z"),
        (
            FIXED | {"date_format": "%m/%d/%Y %H:%M"},
            lambda t: f"{t.month}/{t.day}/{t.year} {t.hour}:{t.minute:02d}",
        ),
        (FIXED | {"date_format": "Tag %d.%m.%y"}, lambda t: f"Tag {t:%d.%m.%y}"),
        (FIXED | {"date_format": "%d-%b-%Y %I:%M %p"}, lambda t: f"{t:%d-%b-%Y %I:%M %p}"),
    ],
)
def test_every_database_gives_what_the_definition_says(
    tmp_path: Path, servers: Servers, kind: str, options: Options, written: Written | None
) -> None:
    lines = random_lines(len(str(options)))
    data = data_lines(kind, tmp_path, lines, written, servers)
    found = rows(opened(tmp_path, kind, data, options), FEATURES)
    expected = reference(lines, options)
    assert len(expected) > 10
    assert found.keys() == expected.keys()
    for customer, values in found.items():
        assert values == pytest.approx(expected[customer], rel=1e-12, abs=1e-9), customer


# --- cases worked out by hand -------------------------------------------------------------------


def on(day: str, order: str, quantity: int = 1, price: float = 10, customer: str = "a") -> Line:
    return Line(customer, datetime.fromisoformat(day), order, quantity, price)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        # one order alone: the interval is as long as it is known
        ([on("2025-06-05", "1", 3)], [10, 1, 30, 3, 10, 10, 0]),
        # two lines of one order, on two days: one order from the first day to the last
        ([on("2025-06-05", "1"), on("2025-06-06", "1")], [9, 1, 20, 2, 10, 10, 0]),
        # two orders on one day
        ([on("2025-06-05T23:59", "1"), on("2025-06-05T00:00", "2")], [10, 2, 20, 1, 0, 10, 0]),
        # the observation date itself does not count, the day before is one day ago
        ([on("2025-06-14", "1"), on("2025-06-15", "2")], [1, 1, 10, 1, 1, 1, 0]),
        # the window holds its first day; what was cancelled in it may have been bought before
        (
            [on("2025-05-16", "1"), on("2025-05-15", "0"), on("2025-06-01", "C0", -4)],
            [30, 1, -30, 1, 30, 30, 1],
        ),
        # a return without a cancellation lowers the money and is no order
        ([on("2025-06-05", "1"), on("2025-06-10", "2", -1)], [10, 1, 0, 1, 10, 10, 0]),
        # two lines of one cancellation
        (
            [on("2025-06-05", "1"), on("2025-06-06", "C1", -1), on("2025-06-06", "C1", -2)],
            [10, 1, -20, 1, 10, 10, 1],
        ),
        # who only cancelled is no customer of the window
        ([on("2025-06-06", "C1", -1)], None),
    ],
)
def test_features_of_one_customer_by_hand(
    tmp_path: Path,
    servers: Servers,
    kind: str,
    lines: list[Line],
    expected: list[float] | None,
) -> None:
    options = FIXED | {"cancelled": "C", "window_days": 30}
    other = on("2025-06-10", "9", customer="b")
    data = data_lines(kind, tmp_path, [*lines, other], None, servers)
    assert rows(opened(tmp_path, kind, data, options), FEATURES).get("a") == expected
    assert reference([*lines, other], options).get("a") == expected


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cancelled", ["\u00dc", "C "])
def test_customers_and_cancellations_are_told_apart_letter_by_letter(
    tmp_path: Path, servers: Servers, kind: str, cancelled: str
) -> None:
    numbers = ("\u00dc1", "\u00fc1", "U1", "C 1", "C1", "c 1", "C", "C ")
    lines = [
        on("2025-06-05", number, customer=customer)
        for number in numbers
        for customer in ("a", "A", "a ", "\u00e1", "7", "07")
    ]
    options = FIXED | {"cancelled": cancelled}
    data = data_lines(kind, tmp_path, lines, None, servers)
    found = rows(opened(tmp_path, kind, data, options), FEATURES)
    assert found == reference(lines, options)
    assert len(found) == 6
    assert {(values[1], values[6]) for values in found.values()} == {
        (7.0, 1.0) if cancelled == "\u00dc" else (6.0, 2.0)
    }


@pytest.mark.parametrize("kind", ["csv", "sqlite", "postgresql", "mysql"])
@pytest.mark.parametrize("column", ["Tag", "Beleg Nr.", "n", "p"])
def test_a_line_that_lacks_something_is_refused_and_not_left_out(
    tmp_path: Path, servers: Servers, kind: str, column: str
) -> None:
    data = data_lines(kind, tmp_path, random_lines(1), None, servers)
    name = data.split('table = "')[-1].rstrip('"')
    change = f'UPDATE {name} SET "{column}" = NULL WHERE "Kunde" = \'001\''
    if kind == "csv":
        with duckdb.connect() as connection:
            file = f"read_csv('{tmp_path}/lines.csv', all_varchar = true)"
            value = f'CASE WHEN Kunde <> \'001\' THEN "{column}" END AS "{column}"'
            connection.execute(
                f"COPY (SELECT * REPLACE ({value}) FROM {file}) TO '{tmp_path}/other.csv'"
            )
        (tmp_path / "other.csv").replace(tmp_path / "lines.csv")
    elif kind == "sqlite":
        with closing(sqlite3.connect(tmp_path / "lines.db")) as writer:
            writer.execute(change)
            writer.commit()
    else:
        servers.named(kind).run(change if kind == "postgresql" else change.replace('"', "`"))
    error = refusal(opened(tmp_path, kind, data, FIXED | {"cancelled": "C"}), FEATURES)
    assert error.code == "E-SOURCE-NULL"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "sqlite", "postgresql", "mysql"])
@pytest.mark.parametrize("day", ["12/1/2010 8:26", "now", "yesterday", "2025-02-31", "20250501"])
def test_a_date_in_another_form_is_refused(
    tmp_path: Path, servers: Servers, kind: str, day: str
) -> None:
    lines = [on("2025-06-05", "1")]
    data = data_lines(kind, tmp_path, lines, lambda _: day, servers)
    with pytest.raises(SourceError) as caught:
        rows(opened(tmp_path, kind, data, FIXED), FEATURES)
    assert caught.value.code in ("E-SOURCE-SQL", "E-SOURCE-NULL")


@pytest.mark.parametrize("kind", ["csv", "sqlite", "postgresql", "mysql"])
def test_a_day_that_is_in_no_calendar_is_refused(
    tmp_path: Path, servers: Servers, kind: str
) -> None:
    lines = [on("2025-06-05", "1")]
    data = data_lines(kind, tmp_path, lines, lambda _: "31.02.2025", servers)
    with pytest.raises(SourceError) as caught:
        rows(opened(tmp_path, kind, data, FIXED | {"date_format": "%d.%m.%Y"}), FEATURES)
    assert caught.value.code in ("E-SOURCE-SQL", "E-SOURCE-NULL")


@pytest.mark.parametrize("kind", ["csv", "sqlite", "postgresql", "mysql"])
def test_times_with_an_offset_count_by_the_day_in_utc(
    tmp_path: Path, servers: Servers, kind: str
) -> None:
    lines = [on("2025-06-05", "1")]
    late: Written = lambda _: "2025-06-05 23:30:00-05:00"  # noqa: E731
    data = data_lines(kind, tmp_path, lines, late, servers)
    found = rows(opened(tmp_path, kind, data, FIXED), ["recency_days"])
    assert found == {"a": [9.0]}


@pytest.mark.parametrize("price", ["12,50", "12.50 EUR", "abc"])
def test_in_sqlite_a_text_that_is_no_number_is_not_taken_for_zero(
    tmp_path: Path, servers: Servers, price: str
) -> None:
    data = data_lines("sqlite", tmp_path, [on("2025-06-05", "1")], None, servers)
    with closing(sqlite3.connect(tmp_path / "lines.db")) as writer:
        writer.execute("UPDATE lines SET p = ?", (price,))
        writer.commit()
    assert refusal(opened(tmp_path, "sqlite", data, FIXED), FEATURES).code == "E-SOURCE-NULL"


@pytest.mark.parametrize("price", ["12,50", "12.50 EUR", "abc", "1e", "0x1F", "--1", ".", ""])
def test_in_mysql_a_text_that_is_no_number_is_not_taken_for_how_it_begins(
    tmp_path: Path, servers: Servers, price: str
) -> None:
    data = data_lines("mysql", tmp_path, [on("2025-06-05", "1", price=12.5)], None, servers)
    name = data.split('table = "')[-1].rstrip('"')
    servers.named("mysql").run(f"ALTER TABLE {name} MODIFY p VARCHAR(20)")
    reading = opened(tmp_path, "mysql", data, FIXED)
    assert rows(reading, ["net_spend"]) == {"a": [12.5]}
    servers.named("mysql").run(f"UPDATE {name} SET p = '{price}'")
    assert refusal(reading, FEATURES).code == "E-SOURCE-NULL"


def test_columns_of_transactions_are_the_documented_ones(tmp_path: Path, servers: Servers) -> None:
    data = data_lines("csv", tmp_path, random_lines(1), None, servers)
    source = opened(tmp_path, "csv", data, FIXED)
    assert source.columns() == ("customer_id", *FEATURES)
    text = (Path(__file__).parents[2] / "docs" / "sources.md").read_text(encoding="utf-8")
    for name in FEATURES:
        assert f"| `{name}` |" in text


# --- configuration ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"customer": None}, "[data.transactions] customer is missing"),
        ({"order": None}, "order is missing"),
        ({"price": None}, "price is missing"),
        ({"amount": "a"}, "amount and quantity are both set"),
        ({"observation_date": None}, "observation_date is missing"),
        ({"observation_date": "2025-02-31"}, "'2025-02-31'"),
        ({"observation_date": "20250201"}, "'20250201'"),
        ({"observation_date": "today"}, "'today'"),
        ({"window_days": 0}, "window_days is 0"),
        ({"date_format": "%d.%m."}, "'%d.%m.'"),
        ({"date_format": "%d.%m.%Y %Z"}, "%Z"),
        ({"date_format": "%d.%m.%Y %"}, "'%d.%m.%Y %'"),
        ({"date_format": 'the "%d" %m %Y'}, "date_format"),
        ({"cancelled": ""}, "cancelled has 0 characters"),
        ({"custmer": "x"}, "did you mean 'customer'"),
    ],
)
def test_a_wrong_description_of_transactions_is_refused(
    tmp_path: Path, options: Options, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        opened(tmp_path, "csv", 'path = "lines.csv"', FIXED | options)
    assert words in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize("key", ["query", "query_file", "id_column"])
def test_transactions_stand_for_a_query_and_its_id(tmp_path: Path, key: str) -> None:
    (tmp_path / "x").write_text("FROM input")
    with pytest.raises(ConfigError) as caught:
        opened(tmp_path, "csv", f'path = "lines.csv"\n{key} = "x"', FIXED)
    assert f"{key} is set beside [data.transactions]" in caught.value.message
    with pytest.raises(ConfigError, match="table is missing"):
        opened(tmp_path, "sqlite", 'path = "lines.db"', FIXED)


# --- real invoices ------------------------------------------------------------------------------


@pytest.mark.skipif(not SHARED_INVOICES.exists(), reason="needs the shared invoices")
def test_real_invoices_need_no_sql(tmp_path: Path) -> None:
    options = {
        "customer": "CustomerID",
        "date": "InvoiceDate",
        "order": "InvoiceNo",
        "quantity": "Quantity",
        "price": "UnitPrice",
        "cancelled": "C",
        "no_customer": "(blank)",
        "observation_date": "2011-12-10",
        "date_format": "%m/%d/%Y %H:%M",
    }
    found = rows(opened(tmp_path, "csv", f'path = "{SHARED_INVOICES}"', options), FEATURES)
    plain = duckdb.connect()
    plain.execute(f"CREATE VIEW input AS FROM read_csv('{SHARED_INVOICES}', all_varchar = true)")
    demonstrated = {row[0]: row[1:] for row in plain.execute(ONLINE_RETAIL_QUERY).fetchall()}
    assert len(found) > 4_000
    assert "(blank)" not in found
    assert found.keys() == demonstrated.keys()
    for customer, (recency, orders, spend, basket, interval, tenure, cancelled) in found.items():
        assert (recency, orders, tenure) == (
            demonstrated[customer][0],
            demonstrated[customer][1],
            demonstrated[customer][4],
        )
        assert spend == pytest.approx(demonstrated[customer][2], abs=0.006)
        assert basket == pytest.approx(demonstrated[customer][3])
        assert 1 <= recency <= tenure <= 374
        assert 0 <= interval <= tenure
        assert cancelled >= 0
    latest = options | {"observation_date": "latest"}
    source = opened(tmp_path, "csv", f'path = "{SHARED_INVOICES}"', latest)
    assert rows(source, FEATURES) == found
