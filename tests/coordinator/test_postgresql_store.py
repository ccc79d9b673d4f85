"""What is particular to a state in PostgreSQL: connections that break, whose it is, who serves it.

Against a real server that the tests start.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from coordinator.service.certificates import make_server_certificate
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.postgresql import database as module
from coordinator.store.postgresql.errors import UnreachableStoreError
from coordinator.store.postgresql.lease import Lease
from coordinator.store.postgresql.place import ServerPlace
from coordinator.store.schema import MIGRATIONS, TABLES
from coordinator.store.settings import StoreSettings
from machine.database import LostDatabaseError
from protocol.errors import FedsegError, StoreError
from simulations.federation import Federation
from tests.federations import small_federation
from tests.partner_node.postgresql_server import Door
from tests.store_servers import Server, new_settings

pytestmark = pytest.mark.slow

RUN = b"\x01" * 16
PASSWORD = "it's a \\ s3cret"


@pytest.fixture(scope="module")
def federation() -> Federation:
    return small_federation()


@pytest.fixture
def settings(store_server: Server, tmp_path: Path) -> StoreSettings:
    found = new_settings(store_server, tmp_path)
    found.make()
    return found


@pytest.fixture
def store(settings: StoreSettings, federation: Federation) -> Iterator[CoordinatorStore]:
    with closing(CoordinatorStore(settings.open())) as found:
        found.add_agreement(federation.signed)
        found.request_run(RUN, federation.agreement)
        yield found


def refused(code: str, action: Callable[[], object]) -> FedsegError:
    with pytest.raises(FedsegError) as caught:
        action()
    assert caught.value.code == code, caught.value.message
    assert caught.value.remedy
    return caught.value


# --- what a transaction promises ---------------------------------------------------------------


def test_a_commit_is_on_the_servers_disk_whatever_the_account_is_set_to(
    store_server: Server, settings: StoreSettings
) -> None:
    store_server.run("ALTER ROLE postgres SET synchronous_commit = off")
    store_server.run("ALTER ROLE postgres SET default_transaction_isolation = 'repeatable read'")
    try:
        with closing(CoordinatorStore(settings.open())) as store:
            assert store.ask("SHOW synchronous_commit") == [("on",)]
            assert store.ask("SHOW transaction_isolation") == [("read committed",)]
    finally:
        store_server.run("ALTER ROLE postgres RESET ALL")


def test_of_two_connections_that_ask_for_a_run_at_once_one_gets_it(
    settings: StoreSettings, federation: Federation
) -> None:
    """The second one waits until the first has committed, and then sees what it asked for."""
    agreement = federation.agreement
    with (
        closing(CoordinatorStore(settings.open())) as first,
        closing(CoordinatorStore(settings.open())) as second,
        ThreadPoolExecutor(1) as pool,
    ):
        first.add_agreement(federation.signed)
        with first.transaction():
            waiting = pool.submit(second.request_run, b"\x02" * 16, agreement)
            until = time.monotonic() + 20
            while not waiting.done() and not first.ask(
                "SELECT 1 FROM pg_locks WHERE NOT granted"
                " AND relation = CAST('fedseg_store' AS regclass)"
            ):
                assert time.monotonic() < until
                time.sleep(0.01)
            first._database.ask(
                "INSERT INTO runs (run_id, agreement_hash, links_at_start, state, progress, code,"
                " reason, attempts, created_at, updated_at, number)"
                " VALUES (?, ?, ?, 'requested', '{}', '', '', 0, '', '', 7)",
                RUN, agreement.hash, b"",
            )  # fmt: skip
        refused("E-RUN-ACTIVE", lambda: waiting.result(20))
        assert [run.run_id for run in second.runs()] == [RUN]


def test_nothing_is_changed_outside_a_transaction(store: CoordinatorStore) -> None:
    """So a statement outside one may be asked again after the connection broke."""
    refused("E-STORE-RIGHTS", lambda: store.ask("DELETE FROM runs"))
    assert len(store.runs()) == 1


def test_a_change_after_an_error_that_was_passed_over_is_said_to_be_lost(
    store: CoordinatorStore,
) -> None:
    """The server rolls such a transaction back, though it is told to commit it."""

    def change() -> None:
        with store.transaction():
            store.ask("UPDATE runs SET attempts = 7")
            with pytest.raises(StoreError):
                store.ask("SELECT nothing FROM runs")

    with pytest.raises(StoreError, match="rolled back"):
        change()
    assert store.run(RUN).attempts == 0


def test_masked_messages_of_an_ended_run_are_cleared_from_the_servers_tables(
    store_server: Server, store: CoordinatorStore, federation: Federation
) -> None:
    """Its log keeps them until it is written over: docs/operating.md says so."""
    chain = store.chain_at_start(RUN, federation.agreement)
    messages = [np.random.default_rng(n).bytes(9_000) for n in range(4)]
    for message in messages:
        store.append_input(RUN, "received", message, chain)
    store_server.run("CHECKPOINT")
    assert all(any(m[:64] in held for held in files_of(store_server)) for m in messages)
    store.fail(RUN, "E-GRACE", "nobody came")
    store_server.run("CHECKPOINT")
    assert not any(m[:64] in held for held in files_of(store_server) for m in messages)


def files_of(server: Server) -> list[bytes]:
    return [path.read_bytes() for path in (server.folder / "base").rglob("*") if path.is_file()]


# --- connections that break --------------------------------------------------------------------


def test_a_store_whose_connection_was_ended_goes_on(
    store_server: Server, store: CoordinatorStore, federation: Federation
) -> None:
    for _ in range(2):
        store_server.end_sessions()
        assert store.run(RUN).attempts == 0
        store_server.end_sessions()
        store.report_progress(RUN, {"round": 1})
    store_server.end_sessions()
    assert store.snapshot()
    assert store.run(RUN).progress == {"round": 1}


def test_a_change_whose_connection_ends_midway_is_not_made_and_the_next_one_is(
    store_server: Server, store: CoordinatorStore
) -> None:
    def change() -> None:
        with store.transaction():
            store.ask("UPDATE runs SET attempts = 7")
            store_server.end_sessions()
            store.ask("UPDATE runs SET attempts = 8")

    with pytest.raises(UnreachableStoreError):
        change()
    assert store.run(RUN).attempts == 0
    assert store.begin_attempt(RUN) == 1


class Breaking:
    """A connection that breaks at COMMIT, before or after the server has made it."""

    def __init__(self, inner: Any, *, after: bool) -> None:
        self._inner = inner
        self._after = after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def execute(self, sql: str, *values: Any) -> Any:
        if sql != "COMMIT":
            return self._inner.execute(sql, *values)
        if self._after:
            self._inner.execute(sql)
        self._inner.close()
        raise psycopg.OperationalError("the connection is lost")


def break_commit(store: CoordinatorStore, *, after: bool) -> None:
    database: Any = store._database
    database._connection = Breaking(database._connection, after=after)


def test_a_change_that_was_committed_but_not_answered_is_made_once(
    store: CoordinatorStore, federation: Federation
) -> None:
    chain = store.chain_at_start(RUN, federation.agreement)
    break_commit(store, after=True)
    store.append_input(RUN, "received", b"x", chain)
    store.append_input(RUN, "received", b"y", chain)
    assert store.inputs(RUN) == [("received", b"x"), ("received", b"y")]


def test_a_change_whose_commit_did_not_arrive_is_said_not_to_be_made(
    store: CoordinatorStore, federation: Federation
) -> None:
    chain = store.chain_at_start(RUN, federation.agreement)
    break_commit(store, after=False)
    with pytest.raises(UnreachableStoreError):
        store.append_input(RUN, "received", b"x", chain)
    assert store.inputs(RUN) == []


def test_a_change_of_which_nobody_can_say_whether_it_was_made_is_called_so(
    store: CoordinatorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SETTLE_S", 0.3)

    def away(_: ServerPlace) -> Any:
        raise UnreachableStoreError("away", remedy="wait")

    break_commit(store, after=True)
    monkeypatch.setattr(module, "connect", away)
    refused("E-STORE-DOUBT", lambda: store.begin_attempt(RUN))


def test_while_the_server_is_away_callers_are_told_at_once_and_it_is_not_run_down(
    store: CoordinatorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def away(place: ServerPlace) -> Any:
        tried.append(place)
        raise UnreachableStoreError("away", remedy="wait")

    with monkeypatch.context() as patch:
        patch.setattr(module, "connect", away)
        store._database._connection.close()  # type: ignore[attr-defined]
        for _ in range(50):
            refused("E-STORE-CONNECT", store.runs)
        assert len(tried) <= 5
    monkeypatch.setattr(module, "_REST_S", 0.0)
    assert len(store.runs()) == 1


# --- whose it is -------------------------------------------------------------------------------


def test_the_state_of_another_coordinator_is_not_opened(settings: StoreSettings) -> None:
    refused("E-STORE-OTHER", replace(settings, id="other").open)


def test_an_empty_database_is_not_begun_anew_but_said_to_have_lost_its_state(
    store_server: Server, tmp_path: Path
) -> None:
    error = refused("E-STATE-LOST", new_settings(store_server, tmp_path).open)
    assert isinstance(error, LostDatabaseError)


def test_the_state_of_a_newer_version_is_refused(
    store_server: Server, settings: StoreSettings
) -> None:
    schema = settings.place.url.rpartition("%3D")[2]
    store_server.run(f"UPDATE {schema}.fedseg_store SET version = 99")
    assert "newer" in refused("E-STORE", settings.open).remedy


def test_what_was_made_and_never_opened_is_made_anew_and_what_was_opened_never(
    store_server: Server, settings: StoreSettings
) -> None:
    """A process killed between the two must not need a person to clear up after it."""
    again = StoreSettings.new(settings.place)
    again.make()
    refused("E-STORE-OTHER", settings.open)
    again.open().close()
    refused("E-STORE-TAKEN", settings.make)
    again.open().close()


def test_tables_of_something_else_are_left_alone(store_server: Server, tmp_path: Path) -> None:
    settings = new_settings(store_server, tmp_path)
    schema = settings.place.url.rpartition("%3D")[2]
    store_server.run(f"CREATE TABLE {schema}.runs (distance INTEGER)")
    assert "runs" in refused("E-STORE-SCHEMA", settings.make).message
    assert store_server.run("SELECT tablename FROM pg_tables WHERE schemaname = %s", schema) == [
        ("runs",)
    ]


def test_a_state_that_cannot_be_filled_is_not_made(store_server: Server, tmp_path: Path) -> None:
    settings = new_settings(store_server, tmp_path)

    def fail(_: object) -> None:
        raise StoreError("in the middle")

    with pytest.raises(StoreError, match="middle"):
        settings.make(fail)
    refused("E-STATE-LOST", settings.open)


def test_every_table_of_the_schema_is_made_and_compares_texts_byte_by_byte(
    store_server: Server, settings: StoreSettings
) -> None:
    schema = settings.place.url.rpartition("%3D")[2]
    found = store_server.run("SELECT tablename FROM pg_tables WHERE schemaname = %s", schema)
    assert sorted(name for (name,) in found) == sorted([*TABLES, "fedseg_store"])
    collations = store_server.run(
        "SELECT DISTINCT collation_name FROM information_schema.columns WHERE table_schema = %s"
        " AND data_type = 'text' AND table_name <> 'fedseg_store'",
        schema,
    )
    assert collations == [("C",)]
    assert store_server.run(f"SELECT version FROM {schema}.fedseg_store") == [(len(MIGRATIONS),)]


def test_an_account_without_rights_is_told_what_to_grant(
    store_server: Server, tmp_path: Path
) -> None:
    schema = store_server.schema()
    store_server.run(f"CREATE ROLE poor_{schema} LOGIN")
    store_server.run(f"GRANT USAGE ON SCHEMA {schema} TO poor_{schema}")
    place = ServerPlace(url=store_server.url(user=f"poor_{schema}", schema=schema), folder=tmp_path)
    error = refused("E-STORE-RIGHTS", StoreSettings.new(place).make)
    assert "CREATE SCHEMA" in error.remedy
    place = replace(place, url=store_server.url(user=f"poor_{schema}", schema="nowhere"))
    refused("E-STORE-RIGHTS", StoreSettings.new(place).make)


def test_a_database_in_another_encoding_is_refused(store_server: Server, tmp_path: Path) -> None:
    if not store_server.run("SELECT 1 FROM pg_database WHERE datname = 'latin'"):
        store_server.run("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    url = store_server.url().replace("/postgres?", "/latin?")
    refused("E-STORE-SERVER", StoreSettings.new(ServerPlace(url=url, folder=tmp_path)).make)


def test_whoever_waits_too_long_for_another_change_is_told_so(
    settings: StoreSettings, store: CoordinatorStore
) -> None:
    with closing(CoordinatorStore(settings.open())) as other:
        other.ask("SET lock_timeout = '50ms'")
        with store.transaction():
            refused("E-STORE-BUSY", lambda: other.begin_attempt(RUN))
        assert other.begin_attempt(RUN) == 1


# --- who serves it -----------------------------------------------------------------------------


def test_one_process_alone_serves_a_database(settings: StoreSettings) -> None:
    with closing(Lease(settings.place)) as ours, closing(Lease(settings.place)) as other:
        ours.hold()
        error = refused("E-STORE-IN-USE", other.hold)
        assert "pg_stat_activity" in error.remedy
        ours.close()
        other.hold()


def test_two_coordinators_in_one_database_but_two_schemas_are_served_side_by_side(
    store_server: Server, settings: StoreSettings, tmp_path: Path
) -> None:
    second = new_settings(store_server, tmp_path)
    second.make()
    with closing(Lease(settings.place)) as ours, closing(Lease(second.place)) as other:
        ours.hold()
        other.hold()


def test_whoever_lost_its_connection_serves_no_longer_once_another_does(
    store_server: Server, settings: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coordinator.store.postgresql.lease._LOOK_EVERY_S", 0.0)
    with closing(Lease(settings.place)) as ours, closing(Lease(settings.place)) as other:
        ours.hold()
        store_server.end_sessions()
        ours.hold()
        refused("E-STORE-IN-USE", other.hold)
        store_server.end_sessions()
        other.hold()
        refused("E-STORE-IN-USE", ours.hold)


def test_who_begins_to_serve_waits_a_moment_for_who_ends(settings: StoreSettings) -> None:
    with closing(Lease(settings.place)) as ours, closing(Lease(settings.place)) as other:
        ours.hold()
        ending = threading.Timer(0.1, ours.close)
        ending.start()
        other.hold(wait_s=20)
        ending.join()


# --- connecting --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def account(store_server: Server) -> str:
    """An account that needs a password, with a schema of its name."""
    rules = store_server.folder / "pg_hba.conf"
    rules.write_text("local all guarded scram-sha-256\n" + rules.read_text())
    quoted = PASSWORD.replace("'", "''")
    store_server.run(f"CREATE ROLE guarded LOGIN PASSWORD '{quoted}'")
    store_server.run("CREATE SCHEMA guarded AUTHORIZATION guarded")
    store_server.run("SELECT pg_reload_conf()")
    rules_read = "SELECT count(*) FROM pg_hba_file_rules WHERE 'guarded' = ANY(user_name)"
    until = time.monotonic() + 20
    while store_server.run(rules_read) == [(0,)]:
        assert time.monotonic() < until
        time.sleep(0.02)
    return "guarded"


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n")
    path.chmod(0o600)
    return path


def test_a_password_comes_from_a_file_or_a_variable_and_the_schema_of_the_account_is_used(
    store_server: Server, account: str, password: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ServerPlace(
        url=store_server.url(user=account), folder=password.parent, password_file=password
    )
    settings = StoreSettings.new(place)
    settings.make()
    monkeypatch.setenv("DATABASE_WORD", PASSWORD)
    other = replace(place, password_file=None, password_env="DATABASE_WORD")
    with closing(replace(settings, place=other).open()) as database:
        assert database.ask("SELECT current_schema()") == [("guarded",)]
        assert "s3cret" not in database.path + repr(settings)
    with psycopg.connect(f"host={store_server.socket} user=postgres dbname=postgres") as found:
        (shown,) = found.execute(
            "SELECT string_agg(query, ' ') FROM pg_stat_activity"
        ).fetchone() or ("",)
    assert "s3cret" not in shown


@pytest.mark.parametrize("word", ["wrong-s3cret", "", None])
def test_a_wrong_password_is_refused_and_not_shown(
    store_server: Server,
    account: str,
    word: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if word is not None:
        monkeypatch.setenv("DATABASE_WORD", word)
    place = ServerPlace(
        url=store_server.url(user=account), folder=tmp_path, password_env="DATABASE_WORD"
    )
    error = refused("E-STORE-PASSWORD", StoreSettings.new(place).make)
    assert "s3cret" not in error.diagnostics() + repr(error.__cause__)


def test_a_password_file_must_be_there_and_closed_to_others(
    store_server: Server, account: str, password: Path
) -> None:
    place = ServerPlace(
        url=store_server.url(user=account), folder=password.parent, password_file=password
    )
    none = replace(place, password_file=None)
    assert "none is configured" in refused("E-STORE-PASSWORD", StoreSettings.new(none).make).message
    password.chmod(0o640)
    assert "chmod" in refused("E-STORE-PASSWORD", StoreSettings.new(place).make).remedy
    password.unlink()
    assert "0600" in refused("E-STORE-PASSWORD", StoreSettings.new(place).make).remedy


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://fedseg@127.0.0.1:1/fedseg?sslmode=disable",
        "postgresql://fedseg@/fedseg?host=/nowhere",
        "postgresql://nobody@/postgres?host={socket}",
        "postgresql://postgres@/nowhere?host={socket}",
    ],
)
def test_a_server_that_is_not_reached_is_named(
    store_server: Server, tmp_path: Path, url: str
) -> None:
    place = ServerPlace(url=url.format(socket=store_server.socket), folder=tmp_path)
    error = refused("E-STORE-CONNECT", StoreSettings.new(place).make)
    assert place.name in error.message


def test_over_a_network_the_servers_certificate_is_verified_unless_the_url_says_otherwise(
    store_server: Server, tmp_path: Path
) -> None:
    files = make_server_certificate(
        tmp_path / "tls", name="db", hosts=["localhost"], now=datetime.now(UTC), lifetime_days=3
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    schema = store_server.schema()
    door = Door(target=f"{store_server.socket}/.s.PGSQL.5432", tls=context)
    thread = threading.Thread(target=door.serve, daemon=True)
    thread.start()

    def place(host: str, more: str) -> ServerPlace:
        url = f"postgresql://postgres@{host}:{door.port}/postgres?options=-csearch_path%3D{schema}"
        return ServerPlace(url=url + more, folder=tmp_path)

    ours = "&sslrootcert=tls/db-ca.crt"
    try:
        for refused_place in (place("localhost", ""), place("127.0.0.1", ours)):
            error = refused("E-STORE-TLS", StoreSettings.new(refused_place).make)
            assert "sslrootcert" in error.remedy
        settings = StoreSettings.new(place("localhost", ours))
        settings.make()
        settings.open().close()
        replace(settings, place=place("127.0.0.1", "&sslmode=require")).open().close()
        door.tls = None  # as a server without TLS, or somebody in between who takes it away
        refused("E-STORE-TLS", settings.open)
    finally:
        door.shut()
        thread.join(10)
