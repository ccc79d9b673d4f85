"""Cosigning: a node seals its log after each message, and witnesses the seals of the others.

What came beside a request is taken first; then what leaves beside its reply is made. Nothing of
what comes is trusted: what is not signed as it has to be, by the keys of the agreement, is passed
over, and no request fails for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from partner_node.store.node_store import NodeStore
from partner_node.store.seals import Seals
from partner_node.store.times import stamp
from partner_node.store.witnessed import Fork, Newest, Witnessed
from protocol.agreement.document import Agreement
from protocol.errors import LogError, MalformedError
from protocol.log.beside import Cosigned, Passed, Shown, Told
from protocol.log.checkpoints import Checkpoint
from protocol.log.cosignatures import CLOCKS_S, TIME_BYTES, Ed25519Cosigner, cosign_ed25519
from protocol.log.names import key_of_log, key_of_seals, key_of_witness
from protocol.log.notes import Ed25519Verifier, Note, VerifierKey
from protocol.log.seals import NONCE_BYTES
from protocol.log.tree import consistency_proof
from protocol.log.witness import Proof, Verdict
from protocol.signing import public_bytes

logger = logging.getLogger(__name__)

#: From so many states before the newest proofs leave, whatever witnesses said: a message later they
#: hold the one before.
_NEXT: Final = 2
#: Of more other partners the logs are witnessed in turns: each costs a signature and two checks.
MOST_AT_ONCE: Final = 10


class Cosigning:
    """What a node cosigns and has cosigned under one agreement; used in a transaction.

    Args:
        agreement: With the keys in force.
        partner: This partner's number in it.
        key: This partner's key.
        now: By this node's clock.
    """

    def __init__(
        self,
        agreement: Agreement,
        partner: int,
        store: NodeStore,
        key: Ed25519PrivateKey,
        *,
        now: datetime,
    ) -> None:
        self._agreement = agreement
        self._order = [party.id for party in agreement.parties]
        self._at, self._own = partner, self._order[partner]
        self._keys = {
            party.id: agreement.keys.of(index)
            for index, party in enumerate(agreement.parties)
            if index != partner
        }
        self._store = store
        self._key = key
        self._now = now
        self._seals = Seals(store, agreement.id)
        self._room = Witnessed(store, agreement.id)
        self._witness = key_of_witness(self._own, public_bytes(key))
        self._name = key_of_seals(self._own, public_bytes(key), agreement.id).name
        self._states: dict[int, Checkpoint | None] = {}

    # --- what came -----------------------------------------------------------------------------

    def take(self, data: bytes) -> None:
        """Take what came beside a request: cosign what follows, keep what does not go together."""
        if not data:
            return
        try:
            passed = Passed.from_bytes(data)
        except MalformedError as error:
            logger.warning("what came beside a request is passed over: %s", error.message)
            return
        newest, due = self._room.newest_of_all(), self._due()
        for shown in passed.shown:
            if shown.party not in due:
                continue
            try:
                self._take_shown(shown, newest.get(shown.party))
            except (LogError, MalformedError) as error:
                logger.warning("a state of the log of %s: %s", shown.party, error)
        noted = self._room.noted()
        for one in passed.cosigned:
            if noted.get(one.party) != (one.size, one.time, one.signature):
                self._take_cosigned(one)

    def _due(self) -> set[str]:
        """Whose logs are witnessed with this message: all others, of many a part in turn.

        With n others everybody's is once in ceil(n / 10) messages, and each log by so many at once:
        a state that is cosigned covers those before it.
        """
        turns = -(-len(self._keys) // MOST_AT_ONCE)
        return {
            party
            for number, party in enumerate(self._order)
            if party != self._own and (number + self._at + self._seals.size) % turns == 0
        }

    def _take_shown(self, shown: Shown, newest: Newest | None) -> None:
        data, key = shown.note.encode("utf-8"), self._keys.get(shown.party)
        if key is None or (newest is not None and data == newest.note):
            return
        note, state = self._checked(data, key_of_seals(shown.party, key, self._agreement.id))
        verdict = self._room.held(shown.party, state, newest).judge(state, shown.proof)
        if verdict is Verdict.NEWER:
            self._room.add(self.cosigned(shown.party, note), data, newest)
        elif verdict is Verdict.FORKED:
            self._room.add_fork(shown.party, state.size, data, at=stamp(self._now))
            logger.warning("the log of %s forked: see fedseg-node log witness", shown.party)

    @staticmethod
    def _checked(data: bytes, key: VerifierKey) -> tuple[Note, Checkpoint]:
        """A state that a key signed under its own name, and nobody else beside it.

        Raises:
            MalformedError, LogError: It is none.
        """
        note = Note.parse(data)
        note.verified([Ed25519Verifier(key)])
        state = Checkpoint.from_text(note.text)
        if state.origin != key.name or state.extensions or len(note.signatures) != 1:
            raise LogError(f"it is of {state.origin!r}", code="E-LOG-ORIGIN")
        return note, state

    def cosigned(self, party: str, note: Note) -> Cosigned:
        """The cosignature of this node under a state of a party's seals."""
        time, state = int(self._now.timestamp()), Checkpoint.from_text(note.text)
        made = cosign_ed25519(note, self._witness.name, self._key, time).signatures[-1]
        return Cosigned(
            party=party,
            size=state.size,
            root=state.root,
            time=time,
            signature=made.data[TIME_BYTES:],
        )

    def accept(self, party: str, *, by: str) -> Fork:
        """Cosign the other state of a fork that a person accepts; the fork.

        Raises:
            UsageError: The party's log did not fork, or that was accepted (E-LOG-NO-FORK).
        """
        fork = self._room.open_fork(party)
        made = self.cosigned(party, Note.parse(fork.other))
        self._room.accept(party, made, at=stamp(self._now), by=by)
        return next(one for one in self._room.forks() if one.number == fork.number)

    def _take_cosigned(self, one: Cosigned) -> None:
        key = self._keys.get(one.party)
        if key is None:
            return
        if one.time > self._now.timestamp() + CLOCKS_S:
            # Later it is taken: it comes again. On record it would date what is proved by it.
            logger.warning("a cosignature of %s is dated ahead; see both clocks", one.party)
            return
        own = self._state(one.size)
        is_ours = own is not None and own.root == one.root
        if own is not None and is_ours:
            text = own.to_text()
        else:  # a state that this log has not: an older one was restored here
            text = Checkpoint(self._name, one.size, one.root).to_text()
        checker = Ed25519Cosigner(key_of_witness(one.party, key))
        if checker.holds(text, one.time.to_bytes(TIME_BYTES, "big") + one.signature):
            self._room.note_cosigned(one, key, is_ours=is_ours, at=stamp(self._now))
        else:
            logger.warning("a cosignature of %s does not hold", one.party)

    def _state(self, size: int) -> Checkpoint | None:
        """This node's seals when there were `size`; read once."""
        if size not in self._states:
            kept = self._seals.of_size(size)
            self._states[size] = None if kept is None else kept.state
        return self._states[size]

    # --- what leaves ---------------------------------------------------------------------------

    def seal(self, message: int, entropy: Callable[[int], bytes]) -> None:
        """Seal the log as it is now, once for a message that leaves.

        Args:
            message: Number of its manifest.
        """
        log, public = self._store.log, public_bytes(self._key)
        size = log.size
        text = Checkpoint(key_of_log(self._own, public).name, size, log.root(size)).to_text()
        self._seals.add(
            text,
            nonce=entropy(NONCE_BYTES),
            message=message,
            party=self._own,
            key=self._key,
            at=stamp(self._now),
        )

    def told(self) -> Told:
        """What leaves beside a reply: the newest state, proofs for witnesses, cosignatures."""
        newest = self._seals.newest()
        if newest is not None and newest.state.origin != self._name:
            newest = None  # of before the key was handed over: the next seal is signed with this
        size = 0 if newest is None else newest.number + 1
        # What witnesses said last that they hold, and what they may hold by now.
        held = {said.size for said in self._room.said().values() if said.is_ours}
        held |= set(range(max(1, size - _NEXT), size))
        proofs = tuple(
            Proof(old, tuple(consistency_proof(old, size, self._seals)))
            for old in sorted(held)
            if old < size
        )
        held_here = self._room.newest_of_all()
        return Told(
            note="" if newest is None else newest.note.decode("utf-8"),
            proofs=proofs,
            cosigned=tuple(one.cosigned for name, one in held_here.items() if name in self._keys),
        )
