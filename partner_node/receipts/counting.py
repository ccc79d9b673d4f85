"""Counting for receipts: who is in an answer, noted while it is computed, committed with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from partner_node.customers.noting import Noted
from partner_node.receipts.counted_sets import CountedSets, handle_files
from partner_node.receipts.handle_files import HandleFiles, Part, chosen, joined, marked, pack
from partner_node.store.node_store import NodeStore
from protocol.agreement.satisfaction import SatisfactionTerms
from protocol.errors import LocalProtocolError
from protocol.receipts.handles import Handles, handles, in_order, key_commitment, merged
from protocol.receipts.sets import Committed, commit
from protocol.scaling import FloatMatrix


class TellingCustomers(Protocol):
    """A partner's customers, who tell by handles who they are."""

    def vectors(self, noted: Noted | None = None) -> Iterator[FloatMatrix]:
        """Customers' vectors; everybody's handle is noted before its vector is given."""
        ...

    def scored(self, terms: SatisfactionTerms, noted: Noted | None = None) -> Iterator[FloatMatrix]:
        """The same customers' vectors with their scores."""
        ...


class Receipts:
    """What a node keeps for receipts, under one agreement.

    Args:
        customers: Who is counted.
        keep: Whether sets are kept; that they are not is in the log.
    """

    def __init__(self, store: NodeStore, customers: TellingCustomers, *, keep: bool) -> None:
        self._sets = CountedSets(store)
        self._store = store
        self._customers = customers
        self._files = handle_files(store) if keep else None
        self._keep = keep

    def begin(self, run_id: bytes, *, now: str) -> None:
        """A question of a run was taken; inside the transaction that takes it."""
        self._sets.note_kept(self._keep, now=now)
        if self._files is not None:
            self._sets.begin(run_id, now=now)

    def counting(self, run_id: bytes) -> Counting | None:
        """What notes who is in an answer of a run; None where no sets are kept."""
        key = None if self._files is None else self._sets.key(run_id)
        if self._files is None or key is None:
            return None
        return Counting(run_id, key, self._customers, self._sets, self._files)


class Counting:
    """Customers as sum queries see them, who are noted when they are read; for one answer."""

    def __init__(
        self,
        run_id: bytes,
        key: bytes,
        customers: TellingCustomers,
        sets: CountedSets,
        files: HandleFiles,
    ) -> None:
        self._run_id = run_id
        self._key = key
        self._customers = customers
        self._sets = sets
        self._files = files
        self._found: list[Handles] = []

    def vectors(self) -> Iterator[FloatMatrix]:
        """Customers' vectors; what was noted before is forgotten."""
        self._found.clear()
        return self._customers.vectors(self)

    def scored(self, terms: SatisfactionTerms) -> Iterator[FloatMatrix]:
        """Customers' vectors with their scores; what was noted before is forgotten."""
        self._found.clear()
        return self._customers.scored(terms, self)

    @property
    def hashing(self) -> object:
        """See `Noted`."""
        return key_commitment(self._key)

    def handles(self, ids: NDArray[np.object_]) -> Handles:
        """See `Noted`."""
        return handles(self._key, ids)

    def add(self, found: Handles) -> None:
        """See `Noted`."""
        self._found.append(in_order(found))

    @contextmanager
    def prepared(self, context: bytes, customers: int) -> Iterator[Prepared]:
        """Make ready what is committed to, in the block: its transaction, up to its end.

        Args:
            context: Names the answer.
            customers: How many customers were added up.

        Raises:
            LocalProtocolError: As many were not noted (E-RECEIPT-COUNT).
            StoreError: The files cannot be written now.
            UsageError: Or there is no room for them (E-FILE).
        """
        noted = sum(one.shape[0] for one in self._found)
        if noted != customers:
            raise LocalProtocolError(
                f"{customers} customers were added up and {noted} were noted",
                code="E-RECEIPT-COUNT",
                remedy="this is a defect: report this line; until it is mended, keep = false in "
                "[receipts] of node.toml",
            )
        counted = merged(self._found)
        self._found.clear()
        with self._files.writing():
            parts = [self._files.read(part) for part in self._sets.parts(self._run_id)]
            marks, rest = marked(parts, counted)
            added = self._files.write(rest) if rest.shape[0] else None
            del counted
            whole = joined(
                [
                    *(chosen(p, m) for p, m in zip(parts, marks, strict=True) if p is not None),
                    rest,
                ]
            )
            packed = [pack(one) for one in marks]
            if added is not None:
                packed.append(pack(np.ones(added.count, dtype=np.bool_)))
            yield Prepared(
                sets=self._sets,
                run_id=self._run_id,
                context=context,
                committed=commit(
                    whole, self._key, context, at_least=self._sets.last_bits(self._run_id)
                ),
                marks=tuple(packed),
                parts=len(parts),
                added=added,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A set that an answer counted, ready to be committed to."""

    sets: CountedSets
    run_id: bytes
    context: bytes
    committed: Committed
    marks: tuple[bytes, ...]
    parts: int
    added: Part | None

    def record(self, *, agreement_id: str, round: int, now: str) -> None:
        """Commit to it; in the transaction that stores the answer.

        Raises:
            LocalProtocolError: The run has another answer since.
        """
        if len(self.sets.parts(self.run_id)) != self.parts:
            raise LocalProtocolError("the run went on while its customers were counted")
        if self.added is not None:
            self.sets.add_part(self.run_id, self.added)
        self.sets.add(
            self.run_id,
            agreement_id=agreement_id,
            round=round,
            context=self.context,
            committed=self.committed,
            marks=self.marks,
            now=now,
        )
