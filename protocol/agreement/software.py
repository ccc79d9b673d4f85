"""Which software every node must run: named in the agreement, and hashed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources.abc import Traversable
from typing import Any, Final, Self

from protocol.canonical import tagged_hash
from protocol.schema import Part
from protocol.strict import Fields

DISTRIBUTION: Final = "fedseg"
#: What runs at a node, and what the agreed hash is of.
NODE_PACKAGES: Final = ("machine", "partner_node", "protocol")


@dataclass(frozen=True, slots=True, kw_only=True)
class Software(Part):
    """What every node must run.

    Attributes:
        sha256: Hash of the source files (`code_hash`), 32 bytes.
    """

    BESIDE = ("package",)

    version: str
    sha256: bytes

    @classmethod
    def _read(cls, fields: Fields) -> Self:
        fields.one_of("package", (DISTRIBUTION,))
        return cls(
            version=fields.text("version", max_length=40, pattern=r"[0-9][0-9A-Za-z.+!-]*"),
            sha256=fields.hex("sha256", size=32),
        )

    def to_dict(self) -> dict[str, Any]:
        return {"package": DISTRIBUTION, "version": self.version, "sha256": self.sha256.hex()}

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
