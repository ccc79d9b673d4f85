"""Runs deployed that start from the last release: on customers who do not change, when a partner
drops out in one, under exact totals, and under a version that replaces those by noise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from partner_node.cli import agreement as partner_agreement
from partner_node.egress.records import APPROVED, REFUSED
from partner_node.store.ledger import Ledger
from protocol.clustering.followed import Beginning
from protocol.clustering.plan import most_cost
from protocol.privacy.accounting import cost_of_rho
from protocol.privacy.ledger import Charge, total_cost
from protocol.release.document import Release, SignedRelease
from tests import effort
from tests.end_to_end import deployment as deploy
from tests.end_to_end.command_line import command
from tests.end_to_end.deployment import Deployment

pytestmark = pytest.mark.slow

NAMES = ("north", "east", "west", "south")
#: The partner that drops out has so many that distances over the others' count would be far off.
SIZES = {"north": 2_400, "east": 1_200, "west": 1_200, "south": 1_200}
RUNS = effort.count(2, 10)
MIDDLES = np.array([[40, 12, 900], [150, 60, 4_200], [310, 25, 2_400]])
WIDTHS = np.array([25, 8, 350])


def groups(seed: int, n: int) -> np.ndarray:
    """Values of `deploy.COLUMNS` for customers in three groups that touch each other."""
    rng = np.random.default_rng(seed)
    values = MIDDLES[rng.integers(0, 3, n)] + rng.normal(0, 1, (n, 3)) * WIDTHS
    return np.rint(np.clip(values, [0, 1, 0], [365, 100, 5_000]))


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("following")
    data = {
        name: deploy.write_customers(directory / f"{name}.csv", groups(seed, SIZES[name]))
        for seed, name in enumerate(NAMES)
    }
    made = deploy.make_deployment(
        directory, data, grace_s=60, n_clusters=6, fewest=2, max_rounds=12, epsilon="1",
        min_segment_size=50,
    )  # fmt: skip
    with deploy.running(made):
        yield made


def said(deployed: Deployment, name: str, *words: object) -> Any:
    done = command("node", *words, "--dir", deployed.folder(name), "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["data"]


def assigned(deployed: Deployment) -> dict[tuple[str, str], str]:
    """The lasting id of each customer's segment, by partner and customer."""
    found = {}
    for name in NAMES:
        file = Path(said(deployed, name, "segments", "assign")["file"])
        rows = pq.read_table(file, columns=["customer_id", "segment_id"]).to_pylist()
        file.unlink()
        found |= {(name, row["customer_id"]): row["segment_id"] for row in rows}
    return found


def finished(deployed: Deployment, run_id: bytes | None = None) -> Release:
    """The release of a run, of a new one where none is named."""
    row = deployed.await_end(deployed.request() if run_id is None else run_id)
    assert row.state == "finished", row
    return deployed.release(row.run_id)


@pytest.fixture(scope="module")
def first(deployed: Deployment) -> Release:
    """The release of the first run, which starts anew."""
    return finished(deployed)


def test_runs_on_unchanged_customers_keep_the_number_of_segments_and_their_customers(
    deployed: Deployment, first: Release
) -> None:
    releases, segments = [first], [assigned(deployed)]
    for _ in range(RUNS - 1):
        releases.append(finished(deployed))
        segments.append(assigned(deployed))
    assert [len(r.segments) for r in releases] == [len(releases[0].segments)] * RUNS
    assert releases[0].start is None
    for before, release in pairwise(releases):
        assert release.start is not None
        assert (release.start.release, release.start.changed) == (before.hash, False)
        assert release.rounds == 4
    assert len(segments[0]) == sum(SIZES.values())
    for later in segments[1:]:
        kept = sum(later[customer] == segment for customer, segment in segments[0].items())
        assert kept >= 0.95 * len(segments[0])
    for name in NAMES:
        listed = said(deployed, name, "segments", "list")
        assert listed["start"]["release"] == releases[-2].hash.hex()
        assert {segment["status"] for segment in listed["segments"]} == {"kept"}
        budget = said(deployed, name, "budget", "show")
        rho = float(sum(r.privacy.rho for r in releases if r.privacy is not None))
        assert budget["rho_spent"] <= rho
        assert budget["rho_spent"] == pytest.approx(rho, rel=0.01)
        # A follow-up run costs 38 % of one that starts anew, at most.
        assert rho < (1 + 0.39 * (RUNS - 1)) * float(
            releases[0].privacy.rho if releases[0].privacy else 0
        )


def charges_of(deployed: Deployment, name: str, run_id: bytes) -> list[Charge]:
    with deployed.node_store(name) as store:
        return [charge for charge in Ledger(store).charges() if charge.run_id == run_id]


def apart(one: Release, other: Release) -> float:
    """The farthest that a centre of `one` lies from the nearest of `other`, in the scaled cube."""
    offsets = (one.centres[:, None, :] - other.centres[None, :, :]) / (1 << one.fraction_bits)
    return float(np.sqrt((offsets**2).sum(axis=2)).min(axis=1).max())


def test_a_follow_up_run_goes_on_without_a_partner_that_drops_out_between_questions(
    deployed: Deployment, first: Release
) -> None:
    """It answers the first question; the others are asked the second again, in the spare round."""
    agreement = deployed.agreement
    assert agreement.privacy is not None
    assert agreement.privacy.spare_rounds == 1
    with deployed.store() as store:
        last = SignedRelease.from_bytes(store.last_release(b"", agreement)).verify(agreement)
    deployed.hold_back("north", "answers")
    run_id = deployed.request()
    assert len(deployed.decide(run_id, "north", [APPROVED, REFUSED])) == 2
    release = finished(deployed, run_id)

    # Right segments: those of the last release, of the three partners that are left.
    assert release.participants == NAMES[1:]
    assert release.start == Beginning(release=last.hash, changed=False)
    assert (release.rounds, len(release.segments)) == (4, len(last.segments))
    assert apart(release, last) < 0.1
    assert sum(s.size for s in release.segments) == pytest.approx(
        sum(SIZES.values()) - SIZES["north"], rel=0.1
    )
    assert release.distance is not None
    assert last.distance is not None
    assert release.distance.mean == pytest.approx(last.distance.mean, rel=0.15)

    # The spare round is used, charged and told.
    assert release.privacy is not None
    assert release.privacy.asked_again == 1
    most = most_cost(agreement, follows=True)
    for name in NAMES[1:]:
        charges = charges_of(deployed, name, run_id)
        assert [charge.round for charge in charges] == [0, 1, 1, 2, 3]
        assert charges[1].asked == charges[2].asked
        # Without one of four, three shares hold the noise that four were to: none costs less.
        once = [charge.cost for charge in charges[:2] + charges[3:]]
        assert sum(once) == pytest.approx(most, rel=0.01)
        spent = total_cost(charges)
        assert spent == pytest.approx(most + charges[1].cost, rel=0.01)
        assert most < spent <= cost_of_rho(release.privacy.rho)
        assert spent <= agreement.privacy.reserve_for(most)
        listed = said(deployed, name, "segments", "list")
        assert listed["release"] == release.hash.hex()
        assert listed["privacy_terms"]["asked_again"] == 1
        shown = said(deployed, name, "budget", "show")["charges"]
        again = [c["round"] for c in shown if c["run_id"] == run_id.hex()]
        assert again == [1, 2, 2, 3, 4]
    assert [charge.round for charge in charges_of(deployed, "north", run_id)] == [0, 1]

    # It is back in the next run, which starts from the release that it never received.
    deployed.hold_back("north", "none")
    after = finished(deployed)
    assert after.participants == NAMES
    assert after.start == Beginning(release=release.hash, changed=False)
    assert after.privacy is not None
    assert after.privacy.asked_again == 0
    assert apart(after, last) < 0.1


# --- exact totals, and a version with noise instead ----------------------------------------------


def test_an_exact_release_is_followed_and_a_version_with_noise_starts_anew(tmp_path: Path) -> None:
    names = NAMES[:3]
    # Two segments: with three or more the first run looks for a better optimum, for many rounds.
    data = {
        name: deploy.write_customers(tmp_path / f"{name}.csv", groups(seed, 400))
        for seed, name in enumerate(names)
    }
    made = deploy.make_deployment(tmp_path, data, grace_s=60, n_clusters=2, max_rounds=30)
    with deploy.running(made):
        exact = made.agreement
        assert exact.plan.exact_totals
        first, second = finished(made), finished(made)
        assert (first.start, second.start) == (None, Beginning(release=first.hash, changed=False))
        assert np.array_equal(first.centres, second.centres)
        assert [s.size for s in first.segments] == [s.size for s in second.segments]
        assert second.rounds < first.rounds

        unsigned = deploy.draft_agreement(
            tmp_path, names, features=deploy.plain_features(), n_clusters=2, max_rounds=12,
            epsilon="3", supersedes=exact,
        )  # fmt: skip
        complete = deploy.sign_agreement(tmp_path, unsigned, names)
        for name in names:
            partner_agreement.install(file=complete, directory=made.folder(name))
        noised = made.agreement
        assert (noised.version, noised.supersedes) == (2, exact.hash)
        unspent = said(made, names[0], "budget", "show")
        assert unspent["epsilon_spent"] == 0
        assert unspent["told_exactly"] == [{"agreement": exact.id, "version": 1, "runs": 2}]
        third = finished(made)
        assert third.start is None
        assert third.privacy is not None
        with made.store() as store:
            named = store.last_release(b"", exact)
            assert SignedRelease.from_bytes(named).release.hash == second.hash
            following = store.last_release(b"", noised)
        assert SignedRelease.from_bytes(following).release.hash == third.hash
        if effort.LONG:  # a run that follows a release with noise is made above
            fourth = finished(made)
            assert fourth.start is not None
            assert fourth.start.release == third.hash
