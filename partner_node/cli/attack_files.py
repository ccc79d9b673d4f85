"""``evidence attacks``, and reading the file of results that packs and documents cite."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata, resources
from pathlib import Path
from typing import Annotated

import typer

from machine.delivering import OutOption, Written, WrittenOption, deliver
from machine.files import open_regular
from machine.text import shown
from protocol.agreement.software import Software
from protocol.canonical import parse_json
from protocol.errors import MalformedError, UsageError
from protocol.evidence.attack_results import Results
from protocol.evidence.attacks import attacks_document, check_results, found_words
from protocol.evidence.document import Document
from protocol.evidence.plain import as_lines
from protocol.evidence.writing import rendered

_MOST_BYTES = 1 << 20

OtherBuild = Annotated[
    bool,
    typer.Option("--other-build", help="Take results of another build; the page marks it in red."),
]
MaxAge = Annotated[
    int | None, typer.Option(min=1, help="Refuse results that are older than so many days.")
]


@dataclass(frozen=True, slots=True)
class ReadAttacks:
    """A file of results that was checked.

    Attributes:
        data: Its bytes.
        document: The page made of it.
    """

    data: bytes
    results: Results
    document: Document

    @property
    def words(self) -> tuple[str, ...]:
        """What they found, for documents that cite them."""
        return found_words(self.results)


def read_attacks(
    file: Path, now: datetime, *, other_build: bool = False, max_age_days: int | None = None
) -> ReadAttacks:
    """Read and check a file of results.

    Raises:
        UsageError: It cannot be read or is no such file (E-ATTACKS-FILE), or `check_results`
            refuses it.
    """
    try:
        with open_regular(file) as opened:
            data = opened.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read: {error.strerror}",
            code="E-ATTACKS-FILE",
            remedy="correct the path",
        ) from error
    try:
        results = Results.read(parse_json(data, max_bytes=_MOST_BYTES, what=str(file)))
    except MalformedError as error:
        raise UsageError(
            f"{file} is no file of attack results: {error}",
            code="E-ATTACKS-FILE",
            remedy="make one: fedseg-simulate attack --out attacks.json",
        ) from error
    installed = Software.installed(metadata.version, resources.files).build
    check_results(results, installed, now, other_build=other_build, max_age_days=max_age_days)
    page = attacks_document(results, installed, now, hashlib.sha256(data).hexdigest())
    return ReadAttacks(data, results, page)


def attacks(
    results: Annotated[Path, typer.Option(help="What `fedseg-simulate attack` wrote.")],
    out: OutOption = None,
    other_build: OtherBuild = False,
    max_age_days: MaxAge = None,
    format: Written = WrittenOption,
) -> None:
    """Can somebody be singled out? A page of measured attacks, with the build they were run on."""
    page = read_attacks(
        results, datetime.now(UTC), other_build=other_build, max_age_days=max_age_days
    ).document
    deliver(
        page.to_dict(),
        lambda written: rendered(page, written, shown),
        lines=lambda: as_lines(page, shown),
        words=page.about_words,
        written=format,
        out=out,
        is_public=True,
    )
