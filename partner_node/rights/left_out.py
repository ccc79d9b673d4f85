"""What leaving a customer out came to: `rights object` and `rights erase`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from machine.text import shown
from partner_node.register.requests import Wish
from partner_node.rights.segment_files import SegmentFiles

_STAYS: Final = (
    "a sealed entry, so that the customer is not counted again while your own data still have it: "
    "delete it there"
)
_IN_SETS: Final = (
    "its place in the sets of customers that answers counted, under a keyed hash and until the "
    "records of their runs are deleted: its receipts are made of it"
)
_NEXT_RELEASE: Final = "the next run forms segments without this customer"


def alike_words(ids: Sequence[str]) -> str:
    """Ids that may be meant by one that nobody has, to end a phrase; empty when there is none."""
    return f", but {' and '.join(repr(known) for known in ids)}" if ids else ""


def _settled_words(numbers: Sequence[int]) -> list[str]:
    """Requests that were open and are settled, a line each."""
    return [f"Request {number}, which was open still, is settled by this." for number in numbers]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A customer who is not counted any more.

    Attributes:
        in_data: Whether the data hold the customer now; None when they cannot be read.
        alike: Ids in the data that may be meant where they hold no such customer. They are other
            customers': for the person at this machine, and never in a receipt.
        not_counted_from: Since when.
        runs_under_way: Ids of runs that had asked before.
        files: The files that it was taken out of, and those that have to be looked at.
    """

    in_data: bool | None
    alike: tuple[str, ...]
    not_counted_from: str
    runs_under_way: tuple[str, ...]
    files: SegmentFiles

    def to_dict(self) -> dict[str, Any]:
        """What was done as JSON values, as the receipt has them."""
        return {
            "in_data": self.in_data,
            "not_counted_from": self.not_counted_from,
            "runs_under_way": list(self.runs_under_way),
            "taken_out_of": list(self.files.listing),
            "files_gone": list(self.files.gone),
            "files_changed": list(self.files.changed),
        }

    @property
    def words(self) -> list[str]:
        """What there is to know of it, a line each."""
        return [*self._data_words, *self.files.words_once_taken_out]

    @property
    def _data_words(self) -> list[str]:
        """Whether the wish is about anybody; nothing where it is."""
        if self.in_data:
            return []
        if self.in_data is None:
            return [
                "The data cannot be read now, so whether they hold such a customer is not known; "
                "`fedseg-node data check` says why. The wish is on record all the same."
            ]
        return [
            f"The data hold no such customer now{alike_words(self.alike)}: look whether the id is "
            "right, letter by letter. Should they hold one later, it is not counted."
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remainder:
    """What stays of a customer in one release: sums, and what is promised of them."""

    release: str
    received_at: str
    privacy: str

    def to_dict(self) -> dict[str, str]:
        """The release as JSON values."""
        return {"release": self.release, "received_at": self.received_at, "privacy": self.privacy}


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """A customer who is left out and erased, and what stays of it.

    Attributes:
        in_sets: Whether it is on record who was counted in runs of before.
    """

    left_out: LeftOut
    in_releases: tuple[Remainder, ...]
    in_sets: bool

    def to_dict(self) -> dict[str, Any]:
        """What was done, and what stays, as JSON values."""
        return self.left_out.to_dict() | {
            "stays": self.stays,
            "in_releases": [one.to_dict() for one in self.in_releases],
            "next_release": _NEXT_RELEASE,
        }

    @property
    def stays(self) -> str:
        """What stays, in words."""
        return f"{_STAYS}; and {_IN_SETS}" if self.in_sets else _STAYS

    def headline(self, subject: str) -> str:
        """What was done; that no file holds the customer only where every file is known."""
        if self.left_out.files.all_known:
            return (
                f"Customer {shown(subject)} is in no file of segments that this node wrote, and is "
                "not counted any more."
            )
        return (
            f"Customer {shown(subject)} is not counted any more, and in no file that is as this "
            "node wrote it; others have to be looked at."
        )

    @property
    def words(self) -> list[str]:
        """What there is to know of it, and what stays, a line each."""
        promised = "; ".join(f"{one.release}: {one.privacy}" for one in self.in_releases)
        return [
            *self.left_out.words,
            "Releases hold sums over all partners' customers, which stay; for one customer they "
            f"mean: {promised or 'nothing'}.",
            f"What stays is {self.stays}.",
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenBack:
    """Wishes that a customer took back.

    Attributes:
        wishes: Each with the time since when it held; empty where it had only asked for one.
        settles: Numbers of the requests for them that were open still.
        still_kept_out_by: What keeps the customer out all the same, in words.
    """

    wishes: Mapping[Wish, str]
    settles: tuple[int, ...]
    still_kept_out_by: str | None

    def to_dict(self) -> dict[str, Any]:
        """What was done as JSON values."""
        return {
            "taken_back": dict(self.wishes),
            "settles": list(self.settles),
            "still_kept_out_by": self.still_kept_out_by,
        }

    @property
    def words(self) -> list[str]:
        """What there is to know of it, a line each."""
        held = ", ".join(f"{wish} of {at[:10]}" for wish, at in sorted(self.wishes.items()))
        return [
            f"Taken back: {held}." if held else "Nothing was in effect yet.",
            *_settled_words(self.settles),
            "The customer may be counted from the next question on."
            if self.still_kept_out_by is None
            else f"The customer is not counted all the same: {self.still_kept_out_by}.",
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """Wishes that are another customer's than was written down.

    Attributes:
        instead_of: The pseudonym of the id that was mistyped.
        wishes: Each with the time since when it held of that id.
        settles: Numbers of the requests for them, of either id, that were open still.
        left_out: What leaving the right customer out came to.
    """

    instead_of: str
    wishes: Mapping[Wish, str]
    settles: tuple[int, ...]
    left_out: LeftOut

    def to_dict(self) -> dict[str, Any]:
        """What was done as JSON values, as the receipt has them."""
        return {
            "instead_of": self.instead_of,
            "wishes": dict(self.wishes),
            "settles": list(self.settles),
        } | self.left_out.to_dict()

    def words(self, subject: str, mistyped: str) -> list[str]:
        """What there is to know of it, a line each."""
        what = ", ".join(sorted(self.wishes))
        return [
            f"The {what} on record of {mistyped!r} is that of {subject!r} now, who is not counted "
            "from the next question on.",
            f"Customer {mistyped!r} may be counted again as far as this node's register goes; "
            "files that it was taken out of have to be written anew.",
            "What it had said as feedback was erased, and has to be imported again."
            if "erasure" in self.wishes
            else "",
            *_settled_words(self.settles),
            *self.left_out.words,
        ]
