"""A serving node: its link to the coordinator, for as long as the process lives."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from machine.software import owners_of_packages, require_sole_owner
from machine.traces import exporting
from partner_node.agreeing import take_effect
from partner_node.client_app import NODE_DIRECTORY_KEY, answered, app, nodes_of
from partner_node.control.checking import Checking, NoChecking
from partner_node.control.hearing import note_heard
from partner_node.control.in_force import for_each_in_force
from partner_node.control.presence import present
from partner_node.due import Expected, expected
from partner_node.followed_settings import FollowedSettings
from partner_node.home import NodeHome
from partner_node.link.certificates import authority_ends_soon
from partner_node.link.flower_link import APPROVED_BUNDLE_SHA256, LinkConfig, LinkEvent, serve_link
from partner_node.link.proxy import way_to
from partner_node.link.settings import Bell
from partner_node.metrics.health import LinkState, readiness
from partner_node.segments.retention import apply_retention
from partner_node.store.heard import LINK
from protocol.errors import FedsegError

logger = logging.getLogger(__name__)

#: How often files past their retention are deleted, and certificates looked at.
_DAY_S: Final = 86_400.0
#: How often a node looks whether its first agreement came; it reads its configuration then.
_WAITS_S: Final = 0.5
#: Events that say whether the coordinator is reached.
_LINK_STATES: Final = ("connected", "lost", "stopped")
#: How often it is asked whether a run that was due has come.
_MINUTE_S: Final = 60.0


def serve_node(directory: Path, stop: threading.Event) -> None:
    """Serve the node in `directory` until `stop` is set.

    Raises:
        FedsegError: Configuration, keys, agreement or state keep the node from serving.
    """
    require_sole_owner(owners_of_packages())
    home = NodeHome.load(directory)

    def answer(message: bytes) -> tuple[bytes | None, str]:
        return answered(lambda: directory, lambda: message)

    link = LinkState()
    traces = exporting(home.config.traces, service="fedseg-node")
    bell = Bell()
    settings = FollowedSettings(directory, home.config.file)
    with (
        home.serving(),
        traces,
        _told(home, link),
        present(home, answer, bell=bell) as checks,
    ):
        if not _agreement_is_there(home, stop):
            return
        nodes = nodes_of(directory)  # the same ones that the ClientApp uses
        nodes.store.check()
        logger.info("partner %s serves %s", home.config.node.partner, nodes.words)
        coordinator = home.config.coordinator
        proxy = way_to(coordinator.address, coordinator.proxy)
        if proxy is not None:
            logger.info("goes out through %s", proxy.words)
        with keeping_house(home), awaiting_runs(home):
            serve_link(
                LinkConfig(
                    address=coordinator.address,
                    root_certificates=coordinator.root_certificates,
                    node_key=home.keystore().node_key,
                    node_config={NODE_DIRECTORY_KEY: str(directory.absolute())},
                    bundle_sha256=coordinator.bundle_sha256 or APPROVED_BUNDLE_SHA256,
                    state_file=home.config.node.state / "link",
                    proxy=proxy,
                ),
                app,
                stop=stop,
                on_event=lambda event: _note(home, link, event, checks),
                on_look=lambda: settings.look(checks.want),
                bell=bell,
            )


@contextmanager
def _told(home: NodeHome, link: LinkState) -> Iterator[None]:
    """Offer metrics and health until the block ends, where the configuration says so."""
    if home.config.metrics is None:
        yield
        return
    # Imported where they are wanted: most nodes are not watched.
    from machine.metrics.endpoint import metrics_endpoint
    from partner_node.metrics.measuring import measure_node

    with metrics_endpoint(
        home.config.metrics,
        measure=lambda: measure_node(home.as_it_stands(), link),
        ready=lambda: readiness(home.as_it_stands(), link),
    ):
        yield


def _agreement_is_there(home: NodeHome, stop: threading.Event) -> bool:
    """Wait for the first agreement, which arrives online; whether it did before `stop`.

    A node that is in no control plane does not wait: a person has to install the file.
    """

    def is_there() -> bool:
        return any(place.is_filled for place in home.as_it_stands().places())

    if home.config.coordinator.control is None or is_there():
        return True
    logger.info("waits for an agreement that every party signed; see `fedseg-node agreement "
                "proposals`")  # fmt: skip
    while not stop.wait(_WAITS_S):
        if is_there():
            return True
    return False


@contextmanager
def keeping_house(home: NodeHome, *, every_s: float = _DAY_S) -> Iterator[None]:
    """Delete what is past its retention, now and daily until the block ends.

    Certificates that end soon are mentioned as often.
    """
    ended = threading.Event()

    def keep() -> None:
        while not ended.wait(every_s):
            _daily(home)

    _daily(home)
    keeper = threading.Thread(target=keep, name="housekeeping")
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        keeper.join()


@contextmanager
def awaiting_runs(home: NodeHome, *, every_s: float = _MINUTE_S) -> Iterator[None]:
    """Say when a run that was due by a schedule did not come, once each, until the block ends.

    A version that waited takes effect with the next message at its time, and here without any.
    """
    ended = threading.Event()

    def keep() -> None:
        said: set[str] = set()
        while not ended.is_set():
            for words in runs_not_come(home, datetime.now(UTC)):
                if words not in said:
                    logger.warning("%s", words)
                    said.add(words)
            ended.wait(every_s)

    keeper = threading.Thread(target=keep, name="schedule")
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        keeper.join()


def runs_not_come(home: NodeHome, now: datetime) -> list[str]:
    """What is to be said of the last runs that were due; what keeps it from being known, too.

    What waited and is effective by then takes effect first.
    """
    found: list[Expected | None] = []
    unknown: list[str] = []
    try:
        home = home.current()  # sections may have come and gone
        with closing(home.store(home.keystore())) as store:
            take_effect(home, store, now)
            for_each_in_force(home, lambda one: found.append(expected(one, store, now)))
    except FedsegError as error:
        unknown = [f"schedule: {error.code}: {error.message}"]
    return [*unknown, *(words for one in found if one is not None for words in one.trouble)]


def _daily(home: NodeHome) -> None:
    now = datetime.now(UTC)
    roots = home.as_it_stands().config.coordinator.root_certificates
    for words in authority_ends_soon(roots, now):
        logger.warning("%s", words)
    try:
        purged = apply_retention(home.current(), now)  # sections may have come and gone
    except FedsegError as error:
        logger.warning("retention: %s: %s; %s", error.code, error.message, error.remedy)
        return
    for line in purged.log_lines:
        logger.info("%s", line)
    for words in purged.words:
        logger.warning("%s", words)


def _note(home: NodeHome, link: LinkState, event: LinkEvent, checks: Checking | NoChecking) -> None:
    """Log what happened on the link, and keep whether the coordinator is reached."""
    _log(event)
    if event.kind in _LINK_STATES:
        link.note(up=event.kind == "connected")
        note_heard(home, LINK, reached=event.kind == "connected", code=event.code or "")
    if event.kind == "connected":
        checks.reached()


def _log(event: LinkEvent) -> None:
    if event.kind == "answered":
        return  # the node has logged the run, the round and the result
    logger.info("link: %s%s", event.kind, f" {event.code}" if event.code else "")
