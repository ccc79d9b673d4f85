"""`segments …` for a marketer: cards, files for an agreed use, what became of segments."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import stat
from collections import Counter
from dataclasses import replace
from html import escape
from math import hypot
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console

from partner_node.home import NodeHome
from partner_node.segments import exports
from partner_node.segments.cards import segment_cards
from partner_node.segments.exports import check_use
from partner_node.segments.known_releases import KnownRelease, all_releases, known_releases
from partner_node.segments.moves import fates, partners_words
from partner_node.sources import kinds
from protocol.agreement.governance import SEGMENTATION
from protocol.agreement.hand_over import HandOver
from protocol.agreement.satisfaction import SatisfactionTerms
from protocol.errors import RuleError
from protocol.release.document import EXACT_WORDS, Left, Release
from protocol.release.satisfaction import SegmentSatisfaction
from protocol.release.shares import shares_of, total_of
from protocol.signing import public_bytes
from simulations.federation import FeatureTerms, Federation
from tests.partner_node.finished import Finished, command
from tests.partner_node.nodes import OTHERS, init_words, withdraw
from tests.protocol import counterparties
from tests.release_schema import check_release
from tests.shell import Shell, numbers_in

pytestmark = pytest.mark.slow

FEATURES = [
    FeatureTerms(name="recency_days", min="0", max="365", transform="log1p"),
    FeatureTerms(name="orders", min="1", max="100", transform="log1p"),
    FeatureTerms(name="net_spend", min="0", max="20000", transform="log1p"),
]
#: Centre and own customers of each kind; the other partners have as many.
LOYAL, LAPSED, NEW = (5, 20, 8_000), (250, 1.1, 200), (30, 1.1, 300)
SLIPPING = (110, 5, 900)
CUSTOMERS = {LOYAL: 34, LAPSED: 27, NEW: 3}
PRIVACY = EXACT_WORDS


def rows_of(customers: dict[tuple[float, ...], int]) -> np.ndarray:
    rng = np.random.default_rng(5)
    rows = np.repeat(np.array(list(customers), dtype=float), list(customers.values()), axis=0)
    return np.asarray(rows * rng.uniform(0.98, 1.02, rows.shape))


def release_into(
    folder: Path, customers: dict[tuple[float, ...], int], *, at: str, smallest: int = 5
) -> Release:
    """Put a release about such customers into a node's folder."""
    node = NodeHome.load(folder)
    keystore = node.keystore()
    federation = Federation(
        [rows_of(customers)] * 3, FEATURES, n_clusters=len(customers), seed=3,
        min_segment_size=smallest, partner_keys=[keystore.identity, *OTHERS],
    )  # fmt: skip
    signed = federation.run().release
    store = node.store(keystore)
    with store.transaction():
        store.keep_agreement(federation.signed, now=at)
        store.save_release(
            signed.release.run_hash, federation.agreement.hash, signed.to_bytes(), now=at
        )
    store.close()
    return signed.release


@pytest.fixture
def shell(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return Shell(capsys, monkeypatch)


def make_node(directory: Path) -> None:
    """A node with 64 customers, all of whom consent."""
    rows = rows_of(CUSTOMERS).tolist()
    with (directory / "customers.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["customer_id", "recency_days", "orders", "net_spend"])
        writer.writerows([f"c{i}", *row] for i, row in enumerate(rows))
    grants = [f"c{i},ConsentGiven,2026-01-01T00:00:00Z,{SEGMENTATION},1" for i in range(len(rows))]
    header = "customer_id,event,time,purpose,notice"
    (directory / "consents.csv").write_text("\n".join([header, *grants]) + "\n")
    (directory / "ca.pem").write_text("no certificate")
    command(*init_words(directory / "node", max_customers="100"))
    config = directory / "node" / "node.toml"
    text = config.read_text().replace('notices = ["1"]', 'notices = ["1", "none"]')
    units = "\n".join(f'"{feature.name}" = "{feature.unit}"' for feature in FEATURES)
    config.write_text(text.replace('"visits" = "units"', units))


def make_released(directory: Path) -> Release:
    """Three segments, of which this partner has a few customers in one."""
    make_node(directory)
    return release_into(directory / "node", CUSTOMERS | {NEW: 12}, at="2026-01-01T00:00:00.000000Z")


@pytest.fixture
def node(shell: Shell, finished: Finished, tmp_path: Path) -> Path:
    finished.copy(make_node, tmp_path)
    return tmp_path / "node"


@pytest.fixture
def released(node: Path, finished: Finished, tmp_path: Path) -> Release:
    return finished.copy(make_released, tmp_path)


@pytest.fixture
def second(node: Path, released: Release) -> Release:
    """The next release: who were new are no segment any more, others slip away."""
    return release_into(
        node, {LOYAL: 20, LAPSED: 30, SLIPPING: 25}, at="2026-02-01T00:00:00.000000Z"
    )


# --- cards -----------------------------------------------------------------------------------


def test_a_card_says_what_sets_a_segment_apart_how_large_it_is_and_what_it_is_for(
    shell: Shell, node: Path, released: Release
) -> None:
    data = check_release(shell.json("segments", "show", "--dir", node))
    cards = {card["name"]: card for card in data["segments"]}
    assert set(cards) == {
        "Loyal big spenders",
        "Lapsed one-time buyers",
        "New one-time buyers",
    } or (set(cards) == {"Loyal big spenders", "Lapsed one-time buyers", "One-time buyers"})
    loyal = cards["Loyal big spenders"]
    assert (loyal["size"], loyal["size_margin"]) == (3 * 34, 0)
    assert loyal["suggested_use"].startswith("Reward")
    assert set(loyal["named_by"]) == {"orders", "net_spend"}
    assert loyal["allowed_uses"] == ["evaluation"]
    assert loyal["do_not_use_for"] == []
    assert loyal["own_customers"] == {"least": 30, "most": 39}
    orders = next(t for t in loyal["features"] if t["feature"] == "orders")
    assert orders["centre"] == pytest.approx(20, rel=0.02)
    assert orders["low"] == orders["centre"] == orders["high"]
    assert 1.5 < orders["overall"] < 8
    assert orders["standing"] == "far above average"
    assert data["privacy"] == PRIVACY
    text = shell("segments", "show", loyal["id"], "--dir", node).out
    for words in (
        f"{loyal['id']} · Loyal big spenders",
        "Own customers, now: 30 – 39, between 46 % and 61 % of them.",
        "Do not use for: nothing is forbidden by name.", "Results go to: whoever simulates.",
    ):  # fmt: skip
        assert words in text
    assert "Lapsed" not in text


def test_few_own_customers_are_not_told_nor_found_by_subtraction(
    shell: Shell, node: Path, released: Release
) -> None:
    """34, 27 and 3: the 3 are "fewer than 10", and 27 is hidden, so 64 in all tells nothing."""
    shown = check_release(shell.json("segments", "show", "--dir", node))["segments"]
    ranges = [tuple(card["own_customers"].values()) for card in shown]
    assert sorted(ranges, key=str) == [(0, 9), (30, 39), (None, None)]
    assigned = shell.json("segments", "assign", "--dir", node)
    assert assigned["customers"] == 64
    assert list(assigned["by_segment"].values()) == [card["own_customers"] for card in shown]
    for words in (("show",), ("assign",)):
        out = shell("segments", *words, "--dir", node).out
        assert "fewer than 10" in out
        assert "hidden" in out
        assert not numbers_in(out) & {27, 34}


def test_cards_can_be_read_without_reading_a_customer(
    shell: Shell, node: Path, released: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "open_source", no_reading)
    data = check_release(shell.json("segments", "show", "--no-customers", "--dir", node))
    assert {card["own_customers"] for card in data["segments"]} == {None}
    assert "Own customers" not in shell("segments", "show", "--no-customers", "--dir", node).out


def test_with_noise_a_card_has_intervals_and_where_most_customers_are(
    node: Path, released: Release
) -> None:
    (known,) = known_releases(NodeHome.load(node))
    one = 1 << 20
    noised = replace(
        known.release,
        segments=tuple(
            replace(s, size_sigma=10, centre_sigma=one // 50, spread_sigma=one // 1000,
                    spreads=(one // 100, one // 100, one // 900))
            for s in known.release.segments
        ),
    )  # fmt: skip
    cards = segment_cards(replace(known, release=noised), reach=None)
    for card in cards:
        assert card.segment.size_margin == 20
        for trait in card.traits:
            assert trait.low < trait.high
            assert trait.low <= trait.centre <= trait.high
            if trait.feature == "net_spend":
                assert trait.typical is None, "hidden by noise"
            else:
                assert trait.typical is not None
                assert trait.typical[0] <= trait.centre <= trait.typical[1]
        strength = [abs(trait.deviation) for trait in card.traits]
        assert strength == sorted(strength, reverse=True)
        out = io.StringIO()
        for part in card.words():
            Console(file=out, width=80).print(part)
        assert "95 % interval" in out.getvalue()
        assert "most customers" in out.getvalue()
        assert "Its name follows from: " in out.getvalue()
        assert f"{card.segment.size:,} ± 20" in out.getvalue()
        assert max(map(len, out.getvalue().splitlines())) <= 80
        assert "…" not in out.getvalue()


def test_a_card_says_how_satisfied_customers_are_or_that_too_few_answered(
    node: Path, released: Release
) -> None:
    (known,) = known_releases(NodeHome.load(node))
    terms = SatisfactionTerms(question="Happy with us?", lowest=0, highest=10)
    agreement = replace(known.agreement, plan=replace(known.agreement.plan, satisfaction=terms))
    said = SegmentSatisfaction(answered=640, answered_sigma=20, mean=1 << 13, mean_sigma=400)
    first, *rest = known.release.segments
    release = replace(known.release, segments=(replace(first, satisfaction=said), *rest))
    told, *silent = segment_cards(replace(known, release=release, agreement=agreement), reach=None)
    assert told.to_dict()["satisfaction"]["score"] == 7.5
    assert told.to_dict()["satisfaction"]["answered_margin"] == 40
    for card, words in ((told, "7.5 ± 0.2 (640 ± 40 answered)"), (silent[0], "too few answered")):
        out = io.StringIO()
        for part in card.words():
            Console(file=out, width=120).print(part)
        assert f"Satisfaction: {words}" in out.getvalue()
        assert "“Happy with us?”, from 0 to 10" in out.getvalue()
    assert silent[0].to_dict()["satisfaction"] is None
    plain = segment_cards(known, reach=None)[0]
    assert "Satisfaction" not in str(plain.words())


def test_an_unknown_segment_or_release_is_wrong_usage_that_names_those_there_are(
    shell: Shell, node: Path, released: Release
) -> None:
    error = shell.refused("segments", "show", "S9", "--dir", node, status=2)
    assert re.findall("S[0-9]", error["remedy"]) == ["S1", "S2", "S3"]
    for wrong in ("ffff", released.hash.hex()[:3], ""):
        error = shell.refused("segments", "show", "--release", wrong, "--dir", node, status=2)
        assert "segments releases" in error["remedy"]
    found = shell.json(
        "segments", "list", "--release", released.hash.hex()[:8].upper(), "--dir", node
    )
    assert found["release"] == released.hash.hex()


HEADERS = """
    id name customers of all partners since the last release feature before became now S
    was in what sets it apart centre own received agreement version segments written for file
    delete by difference
"""


@pytest.mark.parametrize(
    "words", [("list",), ("show",), ("releases",), ("compare",), ("exports",), ("assign",)]
)
def test_everything_fits_80_columns_and_headers_do_not_fold_inside_words(
    shell: Shell, node: Path, second: Release, words: tuple[str, ...]
) -> None:
    out = shell("segments", *words, "--dir", node).out
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in out
    said = " ".join(re.findall(r"[A-Za-z]+", " ".join(line for line in lines if "┃" in line)))
    known = set(re.findall(r"\w+", HEADERS))
    assert set(said.split()) <= known


# --- files for an agreed use -----------------------------------------------------------------


def no_reading(*_: object, **__: object) -> None:
    raise AssertionError("a source was opened")


def test_an_export_is_written_for_an_agreed_use_and_stands_on_record(
    shell: Shell, node: Path, released: Release, tmp_path: Path
) -> None:
    words = ("segments", "export", "--for", "evaluation", "--dir", node, "--out")
    for name in ("a.csv", "a.parquet"):
        data = shell.json(*words, name)
        assert (data["customers"], data["use"]) == (64, "evaluation")
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["customer_id", "segment_id", "segment_name", "distance", "release"]
    assert [row["customer_id"] for row in rows] == [f"c{i}" for i in range(64)]
    assert {row["release"] for row in rows} == {released.hash.hex()[:16]}
    listed = check_release(shell.json("segments", "list", "--dir", node))["segments"]
    named = {(row["segment_id"], row["segment_name"]) for row in rows}
    assert named == {(s["id"], s["name"]) for s in listed}
    assert sorted(Counter(row["segment_id"] for row in rows).values()) == [3, 27, 34]
    parquet = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert [{k: str(v) for k, v in row.items()} for row in parquet] == rows
    records = shell.json("segments", "exports", "--dir", node)["exports"]
    assert [Path(r["file"]).name for r in records] == ["a.parquet", "a.csv"]
    assert records[1]["sha256"] == hashlib.sha256((tmp_path / "a.csv").read_bytes()).hexdigest()
    assert (records[1]["customers"], records[1]["use"]) == (64, "evaluation")
    assert records[1]["release"] == released.hash.hex()
    assert records[1]["delete_by"] > records[1]["at"][:10]  # kept for a day


@pytest.mark.parametrize("how", ["id", "number", "name"])
def test_one_segments_customers_are_exported_and_their_number_is_in_no_output(
    shell: Shell, node: Path, released: Release, tmp_path: Path, how: str
) -> None:
    shell.json("segments", "assign", "--out", "all.csv", "--dir", node)
    cards = shell.json("segments", "show", "--dir", node)["segments"]
    card = next(c for c in cards if c["name"] == "Lapsed one-time buyers")
    called = {"id": card["id"], "number": card["id"][1:], "name": card["name"].upper()}[how]
    words = ("segments", "export", "--for", "evaluation", "--segment", called, "--out", "one.csv")
    done = shell.json(*words, "--dir", node)
    with (tmp_path / "all.csv").open(newline="") as file:
        everybody = [r for r in csv.DictReader(file) if r["segment_id"] == card["id"]]
    with (tmp_path / "one.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == everybody
    assert len(everybody) == 27
    assert (done["customers"], done["segment"]) == (None, card["id"])
    assert done["by_segment"] == {card["id"]: card["own_customers"]}, "hidden, as on cards"
    assert card["own_customers"] == {"least": None, "most": None}
    (listed, _) = shell.json("segments", "exports", "--dir", node)["exports"]
    assert (listed["customers"], listed["segment"]) == (None, card["id"])
    out = shell("segments", "exports", "--dir", node).out
    assert 27 not in numbers_in(out.replace(str(tmp_path), ""))
    assert f"of {card['id']}" in out
    (shown,) = shell.json("segments", "show", called, "--dir", node)["segments"]
    assert shown == card


def test_a_segment_that_is_not_there_is_refused_with_those_there_are(
    shell: Shell, node: Path, released: Release
) -> None:
    for wrong in ("S9", "9", "Nobody", ""):
        error = shell.refused("segments", "show", wrong, "--dir", node, status=2)
        assert "S1, 'L" in error["remedy"]


def test_shares_have_margins_and_own_ones_follow_from_printed_ranges_and_the_total(
    shell: Shell, node: Path, released: Release
) -> None:
    cards = shell.json("segments", "show", "--dir", node)["segments"]
    assert sum(card["share"] for card in cards) == pytest.approx(1)
    assert {card["share_margin"] for card in cards} == {0}
    # 64 own customers, in ranges of ten: 30 to 39, hidden, fewer than 10.
    assert [card["own_share"] for card in cards] == [[0.46, 0.61], None, [0.0, 0.15]]
    out = shell("segments", "show", "--dir", node).out
    assert "Own customers, now: 30 – 39, between 46 % and 61 % of them." in out
    assert "Own customers, now: hidden." in out
    assert "Customers of all partners in all segments:" in out
    (known,) = known_releases(NodeHome.load(node))
    segments = tuple(replace(s, size_sigma=3) for s in known.release.segments)
    view = replace(known, release=replace(known.release, segments=segments)).view
    for (share, margin), segment in zip(shares_of(view.sizes), view.segments, strict=True):
        total, _ = total_of(view.sizes)
        draws = np.random.default_rng(1).normal(
            [s.size for s in view.segments], 3, (40_000, len(view.segments))
        )
        place = view.segments.index(segment)
        spread = np.std(draws[:, place] / draws.sum(axis=1))
        assert share == segment.size / total
        assert margin == pytest.approx(spread * segment.size_margin / 3, rel=0.03)


def test_another_use_is_refused_before_any_row_is_read(
    shell: Shell, node: Path, released: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "open_source", no_reading)
    monkeypatch.setattr(exports, "own_customers", no_reading)
    words = ("segments", "export", "--for", "credit-decisions", "--out", "a.csv", "--dir", node)
    error = shell.refused(*words, status=3)
    assert error["code"] == "E-USE"
    assert "allowed uses are evaluation" in error["remedy"]
    assert not (tmp_path / "a.csv").exists()
    assert shell.json("segments", "exports", "--dir", node)["exports"] == []
    allowed = shell("segments", "export", "--for", "evaluation", "--out", "a.csv", "--dir", node)
    assert allowed.code == 1, "the spy is where rows are read"


def test_a_use_must_be_allowed_by_the_version_in_force_too() -> None:
    def agreed(identity: str, allowed: list[str], forbidden: list[str]) -> counterparties.Agreement:
        values = counterparties.agreement_values(3, identity=identity)
        values["results_use"] |= {"allowed": allowed, "forbidden": forbidden}
        return counterparties.Agreement.from_dict(values)

    old = agreed("ours", ["a", "b"], [])
    check_use("b", old, None)
    check_use("b", old, agreed("theirs", ["a"], ["b"]))
    for now, words in ((agreed("ours", ["a"], []), "does not allow"),
                       (agreed("ours", ["a"], ["b"]), "forbids")):  # fmt: skip
        with pytest.raises(RuleError, match=words) as caught:
            check_use("b", old, now)
        assert caught.value.code == "E-USE"
        check_use("a", old, now)


def test_a_file_that_is_there_is_replaced_only_when_that_is_said(
    shell: Shell, node: Path, released: Release, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("mine")
    words = ("segments", "export", "--for", "evaluation", "--out", "a.csv", "--dir", node)
    assert shell.refused(*words, status=2)["code"] == "E-FILE"
    assert (tmp_path / "a.csv").read_text() == "mine"
    assert shell.json("segments", "exports", "--dir", node)["exports"] == []
    shell.json(*words, "--overwrite")
    assert (tmp_path / "a.csv").read_text().startswith("customer_id,")


def test_who_withdrew_is_in_no_file_and_in_no_reach(
    shell: Shell, node: Path, released: Release, tmp_path: Path
) -> None:
    for i in range(6):
        withdraw(tmp_path, f"c{i}")
    data = shell.json("segments", "export", "--for", "evaluation", "--out", "a.csv", "--dir", node)
    assert data["customers"] == 58
    with (tmp_path / "a.csv").open(newline="") as file:
        assert {f"c{i}" for i in range(6)}.isdisjoint(
            r["customer_id"] for r in csv.DictReader(file)
        )
    loyal = next(
        card for card in check_release(shell.json("segments", "show", "--dir", node))["segments"]
        if card["name"] == "Loyal big spenders"
    )  # fmt: skip
    assert loyal["own_customers"] != {"least": 30, "most": 39}, "28 are left"


def test_assigning_is_an_export_for_the_usual_use(
    shell: Shell, node: Path, released: Release
) -> None:
    for _ in range(2):  # its own file is replaced
        data = shell.json("segments", "assign", "--dir", node)
    assert Path(data["file"]).parent == node / "segments"
    records = shell.json("segments", "exports", "--dir", node)["exports"]
    assert [record["use"] for record in records] == ["evaluation"] * 2


def test_no_record_is_left_without_a_file_when_reading_fails(
    shell: Shell, node: Path, released: Release, tmp_path: Path
) -> None:
    with (tmp_path / "customers.csv").open("a") as file:
        file.write("c64,not a number,1,1\n")
    done = shell("segments", "export", "--for", "evaluation", "--out", "a.csv", "--dir", node)
    assert done.code == 3
    assert not (tmp_path / "a.csv").exists()
    assert shell.json("segments", "exports", "--dir", node)["exports"] == []


# --- from release to release -----------------------------------------------------------------


def test_ids_stay_with_segments_through_the_next_release(
    shell: Shell, node: Path, second: Release, released: Release
) -> None:
    chosen = ("--release", released.hash.hex(), "--dir", node)
    first = check_release(shell.json("segments", "list", *chosen))
    now = check_release(shell.json("segments", "list", "--dir", node))
    assert now["release"] == second.hash.hex()
    before = {s["name"]: s["id"] for s in first["segments"]}
    after = {s["name"]: s for s in now["segments"]}
    for name in ("Loyal big spenders", "Lapsed one-time buyers"):
        assert (after[name]["id"], after[name]["status"]) == (before[name], "kept")
    (added,) = (s for s in now["segments"] if s["status"] == "new")
    assert added["id"] == "S4", "S1 to S3 are taken for good"
    (gone,) = now["gone"]
    assert gone["status"] == "retired"
    assert gone["id"] in before.values()
    out = shell("segments", "list", "--dir", node).out
    assert f"{gone['id']} retired" in out
    listed = shell.json("segments", "releases", "--dir", node)["releases"]
    assert [r["release"] for r in listed] == [second.hash.hex(), released.hash.hex()]
    assert listed[1]["segments"] == ["S1", "S2", "S3"]


def test_a_release_is_read_though_a_hand_over_calls_a_party_of_then_otherwise(
    shell: Shell, node: Path, released: Release
) -> None:
    """A partner that has another name in a later agreement replaced its key."""
    listed = shell.json("segments", "list", "--dir", node)
    known = NodeHome.load(node).hand_overs
    later = [Ed25519PrivateKey.generate() for _ in OTHERS]
    names = ("another-name", released.participants[2])
    known.take(
        HandOver.make(old, new, partner=name, number=1, at="2026-03-01T09:00:00Z")
        for old, new, name in zip(OTHERS, later, names, strict=True)
    )
    assert shell.json("segments", "list", "--dir", node) == listed
    (one,) = all_releases(NodeHome.load(node))
    keys = one.agreement.keys
    assert (keys.of(1), keys.of(2)) == (public_bytes(OTHERS[0]), public_bytes(later[1]))


def test_comparing_says_what_became_of_each_segment_and_where_own_customers_went(
    shell: Shell, node: Path, second: Release, released: Release
) -> None:
    data = shell.json("segments", "compare", "--dir", node)
    assert (data["old"], data["new"]) == (released.hash.hex(), second.hash.hex())
    found = {s["id"]: s for s in data["segments"]}
    assert Counter(s["status"] for s in found.values()) == {"kept": 2, "retired": 1, "new": 1}
    kept = [s for s in found.values() if s["status"] == "kept"]
    assert all(s["size_before"] and s["size_after"] for s in kept)
    assert found["S4"]["size_before"] is None
    moved = data["own_customers"]
    assert set(moved) == {"S1", "S2", "S3"}
    cells = [tuple(cell.values()) for row in moved.values() for cell in row.values()]
    assert len(cells) == 9
    assert set(cells) == {(0, 9), (None, None), (30, 39)}, "34 loyal stayed, 27 are hidden"
    out = shell("segments", "compare", released.hash.hex()[:12], "--dir", node).out
    for words in ("retired", "was in", "fewer than 10", "kept"):
        assert words in out


def test_a_trend_follows_each_lasting_segment_over_all_releases(
    shell: Shell, node: Path, second: Release, released: Release
) -> None:
    data = shell.json("segments", "trend", "--dir", node)
    assert [r["release"] for r in data["releases"]] == [released.hash.hex(), second.hash.hex()]
    found = {segment["id"]: segment for segment in data["segments"]}
    assert list(found) == ["S1", "S2", "S3", "S4"]
    assert found["S4"]["stages"][0] is None, "it came with the second release"
    assert sum(segment["stages"][1] is None for segment in found.values()) == 1, "one retired"
    for stage, total in ((0, 3 * 73), (1, 3 * 75)):
        living = [s["stages"][stage] for s in found.values() if s["stages"][stage]]
        assert sum(one["size"] for one in living) == total
        assert sum(one["share"] for one in living) == pytest.approx(1.0)
    for release, stage in ((released, 0), (second, 1)):
        shown = shell.json("segments", "show", "--release", release.hash.hex(), "--dir", node)
        for card in shown["segments"]:
            told = found[card["id"]]["stages"][stage]
            assert told == {name: card[name] for name in told}
    assert {s["id"]: s["name"] for s in shown["segments"]}.items() <= {
        i: segment["name"] for i, segment in found.items()
    }.items()
    out = shell("segments", "trend", "--dir", node).out
    assert f"S4: {found['S4']['name']}" in out
    assert out.index("2026-01-01") < out.index("2026-02-01")
    for words in ("Customers of all partners", "Their share", "Own customers", "fewer than 10"):
        assert words in out, words
    assert max(map(len, out.splitlines())) <= 80


def test_a_picture_shows_every_segment_where_its_typical_customer_is(
    shell: Shell, node: Path, released: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("partner_node.segments.exports.own_customers", no_reading)
    words = ("segments", "picture", "--dir", node, "--out")
    assert shell.json(*words, "map.html")["release"] == released.hash.hex()
    page = (tmp_path / "map.html").read_text(encoding="utf-8")
    assert page.count("<circle") == 3
    for segment in shell.json("segments", "list", "--dir", node)["segments"]:
        assert f"<li>{segment['id']} {segment['name']}: {segment['size']:,} customers" in page
        assert f">{segment['name']}</text>" in page
    assert escape(PRIVACY) in page
    assert "default-src 'none'" in page
    assert not any(word in page for word in ("<script", "src=", "href=", "url("))
    assert shell.refused(*words, "map.html", status=2)["code"] == "E-FILE"
    assert ".html" in shell.refused(*words, "map.png", status=2)["message"]
    shell.json(*words, "map.html", "--overwrite")


def test_of_a_single_segment_there_is_no_picture(shell: Shell, node: Path, tmp_path: Path) -> None:
    release_into(node, {LOYAL: 30}, at="2026-01-01T00:00:00.000000Z")
    error = shell.refused("segments", "picture", "--out", "a.html", "--dir", node, status=2)
    assert "1 segment of 3 features" in error["message"]
    assert not (tmp_path / "a.html").exists()


def test_a_trend_can_be_told_without_reading_a_customer(
    shell: Shell, node: Path, second: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("partner_node.segments.exports.own_customers", no_reading)
    data = shell.json("segments", "trend", "--no-customers", "--dir", node)
    stages = [s for segment in data["segments"] for s in segment["stages"] if s]
    assert {(s["own_customers"], s["own_share"]) for s in stages} == {(None, None)}
    assert "Own customers" not in shell("segments", "trend", "--no-customers", "--dir", node).out


def test_a_release_of_a_run_in_which_the_data_changed_says_so(
    shell: Shell, node: Path, second: Release, released: Release
) -> None:
    home = NodeHome.load(node)
    store, run_id = home.store(home.keystore()), b"r" * 16
    state = {
        "run_id": run_id.hex(), "run_hash": released.run_hash.hex(), "phase": "done",
        "round": 3, "aborted_with": "",
    }  # fmt: skip
    with store.transaction():
        store.save_run(state, agreement_hash=released.agreement_hash, now="2026-01-01T00:00:00Z")
        told = [
            store.note_data(run_id, stamp, now="2026-01-01T00:30:00Z")
            for stamp in ("one", "one", "two")
        ]
    store.close()
    assert told == [False, False, True]
    words = "size or time of this node's data changed within it, seen on 2026-01-01 00:30 UTC"
    chosen = ("--release", released.hash.hex(), "--dir", node)
    assert words in " ".join(shell("segments", "list", *chosen).out.split())
    assert words not in " ".join(shell("segments", "list", "--dir", node).out.split())


def test_a_difference_that_noise_may_have_made_is_said_to_be_within_it(
    node: Path, second: Release
) -> None:
    after, before = known_releases(NodeHome.load(node))

    def noised(known: KnownRelease, sigma: int) -> KnownRelease:
        segments = tuple(replace(s, size_sigma=sigma) for s in known.release.segments)
        return replace(known, release=replace(known.release, segments=segments))

    sizes = {f.id: (f.before, f.after) for f in fates(before, after) if f.before and f.after}
    assert sizes
    for sigma in (0, 2, 50):
        for fate in fates(noised(before, sigma), noised(after, sigma)):
            if fate.before is None or fate.after is None:
                assert fate.within_noise is None
                assert fate.difference_words == ""
                continue
            difference = fate.after.size - fate.before.size
            margin = hypot(fate.before.size_margin, fate.after.size_margin)
            expected = None if sigma == 0 else abs(difference) <= margin
            assert fate.within_noise == expected
            said = "within noise" if expected else f"{difference:+,}"
            assert fate.difference_words == said


def test_sizes_of_different_partners_are_never_said_to_be_within_noise(
    shell: Shell, node: Path, second: Release
) -> None:
    after, before = known_releases(NodeHome.load(node))
    assert partners_words([before, after]) == ""
    segments = tuple(replace(s, size_sigma=50) for s in after.release.segments)
    fewer = replace(after.release, participants=after.release.participants[:2], segments=segments)
    steps = (*after.history[:-1], replace(after.history[-1], release=fewer.hash))
    noised = replace(after, release=fewer, step=steps[-1], history=steps)
    for fate in fates(before, noised):
        assert fate.within_noise is None
        if fate.before is not None and fate.after is not None:
            assert fate.difference_words == f"{fate.after.size - fate.before.size:+,}"
    words = partners_words([before, noised])
    assert "other sizes need not mean that customers changed" in words
    assert f"{noised.short}: {', '.join(sorted(fewer.participants))}" in words
    left = Left(id=after.release.participants[2], after="sizes")
    assert partners_words([before, replace(after, release=replace(fewer, left=(left,)))]) == ""
    for word in ("compare", "trend"):
        assert "different partners" not in shell("segments", word, "--dir", node).out


def test_segments_can_be_compared_without_reading_a_customer(
    shell: Shell, node: Path, second: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "open_source", no_reading)
    data = shell.json("segments", "compare", "--no-customers", "--dir", node)
    assert data["own_customers"] is None
    assert len(data["segments"]) == 4


def test_releases_are_compared_forwards_and_there_must_be_two(
    shell: Shell, node: Path, released: Release
) -> None:
    alone = shell.json("segments", "compare", "--dir", node)
    assert (alone["old"], alone["new"]) == (None, released.hash.hex())
    assert alone["segments"] == []
    told = " ".join(shell("segments", "compare", "--dir", node).out.split())
    assert "nothing to compare it with before the next run has finished" in told
    later = release_into(node, {LOYAL: 20, LAPSED: 20}, at="2026-02-01T00:00:00.000000Z")
    words = (later.hash.hex()[:16], released.hash.hex()[:16])
    error = shell.refused("segments", "compare", *words, "--dir", node, status=2)
    assert "older one first" in error["remedy"]
    same = (later.hash.hex(), later.hash.hex())
    shell.refused("segments", "compare", *same, "--dir", node, status=2)


def test_a_release_without_segments_has_no_cards_and_no_file(shell: Shell, node: Path) -> None:
    release_into(node, {LOYAL: 2, LAPSED: 2}, at="2026-01-01T00:00:00.000000Z", smallest=50)
    for words in (
        ("show",), ("assign",), ("export", "--for", "evaluation", "--out", "a.csv"),
    ):  # fmt: skip
        error = shell.refused("segments", *words, "--dir", node, status=3)
        assert error["code"] == "E-NO-SEGMENTS"
    assert check_release(shell.json("segments", "list", "--dir", node))["segments"] == []
