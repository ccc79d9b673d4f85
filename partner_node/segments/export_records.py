"""The record of files of customers' segments: each is on it before it appears."""

from __future__ import annotations

from dataclasses import dataclass

from partner_node.store.node_store import NodeStore


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRecord:
    """One file of customers' segments that was written here.

    Attributes:
        release: Hash of the release.
        use: What it was written for, as agreed.
        path: Where it was written, absolute.
        n_rows: Customers in it.
        sha256: Of the file, in hexadecimal.
        delete_by: Until when it may be kept, as `stamp` writes times.
    """

    at: str
    release: bytes
    use: str
    path: str
    n_rows: int
    sha256: str
    delete_by: str


class ExportRecords:
    """The files of segments in a node's state database."""

    def __init__(self, store: NodeStore) -> None:
        self._store = store

    def add(self, record: ExportRecord) -> None:
        """Put a file on record that is about to appear; inside a transaction."""
        self._store.ask(
            "INSERT INTO exports (at, release, use, path, n_rows, sha256, delete_by)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            record.at,
            record.release,
            record.use,
            record.path,
            record.n_rows,
            record.sha256,
            record.delete_by,
        )

    def all(self) -> list[ExportRecord]:
        """Every file of customers' segments that was written, newest first."""
        rows = self._store.ask(
            "SELECT at, release, use, path, n_rows, sha256, delete_by FROM exports"
            " ORDER BY number DESC"
        )
        return [
            ExportRecord(
                at=at,
                release=release,
                use=use,
                path=path,
                n_rows=n_rows,
                sha256=sha256,
                delete_by=delete_by,
            )
            for at, release, use, path, n_rows, sha256, delete_by in rows
        ]

    def forget(self, path: str, *, before: str) -> None:
        """Forget files at `path` that were to be deleted before a time; inside a transaction."""
        self._store.ask("DELETE FROM exports WHERE path = ? AND delete_by < ?", path, before)

    def rewrite(self, path: str, *, n_rows: int, sha256: str) -> None:
        """Note that a file of customers' segments was written again; inside a transaction."""
        self._store.ask(
            "UPDATE exports SET n_rows = ?, sha256 = ? WHERE path = ?", n_rows, sha256, path
        )
