"""What an agreement says of acts that need two people at every node."""

from __future__ import annotations

from types import ModuleType

import pytest

from partner_node.shown.agreement_words import agreement_words
from protocol.agreement.changes import changes
from protocol.agreement.document import Agreement
from tests.protocol.test_added_builds import code_of


def test_an_agreement_may_ask_for_two_people_and_keeps_its_hash_where_it_does_not(
    lab: ModuleType,
) -> None:
    values = lab.agreement_values(3)
    plain = Agreement.from_dict(values)
    assert "four_eyes" not in plain.to_dict()
    for chosen in (["egress"], ["agreement", "export"], ["agreement", "egress", "export"]):
        asks = Agreement.from_dict(values | {"four_eyes": chosen})
        assert asks.four_eyes == tuple(chosen)
        assert Agreement.from_bytes(asks.to_bytes()) == asks
        assert asks.hash != plain.hash
        (change,) = changes(plain, asks)
        assert (change.place, change.after) == ("four_eyes", ", ".join(chosen))


@pytest.mark.parametrize(
    "wrong",
    [[], ["all"], ["egress", "egress"], ["export", "egress"], "egress", True, None, ["egress", 1]],
)
def test_other_words_and_another_order_are_refused(lab: ModuleType, wrong: object) -> None:
    values = lab.agreement_values(3) | {"four_eyes": wrong}
    assert code_of(lambda: Agreement.from_dict(values)) == "E-AGR-SCHEMA"


def test_whoever_signs_reads_what_needs_two_people(lab: ModuleType) -> None:
    values = lab.agreement_values(3)
    told = [str(p) for p in agreement_words(Agreement.from_dict(values), [])]
    assert not any("Two different people" in words for words in told)
    asks = Agreement.from_dict(values | {"four_eyes": ["agreement", "egress", "export"]})
    (words,) = [str(p) for p in agreement_words(asks, []) if "Two different people" in str(p)]
    for part in ("is signed", "holds for approval leaves", "is written", "One may refuse"):
        assert part in words
