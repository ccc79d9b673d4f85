"""The record of files of customers' segments: each is on it before it appears."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, LiteralString

from partner_node.segments.recorded_paths import RecordedPath
from partner_node.store.node_store import NodeStore
from partner_node.store.times import stamp
from protocol.log.entries import EXPORT, EXPORT_ENDED, EXPORT_REWRITTEN

#: What became of a file that is not on the register any more.
Ending = Literal["deleted", "missing", "written again", "struck off"]
_SELECT: Final[LiteralString] = (
    "SELECT at, release, use, path, home, n_rows, sha256, delete_by, segment, written_by, ended_at,"
    " ended"
    " FROM exports"
)


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
        segment: Id of the only segment in it; empty where all are.
        home: The folder that the node had then; empty where it is not known.
        foreign: Whether that was another one, so that this one may be a copy.
        written_by: Who wrote it, both where two had to; empty where it was not noted.
    """

    at: str
    release: bytes
    use: str
    path: str
    n_rows: int
    sha256: str
    delete_by: str
    segment: str = ""
    home: str = ""
    foreign: bool = False
    written_by: str = ""

    @property
    def rows_words(self) -> str:
        """The number of customers for people; of one segment it is in no table or log."""
        return f"of {self.segment}" if self.segment else f"{self.n_rows:,}"

    @property
    def rows_told(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "customers": None if self.segment else self.n_rows,
            "segment": self.segment or None,
        }

    @property
    def release_short(self) -> str:
        """The release as the file names it."""
        return self.release.hex()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedRecord:
    """A file that was on the register.

    Attributes:
        at: When it was struck off.
        ending: What had become of the file.
    """

    at: str
    ending: str
    record: ExportRecord


class ExportRecords:
    """The files of segments in a node's state database."""

    def __init__(self, store: NodeStore) -> None:
        self._store = store

    def add(self, record: ExportRecord) -> None:
        """Put a file on record that is about to appear; inside a transaction."""
        recorded = RecordedPath.of(Path(record.path), self._store.folder)
        self._store.ask(
            "INSERT INTO exports (at, release, use, path, home, n_rows, sha256, delete_by,"
            " segment, written_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            record.at,
            record.release,
            record.use,
            recorded.text,
            recorded.home,
            record.n_rows,
            record.sha256,
            record.delete_by,
            record.segment,
            record.written_by,
        )
        self._store.log.append(
            EXPORT,
            at=record.at,
            release=record.release.hex(),
            use=record.use,
            sha256=record.sha256,
            by=record.written_by,
        )

    def all(self) -> list[ExportRecord]:
        """Every file of customers' segments that is on the register, newest first."""
        rows = self._store.ask(
            _SELECT + " WHERE ended_at IS NULL ORDER BY number DESC",
        )
        return [self._record(*row) for *row, _, _ in rows]

    def by_path(self) -> dict[str, list[ExportRecord]]:
        """The records of each file, newest first, by its path.

        A file is put on record before it appears: where a process was killed in between, the file
        is as an earlier record has it.
        """
        found: dict[str, list[ExportRecord]] = {}
        for record in self.all():
            found.setdefault(record.path, []).append(record)
        return found

    def ended(self) -> list[EndedRecord]:
        """What is not on the register any more, newest first."""
        rows = self._store.ask(
            _SELECT + " WHERE ended_at IS NOT NULL ORDER BY ended_at DESC, number DESC"
        )
        return [
            EndedRecord(at=at, ending=ending, record=self._record(*row))
            for *row, at, ending in rows
        ]

    def end(self, path: str, ending: Ending, now: datetime, *, before: str | None = None) -> None:
        """Take a file off the register, and keep what became of it; inside a transaction.

        Args:
            before: Only records that end before that time; all when left out.
        """
        rows = self._store.ask(
            "UPDATE exports SET ended_at = ?, ended = ? WHERE ended_at IS NULL AND path IN (?, ?)"
            " AND (? IS NULL OR delete_by < ?) RETURNING release, sha256",
            stamp(now), ending, *self._texts(path), before, before,
        )  # fmt: skip
        for release, digest in rows:
            self._store.log.append(
                EXPORT_ENDED, at=stamp(now), release=release.hex(), sha256=digest, ending=ending
            )

    def rewrite(self, path: str, *, n_rows: int, sha256: str, now: datetime) -> None:
        """Note that a file of customers' segments was written again; inside a transaction."""
        rows = self._store.ask(
            "UPDATE exports SET n_rows = ?, sha256 = ? WHERE ended_at IS NULL AND path IN (?, ?)"
            " RETURNING release",
            n_rows, sha256, *self._texts(path),
        )  # fmt: skip
        for (release,) in rows:
            self._store.log.append(
                EXPORT_REWRITTEN, at=stamp(now), release=release.hex(), sha256=sha256
            )

    def note_home(self) -> None:
        """Have records of earlier versions inside this folder hold relative paths."""
        for (path,) in self._store.ask("SELECT DISTINCT path FROM exports WHERE home = ''"):
            recorded = RecordedPath.of(Path(path), self._store.folder)
            if recorded.text != path:
                with self._store.transaction():
                    self._store.ask(
                        "UPDATE exports SET path = ? WHERE path = ? AND home = ''",
                        recorded.text, path,
                    )  # fmt: skip

    def moved_from(self, old: Path) -> int:
        """Have the records of a folder that was moved here be this node's; inside a transaction.

        Returns:
            How many records there were.
        """
        rows = self._store.ask(
            "UPDATE exports SET home = ? WHERE home = ? AND ended_at IS NULL RETURNING 1",
            str(self._store.folder), str(old),
        )  # fmt: skip
        return len(rows)

    def _texts(self, path: str) -> tuple[str, str]:
        """A path as records have it: now, and in earlier versions."""
        return RecordedPath.of(Path(path), self._store.folder).text, path

    def _record(
        self, at: str, release: bytes, use: str, path: str, home: str, n_rows: int, sha256: str,
        delete_by: str, segment: str, written_by: str,
    ) -> ExportRecord:  # fmt: skip
        recorded = RecordedPath(text=path, home=home)
        return ExportRecord(
            at=at,
            release=release,
            use=use,
            path=str(recorded.under(self._store.folder)),
            n_rows=n_rows,
            sha256=sha256,
            delete_by=delete_by,
            segment=segment,
            home=home,
            foreign=recorded.is_foreign_to(self._store.folder),
            written_by=written_by,
        )
