"""PostgreSQL, against a real server: the suite of all sources, then what is particular to it."""

from __future__ import annotations

import logging
import ssl
import time
import traceback
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from coordinator.service.certificates import make_server_certificate
from partner_node.sources.feature_query import check_feature_query
from partner_node.sources.postgresql.queries import POSTGRESQL_QUERIES
from partner_node.sources.postgresql.source import PostgreSQLSource
from partner_node.sources.servers import Server
from partner_node.sources.source import Source, numbers
from protocol.errors import SourceError
from tests.partner_node.postgresql_server import PASSWORD, Database, Door, door
from tests.partner_node.source_suite import SourceSuite, Table, numbered, refusal, rows


def source(server: Server, **options: Any) -> PostgreSQLSource:
    return PostgreSQLSource(**{"server": server, "id_column": "id", **options})


class TestPostgreSQL(SourceSuite):
    @pytest.fixture(autouse=True)
    def _connected(self, postgresql: Database) -> Iterator[None]:
        self.database = postgresql
        yield
        assert postgresql.forsaken()

    def make(self, folder: Path, table: Table) -> Source:
        return source(self.database.server, table=self.database.table(table))

    def test_an_id_with_a_nul_character_is_refused(self, tmp_path: Path) -> None:
        """PostgreSQL itself takes none."""
        with pytest.raises(Exception, match="0x00"):
            self.make(tmp_path, {"id": ["a", "b\0c"], "x": [1.0] * 2})


class TestPostgreSQLQuery(TestPostgreSQL):
    def make(self, folder: Path, table: Table) -> Source:
        schema, name = self.database.table(table)
        return source(self.database.server, query=f"SELECT * FROM {schema}.{name}; -- the end")


# --- reading alone -----------------------------------------------------------------------------


@pytest.fixture
def schema(postgresql: Database) -> str:
    """A schema with customers, a sequence, and a function that writes."""
    name = postgresql.schema()
    postgresql.run(
        f"CREATE TABLE {name}.customers AS SELECT 'a'::text AS id, 1.5::float8 AS x;;"
        f"CREATE SEQUENCE {name}.numbers;;"
        f"CREATE FUNCTION {name}.writes() RETURNS float8 LANGUAGE plpgsql AS $$ BEGIN "
        f"INSERT INTO {name}.customers VALUES ('b', 1); RETURN 1; END $$;;"
        f"CREATE FUNCTION {name}.claims_to_read() RETURNS float8 STABLE LANGUAGE plpgsql AS "
        f"$$ BEGIN DELETE FROM {name}.customers; RETURN 1; END $$;;"
        f"CREATE FUNCTION {name}.says() RETURNS float8 STABLE LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE WARNING 'canary'; RETURN 1; END $$"
    )
    return name


ACTS = [
    "SELECT 'a' AS id, nextval('{schema}.numbers') AS x",
    "SELECT 'a' AS id, setval('{schema}.numbers', 99) AS x",
    "SELECT 'a' AS id, {schema}.writes() AS x",
    "SELECT 'a' AS id, {schema}.claims_to_read() AS x",
    "SELECT 'a' AS id, x FROM {schema}.customers FOR UPDATE",
    "WITH gone AS (DELETE FROM {schema}.customers RETURNING *) SELECT * FROM gone",
    "WITH more AS (INSERT INTO {schema}.customers VALUES ('b', 1) RETURNING *) SELECT * FROM more",
    "SELECT id, x INTO {schema}.other FROM {schema}.customers",
    "INSERT INTO {schema}.customers VALUES ('b', 1) RETURNING id, x",
    "SELECT 'a' AS id, 1 AS x; DROP TABLE {schema}.customers",
    "SELECT 'a' AS id, 1 AS x) AS f; DROP TABLE {schema}.customers; --",
    "COPY {schema}.customers TO '{folder}/out'",
    "SELECT 'a' AS id, lo_export(lo_from_bytea(0, 'x'), '{folder}/out') AS x",
    "SELECT 'a' AS id, set_config('transaction_read_only', 'off', true)::float8 AS x",
    "SELECT 'a' AS id, length(query_to_xml('DELETE FROM {schema}.customers', true, true, '')::text)"
    " AS x",
    "SELECT 'a' AS id, dblink_exec('dbname=postgres', 'DROP TABLE {schema}.customers') AS x",
]


@pytest.mark.parametrize("query", ACTS)
@pytest.mark.parametrize("checked", [True, False])
def test_a_query_that_acts_is_refused_and_nothing_changes(
    postgresql: Database,
    schema: str,
    query: str,
    checked: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without our checks the server refuses, though the node has its administrator's rights."""
    if not checked:
        module = "partner_node.sources.postgresql.source"
        monkeypatch.setattr(f"{module}.check_feature_query", lambda *_, **__: None)
        monkeypatch.setattr(f"{module}.functions_of", lambda *_, **__: frozenset())
    folder = postgresql.data_folder
    before = postgresql.run(f"SELECT * FROM {schema}.customers, {schema}.numbers")
    with pytest.raises(SourceError) as caught:
        rows(source(postgresql.server, query=query.format(schema=schema, folder=folder)), ["x"])
    assert caught.value.code == "E-SOURCE-SQL"
    assert postgresql.run(f"SELECT * FROM {schema}.customers, {schema}.numbers") == before
    assert postgresql.run(f"SELECT to_regclass('{schema}.other')::text") == [(None,)]
    assert not (folder / "out").exists()
    assert postgresql.forsaken()


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT id, pg_sleep(100)::text::float8 AS x FROM customers", "pg_sleep"),
        ("SELECT id, x FROM customers WHERE pg_terminate_backend(1)", "pg_terminate_backend"),
        ("SELECT id, pg_catalog.pg_reload_conf()::int AS x FROM customers", "pg_reload_conf"),
        ("SELECT id, length(pg_read_file('/etc/passwd')) AS x FROM customers", "pg_read_file"),
        ("SELECT id, lo_export(1, 'out') AS x FROM customers", "lo_export"),
        ("SELECT id, lo_unlink(1) AS x FROM customers", "lo_unlink"),
        ("SELECT id, nextval('numbers') AS x FROM customers", "nextval"),
        ("SELECT * FROM dblink('dbname=other', 'SELECT 1') AS t", "dblink"),
        ("SELECT id, dblink_exec('DROP TABLE x') AS x FROM customers", "dblink_exec"),
        ("COPY customers TO PROGRAM 'rm -rf /'", "not SQL"),
        ("LOAD 'plperl'", "LOAD"),
        ("CREATE EXTENSION dblink", "not SQL"),
        ("SELECT id, x FROM customers; SELECT 1", "2 statements"),
        ("DELETE FROM customers", "DELETE"),
        ("DO 'BEGIN END'", "not"),
        ("SELECT id, random() AS x FROM customers", "random"),
        ("SELECT id, extract(epoch FROM now()) AS x FROM customers", "now"),
        ("SELECT id, current_date - day AS x FROM customers", "current_date"),
        ("SELECT id, date 'today' - day AS x FROM customers", "today"),
        ("SELECT id, 'now'::timestamp - day AS x FROM customers", "now"),
        ("SELECT id, age(day) AS x FROM customers", "age"),
        ("SELECT id, x FROM customers WHERE owner = current_user", "current_user"),
        ("SELECT id, x FROM customers TABLESAMPLE SYSTEM (10)", "sample"),
        ("SELECT usename AS id, 1 AS x FROM pg_stat_activity", "pg_stat_activity"),
        ("SELECT rolname AS id, 1 AS x FROM pg_catalog.pg_authid", "pg_authid"),
        ("SELECT table_name AS id, 1 AS x FROM information_schema.tables", "information_schema"),
        ("SELECT id, x FROM other.public.customers", "other"),
        ("SELECT id, x FROM ONLY customers", "into a view"),
    ],
)
def test_what_can_be_seen_in_a_query_is_refused_before_anybody_connects(
    query: str, words: str
) -> None:
    with pytest.raises(SourceError) as caught:
        check_feature_query(query, POSTGRESQL_QUERIES)
    assert caught.value.code == "E-SOURCE-SQL"
    assert words.casefold() in caught.value.diagnostics().casefold()


def test_a_function_that_the_server_calls_volatile_is_refused_by_name(
    postgresql: Database, schema: str
) -> None:
    query = f"SELECT id, {schema}.writes() AS x FROM {schema}.customers"
    error = refusal(source(postgresql.server, query=query), ["x"])
    assert error.code == "E-SOURCE-SQL"
    assert "writes, which the server says may act" in error.message
    postgresql.run(f"ALTER FUNCTION {schema}.says() VOLATILE")
    query = f'SELECT id, "{schema}"."says"() AS x FROM {schema}.customers'
    assert "says" in refusal(source(postgresql.server, query=query), ["x"]).message


def test_a_view_that_writes_when_it_is_read_is_refused(postgresql: Database, schema: str) -> None:
    postgresql.run(
        f"CREATE VIEW {schema}.acts AS SELECT id, {schema}.writes() AS x FROM {schema}.customers"
    )
    error = refusal(source(postgresql.server, table=(schema, "acts")), ["x"])
    assert error.code == "E-SOURCE-SQL"
    assert postgresql.run(f"SELECT count(*) FROM {schema}.customers") == [(1,)]


def test_what_a_function_says_aloud_is_not_heard(
    postgresql: Database, schema: str, capfd: pytest.CaptureFixture[str]
) -> None:
    query = f"SELECT id, {schema}.says() AS x FROM {schema}.customers"
    assert rows(source(postgresql.server, query=query), ["x"]) == {"a": [1.0]}
    assert "canary" not in "".join(capfd.readouterr())


def test_a_query_that_takes_too_long_is_ended(
    postgresql: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "partner_node.sources.postgresql.source"
    monkeypatch.setattr(f"{module}.check_feature_query", lambda *_, **__: None)
    monkeypatch.setattr(f"{module}.functions_of", lambda *_, **__: frozenset())
    since = time.monotonic()
    query = "SELECT 'a' AS id, length(pg_sleep(100)::text) AS x"
    error = refusal(source(replace(postgresql.server, timeout_s=1), query=query), ["x"])
    assert error.code == "E-SOURCE-TIMEOUT"
    assert "timeout_s" in error.remedy
    assert time.monotonic() - since < 30
    assert postgresql.forsaken()


def test_an_account_without_rights_is_told_what_to_grant(postgresql: Database, schema: str) -> None:
    postgresql.run(f"CREATE ROLE {schema}_r LOGIN;; GRANT USAGE ON SCHEMA {schema} TO {schema}_r")
    server = replace(postgresql.server, user=f"{schema}_r")
    error = refusal(source(server, table=(schema, "customers")), ["x"])
    assert error.code == "E-SOURCE-RIGHTS"
    assert "GRANT SELECT" in error.remedy
    postgresql.run(f"GRANT SELECT ON {schema}.customers TO {schema}_r")
    assert rows(source(server, table=(schema, "customers")), ["x"]) == {"a": [1.5]}


# --- what is read ------------------------------------------------------------------------------


def test_every_type_that_can_be_an_id_or_a_number_is_read(postgresql: Database) -> None:
    name = postgresql.schema()
    key = uuid.UUID(int=7)
    postgresql.run(
        f"CREATE TABLE {name}.customers AS SELECT 7::int8 AS a, 'x y'::char(5) AS b, "
        f"'{key}'::uuid AS c, 'v'::varchar AS d, 1::int2 AS i, 1.25::numeric AS n, 2.5::float4 AS f"
    )
    for column, text in (("a", "7"), ("b", "x y"), ("c", str(key)), ("d", "v")):
        reading = source(postgresql.server, id_column=column, table=(name, "customers"))
        assert rows(reading, ["i", "n", "f"]) == {text: [1.0, 1.25, 2.5]}
    assert reading.columns() == ("a", "b", "c", "d", "i", "n", "f")
    assert reading.describe().to_dict() == {
        "kind": "postgresql",
        "files": [],
        "n_bytes": 0,
        "id_column": "d",
        "columns": ["a", "b", "c", "d", "i", "n", "f"],
        "query": False,
    }


@pytest.mark.parametrize("kind", ["bytea", "timestamp", "numeric", "boolean", "text[]", "jsonb"])
def test_an_id_of_another_type_is_refused(postgresql: Database, kind: str) -> None:
    name = postgresql.schema()
    postgresql.run(f"CREATE TABLE {name}.customers (id {kind}, x float8)")
    error = refusal(source(postgresql.server, table=(name, "customers")), ["x"])
    assert error.code == "E-SOURCE-TYPE"
    assert "CAST" in error.remedy


@pytest.mark.parametrize("kind", ["date", "interval", "boolean", "text", "money", "float8[]"])
def test_a_feature_of_another_type_is_refused(postgresql: Database, kind: str) -> None:
    name = postgresql.schema()
    postgresql.run(f"CREATE TABLE {name}.customers (id text, x {kind})")
    error = refusal(source(postgresql.server, table=(name, "customers")), ["x"])
    assert error.code == "E-SOURCE-TYPE"
    assert "CAST" in error.remedy


def test_a_query_in_postgresql_s_own_words_runs(postgresql: Database) -> None:
    name = postgresql.schema()
    postgresql.run(
        f"CREATE TABLE {name}.orders AS SELECT * FROM (VALUES ('a', DATE '2026-01-01', 2.5), "
        "('a', DATE '2026-02-01', 7.5), ('b', DATE '2026-02-03', 1)) AS o(id, day, amount)"
    )
    query = (
        f"SELECT id, DATE '2026-03-01' - max(day) AS recency, sum(amount)::numeric(10, 2) AS spend,"
        " count(*) FILTER (WHERE amount > 3) AS large, date_part('month', min(day)) AS since, "
        "percentile_cont(0.5) WITHIN GROUP (ORDER BY amount) AS half "
        f"FROM {name}.orders WHERE id ~ '^[ab]$' GROUP BY id ORDER BY id ; /* done */"
    )
    assert rows(source(postgresql.server, query=query), ["recency", "spend", "large", "half"]) == {
        "a": [28.0, 10.0, 1.0, 5.0],
        "b": [26.0, 1.0, 0.0, 1.0],
    }


def test_a_query_with_letters_of_every_script_runs_with_its_semicolons(
    postgresql: Database, schema: str
) -> None:
    for end in ("", ";", " ; -- für „alle“ 客 ;", ";;"):
        query = f"SELECT id, x, 'Größe 客' AS note FROM {schema}.customers{end}"
        assert rows(source(postgresql.server, query=query), ["x"]) == {"a": [1.5]}


def test_a_missing_table_is_refused_with_the_nearest(postgresql: Database, schema: str) -> None:
    for table in ((schema, "custmers"), (f"{schema}x", "customers"), (schema, "Customers")):
        error = refusal(source(postgresql.server, table=table), ["x"])
        assert error.code == "E-SOURCE-MISSING"
        assert "did you mean" in error.message
        assert ".customers'" in error.message


def test_a_query_that_does_not_fit_the_tables_is_explained(
    postgresql: Database, schema: str
) -> None:
    for query, words in (
        (f"SELECT id, y FROM {schema}.customers", 'column "y" does not exist'),
        (f"SELECT id, x FROM {schema}.buyers", f'relation "{schema}.buyers" does not exist'),
        (f"SELECT id, nosuch(x) AS x FROM {schema}.customers", "function nosuch(double precision)"),
        (f"SELECT id, sum(x) AS x FROM {schema}.customers", "GROUP BY"),
    ):
        error = refusal(source(postgresql.server, query=query), ["x"])
        assert error.code == "E-SOURCE-SQL"
        assert words in error.message
        assert error.__context__ is None


@pytest.mark.parametrize("n_before", [1, 200_000])
@pytest.mark.parametrize(
    ("column", "query", "code"),
    [
        ("note", "SELECT id, note::float8 AS x FROM {table}", "E-SOURCE-SQL"),
        ("note", "SELECT id, 1 / (length(note) - 14) AS x FROM {table}", "E-SOURCE-SQL"),
        ("big", None, "E-SOURCE-TYPE"),
    ],
)
def test_a_value_that_fails_is_not_shown_however_late_it_comes(
    postgresql: Database,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    n_before: int,
    column: str,
    query: str | None,
    code: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    name = postgresql.schema()
    postgresql.run(
        f"CREATE TABLE {name}.customers AS SELECT g::text AS id, '1'::text AS note, 1::numeric AS "
        f"big FROM generate_series(1, {n_before}) AS g;; INSERT INTO {name}.customers VALUES "
        "('canary-id', 'canary8675309x', 1e400)"
    )
    reading = (
        source(postgresql.server, table=(name, "customers"))
        if query is None
        else source(postgresql.server, query=query.format(table=f"{name}.customers"))
    )
    error = refusal(reading, ["big" if query is None else "x"])
    assert error.code == code
    shown = "".join(traceback.format_exception(error)) + error.diagnostics() + caplog.text
    shown += "".join(capfd.readouterr())
    for secret in ("canary", "8675309", "000000"):
        assert secret not in shown
    assert error.__context__ is None
    assert postgresql.forsaken()


# --- passes ------------------------------------------------------------------------------------


def test_one_pass_sees_one_state_and_the_next_pass_the_next(postgresql: Database) -> None:
    table = postgresql.table(numbered(50_000))
    name = ".".join(table)
    reading = source(postgresql.server, table=table)
    stream = reading.chunks(numbers("visits"), max_rows=1_000)
    found = [next(stream)]
    postgresql.run(f"DELETE FROM {name} WHERE id > 'C000099'")
    found += stream
    assert sum(c.n_rows for c in found) == 50_000
    assert len(rows(reading, ["visits"])) == 100
    postgresql.run(f"INSERT INTO {name} SELECT * FROM {name} LIMIT 1")
    assert refusal(reading, ["visits"]).code == "E-DUPLICATE"


def test_a_duplicate_that_comes_between_check_and_reading_is_not_in_the_pass(
    postgresql: Database,
) -> None:
    table = postgresql.table(numbered(10))
    stream = source(postgresql.server, table=table).chunks(numbers("visits"), max_rows=1)
    name = ".".join(table)
    postgresql.run(f"INSERT INTO {name} SELECT * FROM {name}")
    assert sum(chunk.n_rows for chunk in stream) == 10


def test_ids_are_checked_once_for_each_change_of_the_data(
    postgresql: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from partner_node.sources.row_rules import RowRules

    checks: list[str] = []
    check = RowRules.check_ids

    def counted(self: RowRules, ask: Any, relation: str, place: Any, **more: Any) -> None:
        checks.append(relation)
        check(self, ask, relation, place, **more)

    monkeypatch.setattr(RowRules, "check_ids", counted)
    table = postgresql.table(numbered(100))
    postgresql.run("CHECKPOINT")
    reading = source(postgresql.server, table=table)
    for _ in range(20):  # a server that cleans up by itself at the same time counts as a change
        rows(reading, ["visits"])
    n_checks = len(checks)
    assert 1 <= n_checks < 20
    postgresql.run(f"UPDATE {'.'.join(table)} SET visits = 1 WHERE id = 'C000001'")
    rows(reading, ["visits"])
    assert len(checks) == n_checks + 1


def test_a_pass_that_is_given_up_leaves_no_connection_open(postgresql: Database) -> None:
    reading = source(postgresql.server, table=postgresql.table(numbered(200_000)))
    stream = reading.chunks(numbers("visits"), max_rows=100)
    assert postgresql.connections() == 1  # not one chunk was taken yet
    del stream
    assert postgresql.forsaken()
    stream = reading.chunks(numbers("visits"), max_rows=100)
    next(stream)
    assert postgresql.connections() == 1
    stream.close()  # type: ignore[attr-defined]
    assert postgresql.forsaken()


def test_a_server_that_goes_away_in_the_midst_is_said_to_be_gone(postgresql: Database) -> None:
    server = postgresql.server
    reading = source(server, table=postgresql.table(numbered(300_000)))
    stream = reading.chunks(numbers("visits", "spent"), max_rows=1_000)
    next(stream)
    postgresql.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'fedseg-node'"
    )
    with pytest.raises(SourceError) as caught:
        list(stream)
    assert caught.value.code == "E-SOURCE-CONNECT"
    assert "lost" in caught.value.message
    assert caught.value.__context__ is None


# --- connecting --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def account(postgresql: Database) -> str:
    """An account that needs a password."""
    rules = postgresql.data_folder / "pg_hba.conf"
    rules.write_text("local all guarded scram-sha-256\n" + rules.read_text())
    quoted = PASSWORD.replace("'", "''")
    postgresql.run(
        f"CREATE ROLE guarded LOGIN PASSWORD '{quoted}';; GRANT pg_read_all_data TO guarded;;"
        "SELECT pg_reload_conf()"
    )
    deadline = time.monotonic() + 20
    while postgresql.run("SELECT count(*) FROM pg_hba_file_rules WHERE 'guarded' = ANY(user_name)")[
        0
    ] == (0,):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return "guarded"


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n")
    path.chmod(0o600)
    return path


def test_a_password_comes_from_a_file_or_a_variable(
    postgresql: Database, account: str, password: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = postgresql.table(numbered(3))
    server = replace(postgresql.server, user=account, password_file=password)
    assert len(rows(source(server, table=table), ["visits"])) == 3
    server = replace(server, password_file=None, password_env="DATABASE_WORD")
    monkeypatch.setenv("DATABASE_WORD", PASSWORD)
    assert len(rows(source(server, table=table), ["visits"])) == 3


@pytest.mark.parametrize("word", ["wrong-s3cret", "", None])
def test_a_wrong_password_is_refused_and_not_shown(
    postgresql: Database,
    account: str,
    word: str | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    if word is not None:
        monkeypatch.setenv("DATABASE_WORD", word)
    server = replace(postgresql.server, user=account, password_env="DATABASE_WORD")
    error = refusal(source(server, table=("public", "customers")), ["x"])
    assert error.code == ("E-SOURCE-CONNECT" if word else "E-SOURCE-PASSWORD")
    assert "password" in error.remedy
    shown = "".join(traceback.format_exception(error)) + error.diagnostics() + caplog.text
    assert "s3cret" not in shown + "".join(capfd.readouterr())


def test_an_account_that_needs_a_password_and_has_none_is_told_so(
    postgresql: Database, account: str
) -> None:
    error = refusal(source(replace(postgresql.server, user=account), table=("customers",)), ["x"])
    assert error.code == "E-SOURCE-CONNECT"
    assert "none is configured" in error.message


def test_a_password_file_that_others_may_read_is_refused(
    postgresql: Database, account: str, password: Path
) -> None:
    password.chmod(0o640)
    server = replace(postgresql.server, user=account, password_file=password)
    error = refusal(source(server, table=("customers",)), ["x"])
    assert error.code == "E-SOURCE-PASSWORD"
    assert "chmod 0600" in error.remedy
    password.unlink()
    error = refusal(source(server, table=("customers",)), ["x"])
    assert error.code == "E-SOURCE-PASSWORD"
    assert "0600" in error.remedy


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"database": "nowhere"}, "no such database or user"),
        ({"user": "nobody"}, "no such database or user"),
        ({"host": "/nowhere"}, "no socket"),
        ({"host": "127.0.0.1", "port": 1}, "nothing listens"),
    ],
)
def test_a_server_that_cannot_be_reached_is_explained(
    postgresql: Database, changes: dict[str, Any], words: str
) -> None:
    error = refusal(source(replace(postgresql.server, **changes), table=("customers",)), ["x"])
    assert error.code == "E-SOURCE-CONNECT"
    assert words in error.message
    assert "database '" in error.message
    assert error.__context__ is None


# --- TLS: the packaged server speaks none, so a door in front of it does ------------------------


@pytest.fixture
def authority(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """An authority's certificate, and a server's context with one of it for 127.0.0.1."""
    made = make_server_certificate(
        tmp_path, name="db", hosts=("127.0.0.1",), now=datetime.now(UTC), lifetime_days=1
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    return made.authority, context


def over_tls(database: Database, opened: Door, **changes: Any) -> Server:
    return replace(database.server, host="127.0.0.1", port=opened.port, **changes)


def test_over_tls_the_certificate_is_checked_as_configured(
    postgresql: Database,
    account: str,
    password: Path,
    authority: tuple[Path, ssl.SSLContext],
) -> None:
    root, context = authority
    table = postgresql.table(numbered(20_000))
    with door(postgresql, context) as opened:
        for mode, known in (("verify-full", root), ("verify-ca", root), ("require", None)):
            server = over_tls(
                postgresql, opened, ssl=mode, root_certificates=known, user=account,
                password_file=password,
            )  # fmt: skip
            assert len(rows(source(server, table=table), ["visits"])) == 20_000
        strange = over_tls(postgresql, opened, ssl="verify-full")
        error = refusal(source(strange, table=table), ["visits"])
        assert error.code == "E-SOURCE-CONNECT"
        assert "not signed by an authority" in error.message
        elsewhere = replace(strange, host="localhost", root_certificates=root)
        assert "another name" in refusal(source(elsewhere, table=table), ["visits"]).message
        elsewhere = replace(elsewhere, ssl="verify-ca")
        assert len(rows(source(elsewhere, table=table), ["visits"])) == 20_000
        missing = replace(strange, root_certificates=root.with_name("gone.pem"))
        assert "cannot be read" in refusal(source(missing, table=table), ["visits"]).message


def test_a_server_without_tls_is_refused_where_tls_is_asked_for(postgresql: Database) -> None:
    table = postgresql.table(numbered(3))
    with door(postgresql) as opened:
        error = refusal(source(over_tls(postgresql, opened, ssl="require"), table=table), ["x"])
        assert error.code == "E-SOURCE-CONNECT"
        assert "does not speak TLS" in error.message
        plain = over_tls(postgresql, opened, ssl="disable")
        assert len(rows(source(plain, table=table), ["visits"])) == 3


def test_a_network_that_breaks_in_the_midst_is_said_to_be_gone(
    postgresql: Database, authority: tuple[Path, ssl.SSLContext]
) -> None:
    root, context = authority
    table = postgresql.table(numbered(300_000))
    with door(postgresql, context) as opened:
        server = over_tls(postgresql, opened, ssl="verify-full", root_certificates=root)
        stream = source(server, table=table).chunks(numbers("visits", "spent"), max_rows=1_000)
        next(stream)
        opened.drop()
        with pytest.raises(SourceError) as caught:
            list(stream)
    assert caught.value.code == "E-SOURCE-CONNECT"


@pytest.mark.parametrize("given", [{}, {"table": ("a",), "query": "SELECT 1"}])
def test_a_database_needs_either_a_table_or_a_query(
    postgresql: Database, given: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="table or a query"):
        source(postgresql.server, **given)
