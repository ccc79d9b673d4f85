"""Commands to serve and to report on it: `serve`, `status`."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from machine import logs
from machine.console import Format, FormatOption, output
from machine.signals import set_when_asked_to_end
from partner_node.cli.options import HERE, Directory
from partner_node.cli.record_tables import refusal_values, refusal_words, run_values, run_words
from partner_node.cli.standing import is_serving, open_run, standing_words
from partner_node.cli.standing import run_values as open_run_values
from partner_node.egress.records import WAITING, Manifests
from partner_node.egress.words import held_words
from partner_node.home import NodeHome
from partner_node.link.certificates import authority_ends_soon
from partner_node.membership import Membership
from partner_node.store.heard import HeardRecords
from partner_node.store.readiness import ReadinessRecords
from partner_node.store.refusals import Refusals
from partner_node.store.times import stamp
from protocol.release.document import SignedRelease


def serve(directory: Directory = HERE) -> None:
    """Connect to the coordinator and answer until stopped (Ctrl-C or SIGTERM)."""
    from partner_node.serving import serve_node  # Flower takes long to import

    logs.to_console()
    stop = threading.Event()
    set_when_asked_to_end(stop)
    serve_node(directory, stop)


def status(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """What goes on now; runs that this node took part in, what it refused, and what waits."""
    home = NodeHome.load(directory)
    store = home.store(home.keystore())
    runs, refusals = store.runs(), Refusals(store).all()
    now = stamp(datetime.now(UTC))
    waiting = [held for held in Manifests(store).held() if held.state(now) == WAITING]
    releases = [SignedRelease.from_bytes(envelope).release for _, envelope in store.releases()]
    soon = authority_ends_soon(home.config.coordinator.root_certificates, datetime.now(UTC))
    membership = Membership.load(directory)
    agreement = home.installed_agreement()
    found = None if agreement is None else ReadinessRecords(store).of(agreement.hash)
    readiness = [] if found is None else [found]
    heard, serving, run = HeardRecords(store).all(), is_serving(home), open_run(runs)
    output.warn(soon)
    output.result(
        {
            "partner": home.config.node.partner,
            "joined": None if membership is None else membership.to_dict(),
            "serving": serving,
            "coordinator": {name: one.to_dict() for name, one in heard.items()},
            "readiness": [one.to_dict() for one in readiness],
            "run": open_run_values(run, waiting),
            "releases": len(releases),
            "runs": run_values(runs, releases),
            "refusals": refusal_values(refusals),
            "waiting_for_approval": [held.number for held in waiting],
            "warnings": soon,
        },
        "" if membership is None else membership.words,
        *standing_words(
            serving=serving,
            heard=heard,
            run=run,
            waiting=waiting,
            readiness=readiness,
            now=datetime.now(UTC),
        ),
        *run_words(runs, releases),
        *refusal_words(refusals),
        *held_words(waiting, now),
    )
