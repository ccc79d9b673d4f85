"""`feedback …`: opt-outs take effect, the rest is counted in ranges, and nothing leaves."""

# Fixtures of another file are imported, and named again by the tests that want them:

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from partner_node.home import NodeHome
from partner_node.register.pseudonyms import Pseudonyms
from partner_node.register.scores import Scores
from partner_node.segments.feedback import Keeper, scored, segments_of
from partner_node.segments.feedback_file import KINDS, Feedback, read_feedback
from partner_node.segments.known_releases import known_releases
from partner_node.store.node_store import NodeStore
from protocol.agreement.satisfaction import SatisfactionTerms
from protocol.errors import SourceError
from protocol.release.document import Release
from protocol.ring import UNIT
from tests.partner_node.nodes import draft, open_node
from tests.partner_node.test_rights import HOLDS, counted, ids_in, node, ours, released, shell
from tests.partner_node.test_segments_cli import FEATURES
from tests.shell import Shell, numbers_in

pytestmark = pytest.mark.slow

__all__ = ["node", "ours", "released", "shell"]

HEADER = "customer_id,kind,at\n"
AT = "2026-01-31T09:30:00Z"
NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.mark.slow
def test_whoever_opts_out_is_out_of_questions_and_files(
    shell: Shell, ours: Path, tmp_path: Path
) -> None:
    rows = f"c7,opt-out,{AT}\nc9,opt-out,{AT}\nc0,wrong-segment,{AT}\nc1,preference,{AT}\n"
    (tmp_path / "said.csv").write_text(HEADER + rows)
    done = shell.json("feedback", "import", "said.csv", "--dir", ours)
    assert (done["read"], done["new"], done["opted_out"]) == (4, 4, 2)
    assert len(done["taken_out_of"]) == 2
    for path in map(Path, done["taken_out_of"]):
        found = ids_in(path)
        assert len(found) == 62
        assert not {"c7", "c9"} & set(found)
    assert not {"c7", "c9"} & set(counted(ours))
    assert {"c0", "c1"} <= set(counted(ours))
    again = shell.json("feedback", "import", "said.csv", "--dir", ours)
    assert (again["new"], again["taken_out_of"], again["requests"]) == (0, [], [])
    requests = shell.json("rights", "list", "--dir", ours)["requests"]
    assert [(r["kind"], r["received"], r["overdue"]) for r in requests] == [
        ("object", AT[:10], False)
    ] * 2
    assert done["requests"] == [r["number"] for r in requests]
    assert all(r["done_at"] for r in requests)
    home = NodeHome.load(ours)
    store = home.store(home.keystore())
    assert [r for r in store.egress() if r.customers is not None] == []


def test_an_opt_out_whose_files_could_not_be_written_stays_an_open_request(
    shell: Shell, ours: Path, tmp_path: Path
) -> None:
    (tmp_path / "said.csv").write_text(HEADER + f"c7,opt-out,{AT}\n")
    (tmp_path / "all.parquet").write_bytes(b"not parquet")
    words = ("feedback", "import", "said.csv", "--dir", ours)
    error = shell.refused(*words, status=3)
    assert (error["code"], HOLDS in error["message"]) == ("E-SEGMENT-FILE", True)
    (request,) = shell.json("rights", "list", "--dir", ours)["requests"]
    assert request["done_at"] is None
    (tmp_path / "all.parquet").unlink()
    assert shell.json(*words)["requests"] == [request["number"]]
    (request,) = shell.json("rights", "list", "--dir", ours)["requests"]
    assert request["done_at"]


def test_an_opt_out_that_was_taken_back_or_corrected_does_not_come_back_by_an_older_line(
    shell: Shell, ours: Path, tmp_path: Path
) -> None:
    (tmp_path / "said.csv").write_text(HEADER + f"c7,opt-out,{AT}\nc9,opt-out,{AT}\n")
    words = ("feedback", "import", "said.csv", "--dir", ours)
    shell.json(*words)
    shell.json("rights", "take-back", "--subject", "c7", "--dir", ours)
    shell.json("rights", "correct", "--subject", "c8", "--mistyped", "c9", "--dir", ours)
    again = shell.json(*words)
    assert (again["opted_out"], again["taken_back_since"], again["requests"]) == (0, 2, [])
    assert {"c7", "c9"} <= set(counted(ours))
    assert "c8" not in counted(ours)
    assert "Without effect" in shell(*words).out
    later = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    (tmp_path / "said.csv").write_text(HEADER + f"c7,opt-out,{AT}\nc7,opt-out,{later}\n")
    assert (done := shell.json(*words))["opted_out"] == 1
    assert done["taken_back_since"] == 1
    assert "c7" not in counted(ours)


def test_an_opt_out_after_the_day_on_which_an_earlier_one_was_taken_back_holds(
    shell: Shell, ours: Path, tmp_path: Path
) -> None:
    day = datetime.now(UTC) - timedelta(days=3)
    (tmp_path / "said.csv").write_text(HEADER + f"c7,opt-out,{day + timedelta(days=1):%FT%TZ}\n")
    words = ("feedback", "import", "said.csv", "--dir", ours)
    shell.json(*words)
    back = ("rights", "take-back", "--subject", "c7", "--dir", ours)
    shell.json(*back, "--received", f"{day:%F}")
    assert shell.json(*words)["opted_out"] == 1
    assert "c7" not in counted(ours)


def test_a_customer_who_is_there_twice_keeps_no_other_s_wish_from_effect(
    shell: Shell, ours: Path, tmp_path: Path
) -> None:
    rows = (tmp_path / "customers.csv").read_text().splitlines()
    twice = next(row for row in rows if row.startswith("c5,"))
    (tmp_path / "customers.csv").write_text("\n".join([*rows, twice]) + "\n")
    said = f"c5,complaint,{AT}\nc7,opt-out,{AT}\n"
    said += "".join(f"c{i},preference,{AT}\n" for i in range(10, 40))
    (tmp_path / "said.csv").write_text(HEADER + said)
    done = shell.json("feedback", "import", "said.csv", "--dir", ours)
    assert (done["new"], done["opted_out"], done["customers_in_data_twice"]) == (32, 1, 1)
    assert all("c7" not in ids_in(Path(path)) for path in done["taken_out_of"])
    home = NodeHome.load(ours)
    rows = home.store(home.keystore()).ask(
        "SELECT kind, segment <> '' FROM feedback GROUP BY 1, 2 ORDER BY 1"
    )
    assert rows == [("complaint", 0), ("opt-out", 1), ("preference", 1)]
    with pytest.raises(SourceError, match="E-DUPLICATE"):
        counted(ours)


def test_what_was_said_is_counted_in_ranges_by_segment(
    shell: Shell, ours: Path, tmp_path: Path
) -> None:
    assert "No customer has said anything yet" in shell("feedback", "list", "--dir", ours).out
    rows = "".join(f"c{i},wrong-segment,{AT}\n" for i in range(12))
    (tmp_path / "said.csv").write_text(HEADER + rows + f"nobody,complaint,{AT}\n")
    shell.json("feedback", "import", "said.csv", "--dir", ours)
    found = shell.json("feedback", "list", "--dir", ours)["feedback"]
    assert set(found) == set(KINDS)
    told = [r for r in found["wrong-segment"].values() if r["least"]]
    assert told in ([{"least": 10, "most": 19}], [])  # or hidden, beside what is small
    assert all(r["least"] in (0, None) for r in found["complaint"].values())
    assert 12 not in numbers_in(shell("feedback", "list", "--dir", ours).out)


def keeping(folder: Path) -> tuple[Keeper, NodeStore]:
    """What stores feedback as an import does, without a question."""
    home = NodeHome.load(folder)
    keystore = home.keystore()
    store = home.store(keystore)
    pseudonyms = Pseudonyms.under("ours", home.keys_folder, keystore)
    return Keeper("ours", None, store=store, pseudonyms=pseudonyms), store


def complaints(ids: Sequence[str], at: datetime) -> list[Feedback]:
    return [Feedback(line=2, subject=i, kind="complaint", at=at) for i in ids]


def test_a_small_import_hides_nothing_that_was_told_before(shell: Shell, ours: Path) -> None:
    keeper, _ = keeping(ours)
    many = [f"x{i}" for i in range(23)]
    keeper.keep(complaints(many, NOW), dict.fromkeys(many, "S1"))
    words = ("feedback", "list", "--dir", ours)
    first = shell.json(*words)["feedback"]["complaint"]["S1"]
    assert first == {"least": 20, "most": 29, "told_on": None}
    keeper.keep(complaints(["y"], NOW), {"y": "S2"})
    keeper.keep(complaints(many[:4], NOW + timedelta(days=1)), dict.fromkeys(many, "S3"))
    for _ in range(2):
        found = shell.json(*words)["feedback"]["complaint"]
        today = f"{datetime.now(UTC):%Y-%m-%d}"
        assert found["S1"] == {"least": 20, "most": 29, "told_on": today}
        assert found["S2"] == {"least": 0, "most": 9, "told_on": None}
    assert "20 – 29 on" in " ".join(shell(*words).out.split())


def test_what_was_said_before_the_first_release_gets_its_segments_and_nothing_later_does(
    shell: Shell, ours: Path
) -> None:
    keeper, store = keeping(ours)
    ((received,),) = store.ask("SELECT received_at FROM releases")
    released_at = datetime.fromisoformat(received)
    early, late = released_at - timedelta(days=1), released_at + timedelta(seconds=1)
    keeper.keep(complaints(["c0", "c1", "nobody"], early), {})
    keeper.keep(complaints(["c2"], late), {})
    shell.json("feedback", "list", "--dir", ours)
    with (ours.parent / "all.csv").open(newline="") as file:
        segments = {row["customer_id"]: row["segment_id"] for row in csv.DictReader(file)}
    for subject in ("c0", "c1", "c2"):
        told = shell.json("rights", "access", "--subject", subject, "--dir", ours)
        then = [said["segment_then"] for said in told["feedback"]]
        assert then == [None if subject == "c2" else segments[subject]]
    (ours.parent / "customers.csv").unlink()
    (warning,) = shell.json("feedback", "list", "--dir", ours)["warnings"]
    assert "has no segment yet" in warning


def test_a_customer_is_told_and_forgotten(shell: Shell, ours: Path, tmp_path: Path) -> None:
    (tmp_path / "said.csv").write_text(HEADER + f"c0,complaint,{AT}\nc1,complaint,{AT}\n")
    shell.json("feedback", "import", "said.csv", "--dir", ours)
    (said,) = shell.json("rights", "access", "--subject", "c0", "--dir", ours)["feedback"]
    assert (said["kind"], said["at"][:10]) == ("complaint", "2026-01-31")
    assert said["segment_then"].startswith("S")
    shell.json("rights", "erase", "--subject", "c0", "--dir", ours)
    assert shell.json("rights", "access", "--subject", "c0", "--dir", ours)["feedback"] == []
    assert len(shell.json("rights", "access", "--subject", "c1", "--dir", ours)["feedback"]) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "line 1: there is not one column 'customer_id'"),
        (b"customer_id,kind\n", "'at'"),
        (b"customer_id,kind,kind,at\n", "'kind'"),
        (b"customer_id,kind,at\nc1,opt-out\n", "line 2: 2 values"),
        (b"customer_id,kind,at\nSECRET,opt out,2026-01-01T00:00:00Z\n", "line 2, column 'kind'"),
        (b"customer_id,kind,at\n,opt-out,2026-01-01T00:00:00Z\n", "nobody is named"),
        (b"customer_id,kind,at\nSECRET,opt-out,2026-01-01\n", "line 2, column 'at'"),
        (b"customer_id,kind,at\nSECRET,opt-out,2999-01-01T00:00:00Z\n", "no time with a zone"),
        (b"customer_id,kind,at\nSECRET,opt-out,yesterday\n", "'yesterday'"),
        (b"customer_id,kind,at\n\xff\xfe\n", "not in UTF-8"),
        (b'customer_id,kind,at\n"SECRET,opt-out', "line 2: is not CSV"),
        (b"customer_id,kind,at\nSECRET,complaint,0001-01-01T00:00:00+14:00\n", "line 2, column"),
        (
            b"customer_id,kind,at\n" + b"x" * 140_000 + b",opt-out,2026-01-01T00:00:00Z\n",
            "line 2: is not CSV",
        ),
    ],
)
def test_a_file_with_a_fault_is_not_taken_in_at_all(
    shell: Shell, ours: Path, tmp_path: Path, text: bytes, says: str
) -> None:
    (tmp_path / "said.csv").write_bytes(text)
    error = shell.refused("feedback", "import", "said.csv", "--dir", ours, status=3)
    assert error["code"] == "E-FEEDBACK"
    assert says in error["message"]
    assert "SECRET" not in error["message"]
    assert "Nothing was taken in" in error["remedy"]
    assert len(counted(ours)) == 64


# --- scores ----------------------------------------------------------------------------------

SCALE = SatisfactionTerms(question="How satisfied are you with us?", lowest=1, highest=5)
SCORED = "customer_id,kind,at,score\n"


@pytest.fixture
def asking(shell: Shell, node: Path, released: Release, tmp_path: Path) -> Path:
    """A node whose agreement asks how satisfied customers are, on totals with noise."""
    install(shell, node, tmp_path, SCALE)
    return node


def install(shell: Shell, node: Path, folder: Path, terms: SatisfactionTerms, **more: Any) -> None:
    features = [
        feature.to_dict() | {"necessity": "It tells customers apart."} for feature in FEATURES
    ]
    plan = {
        "name": "hybrid-dp", "n_clusters": 3, "n_clusters_min": 3, "max_rounds": 12,
        "satisfaction": terms.to_dict(),
    }  # fmt: skip
    privacy = {
        "epsilon": "1", "delta": "0.00001", "rho": "0.0305", "runs": 5, "spare_rounds": 1,
        "max_partners_per_customer": 1,
    }  # fmt: skip
    offered = draft(node, features=features, plan=plan, privacy=privacy, **more)
    (folder / "draft.json").write_bytes(offered.to_bytes())
    shell.json("agreement", "sign", "draft.json", "--out", "signed.json", "--dir", node)
    shell.json("agreement", "install", "signed.json", "--downgrade", "--dir", node)


def scores_of(folder: Path, terms: SatisfactionTerms = SCALE) -> dict[str, float]:
    """The score with which the next question would count each customer."""
    home = NodeHome.load(folder)
    keystore = home.keystore()
    pseudonyms = Pseudonyms.under("ours", home.keys_folder, keystore)
    now = Scores("ours", home.store(keystore), pseudonyms).snapshot(terms)
    ids = np.array(counted(folder), dtype=object)
    return {i: score for i, score in zip(ids, now.of(ids).tolist(), strict=True) if score == score}


@pytest.mark.slow
def test_the_newest_score_of_each_customer_is_what_a_question_counts(
    shell: Shell, asking: Path, tmp_path: Path
) -> None:
    assert scores_of(asking) == {}
    rows = [
        "c0,satisfaction,2026-01-31T09:30:00Z,2", "c0,satisfaction,2026-03-01T00:00:00Z,4.5",
        "c0,satisfaction,2025-03-01T00:00:00Z,1", "c3,satisfaction,2026-01-31T09:30:00Z,5",
        "c4,complaint,2026-01-31T09:30:00Z,", "nobody,satisfaction,2026-01-31T09:30:00Z,1",
        "c5,satisfaction,2026-01-31T09:30:00Z,3", "c5,opt-out,2026-02-01T00:00:00Z,",
    ]  # fmt: skip
    (tmp_path / "said.csv").write_text(SCORED + "\n".join(rows) + "\n")
    done = shell.json("feedback", "import", "said.csv", "--dir", asking)
    assert (done["read"], done["new"], done["opted_out"]) == (8, 8, 1)
    assert done["customers_not_in_data"] == 1
    assert scores_of(asking) == {"c0": 4.5, "c3": 5.0}
    again = shell.json("feedback", "import", "said.csv", "--dir", asking)
    assert (again["new"], again["of_customers_left_out"]) == (0, 2)
    (said, *_) = shell.json("rights", "access", "--subject", "c3", "--dir", asking)["feedback"]
    assert (said["kind"], said["score"], said["asked"]) == ("satisfaction", 5.0, SCALE.to_dict())
    shell.json("rights", "erase", "--subject", "c3", "--dir", asking)
    assert scores_of(asking) == {"c0": 4.5}


def test_what_was_erased_does_not_come_back_with_the_same_file(
    shell: Shell, asking: Path, tmp_path: Path
) -> None:
    (tmp_path / "said.csv").write_text(SCORED + f"c3,satisfaction,{AT},5\nc4,complaint,{AT},\n")
    shell.json("feedback", "import", "said.csv", "--dir", asking)
    shell.json("rights", "erase", "--subject", "c3", "--dir", asking)
    again = shell.json("feedback", "import", "said.csv", "--dir", asking)
    assert (again["new"], again["of_customers_left_out"]) == (0, 1)
    assert shell.json("rights", "access", "--subject", "c3", "--dir", asking)["feedback"] == []
    said = shell("feedback", "import", "said.csv", "--dir", asking).out
    assert "Not kept: 1 line of customers who objected, opted out or were erased" in " ".join(
        said.split()
    )


def test_what_is_older_than_records_may_be_kept_is_not_kept_but_opt_outs_hold(
    shell: Shell, asking: Path, tmp_path: Path
) -> None:
    rows = [
        "c0,satisfaction,2015-01-31T09:30:00Z,1", "c1,satisfaction,0999-01-31T09:30:00Z,1",
        "c1,satisfaction,2026-01-31T09:30:00Z,5", "c2,opt-out,2015-01-31T09:30:00Z,",
    ]  # fmt: skip
    (tmp_path / "said.csv").write_text(SCORED + "\n".join(rows) + "\n")
    done = shell.json("feedback", "import", "said.csv", "--dir", asking)
    assert (done["read"], done["new"], done["too_old"], done["opted_out"]) == (4, 1, 3, 1)
    assert scores_of(asking) == {"c1": 5.0}
    assert "c2" not in counted(asking)


def test_counts_and_means_are_of_the_same_answers(
    shell: Shell, asking: Path, tmp_path: Path
) -> None:
    """Whose newest score was given in another segment counts there, and there alone."""
    home = NodeHome.load(asking)
    keystore = home.keystore()
    store = home.store(keystore)
    pseudonyms = Pseudonyms.under("ours", home.keys_folder, keystore)
    keeper = Keeper("ours", SCALE, store=store, pseudonyms=pseudonyms)
    ids = [f"x{i}" for i in range(60)]

    def said(ids: list[str], day: int, score: float) -> list[Feedback]:
        at = datetime(2026, 5, day, tzinfo=UTC)
        return [Feedback(line=2, subject=i, kind="satisfaction", at=at, score=score) for i in ids]

    keeper.keep([*said(ids[:1], 1, 1.25), *said(ids[1:], 1, 4.0)], dict.fromkeys(ids, "S1"))
    keeper.keep(said(ids[1:], 2, 4.0), dict.fromkeys(ids, "S2"))
    found = scored(store, "ours", SCALE, step=10)
    assert {s: one.answered for s, one in found.items()} == {"S1": 1, "S2": 59}
    shown = shell.json("feedback", "list", "--dir", asking)
    assert shown["mean_scores"] == {}
    assert "1.25" not in shell("feedback", "list", "--dir", asking).out
    other = replace(SCALE, question="Would you come back?")
    assert scored(store, "ours", other, step=10) == scored(store, "theirs", SCALE, step=10) == {}


def test_a_mean_is_rounded_so_far_that_one_answer_more_does_not_tell_itself(
    asking: Path,
) -> None:
    home = NodeHome.load(asking)
    keystore = home.keystore()
    store = home.store(keystore)
    keeper = Keeper(
        "ours", SCALE, store=store, pseudonyms=Pseudonyms.under("ours", home.keys_folder, keystore)
    )
    at = datetime(2026, 5, 1, tzinfo=UTC)
    ids = [f"x{i}" for i in range(50)]
    told = set()
    for score in (1.0, 2.0, 3.0, 4.0, 5.0):
        with store.transaction():
            store.ask("DELETE FROM feedback")
        keeper.keep(
            [
                Feedback(line=2, subject=i, kind="satisfaction", at=at, score=s)
                for i, s in zip(ids, [score, *[4.0] * 49], strict=True)
            ],
            dict.fromkeys(ids, "S1"),
        )
        told.add(scored(store, "ours", SCALE, step=50)["S1"].mean)
    assert len(told) <= 2
    assert all(3.9 <= mean <= 4.1 for mean in told)


def test_vectors_with_scores_are_those_of_everybody_who_may_be_counted(
    shell: Shell, asking: Path, tmp_path: Path
) -> None:
    rows = f"c0,satisfaction,{AT},1\nc1,satisfaction,{AT},4\nc2,opt-out,{AT},\n"
    (tmp_path / "said.csv").write_text(SCORED + rows)
    shell.json("feedback", "import", "said.csv", "--dir", asking)
    customers = open_node(asking)._customers
    (plain,), (scored,) = (list(c) for c in (customers.vectors(), customers.scored(SCALE)))
    assert (scored[:, :-1] == plain).all()
    assert len(scored) == 63
    assert scored[:2, -1].tolist() == [-UNIT, UNIT // 2]
    assert np.isnan(scored[2:, -1]).all()


def test_an_answer_to_another_question_counts_for_none(
    shell: Shell, asking: Path, tmp_path: Path
) -> None:
    (tmp_path / "said.csv").write_text(SCORED + f"c0,satisfaction,{AT},2\n")
    shell.json("feedback", "import", "said.csv", "--dir", asking)
    assert scores_of(asking) == {"c0": 2.0}
    for change in ({"question": "Would you come back?"}, {"highest": 10}, {"lowest": 0}):
        assert scores_of(asking, replace(SCALE, **change)) == {}


def test_two_scores_of_one_moment_are_refused_whoever_came_first(
    shell: Shell, asking: Path, tmp_path: Path
) -> None:
    (tmp_path / "said.csv").write_text(SCORED + f"c0,satisfaction,{AT},2\n")
    shell.json("feedback", "import", "said.csv", "--dir", asking)
    other = f"c1,satisfaction,{AT},1\nc0,satisfaction,{AT},3\n"
    (tmp_path / "other.csv").write_text(SCORED + other)
    error = shell.refused("feedback", "import", "other.csv", "--dir", asking, status=3)
    assert error["code"] == "E-FEEDBACK"
    assert "line 3" in error["message"]
    assert "c0" not in error["message"]
    assert scores_of(asking) == {"c0": 2.0}


def test_means_are_told_of_many_alone(shell: Shell, asking: Path, tmp_path: Path) -> None:
    known = placed_alike(asking)
    rows = "".join(f"{i},satisfaction,{AT},{2 + n % 2}\n" for n, i in enumerate(known))
    (tmp_path / "said.csv").write_text(SCORED + rows)
    shell.json("feedback", "import", "said.csv", "--dir", asking)
    found = shell.json("feedback", "list", "--dir", asking)
    (segment,) = found["mean_scores"]
    assert found["mean_scores"][segment] == pytest.approx(2.5)
    assert found["feedback"]["satisfaction"][segment] == {"least": 30, "most": 39, "told_on": None}
    text = shell("feedback", "list", "--dir", asking).out
    assert "mean score" in text
    assert "2.5" in text
    assert "“How satisfied are you with us?”, from 1 to 5" in text
    one = f"nobody,satisfaction,{AT},1\n{known[0]},satisfaction,2026-02-01T00:00:00Z,5\n"
    (tmp_path / "more.csv").write_text(SCORED + one)
    shell.json("feedback", "import", "more.csv", "--dir", asking)
    found = shell.json("feedback", "list", "--dir", asking)
    assert found["mean_scores"] == {}, "beside a small count the other one is hidden"


def placed_alike(folder: Path) -> list[str]:
    """The 34 customers of the largest segment here."""
    home = NodeHome.load(folder)
    known = known_releases(home)[0]
    customers = home.customers(known.agreement, None)
    gate = home.gate(known.agreement, home.party(known.agreement))
    everybody = {f"c{i}" for i in range(64)}
    found = segments_of(everybody, customers, known, gate=gate, now=datetime.now(UTC))
    ((largest, count),) = Counter(found.values()).most_common(1)
    assert count == 34
    return [i for i, segment in found.items() if segment == largest]


def test_opt_outs_of_whom_the_data_do_not_hold_are_said(
    shell: Shell, ours: Path, tmp_path: Path
) -> None:
    (tmp_path / "said.csv").write_text(HEADER + f"c7,opt-out,{AT}\nC8,opt-out,{AT}\n")
    done = shell("feedback", "import", "said.csv", "--dir", ours)
    assert "Not in the data now: 1 customer. Ids are compared" in " ".join(done.out.split())
    again = shell.json("feedback", "import", "said.csv", "--dir", ours)
    assert (again["opted_out"], again["customers_not_in_data"]) == (2, 1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("customer_id,kind,at\nc0,satisfaction,T\n", "'' is no number from 1 to 5"),
        ("customer_id,kind,at,score\nc0,satisfaction,T,\n", "'' is no number from 1 to 5"),
        ("customer_id,kind,at,score\nc0,satisfaction,T,6\n", "'6' is no number from 1 to 5"),
        ("customer_id,kind,at,score\nc0,satisfaction,T,0.99\n", "'0.99'"),
        ("customer_id,kind,at,score\nc0,satisfaction,T,nan\n", "'nan'"),
        ("customer_id,kind,at,score\nc0,satisfaction,T,1e999\n", "'1e999'"),
        ("customer_id,kind,at,score\nc0,satisfaction,T,very\n", "line 2, column 'score'"),
        ("customer_id,kind,at,score\nc0,satisfaction,T,1_0\n", "'1_0'"),
        ("customer_id,kind,at,score\nc0,complaint,T,4\n", "which complaint does not have"),
        ("customer_id,kind,at,score,score\nc0,satisfaction,T,4,4\n", "more than one column"),
    ],
)
def test_a_score_that_is_none_is_refused(
    shell: Shell, asking: Path, tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "said.csv").write_text(text.replace("T", AT))
    error = shell.refused("feedback", "import", "said.csv", "--dir", asking, status=3)
    assert error["code"] == "E-FEEDBACK"
    assert says in error["message"]
    assert scores_of(asking) == {}


def test_without_a_question_in_the_agreement_no_score_is_taken_in(
    shell: Shell, ours: Path, tmp_path: Path
) -> None:
    (tmp_path / "said.csv").write_text(SCORED + f"c0,satisfaction,{AT},4\n")
    error = shell.refused("feedback", "import", "said.csv", "--dir", ours, status=3)
    assert "line 2: the agreement has no question about satisfaction" in error["message"]
    assert "plan.satisfaction" in error["remedy"]
    assert "mean score" not in shell("feedback", "list", "--dir", ours).out


def test_folders_and_missing_files_are_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.csv"):
        with pytest.raises(SourceError) as caught:
            read_feedback(path, now=NOW)
        assert str(path) in caught.value.message


def test_a_byte_order_mark_more_columns_and_other_zones_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "said.csv"
    path.write_bytes(
        b"\xef\xbb\xbfkind,at,note,customer_id\r\nopt-out,2026-01-31T10:30:00+01:00,hi,c1\r\n\r\n"
    )
    (said,) = read_feedback(path, now=NOW)
    assert (said.subject, said.kind) == ("c1", "opt-out")
    assert said.at == datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
