"""A consortium lives: from empty folders to releases by the schedule, as people go about it.

All that is carried by hand is a text to each partner, and a code back. One partner gets out through
an HTTP proxy alone, which asks for a password. The commands are those of docs/consortium.md.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from coordinator.config import CoordinatorConfig
from machine.times import stamp
from partner_node.store.heard import LINK
from tests.end_to_end import deployment as deploy
from tests.end_to_end.command_line import PATIENCE_S, command
from tests.end_to_end.consortium import (
    BEHIND,
    EACH,
    EVERYBODY,
    KINDS,
    LATE,
    OPERATOR,
    Consortium,
    consortium,
    every_day,
    said,
    this_minute,
)
from tests.end_to_end.consortium_pictures import show_consoles
from tests.end_to_end.pictures import MOST_BYTES, Camera, camera
from tests.end_to_end.story import commands_of, pictures_of, plain
from tests.end_to_end.transport_support import connected_to, tree_of, wait_for

pytestmark = pytest.mark.slow

#: Commands of each role until it has the first release.
MOST_COMMANDS = 6
#: Where the story is written: ``docs/consortium.md`` has what was written there last.
PAGE_VARIABLE = "FEDSEG_TEST_STORY"
_NAMED = os.environ.get(PAGE_VARIABLE)
WRITTEN = Path(_NAMED).absolute() if _NAMED else None
PAGE = Path(__file__).resolve().parents[2] / "docs" / "consortium.md"


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    with consortium(
        tmp_path_factory.mktemp("consortium"), tmp_path_factory.mktemp("runtime")
    ) as made:
        yield made


@pytest.fixture(scope="module")
def photographer() -> Iterator[Camera | None]:
    with camera(WRITTEN.with_suffix("") if WRITTEN else None) as made:
        yield made


def test_from_empty_folders_to_releases_by_the_schedule(
    lives: Consortium, photographer: Camera | None
) -> None:
    story = lives.story
    story.tell(
        """
# The life of a consortium
An operator and four partners, each with an empty folder and its customers where its systems have
them: a CSV file, a Parquet file, a SQLite database, a PostgreSQL server. They come to a first
release, a customer objects, a fifth partner joins, the coordinator's certificate is renewed, a
partner replaces its key, one leaves, and runs begin by themselves. All that is carried by hand is
one text to each partner, and a short code back over the telephone.

This page is written by the test that does all of it with real processes
(`tests/end_to_end/test_consortium.py`); the output of a command is shown where it is given first,
and its beginning alone.
"""
    )
    begin(lives)
    first = first_release(lives)
    assert max(story.counted.values()) <= MOST_COMMANDS, story.counted
    assert {*story.counted} == {OPERATOR, *KINDS}
    show_consoles(lives, first, photographer, beside=PAGE.stem)
    object_and_run(lives, first)
    a_fifth_joins(lives)
    a_new_certificate(lives)
    each_process_once_more(lives)
    a_key_is_replaced(lives)
    one_leaves(lives)
    if WRITTEN is not None:
        WRITTEN.write_text(story.to_markdown(), encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    assert [plain(one) for one in commands_of(page)] == [plain(one) for one in story.commands]
    assert pictures_of(page) == story.pictures
    for picture in story.pictures:
        seen = (PAGE.parent / picture).read_bytes()
        assert seen.startswith(b"RIFF")
        assert len(seen) <= MOST_BYTES, picture


def begin(lives: Consortium) -> None:
    story, at = lives.story, ("--dir", "coordinator")
    story.tell(
        """
## The operator begins, partners join
`serve` keeps running; each of its lines below is a process of its own.
"""
    )
    story.give(
        OPERATOR, "init", *at, "--legal-name", "Segment Trust", "--contact", "ops@trust.example",
        "--port", lives.port,
    )  # fmt: skip
    story.serve(OPERATOR, lives.deployment.coordinator)
    wait_for(
        lambda: (lives.folder / "coordinator" / "address").exists(),
        timeout_s=PATIENCE_S,
        what="the public port",
    )
    invited = story.give(OPERATOR, "partner", "invite", *KINDS, *at)
    story.tell("Each partner gets its text by a way that both trust. The first one gets out "
               "through a proxy alone.")  # fmt: skip
    texts = [line for line in invited.splitlines() if line.startswith("fedseg-1-")]
    assert max(map(len, texts)) <= 200
    for name, text in zip(KINDS, texts, strict=True):
        lives.join(name, text)
    story.tell("Each partner reads its code to the operator over the telephone.")
    codes = [word for name in KINDS for word in ("--code", lives.codes[name])]
    story.give(OPERATOR, "partner", "admit", *codes, *at)
    story.give(OPERATOR, "agreement", "draft", "--joined", "--out", "agreement.yaml", *at)
    story.tell(
        """
In `agreement.yaml` the operator now has `n_clusters: 4`, and a schedule:
`{every: 1, unit: days, first_day: "…", at: "00:00", window_hours: 24}`.

## Everybody signs
"""
    )
    midnight = datetime.now(UTC).replace(hour=0, minute=0)
    lives.edit(
        "agreement.yaml", plan={"n_clusters": 4, "n_clusters_min": 4}, schedule=every_day(midnight)
    )


def first_release(lives: Consortium) -> bytes:
    """Everybody signs, the schedule begins the first run, and marketers export."""
    story = lives.story
    hash = lives.propose("agreement.yaml")
    for name in KINDS:
        lives.sign(name, hash)
    story.tell(
        """
## The first release
With the last signature the agreement is in force at every node that serves. Its schedule says that
a run is due, so one begins: nobody gives a command. Marketers take the segments of their own
customers. Nobody gave more than six commands up to here.
"""
    )
    run_id = lives.scheduled(1)
    row = lives.deployment.await_end(run_id)
    assert row.state == "finished", row
    check_release(lives, run_id, version=1, partners=KINDS)
    for name in KINDS:
        await_release(lives, name, 1)
        story.give(
            name, "segments", "export", "--for", "own-marketing", "--out", f"{name}-segments.csv",
            "--dir", name,
        )  # fmt: skip
        rows = (lives.folder / f"{name}-segments.csv").read_text().splitlines()
        assert len(rows) == EACH + 1
    check_ways(lives)
    return run_id


def await_release(lives: Consortium, name: str, count: int) -> None:
    wait_for(
        lambda: len(said("node", "segments", "releases", "--dir", name)["releases"]) == count,
        timeout_s=PATIENCE_S,
        what=f"release {count} at {name}",
    )


def check_ways(lives: Consortium) -> None:
    """Who is connected to what, and what each side says of the other."""
    config = CoordinatorConfig.load(lives.folder / "coordinator")
    assert config.control is not None
    both = {config.port, config.control.port}
    assert set(lives.proxy.asked) == {f"127.0.0.1:{port}" for port in both}
    nodes = lives.deployment.nodes
    ports = {
        name: {port for _, port in connected_to(tree_of(nodes[name].pid))}
        for name in (BEHIND, "south")
    }
    assert ports == {BEHIND: {lives.proxy.port}, "south": both}
    for name in KINDS:
        now = said("node", "status", "--dir", name)
        assert (now["serving"], now["open_runs"]) == (True, [])
        assert all(one["reached"] for one in now["coordinator"].values())
        (ready,) = now["readiness"]
        assert (ready["codes"], ready["told"]) == ([], True)
    listed = said("coordinator", "partner", "list", "--dir", "coordinator")["partners"]
    assert {one["partner"]: one["state"] for one in listed} == dict.fromkeys(KINDS, "admitted")
    assert all(one["version"] and one["listens"] for one in listed)
    plan = said("coordinator", "run", "plan", "--dir", "coordinator")
    assert {one["state"] for one in plan["partners"]} == {"ready"}


def run(lives: Consortium) -> bytes:
    """The operator starts a run by hand; its id."""
    lives.story.give(OPERATOR, "run", "start", "--watch", "--dir", "coordinator")
    with lives.deployment.store() as store:
        row = store.runs()[0]
    assert row.state == "finished", row
    return row.run_id


def object_and_run(lives: Consortium, before: bytes) -> None:
    """A customer objects, and is out of the next question."""
    lives.story.tell(
        """
## A customer objects
The customer is out of the next question, here of a run that the operator starts.
"""
    )
    answers = lives.deployment.answers
    assert {one.customers for one in answers(before, "east")} == {EACH}
    lives.story.give("east", "rights", "object", "--subject", "east-7", "--dir", "east")
    after = run(lives)
    assert {one.customers for one in answers(after, "east")} == {EACH - 1}
    assert {one.customers for one in answers(after, "north")} == {EACH}


def a_fifth_joins(lives: Consortium) -> None:
    story, at = lives.story, ("--dir", "coordinator")
    story.tell(
        """
## A fifth partner, by a new version
"""
    )
    invited = story.give(OPERATOR, "partner", "invite", LATE, *at)
    (text,) = [line for line in invited.splitlines() if line.startswith("fedseg-1-")]
    lives.join(LATE, text)
    story.give(OPERATOR, "partner", "admit", "--code", lives.codes[LATE], *at)
    story.give(OPERATOR, "agreement", "draft", "--next", "--joined", "--out", "second.yaml", *at)
    hash = lives.propose("second.yaml")
    for name in EVERYBODY:
        lives.sign(name, hash, told=False)
    lives.await_version(2, EVERYBODY)
    check_release(lives, run(lives), version=2, partners=EVERYBODY)


def check_release(
    lives: Consortium, run_id: bytes, *, version: int, partners: Collection[str]
) -> None:
    agreement = lives.deployment.agreement
    release = lives.deployment.release(run_id)
    assert (agreement.version, release.agreement_hash) == (version, agreement.hash)
    assert {*release.participants} == {*partners}


def a_new_certificate(lives: Consortium) -> None:
    """The coordinator's certificate and authority are new, while everybody serves."""
    story, at = lives.story, ("--dir", "coordinator")
    story.tell(
        """
## A new certificate
Its authority is new too. It waits until every node trusts both, then it is switched to. No process
is started again, and no file is carried.
"""
    )
    story.give(OPERATOR, "certificate", "renew", *at)
    wait_for(
        lambda: not said("coordinator", "certificate", "show", *at)["authorities"]["not_taken"],
        timeout_s=PATIENCE_S,
        what="the new authority at every node",
    )
    story.give(OPERATOR, "certificate", "show", *at)
    story.give(OPERATOR, "certificate", "switch", *at)
    new = (lives.folder / "coordinator" / "tls" / "coordinator-ca.crt").read_bytes()
    wait_for(
        lambda: (
            {(lives.folder / name / "coordinator-ca.crt").read_bytes() for name in EVERYBODY}
            == {new}
        ),
        timeout_s=PATIENCE_S,
        what="the new authority alone at every node",
    )


def each_process_once_more(lives: Consortium) -> None:
    """The coordinator is started again, to which nodes connect anew; then each node."""
    lives.story.tell(
        """
## Each process once more
The coordinator and each node are ended and started again, by whatever keeps them running.
"""
    )
    ended = stamp(datetime.now(UTC))
    assert lives.deployment.coordinator.stop() == 0
    lives.deployment.start_coordinator()
    for name in EVERYBODY:  # a log says "connected" once a minute, the state each time
        wait_for(
            lambda name=name: connected_since(lives, name) > ended,
            timeout_s=PATIENCE_S,
            what=f"the link of {name}",
        )
        lives.restart(name)


def connected_since(lives: Consortium, name: str) -> str:
    """Since when a node has been connected, as it keeps that; empty while it is not."""
    file = lives.deployment.folder(name) / "state" / "node.db"
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as state:
        rows = state.execute(
            "SELECT since FROM heard WHERE channel = ? AND reached", (LINK,)
        ).fetchall()
    return str(rows[0][0]) if rows else ""


def a_key_is_replaced(lives: Consortium) -> None:
    """A node's signing key is new, its process goes on, and so does the agreement."""
    story = lives.story
    before = said("node", "key", "show", "--dir", "south")["key"]
    story.tell(
        """
## A new signing key
The one of a node has been in use for a year. Nobody signs anything anew, and no process is started
again.
"""
    )
    story.give("south", "key", "rotate", "--dir", "south")
    after = said("node", "key", "show", "--dir", "south")["key"]
    assert after != before
    check_release(lives, run(lives), version=2, partners=EVERYBODY)
    for name in EVERYBODY:
        (one,) = said("node", "key", "show", "--dir", name)["hand_overs"]
        assert (one["partner"], one["old_key"], one["new_key"]) == ("south", before, after)


def one_leaves(lives: Consortium) -> None:
    """A version without one partner, whose schedule begins the next run by itself."""
    story, at = lives.story, ("--dir", "coordinator")
    leaves, stay = "west", [name for name in EVERYBODY if name != "west"]
    story.tell(
        """
## One leaves, and the schedule goes on
In `third.yaml` the operator has changed the schedule's `at` to this minute, so a run is due as soon
as all have signed.
"""
    )
    story.give(
        OPERATOR, "agreement", "draft", "--next", "--without", leaves, "--out", "third.yaml", *at
    )
    lives.edit("third.yaml", schedule=every_day(this_minute()))
    hash = lives.propose("third.yaml")
    for name in stay:
        lives.sign(name, hash, told=False)
    story.give(OPERATOR, "partner", "remove", leaves, *at)
    run_id = lives.scheduled(3)
    row = lives.deployment.await_end(run_id)
    assert row.state == "finished", row
    check_release(lives, run_id, version=3, partners=stay)
    story.give(OPERATOR, "run", "schedule", *at)


def test_a_stop_reaches_every_node_at_once(lives: Consortium, tmp_path: Path) -> None:
    at = ("--dir", "coordinator")
    done = said(
        "node", "agreement", "stop", "--yes", "--reason", "A merger.", "--out",
        tmp_path / "stop.json", "--dir", "north",
    )  # fmt: skip
    assert done["sent"]
    for name in ("east", "south", LATE):
        wait_for(
            lambda name=name: "control: north stopped" in lives.deployment.nodes[name].said(),
            timeout_s=PATIENCE_S,
            what=f"the stop at {name}",
        )
    refused = command("coordinator", "run", "start", *at)
    assert refused.returncode == 3
    assert "E-WITHDRAWN" in refused.stderr
    assert "A merger." in refused.stderr


def test_an_invitation_that_was_used_lets_nobody_in(lives: Consortium, tmp_path: Path) -> None:
    at = ("--dir", "coordinator")
    (made,) = said("coordinator", "partner", "invite", "another", *at)["invitations"]
    words = [
        made["invitation"], "--legal-name", "x", "--contact", "x", "--jurisdiction", "DE",
        "--id-column", "id", "--data", "none.csv", "--youngest-customer", "18",
    ]  # fmt: skip
    with deploy.cheap_key_stores():
        said("node", "join", *words, "--dir", tmp_path / "first")
        second = command("node", "join", *words, "--dir", tmp_path / "second")
    assert second.returncode == 3
    assert "E-INVITATION-USED" in second.stderr
