"""Several agreements in force at one node: their places, their runs, what they spend together."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from machine.accounts.roles import Role
from machine.backups import read_backup
from partner_node import backup
from partner_node.cli import setup
from partner_node.console.site import node_site
from partner_node.home import NodeHome
from partner_node.preflight import preflight
from partner_node.segments.feedback import said_by_segment
from partner_node.segments.retention import apply_retention, purge
from partner_node.served_nodes import ServedNodes
from partner_node.spending import Spending
from partner_node.store.caps import Cap, Caps
from partner_node.store.ledger import Ledger
from partner_node.store.node_store import MAX_GREETINGS, NodeStore
from partner_node.store.refusals import Refusals
from partner_node.store.times import stamp
from protocol.agreement.document import Agreement
from protocol.agreement.duties import Retention
from protocol.agreement.stop import SignedStop
from protocol.errors import AgreementError, FedsegError, RuleError, RunFailedError
from protocol.messages import Open, sign_request
from protocol.privacy.accounting import rho_for
from protocol.privacy.terms import PrivacyTerms
from simulations.federation import (
    AgreedFederation,
    EphemeralSealer,
    FeatureTerms,
    Federation,
)
from tests.federations import small_federation
from tests.machine.browsing import HOSTS
from tests.machine.people import accounts_at
from tests.partner_node.consoles import cheap_keys, person
from tests.partner_node.nodes import (
    COORDINATOR,
    OTHERS,
    complete,
    draft,
    installed,
    node,
    shell,
    withdraw,
)
from tests.shell import Shell

__all__ = ["cheap_keys", "installed", "node", "shell"]

NOW = datetime(2026, 1, 15, tzinfo=UTC)


@pytest.fixture
def both(shell: Shell, installed: Path, tmp_path: Path) -> Path:
    """A node with two agreements in force: `ours`, and `loyalty` about other customers."""
    (tmp_path / "members.csv").write_text("member,visits\nb,2\nm,7\nc,1\n00123,1\n")
    with (installed / "node.toml").open("a") as file:
        file.write(
            "[agreements.loyalty]\n"
            '[agreements.loyalty.data]\nkind = "csv"\n'
            f"path = {json.dumps(str(tmp_path / 'members.csv'))}\n"
            'id_column = "member"\n'
            '[agreements.loyalty.data.units]\nvisits = "units"\n'
        )
    (tmp_path / "loyalty.json").write_bytes(complete(installed, id="loyalty"))
    shell.json("agreement", "install", "loyalty.json", "--dir", installed)
    return installed


def ids_of(folder: Path) -> list[str]:
    return [one.agreement.id for one in ServedNodes.open(folder).nodes]


def opening(agreement: Agreement, number: int = 1) -> bytes:
    request = Open(agreement_hash=agreement.hash, run_id=bytes([number]) * 16)
    return sign_request(request, COORDINATOR)


def code_of(found: pytest.ExceptionInfo[FedsegError]) -> str:
    return found.value.code


# --- places ----------------------------------------------------------------------------------


def test_an_agreement_with_a_section_of_its_own_is_in_force_beside_the_first(
    shell: Shell, both: Path
) -> None:
    assert ids_of(both) == ["ours", "loyalty"]
    first, other = ServedNodes.open(both).nodes
    assert [sorted(i for ids, _ in one._customers.identified() for i in ids)  # type: ignore[attr-defined]
            for one in (first, other)] == [["00123", "b", "c"], ["00123", "b", "c"]]  # fmt: skip
    values = [np.concatenate(list(one._customers.vectors()))[:, 0] for one in (first, other)]
    assert not np.array_equal(np.sort(values[0]), np.sort(values[1])), "each has its own data"
    status = shell.json("status", "--dir", both)
    assert [one["agreement"] for one in status["agreements"]] == ["ours", "loyalty"]
    assert (both / "agreements" / "loyalty.json").exists()


def test_what_one_agreement_does_not_say_is_as_above(shell: Shell, both: Path) -> None:
    home = NodeHome.load(both)
    place = home.under("loyalty")
    assert place.config.consent == home.config.consent
    assert place.config.egress == home.config.egress
    assert place.config.data.id_column == "member"
    assert place.under("ours").config.data == home.config.data
    assert home.under("unknown").config.data == home.config.data


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[agreements.loyalty]\nfile = "agreement.json"\n', "as in [node]"),
        ("[agreements.loyalty]\n[agreements.Loyalty]\n", "no agreement's id"),
        ("[agreements.loyalty]\nfiles = 1\n", "unknown key 'files'; did you mean 'file'"),
        ('[agreements.a]\nfile = "x"\n[agreements.b]\nfile = "x"\n', "as in [agreements.a]"),
        ('[agreements.a.data]\nkind = "csv"\n', "[agreements.a.data]"),
    ],
)
def test_a_section_that_is_wrong_is_named(
    shell: Shell, installed: Path, text: str, said: str
) -> None:
    with (installed / "node.toml").open("a") as file:
        file.write(text)
    error = shell.refused("status", "--dir", installed, status=2)
    assert error["code"] == "E-CONFIG"
    assert said in error["message"]
    assert error["remedy"]


def test_one_agreement_in_two_places_is_refused(shell: Shell, both: Path) -> None:
    shutil.copy(both / "agreements" / "loyalty.json", both / "agreement.json")
    for words in (("status",), ("agreement", "show")):
        error = shell.refused(*words, "--dir", both, status=3)
        assert error["code"] == "E-AGR-TWICE"
        assert "delete that section" in error["remedy"]
    with pytest.raises(AgreementError) as caught:
        ServedNodes.open(both)
    assert code_of(caught) == "E-AGR-TWICE"
    assert shell("check", "--dir", both).code == 3


def test_another_agreement_than_its_section_is_for_keeps_the_others_from_nothing(
    both: Path,
) -> None:
    ours = NodeHome.load(both).under("ours").signed_agreement().agreement
    (both / "agreements" / "loyalty.json").write_bytes(complete(both, id="another"))
    served = ServedNodes.open(both)
    assert [one.agreement.id for one in served.nodes] == ["ours"]
    assert [one.code for one in served.failed] == ["E-AGR-OTHER"]
    served.handle(opening(ours))
    other = NodeHome.load(both).config.agreements["loyalty"]
    assert other.file.name == "loyalty.json"
    with pytest.raises(FedsegError) as caught:
        served.handle(sign_request(Open(agreement_hash=b"x" * 32, run_id=bytes(16)), COORDINATOR))
    assert code_of(caught) == "E-AGR-OTHER"


def test_an_agreement_without_a_section_replaces_the_first_and_is_told_how_not_to(
    shell: Shell, both: Path, tmp_path: Path
) -> None:
    (tmp_path / "third.json").write_bytes(complete(both, id="third"))
    text = " ".join(shell("agreement", "install", "third.json", "--dir", both).out.split())
    assert "It replaces agreement ours, version 1" in text
    assert "give third a section in node.toml, [agreements.third]" in text
    assert ids_of(both) == ["third", "loyalty"]


def test_whoever_signs_a_second_agreement_is_told_what_it_takes(
    shell: Shell, both: Path, tmp_path: Path
) -> None:
    for name, warned in (("third", True), ("loyalty", False)):
        (tmp_path / "draft.json").write_bytes(draft(both, id=name, version=2).to_bytes())
        words = ("agreement", "sign", "draft.json", "--out", "signed.json", "--dir", both)
        told = [w for w in shell.json(*words)["warnings"] if "in its place" in w]
        assert len(told) == warned
        assert all("[agreements.third]" in words for words in told)


def test_an_agreement_that_was_put_there_by_hand_ends_the_runs_of_the_one_before(
    both: Path,
) -> None:
    served = ServedNodes.open(both)
    for number, one in enumerate(served.nodes, start=1):
        served.handle(opening(one.agreement, number))
    (both / "agreement.json").write_bytes(complete(both, id="third"))
    again = ServedNodes.open(both)
    reasons = {run.run_id[0]: run.reason for run in again.store.runs()}
    assert reasons == {1: "E-RUN-SUPERSEDED", 2: ""}


def test_no_run_is_ended_while_an_agreement_cannot_be_read(both: Path) -> None:
    served = ServedNodes.open(both)
    served.handle(opening(served.nodes[1].agreement))
    file = both / "agreements" / "loyalty.json"
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    assert [one.agreement.id for one in ServedNodes.open(both).nodes] == ["ours"]
    file.write_bytes(whole)
    again = ServedNodes.open(both)
    assert [run.reason for run in again.store.runs()] == [""]


# --- which one is meant ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    ["agreement show", "agreement stop --yes --out stop.json", "budget show", "budget forecast",
     "consent status", "consent explain --subject b", "consent unmatched", "data check",
     "data preview", "feedback list", "segments list", "segments trend", "segments assign",
     "rights access --subject b", "rights explain --subject b",
     "rights export --subject b --out x.json"],
)  # fmt: skip
def test_a_command_about_one_agreement_asks_which_one_is_meant(
    shell: Shell, both: Path, words: str
) -> None:
    error = shell.refused(*words.split(), "--dir", both, status=2)
    assert error["code"] == "E-AGR-WHICH"
    assert "ours, loyalty" in error["message"]
    assert "--under" in error["remedy"]
    error = shell.refused(*words.split(), "--under", "nobody", "--dir", both, status=2)
    assert error["code"] == "E-AGR-UNKNOWN"
    for name in ("ours", "loyalty"):
        done = shell(*words.split(), "--under", name, "--dir", both, "--format", "json")
        assert done.envelope["data"].get("code") not in ("E-AGR-WHICH", "E-AGR-UNKNOWN")
    assert not (both / "x.json").exists()


def test_check_looks_at_each_agreement(shell: Shell, both: Path, tmp_path: Path) -> None:
    (tmp_path / "members.csv").write_text("member,spend\nb,2\n")
    checks = shell("check", "--dir", both, "--format", "json").envelope["data"]["checks"]
    found = {one["check"]: (one["agreement"], one["passed"]) for one in checks}
    assert found["data of ours"] == ("ours", True)
    assert found["data of loyalty"] == ("loyalty", False)
    assert found["agreement of loyalty"] == ("loyalty", True)


# --- stops, backups --------------------------------------------------------------------------


def test_a_stop_is_that_of_its_agreement_alone(shell: Shell, both: Path, tmp_path: Path) -> None:
    loyalty = NodeHome.load(both).under("loyalty").signed_agreement().agreement
    stop = SignedStop.sign(loyalty, OTHERS[0], at="2026-05-01T10:00:00Z")
    (tmp_path / "stop.json").write_bytes(stop.to_bytes())
    shell.json("agreement", "accept-stop", "stop.json", "--dir", both)
    served = ServedNodes.open(both)
    served.handle(opening(served.nodes[0].agreement))
    with pytest.raises(FedsegError) as caught:
        served.handle(opening(loyalty, 2))
    assert code_of(caught) == "E-WITHDRAWN"


def test_a_backup_has_every_agreement(shell: Shell, both: Path) -> None:
    shell.json("state", "backup", "b.tar", "--dir", both)
    _, parts = read_backup(Path("b.tar"), kind=backup.KIND)
    assert parts["agreement-loyalty"] == (both / "agreements" / "loyalty.json").read_bytes()


# --- customers -------------------------------------------------------------------------------


def test_who_objects_is_counted_under_no_agreement(shell: Shell, both: Path) -> None:
    shell.json("rights", "object", "--subject", "b", "--dir", both)
    for one in ServedNodes.open(both).nodes:
        left = [i for ids, _ in one._customers.identified() for i in ids]  # type: ignore[attr-defined]
        assert sorted(left) == ["00123", "c"]
    for name in ("ours", "loyalty"):
        told = shell.json("rights", "access", "--subject", "b", "--under", name, "--dir", both)
        assert set(told["wishes"]) == {"objection"}


def test_a_request_on_the_register_is_answered_under_whichever_agreement(
    shell: Shell, both: Path
) -> None:
    shell.json("rights", "receive", "access", "--subject", "b", "--dir", both)
    shell.json("rights", "access", "--subject", "b", "--under", "loyalty", "--dir", both)
    (request,) = shell.json("rights", "list", "--dir", both)["requests"]
    assert request["done_at"]


def test_an_objection_of_who_is_a_customer_under_another_agreement_alone_warns_of_nothing(
    shell: Shell, both: Path
) -> None:
    assert shell.json("rights", "object", "--subject", "m", "--dir", both)["in_data"] is True
    assert shell.json("rights", "object", "--subject", "x", "--dir", both)["in_data"] is False


def test_what_was_said_under_each_agreement_is_told_and_erased(
    shell: Shell, both: Path, tmp_path: Path
) -> None:
    now = f"{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    for name, kind in (("ours", "complaint"), ("loyalty", "preference")):
        (tmp_path / "said.csv").write_text(f"customer_id,kind,at\nb,{kind},{now}\n")
        shell.json("feedback", "import", "said.csv", "--under", name, "--dir", both)
        told = shell.json("rights", "access", "--subject", "b", "--under", name, "--dir", both)
        assert [one["kind"] for one in told["feedback"]] == [kind]
    home = NodeHome.load(both)
    store = home.store(home.keystore())
    for name, kind in (("ours", "complaint"), ("loyalty", "preference")):
        said = {k for k, counts in said_by_segment(store, [name]).items() if counts}
        assert said == {kind}
    assert store.ask("SELECT count(*) FROM feedback") == [(2,)]
    shell.json("rights", "erase", "--subject", "b", "--dir", both)
    assert store.ask("SELECT count(*) FROM feedback") == [(0,)]


def test_whoever_withdraws_is_out_under_each_agreement(both: Path, tmp_path: Path) -> None:
    withdraw(tmp_path, "c")
    for one in ServedNodes.open(both).nodes:
        left = [i for ids, _ in one._customers.identified() for i in ids]  # type: ignore[attr-defined]
        assert sorted(left) == ["00123", "b"]


# --- runs side by side -----------------------------------------------------------------------


def under(federation: Federation, id: str, *, seed: int, **changes: Any) -> AgreedFederation:
    """The same customers and partners under an agreement with another id."""
    vectors = [one._customers.prepared for one in federation.nodes.values()]  # type: ignore[attr-defined]
    return AgreedFederation(
        replace(federation.agreement, id=id, **changes),
        vectors,
        seed=seed,
        partner_keys=federation.partner_keys,
    )


class SideBySide:
    """Two federations with the same three nodes: `one`, and `other`, whose records stay longer."""

    def __init__(self) -> None:
        first = small_federation(1.0, 9.0, n_clusters=2, seed=1)
        second = small_federation(
            2.0, 3.0, 8.0, n_clusters=2, feature="orders", partner_keys=first.partner_keys
        )
        long = Retention(assignments_days=1, records_days=100)
        self.one, self.other = first, under(second, "loyalty", seed=2, retention=long)
        self.stores = [NodeStore(":memory:", EphemeralSealer()) for _ in first.partner_keys]
        self.served = {}
        for number, store in enumerate(self.stores):
            nodes = (self.one.nodes[number], self.other.nodes[number])
            for each in nodes:
                each.store = store
            self.served[number] = ServedNodes(nodes=nodes, store=store)
        self.one.exchange.nodes_by_id = self.served  # type: ignore[assignment]
        self.other.exchange.nodes_by_id = self.served  # type: ignore[assignment]


def test_runs_go_side_by_side_and_neither_changes_the_other() -> None:
    alone = SideBySide()
    releases = [alone.one.run().release.release, alone.other.run().release.release]
    together, found = SideBySide(), []

    def meanwhile(values: dict[str, Any]) -> None:
        if values["round"] == 1 and not found:
            found.append(together.other.run().release.release)

    first = together.one.run(on_progress=meanwhile).release.release
    assert found, "the other run took place within the first"
    assert [first.segments, found[0].segments] == [one.segments for one in releases]
    for store in together.stores:
        assert [run.phase for run in store.runs()] == ["done", "done"]
        assert len(store.releases()) == 2


def test_the_segments_of_each_agreement_are_shown_whatever_another_came_to_since(
    both: Path, shell: Shell
) -> None:
    home = NodeHome.load(both)
    keys = [home.keystore().identity, *OTHERS]
    ours, loyalty, ended = (
        under(small_federation(1.0, 9.0, partner_keys=keys), id, seed=seed)
        for seed, id in enumerate(("ours", "loyalty", "ended"))
    )
    hashes = {}
    with closing(home.store(home.keystore())) as store:
        for hour, one in enumerate((loyalty, ours, ended)):
            released, at = one.run().release, stamp(NOW + timedelta(hours=hour))
            hashes[one.agreement.id] = released.release.hash.hex()
            with store.transaction():
                store.keep_agreement(one.signed, now=at)
                store.save_release(
                    released.release.run_hash, one.agreement.hash, released.to_bytes(), now=at
                )
    with closing(accounts_at(home.accounts_file, home.keystore())) as accounts:
        mia = person(node_site(home, hosts=HOSTS, accounts=accounts), Role.MARKETER)
        shown = mia.get("/segments.json").json()["data"]["releases"]
        text = mia.get("/segments").text
    assert [one["release"] for one in shown] == [hashes["ours"], hashes["loyalty"]]
    assert hashes["ours"] in text and hashes["loyalty"] in text
    for id in ("ours", "loyalty"):
        printed = shell.json("segments", "list", "--under", id, "--dir", both)
        assert printed["release"] == hashes[id]
    # What came under an agreement that is no longer here is still found by its hash.
    words = ("segments", "list", "--release", hashes["ended"][:16], "--dir", both)
    assert shell.json(*words)["release"] == hashes["ended"]


def test_greetings_under_one_agreement_push_out_none_of_the_other() -> None:
    lab = SideBySide()
    store, (one, other) = lab.stores[0], lab.served[0].nodes
    request = Open(agreement_hash=one.agreement.hash, run_id=b"\xff" * 16)
    one.handle(sign_request(request, lab.one.coordinator_key))
    for number in range(MAX_GREETINGS + 5):
        request = Open(agreement_hash=other.agreement.hash, run_id=bytes([number]) * 16)
        other.handle(sign_request(request, lab.other.coordinator_key))
    assert store.run_by_id(b"\xff" * 16) is not None
    assert len(store.runs()) == MAX_GREETINGS + 2


def test_a_message_under_no_agreement_in_force_is_refused_and_remembered() -> None:
    lab = SideBySide()
    request = Open(agreement_hash=b"x" * 32, run_id=bytes(16))
    with pytest.raises(FedsegError) as caught:
        lab.served[0].handle(sign_request(request, lab.one.coordinator_key))
    assert code_of(caught) == "E-AGR-OTHER"
    assert [one.code for one in Refusals(lab.stores[0]).all()] == ["E-AGR-OTHER"]


def test_the_coordinator_of_one_agreement_asks_nothing_under_another() -> None:
    lab = SideBySide()
    request = Open(agreement_hash=lab.other.agreement.hash, run_id=bytes(16))
    with pytest.raises(FedsegError):
        lab.served[0].handle(sign_request(request, lab.one.coordinator_key))
    assert lab.stores[0].runs() == []


# --- what is spent together ------------------------------------------------------------------

TERMS = PrivacyTerms(
    epsilon=Decimal(1), delta=Decimal("0.000001"), rho=rho_for(1.0, 1e-6),
    runs=5, spare_rounds=0, max_partners_per_customer=1,
)  # fmt: skip


def noised(store: NodeStore, seed: int, **terms: Any) -> Federation:
    """A federation with noise, whose first node has a given state."""
    rng = np.random.default_rng(seed)
    found = Federation(
        [rng.uniform(size=(200, 1)) for _ in range(3)],
        [FeatureTerms(name=f"f{seed}", min="0", max="1")],
        n_clusters=2, max_rounds=11, plan="hybrid-dp", privacy=TERMS, seed=seed, start="anew",
        **terms,
    )  # fmt: skip
    found.nodes[0].store = store
    return found


def set_cap(store: NodeStore, epsilon: str | None) -> None:
    value = None if epsilon is None else Decimal(epsilon)
    with store.transaction():
        Caps(store).decide(Cap(at=stamp(NOW), epsilon=value, delta=Decimal("0.000001"), reason=""))


def test_the_cap_counts_what_was_charged_under_every_agreement() -> None:
    store = NodeStore(":memory:", EphemeralSealer())
    first = noised(store, 1)
    second = under(first, "loyalty", seed=3)
    second.nodes[0].store = store
    first.run()
    spent = Ledger(store).spent_under()
    assert list(spent) == ["simulation"]
    set_cap(store, "1.2")
    with pytest.raises(RunFailedError) as caught:
        second.run()
    assert "E-BUDGET-CAP" in caught.value.message
    assert Ledger(store).spent_under() == spent, "nothing was read or charged"
    set_cap(store, "1.6")
    second.run()
    both = Ledger(store).spent_under()
    assert list(both) == ["simulation", "loyalty"]
    assert sum(both.values()) <= Spending.of(store).cap.cost  # type: ignore[union-attr, operator]
    with pytest.raises(RunFailedError):
        first.run()
    set_cap(store, None)
    first.run()


def test_a_charge_beyond_the_cap_is_refused_and_one_that_was_made_is_not() -> None:
    store = NodeStore(":memory:", EphemeralSealer())
    federation = noised(store, 1)
    federation.run()
    ledger = Ledger(store)
    made = ledger.charges()[-1]
    set_cap(store, "0.5")
    with store.transaction():
        ledger.charge(made, federation.agreement, now=stamp(NOW))  # the same bytes again
        with pytest.raises(RuleError) as caught:
            ledger.check_cap(more=1)
    assert code_of(caught) == "E-BUDGET-CAP"
    assert "epsilon" in caught.value.message


def test_the_cap_is_asked_before_each_question_too() -> None:
    """Two runs side by side may both begin, and only one of them can end."""
    store = NodeStore(":memory:", EphemeralSealer())
    federation = noised(store, 1)
    lowered = []

    def meanwhile(values: dict[str, Any]) -> None:
        if values["round"] == 3 and not lowered:
            lowered.append(True)
            set_cap(store, "0.01")

    with pytest.raises(RunFailedError) as caught:
        federation.run(on_progress=meanwhile)
    assert lowered
    assert "E-BUDGET-CAP" in caught.value.message


def test_with_a_cap_nothing_is_answered_on_exact_totals() -> None:
    federation = small_federation(1.0, 9.0, n_clusters=2)
    store = federation.nodes[0].store
    set_cap(store, "10")
    with pytest.raises(RunFailedError) as caught:
        federation.run()
    assert "E-BUDGET-CAP" in caught.value.message
    set_cap(store, None)
    federation.run()


def test_check_says_what_is_left_of_a_budget_with_noise_and_when_the_cap_is_reached(
    shell: Shell, node: Path, tmp_path: Path
) -> None:
    privacy = {"epsilon": "1", "delta": "0.00001", "rho": "0.0305", "runs": 5, "spare_rounds": 1,
               "max_partners_per_customer": 1}  # fmt: skip
    plan = {"name": "lloyd-dp", "max_rounds": 4}
    (tmp_path / "noised.json").write_bytes(complete(node, privacy=privacy, plan=plan))
    shell.json("agreement", "install", "noised.json", "--dir", node)

    def budget() -> dict[str, Any]:
        checks = shell("check", "--dir", node, "--format", "json").envelope["data"]["checks"]
        (found,) = [one for one in checks if one["check"] == "budget"]
        return dict(found)

    assert budget()["passed"] is True, budget()
    shell.json("budget", "cap", "--epsilon", "0.1", "--dir", node)
    assert budget()["code"] == "E-BUDGET-CAP"
    shell.json("budget", "cap", "--epsilon", "5", "--dir", node)
    assert budget()["passed"] is True


def test_check_reports_one_agreement_in_two_places_also_where_the_node_joined(
    both: Path,
) -> None:
    shutil.copy(both / "agreements" / "loyalty.json", both / "agreement.json")
    report = preflight(both, now=datetime.now(UTC), connect=False)
    assert setup._tell(both, report, datetime.now(UTC)) is False


def test_an_agreement_that_cannot_be_read_makes_no_other_one_unready(both: Path) -> None:
    (both / "agreements" / "loyalty.json").write_bytes(b"{")
    report = preflight(both, now=datetime.now(UTC), connect=False)
    assert not report.passed
    assert report.about("ours").passed


@pytest.mark.parametrize("wrong", ["unreadable", "in two places"])
def test_no_record_is_forgotten_while_an_agreement_cannot_be_read(
    both: Path, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    if wrong == "unreadable":
        (both / "agreements" / "loyalty.json").write_bytes(b"{")
        assert ServedNodes.open(both).nodes[0]._in_force == []
    else:
        shutil.copy(both / "agreements" / "loyalty.json", both / "agreement.json")
    home = NodeHome.load(both)
    store = home.store(home.keystore())
    with store.transaction():
        store.ask("INSERT INTO told VALUES ('loyalty', 'k', 's', '2020-01-01', 1, 2)")
    apply_retention(home, datetime.now(UTC))
    assert store.ask("SELECT count(*) FROM told") == [(1,)]
    assert ("E-AGR-TWICE" in caplog.text) is (wrong == "in two places")


def test_a_cap_is_set_shown_and_lifted_with_its_reasons(shell: Shell, both: Path) -> None:
    nothing = shell.json("budget", "cap", "--dir", both)
    assert (nothing["cap"], nothing["together"]["epsilon"]) == (None, 0.0)
    shell.json("budget", "cap", "--epsilon", "3", "--reason", "board", "--dir", both)
    text = shell("budget", "cap", "--dir", both).out
    assert "Cap over all agreements: epsilon 0 of 3 at delta 0.000001" in " ".join(text.split())
    checks = shell("check", "--dir", both, "--format", "json").envelope["data"]["checks"]
    codes = {one["check"]: one.get("code") for one in checks}
    assert codes["budget of ours"] == "E-BUDGET-CAP", "it is about exact totals"
    done = shell.json("budget", "cap", "--lift", "--reason", "review", "--dir", both)
    assert done["cap"] is None
    assert [one["reason"] for one in done["decided"]] == ["board", "review"]
    for words in (
        ("--epsilon", "0"), ("--epsilon", "many"), ("--epsilon", "1", "--delta", "0.5"),
        ("--lift", "--epsilon", "1"), ("--delta", "0.00001"), ("--epsilon", "NaN"),
    ):  # fmt: skip
        error = shell.refused("budget", "cap", *words, "--dir", both, status=2)
        assert "--" in error["message"]
        assert error["remedy"]


# --- records ---------------------------------------------------------------------------------


def test_records_are_kept_as_long_as_their_own_agreement_says() -> None:
    lab = SideBySide()
    runs = {"simulation": lab.one.run, "loyalty": lab.other.run}
    for run in runs.values():
        run()
    store = lab.stores[0]
    agreements = [one.agreement for one in lab.served[0].nodes]
    with store.transaction():
        for name in ("simulation", "loyalty", "of-old"):
            store.ask(
                "INSERT INTO feedback (pseudonym, kind, at, segment, agreement_id)"
                " VALUES (?, 'complaint', ?, '', ?)", name, stamp(NOW), name,
            )  # fmt: skip
            store.ask("INSERT INTO told VALUES (?, 'k', 's', ?, 1, 2)", name, stamp(NOW))
            Refusals(store).add("E-CODE", b"of no run " + name[:6].encode(), now=stamp(NOW))
    of = {run.run_id: "loyalty" for run in store.runs() if run.agreement_hash == agreements[1].hash}

    def left() -> dict[str, set[str]]:
        kept = {
            table: {of.get(run_id, "simulation") for (run_id,) in rows}
            for table, rows in (
                ("egress", store.ask("SELECT run_id FROM egress")),
                ("manifests", store.ask("SELECT run_id FROM manifests")),
            )
        }
        for table in ("feedback", "told"):
            column = f"SELECT agreement_id FROM {table}"
            kept[table] = {name for (name,) in store.ask(column)}  # type: ignore[arg-type]
        return kept

    both, everything = {"simulation", "loyalty"}, {"simulation", "loyalty", "of-old"}
    whole = {"egress": both, "manifests": both, "feedback": everything, "told": everything}
    assert left() == whole
    purge(store, agreements, NOW + timedelta(hours=23))
    assert left() == whole
    purge(store, agreements, NOW + timedelta(days=2))
    longer = {"loyalty", "of-old"}
    assert left() == {
        "egress": {"loyalty"}, "manifests": {"loyalty"}, "feedback": longer, "told": longer,
    }  # fmt: skip
    assert len(Refusals(store).all()) == 3, "of no run: as long as either lets them be kept"
    purge(store, agreements, NOW + timedelta(days=101))
    assert left() == {"egress": set(), "manifests": set(), "feedback": set(), "told": set()}
    assert Refusals(store).all() == []


def test_a_run_under_one_agreement_forgets_no_record_of_another(both: Path) -> None:
    """At OPEN records that are too old go: each by its own agreement."""
    served = ServedNodes.open(both)
    assert [one.id for one in served.nodes[0]._in_force] == ["ours", "loyalty"]
    assert [one.id for one in served.nodes[1]._in_force] == ["ours", "loyalty"]
