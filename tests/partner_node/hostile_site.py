"""A small node whose every file can be spoiled, and put back."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import sqlite3
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from protocol.agreement.governance import SEGMENTATION

CONFIG: Final = f"""\
[node]
partner = "north"
agreement = "agreement.json"
[coordinator]
address = "127.0.0.1:1"
root_certificates = "../ca.pem"
[data]
kind = "csv"
path = "../customers.csv"
id_column = "customer_id"
[consent]
youngest_customer = 18
purpose = "{SEGMENTATION}"
notices = ["1"]
[[consent.sources]]
name = "crm"
holds = "consents"
kind = "csv"
path = "../consents.csv"
[keys]
store = "keys/keystore.json"
passphrase_file = "keys/passphrase"
[limits]
threads = 1
[data.units]
visits = "units"
"""
DATA: Final = "customer_id,visits,spend\nSECRET-1,1,2.5\nSECRET-2,3,4\nSECRET-3,5,6\n"
CONSENTS: Final = "customer_id,event,time,purpose,notice\n" + "".join(
    f"SECRET-{i},ConsentGiven,2026-01-01T00:00:00Z,{SEGMENTATION},1\n" for i in (1, 2, 3)
)
#: What must never be told.
SECRET: Final = "SECRET-"


class Site:
    """The folder with the node and its customers."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def node(self) -> Path:
        """The node's folder."""
        return self.root / "node"

    def write(self, name: str, content: str | bytes) -> Path:
        """Put a file of this name there."""
        path = self.root / name
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        return path

    def spoil(self, name: str, change: Callable[[Path], None]) -> None:
        """Put something else where a file was."""
        path = self.root / name
        path.unlink()
        change(path)

    def config(self, *changes: tuple[str, str]) -> None:
        """Change the node's configuration, each text once."""
        text = (self.node / "node.toml").read_text(encoding="utf-8")
        for old, new in changes:
            assert text.count(old) >= 1, old
            text = text.replace(old, new, 1)
        self.write("node/node.toml", text)

    def data(self, kind: str, file: str, *more: str) -> None:
        """Have the node read another kind of data."""
        self.config(
            ('kind = "csv"\npath = "../customers.csv"', "\n".join([f'kind = "{kind}"', *more])),
            ('id_column = "customer_id"', f'id_column = "customer_id"\npath = "../{file}"'),
        )

    def query(self, sql: str | bytes) -> None:
        """Have the node read its data through a feature query."""
        self.write("features.sql", sql)
        self.config(("[consent]", 'query_file = "../features.sql"\n[consent]'))

    def agreement(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change what is in the agreement's envelope; its signatures do not fit any more."""
        path = self.node / "agreement.json"
        envelope = json.loads(path.read_bytes())
        payload = json.loads(base64.b64decode(envelope["payload"]))
        changed = change(payload)
        text = json.dumps(payload if changed is None else changed, ensure_ascii=False,
                          separators=(",", ":"), sort_keys=True)  # fmt: skip
        self.payload(text.encode("utf-8"))

    def payload(self, payload: bytes) -> None:
        """Put other bytes into the agreement's envelope."""
        path = self.node / "agreement.json"
        envelope = json.loads(path.read_bytes())
        envelope["payload"] = base64.b64encode(payload).decode()
        path.write_text(json.dumps(envelope))

    def parquet(self, columns: Mapping[str, Sequence[Any] | pa.Array]) -> None:
        """Have the node read a Parquet file."""
        pq.write_table(pa.table(dict(columns)), self.root / "customers.parquet")
        self.data("parquet", "customers.parquet")

    def sqlite(self, *statements: str, table: str = "customers") -> None:
        """Have the node read a SQLite database."""
        with closing(sqlite3.connect(self.root / "crm.db")) as database, database:
            for statement in statements:
                database.execute(statement)
        self.data("sqlite", "crm.db", f'table = "{table}"')

    def duckdb(self, *statements: str, table: str = "customers") -> None:
        """Have the node read a DuckDB database."""
        with duckdb.connect(str(self.root / "crm.duckdb")) as database:
            for statement in statements:
                database.execute(statement)
        self.data("duckdb", "crm.duckdb", f'table = "{table}"')

    def snapshot(self) -> dict[str, tuple[int, str]]:
        """Mode and content of everything there is, by name."""
        return {str(p.relative_to(self.root)): _look(p) for p in sorted(self.root.rglob("*"))}


def restore(pristine: Path, root: Path) -> Site:
    """The site as it was."""
    if root.exists():
        shutil.rmtree(root)
    shutil.copytree(pristine, root)
    return Site(root)


def _look(path: Path) -> tuple[int, str]:
    status = path.lstat()
    if stat.S_ISREG(status.st_mode):
        try:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        except PermissionError:
            content = str(status.st_size)
    else:
        content = str(path.readlink()) if path.is_symlink() else ""
    return status.st_mode, content
