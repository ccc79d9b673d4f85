"""The ledger: every answer is charged before a row is read, once, for good."""

from __future__ import annotations

import dataclasses
import sqlite3
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from partner_node.budget import (
    ToldExactly,
    budget_values,
    budget_words,
    forecast_values,
    forecast_words,
    told_exactly,
)
from partner_node.store.ledger import Ledger
from partner_node.store.node_store import NodeStore
from partner_node.store.refusals import Refusals
from protocol.clustering.plan import most_cost
from protocol.errors import FedsegError, LocalProtocolError, RuleError, RunFailedError, StoreError
from protocol.messages import Open, Roster, open_request, run_hash, sign_request
from protocol.noised_queries import CountQuery, VotesQuery
from protocol.participants import Link
from protocol.partner_round import ENTROPY_BYTES, PartnerRound
from protocol.privacy.accounting import cost_of_rho, rho_for, rho_of_cost
from protocol.privacy.ledger import (
    Charge,
    check_affordable,
    check_within_run,
    runs_left,
    spent_of,
    total_cost,
)
from protocol.privacy.terms import PrivacyTerms
from protocol.release.document import Release
from protocol.ring import UNIT
from simulations.federation import EphemeralSealer, FeatureTerms, Federation
from tests import effort

TERMS = PrivacyTerms(
    epsilon=Decimal(1),
    delta=Decimal("0.000001"),
    rho=rho_for(1.0, 1e-6),
    runs=3,
    spare_rounds=1,
    max_partners_per_customer=2,
)
FEDERATION = Federation(
    [np.zeros((3, 4))] * 3,
    [FeatureTerms(name=f"f{i}", min="0", max="1") for i in range(4)],
    n_clusters=2,
    max_rounds=11,
    plan="hybrid-dp",
    privacy=TERMS,
    seed=1,
)
AGREEMENT = FEDERATION.agreement


def charge(number: int, *, part: float = 0.01, **changes: Any) -> Charge:
    """A charge of its own context that costs `part` of a run, about."""
    variance = int(UNIT * UNIT * 4 / (2 * part * float(TERMS.rho))) + 1
    made = Charge.of(
        CountQuery(variance=variance),
        TERMS,
        run_id=bytes(16),
        round=number % 9,
        context=number.to_bytes(32, "big"),
        partners=5,
        colluding=1,
    )
    return dataclasses.replace(made, **changes)


def test_a_charge_follows_from_the_question_the_set_and_the_group() -> None:
    query = CountQuery(variance=UNIT * UNIT * 100)
    made = Charge.of(
        query, TERMS, run_id=bytes(16), round=3, context=bytes(32), partners=5, colluding=1
    )
    assert made.share_variance == UNIT * UNIT * 25
    assert made.honest == 4
    assert made.asked == query.words
    assert made.rho == pytest.approx(2 * 2 / (2 * 100), rel=1e-12)
    assert made.cost == made.recomputed
    smaller = Charge.of(
        query, TERMS, run_id=bytes(16), round=3, context=bytes(32), partners=3, colluding=1
    )
    assert abs(smaller.cost - made.cost) <= 1, "the shares grow when the set shrinks"


def test_no_budget_pays_for_exact_totals() -> None:
    query = VotesQuery(candidates=np.zeros((2, 2), dtype=np.int64), variance=0)
    with pytest.raises(LocalProtocolError, match="without noise"):
        Charge.of(query, TERMS, run_id=b"", round=0, context=b"", partners=3, colluding=1)
    store = NodeStore(":memory:", EphemeralSealer())
    exact = dataclasses.replace(AGREEMENT, privacy=None)
    with pytest.raises(StoreError, match="no budget"):
        Ledger(store).charge(charge(1), exact, now="now")


def test_the_budget_is_kept_to_the_last_unit() -> None:
    check_affordable(TERMS, spent=TERMS.budget - 5, more=5)
    with pytest.raises(RuleError, match="E-BUDGET-SPENT"):
        check_affordable(TERMS, spent=TERMS.budget - 5, more=6)


def test_runs_left_count_whole_runs_with_their_spare_rounds() -> None:
    assert runs_left(TERMS, spent=TERMS.budget) == 0
    assert runs_left(TERMS, spent=TERMS.budget - TERMS.reserve + 1) == 0
    assert runs_left(TERMS, spent=TERMS.budget - TERMS.reserve) == 1


def test_a_charge_survives_and_is_made_once(tmp_path: Path) -> None:
    sealer = EphemeralSealer()
    store = NodeStore(tmp_path / "node.db", sealer)
    for _ in range(3):
        with store.transaction():
            Ledger(store).charge(charge(7), AGREEMENT, now="2026-01-01T00:00:00Z")
    store.close()
    store = NodeStore(tmp_path / "node.db", sealer)
    assert Ledger(store).charges() == [charge(7)]
    assert Ledger(store).charges(AGREEMENT.id) == [charge(7)]
    assert Ledger(store).charges("another") == []
    assert Ledger(store).charges()[0].recomputed == charge(7).cost


def test_what_is_rolled_back_was_never_answered_and_what_is_refused_changes_nothing() -> None:
    store = NodeStore(":memory:", EphemeralSealer())
    with pytest.raises(SystemExit), store.transaction():
        Ledger(store).charge(charge(1), AGREEMENT, now="now")
        raise SystemExit("killed")
    assert Ledger(store).charges() == []
    number = 0
    with pytest.raises(RuleError, match="E-BUDGET-SPENT"):
        for number in range(10_000):
            with store.transaction():
                Ledger(store).charge(charge(number, part=0.3), AGREEMENT, now="now")
    assert 9 <= number <= 40
    spent = total_cost(Ledger(store).charges())
    assert len(Ledger(store).charges()) == number
    assert spent <= TERMS.budget < spent + charge(0, part=0.3).cost


def test_all_versions_of_an_agreement_share_one_budget() -> None:
    store = NodeStore(":memory:", EphemeralSealer())
    newer = dataclasses.replace(AGREEMENT, version=2)
    with store.transaction():
        Ledger(store).charge(charge(1), AGREEMENT, now="now")
        Ledger(store).charge(charge(2), newer, now="now")
    assert len(Ledger(store).charges(AGREEMENT.id)) == 2


def test_a_changed_entry_is_found_when_costs_are_computed_anew(tmp_path: Path) -> None:
    store = NodeStore(tmp_path / "node.db", EphemeralSealer())
    with store.transaction():
        Ledger(store).charge(charge(1), AGREEMENT, now="now")
    with sqlite3.connect(tmp_path / "node.db") as connection:
        connection.execute("UPDATE ledger SET cost = '5'")
    connection.close()
    (found,) = Ledger(store).charges()
    assert found.cost != found.recomputed


@pytest.mark.slow
def test_the_ledger_never_counts_too_little_in_any_random_life(tmp_path: Path) -> None:
    """Runs, questions asked again, kills before and after a commit, restarts."""
    for life in range(effort.count(300, 10_000)):
        rng = effort.chance(f"life {life}")
        on_disk = life % 50 == 0
        path = tmp_path / f"{life}.db" if on_disk else ":memory:"
        sealer = EphemeralSealer()
        store = NodeStore(path, sealer)
        left_the_node: dict[bytes, int] = {}
        for _ in range(rng.randint(1, 12)):
            number = rng.randint(0, 5)
            made = charge(number, part=rng.choice((0.01, 0.2, 0.9)))
            known = {c.context: c for c in Ledger(store).charges()}
            before = total_cost(known.values())
            try:
                with store.transaction():
                    Ledger(store).charge(made, AGREEMENT, now="now")
                    if rng.random() < 0.2:
                        raise SystemExit("killed before the commit")
                # only now is the answer computed, and only now can it leave
                charged = {c.context: c.cost for c in Ledger(store).charges()}[made.context]
                left_the_node[made.context] = charged
            except SystemExit:
                assert total_cost(Ledger(store).charges()) == before
            except RuleError:
                assert before + made.cost > TERMS.budget
                assert made.context not in known
            if on_disk and rng.random() < 0.3:
                store.close()
                store = NodeStore(path, sealer)
            spent = total_cost(Ledger(store).charges())
            assert spent >= max(before, sum(left_the_node.values()))
            assert spent <= TERMS.budget
        store.close()


def test_a_new_unit_counts_for_what_was_charged_before() -> None:
    """One customer at up to three partners has spent nine times what one at one partner has."""
    one = dataclasses.replace(TERMS, max_partners_per_customer=1)
    three = dataclasses.replace(TERMS, max_partners_per_customer=3)
    made = Charge.of(
        CountQuery(variance=UNIT * UNIT * 100), one, run_id=bytes(16), round=0,
        context=bytes(32), partners=5, colluding=1,
    )  # fmt: skip
    assert spent_of([made], one, colluding=1) == made.cost
    assert abs(spent_of([made], three, colluding=1) - 9 * made.cost) < 10
    assert spent_of([dataclasses.replace(made, group=3)], one, colluding=1) == made.cost
    forgotten = Charge.unrecorded(bytes(32), one, stated=None)
    assert spent_of([forgotten], three, colluding=1) == 9 * forgotten.cost


def test_more_colluders_count_for_what_was_charged_before() -> None:
    """Of four shares that were counted on, two may be known to the colluders of a new version."""
    made = Charge.of(
        CountQuery(variance=UNIT * UNIT * 100), TERMS, run_id=bytes(16), round=0,
        context=bytes(32), partners=5, colluding=1,
    )  # fmt: skip
    assert made.honest == 4
    assert spent_of([made], TERMS, colluding=0) == made.cost, "never less than was charged"
    assert spent_of([made], TERMS, colluding=3) == pytest.approx(2 * made.cost, rel=1e-9)
    assert spent_of([made], TERMS, colluding=9) == pytest.approx(4 * made.cost, rel=1e-9)
    assert made.recomputed == made.cost


def test_no_run_costs_more_than_its_own_share_and_the_spare_rounds() -> None:
    half = charge(1, part=0.45)
    check_within_run(TERMS, [half, charge(2, part=0.45)], charge(3, part=0.45), cost=TERMS.run_cost)
    own = [charge(i, part=0.45) for i in range(3)]
    with pytest.raises(RuleError, match="E-BUDGET-RUN"):
        check_within_run(TERMS, own, charge(9, part=0.45), cost=TERMS.run_cost)
    check_within_run(TERMS, own, own[0], cost=TERMS.run_cost)


def test_the_budget_is_that_of_the_runs_and_once_of_the_spare_rounds() -> None:
    assert runs_left(TERMS, spent=0) == TERMS.runs
    assert runs_left(TERMS, spent=TERMS.run_cost) == TERMS.runs - 1
    assert runs_left(TERMS, spent=TERMS.runs * TERMS.run_cost) == 0
    assert runs_left(TERMS, spent=TERMS.run_cost + 1) == TERMS.runs - 2, "a spare round was used"


def noised_federation(*, runs: int = 5, spare_rounds: int = 1, start: str = "anew") -> Federation:
    rng = np.random.default_rng(3)
    return Federation(
        [rng.uniform(0, 1, (60, 4)) for _ in range(4)],
        [FeatureTerms(name=f"f{i}", min="0", max="1") for i in range(4)],
        n_clusters=2,
        max_rounds=11,
        plan="hybrid-dp",
        privacy=dataclasses.replace(
            TERMS, max_partners_per_customer=1, runs=runs, spare_rounds=spare_rounds
        ),
        seed=5,
        start=start,
    )


def test_runs_that_follow_a_release_cost_less_and_so_there_are_more_of_them() -> None:
    fed = noised_federation(runs=2, start="")
    terms = fed.agreement.privacy
    assert terms is not None
    ledger = Ledger(fed.nodes[0].store)
    spent = []
    for _ in range(3):
        fed.run()
        spent.append(total_cost(ledger.charges()))
    follow_up = most_cost(fed.agreement, follows=True)
    assert terms.run_cost // 2 < spent[0] <= terms.run_cost
    for before, after in pairwise(spent):
        assert 0.99 * follow_up < after - before <= follow_up < 0.4 * terms.run_cost
    assert runs_left(terms, spent=spent[-1]) == 0
    assert runs_left(terms, spent=spent[-1], cost=follow_up) == 0
    assert runs_left(terms, spent=spent[-2], cost=follow_up) == 1
    with pytest.raises(RunFailedError):
        fed.run()
    assert total_cost(ledger.charges()) == spent[-1]


def test_the_budget_says_how_many_runs_are_left_if_all_follow_the_last_release() -> None:
    agreement = noised_federation(runs=3, start="").agreement
    terms = agreement.privacy
    assert terms is not None
    cost = most_cost(agreement, follows=True)
    left = budget_values(agreement, [], {})["follow_ups_left"]
    assert left == runs_left(terms, spent=0, cost=cost) > 2 * terms.runs
    assert forecast_values(agreement, [])["follow_ups_left"] == left
    for said in (budget_words(agreement, [], {}), forecast_words(agreement, [])):
        words = f"costs 35 % of one that starts anew: {left} runs left if all of them do"
        assert sum(words in str(part) for part in said) == 1
    anew = noised_federation(runs=3).agreement
    assert budget_values(anew, [], {})["follow_ups_left"] is None
    assert not any("starts anew" in str(part) for part in budget_words(anew, [], {}))


def test_what_an_exact_version_told_before_is_said_beside_a_budget_that_is_not_spent() -> None:
    exact = Federation(
        [np.random.default_rng(i).uniform(0, 1, (30, 4)) for i in range(3)],
        [FeatureTerms(name=f"f{i}", min="0", max="1") for i in range(4)],
        n_clusters=2,
        max_rounds=4,
        seed=1,
    )
    store = exact.nodes[0].store
    with store.transaction():
        store.keep_agreement(exact.signed, now="2026-01-01T00:00:00Z")
    assert told_exactly(store.runs_answered()) == []
    exact.run()
    exact.run()
    told = ToldExactly(agreement=exact.agreement.id, version=1, runs=2)
    assert told_exactly(store.runs_answered()) == [told]
    assert budget_values(AGREEMENT, [], {}, [told])["told_exactly"] == [told.to_dict()]
    words = f"Exact totals were told in 2 runs under agreement {exact.agreement.id}, version 1."
    for said in (budget_words(AGREEMENT, [], {}, [told]), forecast_words(AGREEMENT, [], [told])):
        assert sum(words in str(part) for part in said) == 1
        assert not any("Nothing has been told yet" in str(part) for part in said)
    assert "Nothing has been told with noise yet." in budget_words(AGREEMENT, [], {}, [told])
    spent = "\n".join(map(str, budget_words(AGREEMENT, [charge(1)], {}, [told])))
    assert "Spent so far means, of what was told with noise alone: Somebody who" in spent
    assert words in spent
    without = "\n".join(map(str, budget_words(AGREEMENT, [], {})))
    assert "Nothing has been told yet" in without
    assert "Exact totals" not in without


def test_a_run_that_follows_a_release_is_charged_no_more_than_it_costs() -> None:
    own = [charge(1, part=0.2)]
    cost = int(0.3 * TERMS.run_cost)
    spare = TERMS.reserve - TERMS.run_cost
    check_within_run(TERMS, own, charge(2, part=0.1), cost=cost)
    more = charge(2, part=(0.2 * TERMS.run_cost + spare) / TERMS.run_cost)
    check_within_run(TERMS, own, more, cost=TERMS.run_cost)
    with pytest.raises(RuleError, match="E-BUDGET-RUN"):
        check_within_run(TERMS, own, more, cost=cost)


def test_a_node_refuses_what_a_run_would_cost_beyond_its_own_share() -> None:
    """One question was asked again after a drop-out, and no spare one is agreed.

    The budget holds two more runs: it is not what refuses.
    """
    fed = noised_federation(spare_rounds=0)
    terms = fed.agreement.privacy
    assert terms is not None
    asked: list[bytes] = []

    def fall_silent(number: int, message: bytes) -> bytes | None:
        if number != 3 or b"fedseg/v1/announce" not in message:
            return message
        asked.append(message)
        return message if len(asked) <= 2 else None

    fed.exchange.tamper_request = fall_silent
    with pytest.raises(RunFailedError, match="all refused, with E-BUDGET-RUN"):
        fed.run()
    for number in range(3):
        store = fed.nodes[number].store
        charges = Ledger(store).charges()
        assert [charge.round for charge in charges].count(2) == 2
        assert terms.run_cost // 2 < total_cost(charges) <= terms.reserve
        answered = [record for record in store.egress() if record.customers is not None]
        assert len(answered) == len(charges), "what was refused was answered"
        assert [refusal.code for refusal in Refusals(store).all()] == ["E-BUDGET-RUN"]
        assert runs_left(terms, spent=total_cost(charges)) == terms.runs - 1


@pytest.mark.slow
def test_a_node_put_back_from_a_backup_charges_the_runs_that_it_forgot(tmp_path: Path) -> None:
    fed = noised_federation()
    terms = fed.agreement.privacy
    assert terms is not None
    sealer = EphemeralSealer()
    node = fed.nodes[1]
    node.store = NodeStore(tmp_path / "node.db", sealer)
    fed.run()
    node.store.close()
    backup = (tmp_path / "node.db").read_bytes()
    node.store = NodeStore(tmp_path / "node.db", sealer)
    fed.run()
    spent = total_cost(Ledger(node.store).charges())
    node.store.close()
    (tmp_path / "node.db").write_bytes(backup)
    for more in ("-wal", "-shm"):
        (tmp_path / f"node.db{more}").unlink(missing_ok=True)
    node.store = NodeStore(tmp_path / "node.db", sealer)
    assert total_cost(Ledger(node.store).charges()) < spent
    fed.run()
    charges = Ledger(node.store).charges()
    (forgotten,) = [c for c in charges if c.is_bound]
    assert forgotten.cost == forgotten.recomputed == terms.reserve
    others = Ledger(fed.nodes[0].store).charges()
    assert total_cost(charges) >= total_cost(others)
    fed.run()
    assert sum(c.is_bound for c in Ledger(node.store).charges()) == 1


class Restorable:
    """A federation with partner 1's state on disk, which can be put back."""

    def __init__(self, folder: Path, *, runs: int = 5, start: str = "anew") -> None:
        self.fed = noised_federation(runs=runs, start=start)
        self.terms = self.fed.agreement.privacy
        assert self.terms is not None
        self.node = self.fed.nodes[1]
        self.path = folder / "node.db"
        self.sealer = EphemeralSealer()
        self.node.store = NodeStore(self.path, self.sealer)
        self.backup = b""

    def back_up(self) -> None:
        self.node.store.close()
        self.backup = self.path.read_bytes()
        self.node.store = NodeStore(self.path, self.sealer)

    def put_back(self) -> None:
        self.node.store.close()
        self.path.write_bytes(self.backup)
        for more in ("-wal", "-shm"):
            self.path.with_name(f"node.db{more}").unlink(missing_ok=True)
        self.node.store = NodeStore(self.path, self.sealer)

    def greet(self, number: int) -> None:
        """Open a run that leads to nothing, as the coordinator may at any time."""
        request = Open(agreement_hash=self.fed.agreement.hash, run_id=bytes([number]) * 16)
        self.node.handle(sign_request(request, self.fed.coordinator_key))

    @property
    def forgotten(self) -> list[Charge]:
        return [c for c in Ledger(self.node.store).charges() if c.is_bound]


@pytest.mark.slow
def test_of_forgotten_runs_the_one_whose_release_this_node_signed_costs_what_that_says(
    tmp_path: Path,
) -> None:
    """The other two may have been anything: each is charged as a run that starts anew."""
    lab = Restorable(tmp_path, start="")
    assert lab.terms is not None
    lab.fed.run()
    lab.back_up()
    for _ in range(2):
        lab.fed.run()
    last = lab.fed.run().release.release
    assert last.start is not None
    assert last.privacy is not None
    lab.put_back()
    lab.fed.run()
    agreement = lab.fed.agreement
    *unknown, stated = lab.forgotten
    assert [c.cost for c in unknown] == [lab.terms.reserve] * 2
    assert stated.context == last.run_hash
    assert stated.cost == stated.recomputed == cost_of_rho(last.privacy.rho)
    real = [c for c in Ledger(lab.fed.nodes[0].store).charges() if c.run_id == last_id(lab, last)]
    assert total_cost(real) <= stated.cost < 0.4 * lab.terms.run_cost
    said = "an upper bound: this run is not on record here"
    assert all(c.asked.startswith(said) for c in lab.forgotten)
    assert all("cannot know what it asked" in c.asked for c in unknown)
    assert "which this node signed" in stated.asked
    charges = Ledger(lab.node.store).charges()
    assert [v["upper_bound"] for v in budget_values(agreement, charges, {})["charges"]].count(
        True
    ) == 3
    rho = f"{rho_of_cost(total_cost(lab.forgotten)):.3g}"
    words = f"a rho of {rho} is an upper bound, for 3 runs not on record here"
    for lines in (budget_words(agreement, charges, {}), forecast_words(agreement, charges)):
        assert sum(words in str(line) for line in lines) == 1
    honest = Ledger(lab.fed.nodes[0].store).charges()
    assert not any("upper bound" in str(line) for line in budget_words(agreement, honest, {}))


def last_id(lab: Restorable, release: Release) -> bytes:
    """The id of a release's run, as partner 0 has it on record."""
    runs = lab.fed.nodes[0].store.runs()
    (found,) = [run.run_id for run in runs if run.state["run_hash"] == release.run_hash.hex()]
    return found


@pytest.mark.slow
def test_of_a_forgotten_run_that_ended_without_this_node_the_most_is_charged(
    tmp_path: Path,
) -> None:
    """What others signed says nothing of what this node was asked, and they might lie."""
    lab = Restorable(tmp_path, start="")
    assert lab.terms is not None
    lab.fed.run()
    lab.back_up()
    asked: list[bytes] = []

    def fall_silent(number: int, message: bytes) -> bytes | None:
        if number != 1 or b"fedseg/v1/announce" not in message:
            return message
        asked.append(message)
        return message if len(asked) <= 1 else None

    lab.fed.exchange.tamper_request = fall_silent
    release = lab.fed.run().release.release
    assert len(release.participants) == 3
    lab.fed.exchange.tamper_request = None
    lab.put_back()
    lab.fed.run()
    (unknown,) = lab.forgotten
    assert (unknown.context, unknown.cost) == (release.run_hash, lab.terms.reserve)


@pytest.mark.slow
def test_greetings_that_lead_to_nothing_excuse_one_forgotten_run_at_most(tmp_path: Path) -> None:
    lab = Restorable(tmp_path, runs=8)
    lab.fed.run()
    lab.back_up()
    for _ in range(3):
        lab.fed.run()
    lab.put_back()
    for number in range(3):
        lab.greet(number)
    lab.fed.run()
    assert len(lab.forgotten) == 2
    for number in range(3, 6):
        lab.greet(number)
    lab.fed.run()
    assert len(lab.forgotten) == 2, "what is excused or charged is known from then on"


@pytest.mark.slow
def test_what_was_forgotten_is_written_down_also_beyond_the_budget(tmp_path: Path) -> None:
    lab = Restorable(tmp_path, runs=3)
    lab.back_up()
    for _ in range(3):
        lab.fed.run()
    lab.put_back()
    chain = lab.fed.nodes[0].store.chain(lab.fed.agreement)
    assert len(chain.links) == 3
    request_id, roster = next_roster(lab.fed)
    with pytest.raises(RuleError, match="E-BUDGET-SPENT"):
        lab.node.handle(roster)
    assert len(lab.forgotten) == 3
    assert total_cost(lab.forgotten) > lab.terms.budget - lab.terms.run_cost
    assert [run.phase for run in lab.node.store.runs() if run.run_id == request_id] == ["aborted"]
    assert not lab.node.store.runs()[0].state["noise_secret"]
    for agreement_hash, code in (
        (lab.fed.agreement.hash, "BUDGET-SPENT"),
        (bytes(32), "AGR-OTHER"),
    ):
        asked = Open(agreement_hash=agreement_hash, run_id=bytes([78]) * 16)
        with pytest.raises(FedsegError, match=f"E-{code}"):
            lab.node.handle(sign_request(asked, lab.fed.coordinator_key))


def next_roster(fed: Federation) -> tuple[bytes, bytes]:
    """The signed roster that would come next, with everybody in it; all nodes have greeted."""
    run_id = bytes([77]) * 16
    opened = sign_request(
        Open(agreement_hash=fed.agreement.hash, run_id=run_id), fed.coordinator_key
    )
    hellos = []
    for number, node in fed.nodes.items():
        if number == 1:
            hellos.append(node.handle(opened))
            continue
        current = PartnerRound(
            fed.agreement, fed.partner_keys[number], node.store.chain(fed.agreement)
        )
        request = open_request(opened, coordinator_key=fed.agreement.coordinator.public_key)
        assert isinstance(request, Open)
        hellos.append(current.open(request, entropy=bytes([number]) * ENTROPY_BYTES))
    chain = fed.nodes[0].store.chain(fed.agreement)
    link = Link(
        run_hash=run_hash(fed.agreement.hash, run_id, tuple(hellos)), members=frozenset(range(4))
    )
    roster = Roster(run_id=run_id, hellos=tuple(hellos), chain=chain.extended(link).to_bytes())
    return run_id, sign_request(roster, fed.coordinator_key)


def test_a_run_whose_roster_never_came_is_no_forgotten_run() -> None:
    fed = noised_federation()

    def lose(number: int, message: bytes) -> bytes | None:
        return None if number == 1 and b"fedseg/v1/roster" in message else message

    fed.exchange.tamper_request = lose
    fed.run()  # goes on without partner 1
    fed.exchange.tamper_request = None
    fed.run()
    assert not any("not on record" in c.asked for c in Ledger(fed.nodes[1].store).charges())


def test_everybody_without_a_budget_ends_a_run_at_once() -> None:
    fed = noised_federation(runs=1)
    fed.run()
    before = fed.clock.now_s
    with pytest.raises(RunFailedError, match="holds no further run"):
        fed.run()
    assert fed.clock.now_s - before < 5, "nobody is waited for"


def test_what_was_charged_under_each_agreement_is_known(tmp_path: Path) -> None:
    store = NodeStore(tmp_path / "node.db", EphemeralSealer())
    fed = noised_federation()
    for identity, number in (("ours", 1), ("ours", 2), ("theirs", 3)):
        agreement = dataclasses.replace(fed.agreement, id=identity)
        with store.transaction():
            Ledger(store).charge(charge(number, part=0.1), agreement, now="2026-01-01")
    under = Ledger(store).charged_under()
    assert list(under) == ["ours", "theirs"]
    costs = [charge(number, part=0.1).cost for number in (1, 2, 3)]
    assert under == {"ours": costs[0] + costs[1], "theirs": costs[2]}, "to the last unit"
