"""Who cosigned this node's audit log, how far, and whose logs it cosigned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from machine.shown import Shown
from machine.tables import filled_table
from machine.text import minute
from partner_node.home import NodeHome
from partner_node.shown.sealed import time_words
from partner_node.store.node_store import NodeStore
from partner_node.store.seals import Seals, sealed_under
from partner_node.store.witnessed import Fork, Witnessed, open_forks
from protocol.log.beside import Cosigned
from protocol.log.checkpoints import Checkpoint
from protocol.log.notes import Note


def witness_shown(home: NodeHome, store: NodeStore) -> Shown:
    """Under each agreement: the seals, who cosigned them, and what was cosigned here."""
    own = home.config.node.partner
    parties = {
        one.id: [party.id for party in one.parties if party.id != own]
        for one in home.agreements_in_force()
    }
    ids = sorted({*parties, *sealed_under(store)})
    found = [_under(store, one, parties.get(one, ())) for one in ids]
    warnings = fork_warnings(store)
    parts = [part for one in found for part in _words(one)]
    return Shown(
        values={"agreements": found, "warnings": warnings},
        parts=parts or ["Nothing was sealed here yet: that begins with the first run."],
        warnings=warnings,
    )


def fork_warnings(store: NodeStore) -> list[str]:
    """Logs of others that forked, and that nobody here accepted, for people."""
    return [
        f"the log of {fork.party} under agreement {agreement_id} forked: it signed two states of "
        f"{_state(fork.known).size} seals; ask {fork.party}, then fedseg-node log accept "
        f"{fork.party}"
        for agreement_id, fork in open_forks(store)
    ]


def fork_values(fork: Fork) -> dict[str, Any]:
    """A fork as JSON values: both notes whole, as they are the evidence."""
    return {
        "party": fork.party,
        "found_at": fork.found_at,
        "size": _state(fork.known).size,
        "known": fork.known.decode("utf-8"),
        "other": fork.other.decode("utf-8"),
        "accepted_at": fork.accepted_at or None,
        "accepted_by": fork.accepted_by or None,
    }


def _under(store: NodeStore, agreement_id: str, parties: Sequence[str]) -> dict[str, Any]:
    seals, room = Seals(store, agreement_id), Witnessed(store, agreement_id)
    best, said, forks = room.best(), room.said(), room.forks()
    newest = room.newest_of_all()
    names = sorted({*parties, *best, *said, *newest})
    return {
        "agreement": agreement_id,
        "seals": seals.size,
        "witnesses": [
            {
                "party": name,
                "cosigned": best[name][0] if name in best else None,
                "at": time_words(best[name][1]) if name in best else None,
                "received_at": said[name].received_at if name in said else None,
                "foreign": said[name].size if name in said and not said[name].is_ours else None,
            }
            for name in names
        ],
        "witnessed": [
            _witnessed(name, newest[name].cosigned if name in newest else None, forks)
            for name in names
        ],
        "forks": [fork_values(one) for one in forks],
    }


def _witnessed(party: str, newest: Cosigned | None, forks: Sequence[Fork]) -> dict[str, Any]:
    return {
        "party": party,
        "size": None if newest is None else newest.size,
        "root": None if newest is None else newest.root.hex(),
        "at": None if newest is None else time_words(newest.time),
        "forked": any(one.party == party and not one.accepted_at for one in forks),
    }


def _words(found: dict[str, Any]) -> list[object]:
    here = {one["party"]: one for one in found["witnessed"]}
    rows = [
        (
            one["party"],
            "" if one["cosigned"] is None else str(one["cosigned"]),
            "" if one["at"] is None else minute(one["at"]),
            "" if here[one["party"]]["size"] is None else str(here[one["party"]]["size"]),
            "" if here[one["party"]]["at"] is None else minute(here[one["party"]]["at"]),
            _standing(one, here[one["party"]]),
        )
        for one in found["witnesses"]
    ]
    headers = ("partner", "cosigned\nours", "at, it says", "cosigned\nhere", "at", "")
    title = f"Agreement {found['agreement']}: {found['seals']} seals of this log"
    return [filled_table(title, headers, rows, whole=headers[:5])]


def _standing(witness: dict[str, Any], here: dict[str, Any]) -> str:
    if here["forked"]:
        return "its log forked"
    if witness["foreign"] is not None:
        return f"holds a state of {witness['foreign']} seals that this log has not"
    return ""


def _state(note: bytes) -> Checkpoint:
    return Checkpoint.from_text(Note.parse(note).text)
