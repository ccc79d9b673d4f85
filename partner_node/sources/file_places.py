"""Sources in files: one, several, or a database's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from partner_node.config_section import ConfigSection, toml_text
from partner_node.sources.files import find_files
from partner_node.sources.places import Said
from protocol.errors import SourceError, UsageError

DEFAULT_DELIMITER: Final = ","
#: Comment on `path` for a database, in the template.
DATABASE_FILE: Final = "The database's file; it is only read."


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """The location of a file.

    Attributes:
        path: Absolute path; for kinds that allow several files also a glob or a folder.
        delimiter: Character between the values of a CSV file.
    """

    path: str
    delimiter: str = DEFAULT_DELIMITER

    @property
    def name(self) -> str:
        """The path, for messages."""
        return self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePlaces:
    """The `PlaceReader` for files.

    Attributes:
        comment: What `path` may be, for the template.
        delimited: Whether the files have a delimiter.
        folder: Suffixes of the files that are read if `path` is a folder; empty where a folder is
            not allowed.
    """

    comment: str
    delimited: bool = False
    folder: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        return ("path", "delimiter") if self.delimited else ("path",)

    @property
    def options(self) -> tuple[str, ...]:
        return ("data",)

    def read(self, section: ConfigSection) -> File:
        """The file that a section names; raises ConfigError."""
        delimiter = _delimiter(section)
        return File(path=str(section.path("path")), delimiter=delimiter)

    def checked(self, said: Said, kind: str) -> dict[str, Any]:
        if said["data"] is None:
            raise UsageError(f"--kind {kind} needs --data", remedy="name the file of the customers")
        return {"path": str(said["data"].absolute())}

    def template(self, said: Said) -> str:
        return f"# {self.comment}\npath = {toml_text(said.get('path', 'customers.csv'))}\n"

    def missing(self, place: File) -> list[str]:
        try:
            find_files(place.path, folder=self.folder)
        except SourceError as error:
            return [f"--data {error.message}; {error.remedy}"]
        return []


def _delimiter(section: ConfigSection) -> str:
    """The delimiter of a CSV file; raises ConfigError."""
    delimiter = section.text("delimiter", default=DEFAULT_DELIMITER, max_length=1)
    if not delimiter.isascii() or delimiter.isalnum() or delimiter in "\"'\r\n\\. -+":
        raise section.problem("delimiter", f"is {delimiter!r}", 'use one of "," ";" "|" or "\\t"')
    return delimiter
