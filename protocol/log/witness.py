"""What a witness does with the states of a log that it is shown. Pure. SPEC.md, section 18.

A witness cosigns a state only if it follows from the newest that it cosigned. Notes are signed by
their log, proofs by nobody: who carries them can keep them back or spoil proofs, so a proof that
fails accuses nobody. What accuses is a second root for a size, which the log signed itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from protocol.errors import LogError, MalformedError
from protocol.log.checkpoints import Checkpoint
from protocol.log.tree import EMPTY_ROOT, check_consistency

#: A witness compares what it is shown with the states that it cosigned of so many sizes up to the
#: newest.
MAX_STATES_KEPT: Final = 256


class Verdict(Enum):
    """What a state is to a witness."""

    #: It follows from the newest: cosign it.
    NEWER = "newer"
    #: It is the newest.
    SAME = "same"
    #: It is one of before: repeated by whoever carries it, or of a branch that was left.
    OLDER = "older"
    #: Nothing shows that it follows; a proof from the newest may come.
    UNPROVEN = "unproven"
    #: The log signed two roots for one size.
    FORKED = "forked"
    #: It forked before, and nobody has accepted that yet.
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof of consistency from the state of `size` entries; empty from size 0."""

    size: int
    hashes: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """What a witness holds of one log.

    Attributes:
        size, root: The newest state that it cosigned; the empty log before the first.
        roots: By size, the roots of states that it cosigned on this branch, the newest included.
        left: Sizes and roots of branches that were left.
        forked: Whether the log signed what does not go together, and nobody accepted it yet.
    """

    size: int = 0
    root: bytes = EMPTY_ROOT
    roots: Mapping[int, bytes] = field(default_factory=dict)
    left: frozenset[tuple[int, bytes]] = frozenset()
    forked: bool = False

    def judge(self, shown: Checkpoint, proof: Proof | None) -> Verdict:
        """What a state is that the log signed.

        Args:
            proof: From whatever state; None where there is none.
        """
        if (shown.size, shown.root) in self.left:
            return Verdict.OLDER
        known = self.roots.get(shown.size)
        if known is not None and known != shown.root:
            return Verdict.FORKED
        if shown.size <= self.size:
            is_newest = shown.size == self.size and shown.size > 0
            return Verdict.SAME if is_newest else Verdict.OLDER
        if self.forked:
            return Verdict.STOPPED
        return Verdict.NEWER if self._is_followed_by(shown, proof) else Verdict.UNPROVEN

    def with_newer(self, shown: Checkpoint) -> Held:
        """After a state was cosigned that was judged NEWER."""
        roots = {**self.roots, shown.size: shown.root}
        oldest = shown.size - MAX_STATES_KEPT
        kept = {size: one for size, one in roots.items() if size > oldest}
        return replace(self, size=shown.size, root=shown.root, roots=kept)

    def accepting(self, other: Checkpoint) -> Held:
        """After people accepted that the log goes on from `other`, which was judged FORKED."""
        return Held(
            size=other.size,
            root=other.root,
            roots={other.size: other.root},
            left=self.left | frozenset(self.roots.items()),
        )

    def _is_followed_by(self, shown: Checkpoint, proof: Proof | None) -> bool:
        hashes: Sequence[bytes] = () if proof is None or self.size == 0 else proof.hashes
        if self.size and (proof is None or proof.size != self.size):
            return False
        try:
            check_consistency(self.size, shown.size, hashes, self.root, shown.root)
        except (LogError, MalformedError):
            return False
        return True
