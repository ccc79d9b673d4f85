"""A manifest against the agreement, the run as it is stored, the request and the ledger. Pure.

Nothing is taken from whoever made the message: the question is asked of the run's stored plan, the
noise and its cost of the ledger, the receiver of the signed agreement.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from partner_node.egress.manifest import Manifest, Question, context_of
from protocol.agreement.document import Agreement
from protocol.clustering.plan import query_of
from protocol.errors import SignatureError
from protocol.messages import Request, round_number
from protocol.partner_round import PartnerRound
from protocol.privacy.ledger import Charge
from protocol.privacy.mechanisms import share_variance
from protocol.release.document import PAYLOAD_TYPE, Release, make_release
from protocol.replies import APPROVAL, KINDS, MASKED, Reply, ReplyKind
from protocol.signing import key_id, verify_document
from protocol.sum_query import SumQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """What a manifest is held against.

    Attributes:
        partner: This partner's number in the agreement.
        request: What is replied to.
        run: The run, in the state that is stored with the message.
        charge: What the ledger holds for the request's context; None when it holds nothing.
    """

    agreement: Agreement
    partner: int
    request: Request
    run: PartnerRound
    charge: Charge | None


def objection_to_sending(
    manifest: Manifest, data: bytes, reply: Reply, grounds: Grounds
) -> str | None:
    """Why these bytes may not leave now, whether for the first time or again; None when they may.

    Args:
        data: The bytes that are to leave.
        reply: What is in them.
    """
    agreement, run = grounds.agreement, grounds.run
    agreed = (agreement.id, agreement.version, agreement.hash)
    if (manifest.agreement_id, manifest.agreement_version, manifest.agreement_hash) != agreed:
        return "it is sent under another agreement"
    coordinator = agreement.coordinator
    if (manifest.receiver, manifest.receiver_key) != (
        coordinator.legal_name,
        key_id(agreement.keys.coordinator),
    ):
        return f"its receiver is {manifest.receiver}, not the agreement's coordinator"
    if (manifest.sha256, manifest.n_bytes) != (hashlib.sha256(data).hexdigest(), len(data)):
        return "the bytes are others than those of the manifest"
    kind = KINDS.get(manifest.kind)
    if kind is None or manifest.kind != reply.kind:
        return f"{manifest.kind} is no message that may leave"
    if type(grounds.request) not in kind.answers:
        return f"{manifest.kind} is no reply to this request"
    if run.phase not in kind.leaves:
        return f"{manifest.kind} may not leave a run that is {run.phase or 'not open'}"
    if manifest.run_id != run.run_id:
        return "it belongs to another run"
    if manifest.partner != grounds.partner:
        return f"it speaks for partner {manifest.partner}, this is partner {grounds.partner}"
    party = agreement.parties[grounds.partner]
    try:
        reply.check_signature(agreement.keys.of(grounds.partner), who=party.id)
    except SignatureError as error:
        return error.message
    return None


def objection_to_content(manifest: Manifest, reply: Reply, grounds: Grounds) -> str | None:
    """Why a message may not leave on account of what is in it; None when it may."""
    run = grounds.run
    if manifest.context != context_of(grounds.request):
        return "it replies to another announcement"
    if manifest.round != run.round:
        return (
            f"it is of round {round_number(manifest.round)}, the run is in round "
            f"{round_number(run.round)}"
        )
    if (manifest.belongs_to, manifest.head) != _expected_place(KINDS[reply.kind], grounds):
        return "it says that it belongs to another run, set or round"
    if manifest.kind == MASKED:
        return _objection_to_answer(manifest, grounds)
    if (manifest.question, manifest.customers, manifest.vector_length) != (None, None, None):
        return f"{manifest.kind} counts no customers"
    if manifest.kind == APPROVAL:
        return _objection_to_approval(manifest, reply, grounds)
    return "it signs a release" if manifest.release else None


def _expected_place(kind: ReplyKind, grounds: Grounds) -> tuple[bytes, bytes]:
    """What a message of a kind has to belong to in this run, and which set it has to sign."""
    run = grounds.run
    places = {
        "run_id": run.run_id,
        "run_hash": run.run_hash,
        "context": context_of(grounds.request),
        "": b"",
    }
    return places[kind.place], run.chain.head if kind.signs_set else b""


def _objection_to_answer(manifest: Manifest, grounds: Grounds) -> str | None:
    agreement, run = grounds.agreement, grounds.run
    if run.plan is None or run.plan.query is None or manifest.question is None:
        return "nothing is asked now"
    if manifest.release:
        return "an answer signs no release"
    query, said = query_of(run.plan), manifest.question
    if manifest.vector_length != query.length:
        return f"its vector has {manifest.vector_length} entries, asked are {query.length}"
    names = tuple(agreement.parties[i].id for i in sorted(run.chain.last.members))
    if said.participants != names:
        return "it is for another participant set"
    party = agreement.parties[grounds.partner]
    low, high = query.range(party.max_customers)
    if (said.words, said.low, said.high, said.sensitivity_squared) != (
        query.words,
        int(low.min()),
        int(high.max()),
        query.sensitivity_squared,
    ):
        return "question or bounds are not those of the agreed plan"
    least = agreement.min_customers_per_partner
    if manifest.customers is None or not least <= manifest.customers <= party.max_customers:
        return "it counts fewer or more customers than agreed"
    return _objection_to_noise(said, query, grounds)


def _objection_to_noise(said: Question, query: SumQuery, grounds: Grounds) -> str | None:
    terms, charge = grounds.agreement.privacy, grounds.charge
    if terms is None:
        exact = not query.variance and not said.share_variance and not said.cost
        return None if exact and charge is None else "the agreement is about exact totals"
    if not query.variance:
        return "the agreement asks for noise, the question has none"
    colluding = grounds.agreement.secure_sum.max_colluding
    members = len(grounds.run.chain.last.members)
    least = share_variance(query.variance, partners=members, colluding=colluding)
    if said.share_variance != least:
        return f"its noise has variance {said.share_variance}, the privacy terms ask for {least}"
    if charge is None:
        return "the ledger holds no charge for it"
    if (charge.run_id, charge.share_variance, charge.sensitivity_squared) != (
        grounds.run.run_id,
        least,
        query.sensitivity_squared,
    ):
        return "the ledger was charged for something else"
    trusted = (terms.max_partners_per_customer, members - colluding)
    if (charge.group, charge.honest) != trusted or charge.cost != charge.recomputed:
        return "the ledger's charge is not what it costs"
    if not 0 < said.cost <= terms.run_cost or said.cost != charge.cost:
        return "its cost is not the one in the ledger"
    return None


def _objection_to_approval(manifest: Manifest, reply: Reply, grounds: Grounds) -> str | None:
    release = _release(grounds)
    if release is None or manifest.release != release.hash:
        return "it signs another release than the plan's"
    party, key = (
        grounds.agreement.parties[grounds.partner],
        grounds.agreement.keys.of(grounds.partner),
    )
    try:
        verify_document(key, PAYLOAD_TYPE, release.to_bytes(), reply.signature, who=party.id)
    except SignatureError as error:
        return error.message
    return None


def _release(grounds: Grounds) -> Release | None:
    run = grounds.run
    if run.plan is None or run.plan.result is None:
        return None
    return make_release(
        grounds.agreement,
        run.plan.result,
        run_hash=run.run_hash,
        members=run.chain.last.members,
        sets=run.chain.sets_in(run.run_hash),
    )
