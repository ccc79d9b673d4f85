"""A partner's side of a run as a sans-io state machine. SPEC.md, section 12.

One method a message. Nothing here reads customers, files or clocks: the node passes requests in,
computes the answer to the query that comes out, and stores `to_dict` before any reply leaves.

An objection ends the run at this partner for good: the state is aborted, every later request is
refused with E-RUN-ABORTED, and nothing more is sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol import masking, ring
from protocol.agreement.document import Agreement
from protocol.agreement.parties import Party
from protocol.canonical import tagged_hash, u32
from protocol.clustering.plan import (
    Plan,
    after_total,
    plan_seed,
    query_of,
    restore_plan,
    start_plan,
    step_hash,
)
from protocol.errors import (
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
    run_hash,
)
from protocol.participants import Chain, Members, SetRules
from protocol.privacy.mechanisms import discrete_gaussian, share_variance
from protocol.release.document import PAYLOAD_TYPE, Release, SignedRelease, make_release
from protocol.ring import IntVector, RingVector
from protocol.signing import sign_document
from protocol.sum_query import SumQuery

T = TypeVar("T")
R = TypeVar("R")

ENTROPY_BYTES: Final = 16 + 32 + 64 + 32 + 32

#: A later run or another agreement took the place of a run.
SUPERSEDED: Final = "E-RUN-SUPERSEDED"

GREETED: Final = "greeted"
READY: Final = "ready"
RUNNING: Final = "running"
DONE: Final = "done"
ABORTED: Final = "aborted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A reply given in the current round under one participant set."""

    head: bytes
    context: bytes
    members: Members
    reply: bytes


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
        agreement: The agreement, fully signed.
        key: The partner's Ed25519 key of the agreement.
        chain: The participant-set chain up to the last link that this partner signed, from all
            runs under the agreement. Read `chain` after every call and store it.
        seed_of: The plan's seed for a run hash. Simulations pass another one, so that the start
            depends on their seed alone.
    """

    def __init__(
        self,
        agreement: Agreement,
        key: Ed25519PrivateKey,
        chain: Chain,
        *,
        seed_of: Callable[[bytes], bytes] = plan_seed,
    ) -> None:
        self.agreement = agreement
        self.chain = chain
        self.phase = ""
        self.aborted_with = ""
        self._key = key
        self._me = agreement.index_of_key(key.public_key().public_bytes_raw())
        self._rules = SetRules.of(agreement)
        self._seed_of = seed_of
        self._run_id = b""
        self._run_hash = b""
        self._x_private = b""
        self._kem_seed = b""
        self._secret = b""
        self._noise_secret = b""
        self._hello = b""
        self._hellos: tuple[bytes, ...] = ()
        self._kem_secrets: dict[int, bytes] = {}
        self._ready = b""
        self._first_head = b""
        self._pair_keys: dict[int, bytes] = {}
        self._certified = b""
        self._plan: Plan | None = None
        self._round = -1
        self._payload_hash = b""
        self._answer_hash = b""
        self._answers: tuple[Answer, ...] = ()

    # --- state ---------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Everything but the chain, as JSON values. It holds secrets: store it sealed."""
        return {
            "phase": self.phase,
            "aborted_with": self.aborted_with,
            "run_id": self._run_id.hex(),
            "run_hash": self._run_hash.hex(),
            "x_private": self._x_private.hex(),
            "kem_seed": self._kem_seed.hex(),
            "secret": self._secret.hex(),
            "noise_secret": self._noise_secret.hex(),
            "hello": self._hello.hex(),
            "hellos": [hello.hex() for hello in self._hellos],
            "kem_secrets": {str(i): v.hex() for i, v in self._kem_secrets.items()},
            "ready": self._ready.hex(),
            "first_head": self._first_head.hex(),
            "pair_keys": {str(i): v.hex() for i, v in self._pair_keys.items()},
            "certified": self._certified.hex(),
            "plan": None if self._plan is None else self._plan.to_dict(),
            "round": self._round,
            "payload_hash": self._payload_hash.hex(),
            "answer_hash": self._answer_hash.hex(),
            "answers": [
                {
                    "head": a.head.hex(),
                    "context": a.context.hex(),
                    "members": sorted(a.members),
                    "reply": a.reply.hex(),
                }
                for a in self._answers
            ],
        }

    @staticmethod
    def from_dict(
        values: Mapping[str, Any],
        agreement: Agreement,
        key: Ed25519PrivateKey,
        chain: Chain,
        *,
        seed_of: Callable[[bytes], bytes] = plan_seed,
    ) -> PartnerRound:
        """The round that `to_dict` described."""
        restored = PartnerRound(agreement, key, chain, seed_of=seed_of)
        restored.phase = values["phase"]
        restored.aborted_with = values["aborted_with"]
        restored._run_id = bytes.fromhex(values["run_id"])
        restored._run_hash = bytes.fromhex(values["run_hash"])
        restored._x_private = bytes.fromhex(values["x_private"])
        restored._kem_seed = bytes.fromhex(values["kem_seed"])
        restored._secret = bytes.fromhex(values["secret"])
        restored._noise_secret = bytes.fromhex(values.get("noise_secret", ""))
        restored._hello = bytes.fromhex(values["hello"])
        restored._hellos = tuple(bytes.fromhex(h) for h in values["hellos"])
        restored._kem_secrets = {int(i): bytes.fromhex(v) for i, v in values["kem_secrets"].items()}
        restored._ready = bytes.fromhex(values["ready"])
        restored._first_head = bytes.fromhex(values["first_head"])
        restored._pair_keys = {int(i): bytes.fromhex(v) for i, v in values["pair_keys"].items()}
        restored._certified = bytes.fromhex(values["certified"])
        restored._plan = None if values["plan"] is None else restore_plan(values["plan"])
        restored._round = values["round"]
        restored._payload_hash = bytes.fromhex(values["payload_hash"])
        restored._answer_hash = bytes.fromhex(values["answer_hash"])
        restored._answers = tuple(
            Answer(
                head=bytes.fromhex(a["head"]),
                context=bytes.fromhex(a["context"]),
                members=frozenset(a["members"]),
                reply=bytes.fromhex(a["reply"]),
            )
            for a in values["answers"]
        )
        return restored

    # --- facts ---------------------------------------------------------------------------------

    @property
    def partner(self) -> int:
        """This partner's number in the agreement."""
        return self._me

    @property
    def run_id(self) -> bytes:
        """The run's id, 16 bytes."""
        return self._run_id

    @property
    def run_hash(self) -> bytes:
        """The run's hash, 32 bytes; empty before the roster is known."""
        return self._run_hash

    @property
    def round(self) -> int:
        """Number of the round answered last; -1 before the first."""
        return self._round

    @property
    def plan(self) -> Plan | None:
        """The plan in the round answered last; None before the roster is known."""
        return self._plan

    # --- set-up --------------------------------------------------------------------------------

    def open(self, request: Open, *, entropy: bytes) -> bytes:
        """HELLO: fresh keys for a new run.

        Args:
            entropy: `ENTROPY_BYTES` fresh random bytes.
        """
        if self.phase:
            raise LocalProtocolError("this run is open already")
        if len(entropy) != ENTROPY_BYTES:
            raise LocalProtocolError(f"entropy of {len(entropy)} bytes, {ENTROPY_BYTES} needed")
        self._check_agreement(request.agreement_hash)
        nonce, self._x_private, self._kem_seed, self._secret, self._noise_secret = (
            entropy[:16],
            entropy[16:48],
            entropy[48:112],
            entropy[112:144],
            entropy[144:],
        )
        self._run_id = request.run_id
        self._hello = Hello(
            agreement_hash=self.agreement.hash,
            run_id=self._run_id,
            partner=self._me,
            nonce=nonce,
            x25519=masking.x25519_public(self._x_private),
            kem=masking.kem_public(self._kem_seed),
        ).signed(self._key)
        self.phase = GREETED
        return self._hello

    def reopen(self, request: Open) -> bytes:
        """The same HELLO again, byte for byte."""
        self._alive()
        self._check_agreement(request.agreement_hash)
        if request.run_id != self._run_id:
            raise RemoteProtocolError("this run has another id", code="E-RUN-OTHER")
        return self._hello

    def roster(self, request: Roster) -> bytes:
        """READY: the run's first participant set signed, with a ciphertext for higher partners."""
        self._alive()
        return self._guarded(self._on_roster, request)

    def _on_roster(self, request: Roster) -> bytes:
        if request.run_id != self._run_id:
            raise RemoteProtocolError("roster of another run", code="E-RUN-OTHER")
        if self._ready:
            if request.hellos != self._hellos:
                raise RemoteProtocolError("a second roster for this run", code="E-ROSTER-CHANGED")
            return self._ready
        hellos = self._verified_roster(request.hellos)
        hashed = run_hash(self.agreement.hash, self._run_id, request.hellos)
        chain = Chain.from_bytes(request.chain, self.agreement)
        self._rules.check(chain, signed=self.chain, run_hash=hashed)
        if chain.last.members != frozenset(hellos):
            raise RemoteProtocolError(
                "the first set is not the partners of the roster", code="E-ROSTER"
            )
        if sum(link.run_hash == hashed for link in chain.links) != 1:
            raise RemoteProtocolError("the roster comes with a later set", code="E-CHAIN-RUN")
        ciphertexts = []
        for other in sorted(hellos):
            if other > self._me:
                secret, ciphertext = masking.kem_encapsulate(hellos[other].kem)
                self._kem_secrets[other] = secret
                ciphertexts.append(ciphertext)
        self._hellos = request.hellos
        self._run_hash = hashed
        self.chain = chain
        self._first_head = chain.head
        self._ready = Ready(
            run_hash=hashed, partner=self._me, head=chain.head, ciphertexts=tuple(ciphertexts)
        ).signed(self._key)
        self._plan = start_plan(self.agreement, seed=self._seed_of(hashed))
        self.phase = READY
        return self._ready

    def _verified_roster(self, messages: tuple[bytes, ...]) -> dict[int, Hello]:
        if len(messages) != self.agreement.n_partners:
            raise RemoteProtocolError(
                f"roster of {len(messages)} places, the agreement has {self.agreement.n_partners}",
                code="E-ROSTER",
            )
        if messages[self._me] != self._hello:
            raise RemoteProtocolError("the roster changes this node's HELLO", code="E-ROSTER")
        found: dict[int, Hello] = {}
        for index, message in enumerate(messages):
            if not message:
                continue
            party = self.agreement.parties[index]
            hello = Hello.verified(message, public_key=party.public_key, who=party.id)
            if (hello.agreement_hash, hello.run_id, hello.partner) != (
                self.agreement.hash,
                self._run_id,
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
        self._alive()
        return self._guarded(self._on_propose, request)

    def _on_propose(self, request: Propose) -> bytes:
        self._check_run(request.run_hash)
        chain = Chain.from_bytes(request.chain, self.agreement)
        self._check_unfinished()
        self._check_newest_run()
        if chain.links != self.chain.links:
            self._rules.check(chain, signed=self.chain, run_hash=self._run_hash)
            if self._me not in chain.last.members:
                raise RemoteProtocolError("a set without this partner", code="E-SET-MEMBER")
            self.chain = chain
        return Accept(run_hash=self._run_hash, partner=self._me, head=chain.head).signed(self._key)

    def _certify(self, certificate: Certificate | None) -> None:
        """Activate the newest set of the chain, once everyone in it has signed it."""
        head = self.chain.head
        if head == self._certified:
            return
        if certificate is None:
            raise RemoteProtocolError("the participant set has no certificate", code="E-SET-OPEN")
        members = self.chain.last.members
        readys = self._verified_readys(certificate.readys, members)
        if head != self._first_head:
            self._verify_accepts(certificate.accepts, members, head)
        for other in members - {self._me} - set(self._pair_keys):
            self._pair_keys[other] = self._pair_key(other, readys)
        self._certified = head
        self.phase = RUNNING

    def _verified_readys(self, messages: tuple[bytes, ...], members: Members) -> dict[int, Ready]:
        found: dict[int, Ready] = {}
        for message in messages:
            ready, _, _ = Ready.parse(message)
            party = self._party(ready.partner)
            Ready.verified(message, public_key=party.public_key, who=party.id)
            if ready.run_hash != self._run_hash or ready.head != self._first_head:
                raise RemoteProtocolError(
                    f"the READY of {party.id} is for another run or set", code="E-CERTIFICATE"
                )
            found[ready.partner] = ready
        if not members <= set(found):
            raise RemoteProtocolError("a member's READY is missing", code="E-CERTIFICATE")
        return found

    def _verify_accepts(self, messages: tuple[bytes, ...], members: Members, head: bytes) -> None:
        found = set()
        for message in messages:
            accept, _, _ = Accept.parse(message)
            party = self._party(accept.partner)
            Accept.verified(message, public_key=party.public_key, who=party.id)
            if accept.run_hash != self._run_hash or accept.head != head:
                raise RemoteProtocolError(
                    f"the ACCEPT of {party.id} is for another set", code="E-CERTIFICATE"
                )
            found.add(accept.partner)
        if not members <= found:
            raise RemoteProtocolError("a member's ACCEPT is missing", code="E-CERTIFICATE")

    def _pair_key(self, other: int, readys: dict[int, Ready]) -> bytes:
        if other > self._me:
            kem_secret = self._kem_secrets[other]
        else:
            higher = [i for i in self._present() if i > other]
            ciphertexts = readys[other].ciphertexts
            if len(ciphertexts) != len(higher):
                raise RemoteProtocolError("a READY lacks ciphertexts", code="E-CERTIFICATE")
            kem_secret = masking.kem_decapsulate(
                self._kem_seed, ciphertexts[higher.index(self._me)]
            )
        hello, _, _ = Hello.parse(self._hellos[other])
        return masking.pair_key(
            masking.agree_x25519(self._x_private, hello.x25519),
            kem_secret,
            run_hash=self._run_hash,
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
        self._alive()
        return self._guarded(self._on_announce, request)

    def _on_announce(self, request: Announce) -> Ask | bytes:
        self._check_run(request.run_hash)
        said = self._said(request)
        if said is not None:
            return said
        self._check_unfinished()
        self._check_newest_run()
        if request.head != self.chain.head:
            raise RemoteProtocolError("the set announced is not the newest", code="E-SET-OPEN")
        digest = hashlib.sha256(request.payload).digest()
        if request.round == self._round:
            if digest != self._payload_hash:
                raise RemoteProtocolError(
                    f"a second payload for round {request.round}", code="E-SECOND-PAYLOAD"
                )
        elif request.round != self._round + 1:
            raise RemoteProtocolError(
                f"round {request.round} announced, {self._round + 1} is next", code="E-ROUND-ORDER"
            )
        elif self._plan is not None and self._plan.result is not None:
            raise RemoteProtocolError("the plan has ended", code="E-ROUND-ORDER")
        self._certify(request.certificate)
        payload = Payload.from_bytes(request.payload)
        plan = self._plan_at(request.round, payload)
        members = self.chain.last.members
        release = None
        if plan.result is not None:
            release = make_release(
                self.agreement,
                plan.result,
                run_hash=self._run_hash,
                members=members,
                asked_again=self.chain.changes_in(self._run_hash),
            )
        if payload.step_hash != step_hash(plan):
            raise RemoteProtocolError(
                f"what round {request.round} asks does not follow from the transcript",
                code="E-QUERY",
            )
        return Ask(announce=request, members=members, plan=plan, query=plan.query, release=release)

    def _said(self, announce: Announce) -> bytes | None:
        """The reply already given to an announcement."""
        if announce.round != self._round:
            return None
        context = announce.context
        return next((a.reply for a in self._answers if a.context == context), None)

    def _check_open(self, ask: Ask) -> None:
        number = ask.announce.round
        same = hashlib.sha256(ask.announce.payload).digest() == self._payload_hash
        in_order = number == self._round + 1 or (number == self._round and same)
        if self.phase != RUNNING or ask.announce.head != self.chain.head or not in_order:
            raise LocalProtocolError(f"the run went on while round {number} was answered")

    def _plan_at(self, number: int, payload: Payload) -> Plan:
        """The plan's state in round `number`, derived from the transcript of the round before."""
        if self._plan is None:
            raise LocalProtocolError("no plan before the roster")
        if number == self._round:
            return self._plan
        if number == 0:
            if payload.transcript:
                raise RemoteProtocolError("round 0 has no transcript", code="E-TRANSCRIPT")
            return self._plan
        total, members = self._transcript_total(payload.transcript)
        return after_total(self._plan, self.agreement, total, members=members)

    def _transcript_total(self, transcript: tuple[bytes, ...]) -> tuple[IntVector, Members]:
        length = query_of(self._plan).length
        masked = [Masked.parse(message, length=length)[0] for message in transcript]
        contexts = {m.context for m in masked}
        answer = next((a for a in self._answers if {a.context} == contexts), None)
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
                Masked.verified(message, length=length, public_key=party.public_key, who=party.id)
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
        query = query_of(ask.plan)
        said = self._said(ask.announce)
        if said is not None:
            return said
        self._check_open(ask)
        cap = self.agreement.parties[self._me].max_customers
        low, high = query.range(cap)
        vector = ring.to_ring(answer, low=low, high=high)
        plain = answer.astype("<i8").tobytes()
        context = ask.announce.context
        answer_hash = self._answer_hash
        if query.variance:
            ring.add(vector, self._noise_share(query, ask, plain))
        else:
            answer_hash = self._unchanged(ask, plain)
        for other in sorted(ask.members - {self._me}):
            masking.apply_mask(
                vector,
                masking.expand(self._pair_keys[other], "mask", context),
                subtract=self._me > other,
            )
        salt = masking.expand(self._secret, "salt", context)
        reply = Masked(
            context=context,
            partner=self._me,
            commitment=tagged_hash("commit", context, salt, plain),
            vector=ring.to_bytes(vector),
        ).signed(self._key)
        self._record(ask, reply)
        self._answer_hash = answer_hash
        return reply

    def _noise_share(self, query: SumQuery, ask: Ask, plain: bytes) -> RingVector:
        """This partner's share of the noise.

        The same question under the same set with the same answer gets the same noise again; any
        other gets noise of its own.
        """
        place = tagged_hash(
            "noise", self._run_hash, ask.announce.head, u32(ask.announce.round), query.hash, plain
        )
        key = masking.expand(self._noise_secret, "noise", place)
        share = share_variance(
            query.variance,
            partners=len(ask.members),
            colluding=self.agreement.secure_sum.max_colluding,
        )
        noise = discrete_gaussian(masking.Stream(key), variance=share, count=query.length)
        return noise.view(np.uint64)

    def _unchanged(self, ask: Ask, plain: bytes) -> bytes:
        """The hash of an answer; refuses another answer to a round that is asked again."""
        answer_hash = tagged_hash("answer", plain)
        if ask.announce.round == self._round and answer_hash != self._answer_hash:
            raise RuleError(
                f"the customers changed while round {self._round} was asked again under a "
                "smaller set: the difference of the two totals would show the change",
                code="E-DATA-CHANGED",
                remedy="start a new run; change the data between runs",
            )
        return answer_hash

    def approve(self, ask: Ask) -> bytes:
        """APPROVAL: this partner's signature on the release that it derived."""
        if ask.release is None:
            raise LocalProtocolError("nothing to approve")
        said = self._said(ask.announce)
        if said is not None:
            return said
        self._check_open(ask)
        signature = sign_document(self._key, PAYLOAD_TYPE, ask.release.to_bytes())
        reply = Approval(run_hash=self._run_hash, partner=self._me, signature=signature).to_bytes()
        self._record(ask, reply)
        return reply

    def _record(self, ask: Ask, reply: bytes) -> None:
        answer = Answer(
            head=ask.announce.head, context=ask.announce.context, members=ask.members, reply=reply
        )
        same_round = ask.announce.round == self._round
        self._answers = (*self._answers, answer) if same_round else (answer,)
        self._round = ask.announce.round
        self._payload_hash = hashlib.sha256(ask.announce.payload).digest()
        self._plan = ask.plan

    # --- end -----------------------------------------------------------------------------------

    def publish(self, request: Publish) -> SignedRelease:
        """The release with every signature, checked; ends the run."""
        self._alive()
        return self._guarded(self._on_publish, request)

    def _on_publish(self, request: Publish) -> SignedRelease:
        self._check_run(request.run_hash)
        signed = SignedRelease.from_bytes(request.release)
        release = signed.verify(self.agreement)
        if release.run_hash != self._run_hash:
            raise RemoteProtocolError("the release of another run", code="E-RELEASE")
        self._end(DONE)
        return signed

    def abort(self, code: str) -> None:
        """End the run at this partner for good; of one that has ended, the first reason stays."""
        if self.phase not in (DONE, ABORTED):
            self._end(ABORTED)
            self.aborted_with = code

    def _end(self, phase: str) -> None:
        """Go to an end state and forget what could open the run's messages later."""
        # `ended_from_outside` does the same to a stored state.
        self.phase = phase
        self._x_private = b""
        self._kem_seed = b""
        self._noise_secret = b""
        self._kem_secrets = {}
        self._pair_keys = {}

    def _guarded(self, handler: Callable[[T], R], request: T) -> R:
        try:
            return handler(request)
        except ProtocolError as error:
            self.abort(error.code)
            raise
        except RuleError as error:
            self.abort(error.code)
            raise RemoteProtocolError(
                error.message, code=error.code, remedy=error.remedy
            ) from error

    def _alive(self) -> None:
        if self.phase == ABORTED:
            raise RemoteProtocolError(
                f"this run was aborted here with {self.aborted_with}", code="E-RUN-ABORTED"
            )
        if not self.phase:
            raise LocalProtocolError("this run is not open")

    def _check_agreement(self, agreement_hash: bytes) -> None:
        if agreement_hash != self.agreement.hash:
            raise RemoteProtocolError("request under another agreement", code="E-AGR-OTHER")

    def _check_run(self, hashed: bytes) -> None:
        if not self._run_hash or hashed != self._run_hash:
            raise RemoteProtocolError("request of another run", code="E-RUN-OTHER")

    def _check_unfinished(self) -> None:
        if self.phase == DONE:
            raise RemoteProtocolError("this run has ended with a release", code="E-RUN-ENDED")

    def _check_newest_run(self) -> None:
        if self.chain.last.run_hash != self._run_hash:
            raise RemoteProtocolError(
                "the chain went on in a later run; this one is over", code="E-CHAIN-RUN"
            )

    def _party(self, index: int) -> Party:
        if index >= self.agreement.n_partners:
            raise RemoteProtocolError(f"there is no partner {index}", code="E-CERTIFICATE")
        return self.agreement.parties[index]

    def _present(self) -> list[int]:
        return [i for i, hello in enumerate(self._hellos) if hello]


def ended_from_outside(state: Mapping[str, Any], *, code: str = SUPERSEDED) -> dict[str, Any]:
    """The stored state of an unfinished run, ended by what happened beside it.

    Args:
        state: What `PartnerRound.to_dict` gave; the run's agreement need not be at hand.
        code: Why; by default a later run or agreement took its place.

    Returns:
        The state aborted with `code`, without what could open the run's messages.
    """
    return {
        **state,
        "phase": ABORTED,
        "aborted_with": code,
        "x_private": "",
        "kem_seed": "",
        "noise_secret": "",
        "kem_secrets": {},
        "pair_keys": {},
    }
