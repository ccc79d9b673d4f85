"""Who may act at a node, and the training that each has, in the node's state."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from partner_node.store.node_store import NodeStore
from protocol.errors import UsageError
from protocol.log import entries as kinds


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One course that somebody was trained in.

    Attributes:
        on: The day of it.
        until: The last day on which it holds.
        evidence: SHA-256 of a file that shows it, hexadecimal; empty for none.
    """

    name: str
    course: str
    on: date
    until: date
    evidence: str

    def holds(self, today: date) -> bool:
        """Whether it holds on a day."""
        return self.on <= today <= self.until

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            "course": self.course,
            "on": self.on.isoformat(),
            "until": self.until.isoformat(),
            "evidence": self.evidence or None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who may act here.

    Attributes:
        name: That of the account, at the machine or in the console.
        role: In the partner's own words, like ``data protection officer``.
        since: When it was put on record.
        training: The newest one last.
    """

    name: str
    role: str
    since: str
    training: tuple[Training, ...]

    def holding(self, course: str, today: date) -> Training | None:
        """The training in a course that holds longest on a day; None where none does."""
        found = [one for one in self.training if one.course == course and one.holds(today)]
        return max(found, key=lambda one: one.until, default=None)

    def lacking(self, courses: tuple[str, ...], today: date) -> list[str]:
        """The courses of some that this person is not trained in."""
        return [course for course in courses if self.holding(course, today) is None]

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            "name": self.name,
            "role": self.role,
            "since": self.since,
            "training": [one.to_dict() for one in self.training],
        }


class Staff:
    """The staff on record; what changes it is called inside a transaction."""

    def __init__(self, store: NodeStore) -> None:
        self._store = store

    def all(self) -> list[Person]:
        """Everybody, by name."""
        rows = self._store.ask(
            "SELECT name, course, on_day, until_day, evidence FROM training ORDER BY number"
        )
        trained: dict[str, list[Training]] = {}
        for name, course, on, until, evidence in rows:
            one = Training(
                name=name,
                course=course,
                on=date.fromisoformat(on),
                until=date.fromisoformat(until),
                evidence=evidence,
            )
            trained.setdefault(name, []).append(one)
        return [
            Person(name=name, role=role, since=since, training=tuple(trained.get(name, ())))
            for name, role, since in self._store.ask(
                "SELECT name, role, since FROM staff ORDER BY name"
            )
        ]

    def named(self, name: str) -> Person:
        """One of them; raises UsageError (E-STAFF-UNKNOWN)."""
        found = next((one for one in self.all() if one.name == name), None)
        if found is None:
            raise UsageError(
                f"{name!r} is not on record as staff here",
                code="E-STAFF-UNKNOWN",
                remedy="fedseg-node staff add NAME --role ROLE; names are those of accounts",
            )
        return found

    def add(self, name: str, role: str, *, by: str, at: str) -> None:
        """Put somebody on record; raises UsageError where the name is (E-STAFF-EXISTS)."""
        if any(one.name == name for one in self.all()):
            raise UsageError(
                f"{name!r} is on record as staff already",
                code="E-STAFF-EXISTS",
                remedy="fedseg-node staff list; remove comes before another role",
            )
        self._store.ask("INSERT INTO staff VALUES (?, ?, ?)", name, role, at)
        self._store.log.append(kinds.STAFF, at=at, name=name, step="added", by=by)

    def remove(self, name: str, *, by: str, at: str) -> None:
        """Forget somebody with all training, which the log keeps; raises UsageError."""
        self.named(name)
        self._store.ask("DELETE FROM training WHERE name = ?", name)
        self._store.ask("DELETE FROM staff WHERE name = ?", name)
        self._store.log.append(kinds.STAFF, at=at, name=name, step="removed", by=by)

    def train(self, one: Training, *, by: str, at: str) -> None:
        """Put training on record; raises UsageError where nobody has that name."""
        self.named(one.name)
        self._store.ask(
            "INSERT INTO training (name, course, on_day, until_day, evidence, noted_at)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            one.name, one.course, one.on.isoformat(), one.until.isoformat(), one.evidence, at,
        )  # fmt: skip
        self._store.log.append(
            kinds.TRAINING,
            at=at,
            name=one.name,
            course=one.course,
            on=one.on.isoformat(),
            until=one.until.isoformat(),
            evidence=one.evidence,
            by=by,
        )
