"""The receipt of one customer: in which answers of this node it was counted, with the proofs."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from partner_node.egress.records import Manifests
from partner_node.receipts.counted_sets import CountedSets, handle_files, shown
from partner_node.receipts.handle_files import Part
from partner_node.rights.case import Case
from partner_node.sealed_proofs import newest_cosigned, seen_seal
from partner_node.store.audit_log import AuditLog
from partner_node.store.node_store import NodeStore
from partner_node.store.records import RunRecord
from protocol.agreement.document import Agreement
from protocol.agreement.parties import Party
from protocol.errors import LogError, RuleError
from protocol.log.checkpoints import Checkpoint
from protocol.log.names import key_of_log
from protocol.log.notes import Note, VerifierKey, sign_ed25519
from protocol.log.showing import signed_checkpoint
from protocol.log.tree import inclusion_proof
from protocol.receipts.document import (
    Answer,
    Receipt,
    RunShown,
    Told,
    Unrecorded,
    told_nothing,
    told_of,
)
from protocol.receipts.handles import Handles, handle
from protocol.receipts.proof import AnswerProof
from protocol.receipts.seen import Seen
from protocol.replies import MASKED

#: The customer's rights, as the letter has them; articles of the GDPR.
_RIGHTS: Final = ("eu-gdpr:A15", "eu-gdpr:A16", "eu-gdpr:A17", "eu-gdpr:A18", "eu-gdpr:A21")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTold:
    """What a receipt says of one run.

    Attributes:
        run: Its id.
        started_at: When it began here.
        told: Of each answer.
        lost: Whether its sets were kept, and what they are made of is gone.
    """

    run: bytes
    started_at: str
    told: tuple[Told, ...]
    lost: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A receipt, ready to be handed out.

    Attributes:
        data: The receipt as JSON, signed.
        key: The log's key, with which it is checked.
        cosigned: Names of those who cosigned a seal of the checkpoint; none unless asked for.
        later: How many answers are not in it, as they were written down after the checkpoint.
    """

    data: bytes
    key: VerifierKey
    checkpoint: Checkpoint
    runs: tuple[RunTold, ...]
    cosigned: tuple[str, ...]
    later: int


def receipt_of(case: Case, run: str | None, *, cosigned: bool = False) -> Given:
    """The customer's receipt for the runs under the case's agreement.

    Args:
        run: The first digits of the one run that is meant; all of them when left out.
        cosigned: Whether it shows the newest state of the log that most other partners cosigned a
            seal of, and who did; answers that were written down later are not in it.

    Raises:
        RuleError: There is no such run, or none in which an answer counted customers
            (E-RECEIPT-NONE).
        LogError: What is kept of a set is not what was committed to (E-RECEIPT-KEPT); nobody
            cosigned a seal under this key (E-LOG-NOT-COSIGNED).
    """
    store, identity = case.store, case.keystore.identity
    partner = case.home.config.node.partner
    note, seen = (
        _state(case) if cosigned else (signed_checkpoint(store.log, partner, identity), None)
    )
    checkpoint = Checkpoint.from_text(note.text)
    under = [
        record
        for record in reversed(store.runs())
        if record.run_id.hex().startswith(run or "") and _is_under(case, record)
    ]
    found = (_run(case, record, checkpoint) for record in under)
    runs = [one for one in found if one is not None]
    if not runs:
        raise RuleError(
            "no answer of this node counted customers in such a run",
            code="E-RECEIPT-NONE",
            remedy="`fedseg-node status` lists runs; records are kept as long as agreed",
        )
    told = [
        RunTold(
            run=record.run_id,
            started_at=record.started_at,
            told=tuple(_told(made, checkpoint)),
            lost=lost,
        )
        for record, made, lost in runs
    ]
    receipt = Receipt(
        receipt_id=secrets.token_hex(16),
        record_id=f"{case.agreement.id}/{case.agreement.version}/{case.pseudonym}",
        principal=case.pseudonym,
        entity=case.party.id,
        processing=_processing(case),
        parties=_parties(case.agreement),
        events=[event.to_dict(case.party.id) for one in told for event in one.told],
        checkpoint=note,
        runs=tuple(made for _, made, _ in runs),
        seen=seen,
    )
    signed = receipt.signed_by(identity)
    return Given(
        data=(json.dumps(signed, indent=1, ensure_ascii=False) + "\n").encode("utf-8"),
        key=key_of_log(partner, case.keystore.identity_public),
        checkpoint=checkpoint,
        runs=tuple(told),
        cosigned=tuple(one.name for one in seen.proof.note.signatures[1:]) if seen else (),
        later=sum(
            one.entry >= checkpoint.size
            for record in under
            for one in CountedSets(store).sets(record.run_id)
        ),
    )


def key_of_run(store: NodeStore, run: str) -> tuple[bytes, bytes]:
    """The id of a run, and its key of receipts, for an auditor at this node.

    Whoever has it can tell whose a handle of that run is, for every id that he knows.

    Args:
        run: The first digits of its id.

    Raises:
        RuleError: There is no such run, or more than one, or it has no key any more
            (E-RECEIPT-NONE).
    """
    found = [one.run_id for one in store.runs() if one.run_id.hex().startswith(run)]
    key = CountedSets(store).key(found[0]) if len(found) == 1 else None
    if key is None:
        raise RuleError(
            f"{len(found)} runs begin with {run!r}, and one with a key of receipts is needed",
            code="E-RECEIPT-NONE",
            remedy="`fedseg-node status` lists runs; records are kept as long as agreed",
        )
    return found[0], key


def _state(case: Case) -> tuple[Note, Seen]:
    """The newest state of the log that others cosigned a seal of, signed anew, and the seal."""
    own = key_of_log(case.home.config.node.partner, case.keystore.identity_public)
    kept = newest_cosigned(case.store, case.agreement.id)
    if kept is None or kept.sealed.origin != own.name:
        raise LogError(
            f"no other partner cosigned a seal of this log under {case.agreement.id}"
            + ("" if kept is None else " since the node has its key"),
            code="E-LOG-NOT-COSIGNED",
            remedy="leave --cosigned out; what a run writes is cosigned in its next rounds and in "
            "the next run, see `fedseg-node log witness`",
        )
    seen = seen_seal(case.store, case.agreement.id, kept)
    return sign_ed25519(Note(kept.text), own.name, case.keystore.identity), seen


def _is_under(case: Case, record: RunRecord) -> bool:
    """Whether a run was under some version of the case's agreement."""
    if record.agreement_hash == case.agreement.hash:
        return True
    kept = case.store.agreement(record.agreement_hash)
    return kept is not None and kept.agreement.id == case.agreement.id


def _run(
    case: Case, record: RunRecord, checkpoint: Checkpoint
) -> tuple[RunRecord, RunShown, bool] | None:
    """What is shown of a run, and whether its sets are lost; None where nothing was answered."""
    sets = CountedSets(case.store)
    all_kept, key = sets.sets(record.run_id), sets.key(record.run_id)
    kept = [one for one in all_kept if one.entry < checkpoint.size]
    parts = _parts(case, sets.parts(record.run_id))
    lost = bool(kept) and (parts is None or key is None)
    asked = {
        one.manifest.context: one
        for one in Manifests(case.store).of_run(record.run_id)
        if one.manifest.kind == MASKED
    }
    for later in all_kept[len(kept) :]:
        asked.pop(later.context, None)
    answers = []
    own = b""
    if kept and key is not None and parts is not None:
        own = handle(key, case.subject)
        for one in kept:
            bucket = shown(one, own, key, parts)
            written = asked.pop(one.context, None)
            proof = _proof(case.store.log, one.entry, checkpoint, bucket.bucket, bucket.path)
            answers.append(Answer(proof=proof, left=written is None or written.times > 0))
    unrecorded = [
        Unrecorded(at=one.at, round=one.manifest.round) for one in asked.values() if one.times > 0
    ]
    if not answers and not unrecorded:
        return None
    made = RunShown(
        run=record.run_id, handle=own, answers=tuple(answers), unrecorded=tuple(unrecorded)
    )
    return record, made, lost


def _parts(case: Case, parts: Sequence[Part]) -> list[tuple[Part, Handles]] | None:
    """A run's handles; None where a file of them is gone."""
    files = handle_files(case.store)
    read = [(part, None if files is None else files.read(part)) for part in parts]
    found = [(part, own) for part, own in read if own is not None]
    return found if len(found) == len(parts) else None


def _proof(
    log: AuditLog, entry: int, checkpoint: Checkpoint, bucket: bytes, path: tuple[bytes, ...]
) -> AnswerProof:
    return AnswerProof(
        entry=log.entry(entry),
        index=entry,
        inclusion=tuple(inclusion_proof(entry, checkpoint.size, log)),
        bucket=bucket,
        path=path,
    )


def _told(made: RunShown, checkpoint: Checkpoint) -> Iterator[Told]:
    """What follows from the proofs, which are checked as others will check them."""
    for one in made.answers:
        about, counted = one.proof.check(made.handle, size=checkpoint.size, root=checkpoint.root)
        yield told_of(about, counted=counted, left=one.left)
    for answer in made.unrecorded:
        yield told_nothing(made.run, answer)


def _processing(case: Case) -> dict[str, Any]:
    """The section ``pii_processing``, from the agreement and the node's settings alone."""
    agreement, party, stated = case.agreement, case.party, case.home.config.rights
    uses = agreement.results_use
    purpose: dict[str, Any] = {
        "purpose": agreement.purpose.text,
        "purpose_type": agreement.purpose.term,
        "lawful_basis": party.legal_basis.basis,
        "pii_information": [
            {"pii_type": feature.name, "pii_optional": False} for feature in agreement.features
        ],
        "pii_controllers": [one.id for one in agreement.parties],
        "processing_method": ["dpv:Profiling"],
        "storage_locations": list(party.jurisdictions),
        "retention_period": f"P{agreement.retention.records_days}D",
        "jurisdiction": list(party.jurisdictions),
        "recipient_third_parties": [agreement.coordinator.legal_name, *uses.recipients],
        "withdrawal_method": f"ask {party.contact}",
        "privacy_rights": list(_RIGHTS),
    }
    if stated.data_from is not None:
        purpose["collection_method"] = stated.data_from
    if stated.authority is not None:
        purpose["authority_party"] = stated.authority
    return {
        "privacy_notice": agreement.purpose.notice_version,
        "language": "en",
        "purposes": [purpose],
    }


def _parties(agreement: Agreement) -> list[dict[str, Any]]:
    """The section ``party_identification``."""
    operator = agreement.coordinator
    return [
        *(_party(one) for one in agreement.parties),
        {
            "party_id": "coordinator",
            "party_name": operator.legal_name,
            "party_address": operator.contact,
            "party_role": "PII processor",
        },
    ]


def _party(party: Party) -> dict[str, Any]:
    return {
        "party_id": party.id,
        "party_name": party.legal_name,
        "party_address": party.contact,
        "party_role": "PII controller",
        "party_contact": [{"contact_type": "dpo", "contact_information": party.dpo}],
    }
