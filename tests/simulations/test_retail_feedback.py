"""Generated answers to a survey: as a partner would import them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from partner_node.segments.feedback_file import read_feedback
from simulations.retail import KIND_PROFILES
from simulations.retail_feedback import ANSWERS, MEANS, QUESTION, write_feedback

KINDS = [list(KIND_PROFILES)[i % len(KIND_PROFILES)] for i in range(7_000)]
TRUTH = pa.table({"customer_id": [f"shop-{i:06}" for i in range(len(KINDS))], "kind": KINDS})
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def test_a_node_takes_them_in_and_each_kind_answers_about_its_own_mean(tmp_path: Path) -> None:
    path = write_feedback(TRUTH, tmp_path / "new", "shop", seed=1)
    assert path == tmp_path / "new" / "feedback-shop.csv"
    said = read_feedback(path, now=NOW, terms=QUESTION)
    scores = {one.subject: one.score for one in said if one.kind == "satisfaction"}
    assert len(scores) == pytest.approx(ANSWERS * len(KINDS), rel=0.05)
    assert {one.kind for one in said} == {"satisfaction", "complaint", "opt-out"}
    assert set(MEANS) == set(KIND_PROFILES)
    for kind, mean in MEANS.items():
        own = [s for i, s in scores.items() if KINDS[int(i.removeprefix("shop-"))] == kind]
        assert np.mean(own) == pytest.approx(mean, abs=0.2)
        assert set(own) <= {1.0, 2.0, 3.0, 4.0, 5.0}


def test_the_same_seed_gives_the_same_file_and_each_partner_its_own(tmp_path: Path) -> None:
    one, again, other, seeded = (
        write_feedback(TRUTH, tmp_path / folder, partner, seed=seed).read_text()
        for folder, partner, seed in (
            ("a", "shop", 1), ("b", "shop", 1), ("c", "bank", 1), ("d", "shop", 2),
        )
    )  # fmt: skip
    assert one == again
    assert len({one, other, seeded}) == 3


def test_few_customers_may_say_nothing(tmp_path: Path) -> None:
    path = write_feedback(TRUTH.slice(0, 0), tmp_path, "shop", seed=1)
    assert path.read_text() == "customer_id,kind,at,score\n"
    assert read_feedback(path, now=NOW, terms=QUESTION) == []
