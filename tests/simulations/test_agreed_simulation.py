"""`fedseg-simulate cluster --agreement`: files read as at a node, and the agreement as it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ruamel.yaml import YAML

from coordinator.agreement_file import save_signed
from partner_node.customers.source_customers import SourceCustomers
from partner_node.sources.duckdb.source import DuckDBSource
from protocol.agreement.document import Agreement
from protocol.errors import FedsegError
from protocol.privacy.accounting import rho_for
from protocol.queries import customer_vectors
from protocol.scaling import FeatureScale
from simulations.agreed_files import read_tables
from simulations.agreement import (
    agreement_values,
    changed,
    feature_values,
    party_values,
    signed_with,
    with_keys,
)
from tests.shell import Shell

NAMES = ("north", "middle", "south")
FEATURES = (
    feature_values("spend", min="0", max="1000", transform="log1p", weight="0.5"),
    feature_values(
        "channel", type="categorical", levels=["web", "shop", "else"], other="else",
        missing={"rule": "replace", "value": "else"},
    ),
    feature_values("member", type="boolean", missing={"rule": "leave-out"}),
    feature_values("size", type="ordinal", levels=["S", "M", "L"]),
)  # fmt: skip
HEADER = "customer_id,note,spend,channel,member,size"
ROWS = (
    "a,x,10,web,yes,S",
    "b,,2000,post,NO,M",
    "c,x,0,,true,L",
    "d,x,5,shop,,S",
)


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(capsys, monkeypatch, program="fedseg-simulate")


def agreed(**terms: Any) -> dict[str, Any]:
    """The JSON of an agreement under noise that is loud where it is left out."""
    privacy = {
        "epsilon": "20", "delta": "0.00001", "rho": str(rho_for(20.0, 1e-5)), "runs": 3,
        "spare_rounds": 2, "max_partners_per_customer": 1,
    }  # fmt: skip
    values = agreement_values(
        parties=[
            party_values(name, bytes([number]) * 32, max_customers=2_000)
            for number, name in enumerate(NAMES, start=1)
        ],
        features=FEATURES,
        coordinator_key=b"\x09" * 32,
        privacy=privacy,
        plan={
            "name": "hybrid-dp", "n_clusters": 3, "n_clusters_min": 2, "max_rounds": 12,
            "profile": "spread",
        },
        min_segment_size=30,
        min_customers_per_partner=20,
    )  # fmt: skip
    return changed(values, terms)


def written(path: Path, values: dict[str, Any]) -> Path:
    with path.open("w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump(values, file)
    return path


def table(path: Path, rows: Sequence[str], header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def groups(tmp_path: Path, *, each: tuple[int, ...] = (200, 150, 6)) -> list[Path]:
    """A file a partner, of groups that differ in every feature; the last one is small."""
    kinds = (("10", "web", "yes", "S"), ("900", "shop", "no", "L"), ("100", "post", "no", "M"))
    files = []
    for name in NAMES:
        rows = [
            f"{name}-{kind}-{i},x,{','.join(values)}"
            for kind, (values, n) in enumerate(zip(kinds, each, strict=True))
            for i in range(n)
        ]
        files.append(table(tmp_path / f"{name}.csv", rows))
    return files


# --- rows, as a node reads them --------------------------------------------------------------


def test_levels_and_missing_values_are_read_by_the_agreed_rules(tmp_path: Path) -> None:
    features = Agreement.from_dict(agreed()).features
    (found,) = read_tables(
        [table(tmp_path / "a.csv", ROWS)], features, id_column="customer_id"
    )  # fmt: skip
    assert found.ids.tolist() == ["a", "b", "c"]
    assert found.left_out == 1
    assert found.values.tolist() == [
        # spend, channel: web, shop, else; member; size
        [10, 1, 0, 0, 1, 0],
        [2000, 0, 0, 1, 0, 1],
        [0, 0, 0, 1, 1, 2],
    ]


def test_customers_are_the_vectors_that_a_node_counts(tmp_path: Path) -> None:
    agreement = Agreement.from_dict(agreed())
    path = table(tmp_path / "a.csv", ROWS)
    node = SourceCustomers(
        DuckDBSource(kind="csv", path=path, id_column="customer_id"), agreement.features,
        columns={}, chunk_rows=2, gate=None,
    )  # fmt: skip
    (found,) = read_tables([path], agreement.features, id_column="customer_id")
    scale = FeatureScale.of(agreement.coordinates)
    own = customer_vectors(scale.to_grid(found.values))
    assert np.vstack(list(node.vectors())).tobytes() == own.tobytes()


@pytest.mark.parametrize(
    ("rows", "header"),
    [
        (("a,x,1,web,yes,S", "a,x,1,web,yes,S"), HEADER),
        ((",x,1,web,yes,S",), HEADER),
        (("a,x,,web,yes,S",), HEADER),
        (("a,x,many,web,yes,S",), HEADER),
        (("a,x,1,web,perhaps,S",), HEADER),
        (("a,x,1,web,yes,XXL",), HEADER),
        (("a,x,1,web,yes",), HEADER.removesuffix(",size")),
        (("a,x,1,web,yes",), HEADER),
        (("a,x,1,web,yes,S",), HEADER.replace("customer_id", "id")),
    ],
    ids=["id twice", "no id", "missing", "text", "no truth", "no level", "no column", "short",
         "no id column"],
)  # fmt: skip
def test_a_row_that_a_node_refuses_is_refused_in_the_same_words(
    tmp_path: Path, shell: Shell, rows: tuple[str, ...], header: str
) -> None:
    agreement = Agreement.from_dict(agreed())
    path = table(tmp_path / "a.csv", rows, header)
    node = SourceCustomers(
        DuckDBSource(kind="csv", path=path, id_column="customer_id"), agreement.features,
        columns={}, chunk_rows=2, gate=None,
    )  # fmt: skip
    with pytest.raises(FedsegError) as refused:
        list(node.vectors())
    said = shell(
        "cluster", path, "--agreement", written(tmp_path / "a.yaml", agreed()),
        "--id-column", "customer_id", "--format", "json",
    )  # fmt: skip
    assert said.code == refused.value.exit_code
    data = said.envelope["data"]
    assert (data["code"], data["message"]) == (refused.value.code, refused.value.message)
    assert "[data]" not in data["remedy"]


def test_a_feature_that_is_excluded_by_its_name_is_refused(tmp_path: Path, shell: Shell) -> None:
    values = agreed(features=[feature_values("religion")])
    said = shell(
        "cluster", table(tmp_path / "a.csv", ["a,1"], "customer_id,religion"),
        "--agreement", written(tmp_path / "a.yaml", changed(values, {
            "excluded": {"special": ["religious-or-philosophical-beliefs"]}})),
        "--id-column", "customer_id", "--format", "json",
    )  # fmt: skip
    assert (said.code, said.envelope["data"]["code"]) == (3, "E-SPECIAL")


# --- the agreement, as it is -----------------------------------------------------------------


@pytest.mark.slow
def test_an_agreement_is_simulated_whole_drafted_or_signed(tmp_path: Path, shell: Shell) -> None:
    files = groups(tmp_path)
    values = agreed(
        privacy={"max_partners_per_customer": 2}, secure_sum={"max_colluding": 2, "min_partners": 3}
    )
    drafted = written(tmp_path / "a.yaml", values)
    keys = [Ed25519PrivateKey.generate() for _ in NAMES]
    agreement = with_keys(Agreement.from_dict(values), keys, Ed25519PrivateKey.generate())
    save_signed(tmp_path / "a.json", signed_with(agreement, keys))
    words = ("--id-column", "customer_id", "--seed", 3)
    found = shell.json("cluster", *files, "--agreement", drafted, *words)
    signed = shell.json("cluster", *files, "--agreement", tmp_path / "a.json", *words)
    for timed in (found, signed):
        timed.pop("seconds")
    assert found == signed
    assert (found["agreement"], found["version"]) == ("simulation", 1)
    assert found["columns"][:2] == ["spend", "channel: web"]
    assert (found["n_clusters_min"], found["n_clusters"], found["n_partners"]) == (2, 3, 3)
    assert found["unit"] == "one customer at up to 2 partners"
    assert found["secure_sum"]["max_colluding"] == 2
    assert (found["runs"], found["spare_rounds"]) == (3, 2)
    assert found["participants"] == list(NAMES)
    assert found["n_samples"] == 3 * 356
    assert "typical_ranges" in found
    assert found["least_size"] == 30 + 3 * found["size_sigma"]
    assert found["notices"][0] == (
        "in the agreement's order: north has north.csv, middle has middle.csv, south has south.csv"
    )
    alone = shell.json(
        "cluster", *files, "--agreement",
        written(tmp_path / "b.yaml", agreed()), *words,
    )  # fmt: skip
    assert alone["size_sigma"] < found["size_sigma"], "fewer colluders and partners: less noise"


def test_one_file_is_split_among_the_parties(tmp_path: Path, shell: Shell) -> None:
    file = groups(tmp_path)[0]
    data = shell.json(
        "cluster", file, "--agreement", written(tmp_path / "a.yaml", agreed()),
        "--id-column", "customer_id",
    )  # fmt: skip
    assert (data["n_partners"], data["n_samples"]) == (3, 356)


def test_row_caps_and_least_customers_of_the_agreement_hold(tmp_path: Path, shell: Shell) -> None:
    files = groups(tmp_path)
    for terms, code in (
        ({"min_customers_per_partner": 357}, "E-TOO-FEW"),
        ({"parties": [p | {"max_customers": 355} for p in agreed()["parties"]]}, "E-ROW-CAP"),
    ):
        agreement = written(tmp_path / "a.yaml", agreed(**terms))
        said = shell(
            "cluster", *files, "--agreement", agreement, "--id-column", "customer_id",
            "--format", "json",
        )  # fmt: skip
        assert (said.code, said.envelope["data"]["code"]) == (3, code)
        assert "north: 356 customers are counted now" in said.envelope["data"]["message"]


@pytest.mark.slow
def test_what_customers_say_is_asked_where_it_is_agreed(tmp_path: Path, shell: Shell) -> None:
    files = groups(tmp_path)
    question = {"question": "Happy?", "lowest": 1, "highest": 5}
    agreement = written(
        tmp_path / "a.yaml", agreed(plan={"satisfaction": question, "max_rounds": 13})
    )
    said = []
    for name in NAMES:
        said += ["--feedback", tmp_path / f"feedback-{name}.csv"]
        lines = [
            f"{name}-{kind}-{i},satisfaction,2026-01-05T10:15:{i % 60:02d}Z,{score}"
            for kind, score in ((0, 5), (1, 2))
            for i in range(150)
        ]
        lines += [f"{name}-0-0,satisfaction,2026-01-01T00:00:00Z,1"]  # older than the other
        table(said[-1], lines, "customer_id,kind,at,score")
    words = ("cluster", *files, "--agreement", agreement, "--id-column", "customer_id")
    data = shell.json(*words, *said)
    means = sorted(round(s["satisfaction"]["score"]) for s in data["released"])
    assert means == [2, 5]
    assert "Segment 1" in shell(*words, *said).out
    silent = shell.json(*words)
    assert any("nobody's answers are given" in notice for notice in silent["notices"])
    assert all(s["satisfaction"] is None for s in silent["released"])
    wrong = shell(*words, *said[:2])
    assert wrong.code == 2
    assert "--feedback is given 1 times for 3 files" in " ".join(wrong.err.split())


# --- levels and rules for missing values without an agreement ----------------------------------

#: What `agreed` says of its features, as a file of bounds says it.
BOUNDS = {
    "spend": {"min": 0, "max": 1000, "transform": "log1p", "weight": 0.5},
    "channel": {
        "type": "categorical", "levels": ["web", "shop", "else"], "other": "else",
        "missing": {"rule": "replace", "value": "else"},
    },
    "member": {"type": "boolean", "missing": {"rule": "leave-out"}},
    "size": {"type": "ordinal", "levels": ["S", "M", "L"]},
}  # fmt: skip


def bounds_file(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "bounds.json"
    path.write_text(json.dumps(BOUNDS | changes), encoding="utf-8")
    return path


def test_bounds_with_levels_have_files_read_as_under_an_agreement(
    tmp_path: Path, shell: Shell
) -> None:
    files = groups(tmp_path)
    table(files[0], [*files[0].read_text(encoding="utf-8").splitlines()[1:], ROWS[3]])
    words = ("cluster", *files, "--id-column", "customer_id", "--seed", 3)
    exact = agreement_values(
        parties=agreed()["parties"], features=FEATURES, coordinator_key=b"\x09" * 32,
        plan={"n_clusters": 3, "max_rounds": 50}, min_segment_size=30,
    )  # fmt: skip
    under = shell.json(*words, "--agreement", written(tmp_path / "a.yaml", exact))
    options = ("--k", 3, "--min-segment-size", 30, "--min-customers", 0, "--drop", "note")
    asked = shell.json(*words, "--bounds", bounds_file(tmp_path), *options)
    assert asked["n_samples"] == 3 * 356
    for name in ("columns", "bounds", "n_samples", "released", "withheld", "counts", "centroids"):
        assert asked[name] == under[name], name
    left_out = f"{files[0]}: 1 customer left out for a missing value, as agreed"
    assert left_out in asked["notices"]
    assert left_out in under["notices"]


@pytest.mark.parametrize(
    ("changes", "words", "says"),
    [
        ({}, (), "there is no --id-column"),
        ({}, ("--id-column", "customer_id", "--drop", "size"), "--drop size, but"),
        ({"size": {"type": "ordinl"}}, None, "'ordinl'"),
        ({"size": {"type": "ordinal", "levels": ["S"]}}, None, "levels"),
        ({"size": {"type": "ordinal"}}, None, "levels"),
        ({"size": {"type": "boolean", "levls": []}}, None, "levls"),
        ({"size": {"max": 3, "missing": {"rule": "leave-out"}}}, None, "'min' is missing"),
        ({"size": {"min": 4, "max": 3, "unit": "m"}}, None, "min 4 is not below max 3"),
        ({"size": {"min": 0, "max": 3, "missing": {"rule": "replace", "value": 4}}}, None, "4"),
        ({"a size": {"type": "boolean"}}, None, "a size"),
        ({"size": 4}, None, "size"),
    ],
)
def test_bounds_that_are_no_features_are_refused(
    tmp_path: Path, shell: Shell, changes: dict[str, Any], words: tuple[str, ...] | None, says: str
) -> None:
    words = ("--id-column", "customer_id") if words is None else words
    said = shell(
        "cluster", *groups(tmp_path), "--bounds", bounds_file(tmp_path, **changes), "--k", 2,
        *words, "--format", "json",
    )  # fmt: skip
    assert said.code == 2
    assert says in said.envelope["data"]["message"]
    assert said.envelope["data"]["remedy"]


def test_a_column_of_texts_is_refused_with_the_way_to_levels(tmp_path: Path, shell: Shell) -> None:
    words = ("--bounds-from-data", "--k", 2, "--id-column", "customer_id", "--format", "json")
    said = shell("cluster", *groups(tmp_path), *words)
    assert (said.code, said.envelope["data"]["code"]) == (3, "E-SOURCE-TEXT")
    assert "gets its type and levels in the file of --bounds" in said.envelope["data"]["remedy"]


# --- options that say otherwise ----------------------------------------------------------------

SAME = (
    ("--partners", "3", "4"),
    ("--k", "3", "5"),
    ("--k-min", "2", "1"),
    ("--plan", "hybrid-dp", "lloyd-dp"),
    ("--max-rounds", "12", "9"),
    ("--epsilon", "20", "1"),
    ("--delta", "0.00001", "0.0001"),
    ("--spare-rounds", "2", "0"),
    ("--partners-per-customer", "1", "2"),
    ("--colluding", "1", "2"),
    ("--min-customers", "20", "0"),
    ("--min-segment-size", "30", "1"),
)


@pytest.mark.parametrize(("option", "agreed_value", "other"), SAME)
def test_an_option_that_contradicts_the_agreement_is_refused_naming_both(
    tmp_path: Path, shell: Shell, option: str, agreed_value: str, other: str
) -> None:
    path = written(tmp_path / "a.yaml", agreed())
    words = ("cluster", "none.csv", "--agreement", path, "--id-column", "customer_id")
    said = shell(*words, option, other, "--format", "json")
    assert (said.code, said.envelope["data"]["code"]) == (2, "E-USAGE")
    message = said.envelope["data"]["message"]
    assert message.startswith(f"{option} {other}")
    assert str(path) in message
    assert message.endswith(f"is {agreed_value}")
    assert f"leave {option} out" in said.envelope["data"]["remedy"]


def test_where_runs_are_agreed_to_start_anew_none_follows(tmp_path: Path, shell: Shell) -> None:
    anew = {**agreed(), "plan": {**agreed()["plan"], "start": "anew"}}
    path = written(tmp_path / "a.yaml", anew)
    words = ("--agreement", path, "--id-column", "customer_id", "--follow-ups", 2)
    said = shell("cluster", *groups(tmp_path), *words, "--format", "json")
    assert (said.code, said.envelope["data"]["code"]) == (2, "E-USAGE")
    assert f"{path} says start: anew" in said.envelope["data"]["message"]
    follows = ("--agreement", written(tmp_path / "b.yaml", agreed()), *words[2:])
    data = shell.json("cluster", *groups(tmp_path), *follows)
    assert [one["starts_anew"] for one in data["follow_ups"]] == [False, False]


def test_options_that_say_the_same_are_taken(tmp_path: Path, shell: Shell) -> None:
    path = written(tmp_path / "a.yaml", agreed())
    same = [word for option, value, _ in SAME for word in (option, value)]
    words = ("--agreement", path, "--id-column", "customer_id", "--profile")
    assert shell.json("cluster", *groups(tmp_path), *words, *same)["epsilon"] == 20


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--bounds-from-data",), "--bounds-from-data, but"),
        (("--bounds", "b.json"), "--bounds, but"),
        (("--drop", "note"), "--drop, but"),
        ((), "without --id-column"),
        (("--id-column", "customer_id", "more.csv"), "2 files, but"),
    ],
)
def test_what_an_agreement_says_already_is_not_asked_for(
    tmp_path: Path, shell: Shell, words: tuple[str, ...], says: str
) -> None:
    path = written(tmp_path / "a.yaml", agreed())
    said = shell("cluster", "none.csv", "--agreement", path, *words, "--format", "json")
    assert said.code == 2
    assert says in said.envelope["data"]["message"]
    assert str(path) in said.envelope["data"]["message"]


def test_a_profile_that_is_not_agreed_is_not_asked_for(tmp_path: Path, shell: Shell) -> None:
    values = agreed()
    del values["plan"]["profile"]
    path = written(tmp_path / "a.yaml", values)
    said = shell("cluster", "n.csv", "--agreement", path, "--profile", "--format", "json")
    assert said.envelope["data"]["message"] == f"--profile, but in {path} plan.profile is none"


def test_an_epsilon_beside_an_agreement_on_exact_totals_is_refused(
    tmp_path: Path, shell: Shell
) -> None:
    values = agreement_values(
        parties=agreed()["parties"], features=FEATURES, coordinator_key=b"\x09" * 32
    )
    path = written(tmp_path / "a.yaml", json.loads(json.dumps(values)))
    said = shell("cluster", "n.csv", "--agreement", path, "--epsilon", "1", "--format", "json")
    assert said.envelope["data"]["message"] == f"--epsilon 1, but in {path} privacy.epsilon is none"


def test_feedback_without_an_agreement_is_wrong_usage(tmp_path: Path, shell: Shell) -> None:
    words = ("--k", 2, "--bounds-from-data", "--feedback", "f.csv")
    said = shell("cluster", groups(tmp_path)[0], *words)
    assert said.code == 2
    assert "--feedback without --agreement" in said.err
