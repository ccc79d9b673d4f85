"""`check` calls the control port of a node that joined, and says what is found with a way out."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509

from coordinator.control.standing import shut_out
from partner_node.control import reached
from partner_node.control.presence import show_up
from partner_node.control.reached import check_control
from partner_node.home import NodeHome
from partner_node.membership import CERTIFICATE_FILE, FILE_NAME, Membership
from partner_node.preflight import Item, preflight
from tests.connect_proxy import connect_proxy
from tests.control.commands import invited, join_words, member, operator, shell
from tests.control.lab import Lab, lab
from tests.shell import Shell

__all__ = ["lab", "member", "shell"]


def found(home: NodeHome, *, now: datetime | None = None) -> Item:
    """What `check` says of the control port."""
    report = preflight(home.directory, now=now or datetime.now(UTC), control=check_control)
    (item,) = [item for item in report.items if item.name == "control port"]
    return item


def code(item: Item) -> str:
    assert item.problem is not None
    assert item.problem.remedy
    return item.problem.code


def change(home: NodeHome, old: str, new: str) -> NodeHome:
    """The node with another line in its configuration."""
    text = home.config.file.read_text(encoding="utf-8")
    assert old in text
    home.config.file.write_text(text.replace(old, new), encoding="utf-8")
    return NodeHome.load(home.directory)


def test_a_node_in_order_is_admitted_and_told_its_certificates_end_and_the_time(
    member: NodeHome, lab: Lab
) -> None:
    item = found(member)
    assert (item.passed, item.warnings) == (True, ())
    assert re.fullmatch(
        rf"{lab.port.address} answers directly; admitted; certificate until \d{{4}}-\d\d-\d\d; "
        r"clocks differ by 0\.\d s",
        item.details,
    )


def test_the_way_through_a_proxy_is_said(member: NodeHome) -> None:
    with connect_proxy() as proxy:
        home = change(member, '# proxy = "http://proxy.example:8080"', f'proxy = "{proxy.url}"')
        assert f"answers through the proxy 127.0.0.1:{proxy.port}" in found(home).details
        proxy.answer = 403
        item = found(home)
    assert item.passed
    assert "E-PROXY-REFUSED" in item.details


def test_that_only_the_control_port_is_away_is_a_warning(member: NodeHome, lab: Lab) -> None:
    item = found(change(member, lab.port.address, "127.0.0.1:1"))
    assert item.passed
    assert "127.0.0.1:1 is not reached (E-CONTROL-AWAY)" in item.details
    (words,) = item.warnings
    assert "runs do not need it" in words
    assert "ask the operator whether the coordinator serves" in words


def test_a_node_that_waits_and_one_that_was_removed_are_told_so(
    shell: Shell, lab: Lab, tmp_path: Path
) -> None:
    data = shell.json(*join_words(invited(shell, lab, "waits"), tmp_path / "waits"))
    home = NodeHome.load(tmp_path / "waits")
    item = found(home)
    assert code(item) == "E-LINK-NOT-ADMITTED"
    assert item.problem is not None
    assert f"--code {data['code']}" in item.problem.remedy
    shut_out(lab.store, "waits")
    assert code(found(home)) == "E-CALLER"


@pytest.mark.parametrize(
    ("ahead_s", "problem", "words"),
    [
        (5, "E-LINK-CLOCK", r"5\.\d s ahead of"),
        (-300, "E-LINK-CLOCK", r"0:0[45]:\d\d behind"),
        (7_200, "E-LINK-CLOCK", r"2:00:00 ahead of"),
        (-60, "", r"(59\.\d s|0:01:0\d) behind"),
        (3, "", ""),
    ],
)
def test_clocks_that_differ_are_a_problem_when_runs_are_refused_for_it(
    member: NodeHome, monkeypatch: pytest.MonkeyPatch, ahead_s: int, problem: str, words: str
) -> None:
    monkeypatch.setattr(
        reached,
        "show_up",
        partial(show_up, clock=lambda: datetime.now(UTC) + timedelta(seconds=ahead_s)),
    )
    item = found(member)
    assert ("" if item.problem is None else item.problem.code) == problem
    said = item.details if problem else " ".join(item.warnings)
    assert re.search(words, said), said
    assert bool(item.warnings) is (not problem and bool(words))


def test_a_certificate_that_ends_soon_or_has_ended_is_a_warning_with_a_way_out_that_works(
    shell: Shell, lab: Lab, member: NodeHome
) -> None:
    path = member.keys_folder / CERTIFICATE_FILE
    before = path.read_bytes()
    end = x509.load_pem_x509_certificate(before).not_valid_after_utc
    item = found(member, now=end - timedelta(days=29))
    assert item.passed
    assert [w for w in item.warnings if "is renewed by itself" in w]
    item = found(member, now=end + timedelta(seconds=1))
    assert item.passed
    (words,) = item.warnings
    assert f"ended on {end:%Y-%m-%d}" in words
    assert str(member.directory / FILE_NAME) in words
    (member.directory / FILE_NAME).unlink()
    data = shell.json(*join_words(invited(shell, lab, "member"), member.directory))
    assert path.read_bytes() != before
    membership = Membership.load(member.directory)
    assert membership is not None
    assert membership.code == data["code"]
    assert found(member).passed, "the same key, which is admitted"
    listed = operator(shell).json("partner", "list", "--dir", lab.config.directory)["partners"]
    assert [one["state"] for one in listed if one["partner"] == "member"] == ["admitted"]


def test_a_node_by_hand_has_no_control_port_to_check(member: NodeHome, lab: Lab) -> None:
    change(member, f'control = "{lab.port.address}"', "")
    report = preflight(member.directory, now=datetime.now(UTC), control=check_control)
    assert "control port" not in [item.name for item in report.items]
