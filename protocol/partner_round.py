"""A partner's side of a run as a sans-io state machine. SPEC.md, section 12.

One method a message. Nothing here reads customers, files or clocks: the node passes requests in,
computes the answer to the query that comes out, and stores `to_dict` before any reply leaves.

An objection ends the run at this partner for good: the state is aborted, every later request is
refused with E-RUN-ABORTED, and nothing more is sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol import masking, ring
from protocol.agreement.document import Agreement
from protocol.agreement.hand_overs import HandOvers
from protocol.agreement.parties import Party
from protocol.canonical import tagged_hash, u32
from protocol.clustering.followed import Followed
from protocol.clustering.plan import (
    Plan,
    after_total,
    plan_seed,
    query_of,
    start_plan,
    step_hash,
)
from protocol.errors import (
    AgreementError,
    LocalProtocolError,
    ProtocolError,
    RemoteProtocolError,
    RuleError,
    SignatureError,
)
from protocol.messages import (
    Accept,
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
    Roster,
    round_number,
    run_hash,
)
from protocol.participants import Chain, Members, SetRules
from protocol.partner_state import Answer, Joined, LastRound, PartnerState, Phase, Secrets
from protocol.privacy.mechanisms import discrete_gaussian, share_variance
from protocol.release.document import PAYLOAD_TYPE, Release, SignedRelease, make_release
from protocol.release.last import begins_at, taken_start
from protocol.ring import IntVector, RingVector
from protocol.signing import public_bytes, sign_document
from protocol.sum_query import SumQuery

T = TypeVar("T")
R = TypeVar("R")

ENTROPY_BYTES: Final = 16 + 32 + 64 + 32 + 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """An announcement that was accepted: the node computes what it asks for.

    Attributes:
        query: The sum query to answer; None when a release is to be approved instead.
        release: The release to approve; None when a query is to be answered.
    """

    announce: Announce
    members: Members
    plan: Plan
    query: SumQuery | None
    release: Release | None


class PartnerRound:
    """One run at one partner.

    Args:
        agreement: The agreement, fully signed, with the hand-overs that this partner knows. A run
            that is open goes on under the keys of its OPEN, whichever were handed over since.
        key: The partner's Ed25519 key in force.
        chain: The participant-set chain up to the last link that this partner signed, from all
            runs under the agreement. Read `chain` after every call and store it.
        state: What was stored of the run, `PartnerState.from_dict`; None when it is to be opened.
        last: The release of the latest run under the agreement that this partner received; None
            when it holds none. Needed to open a run alone.
        seed_of: The plan's seed for a run hash. Simulations pass another one, so that the start
            depends on their seed alone.
    """

    def __init__(
        self,
        agreement: Agreement,
        key: Ed25519PrivateKey,
        chain: Chain,
        *,
        state: PartnerState | None = None,
        last: Release | None = None,
        seed_of: Callable[[bytes], bytes] = plan_seed,
    ) -> None:
        self._me = agreement.index_of_key(public_bytes(key))
        if state is not None:
            agreement = agreement.with_hand_overs(HandOvers.from_bytes(state.hand_overs))
        self.agreement = agreement
        self.chain = chain
        self.state = state
        self._last = last
        self._key = key
        self._rules = SetRules.of(agreement)
        self._seed_of = seed_of

    def to_dict(self) -> dict[str, Any]:
        """Everything but the chain, as JSON values. It holds secrets: store it sealed."""
        return self._opened().to_dict()

    # --- facts ---------------------------------------------------------------------------------

    @property
    def partner(self) -> int:
        """This partner's number in the agreement."""
        return self._me

    @property
    def phase(self) -> Phase | None:
        """How far the run has come; None before it is open."""
        return None if self.state is None else self.state.phase

    @property
    def run_id(self) -> bytes:
        """The run's id, 16 bytes; empty before it is open."""
        return b"" if self.state is None else self.state.run_id

    @property
    def run_hash(self) -> bytes:
        """The run's hash, 32 bytes; empty before the roster is known."""
        joined = None if self.state is None else self.state.joined
        return b"" if joined is None else joined.run_hash

    @property
    def follows(self) -> bool:
        """Whether the run follows the last release; known once it is open."""
        return self._followed(self._opened()) is not None

    @property
    def last_release(self) -> Release | None:
        """The last release, as OPEN named it; None when it named none."""
        return self._named(self._opened())

    @staticmethod
    def _named(state: PartnerState) -> Release | None:
        return Release.from_bytes(state.start) if state.start else None

    def _followed(self, state: PartnerState) -> Followed | None:
        return begins_at(self.agreement, self._named(state))

    @property
    def round(self) -> int:
        """Number of the round answered last; -1 before the first."""
        last = None if self.state is None else self.state.last
        return -1 if last is None else last.round

    @property
    def plan(self) -> Plan | None:
        """The plan in the round answered last; None before the roster is known."""
        return None if self.state is None else self.state.plan

    # --- set-up --------------------------------------------------------------------------------

    def open(self, request: Open, *, entropy: bytes) -> bytes:
        """HELLO: fresh keys for a new run.

        Args:
            entropy: `ENTROPY_BYTES` fresh random bytes.
        """
        if self.state is not None:
            raise LocalProtocolError("this run is open already")
        if len(entropy) != ENTROPY_BYTES:
            raise LocalProtocolError(f"entropy of {len(entropy)} bytes, {ENTROPY_BYTES} needed")
        self._check_agreement(request.agreement_hash)
        self._check_keys(request)
        start = taken_start(request.last, self.agreement, chain=self.chain, last=self._last)
        nonce, secret = entropy[:16], entropy[112:144]
        secrets = Secrets(
            x_private=entropy[16:48],
            kem_seed=entropy[48:112],
            noise_secret=entropy[144:],
            kem_secrets={},
            pair_keys={},
        )
        hello = Hello(
            agreement_hash=self.agreement.hash,
            run_id=request.run_id,
            partner=self._me,
            nonce=nonce,
            x25519=masking.x25519_public(secrets.x_private),
            kem=masking.kem_public(secrets.kem_seed),
        ).signed(self._key)
        self.state = PartnerState(
            phase=Phase.GREETED,
            run_id=request.run_id,
            hello=hello,
            secret=secret,
            secrets=secrets,
            start=b"" if start is None else start.to_bytes(),
            hand_overs=request.hand_overs,
        )
        return hello

    def _check_keys(self, request: Open) -> None:
        """Refuse a run under other keys than those in force here (E-KEY-BEHIND)."""
        try:
            named = self.agreement.with_hand_overs(HandOvers.from_bytes(request.hand_overs))
        except AgreementError as error:
            raise RemoteProtocolError(
                error.message, code=error.code, remedy=error.remedy
            ) from error
        if named.keys.in_force != self.agreement.keys.in_force:
            raise RemoteProtocolError(
                "the run is to begin under keys that were handed over since, as this node knows",
                code="E-KEY-BEHIND",
                remedy="the coordinator lacks a hand-over: it takes it online from the partner "
                "whose key it is, or as a file, `fedseg-coordinator key accept`",
            )

    def reopen(self, request: Open) -> bytes:
        """The same HELLO again, byte for byte."""
        state = self._alive()
        self._check_agreement(request.agreement_hash)
        if request.run_id != state.run_id:
            raise RemoteProtocolError("this run has another id", code="E-RUN-OTHER")
        named = SignedRelease.from_bytes(request.last).release.to_bytes() if request.last else b""
        if named != state.start:
            raise RemoteProtocolError(
                "this run was opened with another last release", code="E-RUN-START"
            )
        if request.hand_overs != state.hand_overs:
            raise RemoteProtocolError("this run was opened with other keys", code="E-KEY-BEHIND")
        return state.hello

    def roster(self, request: Roster) -> bytes:
        """READY: the run's first participant set signed, with a ciphertext for higher partners."""
        return self._guarded(self._on_roster, request)

    def _on_roster(self, state: PartnerState, request: Roster) -> bytes:
        if request.run_id != state.run_id:
            raise RemoteProtocolError("roster of another run", code="E-RUN-OTHER")
        if state.joined is not None:
            if request.hellos != state.joined.hellos:
                raise RemoteProtocolError("a second roster for this run", code="E-ROSTER-CHANGED")
            return state.joined.ready
        hellos = self._verified_roster(state, request.hellos)
        start = Release.from_bytes(state.start) if state.start else None
        hashed = run_hash(
            self.agreement.hash,
            state.run_id,
            request.hellos,
            last=b"" if start is None else start.hash,
            keys=self.agreement.keys.hash,
        )
        chain = Chain.from_bytes(request.chain, self.agreement)
        self._rules.check(chain, signed=self.chain, run_hash=hashed)
        if chain.last.members != frozenset(hellos):
            raise RemoteProtocolError(
                "the first set is not the partners of the roster", code="E-ROSTER"
            )
        if sum(link.run_hash == hashed for link in chain.links) != 1:
            raise RemoteProtocolError("the roster comes with a later set", code="E-CHAIN-RUN")
        kem_secrets, ciphertexts = {}, []
        for other in sorted(hellos):
            if other > self._me:
                kem_secrets[other], ciphertext = masking.kem_encapsulate(hellos[other].kem)
                ciphertexts.append(ciphertext)
        ready = Ready(
            run_hash=hashed, partner=self._me, head=chain.head, ciphertexts=tuple(ciphertexts)
        ).signed(self._key)
        self.chain = chain
        self.state = replace(
            state,
            phase=Phase.READY,
            secrets=replace(state.held, kem_secrets=kem_secrets),
            joined=Joined(
                run_hash=hashed, hellos=request.hellos, ready=ready, first_head=chain.head
            ),
            plan=start_plan(
                self.agreement,
                seed=self._seed_of(hashed),
                followed=self._followed(state),
            ),
        )
        return ready

    def _verified_roster(
        self, state: PartnerState, messages: tuple[bytes, ...]
    ) -> dict[int, Hello]:
        if len(messages) != self.agreement.n_partners:
            raise RemoteProtocolError(
                f"roster of {len(messages)} places, the agreement has {self.agreement.n_partners}",
                code="E-ROSTER",
            )
        if messages[self._me] != state.hello:
            raise RemoteProtocolError("the roster changes this node's HELLO", code="E-ROSTER")
        found: dict[int, Hello] = {}
        for index, message in enumerate(messages):
            if not message:
                continue
            party = self.agreement.parties[index]
            hello = Hello.verified(message, public_key=self._key_of(index), who=party.id)
            if (hello.agreement_hash, hello.run_id, hello.partner) != (
                self.agreement.hash,
                state.run_id,
                index,
            ):
                raise RemoteProtocolError(
                    f"the HELLO of {party.id} belongs to another run or place",
                    code="E-HELLO-REPLAYED",
                )
            found[index] = hello
        return found

    # --- participant sets ----------------------------------------------------------------------

    def propose(self, request: Propose) -> bytes:
        """ACCEPT: a smaller participant set signed."""
        return self._guarded(self._on_propose, request)

    def _on_propose(self, state: PartnerState, request: Propose) -> bytes:
        hashed = self._check_run(state, request.run_hash).run_hash
        chain = Chain.from_bytes(request.chain, self.agreement)
        self._check_unfinished(state)
        self._check_newest_run(hashed)
        if chain.links != self.chain.links:
            self._rules.check(chain, signed=self.chain, run_hash=hashed)
            if self._me not in chain.last.members:
                raise RemoteProtocolError("a set without this partner", code="E-SET-MEMBER")
            self.chain = chain
        return Accept(run_hash=hashed, partner=self._me, head=chain.head).signed(self._key)

    def _certify(
        self, state: PartnerState, joined: Joined, certificate: Certificate | None
    ) -> PartnerState:
        """The newest set of the chain is active, once everyone in it has signed it."""
        head = self.chain.head
        if head == state.certified:
            return state
        if certificate is None:
            raise RemoteProtocolError("the participant set has no certificate", code="E-SET-OPEN")
        members, secrets = self.chain.last.members, state.held
        readys = self._verified_readys(joined, certificate.readys, members)
        if head != joined.first_head:
            self._verify_accepts(joined, certificate.accepts, members, head)
        pair_keys = {
            other: self._pair_key(joined, secrets, other, readys)
            for other in members - {self._me} - set(secrets.pair_keys)
        }
        return replace(
            state,
            phase=Phase.RUNNING,
            certified=head,
            secrets=replace(secrets, pair_keys=secrets.pair_keys | pair_keys),
        )

    def _verified_readys(
        self, joined: Joined, messages: tuple[bytes, ...], members: Members
    ) -> dict[int, Ready]:
        found: dict[int, Ready] = {}
        for message in messages:
            ready, _, _ = Ready.parse(message)
            party = self._party(ready.partner)
            Ready.verified(message, public_key=self._key_of(ready.partner), who=party.id)
            if (ready.run_hash, ready.head) != (joined.run_hash, joined.first_head):
                raise RemoteProtocolError(
                    f"the READY of {party.id} is for another run or set", code="E-CERTIFICATE"
                )
            found[ready.partner] = ready
        if not members <= set(found):
            raise RemoteProtocolError("a member's READY is missing", code="E-CERTIFICATE")
        return found

    def _verify_accepts(
        self, joined: Joined, messages: tuple[bytes, ...], members: Members, head: bytes
    ) -> None:
        found = set()
        for message in messages:
            accept, _, _ = Accept.parse(message)
            party = self._party(accept.partner)
            Accept.verified(message, public_key=self._key_of(accept.partner), who=party.id)
            if (accept.run_hash, accept.head) != (joined.run_hash, head):
                raise RemoteProtocolError(
                    f"the ACCEPT of {party.id} is for another set", code="E-CERTIFICATE"
                )
            found.add(accept.partner)
        if not members <= found:
            raise RemoteProtocolError("a member's ACCEPT is missing", code="E-CERTIFICATE")

    def _pair_key(
        self, joined: Joined, secrets: Secrets, other: int, readys: dict[int, Ready]
    ) -> bytes:
        if other > self._me:
            kem_secret = secrets.kem_secrets[other]
        else:
            higher = [i for i, hello in enumerate(joined.hellos) if hello and i > other]
            ciphertexts = readys[other].ciphertexts
            if len(ciphertexts) != len(higher):
                raise RemoteProtocolError("a READY lacks ciphertexts", code="E-CERTIFICATE")
            kem_secret = masking.kem_decapsulate(
                secrets.kem_seed, ciphertexts[higher.index(self._me)]
            )
        hello, _, _ = Hello.parse(joined.hellos[other])
        return masking.pair_key(
            masking.agree_x25519(secrets.x_private, hello.x25519),
            kem_secret,
            run_hash=joined.run_hash,
            a=self._me,
            b=other,
        )

    # --- rounds --------------------------------------------------------------------------------

    def announce(self, request: Announce) -> Ask | bytes:
        """Check an announcement.

        Returns:
            The cached reply, when exactly this was answered before; else what is asked: pass it to
            `masked` with the answer, or to `approve`.
        """
        return self._guarded(self._on_announce, request)

    def _on_announce(self, state: PartnerState, request: Announce) -> Ask | bytes:
        joined = self._check_run(state, request.run_hash)
        said = self._said(state, request)
        if said is not None:
            return said
        self._check_unfinished(state)
        self._check_newest_run(joined.run_hash)
        if request.head != self.chain.head:
            raise RemoteProtocolError("the set announced is not the newest", code="E-SET-OPEN")
        digest = hashlib.sha256(request.payload).digest()
        if state.last is not None and request.round == state.last.round:
            if digest != state.last.payload_hash:
                raise RemoteProtocolError(
                    f"a second payload for round {round_number(request.round)}",
                    code="E-SECOND-PAYLOAD",
                )
        elif request.round != self.round + 1:
            raise RemoteProtocolError(
                f"round {round_number(request.round)} announced, "
                f"{round_number(self.round + 1)} is next",
                code="E-ROUND-ORDER",
            )
        elif state.plan is not None and state.plan.result is not None:
            raise RemoteProtocolError("the plan has ended", code="E-ROUND-ORDER")
        self.state = state = self._certify(state, joined, request.certificate)
        payload = Payload.from_bytes(request.payload)
        plan = self._plan_at(state, request.round, payload)
        members = self.chain.last.members
        release = None
        if plan.result is not None:
            release = make_release(
                self.agreement,
                plan.result,
                run_hash=joined.run_hash,
                members=members,
                sets=self.chain.sets_in(joined.run_hash),
            )
        if payload.step_hash != step_hash(plan):
            raise RemoteProtocolError(
                f"what round {round_number(request.round)} asks does not follow from the "
                "transcript",
                code="E-QUERY",
            )
        return Ask(announce=request, members=members, plan=plan, query=plan.query, release=release)

    @staticmethod
    def _said(state: PartnerState, announce: Announce) -> bytes | None:
        """The reply already given to an announcement."""
        if state.last is None or announce.round != state.last.round:
            return None
        context = announce.context
        return next((a.reply for a in state.last.answers if a.context == context), None)

    def _check_open(self, state: PartnerState, ask: Ask) -> None:
        number, last = ask.announce.round, state.last
        digest = hashlib.sha256(ask.announce.payload).digest()
        again = last is not None and (number, digest) == (last.round, last.payload_hash)
        in_order = again or number == self.round + 1
        if state.phase != Phase.RUNNING or ask.announce.head != self.chain.head or not in_order:
            raise LocalProtocolError(
                f"the run went on while round {round_number(number)} was answered"
            )

    def _plan_at(self, state: PartnerState, number: int, payload: Payload) -> Plan:
        """The plan's state in round `number`, derived from the transcript of the round before."""
        if state.plan is None:
            raise LocalProtocolError("no plan before the roster")
        if state.last is None:
            if payload.transcript:
                raise RemoteProtocolError("the first round has no transcript", code="E-TRANSCRIPT")
            return state.plan
        if number == state.last.round:
            return state.plan
        total, members = self._transcript_total(state.plan, state.last, payload.transcript)
        return after_total(state.plan, self.agreement, total, members=members)

    def _transcript_total(
        self, plan: Plan, last: LastRound, transcript: tuple[bytes, ...]
    ) -> tuple[IntVector, Members]:
        length = query_of(plan).length
        masked = [Masked.parse(message, length=length)[0] for message in transcript]
        contexts = {m.context for m in masked}
        answer = next((a for a in last.answers if {a.context} == contexts), None)
        if answer is None or [m.partner for m in masked] != sorted(answer.members):
            raise RemoteProtocolError(
                "the transcript is not the round that was answered", code="E-TRANSCRIPT"
            )
        if transcript[sorted(answer.members).index(self._me)] != answer.reply:
            raise RemoteProtocolError(
                "the transcript changes this node's message", code="E-TRANSCRIPT"
            )
        total = np.zeros(length, dtype=np.uint64)
        for message, m in zip(transcript, masked, strict=True):
            party = self._party(m.partner)
            try:
                Masked.verified(
                    message, length=length, public_key=self._key_of(m.partner), who=party.id
                )
            except SignatureError as error:
                raise RemoteProtocolError(error.message, code="E-TRANSCRIPT") from error
            ring.add(total, ring.from_bytes(m.vector, length=length))
        return ring.from_ring(total), answer.members

    def masked(self, ask: Ask, answer: IntVector) -> bytes:
        """MASKED: the answer hidden under the masks of all pairs.

        Args:
            answer: The integer answer to ``ask.query``, shape ``(query.length,)``.

        Returns:
            The message; when this was answered in the meantime, what was said then: one mask
            never covers two answers.

        Raises:
            LocalProtocolError: The run went on since `announce` returned `ask`.
            EncodingRangeError: The answer exceeds what this partner's row cap allows; the state
                is unchanged.
            RuleError: The round was answered under another set, differently (E-DATA-CHANGED); the
                state is unchanged.
        """
        state, query = self._opened(), query_of(ask.plan)
        said = self._said(state, ask.announce)
        if said is not None:
            return said
        self._check_open(state, ask)
        cap = self.agreement.parties[self._me].max_customers
        low, high = query.range(cap)
        vector = ring.to_ring(answer, low=low, high=high)
        plain = answer.astype("<i8").tobytes()
        context, secrets = ask.announce.context, state.held
        answer_hash = b""
        if query.variance:
            ring.add(vector, self._noise_share(query, ask, plain, secrets.noise_secret))
        else:
            answer_hash = self._unchanged(state, ask, plain)
        for other in sorted(ask.members - {self._me}):
            masking.apply_mask(
                vector,
                masking.expand(secrets.pair_keys[other], "mask", context),
                subtract=self._me > other,
            )
        salt = masking.expand(state.secret, "salt", context)
        reply = Masked(
            context=context,
            partner=self._me,
            commitment=tagged_hash("commit", context, salt, plain),
            vector=ring.to_bytes(vector),
        ).signed(self._key)
        self._record(state, ask, reply, answer_hash=answer_hash)
        return reply

    def _noise_share(self, query: SumQuery, ask: Ask, plain: bytes, secret: bytes) -> RingVector:
        """This partner's share of the noise.

        The same question under the same set with the same answer gets the same noise again; any
        other gets noise of its own.
        """
        place = tagged_hash(
            "noise", self.run_hash, ask.announce.head, u32(ask.announce.round), query.hash, plain
        )
        key = masking.expand(secret, "noise", place)
        share = share_variance(
            query.variance,
            partners=len(ask.members),
            colluding=self.agreement.secure_sum.max_colluding,
        )
        noise = discrete_gaussian(masking.Stream(key), variance=share, count=query.length)
        return noise.view(np.uint64)

    @staticmethod
    def _unchanged(state: PartnerState, ask: Ask, plain: bytes) -> bytes:
        """The hash of an answer; refuses another answer to a round that is asked again."""
        answer_hash, number, last = tagged_hash("answer", plain), ask.announce.round, state.last
        if last is not None and number == last.round and answer_hash != last.answer_hash:
            raise RuleError(
                f"the customers changed while round {round_number(last.round)} was asked again "
                "under a smaller set: the difference of the two totals would show the change",
                code="E-DATA-CHANGED",
                remedy="start a new run; change the data between runs",
            )
        return answer_hash

    def approve(self, ask: Ask) -> bytes:
        """APPROVAL: this partner's signature on the release that it derived."""
        if ask.release is None:
            raise LocalProtocolError("nothing to approve")
        state = self._opened()
        said = self._said(state, ask.announce)
        if said is not None:
            return said
        self._check_open(state, ask)
        signature = sign_document(self._key, PAYLOAD_TYPE, ask.release.to_bytes())
        reply = Approval(run_hash=self.run_hash, partner=self._me, signature=signature).to_bytes()
        self._record(state, ask, reply)
        return reply

    def _record(
        self, state: PartnerState, ask: Ask, reply: bytes, *, answer_hash: bytes = b""
    ) -> None:
        number, last = ask.announce.round, state.last
        before = last.answers if last is not None and last.round == number else ()
        answer = Answer(
            head=ask.announce.head, context=ask.announce.context, members=ask.members, reply=reply
        )
        last = LastRound(
            round=number,
            payload_hash=hashlib.sha256(ask.announce.payload).digest(),
            answer_hash=answer_hash,
            answers=(*before, answer),
        )
        self.state = replace(state, plan=ask.plan, last=last)

    # --- end -----------------------------------------------------------------------------------

    def publish(self, request: Publish) -> SignedRelease:
        """The release with every signature, checked; ends the run."""
        return self._guarded(self._on_publish, request)

    def _on_publish(self, state: PartnerState, request: Publish) -> SignedRelease:
        joined = self._check_run(state, request.run_hash)
        signed = SignedRelease.from_bytes(request.release)
        release = signed.verify(self.agreement, in_force=True)
        if release.run_hash != joined.run_hash:
            raise RemoteProtocolError("the release of another run", code="E-RELEASE")
        self.state = state.ended(Phase.DONE)
        return signed

    def abort(self, code: str) -> None:
        """End the run at this partner for good; of one that has ended, the first reason stays."""
        state = self._opened()
        if not state.phase.over:
            self.state = state.ended(Phase.ABORTED, aborted_with=code)

    def _guarded(self, handler: Callable[[PartnerState, T], R], request: T) -> R:
        """What a handler makes of a request; what it objects to ends the run."""
        state = self._alive()
        try:
            return handler(state, request)
        except ProtocolError as error:
            self.abort(error.code)
            raise
        except RuleError as error:
            self.abort(error.code)
            raise RemoteProtocolError(
                error.message, code=error.code, remedy=error.remedy
            ) from error

    def _opened(self) -> PartnerState:
        if self.state is None:
            raise LocalProtocolError("this run is not open")
        return self.state

    def _alive(self) -> PartnerState:
        state = self._opened()
        if state.phase == Phase.ABORTED:
            raise RemoteProtocolError(
                f"this run was aborted here with {state.aborted_with}", code="E-RUN-ABORTED"
            )
        if self._key_of(self._me) != public_bytes(self._key):
            raise RemoteProtocolError(
                "this run began under a key of this node that was handed over since",
                code="E-KEY-ROTATED",
                remedy="the next run begins under the new key",
            )
        return state

    def _check_agreement(self, agreement_hash: bytes) -> None:
        if agreement_hash != self.agreement.hash:
            raise RemoteProtocolError("request under another agreement", code="E-AGR-OTHER")

    @staticmethod
    def _check_run(state: PartnerState, hashed: bytes) -> Joined:
        if state.joined is None or hashed != state.joined.run_hash:
            raise RemoteProtocolError("request of another run", code="E-RUN-OTHER")
        return state.joined

    @staticmethod
    def _check_unfinished(state: PartnerState) -> None:
        if state.phase == Phase.DONE:
            raise RemoteProtocolError("this run has ended with a release", code="E-RUN-ENDED")

    def _check_newest_run(self, hashed: bytes) -> None:
        if self.chain.last.run_hash != hashed:
            raise RemoteProtocolError(
                "the chain went on in a later run; this one is over", code="E-CHAIN-RUN"
            )

    def _key_of(self, index: int) -> bytes:
        """The key of the party with a number, in this run."""
        return self.agreement.keys.of(index)

    def _party(self, index: int) -> Party:
        if index >= self.agreement.n_partners:
            raise RemoteProtocolError(f"there is no partner {index}", code="E-CERTIFICATE")
        return self.agreement.parties[index]
