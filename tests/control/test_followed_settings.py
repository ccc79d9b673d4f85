"""A serving node sees by itself that ``node.toml`` was changed, and tells its readiness anew."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from partner_node import serving
from partner_node.client_app import nodes_of
from partner_node.control import checking
from partner_node.control.readiness import check_readiness
from partner_node.followed_settings import FollowedSettings
from partner_node.home import NodeHome
from tests.control.commands import shell
from tests.control.lab import lab
from tests.control.parties import Signing, in_force, parties, signing
from tests.control.test_readiness import PATIENCE_S, found_here, told_of
from tests.end_to_end.transport_support import wait_for

__all__ = ["lab", "parties", "shell", "signing"]


def append(file: Path, text: str) -> None:
    file.write_text(file.read_text(encoding="utf-8") + text, encoding="utf-8")


def test_a_serving_node_that_gets_no_message_tells_of_its_changed_settings(
    signing: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link of this node brings nothing: it only looks for messages."""
    agreement = in_force(signing)
    file = signing.home.config.file
    written = file.read_text(encoding="utf-8")
    checks: list[str] = []
    real = check_readiness

    def noted(home: NodeHome) -> None:
        real(home)
        checks.append(file.read_text(encoding="utf-8"))

    def codes() -> set[str]:
        told = told_of(signing, agreement)
        return set() if told is None else set(told.codes)

    def awaited(number: int) -> None:
        wait_for(lambda: len(checks) == number, timeout_s=PATIENCE_S, what=f"check {number}")

    def link(*_: Any, on_look: Callable[[], None], **more: Any) -> None:
        awaited(1)
        for _ in range(3):
            on_look()
        before = nodes_of(signing.home.directory)
        wait_for(lambda: bool(codes()), timeout_s=PATIENCE_S, what="what was found at the start")
        first = codes()
        assert "E-CONFIG" not in first and len(checks) == 1, "nothing was changed: no other check"
        file.write_text("[nonsense]\n", encoding="utf-8")
        for _ in range(3):
            on_look()
        wait_for(lambda: codes() == {"E-CONFIG"}, timeout_s=PATIENCE_S, what="the changed ones")
        file.write_text(written + "# again\n", encoding="utf-8")
        for _ in range(3):
            on_look()
        wait_for(lambda: codes() == first, timeout_s=PATIENCE_S, what="those that were put right")
        assert nodes_of(signing.home.directory) is not before, "taken up, too"
        assert len(checks) == 3, "one for each change"

    monkeypatch.setattr(checking, "check_readiness", noted)
    monkeypatch.setattr(serving, "require_sole_owner", lambda _: None)
    monkeypatch.setattr(serving, "serve_link", link)
    serving.serve_node(signing.home.directory, threading.Event())


def test_what_cannot_be_taken_up_is_logged_once_and_said_to_have_changed(
    signing: Signing, caplog: pytest.LogCaptureFixture
) -> None:
    in_force(signing)
    file, said = signing.home.config.file, list[str]()
    followed = FollowedSettings(signing.home.directory, file)
    followed.look(lambda: said.append("before"))
    append(file, "[nonsense]\n")
    for _ in range(3):
        followed.look(lambda: said.append("changed"))
    assert said == ["changed"]
    assert len([one for one in caplog.messages if "is not taken up" in one]) == 1
    assert "nonsense" in caplog.text


def test_a_section_for_another_agreement_is_checked_without_a_restart(signing: Signing) -> None:
    """The node began to serve with the home of before."""
    in_force(signing)
    signing.propose_next(id="another-purpose")
    signing.agree()
    other = signing.parties.draft.agreement
    append(signing.home.config.file, "[agreements.another-purpose]\n")
    assert signing.take_up() == "another-purpose 1"
    found = checking.Checking(signing.home)
    checked: list[None] = []

    def once(home: NodeHome) -> None:
        check_readiness(home)
        checked.append(None)
        found.end()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checking, "check_readiness", once)
        found.keep()
    assert checked and found_here(signing.home, other) is not None
