"""One partner's node: takes the coordinator's requests, answers sum queries on its own customers.

Every request passes the same way: signature, agreement, state machine, answer, store, egress gate,
reply. What is refused leaves as an error code alone.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from importlib import metadata, resources
from typing import TypeVar, assert_never

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from machine import logs
from machine.traces import span
from partner_node.agreement_files import naming, verified
from partner_node.consent.count import check_number
from partner_node.consent.local_rules import Rules
from partner_node.cosigning import Cosigning
from partner_node.customers.answers import answer
from partner_node.customers.source_customers import Customers
from partner_node.egress.gate import Answered, Cleared, EgressGate, Stopped
from partner_node.egress.settings import EgressSection
from partner_node.hand_overs import KnownHandOvers
from partner_node.home import NodeHome
from partner_node.receipts.counting import Counting, Receipts
from partner_node.register.pseudonyms import Pseudonyms
from partner_node.register.scores import Scores
from partner_node.segments.retention import purge
from partner_node.store.builds import AcceptedBuilds
from partner_node.store.ledger import Ledger
from partner_node.store.node_store import NodeStore
from partner_node.store.refusals import Refusals
from partner_node.store.refused_hand_overs import RefusedHandOvers
from partner_node.store.times import stamp
from protocol.agreement.document import Agreement
from protocol.agreement.hand_overs import HandOvers
from protocol.agreement.software import Build, Software
from protocol.agreement.stop import WITHDRAWN
from protocol.clustering.plan import most_cost, plan_seed
from protocol.errors import (
    EncodingRangeError,
    FedsegError,
    LocalProtocolError,
    ProtocolError,
    RemoteProtocolError,
    RuleError,
    SignatureError,
    SourceError,
)
from protocol.messages import (
    Ack,
    Announce,
    Open,
    Propose,
    Publish,
    Request,
    Roster,
    Stop,
    open_request,
)
from protocol.noised_queries import ScoresQuery
from protocol.partner_round import ENTROPY_BYTES, Ask, PartnerRound
from protocol.partner_state import PartnerState, Phase
from protocol.privacy.ledger import Charge, check_affordable, check_within_run
from protocol.release.document import Release, SignedRelease
from protocol.replies import HELLO
from protocol.ring import IntVector
from protocol.scaling import FloatMatrix
from protocol.signed_agreement import SignedAgreement
from protocol.signing import public_bytes
from protocol.sum_query import SumQuery

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Node:
    """One partner's node.

    Args:
        signed: The agreement with every party's signature; refused otherwise.
        key: The partner's Ed25519 key of the agreement.
        customers: Where customers' vectors come from; asked anew for every query.
        rules: What this partner checks before each answer.
        data_stamp: Gives a text that is another when the data's files have changed; empty where
            that cannot be told.
        run_over: Called when a run has ended here, once that is stored: what was kept for its next
            question may go.
        egress: What waits for a person's approval before it leaves; nothing when left out.
        receipts: What keeps who was counted in each answer; nobody does when left out.
        clock: Now, with time zone.
        entropy: Gives fresh random bytes.
        seed_of: The plan's seed for a run hash; simulations pass another one.
        threads: How many compute an answer; one for each processor when left out.
        hand_overs: The hand-overs of keys that are known here; kept in memory when left out.
        in_force: All agreements in force here, by which records are kept; this one when left out.
            With none of them no record is deleted.
    """

    def __init__(
        self,
        signed: SignedAgreement,
        key: Ed25519PrivateKey,
        store: NodeStore,
        customers: Customers,
        rules: Rules,
        *,
        software: Software,
        data_stamp: Callable[[], str] = str,
        run_over: Callable[[], object] = str,
        egress: EgressSection | None = None,
        receipts: Receipts | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        entropy: Callable[[int], bytes] = os.urandom,
        seed_of: Callable[[bytes], bytes] = plan_seed,
        threads: int | None = None,
        in_force: Sequence[Agreement] | None = None,
        hand_overs: KnownHandOvers | None = None,
    ) -> None:
        self._hand_overs = hand_overs or KnownHandOvers()
        self.agreement: Agreement = signed.verify().with_hand_overs(self._hand_overs.load())
        self._signed = signed
        self.partner = self.agreement.index_of_key(public_bytes(key))
        self.store = store
        self._key = key
        self._customers = customers
        self._rules = rules
        self._software = software
        self._data_stamp = data_stamp
        self._run_over = run_over
        self._is_over = False
        self._clock = clock
        self._entropy = entropy
        self._seed_of = seed_of
        self._threads = threads
        self._in_force = (self.agreement,) if in_force is None else in_force
        self._egress = egress or EgressSection()
        self._receipts = receipts

    @staticmethod
    def open(
        home: NodeHome, store: NodeStore, *, in_force: Sequence[Agreement] | None = None
    ) -> Node:
        """The node of a folder under the agreement that `home` is the place of.

        Args:
            in_force: As for the class.

        Raises:
            FedsegError: Agreement, keys or data keep it from opening.
        """
        signed = home.signed_agreement()
        file = home.config.node.agreement
        agreement = verified(signed, file)
        keystore = home.keystore()
        with naming(file):
            index = agreement.index_of_key(keystore.identity_public)
        party = agreement.parties[index]
        scores = None
        if agreement.plan.satisfaction is not None:
            scores = Scores(
                agreement.id, store, Pseudonyms.under(agreement.id, home.keys_folder, keystore)
            )
        customers = home.customers(agreement, home.gate(agreement, party, store), scores=scores)
        return Node(
            signed,
            keystore.identity,
            store,
            customers,
            home.rules(agreement, party, store),
            software=Software.installed(metadata.version, resources.files),
            data_stamp=customers.data_stamp,
            run_over=customers.forget,
            egress=home.config.egress,
            receipts=Receipts(store, customers, keep=home.config.receipts.keep),
            in_force=in_force,
            hand_overs=home.hand_overs,
        )

    def is_asked(self, message: bytes) -> bool:
        """Whether a message is a request under this agreement, signed by its coordinator."""
        try:
            request = self._read(message)
        except FedsegError:
            return False
        if isinstance(request, Open):
            return request.agreement_hash == self.agreement.hash
        return self.store.agreement_of_run(self._run_id_of(request)) == self.agreement.hash

    def handle(self, message: bytes) -> bytes:
        """Answer one request of the coordinator.

        The reply is stored, and has passed the egress gate, before it is returned; the same
        request gives the same bytes again.

        Raises:
            FedsegError: The request is refused, which is remembered for the person at this
                machine; tell the coordinator its code alone.
        """
        return self._cleared(message).reply

    def answer(self, message: bytes, beside: bytes) -> tuple[bytes, bytes]:
        """As `handle`, with what travels beside request and reply: of logs and cosignatures.

        Args:
            beside: What came beside the request; empty where nothing did.

        Returns:
            The reply, and what leaves beside it; empty where that could not be stored.
        """
        cleared = self._cleared(message, beside)
        return cleared.reply, cleared.beside

    def _beside(self, cleared: Cleared, came: bytes) -> bytes:
        """Witness the others' logs, seal this one, and have what is said of them pass the gate.

        In the transaction that stores the reply, which is stored also where this fails.
        """
        agreement, now = self.agreement, self._clock()
        cosigning = Cosigning(agreement, self.partner, self.store, self._key, now=now)
        gate = EgressGate(agreement, self.partner, self.store, self._egress)
        try:
            with self.store.part():
                cosigning.take(came)
                if cleared.kind != HELLO:  # whoever opens runs has as many greetings as it likes
                    cosigning.seal(cleared.message, self._entropy)
                return gate.pass_beside(cleared.message, cosigning.told())
        except FedsegError as error:
            logger.warning("nothing leaves beside message %s: %s", cleared.message, error)
            return b""

    def _cleared(self, message: bytes, came: bytes | None = None) -> Cleared:
        """As `handle`.

        Args:
            came: What came beside the request; None for one beside whose reply nothing leaves.
        """
        request: Request | None = None
        try:
            request = self._read(message)
            with self._told(request):
                return self._handle(request, came)
        except FedsegError as refusal:
            self._remember_refusal(request, refusal.code)
            raise
        finally:
            if self._is_over:
                self._is_over = False
                self._run_over()

    @contextmanager
    def _told(self, request: Request) -> Iterator[None]:
        """What log and traces say that the block is about."""
        run, agreement = self._run_id_of(request).hex(), self.agreement.id
        partner, asked = self.agreement.parties[self.partner].id, type(request).__name__.lower()
        with (
            logs.about(run=run, agreement=agreement, partner=partner),
            span("answer", run=run, agreement=agreement, partner=partner, request=asked),
        ):
            yield

    def _read(self, message: bytes) -> Request:
        """The request in a message, signed by the coordinator's key in force.

        An OPEN may be signed by a key to which a hand-over in it leads, which is not known here.

        Raises:
            FedsegError: It is no request, or not signed by that key.
        """
        self.agreement = agreement = self.agreement.with_hand_overs(self._hand_overs.load())
        try:
            return open_request(message, coordinator_key=agreement.keys.coordinator)
        except SignatureError:
            opened = Open.unverified(message)
            if opened is None or not opened.hand_overs:
                raise
            told = agreement.with_hand_overs(self._with_told(opened))
            return open_request(message, coordinator_key=told.keys.coordinator)

    def _with_told(self, request: Open) -> HandOvers:
        """The hand-overs that are known here with those of an OPEN; raises AgreementError."""
        known, refused = self._hand_overs.load(), RefusedHandOvers(self.store)
        for one in HandOvers.from_bytes(request.hand_overs):
            with refused.noting_fork(one, now=self._now()):
                known = known.with_one(one)
        return known

    def _take_up_keys(self, request: Open) -> None:
        """Keep what an OPEN says of keys under this agreement, before anything follows from it."""
        agreement = self.agreement.with_hand_overs(self._with_told(request))
        for one in self._hand_overs.take(agreement.hand_overs):
            logger.warning("took up %s", one.words)
        self.agreement = agreement

    def _handle(self, request: Request, came: bytes | None) -> Cleared:
        self._check_agreement(request)
        now = self._clock()
        self.agreement.check_time(now)
        latest = self.store.latest_moment(self.agreement.hash)
        self.agreement.check_clock(now, latest=latest)
        self.agreement.check_software(self._software, added=self._added_builds)
        if isinstance(request, Open):
            self.agreement.check_review(now)
            self._take_up_keys(request)
            purged = purge(self.store, self._in_force, now)
            for line in purged.log_lines:
                logger.info("%s", line)
            for words in purged.words:
                logger.warning("%s", words)
        if not isinstance(request, Stop | Publish):
            self._check_not_stopped()
            self._rules.check(self._clock())
        with self.store.transaction():
            found = self._with_beside(self._answer(request), came)
        if isinstance(found, Ask):
            found = self._computed(request, found, came)
        if isinstance(found, Stopped):
            raise found.refusal
        return found

    def _check_agreement(self, request: Request) -> None:
        """Refuse a request under another agreement, before this one's dates and budget are asked.

        Raises:
            RemoteProtocolError: E-AGR-OTHER.
        """
        named = request.agreement_hash if isinstance(request, Open) else None
        known = self.store.agreement_of_run(self._run_id_of(request))
        if {named, known} - {None, self.agreement.hash}:
            raise RemoteProtocolError("a request under another agreement", code="E-AGR-OTHER")

    def _added_builds(self) -> frozenset[Build]:
        return AcceptedBuilds(self.store).allowed(self.agreement)

    def _check_not_stopped(self) -> None:
        """Refuse when a partner stopped the agreement (E-WITHDRAWN)."""
        stop = self.store.stop_of(self.agreement.hash)
        if stop is not None:
            self._is_over = True  # whatever run there was: a command may have ended it
            raise stop.refusal(self.agreement)

    def _computed(self, request: Request, ask: Ask, came: bytes | None) -> Cleared | Stopped:
        """The answer to a sum query. What it costs has been charged, before any row is read."""
        if ask.query is None:
            raise LocalProtocolError("there is nothing to compute")
        run_id = self._run_id_of(request)
        counting = None if self._receipts is None else self._receipts.counting(run_id)
        try:
            self._note_data(request)
            sums, customers = self._sums(ask.query, counting)
            self._note_data(request)
        except (SourceError, EncodingRangeError) as error:
            if not ask.query.variance:
                raise
            # Which of them it is may hang on a single customer: with noise one code stands for all.
            logger.warning("cannot answer: %s", error.code)
            raise SourceError(error.message, code="E-SOURCE", remedy=error.remedy) from error
        with ExitStack() as until_stored:
            counted = None
            if counting is not None:
                context = ask.announce.context
                counted = until_stored.enter_context(counting.prepared(context, customers))
            until_stored.enter_context(self.store.transaction())
            current = self._round_of(request)
            before = current.state
            reply = current.masked(ask, sums)
            if counted is not None and current.state is not before:  # else it was answered before
                counted.record(
                    agreement_id=self.agreement.id, round=ask.announce.round, now=self._now()
                )
            answered = Answered(ask=ask, customers=customers)
            return self._with_beside(self._leave(current, request, reply, answered), came)

    def _note_data(self, request: Request) -> None:
        """Say in log and record when the data's files change within a run."""
        stamp = self._data_stamp()
        if not stamp:
            return
        run_id = self._run_id_of(request)
        with self.store.transaction():
            changed = self.store.note_data(run_id, stamp, now=self._now())
        if changed:
            logger.warning(
                "run %s: size or time of the data changed within it; its rounds may have counted "
                "other customers or values",
                run_id.hex()[:8],
            )

    def _sums(self, query: SumQuery, counting: Counting | None) -> tuple[IntVector, int]:
        asked = self._vectors(query, self._customers if counting is None else counting)
        sums, customers = answer(query, asked, threads=self._threads)
        check_number(customers, self.agreement, self.agreement.parties[self.partner])
        return sums, customers

    def _vectors(self, query: SumQuery, customers: Customers) -> Iterator[FloatMatrix]:
        """What a question is asked of: customers' vectors, with their scores where it is of them.

        All who may be counted are in them, whether they gave a score or not.
        """
        if not isinstance(query, ScoresQuery):
            return customers.vectors()
        terms = self.agreement.plan.satisfaction
        if terms is None:
            raise LocalProtocolError("scores are asked for that were not agreed")
        return customers.scored(terms)

    def _answer(self, request: Request) -> Ask | Cleared | Stopped:
        """The reply, or what is asked; or the refusal, to be raised once the state is stored."""
        current = self._round_of(request)
        before = current.phase
        answered: Answered | None = None
        try:
            match request:
                case Open():
                    reply = self._open(current, request)
                case Roster():
                    self._check_reserve(current)
                    reply = current.roster(request)
                case Propose():
                    reply = current.propose(request)
                case Announce():
                    asked = current.announce(request)
                    if isinstance(asked, Ask) and asked.query is not None:
                        self._charge(current, asked)
                        if self._receipts is not None:
                            self._receipts.begin(current.run_id, now=self._now())
                        self._save(current)
                        return asked
                    reply, answered = self._approved(current, asked)
                case Publish():
                    reply = self._published(current, request)
                case Stop():
                    reply = self._stopped(current, request)
                case _:
                    assert_never(request)
        except ProtocolError as refusal:
            if current.phase != before:
                logger.warning("run %s ended here: %s", current.run_id.hex(), refusal.code)
                self._save(current)
            return Stopped(refusal=refusal)
        if isinstance(request, Roster):
            self._save(current)
            self._charge_unrecorded(current)
            try:
                self._check_reserve(current)  # again: what was forgotten is charged now
            except RuleError as refusal:
                current.abort(refusal.code)
                self._save(current)
                return Stopped(refusal=refusal)
        if isinstance(request, Roster | Propose):
            self._note_superseded(self.store.end_older_runs(current.run_id, now=self._now()))
        return self._leave(current, request, reply, answered)

    def _with_beside(self, found: T, came: bytes | None) -> T | Cleared:
        """What was found; a reply that may leave with what leaves beside it."""
        if came is None or not isinstance(found, Cleared):
            return found
        return replace(found, beside=self._beside(found, came))

    def _leave(
        self, current: PartnerRound, request: Request, reply: bytes, answered: Answered | None
    ) -> Cleared | Stopped:
        """Store the run, and have its reply pass the gate; in one transaction."""
        self._save(current)
        agreement = current.agreement  # under the run's keys
        return EgressGate(agreement, self.partner, self.store, self._egress).pass_out(
            current,
            request,
            reply,
            answered,
            requested_by=agreement.keys.coordinator,
            now=self._clock(),
        )

    def _check_reserve(self, current: PartnerRound) -> None:
        """Refuse a run that the budget, or the node's cap, does not hold with its spare rounds."""
        terms = self.agreement.privacy
        if terms is None:
            self._ledger.refuse_exact(self.agreement)
            return
        more = terms.reserve_for(most_cost(self.agreement, follows=current.follows))
        check_affordable(terms, spent=self._ledger.spent(self.agreement), more=more)
        self._ledger.check_cap(more=more)

    def _open(self, current: PartnerRound, request: Open) -> bytes:
        if current.phase:
            return current.reopen(request)
        hello = current.open(request, entropy=self._entropy(ENTROPY_BYTES))
        self._check_reserve(current)  # what a run costs hangs on the release that it follows
        self.store.forget_greetings(self.agreement.hash)
        return hello

    def _approved(self, current: PartnerRound, asked: Ask | bytes) -> tuple[bytes, Answered | None]:
        if isinstance(asked, bytes):
            return asked, None  # the same reply again
        return current.approve(asked), Answered(ask=asked, customers=None)

    def _charge_unrecorded(self, current: PartnerRound) -> None:
        """Charge runs in which the signed chain names this node, but which it has no record of.

        Every link with this node in it came after a HELLO of its own, which is on record even when
        the roster never arrived. So one such run is excused for a HELLO that led to nothing, and
        one at a time; whatever else is unknown was signed before a backup was put back. That has
        been spent, whether the budget holds it or not. What such a run asked is not known, unless
        it is the one whose release OPEN names and this node signed that: so each is charged with
        the most that it may have cost.
        """
        terms, agreement_hash = self.agreement.privacy, self.agreement.hash
        if terms is None:
            return
        hashes, excused = self.store.run_hashes(agreement_hash), self.store.excused(agreement_hash)
        known = {*hashes, *excused, *(charge.context for charge in self._ledger.charges())}
        unknown = list(
            dict.fromkeys(
                link.run_hash
                for link in current.chain.links
                if self.partner in link.members and link.run_hash not in known
            )
        )
        if unknown and hashes.count(b"") > len(excused):
            self.store.excuse(unknown.pop(), agreement_hash, now=self._now())
        for run_hash in unknown:
            stated = self._stated_rho(current.last_release, run_hash)
            charge = Charge.unrecorded(run_hash, terms, stated=stated)
            logger.warning("run %s is charged with %s", run_hash.hex()[:16], charge.asked)
            self._ledger.record(charge, self.agreement, now=self._now())

    def _stated_rho(self, release: Release | None, run_hash: bytes) -> Decimal | None:
        """The rho of a run in a release of it that this node signed; None if this is none."""
        if release is None or release.privacy is None or release.run_hash != run_hash:
            return None
        own = self.agreement.parties[self.partner].id
        return release.privacy.rho if own in release.participants else None

    def _charge(self, current: PartnerRound, ask: Ask) -> None:
        """Reserve what an answer costs; raises RuleError when the budget does not hold it."""
        terms = self.agreement.privacy
        self._ledger.refuse_exact(self.agreement)
        if terms is None or ask.query is None:
            return
        charge = Charge.of(
            ask.query,
            terms,
            run_id=current.run_id,
            round=ask.announce.round,
            context=ask.announce.context,
            partners=len(ask.members),
            colluding=self.agreement.secure_sum.max_colluding,
        )
        own = [c for c in self._ledger.charges(self.agreement.id) if c.run_id == current.run_id]
        cost = most_cost(self.agreement, follows=current.follows)
        check_within_run(terms, own, charge, cost=cost)
        self._ledger.charge(charge, self.agreement, now=self._now())

    def _published(self, current: PartnerRound, request: Publish) -> bytes:
        is_new = current.phase != Phase.DONE
        signed: SignedRelease = current.publish(request)  # told again, it is checked again
        if is_new:
            self.store.keep_agreement(self._signed, now=self._now())
            self.store.save_release(
                current.run_hash, self.agreement.hash, signed.to_bytes(), now=self._now()
            )
        return Ack(partner=self.partner).to_bytes()

    def _stopped(self, current: PartnerRound, request: Stop) -> bytes:
        if request.reason == WITHDRAWN and self.store.stop_of(self.agreement.hash) is None:
            raise RemoteProtocolError(
                "the coordinator says that a partner stopped the agreement, and this node has no "
                "stop that is signed by one: the run stays open",
                code="E-STOP-UNSIGNED",
                remedy="ask for the partner's file: fedseg-node agreement accept-stop",
            )
        current.abort(request.reason)
        return Ack(partner=self.partner).to_bytes()

    # --- state ---------------------------------------------------------------------------------

    @property
    def _ledger(self) -> Ledger:
        return Ledger(self.store)

    def _round_of(self, request: Request) -> PartnerRound:
        chain = self.store.chain(self.agreement)
        record = self.store.run_by_id(self._run_id_of(request))
        if record is None and not isinstance(request, Open):
            raise RemoteProtocolError("this node knows no such run", code="E-RUN-OTHER")
        if record is not None and record.agreement_hash != self.agreement.hash:
            raise RemoteProtocolError("a run under another agreement", code="E-AGR-OTHER")
        state = None if record is None else PartnerState.from_dict(record.state)
        last = self.store.last_release(chain) if isinstance(request, Open) else None
        return PartnerRound(
            self.agreement,
            self._key,
            chain,
            state=state,
            last=None if last is None else SignedRelease.from_bytes(last).release,
            seed_of=self._seed_of,
        )

    def _remember_refusal(self, request: Request | None, code: str) -> None:
        try:
            with self.store.transaction():
                Refusals(self.store).add(code, self._run_id_of(request), now=self._now())
        except FedsegError as error:
            logger.warning("the refusal was not stored: %s", error.code)

    def _run_id_of(self, request: Request | None) -> bytes:
        """The run that a request is about; empty when that is not known."""
        if request is None:
            return b""
        if isinstance(request, Open | Roster | Stop):
            return request.run_id
        return self.store.run_id_of(request.run_hash)

    def _save(self, current: PartnerRound) -> None:
        self.store.save_chain(current.chain, now=self._now())
        self.store.save_run(current.to_dict(), agreement_hash=self.agreement.hash, now=self._now())
        if current.phase is not None and current.phase.over:
            self._is_over = True

    def _note_superseded(self, run_ids: list[bytes]) -> None:
        for run_id in run_ids:
            self._is_over = True
            logger.info("run %s ended here: E-RUN-SUPERSEDED", run_id.hex())

    def _now(self) -> str:
        return stamp(self._clock())
