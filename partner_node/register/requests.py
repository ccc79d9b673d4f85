"""The register of customers' requests and wishes, keyed by pseudonyms."""

from __future__ import annotations

import calendar
import json
from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, Literal, get_args

from partner_node.store.node_store import NodeStore
from partner_node.store.times import stamp
from protocol.log.entries import REQUEST

#: Kinds of request that customers can make (GDPR 15, 22, 21, 17, 20, 16 and 18); taking a wish
#: back, and having it apply to another id than the one that was written down.
Kind = Literal[
    "access", "explain", "object", "erase", "export", "rectify", "restrict", "take-back", "correct"
]  # fmt: skip
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
#: After which what was wished before holds no longer, of the customer or of the mistyped id.
_GIVING_UP: Final = ("take-back", "correct")
#: Reasons for which a customer is left out permanently.
Wish = Literal["objection", "erasure", "opt-out", "restriction"]
#: The kind of request by which a customer asks for each.
ASKED_BY: Final[Mapping[Wish, Kind]] = {
    "objection": "object", "opt-out": "object", "erasure": "erase", "restriction": "restrict",
}  # fmt: skip
#: By how many months an answer may be put off (GDPR 12(3)).
MOST_EXTENDED: Final = 2
_CONTEXT: Final = b"wish"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request of a customer.

    Attributes:
        number: Its number in the register.
        received: The day of its receipt.
        due: The last day for the answer: a month later, or later still once it was extended
            (GDPR 12(3)).
        extended_on: The day on which it was extended; None when it was not.
        done_at: When it was answered; empty while it is open.
        receipt: What was done; empty while it is open.
    """

    number: int
    kind: str
    pseudonym: str
    received: date
    due: date
    done_at: str
    receipt: Mapping[str, Any]
    extended_on: date | None = None

    @property
    def is_open(self) -> bool:
        """Whether it has not been answered yet."""
        return not self.done_at

    def is_overdue(self, today: date) -> bool:
        """Whether it is open after its due day."""
        return self.is_open and today > self.due

    @property
    def was_late(self) -> bool:
        """Whether it was answered after its due day."""
        return self.done_at[:10] > self.due.isoformat()

    def to_dict(self, today: date) -> dict[str, Any]:
        """The request as JSON values."""
        return {
            "number": self.number,
            "kind": self.kind,
            "pseudonym": self.pseudonym,
            "received": self.received.isoformat(),
            "due": self.due.isoformat(),
            "extended_on": None if self.extended_on is None else self.extended_on.isoformat(),
            "done_at": self.done_at or None,
            "overdue": self.is_overdue(today),
            "answered_late": self.was_late,
        }


def due_date(received: date, *, months: int = 1) -> date:
    """The day some months later, the last day of a shorter month (Regulation 1182/71).

    >>> due_date(date(2026, 1, 31)).isoformat(), due_date(date(2026, 12, 5)).isoformat()
    ('2026-02-28', '2027-01-05')
    >>> due_date(date(2026, 11, 30), months=3).isoformat()
    '2027-02-28'
    """
    year, month = divmod(received.year * 12 + received.month - 1 + months, 12)
    month += 1
    return date(year, month, min(received.day, calendar.monthrange(year, month)[1]))


class RightsRegister:
    """Requests and wishes in the node's database."""

    def __init__(self, store: NodeStore) -> None:
        self._store = store
        self._sealer = store.sealer

    def receive(self, kind: Kind, pseudonym: str, received: date, *, now: datetime) -> int:
        """Record an open request, inside a transaction; returns its number."""
        self._log(kind, pseudonym, "received", now)
        ((number,),) = self._store.ask(
            "INSERT INTO requests (kind, pseudonym, received_on, due_on, done_at, receipt)"
            " VALUES (?, ?, ?, ?, '', '{}') RETURNING number",
            kind,
            pseudonym,
            received.isoformat(),
            due_date(received).isoformat(),
        )
        return int(number)

    def open_request(self, kind: Kind, pseudonym: str) -> Request | None:
        """The oldest open request of this kind by this customer."""
        found = [r for r in self.requests() if r.is_open]
        return next((r for r in found if (r.kind, r.pseudonym) == (kind, pseudonym)), None)

    def open_for(self, wishes: Collection[Wish], whose: Set[str], until: date) -> list[Request]:
        """Open requests for some wishes that some pseudonyms' customer made by a day."""
        kinds = {ASKED_BY[wish] for wish in wishes}
        return [
            r
            for r in self.requests()
            if r.is_open and r.kind in kinds and r.pseudonym in whose and r.received <= until
        ]

    def answer(self, number: int, receipt: Mapping[str, Any], now: datetime) -> None:
        """Record what was done; inside a transaction."""
        self._log_of(number, "answered", now)
        self._store.ask(
            "UPDATE requests SET done_at = ?, receipt = ? WHERE number = ?",
            stamp(now),
            json.dumps(receipt),
            number,
        )

    def extend(self, number: int, due: date, receipt: Mapping[str, Any], now: datetime) -> None:
        """Put the answer to an open request off, inside a transaction."""
        self._log_of(number, "extended", now)
        self._store.ask(
            "UPDATE requests SET due_on = ?, extended_on = ?, receipt = ? WHERE number = ?",
            due.isoformat(),
            now.date().isoformat(),
            json.dumps(receipt),
            number,
        )

    def _log_of(self, number: int, step: str, now: datetime) -> None:
        row = self._store.one("SELECT kind, pseudonym FROM requests WHERE number = ?", number)
        if row is not None:
            self._log(row[0], row[1], step, now)

    def _log(self, kind: str, pseudonym: str, step: str, now: datetime) -> None:
        self._store.log.append(REQUEST, at=stamp(now), right=kind, subject=pseudonym, step=step)

    def requests(self) -> list[Request]:
        """Every request, oldest first."""
        rows = self._store.ask(
            "SELECT number, kind, pseudonym, received_on, due_on, done_at, receipt, extended_on"
            " FROM requests ORDER BY number"
        )
        return [
            Request(
                number=number,
                kind=kind,
                pseudonym=pseudonym,
                received=date.fromisoformat(received),
                due=date.fromisoformat(due),
                done_at=done_at,
                receipt=json.loads(receipt),
                extended_on=date.fromisoformat(extended_on) if extended_on else None,
            )
            for number, kind, pseudonym, received, due, done_at, receipt, extended_on in rows
        ]

    def given_up(self) -> dict[str, str]:
        """Until when what customers said was taken back, or corrected to another id; by pseudonym.

        A day of receipt that is before the day of the answer counts whole: what was said after it
        was not meant.
        """
        found: dict[str, str] = {}
        for request in self.requests():
            effects = request.receipt.get("effects", {})
            if request.is_open or "refused" in effects or request.kind not in _GIVING_UP:
                continue
            whose = effects.get("instead_of", request.pseudonym)
            until = min(request.done_at, f"{request.received}T23:59:59.999999Z")
            found[whose] = max(found.get(whose, ""), until)
        return found

    def leave_out(self, wish: Wish, pseudonym: str, subject: str, now: datetime) -> None:
        """Exclude a customer from counting from now on; inside a transaction.

        The id is stored sealed, only for the gate: without it, whoever objected would be counted
        again after the next export of the customers' table.
        """
        sealed = self._sealer.seal(subject.encode("utf-8"), _CONTEXT + pseudonym.encode("ascii"))
        self._store.ask(
            "INSERT OR IGNORE INTO wishes VALUES (?, ?, ?, ?)", pseudonym, wish, stamp(now), sealed
        )

    def wishes_of(self, subject: str) -> dict[Wish, str]:
        """A customer's wishes under whatever agreement, each with the time since when."""
        return {wish: at for _, wish, at in self._rows_of(subject)}

    def pseudonyms_of(self, subject: str) -> frozenset[str]:
        """The pseudonyms under which a customer's wishes are on record."""
        return frozenset(pseudonym for pseudonym, _, _ in self._rows_of(subject))

    def take_back(self, subject: str) -> None:
        """Forget a customer's wishes under whatever agreement; inside a transaction."""
        for pseudonym, _, _ in self._rows_of(subject):
            self._store.ask("DELETE FROM wishes WHERE pseudonym = ?", pseudonym)
        self._store.wipe_at_commit()

    def _rows_of(self, subject: str) -> list[tuple[str, Wish, str]]:
        """Pseudonym, wish and time of each wish of a customer, newest first."""
        rows = self._store.ask("SELECT pseudonym, wish, at, sealed FROM wishes ORDER BY at DESC")
        return [row[:3] for row in rows if self._unsealed(row[0], row[3]) == subject]

    def wishes(self, pseudonym: str) -> dict[str, str]:
        """A customer's wishes, each with the time since when."""
        rows = self._store.ask("SELECT wish, at FROM wishes WHERE pseudonym = ?", pseudonym)
        return dict(rows)

    def left_out(self) -> frozenset[str]:
        """Ids of all customers who are not to be counted."""
        rows = self._store.ask("SELECT DISTINCT pseudonym, sealed FROM wishes")
        return frozenset(self._unsealed(pseudonym, sealed) for pseudonym, sealed in rows)

    def _unsealed(self, pseudonym: str, sealed: bytes) -> str:
        return self._sealer.unseal(sealed, _CONTEXT + pseudonym.encode("ascii")).decode("utf-8")
