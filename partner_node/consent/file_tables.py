"""Tables of consents, objections and births in files.

A table is one file, or several with the same columns that a glob names. Files are compared before
and after reading, and read again if they changed meanwhile.
"""
# Names go into SQL only through `quoted`, paths through a format's scan:
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial

import duckdb

from partner_node.consent.id_set import IdHash
from partner_node.consent.settings import OPTIONAL, ConsentSource
from partner_node.consent.tables import SECTION, ConsentTable, row, rows_of
from partner_node.consent.verdicts import Wanted
from partner_node.sources.data_file import DataFile
from partner_node.sources.dialect import quoted
from partner_node.sources.duckdb.kind import CONSENT_TYPES
from partner_node.sources.file_places import File
from partner_node.sources.files import (
    find_files,
    read_common_header,
    refuse_missing_header,
)
from partner_node.sources.kind import FileFormat
from protocol.errors import SourceError


class FileTable(ConsentTable):
    """One table in files.

    Args:
        place: The files.
        form: Their format.
    """

    def __init__(self, source: ConsentSource, place: File, form: FileFormat) -> None:
        super().__init__(source, CONSENT_TYPES)
        self._file = place
        self._form = form

    def files(self) -> tuple[DataFile, ...]:
        """Its files as they are now; raises SourceError (E-CONSENT-SOURCE)."""
        try:
            return find_files(self._file.path, section=SECTION)
        except SourceError as error:
            raise self._problem(error.message, error.remedy) from error

    def check_reachable(self) -> None:
        """Refuse files that are not there; raises SourceError (E-CONSENT-SOURCE)."""
        self.files()

    def changed_at(self) -> datetime | None:
        """When its newest file was written, or its heartbeat was touched.

        Raises:
            SourceError: E-CONSENT-SOURCE.
        """
        newest = max(file.modified_ns for file in self.files()) / 1e9
        return self._beat or datetime.fromtimestamp(newest, UTC)

    def judge(
        self,
        connection: duckdb.DuckDBPyConnection,
        files: tuple[DataFile, ...],
        into: str,
        wanted: Wanted,
        *,
        ids: IdHash | str,
    ) -> datetime | None:
        """Make the table `into`; see `ConsentTable.judge`."""
        header, rows = self._open(connection, files, f"{into}_rows", ids)
        if self._read(files, partial(self._judge_rows, connection, rows, into, wanted), header):
            self._refuse_nobody(connection, files, rows)
        return None

    def _open(
        self,
        connection: duckdb.DuckDBPyConnection,
        files: tuple[DataFile, ...],
        kept: str,
        ids: IdHash | str,
    ) -> tuple[tuple[str, ...], str]:
        """The files' header line, and the relation that `verdicts` asks for; see `rows_of`."""
        header = self._header(files)
        paths = tuple(file.path for file in files)
        columns = self._wanted_columns() if self._form.sparse else header
        scan = self._read(files, partial(self._scan, connection, paths, columns), header)
        types = dict.fromkeys(header, "varchar") or self._types_of(connection, files, scan)
        selected = self.selected(types)
        if self._form.sparse:
            self._require_in_rows(connection, files, scan)
        if len(header) == 1:  # a blank line is not a row
            scan += f" WHERE {quoted(header[0])} IS NOT NULL"
        select = f"SELECT {selected} FROM {scan}"
        rows = self._read(files, partial(rows_of, connection, select, kept, ids), header)
        return header, rows

    def _scan(
        self,
        connection: duckdb.DuckDBPyConnection,
        paths: tuple[str, ...],
        columns: tuple[str, ...],
    ) -> str:
        try:
            return self._form.scan(connection, paths, columns, self._file.delimiter)
        except SourceError as error:
            raise self._problem(error.message, error.remedy) from error

    def _types_of(
        self, connection: duckdb.DuckDBPyConnection, files: tuple[DataFile, ...], scan: str
    ) -> dict[str, str]:
        found = self._read(files, lambda: connection.sql(f"SELECT * FROM {scan} LIMIT 0"))
        return {c: str(t.id) for c, t in zip(found.columns, found.types, strict=True)}

    def _header(self, files: tuple[DataFile, ...]) -> tuple[str, ...]:
        if not self._form.header:
            return ()
        try:
            return read_common_header(files, self._file.delimiter)
        except SourceError as error:
            problem = self._problem(error.message, error.remedy)
        raise problem  # not chained: what cannot be decoded is in the chain

    def _no_column(self, column: str, part: str, types: Mapping[str, str]) -> SourceError:
        """Also for a first line that is not a header, whose values must not be shown."""
        try:
            if self._form.header:
                refuse_missing_header(self._file.path, tuple(types), f"column {column!r}")
        except SourceError as error:
            return self._problem(error.message, error.remedy)
        return super()._no_column(column, part, types)

    def _require_in_rows(
        self, connection: duckdb.DuckDBPyConnection, files: tuple[DataFile, ...], scan: str
    ) -> None:
        """Refuse a field that no line has, if more customers would be eligible without it."""
        fields = dict.fromkeys(self._source.flags, "a flag") | {
            self._source.columns[part]: part for part in OPTIONAL if part in self._source.columns
        }
        if not fields:
            return
        counts = ", ".join(f"count({quoted(field)})" for field in fields)
        n_rows, *found = self._read(
            files, lambda: row(connection, f"SELECT count(*), {counts} FROM {scan}")
        )
        for (column, part), count in zip(fields.items(), found, strict=True):
            if n_rows and not count:
                raise self._problem(
                    f"no line of {self._file.path} has a value of {column!r} for {part}",
                    f"correct its name in {SECTION}, or export it with every line",
                )
