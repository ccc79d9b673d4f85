"""A file of customers' segments that somebody asks for, and a second person too where two must."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final, Self

from partner_node.four_eyes import Confirmations, First, People
from partner_node.store.node_store import NodeStore
from protocol.agreement.governance import EXPORT
from protocol.errors import UsageError

_SHOWN_DIGITS: Final = 8
_MIN_DIGITS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class WishedFile:
    """One such file.

    Attributes:
        release: The hash of the release, in hexadecimal.
        use: What it is for, as agreed.
        segment: Id of the only segment; empty for all.
        suffix: What its name ends in.
        escape: Whether texts that spreadsheets would compute are escaped.
    """

    release: str
    use: str
    segment: str
    suffix: str
    escape: bool

    @property
    def text(self) -> str:
        """It as one text, the same for the same file."""
        return json.dumps([self.release, self.use, self.segment, self.suffix, self.escape])

    @classmethod
    def of(cls, text: str) -> Self:
        """The file of a text that `text` made."""
        release, use, segment, suffix, escape = json.loads(text)
        return cls(release=release, use=use, segment=segment, suffix=suffix, escape=escape)

    @property
    def digits(self) -> str:
        """What names it for commands: digits of the SHA-256 of its text."""
        return sha256(self.text.encode()).hexdigest()[:_SHOWN_DIGITS]

    @property
    def words(self) -> str:
        """The file for people."""
        whose = f"customers of {self.segment}" if self.segment else "all segments"
        form = self.suffix.removeprefix(".") + (", formulas escaped" if self.escape else "")
        return f"{whose} of release {self.release[:16]}, for {self.use} ({form})"


def waiting_files(
    store: NodeStore, people: People, now: datetime
) -> Sequence[tuple[WishedFile, First]]:
    """The files that one person asked for and a second one has to, oldest first."""
    said = Confirmations(store, people).said(EXPORT, now)
    return [(WishedFile.of(one.about), one) for one in said]


def refuse_file(store: NodeStore, people: People, digits: str, now: datetime) -> WishedFile:
    """Refuse a file that waits for a second person: both have to ask anew.

    Args:
        digits: The first of its `WishedFile.digits`, four at least.

    Raises:
        UsageError: No file that waits begins so, or several do (E-EXPORT-UNKNOWN).
    """
    with store.transaction():
        found = [
            one for one, _ in waiting_files(store, people, now) if one.digits.startswith(digits)
        ]
        if len(found) != 1 or len(digits) < _MIN_DIGITS:
            raise UsageError(
                f"{len(found) or 'no'} files that wait for a second person begin with {digits!r}",
                code="E-EXPORT-UNKNOWN",
                remedy=f"give {_MIN_DIGITS} digits or more, as `fedseg-node segments exports` "
                "shows what waits",
            )
        Confirmations(store, people).forget(EXPORT, found[0].text)
    return found[0]
