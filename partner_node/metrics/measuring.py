"""Measuring a node from its records, at the moment when somebody asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Final

from prometheus_client.metrics_core import Metric as Family

from machine.metrics.common import STATE_SOUND, measure_common, measure_duties, seconds_of
from machine.metrics.families import Measured
from partner_node.budget import terms_of
from partner_node.duties.all import duties_of
from partner_node.egress.records import WAITING, Manifests
from partner_node.home import NodeHome
from partner_node.membership import CERTIFICATE_FILE
from partner_node.metrics import table
from partner_node.metrics.health import LinkState, readiness
from partner_node.register.requests import RightsRegister
from partner_node.segments.export_records import ExportRecords
from partner_node.segments.retention import overdue
from partner_node.spending import Spending
from partner_node.store.heard import CONTROL, LINK, HeardRecords
from partner_node.store.ledger import Ledger
from partner_node.store.node_store import NodeStore
from partner_node.store.refusals import Refusals
from partner_node.store.times import stamp
from partner_node.store.witnessed import open_forks
from protocol.agreement.document import Agreement
from protocol.errors import FedsegError
from protocol.partner_state import Phase
from protocol.privacy.accounting import epsilon_of
from protocol.privacy.ledger import runs_left

_SOON: Final = timedelta(days=7)


def measure_node(home: NodeHome, link: LinkState) -> list[Family]:
    """Everything of `table.TABLE` that is so now; a state that cannot be read is said so."""
    measured, now = Measured(table.TABLE), datetime.now(UTC)
    measure_common(
        measured,
        program="node",
        checks=readiness(home, link),
        folders={"state": home.config.node.state, "output": home.config.node.output},
        certificates={
            "authority": home.config.coordinator.root_certificates,
            "node": home.keys_folder / CERTIFICATE_FILE,
        },
        backup_note=home.backup_note,
        now=now,
    )
    measured.set(table.LINK_UP, link.is_up, LINK)
    try:
        with closing(home.store(home.keystore())) as store:
            _measure_state(measured, store, _in_force(home), now)
            measure_duties(measured, duties_of(home, store, now))
    except FedsegError:
        measured.set(STATE_SOUND, 0)
    else:
        measured.set(STATE_SOUND, 1)
    return measured.families()


def _in_force(home: NodeHome) -> list[Agreement]:
    """The agreements in force; none where they cannot be read, as readiness says."""
    try:
        return home.agreements_in_force()
    except FedsegError:
        return []


def _measure_state(
    measured: Measured, store: NodeStore, in_force: Sequence[Agreement], now: datetime
) -> None:
    for channel, heard in HeardRecords(store).all().items():
        if channel == CONTROL:
            measured.set(table.LINK_UP, heard.reached, channel)
        if heard.heard_at:
            measured.set(table.HEARD, seconds_of(heard.heard_at), channel)
    for one in in_force:
        measured.set(table.IN_FORCE, 1, one.id, str(one.version))
        _measure_budget(measured, store, one)
    _measure_spending(measured, Spending.of(store))
    _measure_runs(measured, store, {one.hash: one.id for one in in_force})
    refused: Counter[str] = Counter()
    for refusal in Refusals(store).all():
        refused[refusal.code] += refusal.times
    for code, times in refused.items():
        measured.set(table.REFUSALS, times, code)
    waiting = [one for one in Manifests(store).held() if one.state(stamp(now)) == WAITING]
    measured.set(table.HELD, len(waiting))
    ends = [one.expires_at for one in waiting if one.expires_at is not None]
    if ends:
        measured.set(table.HELD_UNTIL, seconds_of(min(ends)))
    measured.set(table.FORKS, len(open_forks(store)))
    requests = RightsRegister(store).requests()
    today = now.date()
    measured.set(table.OVERDUE, any(one.is_overdue(today) for one in requests))
    measured.set(table.DUE_SOON, any(one.is_overdue(today + _SOON) for one in requests))
    measured.set(
        table.RETENTION, len({one.path for one in overdue(ExportRecords(store).all(), now)})
    )


def _measure_runs(measured: Measured, store: NodeStore, ids: Mapping[bytes, str]) -> None:
    """Runs by agreement; those of earlier versions count for the agreement without a name."""
    rows = store.ask(
        "SELECT agreement_hash, phase, reason, count(*), max(updated_at) FROM runs"
        " GROUP BY agreement_hash, phase, reason"
    )
    last: dict[str, float] = {}
    for agreement_hash, phase, reason, count, updated_at in rows:
        name = ids.get(agreement_hash, "")
        measured.set(table.RUNS, count, name, phase, reason)
        last[name] = max(last.get(name, 0.0), seconds_of(updated_at))
    newest = store.ask("SELECT agreement_hash, phase, max(started_at) FROM runs GROUP BY 1")
    for agreement_hash, phase, _ in newest:
        if agreement_hash in ids:
            failed = Phase(phase) is Phase.ABORTED
            measured.set(table.LAST_FAILED, failed, ids[agreement_hash])
    for name, at in last.items():
        measured.set(table.LAST_RUN, at, name)


def _measure_spending(measured: Measured, spending: Spending) -> None:
    measured.set(table.SPENT, epsilon_of(spending.total, spending.delta))
    if spending.cap is not None and spending.cap.epsilon is not None:
        measured.set(table.CAP, float(spending.cap.epsilon))


def _measure_budget(measured: Measured, store: NodeStore, agreement: Agreement) -> None:
    if agreement.privacy is None:
        return
    terms, spent = terms_of(agreement), Ledger(store).spent(agreement)
    agreed = terms.epsilon_of(terms.budget)
    measured.set(table.EPSILON, agreed, agreement.id)
    measured.set(table.EPSILON_LEFT, max(agreed - terms.epsilon_of(spent), 0.0), agreement.id)
    measured.set(table.RUNS_LEFT, runs_left(terms, spent=spent), agreement.id)
