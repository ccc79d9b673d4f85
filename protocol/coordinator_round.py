"""The coordinator's side of a run as a sans-io state machine. SPEC.md, section 13.

It says whom it waits for and which request is open, takes replies, and learns totals only. It is
deterministic: given the same inputs in the same order it is in the same state, so a crashed run is
continued by replaying the inputs that were stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol import masking, ring
from protocol.agreement.document import Agreement
from protocol.clustering.plan import (
    Plan,
    after_total,
    plan_seed,
    query_of,
    start_plan,
    step_hash,
)
from protocol.errors import LocalProtocolError, MalformedError, RemoteProtocolError, RunFailedError
from protocol.messages import (
    Accept,
    Ack,
    Announce,
    Approval,
    Certificate,
    Hello,
    Masked,
    Open,
    Payload,
    Propose,
    Publish,
    Ready,
    Request,
    Roster,
    Stop,
    round_number,
    run_hash,
    sign_request,
)
from protocol.participants import Chain, Link, Members, SetRules, atoms
from protocol.queries import ClusterSumsQuery, cluster_inertia
from protocol.release.document import PAYLOAD_TYPE, Release, SignedRelease, make_release
from protocol.release.last import begins_at
from protocol.ring import IntVector
from protocol.signing import verify_document


class Phase(StrEnum):
    """Which replies a run waits for.

    Attributes:
        doing: What is being done then, for people.
    """

    doing: str

    def __new__(cls, value: str, doing: str) -> Phase:
        phase = str.__new__(cls, value)
        phase._value_ = value
        phase.doing = doing
        return phase

    HELLOS = "hellos", "waiting for partners to join"
    READYS = "readys", "setting up keys"
    ACCEPTS = "accepts", "agreeing on a smaller participant set"
    ANSWERS = "answers", "adding masked answers"
    APPROVALS = "approvals", "collecting signatures on the release"
    ACKS = "acks", "handing out the release"
    ENDED = "ended", "finished"


#: Stands for a run whose roster is open.
_NO_RUN: Final = bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundTotal:
    """A total that was formed.

    Attributes:
        total: Shape ``(query.length,)``, int64.
        members: Whose answers are in it.
        inertia: Mean squared distance to the nearest centroid in the scaled cube; None when the
            round did not ask for it.
        asked: What was asked, in words.
    """

    round: int
    total: IntVector
    members: Members
    inertia: float | None
    asked: str


class CoordinatorRound:
    """One run at the coordinator.

    Args:
        agreement: With the hand-overs that lead to the run's keys, which stay so until its end.
        chain: The participant-set chain of all earlier runs under the agreement.
        last: The last release under the agreement, with its signatures; empty when there is none.
        seed_of: The plan's seed for a run hash; simulations pass another one.

    Attributes:
        left_out: Partners that said HELLO, but with whom the set would have broken a rule of
            section 7.
    """

    def __init__(
        self,
        agreement: Agreement,
        key: Ed25519PrivateKey,
        *,
        run_id: bytes,
        chain: Chain,
        last: bytes = b"",
        seed_of: Callable[[bytes], bytes] = plan_seed,
    ) -> None:
        self.agreement = agreement
        self.run_id = run_id
        self.chain = chain
        self.phase = Phase.HELLOS
        self.totals: list[RoundTotal] = []
        self.release: SignedRelease | None = None
        self.left_out: Members = frozenset()
        self._last = b"" if agreement.plan.start else last
        self._key = key
        self._seed_of = seed_of
        self._rules = SetRules.of(agreement)
        self._run_hash = b""
        self._hellos: dict[int, bytes] = {}
        self._hellos_left_out: dict[int, bytes] = {}
        self._readys: dict[int, bytes] = {}
        self._accepts: dict[int, bytes] = {}
        self._acks: dict[int, bytes] = {}
        self._plan: Plan | None = None
        self._round = 0
        self._begun = 0
        self._transcript: tuple[bytes, ...] = ()
        self._answers: dict[int, bytes] = {}
        self._certificate_known: set[int] = set()
        self._signed_requests: dict[tuple[str, int, int, bool], bytes] = {}

    # --- facts ---------------------------------------------------------------------------------

    @property
    def run_hash(self) -> bytes:
        """The run's hash; empty before the roster is closed."""
        return self._run_hash

    @property
    def round(self) -> int:
        """Index of the round that is open."""
        return self._round

    @property
    def rounds_begun(self) -> int:
        """Number of rounds that were asked so far; the signing of the release is none."""
        return self._begun

    @property
    def members(self) -> Members:
        """The current participant set; everyone before the roster is closed."""
        if self.phase == Phase.HELLOS:
            return frozenset(range(self.agreement.n_partners))
        return self.chain.last.members

    @property
    def waiting_for(self) -> Members:
        """Whose reply to the open request is still missing."""
        if self.phase == Phase.ENDED:
            return frozenset()
        taken, _ = self._awaited()
        return self.members - set(taken)

    def _awaited(self) -> tuple[dict[int, bytes], Callable[[bytes], int]]:
        """The replies to the open request, by partner, and what tells whose one is."""
        match self.phase:
            case Phase.HELLOS:
                return self._hellos, self._hello_of
            case Phase.READYS:
                return self._readys, self._ready_of
            case Phase.ACCEPTS:
                return self._accepts, self._accept_of
            case Phase.ANSWERS:
                return self._answers, self._answer_of
            case Phase.APPROVALS:
                return self._answers, self._approval_of
            case Phase.ACKS:
                return self._acks, self._ack_of
            case Phase.ENDED:
                raise RemoteProtocolError("the run has ended", code="E-ENDED")

    # --- requests ------------------------------------------------------------------------------

    def open_request(self) -> bytes:
        """Asks for a HELLO; also tells, later on, which carrier speaks for which partner."""
        opening = Open(
            agreement_hash=self.agreement.hash,
            run_id=self.run_id,
            last=self._last,
            hand_overs=self.agreement.hand_overs.to_bytes(),
        )
        return sign_request(opening, self._key)

    def request(self, partner: int) -> bytes:
        """The open request for a partner; the same bytes every time."""
        if self.phase == Phase.HELLOS:
            return self.open_request()
        known = partner in self._certificate_known
        stage = (self.phase, self._round, len(self.chain.links), known)
        if stage not in self._signed_requests:
            if len(self._signed_requests) > 1:
                self._signed_requests.clear()
            self._signed_requests[stage] = sign_request(self._request(known=known), self._key)
        return self._signed_requests[stage]

    def _request(self, *, known: bool) -> Request:
        match self.phase:
            case Phase.READYS:
                return Roster(
                    run_id=self.run_id, hellos=self._roster(), chain=self.chain.to_bytes()
                )
            case Phase.ACCEPTS:
                return Propose(run_hash=self._run_hash, chain=self.chain.to_bytes())
            case Phase.ANSWERS | Phase.APPROVALS:
                return Announce(
                    run_hash=self._run_hash,
                    head=self.chain.head,
                    round=self._round,
                    payload=self._payload(),
                    certificate=None if known else self._certificate(),
                )
            case Phase.ACKS if self.release is not None:
                return Publish(run_hash=self._run_hash, release=self.release.to_bytes())
            case Phase.HELLOS | Phase.ACKS | Phase.ENDED:
                raise LocalProtocolError(f"nothing is asked in phase {self.phase}")

    def stop_request(self, reason: str) -> bytes:
        """Tells a node that the run ended without a release; `reason` is a code."""
        return sign_request(Stop(run_id=self.run_id, reason=reason), self._key)

    def _roster(self) -> tuple[bytes, ...]:
        return tuple(self._hellos.get(i, b"") for i in range(self.agreement.n_partners))

    def _certificate(self) -> Certificate:
        return Certificate(
            readys=tuple(self._readys[i] for i in sorted(self._readys)),
            accepts=tuple(self._accepts[i] for i in sorted(self._accepts)),
        )

    def _payload(self) -> bytes:
        if self._plan is None:
            raise LocalProtocolError("no plan before the roster")
        return Payload(step_hash=step_hash(self._plan), transcript=self._transcript).to_bytes()

    # --- replies -------------------------------------------------------------------------------

    def partner_of_hello(self, message: bytes) -> int | None:
        """Whose HELLO of this run `message` is; None when it is no HELLO that was taken.

        Tells which carrier speaks for which partner, also after the roster was closed, and also
        for partners that were left out of it.
        """
        try:
            partner = self._hello_of(message)
        except RemoteProtocolError:
            return None
        if self.phase == Phase.HELLOS:
            return partner
        known = self._hellos_left_out if partner in self.left_out else self._hellos
        return partner if known.get(partner) == message else None

    def check(self, message: bytes) -> int | None:
        """Check a reply to the open request; the state does not change.

        Returns:
            The partner's number; None when the message repeats one taken before.

        Raises:
            RemoteProtocolError: Not a valid reply to the open request.
        """
        taken, partner_of = self._awaited()
        partner = partner_of(message)
        if partner not in taken:
            return partner
        if taken[partner] != message:
            raise RemoteProtocolError(
                f"{self._name(partner)} answered twice, differently", code="E-SECOND-REPLY"
            )
        return None

    def receive(self, message: bytes) -> int | None:
        """Take a reply to the open request; like `check`, and the state goes on."""
        partner = self.check(message)
        if partner is not None:
            taken, _ = self._awaited()
            taken[partner] = message
            self._proceed()
        return partner

    def _hello_of(self, message: bytes) -> int:
        hello, _, _ = Hello.parse(message)
        if self.phase == Phase.HELLOS or hello.partner not in self.left_out:
            self._member(hello.partner)
        party = self.agreement.parties[hello.partner]
        Hello.verified(message, public_key=self._key_of(hello.partner), who=party.id)
        if hello.agreement_hash != self.agreement.hash or hello.run_id != self.run_id:
            raise RemoteProtocolError(
                f"the HELLO of {party.id} belongs to another run", code="E-HELLO-REPLAYED"
            )
        if self.phase == Phase.HELLOS:
            masking.check_public_keys(hello.x25519, hello.kem)
        return hello.partner

    def _ready_of(self, message: bytes) -> int:
        ready, _, _ = Ready.parse(message)
        party = self.agreement.parties[self._member(ready.partner)]
        Ready.verified(message, public_key=self._key_of(ready.partner), who=party.id)
        higher = sum(i > ready.partner for i in self._hellos)
        if (ready.run_hash, ready.head, len(ready.ciphertexts)) != (
            self._run_hash,
            self.chain.head,
            higher,
        ):
            raise RemoteProtocolError(
                f"the READY of {party.id} is for another set", code="E-CERTIFICATE"
            )
        return ready.partner

    def _accept_of(self, message: bytes) -> int:
        accept, _, _ = Accept.parse(message)
        party = self.agreement.parties[self._member(accept.partner)]
        Accept.verified(message, public_key=self._key_of(accept.partner), who=party.id)
        if (accept.run_hash, accept.head) != (self._run_hash, self.chain.head):
            raise RemoteProtocolError(
                f"the ACCEPT of {party.id} is for another set", code="E-CERTIFICATE"
            )
        return accept.partner

    def _answer_of(self, message: bytes) -> int:
        masked, _, _ = Masked.parse(message, length=self._length)
        party = self.agreement.parties[self._member(masked.partner)]
        key = self._key_of(masked.partner)
        Masked.verified(message, length=self._length, public_key=key, who=party.id)
        if masked.context != self._context():
            raise RemoteProtocolError(
                f"the answer of {party.id} is for another round or set", code="E-ROUND-ORDER"
            )
        return masked.partner

    def _approval_of(self, message: bytes) -> int:
        approval = Approval.from_bytes(message)
        partner = self._member(approval.partner)
        party = self.agreement.parties[partner]
        release = self._unsigned_release().release.to_bytes()
        key = self._key_of(partner)
        verify_document(key, PAYLOAD_TYPE, release, approval.signature, who=party.id)
        return partner

    def _ack_of(self, message: bytes) -> int:
        return self._member(Ack.from_bytes(message).partner)

    # --- steps ---------------------------------------------------------------------------------

    def _proceed(self) -> None:
        """Move on when the open request has been answered by everyone."""
        if self.waiting_for:
            return
        match self.phase:
            case Phase.HELLOS:
                self.close_roster()
            case Phase.READYS | Phase.ACCEPTS:
                self._certificate_known = set()
                self._open_round()
            case Phase.ANSWERS:
                self._form_total()
            case Phase.APPROVALS:
                self._collect_signatures()
            case Phase.ACKS:
                self.phase = Phase.ENDED
            case Phase.ENDED:
                pass
            case _:
                assert_never(self.phase)

    def close_roster(self) -> None:
        """Go on with the partners that said HELLO, or with as many of them as the rules allow.

        When some were away in an earlier run, a set with all of them would single those out; then
        the largest set that was open before, and whose members are all here, is opened again.

        Raises:
            RunFailedError: They may not form a set under the agreement's rules.
        """
        if self.phase != Phase.HELLOS:
            raise LocalProtocolError("the roster is closed already")
        here = self._hellos
        last = self._last_release()
        refusal: RunFailedError | None = None
        for members in self._sets_to_try(frozenset(here)):
            self._hellos = {i: here[i] for i in sorted(members)}
            self._run_hash = run_hash(
                self.agreement.hash,
                self.run_id,
                self._roster(),
                last=b"" if last is None else last.hash,
                keys=self.agreement.keys.hash,
            )
            try:
                self._extend(members)
            except RunFailedError as error:
                refusal = refusal or error
                continue
            self._hellos_left_out = {i: m for i, m in here.items() if i not in members}
            self.left_out = frozenset(self._hellos_left_out)
            self._plan = start_plan(
                self.agreement,
                seed=self._seed_of(self._run_hash),
                followed=begins_at(self.agreement, last),
            )
            self.phase = Phase.READYS
            return
        self._hellos = here
        self._run_hash = b""
        raise refusal or RunFailedError("no partner is here", code="E-NO-PARTNERS")

    def _last_release(self) -> Release | None:
        return SignedRelease.from_bytes(self._last).verify(self.agreement) if self._last else None

    def _sets_to_try(self, here: Members) -> Iterator[Members]:
        """All that are `here`; then sets opened before that are here, the largest and newest first.

        An empty set comes first when nobody is here, and is refused.
        """
        yield here
        before = dict.fromkeys(link.members for link in reversed(self.chain.links))
        yield from sorted((s for s in before if s < here), key=len, reverse=True)

    def going_on(self) -> Members:
        """With whom the run would go on if nobody were waited for any longer; changes nothing.

        Raises:
            RunFailedError: It would end, as `close_roster` or `drop` would say.
        """
        if self.phase != Phase.HELLOS:
            members = self.members - self.waiting_for
            self._extension(members, self._run_hash)
            return members
        refusal: RunFailedError | None = None
        for members in self._sets_to_try(frozenset(self._hellos)):
            try:
                self._extension(members, _NO_RUN)  # the run's hash follows from who is in it
            except RunFailedError as error:
                refusal = refusal or error
                continue
            return members
        raise refusal or RunFailedError("no partner is here", code="E-NO-PARTNERS")

    def drop(self, missing: Members) -> None:
        """Propose the set without the `missing` partners.

        Raises:
            RunFailedError: The agreement's rules forbid that set: the run cannot go on without
                them.
        """
        if self.phase not in (Phase.READYS, Phase.ACCEPTS, Phase.ANSWERS, Phase.APPROVALS):
            raise LocalProtocolError(f"no set change in phase {self.phase}")
        if not missing or not missing <= self.waiting_for:
            raise LocalProtocolError("only partners that have not answered can be dropped")
        self._extend(self.members - missing)
        self._accepts = {}
        self._answers = {}
        self.phase = Phase.ACCEPTS

    def finish(self) -> None:
        """End the run although some partners have not acknowledged the release."""
        if self.phase != Phase.ACKS:
            raise LocalProtocolError(f"no release to hand out in phase {self.phase}")
        self.phase = Phase.ENDED

    def _extend(self, members: Members) -> None:
        self.chain = self._extension(members, self._run_hash)

    def _extension(self, members: Members, run_hash: bytes) -> Chain:
        """The chain with one more set; raises RunFailedError where the rules forbid it."""
        if not members:
            raise RunFailedError("no partner is left", code="E-NO-PARTNERS")
        chain = self.chain.extended(Link(run_hash=run_hash, members=members))
        try:
            self._rules.check(chain, signed=self.chain, run_hash=run_hash)
        except RemoteProtocolError as error:
            raise RunFailedError(
                f"{self._without(members)}: {error.message}{self._singled_out(error, chain)}",
                code=error.code,
            ) from error
        return chain

    def _without(self, members: Members) -> str:
        absent = self._names(self.members - members)
        return f"the run cannot go on without {absent}" if absent else "the run cannot go on"

    def _singled_out(self, error: RemoteProtocolError, chain: Chain) -> str:
        if error.code != "E-SET-ISOLATES":
            return ""
        smallest = min(atoms([link.members for link in chain.links]), key=len)
        return f" (singled out: {self._names(smallest)})"

    def _names(self, members: Members) -> str:
        return ", ".join(self._name(i) for i in sorted(members))

    def _open_round(self) -> None:
        if self._plan is None:
            raise LocalProtocolError("no plan before the roster")
        self._answers = {}
        if self._plan.result is not None:
            self.phase = Phase.APPROVALS
        else:
            self.phase, self._begun = Phase.ANSWERS, round_number(self._round)

    def _form_total(self) -> None:
        length = self._length
        order = sorted(self._answers)
        total = np.zeros(length, dtype=np.uint64)
        for partner in order:
            masked, _, _ = Masked.parse(self._answers[partner], length=length)
            ring.add(total, ring.from_bytes(masked.vector, length=length))
        decoded = ring.from_ring(total)
        members = frozenset(order)
        if self._plan is None:
            raise LocalProtocolError("no plan before the roster")
        try:
            plan = after_total(self._plan, self.agreement, decoded, members=members)
        except RemoteProtocolError as error:
            raise RunFailedError(
                f"round {round_number(self._round)}, answered by "
                f"{self._names(self.members)}, is void: {error.message}",
                code=error.code,
            ) from error
        self.totals.append(
            RoundTotal(
                round=self._round,
                total=decoded,
                members=members,
                inertia=self._mean_inertia(decoded, members),
                asked=query_of(self._plan).words,
            )
        )
        self._certificate_known = set(order)
        self._transcript = tuple(self._answers[i] for i in order)
        self._plan = plan
        self._round += 1
        self._open_round()

    def _mean_inertia(self, total: IntVector, members: Members) -> float | None:
        query = query_of(self._plan)
        if not isinstance(query, ClusterSumsQuery):
            return None
        totals = query.decode(total, customers=self.agreement.most_customers(members))
        counted = max(1, int(totals.counts.sum()))
        inertia = sum(cluster_inertia(query.centroids, totals))
        return inertia / counted / float(1 << 2 * query.fraction_bits)

    def _unsigned_release(self) -> SignedRelease:
        if self._plan is None or self._plan.result is None:
            raise LocalProtocolError("the plan has no result yet")
        return SignedRelease.unsigned(
            make_release(
                self.agreement,
                self._plan.result,
                run_hash=self._run_hash,
                members=self.members,
                sets=self.chain.sets_in(self._run_hash),
            )
        )

    def _collect_signatures(self) -> None:
        signed = self._unsigned_release()
        envelope = signed.envelope
        for partner, message in self._answers.items():
            envelope = envelope.with_signature(
                self._key_of(partner), Approval.from_bytes(message).signature
            )
        self.release = SignedRelease(release=signed.release, envelope=envelope)
        self.phase = Phase.ACKS

    @property
    def _length(self) -> int:
        return query_of(self._plan).length

    def _context(self) -> bytes:
        return Announce(
            run_hash=self._run_hash,
            head=self.chain.head,
            round=self._round,
            payload=self._payload(),
            certificate=None,
        ).context

    def _member(self, partner: int) -> int:
        if partner not in self.members:
            raise MalformedError(f"partner {partner} is not in the participant set")
        return partner

    def _key_of(self, partner: int) -> bytes:
        """The key of the partner with a number, in this run."""
        return self.agreement.keys.of(partner)

    def _name(self, partner: int) -> str:
        return self.agreement.parties[partner].id
