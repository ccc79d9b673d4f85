"""One agreement in plain words: its terms, who signed, and what changed since the last version."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from machine.shown import Shown
from machine.tables import changes_view
from partner_node.agreement_files import missing_signatures
from partner_node.budget import bound_words
from partner_node.due import expected
from partner_node.home import NodeHome
from partner_node.shown.agreement_words import (
    Signed,
    agreement_words,
    waiting_values,
    waiting_words,
)
from partner_node.shown.diligence_words import diligence_of
from partner_node.store.ledger import Ledger
from partner_node.store.node_store import NodeStore
from partner_node.store.waiting import WaitingVersions
from protocol.agreement.changes import Differences
from protocol.agreement.document import Agreement
from protocol.agreement.stop import SignedStop
from protocol.privacy.words import fuel
from protocol.signed_agreement import SignedAgreement


def agreement_shown(
    signed: SignedAgreement,
    path: Path,
    at: tuple[NodeHome, NodeStore] | None,
    now: datetime,
    *,
    ask: bool = True,
) -> Shown:
    """An agreement, for whoever decides whether to sign, and whoever reads what is in force.

    Args:
        path: Its file, for messages.
        at: The node, which knows versions before, charges and stops; None where there is none.
        ask: Whether the coordinator is asked for records of due diligence, if they are demanded.
    """
    if at is not None:  # else a node does not find itself once its key was handed over
        signed = at[0].with_fitting_keys(signed)
    missing = [party.id for party in missing_signatures(signed, path)]
    agreement = signed.agreement
    own = None if at is None else _signed_here(*at, agreement)
    parties = [
        Signed(
            party=party.id,
            signed=party.id not in missing,
            at=None if own is None or own.party != party.id else own.at,
            by="" if own is None or own.party != party.id else own.by,
        )
        for party in agreement.parties
    ]
    stop = None if at is None else at[1].stop_of(agreement.hash)
    before = None if at is None else _version_before(agreement, *at)
    differing = None if before is None else Differences.between(before, agreement)
    kept = [] if at is None else [one.agreement for one in WaitingVersions(at[1]).all()]
    waiting = [one for one in kept if one.id == agreement.id]
    due = None if at is None else expected(agreement, at[1], now)
    asked = None if at is None or not ask else at[0]
    diligence, diligence_lines = diligence_of(asked, agreement, now)
    return Shown(
        values={
            **agreement.named(),
            "document": agreement.to_dict(),
            "missing_signatures": missing,
            "signatures": [one.to_dict() for one in parties],
            "stopped": None if stop is None else stop_values(stop, agreement),
            "changes": None if differing is None else differing.to_dict(),
            "schedule": None if due is None else due.to_dict(),
            "waiting": waiting_values(waiting),
            "diligence": diligence,
        },
        parts=[
            *([] if stop is None else [f"STOPPED: {stop.refusal(agreement).message}"]),
            *waiting_words(waiting),
            *agreement_words(agreement, parties),
            *diligence_lines,
            *([] if due is None else due.words),
            *([] if at is None else _charged_before(agreement, at[1])),
            *([] if differing is None else changes_view(differing.rows, title=differing.title)),
        ],
    )


def stop_values(signed: SignedStop, agreement: Agreement) -> dict[str, Any]:
    """A stop as JSON values, with the agreement that it stops."""
    return {
        **agreement.named(),
        "partner": signed.partner,
        "at": signed.at,
        "reason": signed.reason,
    }


def _signed_here(home: NodeHome, store: NodeStore, agreement: Agreement) -> Signed | None:
    """Under which name this node signed an agreement, when and by whom; None where it did not."""
    at = store.signed_at(agreement.hash)
    key = home.keystore().identity_public
    keys = agreement.keys.of_parties
    own = next((p.id for p, had in zip(agreement.parties, keys, strict=True) if key in had), None)
    if at is None or own is None:
        return None
    return Signed(party=own, signed=True, at=at, by=store.signed_by(agreement.hash))


def _version_before(agreement: Agreement, home: NodeHome, store: NodeStore) -> Agreement | None:
    """The previous version that this node knows: the superseded one, else the installed one.

    None when there is none, or when that is the agreement itself.
    """
    if agreement.supersedes is not None:
        kept = store.agreement(agreement.supersedes)
        if kept is not None:
            return kept.agreement
    installed = home.under(agreement.id).installed_agreement()
    if installed is None or installed.id != agreement.id or installed.hash == agreement.hash:
        return None
    return installed


def _charged_before(agreement: Agreement, store: NodeStore) -> list[str]:
    """Lines on what this node has charged under versions of this agreement, and under others."""
    if agreement.privacy is None:
        return []
    ledger = Ledger(store)
    others = ledger.charged_under()
    words = []
    if others.pop(agreement.id, 0):
        left = fuel(agreement.privacy, spent=ledger.spent(agreement))
        words.append(f"Charged at this node under its versions so far: {left}.")
        words += bound_words(ledger.charges(agreement.id))
    if others:
        words.append(
            f"This node also has charges under {', '.join(others)}; see `fedseg-node budget show`."
        )
    return words
