"""Whether the coordinator was heard: on the link that carries runs, and on the control port."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from partner_node.store.node_store import NodeStore

LINK: Final = "link"
CONTROL: Final = "control"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """How a connection to the coordinator stands.

    Attributes:
        reached: Whether it is there.
        code: Why it is not; empty where it is, or was ended here.
        since: Since when it is so.
        heard_at: When the coordinator was heard last; empty for never.
    """

    channel: str
    reached: bool
    code: str
    since: str
    heard_at: str

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            "reached": self.reached,
            "code": self.code,
            "since": self.since,
            "heard_at": self.heard_at,
        }


class HeardRecords:
    """The connections in a node's state database."""

    def __init__(self, store: NodeStore) -> None:
        self._store = store

    def note(self, channel: str, *, reached: bool, now: str, code: str = "") -> None:
        """Keep how a connection stands now; what was so before keeps its beginning."""
        with self._store.transaction():
            self._store.ask(
                "INSERT INTO heard VALUES (?1, ?2, ?3, ?4, CASE WHEN ?2 THEN ?4 ELSE '' END)"
                " ON CONFLICT (channel) DO UPDATE SET"
                " since = CASE WHEN reached = excluded.reached THEN since ELSE excluded.since END,"
                " heard_at = CASE WHEN excluded.reached THEN excluded.heard_at ELSE heard_at END,"
                " reached = excluded.reached, code = excluded.code",
                channel,
                int(reached),
                code,
                now,
            )

    def all(self) -> dict[str, Heard]:
        """What is known of each connection, by its name."""
        rows = self._store.ask("SELECT channel, reached, code, since, heard_at FROM heard")
        return {
            channel: Heard(
                channel=channel, reached=bool(reached), code=code, since=since, heard_at=heard_at
            )
            for channel, reached, code, since, heard_at in rows
        }
