"""How a node fares: its agreements, runs, refusals, and what waits for a person."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from machine.shown import Shown
from partner_node.due import expected
from partner_node.duties.keys import unsettled
from partner_node.egress.records import WAITING, Manifests
from partner_node.egress.words import held_words
from partner_node.home import NodeHome
from partner_node.link.certificates import authority_ends_soon
from partner_node.membership import Membership
from partner_node.notices.published import Publications, newest
from partner_node.notices.telling import standing_words as notice_words
from partner_node.shown.agreement_words import waiting_values, waiting_words
from partner_node.shown.record_tables import (
    refusal_values,
    refusal_words,
    run_values,
    run_words,
)
from partner_node.shown.refused_hand_overs import refused_words
from partner_node.shown.standing import open_runs, standing_words
from partner_node.shown.standing import run_values as open_run_values
from partner_node.shown.witness import fork_warnings
from partner_node.store.heard import HeardRecords
from partner_node.store.node_store import NodeStore
from partner_node.store.readiness import ReadinessRecords
from partner_node.store.refusals import Refusals
from partner_node.store.times import stamp
from partner_node.store.waiting import WaitingVersions
from protocol.agreement.document import Agreement
from protocol.release.document import SignedRelease


def status_shown(home: NodeHome, store: NodeStore, now: datetime) -> Shown:
    """Runs, how they ended, refusals, what waits, and warnings: of certificates that end soon, and
    of keys that were handed over twice.
    """
    runs, refusals = store.runs(), Refusals(store).all()
    at = stamp(now)
    waiting = [held for held in Manifests(store).held() if held.state(at) == WAITING]
    releases = [SignedRelease.from_bytes(envelope).release for _, envelope in store.releases()]
    membership = Membership.load(home.directory)
    in_force = home.agreements_in_force()
    warnings = [
        *authority_ends_soon(home.config.coordinator.root_certificates, now),
        *refused_words(unsettled(home, store, in_force)),
        *fork_warnings(store),
    ]
    notices = [(one, Publications(store).under(one.id)) for one in in_force]
    asked = [(one, ReadinessRecords(store).of(one.hash)) for one in in_force]
    readiness = [(one, found) for one, found in asked if found is not None]
    heard, serving, going_on = HeardRecords(store).all(), home.is_served(), open_runs(runs)
    due = [expected(agreement, store, now) for agreement in in_force]
    coming = [signed.agreement for signed in WaitingVersions(store).all()]
    return Shown(
        values={
            "partner": home.config.node.partner,
            "joined": None if membership is None else membership.to_dict(),
            "agreements": [one.named() for one in in_force],
            "serving": serving,
            "coordinator": {name: one.to_dict() for name, one in heard.items()},
            "readiness": [one.named() | found.to_dict() for one, found in readiness],
            "open_runs": [open_run_values(run, waiting) for run in going_on],
            "waiting_versions": waiting_values(coming),
            "schedules": [one.to_dict() for one in due if one is not None],
            "notices": [
                one.named() | {"published": [p.to_dict() for p in newest(found)]}
                for one, found in notices
            ],
            "releases": len(releases),
            "runs": run_values(runs, releases),
            "refusals": refusal_values(refusals),
            "waiting_for_approval": [held.number for held in waiting],
            "warnings": warnings,
        },
        parts=[
            "" if membership is None else membership.words,
            _in_force_words(in_force),
            *standing_words(
                serving=serving,
                heard=heard,
                runs=going_on,
                waiting=waiting,
                readiness=[found for _, found in readiness],
                now=now,
            ),
            *(f"Under {one.id} {notice_words(one, found)}." for one, found in notices),
            *waiting_words(coming),
            *(words for one in due if one is not None for words in one.words),
            *run_words(runs, releases),
            *refusal_words(refusals),
            *held_words(waiting, at),
        ],
        warnings=warnings,
    )


def _in_force_words(in_force: Sequence[Agreement]) -> str:
    if not in_force:
        return "No agreement is in force here."
    named = (f"agreement {one.id}, version {one.version}" for one in in_force)
    return f"In force: {'; '.join(named)}."
