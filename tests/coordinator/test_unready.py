"""Before a run the operator reads who is not ready, by name and code, and how to wait."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from coordinator.config import CoordinatorConfig
from coordinator.control.listening import Listening
from coordinator.control.unready import Unready
from coordinator.store.admitted_nodes import AdmittedNodes
from coordinator.store.coordinator_store import CoordinatorStore
from tests.coordinator.test_coordinator_cli import (
    NODE_KEYS,
    cards,
    copies,
    draft,
    home,
    published,
    shell,
)  # fmt: skip
from tests.coordinator.test_run_plan import enrol, tell
from tests.shell import Shell

__all__ = ["cards", "copies", "draft", "home", "published", "shell"]

SHOPS = ("shop-0", "shop-1", "shop-2")
SINCE = "2026-01-02T03:04:05.000000Z"


@pytest.fixture
def store(published: Path) -> Iterator[CoordinatorStore]:
    """The store of a coordinator to which three nodes listen."""
    store = CoordinatorConfig.load(published).open_store()
    AdmittedNodes(store).admit(dict(zip(SHOPS, NODE_KEYS, strict=True)))
    for shop, key in zip(SHOPS, NODE_KEYS, strict=True):
        enrol(store, shop, key, seen=timedelta(seconds=5))
        Listening(store).begin(key)
    yield store
    store.close()


def hash_of(store: CoordinatorStore) -> bytes:
    (signed,) = store.agreements()
    return signed.agreement.hash


def say(store: CoordinatorStore, shop: int, *codes: str) -> None:
    tell(store, NODE_KEYS[shop], hash_of(store), *codes)


def said_in(text: str) -> str:
    return " ".join(text.split())


def test_whoever_is_not_ready_is_named_with_codes_and_the_run_is_asked_for(
    shell: Shell, published: Path, store: CoordinatorStore
) -> None:
    say(store, 0)
    say(store, 1, "E-SOURCE", "E-DATA-AGE")
    Listening(store).end(NODE_KEYS[1])  # it may come back: it does not hold a run up
    done = shell("run", "start", "--dir", published, "--format", "json")
    assert done.code == 0
    data = done.envelope["data"]
    assert data["not_ready"] == [
        {"partner": "shop-1", "codes": ["E-SOURCE", "E-DATA-AGE"], "since": SINCE, "away": True}
    ]
    (words,) = [note for note in data["notes"] if "not ready" in note]
    assert words.startswith(
        "shop-1 said that it is not ready, and is away now: E-SOURCE (its customers' data cannot "
        "be read), E-DATA-AGE, since "
    )
    for way in (
        "have shop-1 put right what its fedseg-node check says of its data",
        "start the run when `fedseg-coordinator run plan` says that it is ready",
    ):
        assert way in words
    assert words in said_in(done.err)
    assert [row.run_id.hex() for row in store.runs()] == [data["run_id"]]


def test_people_read_it_too_and_nothing_where_all_are_ready(
    shell: Shell, published: Path, store: CoordinatorStore
) -> None:
    for shop in range(3):
        say(store, shop)
    done = shell("run", "start", "--dir", published)
    assert (done.code, "not ready" in done.err) == (0, False)
    shell.json("run", "stop", "--dir", published)
    say(store, 2, "E-CONSENT-FILE")
    Listening(store).end(NODE_KEYS[2])
    assert "shop-2 said that it is not ready" in said_in(
        shell("run", "start", "--dir", published).err
    )


def test_who_is_not_connected_is_said_and_how_long_the_run_waits(
    shell: Shell, published: Path, store: CoordinatorStore
) -> None:
    for shop in range(3):
        say(store, shop)
    assert not [
        n
        for n in shell.json("run", "start", "--dir", published)["notes"]
        if "waits" in n and "connected" in n
    ]
    shell.json("run", "stop", "--dir", published)
    for shop in (0, 2):
        Listening(store).end(NODE_KEYS[shop])
    done = shell("run", "start", "--dir", published)
    grace_s = CoordinatorConfig.load(published).patience.grace_s
    assert (
        f"not connected now: shop-0, shop-2; connected: shop-1. The run waits {grace_s:g} s for "
        "whoever is missing" in said_in(done.err)
    )


def test_whoever_is_left_out_is_not_waited_for(
    shell: Shell, published: Path, store: CoordinatorStore
) -> None:
    say(store, 2, "E-SOURCE")
    data = shell.json("run", "start", "--without", "shop-2", "--dir", published)
    assert (data["not_ready"], [n for n in data["notes"] if "shop-2" in n]) == ([], [])


def test_a_run_for_which_too_few_are_ready_is_refused_in_plan_and_start_alike(
    shell: Shell, published: Path, store: CoordinatorStore
) -> None:
    say(store, 0)
    say(store, 1, "E-SOURCE")
    error = shell.refused("run", "start", "--dir", published, status=3)
    assert error["code"] == "E-SET-QUORUM"
    assert error["message"].startswith(
        "2 partners may take part, 3 are needed; not ready, as their nodes said: shop-1: E-SOURCE"
    )
    assert "have shop-1 put right what its fedseg-node check says of its data" in error["remedy"]
    assert "run plan" in error["remedy"]
    assert store.runs() == []
    (found,) = shell.json("run", "plan", "--dir", published)["obstacles"]
    assert found == error
    say(store, 1)
    assert shell.json("run", "plan", "--dir", published)["obstacles"] == []
    assert shell.json("run", "start", "--dir", published)["not_ready"] == []


def test_whoever_has_said_nothing_may_come(
    shell: Shell, published: Path, store: CoordinatorStore
) -> None:
    """Nodes that joined by files never say it; a run asks them all the same."""
    for key in NODE_KEYS:
        Listening(store).end(key)
    assert shell.json("run", "start", "--dir", published)["not_ready"] == []


def test_a_code_without_a_cause_sends_to_the_nodes_own_check() -> None:
    found = Unready(partner="north", codes=("E-NEW",), since=SINCE, away=False)
    assert found.told.startswith("E-NEW, since ")
    assert found.way_out == "have north put right what its fedseg-node check says"
    assert "away" not in found.words
