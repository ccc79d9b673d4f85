"""Where the agreement says so two different people sign, let a message leave, write a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from machine.accounts import acts
from machine.accounts.roles import Role
from partner_node.agreeing import install_agreement, take_effect
from partner_node.console.site import node_site
from partner_node.egress.records import Manifests
from partner_node.egress.settings import EgressSection
from partner_node.four_eyes import GOOD_FOR, Confirmations, First, needs_two
from partner_node.home import NodeHome
from partner_node.keystore import MIN_LOG2_N, Keystore
from partner_node.signing import sign_agreement
from partner_node.store.node_store import NodeStore
from partner_node.store.times import moment, stamp
from partner_node.store.waiting import WaitingVersions
from protocol.agreement.document import Agreement
from protocol.errors import RuleError, RunFailedError
from protocol.signed_agreement import SignedAgreement
from simulations import federation
from tests.federations import small_federation
from tests.machine.browsing import HOSTS
from tests.machine.people import PASSWORD, accounts_at, add
from tests.partner_node.consoles import person
from tests.partner_node.held import with_held_answer
from tests.partner_node.nodes import complete, draft, installed, node, shell, successor
from tests.partner_node.test_node_cli import after_a_run
from tests.shell import Shell

__all__ = ["installed", "node", "shell"]

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
ANNA, BERND = "anna (at the machine)", "bernd (at the machine)"


@pytest.fixture(autouse=True)
def cheap_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Keystore.create.__kwdefaults__, "log2_n", MIN_LOG2_N)


class Machine:
    """Who uses the machine's commands."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self.used_by("carla")

    def used_by(self, name: str) -> None:
        self._patch.setattr(acts.pwd, "getpwuid", lambda _: SimpleNamespace(pw_name=name))


Asking = Callable[..., None]


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> Asking:
    """Has agreements of simulations ask for two people."""
    own = federation.numbered_agreement

    def ask(*acts: str) -> None:
        def numbered(*words: Any, **named: Any) -> Agreement:
            return own(*words, four_eyes=list(acts), **named)

        monkeypatch.setattr(federation, "numbered_agreement", numbered)

    return ask


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def store_of(folder: Path) -> NodeStore:
    home = NodeHome.load(folder)
    return home.store(home.keystore())


# --- held messages -------------------------------------------------------------------------------


def outcomes(shell: Shell, folder: Path, act: str) -> list[str]:
    """How acts of a kind ended, by the log of people."""
    acts = shell.json("user", "log", "--dir", folder)["acts"]
    return [one["outcome"] for one in acts if one["act"] == act and one["outcome"] != "begun"]


def state(shell: Shell, folder: Path) -> tuple[str, str | None, str | None]:
    (held,) = shell.json("egress", "list", "--dir", folder)["held"]
    return held["state"], held["first_approved_by"], held["decided_by"]


def test_a_held_message_leaves_when_two_people_approved_it(
    shell: Shell, installed: Path, machine: Machine, asking: Asking
) -> None:
    asking("egress")
    waiting = with_held_answer(installed)
    assert "by two people" in shell("egress", "show", "3", "--dir", waiting).out
    out = " ".join(shell("egress", "approve", "3", "--dir", waiting).out.split())
    assert "until a second person approves it too" in out
    assert state(shell, waiting) == ("waiting", "carla (at the machine)", None)
    assert "carla (at the machine) approved it" in " ".join(
        shell("egress", "show", "3", "--dir", waiting).out.split()
    ).replace(" │ ", " ")
    error = shell.refused("egress", "approve", "3", "--dir", waiting, status=3)
    assert (error["code"], "carla" in error["message"]) == ("E-FOUR-EYES", True)
    assert state(shell, waiting)[0] == "waiting"
    machine.used_by("bernd")
    shell.json("egress", "approve", "3", "--dir", waiting)
    both = "carla (at the machine), bernd (at the machine)"
    assert outcomes(shell, waiting, "egress approve") == ["waits", *["E-FOUR-EYES"] * 2, "done"]
    assert state(shell, waiting) == ("approved", None, both)


def test_going_back_takes_no_clause_about_held_messages_away() -> None:
    federation = small_federation(1.0, 2.0)
    first, earlier = federation.nodes[0], federation.agreement
    later = replace(earlier, version=2, supersedes=earlier.hash, four_eyes=("egress",))
    with first.store.transaction():
        first.store.keep_agreement(SignedAgreement.draft(later), now=stamp(NOW))
    first._egress = EgressSection(hold="answers")
    with pytest.raises(RunFailedError, match="E-EGRESS-HELD"):
        federation.run()
    (held,) = Manifests(first.store).held()
    assert held.people == 2


def test_one_person_is_enough_to_refuse(
    shell: Shell, installed: Path, machine: Machine, asking: Asking
) -> None:
    asking("egress")
    waiting = with_held_answer(installed)
    shell.json("egress", "approve", "3", "--dir", waiting)
    shell.json("egress", "refuse", "3", "--dir", waiting)
    assert state(shell, waiting) == ("refused", None, "carla (at the machine)")


def test_without_the_clause_one_person_is_enough(
    shell: Shell, installed: Path, machine: Machine, asking: Asking
) -> None:
    asking("agreement", "export")
    waiting = with_held_answer(installed)
    shell.json("egress", "approve", "3", "--dir", waiting)
    assert state(shell, waiting) == ("approved", None, "carla (at the machine)")


def test_an_account_and_the_machine_are_two_people_unless_they_have_one_name(
    shell: Shell, installed: Path, machine: Machine, asking: Asking
) -> None:
    asking("egress")
    waiting = with_held_answer(installed)
    home = NodeHome.load(waiting)
    accounts = accounts_at(home.accounts_file, home.keystore())
    site = node_site(home, hosts=HOSTS, accounts=accounts)
    anna, carla = person(site, Role.APPROVER, "anna"), person(site, Role.APPROVER, "carla")
    assert "by two people" in anna.get("/approvals").text
    shell.json("egress", "approve", "3", "--dir", waiting)
    again = carla.send("/approvals/approve", page="/approvals", number="3")
    assert (again.status_code, "E-FOUR-EYES" in again.text) == (409, True)
    assert "carla (at the machine) approved it" in anna.get("/approvals").text
    anna.send("/approvals/approve", page="/approvals", number="3")
    assert state(shell, waiting) == ("approved", None, "carla (at the machine), anna")
    assert outcomes(shell, waiting, "egress approve") == ["waits", "E-FOUR-EYES", "done"]
    accounts.close()


def test_who_is_at_the_machine_is_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "somebody-else")
    monkeypatch.setenv("USER", "somebody-else")
    assert acts.at_the_machine() != "somebody-else (at the machine)"

    def nameless(_: int) -> object:
        raise KeyError

    monkeypatch.setattr(acts.pwd, "getpwuid", nameless)
    assert acts.at_the_machine().startswith("user ")


# --- signing -------------------------------------------------------------------------------------


def signing(shell: Shell, node: Path, file: Path) -> tuple[object, ...]:
    return ("agreement", "sign", file, "--out", f"{file}.signed", "--dir", node)


def test_nothing_is_signed_before_a_second_person_signs(
    shell: Shell, node: Path, tmp_path: Path, machine: Machine
) -> None:
    file = tmp_path / "draft.json"
    file.write_bytes(draft(node, four_eyes=["agreement"]).to_bytes())
    done = shell(*signing(shell, node, file), "--format", "json")
    assert (done.code, done.envelope["status"]) == (3, "refused")
    assert done.envelope["data"]["first"] == "carla (at the machine)"
    assert not Path(f"{file}.signed").exists()
    assert store_of(node).ask("SELECT count(*) FROM signed") == [(0,)]
    assert shell.refused(*signing(shell, node, file), status=3)["code"] == "E-FOUR-EYES"
    machine.used_by("bernd")
    done_by = shell.json(*signing(shell, node, file))["signed_by"]
    assert done_by == "carla (at the machine), bernd (at the machine)"
    assert SignedAgreement.from_bytes(Path(f"{file}.signed").read_bytes()).missing() == ()
    own = shell.json("agreement", "show", f"{file}.signed", "--dir", node)["signatures"][0]
    assert own["signed_by"] == "carla (at the machine), bernd (at the machine)"
    assert outcomes(shell, node, "agreement sign") == ["waits", *["E-FOUR-EYES"] * 2, "done"]
    again = shell(*signing(shell, node, file), "--format", "json")
    assert again.code == 3, "the words of both were used"


def test_one_person_takes_a_first_signature_back_by_hand(
    shell: Shell, node: Path, tmp_path: Path, machine: Machine
) -> None:
    file = tmp_path / "draft.json"
    agreed = draft(node, four_eyes=["agreement"])
    file.write_bytes(agreed.to_bytes())
    assert shell(*signing(shell, node, file)).code == 3
    assert "forgotten" in shell("agreement", "decline", file, "--dir", node).out
    assert "No first signature" in shell("agreement", "decline", file, "--dir", node).out
    machine.used_by("bernd")
    assert shell(*signing(shell, node, file)).code == 3, "that is the first one now"
    digits = agreed.agreement.hash.hex()[:12]
    words = ("agreement", "decline", digits, "--comment", "No.", "--dir", node)
    for again in (False, True):
        done = shell(*words)
        text = " ".join(done.err.split())
        assert (done.code, "E-NO-CONTROL" in text) == (2, True)
        assert ("waited here for a second person is forgotten" in text) is not again
    machine.used_by("carla")
    assert shell(*signing(shell, node, file)).code == 3, "and so does who cannot reach anybody"
    assert outcomes(shell, node, "agreement decline") == ["done"] * 2 + ["E-NO-CONTROL"] * 2
    for wrong in ((digits,), (file, "--comment", "No.")):
        assert shell("agreement", "decline", *wrong, "--dir", node).code == 2


def test_one_person_does_not_sign_the_clause_away(
    shell: Shell, installed: Path, tmp_path: Path, machine: Machine
) -> None:
    file = tmp_path / "two.json"
    file.write_bytes(successor(installed, four_eyes=["agreement"]))
    shell.json("agreement", "install", file, "--dir", installed)
    without = SignedAgreement.from_bytes(successor(installed))
    assert without.agreement.four_eyes == ()
    home = NodeHome.load(installed)
    first = sign_agreement(home, without, file, by=ANNA, now=NOW)
    assert isinstance(first, First)
    assert not isinstance(sign_agreement(home, without, file, by=BERND, now=NOW), First)


def file_needs_two(folder: Path, agreement: Agreement | None = None) -> bool:
    """Whether two people write a file of a version's segments, of that in force if None."""
    in_force = NodeHome.load(folder).signed_agreement().agreement
    return needs_two(store_of(folder), "export", agreement or in_force, in_force)


def version_two(installed: Path, tmp_path: Path, shell: Shell, **changes: Any) -> Path:
    """Take up a version that asks for two people; the file of the first one, which does not."""
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    one.write_bytes(NodeHome.load(installed).config.node.agreement.read_bytes())
    two.write_bytes(successor(installed, four_eyes=["agreement", "export"], **changes))
    shell.json("agreement", "install", two, "--dir", installed)
    return one


def test_going_back_to_an_earlier_version_takes_no_clause_away(
    shell: Shell, installed: Path, tmp_path: Path, machine: Machine
) -> None:
    one = version_two(installed, tmp_path, shell)
    shell.json("agreement", "install", one, "--downgrade", "--dir", installed)
    file = tmp_path / "next.json"
    file.write_bytes(successor(installed))
    done = shell(*signing(shell, installed, file), "--format", "json")
    assert (done.code, Path(f"{file}.signed").exists()) == (3, False)
    assert file_needs_two(installed)
    machine.used_by("bernd")
    shell.json(*signing(shell, installed, file))
    three = tmp_path / "three.json"
    three.write_bytes(successor(installed, version=3))
    shell.json("agreement", "install", three, "--downgrade", "--dir", installed)
    file.write_bytes(successor(installed))
    shell.json(*signing(shell, installed, file))
    assert not file_needs_two(installed)


def test_going_back_before_a_version_is_effective_takes_no_clause_away(
    shell: Shell, installed: Path, tmp_path: Path, machine: Machine
) -> None:
    later = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
    one = version_two(installed, tmp_path, shell, effective=later)
    assert NodeHome.load(installed).signed_agreement().agreement.four_eyes == ()
    after = tmp_path / "after.json"
    after.write_bytes(successor(installed, version=3))
    assert shell(*signing(shell, installed, after), "--format", "json").code == 3
    shell.json("agreement", "install", one, "--downgrade", "--dir", installed)
    file = tmp_path / "next.json"
    file.write_bytes(successor(installed))
    assert shell(*signing(shell, installed, file), "--format", "json").code == 3


def test_going_back_where_nothing_is_in_force_takes_no_clause_away(
    shell: Shell, installed: Path, tmp_path: Path, machine: Machine
) -> None:
    later = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
    one = version_two(installed, tmp_path, shell, effective=later)
    NodeHome.load(installed).config.node.agreement.unlink()
    shell.json("agreement", "install", one, "--downgrade", "--dir", installed)
    file = tmp_path / "next.json"
    file.write_bytes(successor(installed))
    assert shell(*signing(shell, installed, file), "--format", "json").code == 3


def test_a_clause_that_waited_while_another_agreement_took_the_place_holds(
    shell: Shell, installed: Path, tmp_path: Path, machine: Machine
) -> None:
    home, soon = NodeHome.load(installed), datetime.now(UTC) + timedelta(days=1)
    first = home.signed_agreement().agreement
    data = successor(installed, four_eyes=["export"], effective=f"{soon:%Y-%m-%dT%H:%M:%SZ}")
    install_agreement(home, SignedAgreement.from_bytes(data), tmp_path / "two.json")
    store, waited = store_of(installed), SignedAgreement.from_bytes(data)
    other = SignedAgreement.from_bytes(complete(installed, id="other"))
    install_agreement(home, other, tmp_path / "other.json")
    with store.transaction():  # its agreement lost the place before it was installed here
        WaitingVersions(store).keep(waited)
        store.ask("DELETE FROM agreements WHERE agreement_hash = ?", waited.agreement.hash)
    assert take_effect(home, store, soon) == []
    assert WaitingVersions(store).all() == []
    assert needs_two(store, "export", first, None)


def test_a_clause_holds_while_another_agreement_is_in_force(
    shell: Shell, installed: Path, tmp_path: Path, machine: Machine
) -> None:
    first = NodeHome.load(installed).signed_agreement().agreement
    version_two(installed, tmp_path, shell)
    file = tmp_path / "other.json"
    file.write_bytes(complete(installed, id="other"))
    shell.json("agreement", "install", file, "--dir", installed)
    assert file_needs_two(installed, first)


# --- what waits ----------------------------------------------------------------------------------


def test_a_first_word_is_about_one_thing_and_good_for_a_week(node: Path) -> None:
    store = store_of(node)
    words = Confirmations(store, NodeHome.load(node).people())

    def join(about: str, by: str, now: datetime) -> str | First:
        with store.transaction():
            return words.join("export", about, by=by, now=now, what="it")

    first = join("a", ANNA, NOW)
    assert isinstance(first, First)
    assert [one.who for one in words.said("export", NOW)] == [ANNA]
    assert words.said("agreement", NOW) == []
    assert isinstance(join("b", BERND, NOW + timedelta(seconds=2)), First)
    assert join("a", BERND, NOW + GOOD_FOR - timedelta(seconds=1)) == f"{ANNA}, {BERND}"
    assert isinstance(join("a", BERND, NOW + GOOD_FOR), First), "that week is over"
    with pytest.raises(RuleError) as caught:
        join("a", BERND, NOW + GOOD_FOR)
    assert caught.value.code == "E-FOUR-EYES"
    with store.transaction():
        words.forget("export", "a")
    assert [one.about for one in words.said("export", NOW)] == ["b"]
    with store.transaction():
        words.join("export", "c", by=ANNA, now=NOW + 3 * GOOD_FOR, what="it")
    assert store.ask("SELECT about FROM confirmations") == [("c",)], "old words are erased"


def test_a_word_of_whom_may_not_say_it_any_more_does_not_count(node: Path) -> None:
    home, store = NodeHome.load(node), store_of(node)
    accounts, words = accounts_at(home.accounts_file), Confirmations(store, home.people())

    def counts(act: str) -> bool:
        said = words.said(act, NOW)
        assert home.people().may_still("anna (at the machine)", act, account="")
        return bool(said)

    for act, role in (("agreement", Role.APPROVER), ("export", Role.MARKETER)):
        add(accounts, "anna", role)
        with store.transaction():
            first = words.join(act, "a", by="anna", now=NOW, what="it")
        assert isinstance(first, First) and counts(act)
        accounts.change_role("anna", Role.OPERATOR, NOW)
        assert not counts(act)
        accounts.change_role("anna", role, NOW)
        assert counts(act)
        accounts.change_role("anna", role, NOW + timedelta(seconds=1))
        assert not counts(act), "it was another's to use meanwhile"
        first_made = moment(accounts.remove("anna").made_at)
        assert not counts(act)
        later = NOW + timedelta(seconds=1)
        for made in (later, first_made):  # the clock may have been put back meanwhile
            accounts.add("anna", role, PASSWORD, made)
            assert not counts(act), "that is another person of the same name"
            if made == later:
                accounts.remove("anna")
        with store.transaction():
            other = words.join(act, "a", by="bernd (at the machine)", now=later, what="it")
        assert isinstance(other, First)
        accounts.remove("anna")
    accounts.close()


def test_a_word_does_not_count_after_the_password_was_set_anew(node: Path) -> None:
    """Whoever stole the password may have said it."""
    home, store = NodeHome.load(node), store_of(node)
    words = Confirmations(store, home.people())
    with closing(accounts_at(home.accounts_file)) as accounts:
        add(accounts, "anna", Role.MARKETER)
        with store.transaction():
            words.join("export", "a", by="anna", now=NOW, what="it")
        assert words.said("export", NOW)
        accounts.reset("anna", PASSWORD, NOW + timedelta(seconds=1))
    assert not words.said("export", NOW)


def test_a_word_of_whom_no_provider_vouches_for_here_any_more_does_not_count(node: Path) -> None:
    settings, before = node / "node.toml", (node / "node.toml").read_text()

    def said(issuer: str) -> bool:
        text = f'[console.oidc]\nissuer = "{issuer}"\nclient_id = "fedseg"\n' if issuer else ""
        settings.write_text(before + text)
        return bool(Confirmations(store, NodeHome.load(node).people()).said("export", NOW))

    home, store = NodeHome.load(node), store_of(node)
    with closing(accounts_at(home.accounts_file)) as accounts:
        accounts.add_vouched(
            "anna", Role.MARKETER, issuer="https://a.example", subject="s", now=NOW
        )
    with store.transaction():
        Confirmations(store, home.people()).join("export", "a", by="anna", now=NOW, what="it")
    assert said("https://a.example")
    assert not said("https://b.example")
    assert not said("")


def test_the_approval_of_a_removed_account_does_not_count(
    shell: Shell, installed: Path, machine: Machine, asking: Asking
) -> None:
    asking("egress")
    waiting = with_held_answer(installed)
    home = NodeHome.load(waiting)
    accounts = accounts_at(home.accounts_file, home.keystore())
    anna = person(node_site(home, hosts=HOSTS, accounts=accounts), Role.APPROVER, "anna")
    anna.send("/approvals/approve", page="/approvals", number="3")
    assert state(shell, waiting) == ("waiting", "anna", None)
    accounts.remove("anna")
    add(accounts, "anna", Role.APPROVER)  # another person
    shell.json("egress", "approve", "3", "--dir", waiting)
    assert state(shell, waiting) == ("waiting", "carla (at the machine)", None)
    accounts.close()


def test_the_approval_of_an_account_that_is_there_still_counts(
    shell: Shell, installed: Path, machine: Machine, asking: Asking
) -> None:
    asking("egress")
    waiting = with_held_answer(installed)
    home = NodeHome.load(waiting)
    with closing(accounts_at(home.accounts_file, home.keystore())) as accounts:
        anna = person(node_site(home, hosts=HOSTS, accounts=accounts), Role.APPROVER, "anna")
        anna.send("/approvals/approve", page="/approvals", number="3")
    shell.json("egress", "approve", "3", "--dir", waiting)
    assert state(shell, waiting)[0] == "approved"


def test_a_word_of_an_account_in_a_file_that_was_made_anew_does_not_count(node: Path) -> None:
    home, store = NodeHome.load(node), store_of(node)
    words = Confirmations(store, home.people())
    for at in (NOW, NOW + timedelta(seconds=1)):
        with closing(accounts_at(home.accounts_file)) as accounts:
            accounts.add("anna", Role.MARKETER, PASSWORD, at)
            assert accounts.get("anna").id == 1
        if at == NOW:
            with store.transaction():
                words.join("export", "a", by="anna", now=NOW, what="it")
            assert words.said("export", NOW)
            home.accounts_file.unlink()
    assert not words.said("export", NOW)


# --- files of segments ---------------------------------------------------------------------------


def test_a_file_is_written_when_two_people_asked_for_the_same(
    shell: Shell, installed: Path, tmp_path: Path, machine: Machine, asking: Asking
) -> None:
    asking("export")
    release = after_a_run(installed, [1.0, 2.0])
    words = ("segments", "export", "--for", "evaluation", "--out", tmp_path / "x.csv",
             "--release", release.hash.hex()[:12], "--dir", installed)  # fmt: skip
    done = shell(*words, "--format", "json")
    assert (done.code, done.envelope["data"].get("waits_for_second_person")) == (3, True), done
    assert not (tmp_path / "x.csv").exists()
    machine.used_by("bernd")
    other = shell(*words, "--escape-formulas", "--format", "json")
    assert other.code == 3, "another form of file is another wish"
    written = shell.json(*words)
    assert outcomes(shell, installed, "export segments") == ["waits", "waits", "done"]
    assert json.dumps(written).count("evaluation") == 1
    assert (tmp_path / "x.csv").exists()
    (record,) = shell.json("segments", "exports", "--dir", installed)["exports"]
    assert record["written_by"] == "carla (at the machine), bernd (at the machine)"
