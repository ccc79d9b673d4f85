"""One table of consents says the same wherever it is: files and databases, one suite for all."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from partner_node.consent.settings import ConsentSource
from partner_node.consent.verdicts import Reason
from partner_node.sources.file_places import File
from partner_node.sources.servers import Server
from protocol.agreement.governance import LEGITIMATE_INTEREST, SEGMENTATION
from protocol.errors import FedsegError, RuleError, SourceError
from tests.partner_node import consents as c
from tests.partner_node import mysql_server
from tests.partner_node.postgresql_server import Database, door
from tests.partner_node.test_consent_gate import everything_said, refusal

NOW = c.NOW
SECRET = "cust-4711-secret"
HEADER = [*c.HEADER, "until"]
Rows = Sequence[Mapping[str, Any]]


def event(subject: str, time: str | None = c.GIVEN, **changes: Any) -> dict[str, Any]:
    """One event that permits, unless it is changed."""
    return {**c.given(subject), "time": time, "until": None, **changes}


#: Rows about one customer, and why it may not be counted.
CASES: dict[str, tuple[list[dict[str, Any]], Reason | None]] = {
    "given": ([{}], None),
    "renewed": ([{"event": "dpv:RenewedConsentGiven"}], None),
    "offset": ([{"time": "2026-01-01 11:00:00+01:00"}], None),
    "withdrawn": ([{}, {"event": "ConsentWithdrawn", "time": c.LATER}], Reason.WITHDRAWN),
    "at once": ([{}, {"event": "ConsentWithdrawn"}], Reason.WITHDRAWN),
    "for no purpose": (
        [{}, {"event": "ConsentWithdrawn", "time": c.LATER, "purpose": None}], Reason.WITHDRAWN,
    ),
    "no event": ([{"event": None}], Reason.WITHDRAWN),
    "no time": ([{"time": None}], Reason.UNREADABLE_TIME),
    "no zone": ([{"time": "2026-01-01T10:00:00"}], Reason.UNREADABLE_TIME),
    "soon": ([{"time": "soon"}], Reason.UNREADABLE_TIME),
    "future": ([{"time": "2026-03-02T00:00:00Z"}], Reason.FUTURE_TIME),
    "ended": ([{"until": "2026-02-01T00:00:00Z"}], Reason.EXPIRED),
    "ends": ([{"until": "2026-04-01T00:00:00Z"}], None),
    "ends without zone": ([{"until": "2026-04-01 00:00:00"}], Reason.UNREADABLE_END),
    "blank end": ([{"until": " "}], None),
    "other purpose": ([{"purpose": "dpv:Marketing"}], Reason.OTHER_PURPOSE),
    "no purpose": ([{"purpose": None}], Reason.OTHER_PURPOSE),
    "other notice": ([{"notice": "9"}], Reason.OTHER_NOTICE),
    "no notice": ([{"notice": None}], Reason.OTHER_NOTICE),
    "007": ([{}], None),
    " b": ([{}], None),
    "Ünï, \"客\" 'x'": ([{}], None),
    "x\ny": ([{}], None),
}  # fmt: skip


class ConsentSuite(ABC):
    """What every kind of table promises. Subclasses say how rows become a table."""

    @abstractmethod
    def make(
        self, folder: Path, rows: Rows, header: Sequence[str], **changes: Any
    ) -> ConsentSource:
        """A source that holds these rows of texts; what a row leaves out, or is None, is NULL."""

    def consents(self, folder: Path, rows: Rows, **changes: Any) -> ConsentSource:
        return self.make(folder, rows, HEADER, **changes)

    def test_every_case_has_its_verdict(self, tmp_path: Path) -> None:
        rows = [event(name, **changes) for name, (found, _) in CASES.items() for changes in found]
        gate = c.gate_of(self.consents(tmp_path, rows))
        wanted = {name: reason for name, (_, reason) in CASES.items()}
        assert dict(zip(CASES, c.reasons(gate, *CASES), strict=True)) == wanted
        assert c.allowed(gate, *CASES, "b", "7", "ünï") == [
            name for name, reason in wanted.items() if reason is None
        ]

    def test_flags_say_who_objects(self, tmp_path: Path) -> None:
        flags = {
            "none": None, "empty": "", "0": "0", "false": "false", "F": "F", "No": " No ",
            "1": "1", "true": "true", "since": "2026-01-01", "x": "x",
        }  # fmt: skip
        rows = [{"subject": name, "gpc": flag} for name, flag in flags.items()]
        source = self.make(
            tmp_path, rows, ["subject", "gpc"], name="robinson", holds="objections", flags=("gpc",)
        )
        gate = c.gate_of(source, basis=LEGITIMATE_INTEREST)
        assert c.allowed(gate, *flags, "other") == [*list(flags)[:6], "other"]

    def test_births_say_who_is_old_enough(self, tmp_path: Path) -> None:
        born = {"a": "1980-05-01", "b": "2015-05-01", "d": None, "e": "1970", "f": "soon"}
        rows = [{"subject": name, "born": day} for name, day in born.items()]
        crm = c.write_csv(tmp_path / "all.csv", [c.given(i) for i in [*born, "x"]])
        source = self.make(tmp_path, rows, ["subject", "born"], name="registry", holds="births")
        gate = c.gate_of(c.consents(crm), source, youngest_customer=None)
        assert c.allowed(gate, *born, "x") == ["a", "e"]
        assert c.reasons(gate, "b", "d", "f", "x") == [
            Reason.TOO_YOUNG, Reason.UNREADABLE_BIRTH, Reason.UNREADABLE_BIRTH, Reason.AGE_UNKNOWN,
        ]  # fmt: skip

    @pytest.mark.parametrize("nasty", ['a"b', "a'b", "$1", "{}", "--", "select", "ünï", "c0"])
    def test_columns_constants_and_words_of_its_own_are_read_and_are_no_sql(
        self, tmp_path: Path, nasty: str
    ) -> None:
        rows = [{"who": "a", nasty: nasty, "at": c.GIVEN}, {"who": "b", nasty: "x", "at": c.GIVEN}]
        source = self.make(
            tmp_path, rows, ["who", nasty, "at"],
            columns={"subject": "who", "event": nasty, "time": "at"},
            constants={"purpose": nasty, "notice": nasty}, events={nasty: "ConsentGiven"},
        )  # fmt: skip
        gate = c.gate_of(source, purpose=nasty, notices=[nasty])
        assert c.allowed(gate, "a", "b") == ["a"]

    def test_explaining_shows_the_rows_of_one_customer(self, tmp_path: Path) -> None:
        rows = [event("a"), event("b"), event("a", c.LATER, event="ConsentWithdrawn")]
        gate = c.gate_of(self.consents(tmp_path, rows))
        reason, (entry,) = gate.explain("a", NOW)
        assert reason is Reason.WITHDRAWN
        found = sorted((row["event"], row["time"]) for row in entry.rows)
        assert found == [("ConsentGiven", c.GIVEN), ("ConsentWithdrawn", c.LATER)]

    def test_whoever_withdraws_is_out_of_the_next_pass(self, tmp_path: Path) -> None:
        gate = c.gate_of(self.consents(tmp_path, [event("a"), event("b")]))
        assert c.allowed(gate, "a", "b") == ["a", "b"]
        self.add(tmp_path, event("b", c.LATER, event="ConsentWithdrawn"))
        assert c.allowed(gate, "a", "b") == ["a"]

    @abstractmethod
    def add(self, folder: Path, row: Mapping[str, Any]) -> None:
        """One more row for the table that was made last."""

    @pytest.mark.parametrize("nobody", [None, ""])
    def test_a_row_about_nobody_closes_the_gate(self, tmp_path: Path, nobody: str | None) -> None:
        rows = [event("a"), event("a"), event("x", event=SECRET) | {"subject": nobody}]
        gate = c.gate_of(self.consents(tmp_path, rows))
        said = self.refused(lambda: gate.snapshot(NOW))
        assert "1 rows of" in said.message
        assert "the first is row 3" in said.message

    @pytest.mark.parametrize("missing", ["subject", "event", "time", "purpose", "notice"])
    def test_a_column_that_is_missing_is_named(self, tmp_path: Path, missing: str) -> None:
        header = [name for name in HEADER if name != missing]
        rows = [{k: v for k, v in event(SECRET).items() if k != missing}]
        gate = c.gate_of(self.make(tmp_path, rows, header))
        for ask in (lambda: gate.snapshot(NOW), lambda: gate.explain("a", NOW)):
            said = self.refused(ask)
            assert f"no column '{missing}' for {missing}" in said.message
            assert ", ".join(header) in said.remedy

    @staticmethod
    def refused(action: Callable[[], object]) -> FedsegError:
        error = refusal(action)
        assert (type(error), error.code) == (SourceError, "E-CONSENT-SOURCE")
        assert error.message.startswith("consent source 'crm': ")
        assert "[data]" not in error.remedy
        assert SECRET not in everything_said(error)
        return error


class TestCSV(ConsentSuite):
    def make(
        self, folder: Path, rows: Rows, header: Sequence[str], **changes: Any
    ) -> ConsentSource:
        path = c.write_csv(folder / "t.csv", [_texts(row) for row in rows], header=header)
        return c.consents(path, **changes)

    def add(self, folder: Path, row: Mapping[str, Any]) -> None:
        with (folder / "t.csv").open("a") as file:
            file.write(",".join(_texts(row)[name] for name in HEADER) + "\n")
        c.changed(folder / "t.csv")


@pytest.mark.slow
class TestParquet(ConsentSuite):
    def make(
        self, folder: Path, rows: Rows, header: Sequence[str], **changes: Any
    ) -> ConsentSource:
        self.rows = list(rows)
        path = c.write_parquet(folder / "t.parquet", **_columns(rows, header))
        return c.consents(path, kind="parquet", **changes)

    def add(self, folder: Path, row: Mapping[str, Any]) -> None:
        self.make(folder, [*self.rows, row], HEADER)


class DatabaseSuite(ConsentSuite):
    """What tables of databases promise beyond that."""

    def make(
        self, folder: Path, rows: Rows, header: Sequence[str], **changes: Any
    ) -> ConsentSource:
        beat = c.write_text(folder / "t.ok", "")
        return replace(self.bare(folder, rows, header, **changes), heartbeat=beat)

    @abstractmethod
    def bare(
        self, folder: Path, rows: Rows, header: Sequence[str], **changes: Any
    ) -> ConsentSource:
        """The same without a heartbeat."""

    def test_it_is_as_fresh_as_its_newest_event(self, tmp_path: Path) -> None:
        source = self.bare(tmp_path, [event("a"), event("b", "2026-02-27T12:00:00Z")], HEADER)
        gate = c.gate_of(source)
        gate.check_fresh(NOW + timedelta(days=90))  # no row is read
        found = gate.standing(iter([c.ids_of("a", "b")]), NOW)
        assert found.updated == (datetime(2026, 2, 27, 12, tzinfo=UTC),)
        assert c.allowed(gate, "a", "b") == ["a", "b"]
        self.stale(gate.snapshot, NOW + timedelta(seconds=1), "2026-02-27 12:00 UTC")
        self.stale(gate.check_rows_fresh, NOW + timedelta(seconds=1), "48 hours")
        assert c.reasons(gate, "a", now=NOW + timedelta(days=9)) == [None]  # to explain is no run

    @pytest.mark.parametrize(
        "time",
        [None, "", "soon", "2026-03-01T11:00:00", "2026-03-01T12:05:01Z", "9999-12-31T00:00Z"],
    )
    def test_a_time_that_is_none_or_lies_ahead_makes_nothing_fresh(
        self, tmp_path: Path, time: str | None
    ) -> None:
        gate = c.gate_of(self.bare(tmp_path, [event("a", time)], HEADER))
        self.stale(gate.snapshot, NOW, "no row of")
        old = event("b", "2026-01-01T10:00:00Z")
        gate = c.gate_of(self.bare(tmp_path, [event("a", time), old], HEADER))
        self.stale(gate.snapshot, NOW, "2026-01-01 10:00 UTC")

    def test_an_empty_table_says_nothing_of_its_age(self, tmp_path: Path) -> None:
        gate = c.gate_of(self.bare(tmp_path, [], HEADER))
        self.stale(gate.snapshot, NOW, "no row of")
        gate = c.gate_of(self.make(tmp_path, [], HEADER))
        assert c.allowed(gate, "a") == []

    def test_a_column_of_its_own_may_say_how_fresh_it_is(self, tmp_path: Path) -> None:
        rows = [event("a") | {"synced": "2026-02-28T12:00:00Z"}, event("b") | {"synced": None}]
        source = self.bare(tmp_path, rows, [*HEADER, "synced"])
        source = replace(source, columns={"updated": "synced"})
        gate = c.gate_of(source)
        assert c.allowed(gate, "a", "b") == ["a", "b"]
        late = NOW + timedelta(days=1, seconds=1)
        self.stale(gate.snapshot, late, "2026-02-28 12:00 UTC")
        gate = c.gate_of(replace(source, columns={"updated": "synched"}))
        assert "no column 'synched' for updated" in self.refused(lambda: gate.snapshot(NOW)).message

    def test_a_heartbeat_speaks_alone(self, tmp_path: Path) -> None:
        source = self.make(tmp_path, [event("a")], HEADER)
        gate = c.gate_of(source)
        assert c.allowed(gate, "a") == ["a"]
        c.changed(tmp_path / "t.ok", ago=timedelta(hours=49))
        for ask in (gate.check_fresh, gate.snapshot):
            error = refusal(lambda ask=ask: ask(NOW))
            assert (type(error), error.code) == (RuleError, "E-CONSENT-STALE")
        (tmp_path / "t.ok").unlink()
        assert "heartbeat" in self.refused(lambda: gate.check_fresh(NOW)).message

    def test_a_table_that_is_not_there_is_named_before_a_row_is_read(self, tmp_path: Path) -> None:
        source = self.make(tmp_path, [event("a")], HEADER)
        gate = c.gate_of(replace(source, table=(*source.table[:-1], "consent")))
        for ask in (gate.check_fresh, gate.snapshot, gate.check_rows_fresh):
            if ask != gate.check_rows_fresh or source.heartbeat is None:
                said = self.refused(lambda ask=ask: ask(NOW))
                assert "has no table" in said.message
                assert "[[consent.sources]] table" in said.remedy

    def test_a_column_that_is_missing_is_named_before_a_row_is_read(self, tmp_path: Path) -> None:
        gate = c.gate_of(self.make(tmp_path, [], HEADER, columns={"until": "ends"}))
        assert "no column 'ends' for until" in self.refused(lambda: gate.check_fresh(NOW)).message

    def test_a_view_is_read_like_a_table(self, tmp_path: Path) -> None:
        source = self.make(tmp_path, [event("a"), event("b"), event("d", notice="9")], HEADER)
        name = ".".join(source.table)
        self.run(tmp_path, f"CREATE VIEW {name}_view AS SELECT * FROM {name} WHERE subject <> 'b'")
        view = replace(source, table=(*source.table[:-1], f"{source.table[-1]}_view"))
        assert c.allowed(c.gate_of(view), "a", "b", "d") == ["a"]

    def test_it_is_only_read(self, tmp_path: Path) -> None:
        source = self.make(tmp_path, [event("a")], HEADER)
        before = self.state(tmp_path)
        assert c.allowed(c.gate_of(source), "a") == ["a"]
        assert self.state(tmp_path) == before
        self.run(tmp_path, f"DROP TABLE {'.'.join(source.table)}")  # nothing holds it

    def test_more_rows_than_one_batch_has_are_all_judged(self, tmp_path: Path) -> None:
        rows = [event(f"c{i}") for i in range(70_000)]
        source = self.make(tmp_path, [*rows, event("c0", c.LATER, event="no")], HEADER)
        found = c.gate_of(source).snapshot(NOW)
        asked = c.ids_of("c0", "c1", "c65535", "c65536", "c69999", "c70000")
        assert found.allowed(asked).tolist() == [False, True, True, True, True, False]

    @abstractmethod
    def run(self, folder: Path, sql: str) -> None:
        """Run a statement as whoever writes the table."""

    @abstractmethod
    def state(self, folder: Path) -> object:
        """What changes when something is written."""

    @staticmethod
    def stale(ask: Callable[[datetime], object], now: datetime, said: str) -> None:
        error = refusal(lambda: ask(now))
        # What hangs on a row is a SourceError: with noise it leaves as the code for all of them.
        assert (type(error), error.code) == (SourceError, "E-CONSENT-STALE")
        assert said in error.message
        assert "heartbeat" in error.remedy


@pytest.mark.slow
class TestSQLite(DatabaseSuite):
    def bare(
        self, folder: Path, rows: Rows, header: Sequence[str], **changes: Any
    ) -> ConsentSource:
        columns = ", ".join(f"{_quoted(name)} TEXT" for name in header)
        marks = ", ".join("?" * len(header))
        self.run(folder, f"DROP TABLE IF EXISTS consents;; CREATE TABLE consents ({columns})")
        with closing(sqlite3.connect(folder / "t.db")) as database, database:
            database.executemany(
                f"INSERT INTO consents VALUES ({marks})",
                [[row.get(name) for name in header] for row in rows],
            )
        path = folder / "t.db"
        return c.consents(path, kind="sqlite", **({"table": ("consents",)} | changes))

    def add(self, folder: Path, row: Mapping[str, Any]) -> None:
        with closing(sqlite3.connect(folder / "t.db")) as database, database:
            database.execute(
                "INSERT INTO consents VALUES (?, ?, ?, ?, ?, ?)", [row[name] for name in HEADER]
            )

    def run(self, folder: Path, sql: str) -> None:
        with closing(sqlite3.connect(folder / "t.db")) as database, database:
            for statement in sql.split(";;"):
                database.execute(statement)

    def state(self, folder: Path) -> object:
        return (folder / "t.db").read_bytes(), sorted(path.name for path in folder.iterdir())

    @pytest.mark.parametrize(
        ("column", "value"), [("subject", "7.5"), ("subject", "x'61'"), ("notice", "x'31'")]
    )
    def test_ids_that_are_fractions_and_bytes_are_refused(
        self, tmp_path: Path, column: str, value: str
    ) -> None:
        """They would match no customer, and so an objection would be lost."""
        source = self.make(tmp_path, [event("a")], HEADER)
        self.run(tmp_path, "ALTER TABLE consents RENAME TO old")
        self.run(tmp_path, f"CREATE TABLE consents ({', '.join(HEADER)})")
        self.run(tmp_path, "INSERT INTO consents SELECT * FROM old")
        self.run(tmp_path, f"UPDATE consents SET {column} = {value}")
        said = self.refused(lambda: c.gate_of(source).snapshot(NOW))
        assert "REAL or BLOB" in said.message

    def test_integers_and_flags_of_0_and_1_are_read(self, tmp_path: Path) -> None:
        self.run(tmp_path, "CREATE TABLE o (subject INTEGER, gpc BOOLEAN)")
        self.run(tmp_path, "INSERT INTO o VALUES (7, 1), (8, 0), (9, NULL), (10, TRUE)")
        source = c.objections(
            tmp_path / "t.db", kind="sqlite", table=("o",), flags=("gpc",),
            heartbeat=c.write_text(tmp_path / "ok", ""),
        )  # fmt: skip
        gate = c.gate_of(source, basis=LEGITIMATE_INTEREST)
        assert c.allowed(gate, "7", "8", "9", "10", "8.0") == ["8", "9", "8.0"]

    def test_a_text_that_is_not_utf_8_is_refused(self, tmp_path: Path) -> None:
        source = self.make(tmp_path, [event(SECRET)], HEADER)
        self.run(tmp_path, "UPDATE consents SET notice = CAST(x'31ff' AS TEXT)")
        assert "UTF-8" in self.refused(lambda: c.gate_of(source).snapshot(NOW)).message

    def test_a_file_that_is_gone_or_no_database_is_refused(self, tmp_path: Path) -> None:
        source = self.make(tmp_path, [event("a")], HEADER)
        _gone_or_none(source, self.refused)


@pytest.mark.slow
class TestDuckDB(DatabaseSuite):
    def bare(
        self, folder: Path, rows: Rows, header: Sequence[str], **changes: Any
    ) -> ConsentSource:
        found = pa.table(_columns(rows, header))  # noqa: F841 - DuckDB finds it by name
        with duckdb.connect(folder / "t.duckdb") as database:
            database.execute("CREATE OR REPLACE TABLE consents AS FROM found")
        path = folder / "t.duckdb"
        return c.consents(path, kind="duckdb", **({"table": ("consents",)} | changes))

    def add(self, folder: Path, row: Mapping[str, Any]) -> None:
        with duckdb.connect(folder / "t.duckdb") as database:
            values = [row[name] for name in HEADER]
            database.execute("INSERT INTO consents VALUES (?, ?, ?, ?, ?, ?)", values)

    def run(self, folder: Path, sql: str) -> None:
        with duckdb.connect(folder / "t.duckdb") as database:
            database.execute(sql)

    def state(self, folder: Path) -> object:
        return (folder / "t.duckdb").read_bytes(), sorted(path.name for path in folder.iterdir())

    def test_times_with_a_zone_booleans_and_integers_are_read(self, tmp_path: Path) -> None:
        self.run(tmp_path, "CREATE SCHEMA crm; " + _NATIVE.format("crm.", "TIMESTAMPTZ"))
        _native(tmp_path, c.consents(tmp_path / "t.duckdb", kind="duckdb", table=("crm", "events")))

    def test_a_column_of_times_without_a_zone_is_refused(self, tmp_path: Path) -> None:
        self.run(tmp_path, _NATIVE.format("", "TIMESTAMP"))
        source = c.consents(tmp_path / "t.duckdb", kind="duckdb", table=("events",))
        said = self.refused(lambda: c.gate_of(source).snapshot(NOW))
        assert "a timestamp with time zone" in said.message

    def test_a_file_that_is_gone_or_no_database_is_refused(self, tmp_path: Path) -> None:
        source = self.make(tmp_path, [event("a")], HEADER)
        _gone_or_none(source, self.refused)


class TestPostgreSQL(DatabaseSuite):
    @pytest.fixture(autouse=True)
    def _connected(self, postgresql: Database) -> Iterator[None]:
        self.database, self.schema = postgresql, ""
        yield
        assert postgresql.forsaken()

    def bare(
        self, folder: Path, rows: Rows, header: Sequence[str], **changes: Any
    ) -> ConsentSource:
        self.schema = self.database.schema()
        self.database.ingest(pa.table(_columns(rows, header)), self.schema, "consents")
        return self.source((self.schema, "consents"), **changes)

    def source(self, table: tuple[str, ...], **changes: Any) -> ConsentSource:
        server = self.database.server
        values = {"kind": "postgresql", "table": table, "place": server}
        return c.consents("", **(values | changes))

    def add(self, folder: Path, row: Mapping[str, Any]) -> None:
        values = ", ".join("NULL" if row[n] is None else f"'{row[n]}'" for n in HEADER)
        self.run(folder, f"INSERT INTO {self.schema}.consents VALUES ({values})")

    def run(self, folder: Path, sql: str) -> None:
        self.database.run(sql)

    def state(self, folder: Path) -> object:
        return self.database.run("SELECT pg_current_xact_id_if_assigned()::text"), folder.exists()

    def test_times_with_a_zone_booleans_and_integers_are_read(self, tmp_path: Path) -> None:
        schema = self.database.schema()
        self.run(tmp_path, _NATIVE.format(f"{schema}.", "TIMESTAMPTZ"))
        _native(tmp_path, self.source((schema, "events")))

    def test_a_column_of_times_without_a_zone_is_refused(self, tmp_path: Path) -> None:
        schema = self.database.schema()
        self.run(tmp_path, _NATIVE.format(f"{schema}.", "TIMESTAMP"))
        gate = c.gate_of(self.source((schema, "events")))
        for ask in (gate.snapshot, gate.check_fresh):
            said = self.refused(lambda ask=ask: ask(NOW))
            assert "a timestamp with time zone" in said.message

    def test_words_of_an_enumeration_are_read_and_lists_are_refused(self, tmp_path: Path) -> None:
        schema = self.database.schema()
        self.run(tmp_path, f"CREATE TYPE {schema}.status AS ENUM ('yes', 'no');; "
                 f"CREATE TABLE {schema}.t (subject text, event {schema}.status, time timestamptz, "
                 "purposes text[]);; "
                 f"INSERT INTO {schema}.t VALUES ('a', 'yes', '{c.LATER}', '{{x}}')")  # fmt: skip
        beat = c.write_text(tmp_path / "ok", "")
        source = self.source(
            (schema, "t"), heartbeat=beat, events={"yes": "ConsentGiven"},
            constants={"purpose": SEGMENTATION, "notice": "1"},
        )  # fmt: skip
        assert c.allowed(c.gate_of(source), "a") == ["a"]
        source = replace(source, columns={"purpose": "purposes"}, constants={"notice": "1"})
        assert "one value a row" in self.refused(lambda: c.gate_of(source).snapshot(NOW)).message

    def test_a_server_that_cannot_be_reached_is_refused_before_a_row_is_read(
        self, tmp_path: Path
    ) -> None:
        source = self.make(tmp_path, [event("a")], HEADER)
        with door(self.database) as opened:
            server = replace(self.database.server, host="127.0.0.1", port=opened.port)
            source = replace(source, place=server)
            gate = c.gate_of(source)
            assert c.allowed(gate, "a") == ["a"]
        for ask in (gate.check_fresh, gate.snapshot):
            assert "nothing listens" in self.refused(lambda ask=ask: ask(NOW)).message

    def test_a_view_that_fails_on_a_value_tells_nothing_of_it(self, tmp_path: Path) -> None:
        source = self.make(tmp_path, [event("a"), event(SECRET)], HEADER)
        self.run(tmp_path, f"CREATE VIEW {self.schema}.v AS SELECT subject::int::text AS subject, "
                 f"event, time, purpose, notice FROM {self.schema}.consents")  # fmt: skip
        gate = c.gate_of(replace(source, table=(self.schema, "v")))
        self.refused(lambda: gate.snapshot(NOW))

    def test_a_view_that_writes_is_refused(self, tmp_path: Path) -> None:
        source = self.make(tmp_path, [event("a")], HEADER)
        self.run(tmp_path, f"CREATE SEQUENCE {self.schema}.n;; CREATE VIEW {self.schema}.w AS "
                 f"SELECT nextval('{self.schema}.n')::text AS subject, event, time, purpose, "
                 f"notice FROM {self.schema}.consents")  # fmt: skip
        gate = c.gate_of(replace(source, table=(self.schema, "w")))
        assert "writes" in self.refused(lambda: gate.snapshot(NOW)).message


class TestMySQL(DatabaseSuite):
    @pytest.fixture(autouse=True)
    def _connected(self, mysql: mysql_server.Database) -> Iterator[None]:
        self.database, self.schema = mysql, ""
        yield
        assert mysql.forsaken()

    def bare(
        self, folder: Path, rows: Rows, header: Sequence[str], **changes: Any
    ) -> ConsentSource:
        self.schema = self.database.schema()
        self.database.ingest(pa.table(_columns(rows, header)), self.schema, "consents")
        return self.source((self.schema, "consents"), **changes)

    def source(self, table: tuple[str, ...], **changes: Any) -> ConsentSource:
        values = {"kind": "mysql", "table": table, "place": self.database.server}
        return c.consents("", **(values | changes))

    def add(self, folder: Path, row: Mapping[str, Any]) -> None:
        values = ", ".join("NULL" if row[n] is None else f"'{row[n]}'" for n in HEADER)
        self.run(folder, f"INSERT INTO {self.schema}.consents VALUES ({values})")

    def run(self, folder: Path, sql: str) -> None:
        self.database.run(sql)

    def state(self, folder: Path) -> object:
        tables = [name for (name,) in self.database.run(f"SHOW TABLES FROM {self.schema}")]
        return tables, self.database.run(f"CHECKSUM TABLE {self.schema}.consents")

    def test_moments_booleans_and_integers_are_read(self, tmp_path: Path) -> None:
        """TIMESTAMP is a moment, whatever the zone of whoever wrote it."""
        schema = self.database.schema()
        self.run(
            tmp_path,
            f"CREATE TABLE {schema}.events (subject BIGINT UNSIGNED, event ENUM('ConsentGiven'), "
            "time TIMESTAMP(2) NULL, purpose TEXT, notice INTEGER, until TIMESTAMP NULL, "
            "gpc BOOLEAN);; SET time_zone = '-05:00', sql_mode = ''",
        )
        rows = [
            "(18446744073709551615, 1, '2026-02-28 07:00:00.25', {}, 1, NULL, FALSE)",
            "(8, 1, '2026-02-28 10:00:00', {}, 1, '2026-02-28 19:00', NULL)",
            "(9, 1, '2026-02-28 10:00:00', {}, 1, '2027-03-01 00:00', TRUE)",
            "(10, 1, NULL, {}, 1, NULL, NULL)",
            "(11, 1, '0000-00-00 00:00:00', {}, 1, NULL, NULL)",
            "(12, 1, '2026-03-01 07:06:00', {}, 1, NULL, NULL)",
        ]
        values = ", ".join(row.format(f"'{SEGMENTATION}'") for row in rows)
        self.run(
            tmp_path,
            f"INSERT INTO {schema}.events VALUES {values};; "
            "SET time_zone = DEFAULT, sql_mode = DEFAULT",
        )
        source = self.source((schema, "events"))
        beat = c.write_text(tmp_path / "ok", "")
        flags = replace(source, name="o", holds="objections", flags=("gpc",), heartbeat=beat)
        ids = ("18446744073709551615", "8", "9", "10", "11", "12")
        assert c.reasons(c.gate_of(source), *ids) == [
            None, Reason.EXPIRED, None, Reason.UNREADABLE_TIME, Reason.UNREADABLE_TIME,
            Reason.FUTURE_TIME,
        ]  # fmt: skip
        assert c.allowed(c.gate_of(source), *ids) == [ids[0], "9"]
        assert c.allowed(c.gate_of(source, flags), *ids) == [ids[0]]
        self.run(tmp_path, f"DELETE FROM {schema}.events WHERE subject = 12")
        updated = c.gate_of(source).standing(iter([c.ids_of("9")]), NOW).updated
        assert updated == (datetime(2026, 2, 28, 15, 0, tzinfo=UTC),)

    @pytest.mark.parametrize("kind", ["DATETIME", "DATE", "TIME"])
    def test_a_column_of_times_without_a_zone_is_refused(self, tmp_path: Path, kind: str) -> None:
        schema = self.database.schema()
        self.run(tmp_path, _NATIVE.format(f"{schema}.", kind))
        gate = c.gate_of(self.source((schema, "events")))
        for ask in (gate.snapshot, gate.check_fresh):
            said = self.refused(lambda ask=ask: ask(NOW))
            assert "a timestamp with time zone" in said.message

    @pytest.mark.parametrize("kind", ["SET('x', 'y')", "JSON", "BLOB", "BIT(1)", "VARBINARY(9)"])
    def test_what_is_no_single_value_is_refused(self, tmp_path: Path, kind: str) -> None:
        source = self.make(tmp_path, [event("a")], HEADER)
        self.run(tmp_path, f"ALTER TABLE {self.schema}.consents DROP purpose, ADD purpose {kind}")
        gate = c.gate_of(source)
        if kind == "JSON":  # a text to MariaDB
            assert c.reasons(gate, "a") == [Reason.OTHER_PURPOSE]
        else:
            assert "one value a row" in self.refused(lambda: gate.snapshot(NOW)).message

    def test_ids_that_a_collation_takes_for_one_are_told_apart(self, tmp_path: Path) -> None:
        """An objection of ``a`` is none of ``A``, and one of ``a `` none of ``a``."""
        source = self.make(
            tmp_path, [{"subject": "a"}, {"subject": "b "}, {"subject": "\u00e9"}], ["subject"],
            name="robinson", holds="objections",
        )  # fmt: skip
        gate = c.gate_of(source, basis=LEGITIMATE_INTEREST)
        asked = ("a", "A", "a ", "b", "b ", "\u00e9", "e", "e\u0301")
        assert c.allowed(gate, *asked) == ["A", "a ", "b", "e", "e\u0301"]

    def test_a_view_may_say_that_it_is_always_fresh(self, tmp_path: Path) -> None:
        source = self.bare(tmp_path, [event("a", "2020-01-01T00:00:00Z")], HEADER)
        said = "date_format(utc_timestamp(), '%Y-%m-%dT%H:%i:%sZ') AS updated"
        assert said in (Path(__file__).parents[2] / "docs" / "consent.md").read_text()
        view = f"{self.schema}.fresh"
        self.run(tmp_path, f"CREATE VIEW {view} AS SELECT *, {said} FROM {self.schema}.consents")
        source = replace(
            source, table=(self.schema, "fresh"), columns={"updated": "updated"}, heartbeat=None
        )
        gate = c.gate_of(source)
        now = datetime.now(UTC)
        assert c.allowed(gate, "a", now=now) == ["a"]
        self.stale(gate.snapshot, now - timedelta(days=1), "no row of")

    def test_a_server_that_cannot_be_reached_is_refused_before_a_row_is_read(
        self, tmp_path: Path
    ) -> None:
        source = self.make(tmp_path, [event("a")], HEADER)
        with mysql_server.passage(self.database) as opened:
            server = replace(self.database.server, host="127.0.0.1", port=opened.port)
            source = replace(source, place=server)
            gate = c.gate_of(source)
            assert c.allowed(gate, "a") == ["a"]
        for ask in (gate.check_fresh, gate.snapshot):
            assert "nothing listens" in self.refused(lambda ask=ask: ask(NOW)).message

    def test_a_view_that_fails_on_a_value_tells_nothing_of_it(self, tmp_path: Path) -> None:
        source = self.make(tmp_path, [event("a"), event(SECRET)], HEADER)
        cast = "CAST(CAST(subject AS SIGNED) AS CHAR) AS subject"
        self.run(tmp_path, f"CREATE VIEW {self.schema}.v AS SELECT {cast}, event, time, purpose, "
                 f"notice FROM {self.schema}.consents")  # fmt: skip
        gate = c.gate_of(replace(source, table=(self.schema, "v")))
        assert "warning 1292" in self.refused(lambda: gate.snapshot(NOW)).message

    def test_a_view_that_writes_is_refused(self, tmp_path: Path) -> None:
        source = self.make(tmp_path, [event("a")], HEADER)
        self.run(tmp_path, f"CREATE SEQUENCE {self.schema}.n;; CREATE VIEW {self.schema}.w AS "
                 f"SELECT CAST(nextval({self.schema}.n) AS CHAR) AS subject, event, time, purpose, "
                 f"notice FROM {self.schema}.consents")  # fmt: skip
        gate = c.gate_of(replace(source, table=(self.schema, "w")))
        assert "writes" in self.refused(lambda: gate.snapshot(NOW)).message

    def test_a_table_that_no_transaction_sees_in_one_state_is_refused(self, tmp_path: Path) -> None:
        source = self.make(tmp_path, [event("a")], HEADER)
        self.run(tmp_path, f"ALTER TABLE {self.schema}.consents ENGINE = MyISAM")
        gate = c.gate_of(source)
        assert "MyISAM" in self.refused(lambda: gate.check_fresh(NOW)).message


_NATIVE = (
    "CREATE TABLE {0}events (subject BIGINT, event TEXT, time {1}, purpose TEXT, notice INTEGER, "
    "until {1}, gpc BOOLEAN)"
)


def _native(folder: Path, source: ConsentSource) -> None:
    """Times with a zone, booleans and integers, as the same texts in a CSV file would be judged."""
    name = ".".join(source.table)
    rows = [
        "(7, {}, '2026-02-28 13:00:00.25+01', {}, 1, NULL, FALSE)",
        "(8, {}, '2026-02-28 10:00:00+00', {}, 1, '2026-03-01 00:00+00', NULL)",
        "(9, {}, '2026-02-28 10:00:00+00', {}, 1, '2027-03-01 00:00+00', TRUE)",
        "(10, {}, NULL, {}, 1, NULL, NULL)",
        "(11, {}, 'infinity', {}, 1, NULL, NULL)",
    ]
    values = [row.format("'ConsentGiven'", f"'{SEGMENTATION}'") for row in rows]
    statement = f"INSERT INTO {name} VALUES {', '.join(values)}"
    if isinstance(source.place, File):
        with duckdb.connect(source.place.path) as database:
            database.execute("SET TimeZone = 'America/New_York'")
            database.execute(statement)
    else:
        _run_at(source, statement)
    beat = c.write_text(folder / "ok", "")
    flags = replace(source, name="o", holds="objections", flags=("gpc",), heartbeat=beat)
    ids = ("7", "8", "9", "10", "11")
    assert c.reasons(c.gate_of(source), *ids) == [
        None, Reason.EXPIRED, None, Reason.UNREADABLE_TIME, Reason.UNREADABLE_TIME,
    ]  # fmt: skip
    assert c.allowed(c.gate_of(source), *ids) == ["7", "9"]
    assert c.allowed(c.gate_of(source, flags), *ids) == ["7"]
    updated = c.gate_of(source).standing(iter([c.ids_of("7")]), NOW).updated
    assert updated == (datetime(2026, 2, 28, 12, 0, 0, 250_000, tzinfo=UTC),)


def _run_at(source: ConsentSource, sql: str) -> None:
    assert isinstance(source.place, Server)
    with closing(Database(socket_folder=source.place.host, data_folder=Path())) as database:
        database.run(sql)


def _gone_or_none(source: ConsentSource, refused: Callable[[Callable[[], object]], Any]) -> None:
    gate = c.gate_of(source)
    Path(source.place.name).write_bytes(SECRET.encode() * 1_000)
    for ask in (gate.check_fresh, gate.snapshot):
        assert source.place.name in refused(lambda ask=ask: ask(NOW)).message
    Path(source.place.name).unlink()
    for ask in (gate.check_fresh, gate.snapshot):
        said = refused(lambda ask=ask: ask(NOW))
        assert "no such file" in said.message
        assert "[[consent.sources]]" in said.remedy


def _texts(row: Mapping[str, Any]) -> dict[str, str]:
    return {name: "" if value is None else value for name, value in row.items()}


def _columns(rows: Rows, header: Sequence[str]) -> dict[str, Any]:
    return {name: pa.array([row.get(name) for row in rows], pa.string()) for name in header}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
