"""Staff and training: who is on record, and that nobody acts without what was agreed."""

# Fixtures of another file are imported, and named again by the tests that want them:
# ruff: noqa: F811

from __future__ import annotations

from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from machine.accounts.acts import at_the_machine, person_of
from partner_node.egress.deciding import decide
from partner_node.egress.records import Manifests
from partner_node.home import NodeHome
from partner_node.store.node_store import NodeStore
from partner_node.store.staff import Person, Staff, Training
from partner_node.trained import check_somebody_trained, check_trained
from protocol.errors import RuleError
from tests.partner_node.nodes import (  # noqa: F401 - fixtures
    complete,
    draft,
    installed,
    node,
    shell,
)
from tests.partner_node.test_node_cli import after_a_run
from tests.shell import Shell

ME = person_of(at_the_machine())
TODAY = datetime.now(UTC).date()
DAY = timedelta(days=1)
COURSE = "fedseg-basics"


def kinds(shell: Shell, folder: Path) -> list[tuple[str, str]]:
    """What the audit log has of people."""
    found = shell.json("log", "show", "--kind", "staff", "--kind", "training", "--dir", folder)
    return [(one["kind"], one.get("step") or one["course"]) for one in found["entries"]]


def train(shell: Shell, folder: Path, *, name: str = ME, until: date = TODAY + 300 * DAY) -> None:
    shell.json(
        "staff", "train", name, "--course", COURSE, "--on", TODAY - 9 * DAY, "--valid-until", until,
        "--dir", folder,
    )  # fmt: skip


def test_staff_come_are_trained_and_leave_and_the_log_has_it(
    shell: Shell, node: Path, tmp_path: Path
) -> None:
    where = ("--dir", node)
    shell.json("staff", "add", "anna", "--role", "marketer", *where)
    (tmp_path / "certificate.pdf").write_bytes(b"passed")
    done = shell.json(
        "staff", "train", "anna", "--course", COURSE, "--on", "2026-01-05", "--valid-until",
        "2027-01-05", "--evidence", tmp_path / "certificate.pdf", *where,
    )  # fmt: skip
    assert len(done["evidence"]) == 64
    found = shell.json("staff", "list", *where)
    assert (found["demanded"], found["staff"][0]["name"]) == ([], "anna")
    assert found["staff"][0]["training"][0] == {
        "course": COURSE, "on": "2026-01-05", "until": "2027-01-05", "evidence": done["evidence"],
    }  # fmt: skip
    shell.json("staff", "remove", "anna", *where)
    assert shell.json("staff", "list", *where)["staff"] == []
    assert kinds(shell, node) == [("staff", "added"), ("training", COURSE), ("staff", "removed")]
    with closing(NodeHome.load(node).store(NodeHome.load(node).keystore())) as store:
        assert store.ask("SELECT count(*) FROM training") == [(0,)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add", "Anna Berg", "--role", "x"], "no name of an account"),
        (["add", "anna", "--role", " "], "--role"),
        (["add", "bo", "--role", "x"], "E-STAFF-EXISTS"),
        (["train", "nobody", "--course", "a", "--on", "2026-01-01", "--valid-until", "2026-02-01"],
         "E-STAFF-UNKNOWN"),
        (["train", "bo", "--course", "A b", "--on", "2026-01-01", "--valid-until", "2026-02-01"],
         "no name of a course"),
        (["train", "bo", "--course", "a", "--on", "2999-01-01", "--valid-until", "2999-02-01"],
         "lies ahead"),
        (["train", "bo", "--course", "a", "--on", "2026-01-02", "--valid-until", "2026-01-01"],
         "is before"),
        (["train", "bo", "--course", "a", "--on", "2026-01-01", "--valid-until", "2026-02-01",
          "--evidence", "gone.pdf"], "E-STAFF-FILE"),
        (["remove", "nobody"], "E-STAFF-UNKNOWN"),
    ],
)  # fmt: skip
def test_wrong_words_change_nothing(shell: Shell, node: Path, words: list[str], said: str) -> None:
    where = ("--dir", node)
    shell.json("staff", "add", "bo", "--role", "officer", *where)
    before = shell.json("staff", "list", *where), kinds(shell, node)
    error = shell.refused("staff", *words, *where, status=2)
    assert said in f"{error['code']}: {error['message']}"
    assert (shell.json("staff", "list", *where), kinds(shell, node)) == before


def test_nobody_signs_without_the_training_that_the_agreement_demands(
    shell: Shell, node: Path, tmp_path: Path
) -> None:
    (tmp_path / "draft.json").write_bytes(draft(node, training=[COURSE]).to_bytes())
    sign = ("agreement", "sign", "draft.json", "--out", "signed.json", "--dir", node)
    assert f"{ME!r} is not on record" in refused(shell, *sign)
    shell.json("staff", "add", ME, "--role", "engineer", "--dir", node)
    assert COURSE in refused(shell, *sign)
    train(shell, node, until=TODAY - DAY)
    assert f"held until {TODAY - DAY}" in refused(shell, *sign)
    assert not (tmp_path / "signed.json").exists()
    train(shell, node)
    shell.json(*sign)
    assert (tmp_path / "signed.json").exists()


def refused(shell: Shell, *words: object) -> str:
    found = shell.refused(*words, status=3)
    assert found["code"] == "E-TRAINING"
    return str(found["message"])


def test_a_node_where_nobody_is_trained_answers_nothing_and_check_says_so(
    shell: Shell, node: Path
) -> None:
    home = NodeHome.load(node)
    home.config.node.agreement.write_bytes(complete(node, training=[COURSE]))
    home = NodeHome.load(node)
    agreement = home.agreements_in_force()[0]

    def check() -> None:
        home.rules(agreement, home.party(agreement)).check(datetime.now(UTC))

    with pytest.raises(RuleError, match="E-TRAINING"):
        check()
    found = shell("check", "--dir", node, "--format", "json").envelope["data"]
    assert "E-TRAINING" in [one.get("code") for one in found["checks"]]
    shell.json("staff", "add", "anna", "--role", "marketer", "--dir", node)
    with pytest.raises(RuleError, match="E-TRAINING"):
        check()
    train(shell, node, name="anna")
    check()


def test_nobody_approves_or_writes_files_without_it(
    monkeypatch: pytest.MonkeyPatch, shell: Shell, node: Path
) -> None:
    """Each act asks; refusing a message takes no training."""
    asked: list[str] = []

    def refuse(store: NodeStore, agreement: Any, who: str, now: datetime) -> None:
        asked.append(who)
        raise RuleError("not trained", code="E-TRAINING", remedy="")

    home = NodeHome.load(node)
    home.config.node.agreement.write_bytes(complete(node, training=[COURSE]))
    monkeypatch.setattr("partner_node.egress.deciding.check_trained", refuse)
    monkeypatch.setattr(Manifests, "decide", lambda *_, **__: "decided")
    with closing(home.store(home.keystore())) as store:
        signed = NodeHome.load(node).signed_agreement()
        monkeypatch.setattr(NodeStore, "agreement", lambda *_: signed)
        monkeypatch.setattr(
            NodeStore, "one", lambda self, sql, *v: (b"x",) if "manifests" in sql else None
        )
        people, now = home.people(), datetime.now(UTC)
        with pytest.raises(RuleError, match="E-TRAINING"):
            decide(store, 1, "approve", now=now, by="anna", people=people)
        assert decide(store, 1, "refuse", now=now, by="anna", people=people) == "decided"  # type: ignore[comparison-overlap]
    assert asked == ["anna"]


def test_nobody_writes_a_file_without_it(
    monkeypatch: pytest.MonkeyPatch, shell: Shell, node: Path, tmp_path: Path
) -> None:
    """The agreements of the release and in force are asked for, before any row is read."""
    after_a_run(node, [1.0, 5.0, 9.0])

    def refuse(store: NodeStore, agreement: Any, who: str, now: datetime) -> None:
        raise RuleError(f"{who} is not trained", code="E-TRAINING", remedy="")

    monkeypatch.setattr("partner_node.segments.exports.check_trained", refuse)
    monkeypatch.setattr("partner_node.segments.exports.own_customers", None)
    out = tmp_path / "x.csv"
    said = refused(shell, "segments", "export", "--for", "evaluation", "--out", out, "--dir", node)
    assert ME in said
    assert not out.exists()


def test_whose_training_holds_is_decided_by_days_and_by_the_person() -> None:
    def person(name: str, *spans: tuple[int, int]) -> Person:
        training = tuple(
            Training(name=name, course=COURSE, on=TODAY + a * DAY, until=TODAY + b * DAY,
                     evidence="")
            for a, b in spans
        )  # fmt: skip
        return Person(name=name, role="x", since="", training=training)

    for spans, holds in (
        ([], False), ([(-9, -1)], False), ([(1, 9)], False), ([(0, 0)], True),
        ([(-9, -1), (-1, 3)], True),
    ):  # fmt: skip
        one = person("anna", *spans)
        assert (one.lacking((COURSE,), TODAY) == []) is holds
        assert one.lacking((), TODAY) == []
    longest = person("anna", (-9, 3), (-8, 9), (-7, 5)).holding(COURSE, TODAY)
    assert longest is not None and longest.until == TODAY + 9 * DAY


def test_somebody_at_the_machine_is_the_person_of_that_name(shell: Shell, installed: Path) -> None:
    home, now = NodeHome.load(installed), datetime.now(UTC)
    agreement = home.agreements_in_force()[0]
    asks = type(agreement).from_dict(agreement.to_dict() | {"training": [COURSE]})
    with closing(home.store(home.keystore())) as store:
        with store.transaction():
            Staff(store).add("anna", "marketer", by="", at="2026-12-01T09:00:00Z")
            one = Training(name="anna", course=COURSE, on=TODAY, until=TODAY, evidence="")
            Staff(store).train(one, by="", at="2026-12-01T09:00:00Z")
        check_trained(store, asks, "anna (at the machine)", now)
        check_trained(store, asks, "anna", now)
        check_trained(store, agreement, "bo", now)
        with pytest.raises(RuleError, match="E-TRAINING"):
            check_trained(store, asks, "bo", now)
        check_somebody_trained(Staff(store).all(), asks, now)
        with pytest.raises(RuleError, match="E-TRAINING"):
            check_somebody_trained(Staff(store).all(), asks, now + DAY)
