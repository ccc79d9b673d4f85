"""Which software every node must run: named in the agreement, and hashed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources.abc import Traversable
from typing import Any, Final, Self

from protocol import limits
from protocol.canonical import tagged_hash
from protocol.errors import MalformedError
from protocol.schema import Part
from protocol.strict import Fields

DISTRIBUTION: Final = "fedseg"
#: What runs at a node, and what the agreed hash is of.
NODE_PACKAGES: Final = ("machine", "partner_node", "protocol")


#: The number of this program's protocol: raised when bytes on the wire, or what is refused, change
#: so that two programs could not run together.
PROTOCOL: Final = 1
_MOST_PROTOCOLS: Final = 1_000
#: Most builds that an agreement names beside the first.
MAX_BUILDS: Final = 20
#: What `added_by` says when every party has to sign an added build.
EVERY_PARTY: Final = "parties"
PARTY_ID: Final = r"[a-z][a-z0-9-]{0,39}"
BUILD_VERSION: Final = r"[0-9][0-9A-Za-z.+!-]*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Build(Part):
    """One release of the program, to the letter.

    Attributes:
        sha256: Hash of the source files (`code_hash`), 32 bytes.
    """

    version: str
    sha256: bytes

    @classmethod
    def _read(cls, fields: Fields) -> Self:
        return cls(
            version=fields.text("version", max_length=40, pattern=BUILD_VERSION),
            sha256=fields.hex("sha256", size=32),
        )

    def to_dict(self) -> dict[str, Any]:
        return {"version": self.version, "sha256": self.sha256.hex()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Software(Part):
    """What every node must run.

    Attributes:
        sha256: Hash of the source files (`code_hash`), 32 bytes.
        protocol: The number of the protocol that every build speaks; None where the agreement
            names none, and no other build.
        builds: Others that may run beside the first.
        added_by: Who signs that another build may run: ids of parties, all of whom must; empty for
            every party; None where none may be added.
    """

    BESIDE = ("package",)

    version: str
    sha256: bytes
    protocol: int | None = None
    builds: tuple[Build, ...] = ()
    added_by: tuple[str, ...] | None = None

    @classmethod
    def _read(cls, fields: Fields) -> Self:
        fields.one_of("package", (DISTRIBUTION,))
        found = cls(
            version=fields.text("version", max_length=40, pattern=BUILD_VERSION),
            sha256=fields.hex("sha256", size=32),
            protocol=fields.integer("protocol", at_least=1, at_most=_MOST_PROTOCOLS)
            if fields.has("protocol")
            else None,
            builds=tuple(map(Build.read, fields.objects("builds", at_most=MAX_BUILDS)))
            if fields.has("builds")
            else (),
            added_by=_added_by(fields) if fields.has("added_by") else None,
        )
        if found.protocol is None and (found.builds or found.added_by is not None):
            raise MalformedError(
                f"{fields.path('protocol')} is missing: what other builds have to speak",
                remedy=f"write protocol: {PROTOCOL}",
            )
        if len({found.build, *found.builds}) <= len(found.builds):
            raise MalformedError(f"{fields.path('builds')} names a build twice")
        return found

    def to_dict(self) -> dict[str, Any]:
        values: dict[str, Any] = {"package": DISTRIBUTION, **self.build.to_dict()}
        if self.protocol is not None:
            values["protocol"] = self.protocol
        if self.builds:
            values["builds"] = [build.to_dict() for build in self.builds]
        if self.added_by is not None:
            values["added_by"] = list(self.added_by) or EVERY_PARTY
        return values

    @property
    def build(self) -> Build:
        """The first build, or the installed one."""
        return Build(version=self.version, sha256=self.sha256)

    @property
    def allowed(self) -> frozenset[Build]:
        """Every build that may run by what the agreement says itself."""
        return frozenset({self.build, *self.builds})

    @staticmethod
    @cache
    def installed(version: Callable[[str], str], files: Callable[[str], Traversable]) -> Software:
        """What is installed here; looked at once a process.

        Args:
            version: A distribution's version (`importlib.metadata.version`).
            files: A package's folder (`importlib.resources.files`).
        """
        return Software(
            version=version(DISTRIBUTION),
            sha256=code_hash({package: files(package) for package in NODE_PACKAGES}),
        )


def _added_by(fields: Fields) -> tuple[str, ...]:
    if fields.is_text("added_by"):
        fields.one_of("added_by", (EVERY_PARTY,))
        return ()
    return fields.texts("added_by", at_most=limits.MAX_PARTNERS, max_length=40, pattern=PARTY_ID)


def code_hash(packages: Mapping[str, Traversable]) -> bytes:
    """Hash of all Python files of some packages, whatever the order of their folders; 32 bytes.

    Args:
        packages: Each package's folder by its name (`importlib.resources.files`).
    """
    found = sorted(
        file for name, folder in packages.items() for file in _source_files(folder, name)
    )
    return tagged_hash("code", *(part for path, data in found for part in (path, data)))


def _source_files(folder: Traversable, path: str) -> Iterator[tuple[bytes, bytes]]:
    for entry in folder.iterdir():
        inner = f"{path}/{entry.name}"
        if entry.is_dir():
            yield from _source_files(entry, inner)
        elif entry.name.endswith(".py"):
            yield inner.encode("utf-8"), entry.read_bytes()
