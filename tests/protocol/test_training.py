"""What an agreement says of the training of people at every node."""

from __future__ import annotations

from types import ModuleType

import pytest

from partner_node.shown.agreement_words import agreement_words
from protocol.agreement.changes import changes
from protocol.agreement.document import Agreement
from tests.protocol.test_added_builds import code_of


def test_an_agreement_may_demand_training_and_keeps_its_hash_where_it_does_not(
    lab: ModuleType,
) -> None:
    values = lab.agreement_values(3)
    plain = Agreement.from_dict(values)
    assert "training" not in plain.to_dict()
    asks = Agreement.from_dict(values | {"training": ["fedseg-basics", "privacy-2"]})
    assert asks.training == ("fedseg-basics", "privacy-2")
    assert Agreement.from_bytes(asks.to_bytes()) == asks
    (change,) = changes(plain, asks)
    assert (change.place, change.after) == ("training", "fedseg-basics, privacy-2")


@pytest.mark.parametrize(
    "wrong",
    [[], ["A"], ["a b"], ["a-"], ["-a"], ["a", "a"], [f"c{n}" for n in range(11)], ["x" * 61],
     "fedseg-basics", True, None, [1]],
)  # fmt: skip
def test_what_is_no_list_of_courses_is_refused(lab: ModuleType, wrong: object) -> None:
    values = lab.agreement_values(3) | {"training": wrong}
    assert code_of(lambda: Agreement.from_dict(values)) == "E-AGR-SCHEMA"


def test_whoever_signs_reads_what_training_is_demanded(lab: ModuleType) -> None:
    values = lab.agreement_values(3)
    told = [str(p) for p in agreement_words(Agreement.from_dict(values), [])]
    assert not any("has been trained" in words for words in told)
    asks = Agreement.from_dict(values | {"training": ["fedseg-basics"]})
    told = [str(p) for p in agreement_words(asks, [])]
    assert any("has been trained: fedseg-basics. Where nobody" in words for words in told)
