"""Runs that follow the last release, with nodes and a driver as they are deployed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from protocol.errors import RunFailedError, TransportError
from protocol.release.document import Release
from simulations.federation import FeatureTerms, FederatedRun, Federation

FEATURES = [FeatureTerms(name=name, min="0", max="10") for name in ("a", "b")]
MIDDLES = np.array([[2.0, 2.0], [8.0, 3.0], [5.0, 8.0]])


def federation(n_partners: int = 3, *, seed: int | None = 1) -> Federation:
    rng = np.random.default_rng(7)
    data = [
        MIDDLES[rng.integers(0, 3, 60)] + rng.normal(0, 0.5, (60, 2)) for _ in range(n_partners)
    ]
    return Federation(data, FEATURES, n_clusters=3, max_rounds=30, seed=seed)


def follows(run: FederatedRun, last: Release) -> bool:
    start = run.release.release.start
    return start is not None and (start.release, start.changed) == (last.hash, False)


def kill_after(fed: Federation, messages: int) -> None:
    """Let the coordinator's process end at a message that it sends."""
    left = messages

    def killed(node: int, message: bytes) -> bytes:
        nonlocal left
        left -= 1
        if left < 0:
            raise TransportError("killed", code="E-LINK")
        return message

    fed.exchange.tamper_request = killed


def test_unchanged_customers_have_the_same_segments_in_every_run() -> None:
    fed = federation()
    first = fed.run()
    before = first
    for _ in range(3):
        run = fed.run()
        assert follows(run, before.release.release)
        assert run.release.release.segments == first.release.release.segments
        assert run.rounds < first.rounds
        before = run


def test_a_partner_that_was_away_when_the_release_was_handed_out_takes_part_in_the_next() -> None:
    fed = federation()

    def leave(progress: dict[str, Any]) -> None:
        if progress["phase"] == "acks":
            fed.exchange.down = {2}

    first = fed.run(on_progress=leave)
    assert fed.nodes[2].store.releases() == []
    fed.exchange.down = set()
    second = fed.run()
    assert follows(second, first.release.release)
    assert second.release.release.participants == ("partner-0", "partner-1", "partner-2")


def test_a_run_that_is_killed_at_any_message_goes_on_from_the_same_release() -> None:
    fed = federation()
    last = fed.run()
    for message in range(15):
        run_id = bytes([message + 1]) * 16
        fed.store.request_run(run_id, fed.agreement)
        kill_after(fed, message)
        with pytest.raises(TransportError):
            fed.drive(run_id)
        fed.exchange.tamper_request = None
        fed.exchange.waiting.clear()
        signed = fed.drive(run_id)
        start = signed.release.start
        assert start is not None
        assert start.release == last.release.release.hash
        last = FederatedRun(
            release=signed, clustering=last.clustering, rounds=signed.release.rounds, traffic=()
        )


def test_a_run_that_is_ended_while_its_release_is_handed_out_is_followed_all_the_same() -> None:
    """Some partners hold that release: they would start from no earlier one."""
    fed = federation()
    first = fed.run()

    def end(progress: dict[str, Any]) -> None:
        if progress["phase"] == "acks":
            fed.exchange.down = {2}
        if progress["waiting_for"] == ["partner-2"]:
            fed.store.fail(fed.store.runs()[0].run_id, "E-STOPPED", "stopped by the operator")

    with pytest.raises(RunFailedError, match="stopped by the operator"):
        fed.run(on_progress=end)
    fed.exchange.down = set()
    assert [len(node.store.releases()) for node in fed.nodes.values()] == [2, 2, 1]
    third = fed.run()
    start = third.release.release.start
    assert start is not None
    assert start.release != first.release.release.hash
