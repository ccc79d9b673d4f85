"""Features with levels in a release: what segments are called, their cards, and why a customer."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from partner_node.home import NodeHome
from partner_node.rights.explanation import explain_place
from partner_node.segments.cards import segment_cards
from partner_node.segments.known_releases import KnownRelease
from partner_node.shown.segments import _range_words
from protocol.agreement.features import SHARE, Feature
from protocol.feature_values import coordinate_values
from protocol.release.document import release_centres
from protocol.release.lineage import lineage
from protocol.strict import Fields
from simulations.federation import Federation
from tests.partner_node.nodes import OTHERS
from tests.partner_node.test_segments_cli import node, shell
from tests.shell import Shell

__all__ = ["node", "shell"]


def terms(name: str, kind: str, **fields: Any) -> Feature:
    values = {"name": name, "type": kind, "unit": "told", "weight": "1", "necessity": "a test"}
    return Feature.read(Fields(values | fields, name))


FEATURES = (
    terms("net_spend", "numeric", min="0", max="100", transform="none", weight="0.2"),
    terms("member", "boolean", weight="0.3"),
    terms("channel", "categorical", levels=["web", "shop", "phone"]),
)
#: Spend, member, channel.
WEB, SHOP = [20.0, 1.0, 0.0], [80.0, 0.0, 1.0]


def coordinates(rows: list[list[float]]) -> np.ndarray:
    return coordinate_values(np.array(rows), FEATURES)[1]


@pytest.fixture(scope="module")
def known() -> KnownRelease:
    """A release of two segments: a tenth of those who buy on the web are no members."""
    web = [[20.0, 0.0, 0.0], *[WEB] * 9]
    fed = Federation(
        [coordinates([*web * 4, *[SHOP] * 30])] * 3, FEATURES, n_clusters=2, seed=3,
        min_segment_size=1,
    )  # fmt: skip
    release = fed.run().release.release
    (step,) = lineage([(release, fed.agreement)])
    return KnownRelease(
        received_at="", release=release, agreement=fed.agreement, step=step, history=(step,)
    )


def of(known: KnownRelease, rows: list[float]) -> Any:
    return explain_place(coordinates([rows])[0], known)


def test_centres_are_shares_at_each_level(known: KnownRelease) -> None:
    found = {
        round(float(row[0])): row[1:] for row in release_centres(known.release, known.agreement)
    }
    assert found[20] == pytest.approx([0.9, 1, 0, 0], abs=1e-5)
    assert found[80] == pytest.approx([0, 0, 1, 0], abs=1e-5)


def test_names_say_how_often_a_level_is_met(known: KnownRelease) -> None:
    names = {called.name for called in known.calls}
    assert names == {
        "Often member, often channel web, rarely channel shop",
        "Rarely member, rarely channel web, often channel shop",
    }


def test_cards_show_shares_in_percent(known: KnownRelease) -> None:
    console = Console(width=100, record=True, file=StringIO())
    for card in segment_cards(known, None):
        for part in card.words():
            console.print(part)
    text = console.export_text()
    assert "channel: web (share of customers)" in text
    assert "90 %" in text
    assert "100 %" in text
    assert "told" in text


def test_the_list_shows_shares_in_percent_as_cards_do(
    shell: Shell, node: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    home = NodeHome.load(node)
    keystore = home.keystore()
    web = [[20.0, 0.0, 0.0], *[WEB] * 9]
    fed = Federation(
        [coordinates([*web * 4, *[SHOP] * 30])] * 3, FEATURES, n_clusters=2, seed=3,
        min_segment_size=1, partner_keys=[keystore.identity, *OTHERS],
    )  # fmt: skip
    signed = fed.run().release
    with closing(home.store(keystore)) as store, store.transaction():
        at = "2026-01-01T00:00:00.000000Z"
        store.keep_agreement(fed.signed, now=at)
        store.save_release(signed.release.run_hash, fed.agreement.hash, signed.to_bytes(), now=at)
    text = shell("segments", "list", "--dir", node).out
    rows = {}
    for line in text.splitlines():
        label, *cells = (cell.strip() for cell in line.strip("│ ").split("│"))
        rows.setdefault(label, []).append(sorted(cells))
    assert rows["member: yes (share of customers)"][0] == ["0 %", "90 %"]
    assert _range_words((0.1, 0.9), SHARE) == "10 % – 90 %"
    assert _range_words((0.1, 0.9), "orders") == "0.1 – 0.9"
    assert rows["net_spend (told)"][0] == ["20", "80"]
    data = shell.json("segments", "list", "--dir", node)
    shares = sorted(
        feature["centre"]
        for segment in data["segments"]
        for feature in segment["features"]
        if feature["feature"] == "member: yes"
    )
    assert shares == pytest.approx([0, 0.9], abs=1e-5), "numbers for programs"


def test_what_decides_is_said_level_by_level(known: KnownRelease) -> None:
    found = of(known, WEB)
    assert sum(f.share for f in found.features) == pytest.approx(1)
    first = {f.name: f for f in found.features}
    web, shop, phone = (first[f"channel: {level}"] for level in ("web", "shop", "phone"))
    assert (web.value, shop.value, web.unit) == (1.0, 0.0, SHARE)
    assert web.words == "channel: web: yes, as 100 % of the segment and 0 % of the runner-up"
    other = next(i for i in known.ids if i != found.segment)
    assert (shop.turns_at, shop.turns_to) == (1.0, other)
    assert shop.words.endswith(f"; would be {other} if yes")
    assert phone.turns_at is None  # the spend and the membership still speak for the web
    assert first["member: yes"].turns_at is None


@pytest.mark.parametrize("member", [0.0, 1.0])
@pytest.mark.parametrize("channel", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("spend", [0.0, 45.0, 50.0, 55.0, 100.0])
def test_what_would_change_the_segment_does(
    known: KnownRelease, spend: float, member: float, channel: float
) -> None:
    found = of(known, [spend, member, channel])
    for feature in found.features:
        name, _, level = feature.name.partition(": ")
        if name == "member":
            changed = of(known, [spend, 1 - member, channel])
        elif name == "channel":
            place = float(FEATURES[2].levels.index(level))
            if place == channel:
                assert feature.turns_at is None
                continue
            changed = of(known, [spend, member, place])
        else:
            continue
        if feature.turns_at is None:
            assert changed.segment == found.segment
        else:
            assert feature.turns_at == 1 - feature.value
            assert changed.segment == feature.turns_to


def test_other_levels_make_other_coordinates(known: KnownRelease) -> None:
    more = replace(FEATURES[2], levels=("web", "shop", "phone", "app"))
    agreement = replace(known.agreement, features=(*FEATURES[:2], more))
    assert agreement.n_coordinates == known.agreement.n_coordinates + 1
    assert agreement.hash != known.agreement.hash
