"""A consortium from empty folders: partners join by invitation, sign online, form segments.

All that is carried by hand is a text to each partner, and a code back. One of them gets out through
an HTTP proxy alone, which asks for a password.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coordinator.config import CoordinatorConfig
from machine.files import write_file
from tests.connect_proxy import ConnectProxy, connect_proxy
from tests.end_to_end import deployment as deploy
from tests.end_to_end.command_line import PATIENCE_S, command
from tests.end_to_end.deployment import NAMES, Deployment
from tests.end_to_end.transport_support import connected_to, tree_of, wait_for
from tests.shell import Done

pytestmark = pytest.mark.slow

EACH = 60
#: The partner behind a proxy.
BEHIND = NAMES[0]
LOGIN = "user:pass word"


def said(side: str, *words: object) -> dict[str, Any]:
    """The data of a command that succeeds."""
    done = command(side, *words, "--format", "json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = Done(done.returncode, done.stdout, done.stderr).envelope["data"]
    return found


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A serving coordinator, and folders of partners in which their customers are and nothing."""
    directory = tmp_path_factory.mktemp("consortium")
    folder = deploy.make_coordinator(directory, control=True)
    for number, name in enumerate(NAMES):
        deploy.write_customers(directory / f"{name}.csv", deploy.customers(number, EACH))
    deployment = Deployment(
        directory=directory,
        names=NAMES,
        coordinator=deploy.serving("coordinator", folder),
        nodes={name: deploy.serving("node", directory / name) for name in NAMES},
    )
    try:
        deployment.start_coordinator()
        yield deployment
    finally:
        deployment.stop()


@pytest.fixture(scope="module")
def proxy() -> Iterator[ConnectProxy]:
    with connect_proxy(credentials=LOGIN) as proxy:
        yield proxy


def join(consortium: Deployment, name: str, *more: object) -> None:
    """Invite a partner, have it join, compare codes, admit it."""
    at = ("--dir", consortium.operator_folder)
    (made,) = said("coordinator", "partner", "invite", name, *at)["invitations"]
    text = made["invitation"]
    assert len(text) <= 200
    consents = consortium.directory / f"{name}-consents.csv"
    with deploy.cheap_key_stores():
        joined = said(
            "node", "join", text, "--dir", consortium.folder(name),
            "--legal-name", f"Shop {name}", "--contact", f"office@{name}.example",
            "--jurisdiction", "DE", "--data", consortium.directory / f"{name}.csv",
            "--id-column", "customer_id", "--consents", consents, "--youngest-customer", 18,
            *more,
        )  # fmt: skip
    deploy.grant(consortium.folder(name), consents)
    listed = said("coordinator", "partner", "list", *at)["partners"]
    (line,) = [one for one in listed if one["partner"] == name]
    assert line["code"] == joined["code"]
    said("coordinator", "partner", "admit", "--code", joined["code"], *at)


def test_partners_that_joined_by_invitation_sign_online_and_form_segments(
    consortium: Deployment, proxy: ConnectProxy
) -> None:
    at = ("--dir", consortium.operator_folder)
    secret = consortium.directory / "proxy-password"
    write_file(secret, LOGIN.encode(), mode=0o600)
    for name in NAMES:
        through = ("--proxy", proxy.url, "--proxy-password-file", secret)
        join(consortium, name, *(through if name == BEHIND else ()))
        consortium.nodes[name].start()  # it waits for an agreement
    draft = deploy.draft_agreement(
        consortium.directory, NAMES, features=deploy.plain_features(), max_rounds=3, joined=True
    )
    hash = said("coordinator", "agreement", "propose", draft, *at)["agreement"]
    for number, name in enumerate(NAMES):
        to = ("--dir", consortium.folder(name))
        (proposed,) = said("node", "agreement", "proposals", *to)["proposals"]
        assert proposed["agreement"] == hash
        shown = said("node", "agreement", "show", "--proposed", hash[:16], *to)
        assert len(shown["missing_signatures"]) == len(NAMES) - number
        done = said("node", "agreement", "sign", "--proposed", hash[:16], *to)
        assert done["complete"] is (number == len(NAMES) - 1)
        assert done["warnings"] == []
    (proposal,) = said("coordinator", "agreement", "status", *at)["proposals"]
    assert proposal["complete"]
    for name in NAMES:
        consortium.await_connected(name)
        assert "is in force here" in consortium.nodes[name].said()
    run = consortium.run()
    assert run.state == "finished", run
    listed = said("coordinator", "partner", "list", *at)["partners"]
    assert [(one["partner"], one["state"]) for one in listed] == [
        (name, "admitted") for name in sorted(NAMES)
    ]
    assert all(one["version"] for one in listed)
    config = CoordinatorConfig.load(consortium.operator_folder)
    assert config.control is not None
    assert set(proxy.asked) == {f"127.0.0.1:{config.port}", f"127.0.0.1:{config.control.port}"}
    ports = {
        name: {port for _, port in connected_to(tree_of(consortium.nodes[name].pid))}
        for name in NAMES[:2]
    }
    assert ports == {BEHIND: {proxy.port}, NAMES[1]: {config.port, config.control.port}}
    for name in NAMES:
        now = said("node", "status", "--dir", consortium.folder(name))
        assert (now["serving"], now["open_runs"]) == (True, [])
        assert {way: one["reached"] for way, one in now["coordinator"].items()} == {
            "link": True, "control": True,
        }  # fmt: skip
        (ready,) = now["readiness"]
        assert (ready["agreement"], ready["codes"], ready["told"]) == (hash, [], True)
    plan = said("coordinator", "run", "plan", *at)
    assert {one["state"] for one in plan["partners"]} == {"ready"}
    assert all(one["listens"] for one in listed)


def test_a_stop_reaches_every_node_at_once(consortium: Deployment, tmp_path: Path) -> None:
    first, *others = NAMES
    done = said(
        "node", "agreement", "stop", "--yes", "--reason", "A merger.", "--out",
        tmp_path / "stop.json", "--dir", consortium.folder(first),
    )  # fmt: skip
    assert done["sent"]
    for name in others:
        wait_for(
            lambda name=name: f"control: {first} stopped" in consortium.nodes[name].said(),
            timeout_s=PATIENCE_S,
            what=f"the stop at {name}",
        )
    refused = command("coordinator", "run", "start", "--dir", consortium.operator_folder)
    assert refused.returncode == 3
    assert "E-WITHDRAWN" in refused.stderr
    assert "A merger." in refused.stderr


def test_an_invitation_that_was_used_lets_nobody_in(consortium: Deployment, tmp_path: Path) -> None:
    at = ("--dir", consortium.operator_folder)
    (made,) = said("coordinator", "partner", "invite", "late", *at)["invitations"]
    text = made["invitation"]
    words = [
        "--legal-name", "x", "--contact", "x", "--jurisdiction", "DE", "--id-column", "id",
        "--data", "none.csv", "--youngest-customer", "18",
    ]  # fmt: skip
    with deploy.cheap_key_stores():
        said("node", "join", text, "--dir", tmp_path / "first", *words)
        second = command("node", "join", text, "--dir", tmp_path / "second", *words)
    assert second.returncode == 3
    assert "E-INVITATION-USED" in second.stderr
    said("coordinator", "partner", "remove", "late", "--dir", consortium.operator_folder)
