"""A real MariaDB server for tests, started without root's help, and doors to it over TCP."""

from __future__ import annotations

import gc
import itertools
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from math import isnan
from pathlib import Path
from typing import Any, Final

import pymysql
import pytest

from coordinator.service.certificates import make_server_certificate
from partner_node.sources.servers import Server
from tests.partner_node import mariadb_package
from tests.partner_node.mariadb_package import FOLDER, SMALL, Package, as_root
from tests.partner_node.postgresql_server import Door, _pass_on
from tests.partner_node.source_suite import Table, parquet_table

#: The account that tests read with: it may do anything, so the READ ONLY transaction must hold.
NODE: Final = "node"
_START_S: Final = 60


@dataclass
class Database:
    """The server, as the tests' administrator sees it."""

    socket: str
    data_folder: Path
    authority: Path
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def server(self) -> Server:
        """How a source reaches it."""
        return Server(
            host=self.socket,
            port=3306,
            database="shop",
            user=NODE,
            password_file=None,
            password_env=None,
            ssl="disable",
            root_certificates=None,
            timeout_s=60,
        )

    @cached_property
    def administrator(self) -> pymysql.Connection[Any]:
        """The administrator's connection."""
        return pymysql.connect(
            unix_socket=self.socket, user="root", charset="utf8mb4", autocommit=True,
            ssl_disabled=True,
        )  # fmt: skip

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """Run statements as the administrator; the rows of the last one."""
        with self.administrator.cursor() as cursor:
            for statement in filter(None, map(str.strip, sql.split(";;"))):
                cursor.execute(statement)
            return list(cursor.fetchall())

    def schema(self) -> str:
        """A new, empty database."""
        name = f"s{next(self.numbers)}"
        self.run(f"CREATE DATABASE {name} DEFAULT CHARACTER SET utf8mb4")
        return name

    def table(self, table: Table) -> tuple[str, str]:
        """A new table ``customers`` in a database of its own."""
        schema = self.schema()
        self.ingest(parquet_table(table), schema, "customers")
        return schema, "customers"

    def ingest(self, table: Any, schema: str, name: str) -> None:
        """Write an Arrow table into a new table; NaN as NULL, as there is none in MySQL."""
        kinds = {"string": "VARCHAR(250)", "int64": "BIGINT", "double": "DOUBLE"}
        columns = ", ".join(
            f"`{c.name.replace('`', '``')}` " + kinds.get(str(c.type), "DATETIME(6)")
            for c in table.schema
        )
        self.run(f"CREATE TABLE {schema}.{name} ({columns})")
        path = self.data_folder / f"{schema}-{name}"
        path.write_text(
            "".join(
                "\t".join(map(_cell, row)) + "\n"
                for row in zip(*(column.to_pylist() for column in table.columns), strict=True)
            ),
            encoding="utf-8",
            newline="",
        )
        self.run(f"LOAD DATA INFILE '{path}' INTO TABLE {schema}.{name} CHARACTER SET utf8mb4")
        path.unlink()

    def connections(self) -> int:
        """How many nodes are connected now."""
        ((n,),) = self.run(
            f"SELECT count(*) FROM information_schema.processlist WHERE user = '{NODE}'"
        )
        return int(n)

    def forsaken(self) -> bool:
        """Whether no node is connected; the server sees that one has hung up a moment later."""
        deadline = time.monotonic() + 20
        while self.connections():
            gc.collect()  # what is in a circle hangs up when it is found
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True


@contextmanager
def running_server() -> Iterator[Database]:
    """A server with its data in a folder of its own, both gone afterwards."""
    package = mariadb_package.found()
    if package is None:
        pytest.skip("no MariaDB server here: apt-get install mariadb-server-core, or make env")
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="fedseg-my-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        _make_data(package, folder / "data")
        certificate = make_server_certificate(
            folder, name="db", hosts=("127.0.0.1",), now=datetime.now(UTC), lifetime_days=1
        )
        words = [
            package.program, "--no-defaults", *SMALL, f"--datadir={folder}/data",
            f"--lc-messages-dir={package.share}", f"--character-sets-dir={package.share}/charsets",
            f"--socket={folder}/socket", f"--pid-file={folder}/pid", f"--tmpdir={folder}",
            "--skip-networking", "--max-allowed-packet=64M", "--secure-file-priv=",
            "--default-time-zone=-05:00", f"--ssl-cert={certificate.certificate}",
            f"--ssl-key={certificate.key}", *as_root(),
        ]  # fmt: skip
        log = stack.enter_context((folder / "log").open("wb"))
        process = subprocess.Popen(
            words, env=package.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        stack.callback(_stop, process)
        database = Database(
            socket=f"{folder}/socket", data_folder=folder, authority=certificate.authority
        )
        _wait(process, database)
        stack.callback(database.administrator.close)
        database.run(
            f"CREATE DATABASE shop;; CREATE USER {NODE}@localhost;; "
            f"GRANT ALL ON *.* TO {NODE}@localhost WITH GRANT OPTION;; USE shop"
        )
        yield database


def _make_data(package: Package, folder: Path) -> None:
    if package.root == FOLDER / "root":
        shutil.copytree(FOLDER / "data", folder)
    else:
        package.make_data(folder)


def _wait(process: subprocess.Popen[bytes], database: Database) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        with socket.socket(socket.AF_UNIX) as line:
            if line.connect_ex(database.socket) == 0:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError((database.data_folder / "log").read_text(encoding="utf-8"))
        time.sleep(0.02)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(30)
        return
    process.kill()
    process.wait()


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and isnan(value)):
        return "\\N"
    text = str(value)
    for plain, written in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\0", "\\0")):
        text = text.replace(plain, written)
    return text


@dataclass
class Passage(Door):
    """A door that leads to the server's socket, with a change to the server's first packet.

    The server itself speaks TLS through it.
    """

    change: Callable[[bytes], bytes] = bytes

    def _lead(self, caller: socket.socket) -> None:
        with caller, socket.socket(socket.AF_UNIX) as inside:
            inside.connect(self.target)
            self.open_ends += [caller, inside]
            with suppress(OSError):
                head = inside.recv(4, socket.MSG_WAITALL)
                length = int.from_bytes(head[:3], "little")
                caller.sendall(self.change(head + inside.recv(length, socket.MSG_WAITALL)))
                _pass_on(caller, inside)


@contextmanager
def passage(database: Database, change: Callable[[bytes], bytes] = bytes) -> Iterator[Door]:
    """A passage that is shut at the end."""
    opened = Passage(target=database.socket, change=change)
    thread = threading.Thread(target=opened.serve, daemon=True)
    thread.start()
    try:
        yield opened
    finally:
        opened.shut()
        thread.join(10)


def without_tls(greeting: bytes) -> bytes:
    """A greeting that does not offer TLS, as somebody in between would send it."""
    at = greeting.index(b"\0", 5) + 1 + 4 + 8 + 1
    flags = int.from_bytes(greeting[at : at + 2], "little")
    assert flags & 0x800
    return greeting[:at] + (flags & ~0x800).to_bytes(2, "little") + greeting[at + 2 :]
