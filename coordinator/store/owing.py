"""Which statements store what the audit log is about: each owes it an entry, of which kind.

Both databases run the same statements, and all of them go through `CoordinatorStore.ask`, so the
statement itself says what is owed; SQLite's triggers that count rows are not PostgreSQL's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from protocol.log import entries as kinds

#: How a statement begins, and the kind of entry that it owes.
OWING: Final = {
    "INSERT INTO agreements": kinds.AGREEMENT_KEPT,
    "UPDATE agreements SET links": kinds.ROSTER,
    "INSERT INTO runs": kinds.RUN_REQUESTED,
    "UPDATE runs SET state = ?, code": kinds.RUN_ENDED,
    "INSERT INTO releases": kinds.RELEASED,
    "INSERT INTO stops": kinds.STOP,
    "INSERT INTO admitted": kinds.ADMITTED,
    "DELETE FROM admitted": kinds.PARTNER_REMOVED,
    "INSERT INTO invitations": kinds.INVITED,
    "INSERT INTO enrolled": kinds.JOINED,
    "INSERT INTO proposals": kinds.PROPOSED,
    "INSERT INTO proposal_answers": kinds.ANSWERED,
    "INSERT INTO builds": kinds.BUILD,
    "INSERT INTO diligence": kinds.DILIGENCE,
    "INSERT INTO hand_overs": kinds.HAND_OVER,
    "INSERT INTO refused_hand_overs": kinds.KEY_FORKED,
    "INSERT INTO authorities": kinds.AUTHORITY,
    "INSERT INTO scheduled": kinds.SCHEDULED,
    "INSERT INTO schedule_pauses": kinds.SCHEDULE_PAUSED,
}
#: What nobody changes.
_NEVER: Final = ("UPDATE log_", "DELETE FROM log_entries", "DELETE FROM log_hashes",
                 "DELETE FROM log_kinds")  # fmt: skip


@lru_cache(maxsize=1_024)
def owed_by(sql: str) -> str:
    """The kind of entry that a statement owes; empty where it owes none.

    >>> owed_by("INSERT INTO stops VALUES (?, ?)"), owed_by("SELECT 1 FROM stops")
    ('stop', '')
    """
    return next((kind for begins, kind in OWING.items() if sql.startswith(f"{begins} ")), "")


@lru_cache(maxsize=1_024)
def changes_the_log(sql: str) -> bool:
    """Whether a statement would change or delete what is in the log."""
    return sql.startswith(_NEVER)
