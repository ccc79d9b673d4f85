"""``evidence pack`` and ``evidence verify``: one file for an auditor, and its check offline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from importlib import metadata, resources
from pathlib import Path
from typing import Annotated, Any

import typer

from machine.console import Format, FormatOption, output
from machine.delivering import read_toml, write_new
from machine.files import open_regular, read_regular
from machine.log_table import entries_words
from machine.plain_archive import MAX_FILE_BYTES, PlainArchive, is_name
from machine.text import how_many, shown
from partner_node.agreement_files import read_agreement
from partner_node.cli.attack_files import ReadAttacks, read_attacks
from partner_node.cli.noting import noted
from partner_node.cli.options import HERE, Directory
from partner_node.evidence.materials import materials_of
from partner_node.home import NodeHome
from partner_node.packing import write_pack
from partner_node.shown.sealed import time_words
from partner_node.store.node_store import NodeStore
from protocol.errors import UsageError
from protocol.evidence.answers import BAD_ANSWERS, read_answers
from protocol.evidence.forms_of import AT_NODE
from protocol.evidence.writing import rendered
from protocol.pack.checking import DOCUMENTS, CheckedPack, check_pack

_WRITTEN = ("md", "html", "jsonld")
_VERIFIER = "verifier.mjs"


def pack(
    out: Annotated[Path, typer.Option(help="File to write; mode 0600, never replaced.")],
    answers: Annotated[
        Path | None,
        typer.Option(help="File with what people judged, as `evidence answers` begins one."),
    ] = None,
    attach: Annotated[
        list[Path] | None,
        typer.Option("--with", help="A file of yours to put beside the documents; repeat it."),
    ] = None,
    attacks: Annotated[
        Path | None,
        typer.Option(
            help="What `fedseg-simulate attack` wrote on this build: the page and the file go in."
        ),
    ] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Bundle log, seals, agreements, releases and documents for an auditor, in one file."""
    home, now = NodeHome.load(directory), datetime.now(UTC)
    attached = _attached(attach or ())
    tried = None
    if attacks is not None:
        tried = read_attacks(attacks, now)
        attached |= _attacks(tried)
    judged = {} if answers is None else read_toml(answers, code=BAD_ANSWERS)
    keystore = home.keystore()
    with (
        noted(home, "evidence pack", "", now) as noting,
        closing(home.store(keystore)) as store,
    ):
        documents = dict(_documents(home, store, judged, now, tried))
        made = write_pack(
            home, store, {**documents, **attached}, out,
            now=now, program=metadata.version("fedseg"), by=noting.who,
        )  # fmt: skip
    newest = {one.agreement.id: one.agreement for one in made.agreements}
    output.result(
        {
            "file": str(out),
            "sha256": made.sha256,
            "entries": made.entries,
            "files": made.files,
            "agreements": [
                {"agreement": one.agreement.id, "version": one.agreement.version,
                 "agreement_hash": one.agreement.hash.hex()}
                for one in made.agreements
            ],
        },
        f"Wrote {out}: {entries_words(made.entries)} of the log, "
        f"{how_many(len(made.agreements), 'agreement')}, "
        f"{how_many(len(documents) + len(attached), 'document')}.",
        "An auditor checks it offline, and gets the agreement's hash from another partner:",
        *(
            f"  fedseg-node evidence verify {out} --agreement {one.hash.hex()}"
            for one in newest.values()
        ),
    )  # fmt: skip


def verify(
    file: Annotated[Path, typer.Argument(help="An evidence pack.")],
    agreement: Annotated[
        list[str],
        typer.Option(
            help="An agreement that you know from elsewhere, its hash or file: whose keys count. "
            "Repeat it for several."
        ),
    ],
    format: Format = FormatOption,
) -> None:
    """Check a pack offline: log, cosignatures, agreements, releases; nothing in it is believed."""
    try:
        with open_regular(file) as opened:
            found = check_pack(PlainArchive(opened), [_hash_of(one) for one in agreement])
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read: {error.strerror}",
            code="E-PACK-FILE",
            remedy="correct the path",
        ) from error
    output.result(_values(found), *_lines(found))


def verifier(
    out: Annotated[Path, typer.Option(help="File to write, such as verifier.mjs.")],
    format: Format = FormatOption,
) -> None:
    """Write the second verifier, in JavaScript: it shares no code with this program."""
    write_new(out, resources.files("protocol.pack").joinpath(_VERIFIER).read_text("utf-8"))
    output.result(
        {"file": str(out)},
        f"Wrote {out}; with Node.js 20 or newer: node {out} --agreement HASH PACK",
    )


def _documents(
    home: NodeHome,
    store: NodeStore,
    judged: Mapping[str, Any],
    now: datetime,
    tried: ReadAttacks | None,
) -> Iterator[tuple[str, bytes]]:
    """Every document of every agreement in force, in each form."""
    for place in home.in_force():
        file = place.config.node.agreement
        signed = place.with_keys(read_agreement(file, remedy="install it again"))
        made = materials_of(
            place, signed, store, now, file=file, attacks=() if tried is None else tried.words
        )
        for kind, form in AT_NODE.items():
            document = form.filled(made, read_answers(judged, form, now.date()))
            for written in _WRITTEN:
                name = f"{signed.agreement.id}/{kind}.{written}"
                yield name, rendered(document, written, shown).encode("utf-8")


def _attacks(read: ReadAttacks) -> dict[str, bytes]:
    """The page of attacks in each form, and the file that it was made of."""
    return {
        "attacks/results.json": read.data,
        **{
            f"attacks/page.{form}": rendered(read.document, form, shown).encode("utf-8")
            for form in ("md", "html", "json")
        },
    }


def _attached(files: list[Path] | tuple[Path, ...]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for file in files:
        name = f"with/{file.name}"
        if name in found:
            raise UsageError(f"two files are called {file.name}", remedy="rename one of them")
        if not is_name(f"{DOCUMENTS}{name}"):
            raise UsageError(
                f"no file in a pack can be called {file.name}",
                code="E-PACK-FILE",
                remedy="rename it: at most 80 letters of English, digits, dots, _ and -, "
                "not a dot first",
            )
        try:
            found[name] = read_regular(file, MAX_FILE_BYTES)
        except OSError as error:
            raise UsageError(
                f"{file} cannot be read: {error.strerror}",
                code="E-PACK-FILE",
                remedy="correct the path",
            ) from error
    return found


def _hash_of(text: str) -> bytes:
    """The hash of an agreement, given as it is or by a file."""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) == 32:
        return found
    return read_agreement(Path(text), remedy="name an agreement's file, or its hash").agreement.hash


def _values(found: CheckedPack) -> dict[str, Any]:
    return {
        "party": found.party,
        "made_at": found.made_at,
        "program": found.program,
        "entries": found.entries,
        "entries_witnessed": found.entries_witnessed,
        "root": found.root.hex(),
        "witnessed": [
            {"agreement": one.agreement, "seals": one.seals, "entries": one.entries,
             "by": {who: time_words(at) for who, at in sorted(one.by.items())},
             "needed": one.needed}
            for one in found.witnessed
        ],
        "agreements": [
            {"agreement": one.id, "version": one.version, "agreement_hash": one.hash.hex(),
             "named": one.hash in found.named}
            for one in found.agreements
        ],
        "releases": found.releases,
        "documents": list(found.documents),
    }  # fmt: skip


def _lines(found: CheckedPack) -> Iterator[str]:
    yield f"The pack of {found.party}, made {found.made_at}, is whole."
    for one in found.witnessed:
        who = ", ".join(f"{name} ({time_words(at)})" for name, at in sorted(one.by.items()))
        yield (
            f"Under {one.agreement} partners cosigned the log's first "
            f"{entries_words(one.entries)}: {who}; {how_many(one.needed, 'partner')} had to."
        )
    rest = found.entries - found.entries_witnessed
    yield (
        f"{entries_words(rest)} after that "
        f"{'is' if rest == 1 else 'are'} the word of {found.party} alone."
        if rest
        else "Nothing came after that."
    )
    for agreed in found.agreements:
        how = "you named it" if agreed.hash in found.named else "signed by all that it names"
        yield f"Agreement {agreed.id}, version {agreed.version}, {agreed.hash.hex()[:16]}…: {how}."
    yield (
        f"{how_many(found.releases, 'release')}, signed by participants and in the log; "
        f"{how_many(len(found.documents), 'document')}, of which only {found.party} says that they "
        "are true."
    )
