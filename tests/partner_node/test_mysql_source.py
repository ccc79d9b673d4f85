"""MySQL, against a real server: the suite of all sources, then what is particular to it."""

from __future__ import annotations

import logging
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pymysql
import pytest

from partner_node.sources.feature_query import check_feature_query
from partner_node.sources.mysql import connection as connecting
from partner_node.sources.mysql.queries import (
    AGGREGATES,
    COMPUTING,
    MYSQL_QUERIES,
    Named,
    named_in,
    plain_query,
)
from partner_node.sources.mysql.source import MySQLSource
from partner_node.sources.servers import Server
from partner_node.sources.source import Column, Source, numbers
from partner_node.sources.text_table import texts_of
from protocol.errors import SourceError
from tests import effort
from tests.partner_node.mysql_server import NODE, Database, passage, without_tls
from tests.partner_node.postgresql_server import PASSWORD, Door
from tests.partner_node.source_suite import (
    MEMBER,
    SourceSuite,
    Table,
    level,
    numbered,
    refusal,
    rows,
)


def source(server: Server, **options: Any) -> MySQLSource:
    return MySQLSource(**{"server": server, "id_column": "id", **options})


class TestMySQL(SourceSuite):
    @pytest.fixture(autouse=True)
    def _connected(self, mysql: Database) -> Iterator[None]:
        self.database = mysql
        yield
        assert mysql.forsaken()

    def make(self, folder: Path, table: Table) -> Source:
        return source(self.database.server, table=self.database.table(table))

    # MySQL holds neither: a program writes NaN as NULL, and an infinite number not at all.
    @pytest.mark.parametrize("bad", ["nan", "inf", "-inf"])
    def test_a_number_that_is_not_finite_is_refused(self, tmp_path: Path, bad: str) -> None:
        if bad == "nan":
            super().test_a_number_that_is_not_finite_is_refused(tmp_path, bad, "1 missing")
        else:
            with pytest.raises(pymysql.DataError, match=r"value: '-?inf'"):
                super().test_a_number_that_is_not_finite_is_refused(tmp_path, bad, "")

    @pytest.mark.parametrize("bad", ["inf", "-inf"])
    def test_an_infinite_number_is_refused_even_where_missing_ones_are_not(
        self, tmp_path: Path, bad: str
    ) -> None:
        with pytest.raises(pymysql.DataError, match=r"value: '-?inf'"):
            super().test_an_infinite_number_is_refused_even_where_missing_ones_are_not(
                tmp_path, bad
            )


class TestMySQLQuery(TestMySQL):
    def make(self, folder: Path, table: Table) -> Source:
        schema, name = self.database.table(table)
        return source(self.database.server, query=f"SELECT * FROM {schema}.{name}; -- the end")


# --- reading alone -----------------------------------------------------------------------------


@pytest.fixture
def schema(mysql: Database) -> str:
    """A database with customers, a sequence, and functions that write or only say so."""
    name = mysql.schema()
    mysql.run(
        f"CREATE TABLE {name}.customers (id VARCHAR(20), x DOUBLE);;"
        f"INSERT INTO {name}.customers VALUES ('a', 1.5);;"
        f"CREATE SEQUENCE {name}.numbers;;"
        f"CREATE FUNCTION {name}.writes() RETURNS DOUBLE MODIFIES SQL DATA "
        f"BEGIN INSERT INTO {name}.customers VALUES ('b', 1); RETURN 1; END;;"
        f"CREATE FUNCTION {name}.claims_to_read() RETURNS DOUBLE DETERMINISTIC READS SQL DATA "
        f"BEGIN DELETE FROM {name}.customers; RETURN 1; END;;"
        f"CREATE FUNCTION {name}.twice(x DOUBLE) RETURNS DOUBLE DETERMINISTIC NO SQL RETURN 2 * x;;"
        f"CREATE FUNCTION {name}.`left`(x DOUBLE) RETURNS DOUBLE RETURN rand()"
    )
    return name


ACTS = [
    "SELECT 'a' AS id, nextval({schema}.numbers) AS x",
    "SELECT 'a' AS id, NEXT VALUE FOR {schema}.numbers AS x",
    "SELECT 'a' AS id, setval({schema}.numbers, 99) AS x",
    "SELECT 'a' AS id, {schema}.writes() AS x",
    "SELECT 'a' AS id, {schema}.claims_to_read() AS x",
    "SELECT id, x FROM {schema}.customers INTO OUTFILE '{folder}/out'",
    "SELECT id, x INTO DUMPFILE '{folder}/out' FROM {schema}.customers",
    "SELECT 'a' AS id, 1 AS x; DROP TABLE {schema}.customers",
    "SELECT 'a' AS id, 1 AS x) AS f; DROP TABLE {schema}.customers; -- ",
    "INSERT INTO {schema}.customers VALUES ('b', 1)",
    "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE {schema}.customers",
    "DELETE FROM {schema}.customers",
    "CREATE TABLE {schema}.other AS SELECT 1",
]


@pytest.mark.parametrize("query", ACTS)
def test_a_query_that_acts_is_refused_and_nothing_changes(
    mysql: Database, schema: str, query: str
) -> None:
    text = query.format(schema=schema, folder=mysql.data_folder)
    with pytest.raises(SourceError) as caught:
        rows(source(mysql.server, query=text), ["x"])
    assert caught.value.code == "E-SOURCE-SQL"
    unchanged(mysql, schema)


@pytest.mark.parametrize(
    "query",
    [q for q in ACTS if "FILE" not in q],  # the server writes files for an administrator
)
def test_without_our_checks_the_server_refuses_whatever_writes(
    mysql: Database, schema: str, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the node has its administrator's rights."""
    unchecked(monkeypatch)
    with pytest.raises(SourceError) as caught:
        rows(source(mysql.server, query=query.format(schema=schema)), ["x"])
    assert caught.value.code == "E-SOURCE-SQL"
    unchanged(mysql, schema)


def unchecked(patch: pytest.MonkeyPatch) -> None:
    """Take our own checks of queries away."""
    module = "partner_node.sources.mysql.source"
    patch.setattr(f"{module}.plain_query", lambda query: query)
    patch.setattr(f"{module}.check_feature_query", lambda *_, **__: None)
    patch.setattr(f"{module}.without_end", lambda query: query)
    patch.setattr(f"{module}.named_in", lambda query: Named(tables=frozenset()))


def unchanged(database: Database, schema: str) -> None:
    assert database.run(f"SELECT * FROM {schema}.customers") == [("a", 1.5)]
    assert database.run(f"SELECT next_not_cached_value FROM {schema}.numbers") == [(1,)]
    assert len(database.run(f"SHOW TABLES FROM {schema}")) == 2
    assert not (database.data_folder / "out").exists()
    assert database.forsaken()


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT id, sleep(100) AS x FROM customers", "sleep"),
        ("SELECT id, benchmark(1000000000, md5('a')) AS x FROM customers", "benchmark"),
        ("SELECT id, get_lock('a', 100) AS x FROM customers", "get_lock"),
        ("SELECT id, length(load_file('/etc/passwd')) AS x FROM customers", "load_file"),
        ("SELECT id, rand() AS x FROM customers", "rand"),
        ("SELECT uuid() AS id, x FROM customers", "uuid"),
        ("SELECT id, unix_timestamp() AS x FROM customers", "unix_timestamp"),
        ("SELECT id, datediff(now(), day) AS x FROM customers", "now"),
        ("SELECT id, datediff(CURRENT_DATE, day) AS x FROM customers", "current_date"),
        ("SELECT id, datediff(UTC_DATE, day) AS x FROM customers", "utc_date"),
        ("SELECT id, x FROM customers WHERE owner = CURRENT_USER", "current_user"),
        ("SELECT id, @@global.x AS x FROM customers", "'@'"),
        ("SELECT id, @x := x AS x FROM customers", "'@'"),
        ("SELECT user AS id, 1 AS x FROM mysql.user", "mysql.user"),
        ("SELECT user AS id, 1 AS x FROM MySQL.global_priv", "global_priv"),
        ("SELECT table_name AS id, 1 AS x FROM information_schema.tables", "information_schema"),
        ("SELECT * FROM performance_schema.threads", "performance_schema"),
        ("SELECT * FROM JSON_TABLE('[]', '$') AS t", "json_table"),
        ("SELECT * FROM generate_series(1, 2)", "generate_series"),
        ("SELECT id, x FROM customers; SELECT 1", "2 statements"),
        ("SELECT id, x FROM customers FOR UPDATE", "into a view"),
        ("SELECT id, x DIV 2 AS x FROM customers", "into a view"),
        ("HANDLER customers OPEN", "into a view"),
        ("CALL acts()", "CALL"),
        ("SET SESSION TRANSACTION READ WRITE", "view"),
        # what DuckDB's parser reads as one thing and MySQL as another
        ("SELECT id, x # 1\n FROM customers", "'#'"),
        ("SELECT id, e'\\' AS x, ' AS y FROM customers", "sets apart"),
        ("SELECT id, $$ 1 $$ AS x FROM customers", "'$'"),
        ("SELECT id, x'41' AS x FROM customers", "sets apart"),
        ("SELECT id, _latin1'a' AS x FROM customers", "sets apart"),
        ("SELECT id, 0x41 AS x FROM customers", "sets apart"),
        ("SELECT id, 1e AS x FROM customers", "sets apart"),
        ("SELECT id, 1FROM customers", "sets apart"),
        ("SELECT id, customers.1x AS x FROM customers", "sets apart"),
        ("SELECT id, x\u00a0FROM customers", "'\\xa0'"),
        ("SELECT id, {fn now()} AS x FROM customers", "'{'"),
        ("SELECT id, x->'$.a' AS x FROM customers", "->"),
        ("SELECT id, x::double AS x FROM customers", "':'"),
        ("SELECT id, x\0 FROM customers", "'\\x00'"),
        ("SELECT id, '\0' AS x FROM customers", '"\'"'),
        ("SELECT id, x FROM customers WHERE !x", "'!'"),
    ],
)
def test_what_can_be_seen_in_a_query_is_refused_before_anybody_connects(
    query: str, words: str
) -> None:
    nowhere = Server(
        host="/nowhere", port=1, database="d", user="u", password_file=None, password_env=None,
        ssl="disable", root_certificates=None, timeout_s=1,
    )  # fmt: skip
    with pytest.raises(SourceError) as caught:
        source(nowhere, query=query)
    assert caught.value.code == "E-SOURCE-SQL"
    assert words.casefold() in caught.value.diagnostics().casefold()


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("SELECT 1 /*! , sleep(9) */ AS x", "SELECT 1                   AS x"),
        ("SELECT 1 /*M!100000 , sleep(9) */", "SELECT 1                         "),
        ("SELECT 1 /*+ SET_VAR(x=1) */", "SELECT 1                    "),
        ("SELECT 1 --sleep(9)\n+ 1", "SELECT 1          \n+ 1"),
        ("SELECT '--', \"/*\", `#` -- '\n", "SELECT '--', \"/*\", `#`     \n"),
        ("SELECT 1 /* /* */ + sleep(9) */", "SELECT 1                       "),
        ("SELECT 'é' /* ü */ AS x -- ö", "SELECT 'é'           AS x      "),
    ],
)
def test_comments_never_reach_the_server(query: str, left: str) -> None:
    found = plain_query(query)
    assert "sleep" not in found
    assert found.split() == left.split()


def test_a_query_that_is_plain_sql_stays_as_it_is() -> None:
    query = (
        "WITH w AS (SELECT `id`, \"x\" FROM shop.\"käufer\" WHERE a <> 'it''s' OR b >= -1.5e-3)\n"
        "SELECT id, 2 * (x - 1) / 3 % 4 || '' AS x FROM w WHERE x != .5 AND x <= 1. ; "
    )
    assert plain_query(query) == query
    check_feature_query(query, MYSQL_QUERIES)
    assert named_in(query).tables == {("shop", "käufer")}


def test_every_aggregate_that_may_be_called_is_seen_where_rows_must_be_a_customers_own() -> None:
    """`own_rows` knows DuckDB's aggregates alone."""
    with duckdb.connect() as connection:
        known = connection.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions() "
            "WHERE function_type = 'aggregate'"
        ).fetchall()
    assert {name for (name,) in known} >= AGGREGATES
    others = {"std", "bit_and", "bit_or", "bit_xor", "json_arrayagg", "json_objectagg", "median"}
    assert not COMPUTING & others


def test_every_function_that_may_be_called_is_one_of_the_server_and_changes_nothing(
    mysql: Database,
) -> None:
    """A misspelt name would be a stored function's, which nobody has asked about."""
    desugared = {name for name in COMPUTING if name.startswith("to_")} | {
        "count_star", "date_part", "trunc",
    }  # fmt: skip
    only_mysql = {"any_value", "regexp_like"}
    for name in sorted(COMPUTING - desugared - only_mysql):
        with pytest.raises(pymysql.Error) as caught, mysql.administrator.cursor() as cursor:
            cursor.execute(f"SELECT {name}(")
        assert caught.value.args[0] == 1064, name  # a syntax error alone
        for arguments in ("", "1", "1, 1", "1, 1, 1"):
            with mysql.administrator.cursor() as cursor:
                try:
                    cursor.execute(f"SELECT {name}({arguments})")
                except pymysql.Error as error:
                    assert error.args[0] not in (1305, 1370), (name, error)


def test_a_function_that_nobody_says_only_computes_is_refused_by_name(
    mysql: Database, schema: str
) -> None:
    for call, name in (
        (f"{schema}.writes()", "writes"),
        (f"{schema}.`left`(x)", "left"),  # a name that is harmless without its schema
        ("sys_exec('true')", "sys_exec"),
        ("st_area(x)", "st_area"),
    ):
        query = f"SELECT id, {call} AS x FROM {schema}.customers"
        error = refusal(source(mysql.server, query=query), ["x"])
        assert error.code == "E-SOURCE-SQL"
        assert f"calls {name}, and neither" in error.message
    query = f"SELECT id, {schema}.twice(x) AS x FROM {schema}.customers"
    assert rows(source(mysql.server, query=query), ["x"]) == {"a": [3.0]}
    server = replace(mysql.server, database=schema)
    query = "SELECT id, Twice(x) AS x FROM customers"
    assert rows(source(server, query=query), ["x"]) == {"a": [3.0]}


def test_a_view_that_writes_when_it_is_read_is_refused(mysql: Database, schema: str) -> None:
    mysql.run(
        f"CREATE VIEW {schema}.acts AS SELECT id, {schema}.writes() AS x FROM {schema}.customers"
    )
    error = refusal(source(mysql.server, table=(schema, "acts")), ["x"])
    assert error.code == "E-SOURCE-SQL"
    assert "writes when it is read" in error.message
    assert mysql.run(f"SELECT count(*) FROM {schema}.customers") == [(1,)]


def test_a_query_that_takes_too_long_is_ended(
    mysql: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    unchecked(monkeypatch)
    ended = "SHOW GLOBAL STATUS LIKE 'max_statement_time_exceeded'"
    ((_, before),) = mysql.run(ended)
    since = time.monotonic()
    query = "SELECT 'a' AS id, sleep(100) AS x"
    error = refusal(source(replace(mysql.server, timeout_s=1), query=query), ["x"])
    assert error.code == "E-SOURCE-TIMEOUT"
    assert "timeout_s" in error.remedy
    assert time.monotonic() - since < 30
    ((_, after),) = mysql.run(ended)
    assert int(after) > int(before)  # by the server
    assert mysql.forsaken()


def test_an_account_without_rights_is_told_what_to_grant(mysql: Database, schema: str) -> None:
    mysql.run(f"CREATE USER {schema}_r@localhost;; GRANT USAGE ON *.* TO {schema}_r@localhost")
    server = replace(mysql.server, user=f"{schema}_r", database=schema)
    error = refusal(source(server, table=("customers",)), ["x"])
    assert error.code == "E-SOURCE-CONNECT"
    assert "GRANT SELECT" in error.remedy
    mysql.run(f"GRANT SELECT ON {schema}.numbers TO {schema}_r@localhost")
    error = refusal(source(server, table=("customers",)), ["x"])
    assert error.code == "E-SOURCE-RIGHTS"
    assert "GRANT SELECT" in error.remedy
    mysql.run(f"GRANT SELECT ON {schema}.customers TO {schema}_r@localhost")
    assert rows(source(server, table=("customers",)), ["x"]) == {"a": [1.5]}
    assert rows(source(server, query="SELECT * FROM customers"), ["x"]) == {"a": [1.5]}


# --- what is read ------------------------------------------------------------------------------


def test_every_type_that_can_be_an_id_or_a_number_is_read(mysql: Database) -> None:
    name = mysql.schema()
    mysql.run(
        f"CREATE TABLE {name}.customers (a BIGINT UNSIGNED, b CHAR(5), c UUID, d TEXT, "
        "e VARCHAR(9) CHARACTER SET latin1, i TINYINT, m MEDIUMINT, n DECIMAL(8, 2), f FLOAT, "
        "y YEAR, u BIGINT UNSIGNED);;"
        f"INSERT INTO {name}.customers VALUES (18446744073709551615, 'x y', "
        "'00000000-0000-0000-0000-000000000007', 'v', 'ü', 1, -2, 1.25, 2.5, 2026, "
        "9007199254740992)"
    )
    found = []
    for column in "abcde":
        reading = source(mysql.server, id_column=column, table=(name, "customers"))
        ((text, values),) = rows(reading, list("imnfyu")).items()
        assert values == [1.0, -2.0, 1.25, 2.5, 2026.0, 2.0**53]
        found.append(text)
    assert found == [
        "18446744073709551615", "x y", "00000000-0000-0000-0000-000000000007", "v", "ü",
    ]  # fmt: skip
    assert reading.describe().to_dict() == {
        "kind": "mysql",
        "files": [],
        "n_bytes": 0,
        "id_column": "e",
        "columns": list("abcdeimnfyu"),
        "query": False,
    }


def test_ids_are_told_apart_letter_by_letter_whatever_the_collation(mysql: Database) -> None:
    """To the server's usual collation they are two ids, of which one is there six times."""
    name = mysql.schema()
    ids = ["a", "A", "a ", "\u00e1", "a\t", "a\u0301", "ss", "\u00df"]
    written = ", ".join(f"('{i}', 'gold', 1)" for i in ids)
    mysql.run(
        f"CREATE TABLE {name}.customers (id VARCHAR(20), tier VARCHAR(20), x DOUBLE) "
        f"COLLATE utf8mb4_unicode_ci;; INSERT INTO {name}.customers VALUES {written}"
    )
    assert mysql.run(f"SELECT count(DISTINCT id) FROM {name}.customers") == [(3,)]
    reading = source(mysql.server, table=(name, "customers"))
    assert set(rows(reading, ["x"])) == set(ids)
    assert texts_of(reading, "a ", id_column="id", columns=["x"]) is not None
    assert texts_of(reading, "Á", id_column="id", columns=["x"]) is None
    mysql.run(f"INSERT INTO {name}.customers VALUES ('a ', 'gold', 1)")
    error = refusal(reading, ["x"])
    assert error.code == "E-DUPLICATE"
    assert "1 customer ids" in error.message
    assert "rows 3 and 9" in error.message
    mysql.run(f"DELETE FROM {name}.customers WHERE id <> 'ss'")
    for wrong in ("Gold", "gold ", "göld"):
        mysql.run(f"UPDATE {name}.customers SET tier = '{wrong}' LIMIT 1")
        error = refusal(reading, [level("tier", "bronze", "gold")])
        assert error.code == "E-SOURCE-LEVEL"


def test_an_id_that_is_longer_than_the_server_compares_is_refused(mysql: Database) -> None:
    name = mysql.schema()
    mysql.run(
        f"CREATE TABLE {name}.customers (id TEXT, x DOUBLE);; INSERT INTO {name}.customers VALUES "
        "(repeat('é', 500), 1), (concat(repeat('é', 500), 'a'), 1), ('b', 1)"
    )
    error = refusal(source(mysql.server, table=(name, "customers")), ["x"])
    assert error.code == "E-SOURCE-ID"
    assert "1 of 3 rows" in error.message
    assert "longer than 1,000 bytes" in error.message
    assert "row 2" in error.message


@pytest.mark.parametrize(
    "kind", ["VARBINARY(9)", "BINARY(16)", "BLOB", "TIMESTAMP NULL", "DATETIME", "DATE",
             "DECIMAL(9, 2)", "DOUBLE", "BIT(1)", "ENUM('a')", "SET('a', 'b')", "POINT"],
)  # fmt: skip
def test_an_id_of_another_type_is_refused(mysql: Database, kind: str) -> None:
    name = mysql.schema()
    mysql.run(f"CREATE TABLE {name}.customers (id {kind}, x DOUBLE)")
    error = refusal(source(mysql.server, table=(name, "customers")), ["x"])
    assert error.code == "E-SOURCE-TYPE"
    assert "CAST" in error.remedy


@pytest.mark.parametrize(
    "kind", ["DATE", "DATETIME", "TIME", "TIMESTAMP NULL", "VARCHAR(9)", "BIT(1)", "BLOB", "JSON",
             "ENUM('1')"],
)  # fmt: skip
def test_a_feature_of_another_type_is_refused(mysql: Database, kind: str) -> None:
    name = mysql.schema()
    mysql.run(f"CREATE TABLE {name}.customers (id VARCHAR(9), x {kind})")
    error = refusal(source(mysql.server, table=(name, "customers")), ["x"])
    assert error.code == "E-SOURCE-TYPE"
    assert "CAST" in error.remedy


def test_booleans_and_enumerations_are_levels(mysql: Database) -> None:
    name = mysql.schema()
    mysql.run(
        f"CREATE TABLE {name}.customers (id INT, b BOOLEAN, e ENUM('no', 'YES'), t TEXT);;"
        f"INSERT INTO {name}.customers VALUES (1, TRUE, 'YES', 'True'), (2, FALSE, 'no', 'F')"
    )
    reading = source(mysql.server, table=(name, "customers"))
    wanted = [replace(MEMBER, name=column) for column in "bet"]
    assert rows(reading, wanted) == {"1": [1.0, 1.0, 1.0], "2": [0.0, 0.0, 0.0]}


def test_a_query_in_mysql_s_own_words_runs(mysql: Database) -> None:
    name = mysql.schema()
    mysql.run(
        f"CREATE TABLE {name}.orders (id VARCHAR(9), day DATE, amount DECIMAL(8, 2));;"
        f"INSERT INTO {name}.orders VALUES ('a', '2026-01-01', 2.5), ('a', '2026-02-01', 7.5), "
        "('b', '2026-02-03', 1)"
    )
    query = (
        "/* what we agreed on */ SELECT `id`, DATEDIFF('2026-03-01', MAX(day)) AS recency, "
        "SUM(amount) AS spend, SUM(IF(amount > 3, 1, 0)) AS large, "
        "EXTRACT(MONTH FROM MIN(day)) AS since, "
        "TIMESTAMPDIFF(DAY, MIN(day), DATE '2026-03-01') AS tenure, "
        "CAST(DATE_FORMAT(DATE_ADD(MAX(day), INTERVAL 3 DAY), '%d') AS UNSIGNED) AS d "
        f"FROM {name}.orders WHERE id LIKE '%' AND LEFT(id, 1) <> '\\' GROUP BY id; -- done"
    )
    assert rows(
        source(mysql.server, query=query), ["recency", "spend", "large", "since", "tenure", "d"]
    ) == {"a": [28.0, 10.0, 1.0, 1.0, 59.0, 4.0], "b": [26.0, 1.0, 0.0, 2.0, 26.0, 6.0]}


def test_a_missing_table_is_refused_with_the_nearest(mysql: Database, schema: str) -> None:
    for table in ((schema, "custmers"), (f"{schema}x", "customers"), (schema, "Customers")):
        error = refusal(source(mysql.server, table=table), ["x"])
        assert error.code == "E-SOURCE-MISSING"
        assert "did you mean" in error.message
        assert ".customers'" in error.message
    server = replace(mysql.server, database=schema)
    error = refusal(source(server, table=("customer",)), ["x"])
    assert "did you mean 'customers'" in error.message


def test_a_query_that_does_not_fit_the_tables_is_explained(mysql: Database, schema: str) -> None:
    for query, words in (
        (f"SELECT id, y FROM {schema}.customers", "Unknown column 'y'"),
        (f"SELECT id, x FROM {schema}.buyers", f"'{schema}.buyers' doesn't exist"),
        (f"SELECT id, sum(x) AS x FROM {schema}.customers", "GROUP BY"),
        (f"SELECT id, HIGH_PRIORITY x FROM {schema}.customers", "syntax"),
    ):
        error = refusal(source(mysql.server, query=query), ["x"])
        assert error.code == "E-SOURCE-SQL"
        assert words in error.message
        assert error.__context__ is None


@pytest.mark.parametrize("n_before", [1, 30_000])
@pytest.mark.parametrize(
    ("column", "code"),
    [
        ("CAST(note AS DOUBLE)", "E-SOURCE-SQL"),  # the server takes it for 0, and warns
        ("1e308 * (CASE WHEN note = '1' THEN 1 ELSE 10 END)", "E-SOURCE-SQL"),
        ("CAST(DATEDIFF(note, '2026-01-01') AS DOUBLE)", "E-SOURCE-NULL"),
    ],
)
def test_a_value_that_fails_is_not_shown_however_late_it_comes(
    mysql: Database,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    n_before: int,
    column: str,
    code: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    name = mysql.schema()
    mysql.run(
        f"CREATE TABLE {name}.customers AS SELECT CAST(seq AS CHAR) AS id, '1' AS note "
        f"FROM seq_1_to_{n_before};; ALTER TABLE {name}.customers MODIFY id VARCHAR(20), "
        "MODIFY note VARCHAR(20);;"
        f"INSERT INTO {name}.customers VALUES ('canary-id', 'canary8675309x')"
    )
    query = f"SELECT id, {column} AS x FROM {name}.customers"
    if code == "E-SOURCE-NULL":
        query = query.replace("note,", "(CASE WHEN note = '1' THEN '2026-01-02' ELSE note END),")
    error = refusal(source(mysql.server, query=query), ["x"])
    assert error.code == code
    shown = "".join(traceback.format_exception(error)) + error.diagnostics() + caplog.text
    shown += "".join(capfd.readouterr())
    for secret in ("canary", "8675309"):
        assert secret not in shown
    assert error.__context__ is None
    assert mysql.forsaken()


@pytest.mark.parametrize(
    "column",
    ["(SELECT n FROM {0}.one) - 9000000", "CAST((SELECT t FROM {0}.one) AS DOUBLE)",
     "extractvalue(1, concat(':', (SELECT t FROM {0}.one)))",  # quotes it, and is refused before
     "repeat('x', (SELECT n FROM {0}.one) * 100000000)", "x + (SELECT n FROM {0}.two)"],
)  # fmt: skip
def test_a_value_that_the_server_computes_while_it_plans_is_not_shown(
    mysql: Database, schema: str, column: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unchecked(monkeypatch)
    mysql.run(
        f"CREATE TABLE {schema}.one (n BIGINT UNSIGNED PRIMARY KEY, t VARCHAR(20));; "
        f"INSERT INTO {schema}.one VALUES (8675309, 'canary');; "
        f"CREATE TABLE {schema}.two AS SELECT n FROM {schema}.one UNION ALL SELECT 1"
    )
    query = f"SELECT id, {column.format(schema)} AS x FROM {schema}.customers"
    error = refusal(source(mysql.server, query=query), ["x"])
    shown = "".join(traceback.format_exception(error)) + error.diagnostics()
    assert "8675309" not in shown
    assert "canary" not in shown


def test_a_view_that_takes_a_text_for_a_number_is_refused(mysql: Database, schema: str) -> None:
    mysql.run(
        f"INSERT INTO {schema}.customers VALUES ('canary', 2);; CREATE VIEW {schema}.v AS "
        f"SELECT id, CAST(CASE WHEN x > 1.5 THEN id ELSE '7' END AS DOUBLE) AS x "
        f"FROM {schema}.customers"
    )
    error = refusal(source(mysql.server, table=(schema, "v")), ["x"])
    assert error.code == "E-SOURCE-TYPE"
    assert "warning 1292" in error.message
    assert "canary" not in error.diagnostics()


def test_texts_that_are_no_utf_8_are_refused(mysql: Database) -> None:
    """As a table has them whose bytes were written under another character set."""
    name = mysql.schema()
    mysql.run(
        f"CREATE TABLE {name}.c (id VARCHAR(9), t VARBINARY(9));; "
        f"INSERT INTO {name}.c VALUES ('a', x'ff'), ('b', 'ok');; "
        f"CREATE VIEW {name}.v AS SELECT CAST(t AS CHAR CHARACTER SET utf8mb4) AS id, 1 AS x, "
        f"CAST(t AS CHAR CHARACTER SET utf8mb4) AS t FROM {name}.c"
    )
    reading = source(mysql.server, table=(name, "v"))
    assert refusal(reading, ["x"]).code in ("E-SOURCE-ENCODING", "E-SOURCE-TYPE", "E-SOURCE-ID")
    with pytest.raises(SourceError) as caught:
        texts_of(reading, "nobody", id_column="id", columns=["t"])
    assert caught.value.code in ("E-SOURCE-ENCODING", "E-SOURCE-TYPE")


def test_settings_of_the_account_change_nothing(mysql: Database) -> None:
    """The server tells every session to cut results, read backslashes and quotes otherwise, ..."""
    table = mysql.table({"id": ["a\\", "b"], "x": [1.0, 2.0], "tier": ["it's \\", "é"]})
    changed = {
        "sql_select_limit": "1", "sql_mode": "'ANSI,PAD_CHAR_TO_FULL_LENGTH'",
        "sql_auto_is_null": "1", "time_zone": "'+09:00'", "character_set_server": "latin1",
        "sql_big_selects": "0", "max_join_size": "1",
    }  # fmt: skip
    before = {n: mysql.run(f"SELECT @@global.{n}")[0][0] for n in changed}
    try:
        for name, value in changed.items():
            mysql.run(f"SET GLOBAL {name} = {value}")
        reading = source(mysql.server, table=table)
        found = rows(reading, ["x", level("tier", "it's \\", "é")])
        assert found == {"a\\": [1.0, 0.0], "b": [2.0, 1.0]}
    finally:
        for name, old in before.items():
            mysql.run(f"SET GLOBAL {name} = {old!r}")


# --- passes ------------------------------------------------------------------------------------


def test_one_pass_sees_one_state_and_the_next_pass_the_next(mysql: Database) -> None:
    table = mysql.table(numbered(50_000))
    name = ".".join(table)
    reading = source(mysql.server, table=table)
    stream = reading.chunks(numbers("visits"), max_rows=1_000)
    found = [next(stream)]
    mysql.run(f"DELETE FROM {name} WHERE id > 'C000099'")
    found += stream
    assert sum(c.n_rows for c in found) == 50_000
    assert len(rows(reading, ["visits"])) == 100
    mysql.run(f"INSERT INTO {name} SELECT * FROM {name} LIMIT 1")
    assert refusal(reading, ["visits"]).code == "E-DUPLICATE"


def test_a_duplicate_that_comes_between_check_and_reading_is_not_in_the_pass(
    mysql: Database,
) -> None:
    table = mysql.table(numbered(10))
    stream = source(mysql.server, table=table).chunks(numbers("visits"), max_rows=1)
    name = ".".join(table)
    mysql.run(f"INSERT INTO {name} SELECT * FROM {name}")
    assert sum(chunk.n_rows for chunk in stream) == 10


@pytest.mark.parametrize("engine", ["MyISAM", "Aria", "MEMORY", "CSV"])
def test_a_table_of_which_a_pass_could_see_two_states_is_refused(
    mysql: Database, engine: str
) -> None:
    name = mysql.schema()
    mysql.run(
        f"CREATE TABLE {name}.customers (id VARCHAR(9) NOT NULL, x DOUBLE NOT NULL) "
        f"ENGINE = {engine};; INSERT INTO {name}.customers VALUES ('a', 1)"
    )
    inside = replace(mysql.server, database=name)
    for reading in (
        source(mysql.server, table=(name, "customers")),
        source(inside, table=("customers",)),
        source(inside, query="WITH c AS (SELECT * FROM customers) SELECT * FROM c"),
        source(mysql.server, query=f"SELECT id, x FROM (SELECT * FROM {name}.customers) AS c"),
    ):
        error = refusal(reading, ["x"])
        assert error.code == "E-SOURCE-DATABASE"
        assert engine in error.message
        assert "ENGINE = InnoDB" in error.remedy


def test_rows_are_counted_in_the_order_in_which_they_come(mysql: Database) -> None:
    """An index over the ids alone would be read in its own order."""
    name = mysql.schema()
    mysql.run(
        f"CREATE TABLE {name}.customers (n INT PRIMARY KEY, id VARCHAR(9), x DOUBLE, INDEX (id));;"
        f"INSERT INTO {name}.customers VALUES (1, 'z', 1), (2, 'y', 2), (3, 'a', 3), (4, 'a', 4)"
    )
    reading = source(mysql.server, table=(name, "customers"))
    assert "rows 3 and 4" in refusal(reading, ["x"]).message
    mysql.run(f"UPDATE {name}.customers SET id = '' WHERE n = 4")
    assert "the first is row 4" in refusal(reading, ["x"]).message
    mysql.run(f"UPDATE {name}.customers SET id = 'b' WHERE n = 4")
    assert list(rows(reading, ["x"])) == ["z", "y", "a", "b"]
    assert list(rows(reading, [])) == ["z", "y", "a", "b"]


def test_a_pass_that_is_given_up_leaves_no_connection_open(mysql: Database) -> None:
    reading = source(mysql.server, table=mysql.table(numbered(60_000)))
    stream = reading.chunks(numbers("visits"), max_rows=100)
    assert mysql.connections() == 1  # not one chunk was taken yet
    del stream
    assert mysql.forsaken()
    stream = reading.chunks(numbers("visits"), max_rows=100)
    next(stream)
    assert mysql.connections() == 1
    stream.close()  # type: ignore[attr-defined]
    assert mysql.forsaken()


def test_no_more_rows_are_held_than_were_asked_for(
    mysql: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor more bytes of them than a limit, however long the rows are."""
    monkeypatch.setattr(connecting, "_BATCH_BYTES", 10_000)
    name = mysql.schema()
    mysql.run(
        f"CREATE TABLE {name}.c (id INT, t MEDIUMTEXT);; INSERT INTO {name}.c "
        "SELECT seq, repeat('x', 4000) FROM seq_1_to_50"
    )
    with source(mysql.server, table=(name, "c")).open_texts() as table:
        assert [batch.num_rows for batch in table.read(["id", "t"])] == [3] * 16 + [2]


def test_after_a_reading_that_was_given_up_none_gets_what_was_left_of_it(
    mysql: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("partner_node.sources.mysql.source.TEXT_ROWS", 100)
    reading = source(mysql.server, table=mysql.table(numbered(1_000)))
    with reading.open_texts() as table:
        batches = table.read(["id", "visits"])
        next(batches)
        batches.close()
        with pytest.raises(SourceError) as caught:
            next(table.read(["spent", "note"]))
    assert caught.value.code == "E-SOURCE-CONNECT"
    assert caught.value.__context__ is None


def test_a_row_that_fills_the_memory_is_refused(mysql: Database) -> None:
    name = mysql.schema()
    mysql.run(
        f"CREATE TABLE {name}.c (id INT, t LONGTEXT);; "
        f"INSERT INTO {name}.c VALUES (1, 'short'), (2, repeat('x', 16000000))"
    )
    mysql.run(f"UPDATE {name}.c SET t = concat(t, t) WHERE id = 2")
    with pytest.raises(SourceError) as caught:
        texts_of(source(mysql.server, table=(name, "c")), "2", id_column="id", columns=["t"])
    assert caught.value.code == "E-SOURCE-TYPE"
    assert "longer than 16 MB" in caught.value.message
    assert mysql.forsaken()


def test_a_server_that_goes_away_in_the_midst_is_said_to_be_gone(mysql: Database) -> None:
    reading = source(mysql.server, table=mysql.table(numbered(60_000)))
    stream = reading.chunks(numbers("visits", "spent"), max_rows=1_000)
    next(stream)
    mysql.run(f"KILL USER {NODE}")
    with pytest.raises(SourceError) as caught:
        list(stream)
    assert caught.value.code == "E-SOURCE-CONNECT"
    assert "lost" in caught.value.message
    assert caught.value.__context__ is None


# --- connecting --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def account(mysql: Database) -> str:
    """An account that needs a password."""
    quoted = PASSWORD.replace("\\", "\\\\").replace("'", "''")
    mysql.run(
        f"CREATE USER guarded@localhost IDENTIFIED BY '{quoted}';; "
        "GRANT SELECT ON *.* TO guarded@localhost"
    )
    return "guarded"


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n")
    path.chmod(0o600)
    return path


def test_a_password_comes_from_a_file_or_a_variable(
    mysql: Database, account: str, password: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = mysql.table(numbered(3))
    server = replace(mysql.server, user=account, password_file=password)
    assert len(rows(source(server, table=table), ["visits"])) == 3
    server = replace(server, password_file=None, password_env="DATABASE_WORD")
    monkeypatch.setenv("DATABASE_WORD", PASSWORD)
    assert len(rows(source(server, table=table), ["visits"])) == 3


@pytest.mark.parametrize("word", ["wrong-s3cret", "wröng-s3cret", "", None])
def test_a_wrong_password_is_refused_and_not_shown(
    mysql: Database,
    account: str,
    word: str | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    if word is not None:
        monkeypatch.setenv("DATABASE_WORD", word)
    server = replace(mysql.server, user=account, password_env="DATABASE_WORD")
    error = refusal(source(server, table=("shop", "customers")), ["x"])
    assert error.code == ("E-SOURCE-CONNECT" if word else "E-SOURCE-PASSWORD")
    assert "password" in error.remedy
    shown = "".join(traceback.format_exception(error)) + error.diagnostics() + caplog.text
    assert "s3cret" not in shown + "".join(capfd.readouterr())


def test_an_account_that_needs_a_password_and_has_none_is_told_so(
    mysql: Database, account: str
) -> None:
    error = refusal(source(replace(mysql.server, user=account), table=("customers",)), ["x"])
    assert error.code == "E-SOURCE-CONNECT"
    assert "none is configured" in error.message


def test_a_password_file_that_others_may_read_is_refused(
    mysql: Database, account: str, password: Path
) -> None:
    password.chmod(0o640)
    server = replace(mysql.server, user=account, password_file=password)
    error = refusal(source(server, table=("customers",)), ["x"])
    assert error.code == "E-SOURCE-PASSWORD"
    assert "chmod 0600" in error.remedy


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"database": "nowhere"}, "no such database"),
        ({"user": "nobody"}, "none is configured"),
        ({"host": "/nowhere"}, "no socket"),
        ({"host": "/tmp"}, "nothing listens"),
        ({"host": "127.0.0.1", "port": 1}, "nothing listens"),
    ],
)
def test_a_server_that_cannot_be_reached_is_explained(
    mysql: Database, changes: dict[str, Any], words: str
) -> None:
    error = refusal(source(replace(mysql.server, **changes), table=("customers",)), ["x"])
    assert error.code == "E-SOURCE-CONNECT"
    assert words in error.message
    assert "database '" in error.message
    assert error.__context__ is None


def over_tcp(database: Database, opened: Door, **changes: Any) -> Server:
    return replace(database.server, host="127.0.0.1", port=opened.port, **changes)


def test_over_tls_the_certificate_is_checked_as_configured(
    mysql: Database, account: str, password: Path, tmp_path: Path
) -> None:
    root = mysql.authority
    table = mysql.table(numbered(20_000))
    mysql.run("ALTER USER guarded@localhost REQUIRE SSL")
    try:
        with passage(mysql) as opened:
            for mode, known in (("verify-full", root), ("verify-ca", root), ("require", None)):
                server = over_tcp(
                    mysql, opened, ssl=mode, root_certificates=known, user=account,
                    password_file=password,
                )  # fmt: skip
                assert len(rows(source(server, table=table), ["visits"])) == 20_000
            plain = replace(server, ssl="disable", root_certificates=None)
            error = refusal(source(plain, table=table), ["visits"])
            assert error.code == "E-SOURCE-CONNECT"
            strange = over_tcp(mysql, opened, ssl="verify-full")
            error = refusal(source(strange, table=table), ["visits"])
            assert error.code == "E-SOURCE-CONNECT"
            assert "not signed by an authority" in error.message
            elsewhere = replace(strange, host="localhost", root_certificates=root)
            assert "another name" in refusal(source(elsewhere, table=table), ["visits"]).message
            elsewhere = replace(elsewhere, ssl="verify-ca")
            assert len(rows(source(elsewhere, table=table), ["visits"])) == 20_000
            for name, content in (("gone.pem", None), ("none.pem", "no certificate")):
                if content:
                    (tmp_path / name).write_text(content)
                missing = replace(strange, root_certificates=tmp_path / name)
                assert "cannot be read" in refusal(source(missing, table=table), ["visits"]).message
    finally:
        mysql.run("ALTER USER guarded@localhost REQUIRE NONE")


@pytest.mark.parametrize("mode", ["verify-full", "verify-ca", "require"])
def test_a_greeting_without_tls_is_refused_before_anything_is_sent(
    mysql: Database, account: str, password: Path, mode: Any
) -> None:
    """Somebody in between would otherwise have the password and the customers in clear."""
    with passage(mysql, without_tls) as opened:
        server = over_tcp(
            mysql, opened, ssl=mode, user=account, password_file=password,
            root_certificates=None if mode == "require" else mysql.authority,
        )  # fmt: skip
        error = refusal(source(server, table=("customers",)), ["x"])
        assert error.code == "E-SOURCE-CONNECT"
        assert "does not speak TLS" in error.message
        plain = over_tcp(mysql, opened, ssl="disable")
        assert len(rows(source(plain, table=mysql.table(numbered(3))), ["visits"])) == 3


def test_a_network_that_breaks_in_the_midst_is_said_to_be_gone(mysql: Database) -> None:
    table = mysql.table(numbered(60_000))
    with passage(mysql) as opened:
        server = over_tcp(mysql, opened, ssl="verify-full", root_certificates=mysql.authority)
        stream = source(server, table=table).chunks(numbers("visits", "spent"), max_rows=1_000)
        next(stream)
        opened.drop()
        with pytest.raises(SourceError) as caught:
            list(stream)
    assert caught.value.code == "E-SOURCE-CONNECT"


@pytest.mark.parametrize("given", [{}, {"table": ("a",), "query": "SELECT 1"}])
def test_a_database_needs_either_a_table_or_a_query(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="table or a query"):
        source(None, **given)  # type: ignore[arg-type]


def test_a_column_that_is_asked_for_twice_is_read_twice(mysql: Database) -> None:
    reading = source(mysql.server, table=mysql.table(numbered(2)))
    wanted = [Column(name="visits"), Column(name="visits")]
    assert rows(reading, wanted) == {"C000000": [0.0, 0.0], "C000001": [1.0, 1.0]}


# --- a server that lies ------------------------------------------------------------------------


@contextmanager
def impostor(*answers: bytes, patience_s: float = 0.2) -> Iterator[tuple[Server, list[bytes]]]:
    """Something that greets like MySQL and gives these answers, and what it was sent.

    After the last answer it hangs up when it was told nothing for so long.
    """
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)

        def serve() -> None:
            with suppress(OSError):
                caller, _ = listener.accept()
                with caller:
                    for number, answer in enumerate(answers, start=1):
                        caller.settimeout(20 if number < len(answers) else patience_s)
                        caller.sendall(answer)
                        heard.append(caller.recv(65_536))
                    while heard[-1]:
                        heard.append(caller.recv(65_536))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield (
            Server(
                host="127.0.0.1", port=listener.getsockname()[1], database="shop", user=NODE,
                password_file=None, password_env="DATABASE_WORD", ssl="disable",
                root_certificates=None, timeout_s=2,
            ),
            heard,
        )  # fmt: skip
        listener.close()
        thread.join(20)
        assert not thread.is_alive()


def packet(number: int, data: bytes) -> bytes:
    return len(data).to_bytes(3, "little") + bytes([number]) + data


GREETING = packet(
    0,
    b"\x0a8.0.36\0" + bytes(4) + b"saltsalt\0" + (0xF7DF).to_bytes(2, "little") + b"\x2d\x02\0"
    + (0x01FF).to_bytes(2, "little") + b"\x15" + bytes(10) + b"saltsaltsalt\0"
    + b"mysql_native_password\0",
)  # fmt: skip
OK = b"\0\0\0\x02\0\0\0"
#: What lets a caller in, up to its first question, which is for the version.
ENTRANCE = (GREETING, packet(2, OK), packet(1, OK))


@pytest.fixture
def word(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DATABASE_WORD", PASSWORD)
    return PASSWORD


def deceived(server: Server) -> SourceError:
    error = refusal(source(server, table=("customers",)), ["x"])
    assert error.code in ("E-SOURCE-CONNECT", "E-SOURCE-DATABASE", "E-SOURCE-TYPE")
    assert error.__context__ is None
    return error


def test_no_file_is_sent_to_a_server_that_asks_for_one(tmp_path: Path, word: str) -> None:
    (tmp_path / "secret").write_text("canary")
    asks = packet(1, b"\xfb" + str(tmp_path / "secret").encode())
    for answers in ((*ENTRANCE, asks), (*ENTRANCE[:-1], asks), (GREETING, packet(2, asks[4:]))):
        with impostor(*answers) as (server, heard):
            deceived(server)
        assert len(heard) > 1
        assert b"canary" not in b"".join(heard)


@pytest.mark.parametrize("method", ["mysql_clear_password", "dialog", "mysql_old_password"])
def test_the_password_itself_is_sent_to_nobody_who_asks_for_it(method: str, word: str) -> None:
    asks = packet(2, b"\xfe" + method.encode() + b"\0\x02Password: ")
    with impostor(GREETING, asks) as (server, heard):
        error = deceived(server)
    assert "signs in by a method" in error.message
    assert len(heard) > 1
    assert word.encode() not in b"".join(heard)
    assert b"".join(heard[1:]) == b""


def test_a_server_that_says_nothing_is_left_after_a_while(
    word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "_CONNECT_TIMEOUT_S", 0.2)
    with impostor(b"", patience_s=10) as (server, heard):
        assert "says nothing" in deceived(server).message
    assert heard == [b""]  # the node has hung up


def test_a_row_that_is_announced_as_longer_than_all_memory_is_not_waited_for(word: str) -> None:
    with impostor(*ENTRANCE, b"\xff\xff\xff\x01" + b"x" * 1_000) as (server, _):
        assert "longer than 16 MB" in deceived(server).message


def test_an_answer_that_never_ends_is_given_up(word: str) -> None:
    """One result after the other: none but the first is read."""
    column = packet(
        2, b"\x03def\0\0\0\x01v\0\x0c" + (45).to_bytes(2, "little") + bytes([40, 0, 0, 0, 253])
        + bytes(5)
    )  # fmt: skip
    more = b"\xfe\0\0\x0a\0"
    answer = packet(1, b"\x01") + column + packet(3, b"\xfe\0\0\x02\0")
    answer += packet(4, b"\x068.0.36") + packet(5, more)
    with impostor(*ENTRANCE, answer) as (server, heard):
        assert deceived(server).code == "E-SOURCE-DATABASE"
    assert [sent for sent in heard[4:] if sent] in ([], [b"\x01\0\0\0\x01"])  # it says goodbye


def test_bytes_that_are_no_server_s_are_refused_in_our_words(word: str) -> None:
    draw = effort.generator("a server of MySQL that sends anything")
    for _ in range(effort.count(40, 1_000)):
        answers = [*ENTRANCE[: int(draw.integers(0, 4))]]
        body = draw.bytes(int(draw.integers(0, 60)))
        answers.append(packet(len(answers) and 1 + (len(answers) == 1), body))
        answers[-1] += draw.bytes(int(draw.integers(0, 9)))
        with impostor(*answers) as (server, _):
            shown = deceived(server).diagnostics()
        assert word not in shown


@pytest.mark.parametrize(
    "sent",
    [(b"a", b"canary"), (b"a",), (b"a", b"1", b"2"), (None, b"1"), (b"canary\xff", b"1"), ()],
)
def test_rows_that_are_not_what_was_asked_for_are_refused_and_not_shown(
    mysql: Database, sent: tuple[bytes | None, ...]
) -> None:
    reading = source(mysql.server, table=("customers",))
    with pytest.raises(SourceError) as caught:
        reading._chunk([(b"b", b"2"), sent], 1)
    assert caught.value.code in ("E-SOURCE-TYPE", "E-SOURCE-ENCODING")
    assert "canary" not in "".join(traceback.format_exception(caught.value))
