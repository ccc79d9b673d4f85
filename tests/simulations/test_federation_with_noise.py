"""Runs under differential privacy: the protocol's own code, noise shares, ledgers and releases."""

from __future__ import annotations

import dataclasses
import itertools
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from coordinator.patience import Patience
from partner_node.store.ledger import Ledger
from protocol.agreement.satisfaction import SatisfactionTerms
from protocol.errors import AgreementError, RuleError, RunFailedError, SourceError
from protocol.messages import Open, Roster, sign_request
from protocol.privacy.accounting import rho_for
from protocol.privacy.ledger import runs_left, total_cost
from protocol.privacy.terms import PrivacyTerms
from protocol.queries import customer_vectors
from protocol.release.document import (
    NOISED_STATEMENT,
    SignedRelease,
    release_centres,
    typical_ranges,
)
from simulations.federation import FeatureTerms, Federation
from tests import effort

pytestmark = pytest.mark.slow

FEATURES = [FeatureTerms(name=f"f{i}", min="0", max="10") for i in range(4)]
PATIENCE = Patience(grace_s=20, resend_s=1)


def privacy(epsilon: float = 2.0, *, runs: int = 3, group: int = 1, spare: int = 0) -> PrivacyTerms:
    return PrivacyTerms(
        epsilon=Decimal(str(epsilon)),
        delta=Decimal("0.00001"),
        rho=rho_for(epsilon, 1e-5),
        runs=runs,
        spare_rounds=spare,
        max_partners_per_customer=group,
    )


def rows(n: int, each: int = 400, seed: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    middles = np.array([[1, 9, 2, 8], [8, 2, 9, 1], [5, 5, 1, 1]])
    return [middles[rng.integers(0, 3, each)] + rng.normal(0, 0.4, (each, 4)) for _ in range(n)]


def federation(n: int = 4, *, plan: str = "hybrid-dp", seed: int | None = 1, **terms: Any) -> Any:
    given = {"privacy": privacy(), "patience": PATIENCE, "max_rounds": 11} | terms
    return Federation(rows(n), FEATURES, n_clusters=3, plan=plan, seed=seed, **given)


@pytest.mark.parametrize("plan", ["hybrid-dp", "lloyd-dp"])
def test_a_run_ends_in_a_release_that_says_what_it_cost(plan: str) -> None:
    fed = federation(plan=plan)
    run = fed.run()
    release = run.release.verify(fed.agreement)
    assert release.statement == NOISED_STATEMENT
    assert release.privacy is not None
    assert release.privacy.rho <= fed.agreement.privacy.rho
    assert 1.9 < release.privacy.epsilon <= 2.0
    assert release.privacy.asked_again == 0
    assert release.privacy.unit == "one customer at one partner"
    assert SignedRelease.from_bytes(run.release.to_bytes()).release == release
    assert sum(s.size for s in release.segments) == pytest.approx(1_600, abs=200)
    assert all(s.size_sigma > 0 and s.centre_sigma > 0 for s in release.segments)


@pytest.mark.slow
@pytest.mark.parametrize(("plan", "rounds"), [("hybrid-dp", 11), ("lloyd-dp", 6)])
def test_a_profile_is_released_with_its_noise_when_it_is_agreed(plan: str, rounds: int) -> None:
    fed = federation(plan=plan, profile=True, max_rounds=rounds, privacy=privacy(4.0))
    run = fed.run()
    release = run.release.verify(fed.agreement)
    assert release.privacy.rho <= fed.agreement.privacy.rho
    ranges = typical_ranges(release, fed.agreement)
    centres = release_centres(release, fed.agreement)
    told = 0
    for segment, found, centre in zip(release.segments, ranges, centres, strict=True):
        assert len(segment.spreads) == fed.agreement.n_coordinates
        assert segment.spread_sigma > 0
        for value, span in zip(centre, found, strict=True):
            if span is not None:
                told += 1
                assert span[0] < value < span[1]
    assert told or plan == "lloyd-dp"
    for node in fed.nodes.values():
        assert total_cost(Ledger(node.store).charges()) <= fed.agreement.privacy.run_cost
    without = federation(plan=plan, max_rounds=rounds)
    assert typical_ranges(without.run().release.release, without.agreement) is None


def test_a_profile_tells_the_spread_of_the_customers() -> None:
    """Normal with a deviation of 0.4, next to a bound where some features are cut."""
    fed = federation(profile=True, max_rounds=11, privacy=privacy(50.0))
    release = fed.run().release.release
    widths = [
        high - low
        for found in typical_ranges(release, fed.agreement)
        for low, high in (span for span in found if span is not None)
    ]
    assert len(widths) >= 6
    assert np.median(widths) == pytest.approx(0.8, abs=0.15)


def test_a_release_without_the_agreed_profile_is_refused() -> None:
    fed = federation(profile=True, max_rounds=11)
    signed = fed.run().release
    keys = fed.partner_keys
    for change in ({"spreads": None, "spread_sigma": 0}, {"spreads": (1, 2)}):
        segments = tuple(dataclasses.replace(s, **change) for s in signed.release.segments)
        changed = dataclasses.replace(signed.release, segments=segments)
        envelope = SignedRelease.unsigned(changed).envelope
        for key in keys:
            envelope = envelope.signed_by(key)
        with pytest.raises(RuleError, match="profile is not as agreed"):
            SignedRelease(release=changed, envelope=envelope).verify(fed.agreement)


SCALE = SatisfactionTerms(question="How satisfied are you with us?", lowest=0, highest=10)


@pytest.mark.parametrize(("plan", "rounds"), [("hybrid-dp", 12), ("lloyd-dp", 8)])
def test_satisfaction_is_released_with_its_noise_when_it_is_agreed(plan: str, rounds: int) -> None:
    """Half of the customers answer, at one partner nobody; the third group is the least content."""
    data, rng = rows(4), np.random.default_rng(3)
    contents = [np.where(own[:, 3] > 5, 9.0, np.where(own[:, 0] > 6.5, 7.0, 2.0)) for own in data]
    scores = [np.where(rng.random(len(own)) < 0.5, own, np.nan) for own in contents]
    scores[2][:] = np.nan
    given = {"profile": True, "satisfaction": SCALE, "scores": scores}
    fed = federation(plan=plan, max_rounds=rounds, privacy=privacy(6.0), **given)
    release = fed.run().release.verify(fed.agreement)
    told = 0
    for segment in release.segments:
        if segment.satisfaction is None:
            continue
        told += 1
        centres = release.centres / (1 << release.fraction_bits)
        grid = fed.scale.to_grid(np.vstack(data)) / (1 << release.fraction_bits)
        nearest = ((grid[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
        own = np.concatenate(scores)[nearest == segment.segment - 1]
        own = own[~np.isnan(own)]
        found = segment.satisfaction
        assert abs(found.answered - len(own)) <= 4 * found.answered_sigma
        assert abs(found.score(SCALE) - own.mean()) <= 2.2 * found.margin(SCALE)
    assert told == len(release.segments) or plan == "lloyd-dp"
    for node in fed.nodes.values():
        charges = Ledger(node.store).charges()
        assert "how satisfied" in charges[-1].asked
        assert total_cost(charges) <= fed.agreement.privacy.run_cost
        answers = [r for r in node.store.egress() if r.customers is not None]
        assert {r.customers for r in answers} == {400}, "also of who gave no score"


def test_without_scores_at_any_partner_a_release_tells_nothing_of_satisfaction() -> None:
    fed = federation(max_rounds=12, satisfaction=SCALE, min_segment_size=20)
    release = fed.run().release.verify(fed.agreement)
    assert release.segments
    assert [s.satisfaction for s in release.segments] == [None] * len(release.segments)


def test_every_node_charges_what_the_run_cost() -> None:
    fed = federation()
    fed.run()
    for node in fed.nodes.values():
        charges = Ledger(node.store).charges()
        assert [c.round for c in charges] == list(range(len(charges)))
        assert total_cost(charges) <= fed.agreement.privacy.run_cost
        assert total_cost(charges) > 0.9 * fed.agreement.privacy.run_cost
        assert all(c.cost == c.recomputed for c in charges)
        spent = total_cost(charges)
        assert runs_left(fed.agreement.privacy, spent=spent) == 2


def test_segments_are_found_where_the_customers_are() -> None:
    fed = federation(privacy=privacy(8.0))
    run = fed.run()
    centres = fed.scale.from_grid(run.clustering.centroids)
    for middle in ([1, 9, 2, 8], [8, 2, 9, 1], [5, 5, 1, 1]):
        assert np.abs(centres - middle).sum(axis=1).min() < 1.0


@pytest.mark.slow
def test_the_same_seed_gives_the_same_release_and_another_seed_other_noise() -> None:
    first, again, other = federation().run(), federation().run(), federation(seed=2).run()
    assert first.release.release == again.release.release
    assert first.release.release.segments != other.release.release.segments


def test_two_partners_are_enough_with_noise_and_not_without() -> None:
    release = federation(2).run().release.release
    assert release.participants == ("partner-0", "partner-1")
    with pytest.raises(AgreementError, match="E-PARTNERS"):
        Federation(rows(2), FEATURES, n_clusters=3)


def test_an_empty_budget_refuses_before_any_customer_is_read() -> None:
    fed = federation(privacy=privacy(runs=2), start="anew")
    fed.run()
    fed.run()
    reads = []
    for node in fed.nodes.values():
        node._customers = Spy(reads)
    with pytest.raises(RunFailedError):
        fed.run()
    assert reads == []
    spent = total_cost(Ledger(fed.nodes[0].store).charges())
    assert runs_left(fed.agreement.privacy, spent=spent) == 0


class Spy:
    """Customers that nobody may read."""

    def __init__(self, reads: list[int]) -> None:
        self.reads = reads

    def vectors(self) -> Any:
        self.reads.append(1)
        yield customer_vectors(np.zeros((1, 4)))


def test_a_budget_that_ends_in_mid_run_refuses_that_round_unread() -> None:
    fed = federation(privacy=privacy(runs=1, spare=1))
    node = fed.nodes[1]
    reads: list[int] = []

    def spend(number: int, message: bytes) -> bytes:
        if number == 1 and len(Ledger(node.store).charges()) == 3 and not reads:
            terms = fed.agreement.privacy
            charge = Ledger(node.store).charges()[0]
            with node.store.transaction():
                extra = type(charge)(
                    **{
                        **{f: getattr(charge, f) for f in charge.__slots__},
                        "context": bytes(32),
                        "cost": terms.budget - total_cost(Ledger(node.store).charges()) - 5,
                    }
                )
                Ledger(node.store).charge(extra, fed.agreement, now="2026-01-15T00:00:00Z")
            node._customers = Spy(reads)
        return message

    fed.exchange.tamper_request = spend
    fed.run()  # three of four are a quorum
    assert reads == []
    assert total_cost(Ledger(node.store).charges()) <= fed.agreement.privacy.budget
    (run,) = node.store.runs()
    assert run.phase != "done"


def test_a_round_that_is_asked_again_is_charged_again_and_stated() -> None:
    fed = federation(6, privacy=privacy(spare=1))
    asked = itertools.count()

    def leave(node: int, message: bytes) -> bytes | None:
        if node == 5 and b"fedseg/v1/announce" in message and next(asked) >= 3:
            fed.exchange.down.add(5)
            return None
        return message

    fed.exchange.tamper_request = leave
    run = fed.run()
    release = run.release.verify(fed.agreement)
    assert release.privacy is not None
    assert release.privacy.asked_again == 1
    assert len(release.participants) == 5
    charges = Ledger(fed.nodes[0].store).charges()
    assert [c.round for c in charges].count(3) == 2
    assert len({c.context for c in charges}) == len(charges) == run.rounds + 1
    spent = total_cost(charges)
    assert spent > fed.agreement.privacy.run_cost
    stated = int(release.privacy.rho * 10**9) * (1 << 60) // 10**9
    assert stated >= spent - (1 << 31), "the release states less than was spent"
    assert release.privacy.epsilon > 2.0


@pytest.mark.slow
def test_the_noise_in_a_total_has_at_least_the_agreed_variance() -> None:
    """Also when one partner adds none: the others' shares are wide enough."""
    ratios = []
    for seed in range(effort.count(6, 60)):
        fed = federation(3, seed=seed, privacy=privacy(0.5))
        run = fed.run()
        noise = run.clustering.noise
        assert noise is not None
        count = 1_200
        sigma = float(np.sqrt((noise.count_sigmas.astype(float) ** 2).sum()))
        ratios.append((int(run.clustering.counts.sum()) - count) / sigma)
    assert 0.3 < np.std(ratios) < 1.6
    assert abs(np.mean(ratios)) < 1.0


@pytest.mark.slow
def test_the_plan_chooses_how_many_segments_there_are() -> None:
    """Three kinds of customers, anything from two to six clusters allowed."""
    chosen = []
    for seed in range(effort.count(2, 4)):
        fed = Federation(
            rows(4, 800),
            FEATURES,
            n_clusters=6,
            n_clusters_min=2,
            plan="hybrid-dp",
            privacy=privacy(4.0),
            max_rounds=12,
            seed=seed,
        )
        run = fed.run()
        chosen.append(len(run.clustering.counts))
        choice, release = run.clustering.choice, run.release.release
        assert choice is not None
        assert release.choice == choice
        assert [gap.n_clusters for gap in choice.gaps] == [2, 3, 4, 5, 6]
        assert choice.used == (choice.seen if choice.told else 6) == chosen[-1]
        assert run.rounds == release.rounds <= 12
    assert chosen.count(3) >= 0.75 * len(chosen), chosen


def test_a_run_opened_while_the_budget_held_it_is_refused_when_it_no_longer_does() -> None:
    fed = federation(privacy=privacy(runs=1))
    node = fed.nodes[0]
    early = []

    def open_another(number: int, message: bytes) -> bytes:
        if number == 0 and b"fedseg/v1/roster" in message and not early:
            opening = Open(agreement_hash=fed.agreement.hash, run_id=b"early".ljust(16, b"\0"))
            early.append(node.handle(sign_request(opening, fed.coordinator_key)))
        return message

    fed.exchange.tamper_request = open_another
    fed.run()
    hellos = (early[0], b"", b"", b"")
    roster = Roster(run_id=b"early".ljust(16, b"\0"), hellos=hellos, chain=b"")
    with pytest.raises(RuleError, match="E-BUDGET-SPENT"):
        node.handle(sign_request(roster, fed.coordinator_key))


@pytest.mark.parametrize("trouble", ["one customer too many", "a value is missing"])
def test_with_noise_one_code_stands_for_everything_that_hangs_on_a_row(trouble: str) -> None:
    """Which rule a single customer breaks would be told without any noise."""
    fed = federation(privacy=privacy(spare=1))
    codes = set()

    class Broken:
        def vectors(self) -> Any:
            if trouble == "a value is missing":
                raise SourceError("row 7 has no value", code="E-SOURCE-NULL")
            yield customer_vectors(np.zeros((401, 4)))

    fed.nodes[1]._customers = Broken()
    pull = fed.exchange.pull

    def noted(handles: Any) -> Any:
        replies = pull(handles)
        codes.update(r.error for r in replies.values() if r.error is not None)
        return replies

    fed.exchange = type("Noted", (), {
        "nodes": fed.exchange.nodes, "push": fed.exchange.push, "pull": staticmethod(noted),
        "flush": fed.exchange.flush,
    })()  # fmt: skip
    fed.run()  # goes on without it
    assert codes == {"E-SOURCE"}
