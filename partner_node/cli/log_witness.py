"""Who cosigned the audit log: `log witness`, `log accept`; and proofs: `log check-proof`."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from machine.console import Format, FormatOption, output
from machine.log_table import entries_words
from machine.named_files import read_of_log
from partner_node.cli.noting import noted
from partner_node.cli.options import HERE, Directory, Under
from partner_node.cosigning import Cosigning
from partner_node.home import NodeHome
from partner_node.shown.sealed import keys_for, sealed_shown
from partner_node.shown.witness import fork_values, witness_shown
from protocol.errors import UsageError
from protocol.log.entries import Entry
from protocol.log.notes import Ed25519Verifier, VerifierKey
from protocol.log.proofs import LogProof
from protocol.log.seals import is_sealed
from protocol.log.showing import MAX_PROOF_BYTES
from protocol.log.tiles import MAX_ENTRY_BYTES

Witnesses = Annotated[
    list[str] | None,
    typer.Option(
        "--witness", help="Verifier key of a partner that cosigns; repeat it for several."
    ),
]
Agreed = Annotated[
    Path | None,
    typer.Option("--agreement", help="Instead of keys: the agreement, which names those of all."),
]

Quorum = Annotated[
    int | None,
    typer.Option(min=0, help="How many have to have cosigned; one where keys are given."),
]


def witness(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """How far each partner cosigned this log, and this node the others', and which log forked."""
    home = NodeHome.load(directory)
    with closing(home.store(home.keystore())) as store:
        output.show(witness_shown(home, store))


def accept(
    party: Annotated[str, typer.Argument(help="The partner whose log forked.")],
    under: Under = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Go on from the newer of two states that a partner's log signed, once it said why.

    A partner that restored a backup, or began a new state, signs two; so does one that shows
    different logs to different partners. Both notes stay as evidence: `log witness --format json`.
    """
    home, now = NodeHome.load(directory), datetime.now(UTC)
    with noted(home, "log accept", party, now) as noting:
        place = home.chosen(under)
        agreement, keystore = place.signed_agreement().agreement, place.keystore()
        partner = agreement.index_of_key(keystore.identity_public)
        with closing(place.store(keystore)) as store, store.transaction():
            cosigning = Cosigning(agreement, partner, store, keystore.identity, now=now)
            fork = cosigning.accept(party, by=noting.who)
    output.result(
        {"agreement": agreement.id, **fork_values(fork)},
        f"This node goes on cosigning the log of {party} from the newer state. "
        "Both notes are kept.",
    )


def check_proof(
    file: Annotated[Path, typer.Argument(help="A proof that `log prove` wrote.")],
    key: Annotated[
        str | None, typer.Option(help="The log's verifier key, from a way that you trust.")
    ] = None,
    entry: Annotated[
        Path | None, typer.Option(help="The entry's bytes; those in the proof when left out.")
    ] = None,
    witness: Witnesses = None,
    agreement: Agreed = None,
    quorum: Quorum = None,
    format: Format = FormatOption,
) -> None:
    """Check a proof offline, of whatever party's log; of one by a seal also who cosigned it."""
    proof = LogProof.parse(read_of_log(file, MAX_PROOF_BYTES))
    if is_sealed(proof):
        own, others = keys_for(proof, key, witness or (), agreement)
        output.show(sealed_shown(proof, own, others, quorum, entry))
        return
    if key is None:
        raise UsageError("a proof is checked with the key of its log", remedy="add --key")
    data = proof.extra if entry is None else read_of_log(entry, MAX_ENTRY_BYTES)
    if data is None:
        raise UsageError(
            f"{file} has no entry in it", code="E-LOG-FILE", remedy="name its file: --entry"
        )
    named = VerifierKey.parse(key)
    said = proof.check(data, origin=named.name, log=Ed25519Verifier(named))
    found = Entry.from_bytes(data)
    output.result(
        {"origin": said.origin, "size": said.size, "root": said.root.hex(),
         "number": proof.index, "entry": found.to_dict()},
        f"Entry {proof.index} is in the log of {said.origin}, of {entries_words(said.size)}:",
        data.decode(),
    )  # fmt: skip
