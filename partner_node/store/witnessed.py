"""What a node witnesses of the others' logs, and what they cosigned of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, LiteralString

from partner_node.store.node_store import NodeStore
from protocol.errors import UsageError
from protocol.log.beside import Cosigned
from protocol.log.checkpoints import Checkpoint
from protocol.log.entries import LOG_ACCEPTED, LOG_FORKED
from protocol.log.names import key_of_witness
from protocol.log.notes import Note, VerifierKey
from protocol.log.witness import MAX_STATES_KEPT, Held

#: Of each party the newest row: the greatest size on the last branch.
_NEWEST: Final[LiteralString] = (
    "SELECT party, branch, size, root, note, time, signature FROM witnessed AS w"
    " WHERE agreement_id = ?1"
    " AND branch = (SELECT max(branch) FROM witnessed WHERE agreement_id = ?1 AND party = w.party)"
    " AND size = (SELECT max(size) FROM witnessed WHERE agreement_id = ?1 AND party = w.party"
    " AND branch = w.branch) ORDER BY party"
)
#: States of before are forgotten once in so many.
_FORGET_EACH: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Newest:
    """The newest state of a party's seals that was cosigned here.

    Attributes:
        branch: From 0; higher by one each time that a fork was accepted.
        note: As its party signed it.
    """

    branch: int
    cosigned: Cosigned
    note: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """Two signed states of one party's seals that do not go together.

    Attributes:
        known: The note that was cosigned here.
        other: The one that came later.
        accepted_at: When a person accepted the other one; empty until then.
    """

    number: int
    party: str
    found_at: str
    known: bytes
    other: bytes
    accepted_at: str
    accepted_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a witness said last that it holds of this node's seals.

    Attributes:
        is_ours: Whether this node's log of seals has, or had, that state.
        received_at: When it came.
    """

    size: int
    time: int
    is_ours: bool
    received_at: str


class Witnessed:
    """What is witnessed under one agreement.

    Args:
        agreement_id: Without its version.
    """

    def __init__(self, store: NodeStore, agreement_id: str) -> None:
        self._store = store
        self._id = agreement_id

    # --- the others' logs ----------------------------------------------------------------------

    def held(self, party: str, shown: Checkpoint, newest: Newest | None) -> Held:
        """What is held of a party's seals, as far as it matters for a state that is shown.

        Args:
            newest: As `newest_of_all` has it.
        """
        if newest is None:
            return Held()
        branch, size, root = newest.branch, newest.cosigned.size, newest.cosigned.root
        states = self._store.ask(
            "SELECT branch, size, root FROM witnessed"
            " WHERE agreement_id = ? AND party = ? AND size = ?",
            self._id, party, shown.size,
        )  # fmt: skip
        return Held(
            size=size,
            root=root,
            roots={size: found for own, size, found in states if own == branch},
            left=frozenset((size, found) for own, size, found in states if own != branch),
            forked=self.fork(party) is not None,
        )

    def newest_of_all(self) -> dict[str, Newest]:
        """By party, the newest state of its seals that was cosigned here."""
        rows = self._store.ask(_NEWEST, self._id)
        found: dict[str, Newest] = {}
        for party, branch, size, root, note, time, signature in rows:
            cosigned = Cosigned(party=party, size=size, root=root, time=time, signature=signature)
            found[party] = Newest(branch=branch, cosigned=cosigned, note=note)
        return found

    def newest(self, party: str) -> Cosigned | None:
        """The newest state of a party's seals that was cosigned here; None before the first."""
        found = self.newest_of_all().get(party)
        return None if found is None else found.cosigned

    def add(self, cosigned: Cosigned, note: bytes, newest: Newest | None) -> None:
        """Keep a state that is cosigned now, which follows from the newest; in a transaction.

        Args:
            newest: As `newest_of_all` has it.
        """
        self._add(cosigned, note, branch=0 if newest is None else newest.branch)

    def _add(self, cosigned: Cosigned, note: bytes, *, branch: int) -> None:
        party, size = cosigned.party, cosigned.size
        self._store.ask(
            "INSERT INTO witnessed VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            self._id, party, branch, size, cosigned.root, note, cosigned.time,
            cosigned.signature,
        )  # fmt: skip
        if size % _FORGET_EACH:
            return
        self._store.ask(
            "DELETE FROM witnessed WHERE agreement_id = ? AND party = ? AND branch = ?"
            " AND size <= ?",
            self._id, party, branch, size - MAX_STATES_KEPT,
        )  # fmt: skip

    # --- forks ---------------------------------------------------------------------------------

    def fork(self, party: str) -> Fork | None:
        """The fork of a party's seals that nobody accepted yet; None where there is none."""
        return next(
            (one for one in self.forks() if one.party == party and not one.accepted_at), None
        )

    def forks(self) -> list[Fork]:
        """All forks that were found, oldest first."""
        rows = self._store.ask(
            "SELECT number, party, found_at, known, other, accepted_at, accepted_by FROM forks"
            " WHERE agreement_id = ? ORDER BY number",
            self._id,
        )
        return [_fork(row) for row in rows]

    def add_fork(self, party: str, size: int, other: bytes, *, at: str) -> None:
        """Keep both notes of a fork, unless one of the party waits; inside a transaction.

        Args:
            size: Of both states.
            other: The note that does not go with the one that was cosigned here.
        """
        row = self._store.one(
            "SELECT note FROM witnessed WHERE agreement_id = ? AND party = ? AND size = ?"
            " ORDER BY branch DESC LIMIT 1",
            self._id, party, size,
        )  # fmt: skip
        if row is None or self.fork(party) is not None:
            return
        self._store.ask(
            "INSERT INTO forks (agreement_id, party, found_at, known, other)"
            " VALUES (?, ?, ?, ?, ?)",
            self._id, party, at, row[0], other,
        )  # fmt: skip
        self._store.log.append(LOG_FORKED, at=at, **self._about(party, row[0], other))

    def accept(self, party: str, cosigned: Cosigned, *, at: str, by: str) -> None:
        """Go on from the other state of a fork, which is cosigned now; inside a transaction.

        Raises:
            UsageError: There is no fork of the party that waits (E-LOG-NO-FORK).
        """
        fork = self.open_fork(party)
        self._add(cosigned, fork.other, branch=self.newest_of_all()[party].branch + 1)
        self._store.ask(
            "UPDATE forks SET accepted_at = ?, accepted_by = ? WHERE number = ?",
            at, by, fork.number,
        )  # fmt: skip
        about = self._about(party, fork.known, fork.other)
        self._store.log.append(LOG_ACCEPTED, at=at, by=by, **about)

    def open_fork(self, party: str) -> Fork:
        """As `fork`; raises UsageError where there is none (E-LOG-NO-FORK)."""
        fork = self.fork(party)
        if fork is None:
            raise UsageError(
                f"the log of {party} did not fork, or that was accepted",
                code="E-LOG-NO-FORK",
                remedy="`fedseg-node log witness` shows which did",
            )
        return fork

    def _about(self, party: str, known: bytes, other: bytes) -> dict[str, Any]:
        first, second = (Checkpoint.from_text(Note.parse(one).text) for one in (known, other))
        return {
            "agreement": self._id,
            "party": party,
            "size": first.size,
            "known": first.root.hex(),
            "other": second.root.hex(),
        }

    # --- this node's log -----------------------------------------------------------------------

    def note_cosigned(self, cosigned: Cosigned, key: bytes, *, is_ours: bool, at: str) -> None:
        """Note which state of this node's seals a witness holds; inside a transaction.

        Args:
            cosigned: Checked; by `party`.
            key: Its public key.
            is_ours: Whether this node's log of seals has that state.
        """
        own = cosigned
        if is_ours:
            self._store.ask(
                "INSERT INTO cosignatures VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                self._id, own.size, own.party, key, own.time, own.signature,
            )  # fmt: skip
        self._store.ask(
            "INSERT INTO witnesses VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (agreement_id, witness)"
            " DO UPDATE SET size = excluded.size, time = excluded.time,"
            " signature = excluded.signature, ours = excluded.ours,"
            " received_at = excluded.received_at",
            self._id, own.party, own.size, own.time, own.signature, is_ours, at,
        )  # fmt: skip

    def noted(self) -> dict[str, tuple[int, int, bytes]]:
        """By witness, size, time and signature of what it said last."""
        rows = self._store.ask(
            "SELECT witness, size, time, signature FROM witnesses WHERE agreement_id = ?", self._id
        )
        return {witness: (size, time, bytes(signature)) for witness, size, time, signature in rows}

    def said(self) -> dict[str, Said]:
        """By witness, what it said last that it holds."""
        rows = self._store.ask(
            "SELECT witness, size, time, ours, received_at FROM witnesses WHERE agreement_id = ?"
            " ORDER BY witness",
            self._id,
        )
        return {
            witness: Said(size=size, time=time, is_ours=bool(ours), received_at=at)
            for witness, size, time, ours, at in rows
        }

    def best(self) -> dict[str, tuple[int, int]]:
        """By witness, the greatest state of this node's seals that it cosigned, and when."""
        rows = self._store.ask(
            "SELECT witness, max(size), time FROM cosignatures WHERE agreement_id = ?"
            " GROUP BY witness ORDER BY witness",
            self._id,
        )
        return {witness: (size, time) for witness, size, time in rows}

    def cosignatures(self, size: int) -> list[tuple[VerifierKey, int, bytes]]:
        """Of a state of this node's seals: each witness's key, time and signature."""
        rows = self._store.ask(
            "SELECT witness, key, time, signature FROM cosignatures WHERE agreement_id = ?"
            " AND size = ? ORDER BY witness",
            self._id,
            size,
        )
        return [
            (key_of_witness(witness, bytes(key)), time, bytes(signature))
            for witness, key, time, signature in rows
        ]

    def most_cosigned(self, since: int) -> int | None:
        """The first state from a size on that as many cosigned as any later one; None for none."""
        row = self._store.one(
            "SELECT size FROM cosignatures WHERE agreement_id = ? AND size >= ? GROUP BY size"
            " ORDER BY count(*) DESC, size LIMIT 1",
            self._id,
            since,
        )
        return None if row is None else int(row[0])

    def newest_most_cosigned(self, until: int) -> int | None:
        """The last state up to a size that as many cosigned as any of them; None for none."""
        row = self._store.one(
            "SELECT size FROM cosignatures WHERE agreement_id = ? AND size <= ? GROUP BY size"
            " ORDER BY count(*) DESC, size DESC LIMIT 1",
            self._id,
            until,
        )
        return None if row is None else int(row[0])


def open_forks(store: NodeStore) -> list[tuple[str, Fork]]:
    """The forks that nobody accepted yet, each with the id of its agreement."""
    rows = store.ask("SELECT DISTINCT agreement_id FROM forks ORDER BY agreement_id")
    return [
        (identity, fork)
        for (identity,) in rows
        for fork in Witnessed(store, identity).forks()
        if not fork.accepted_at
    ]


def _fork(row: tuple[Any, ...]) -> Fork:
    number, party, found_at, known, other, accepted_at, accepted_by = row
    return Fork(
        number=number, party=party, found_at=found_at, known=known, other=other,
        accepted_at=accepted_at, accepted_by=accepted_by,
    )  # fmt: skip
