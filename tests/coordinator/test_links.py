"""Which node speaks for which partner: nobody takes another's place."""

from __future__ import annotations

from coordinator.runs.links import Links


def test_a_node_speaks_for_one_partner_alone() -> None:
    links = Links()
    assert links.join(7, 0, connected=[7])
    assert not links.join(7, 1, connected=[7])
    assert links.join(7, 0, connected=[7])
    assert (links.node_of, links.partner_of) == ({0: 7}, {7: 0})


def test_a_partner_is_spoken_for_by_the_first_node_until_that_is_gone() -> None:
    links = Links()
    assert links.join(7, 0, connected=[7, 8])
    assert not links.join(8, 0, connected=[7, 8])
    assert links.join(8, 0, connected=[8])
    assert (links.node_of, links.partner_of) == ({0: 8}, {8: 0})


def test_an_admitted_node_speaks_for_its_partner_and_nobody_else_does() -> None:
    links = Links(admitted={7: 0})
    assert not links.join(8, 0, connected=[8])
    assert not links.join(7, 1, connected=[7])
    assert links.join(7, 0, connected=[7, 8])
    assert (links.partner(7), links.partner(8)) == (0, None)
