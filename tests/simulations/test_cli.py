"""fedseg-simulate as a person or a program calls it: every option, exit statuses, JSON."""

from __future__ import annotations

import gzip
import io
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from coordinator import new_draft
from coordinator.agreement_file import agreement_template, load_yaml, privacy_template
from protocol.agreement.document import Agreement
from protocol.agreement.governance import SEGMENTATION
from protocol.percents import percent_words
from protocol.privacy.accounting import cost_of_rho, epsilon_of
from protocol.release.document import EXACT_WORDS
from simulations import cli
from simulations import demo as demo_module
from simulations.agreement import SOFTWARE
from simulations.bounds import NOT_PRIVATE
from simulations.cli.cluster_words import _size
from simulations.demo import DemoResult, PartnerView
from simulations.retail_features import FEATURES

pytestmark = pytest.mark.slow

#: Rules that leave every cluster of a small file as it is.
SMALL = ("--min-segment-size", 1, "--min-customers", 0)

RESULT_FIELDS = {
    "seed": int,
    "n_clusters_chosen": int,
    "released": list,
    "least_size": int,
    "participants": list,
    "centroids": list,
    "counts": list,
    "inertia_mean": float,
    "inertia_formed": float,
    "rounds": int,
    "converged": bool,
    "bytes_up_per_partner": int,
    "bytes_up_by_partner": list,
    "seconds": float,
}
COMMON_FIELDS = {
    "agreement": str,
    "version": int,
    "privacy": str,
    "plan": str,
    "n_clusters": int,
    "n_clusters_min": int,
    "n_samples": int,
    "n_features": int,
    "n_partners": int,
    "max_rounds": int,
    "min_segment_size": int,
    "min_customers_per_partner": int,
    "secure_sum": dict,
    "columns": list,
    "bounds": dict,
    "notices": list,
}


@dataclass(frozen=True)
class Said:
    """What a command said; `data` of its JSON envelope."""

    status: int
    out: str
    err: str

    @property
    def envelope(self) -> dict[str, Any]:
        assert self.out.count("\n") == 1
        found: dict[str, Any] = json.loads(self.out)
        assert set(found) == {"schema_version", "status", "data"}
        assert found["schema_version"] == 5
        return found

    @property
    def data(self) -> dict[str, Any]:
        return self.envelope["data"]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["fedseg-simulate", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return Said(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(5)
    middles = np.array([[20.0, 100.0], [60.0, 900.0]])
    rows = middles[rng.integers(0, 2, 60)] + rng.normal(0, 2, (60, 2))
    path = tmp_path / "customers.csv"
    lines = "\n".join(f"{a:.3f},{b:.3f}" for a, b in rows)
    path.write_text("age,spend\n" + lines + "\n", encoding="utf-8")
    return path


def has_fields(values: dict[str, Any], fields: dict[str, type]) -> None:
    for name, kind in fields.items():
        assert type(values[name]) is kind, name


def cluster(call: Any, *words: object) -> dict[str, Any]:
    said = call("cluster", *words, *SMALL, "--format", "json")
    assert said.status == 0, said.err
    assert said.envelope["status"] == "ok"
    data: dict[str, Any] = said.data
    return data


def test_cluster_prints_one_envelope_with_all_fields(call: Any, table: Path) -> None:
    data = cluster(call, table, "--k", 2, "--partners", 4, "--seed", 9, "--bounds-from-data")
    has_fields(data, RESULT_FIELDS | COMMON_FIELDS)
    assert set(data) == {*RESULT_FIELDS, *COMMON_FIELDS, "merged", "withheld"}
    assert data["privacy"] == EXACT_WORDS
    assert data["columns"] == ["age", "spend"]
    assert (data["n_samples"], data["n_features"], data["n_partners"]) == (60, 2, 4)
    assert sum(data["counts"]) == 60
    assert np.abs(np.sort(np.array(data["centroids"]), axis=0) - [[20, 100], [60, 900]]).max() < 2
    assert len(data["bytes_up_by_partner"]) == 4
    assert 0 < data["inertia_mean"] < 0.1


def test_the_inertia_can_be_checked_from_what_is_printed(call: Any, table: Path) -> None:
    data = cluster(call, table, "--k", 3, "--bounds-from-data")
    rows = np.loadtxt(table, delimiter=",", skiprows=1)
    low = np.array([float(data["bounds"][c]["min"]) for c in data["columns"]])
    high = np.array([float(data["bounds"][c]["max"]) for c in data["columns"]])
    cube, centres = (2 * (np.array(v) - low) / (high - low) - 1 for v in (rows, data["centroids"]))
    squared = ((cube[:, None] - centres[None]) ** 2).sum(axis=2)
    assert data["inertia_mean"] == pytest.approx(squared.min(axis=1).mean(), rel=1e-12)
    assert np.abs(cube).max() <= 1


def test_bounds_from_data_are_said_not_to_be_private(call: Any, table: Path) -> None:
    said = call("cluster", table, *SMALL, "--k", 2, "--bounds-from-data", "--format", "json")
    assert "not private" in said.err
    assert said.data["notices"] == [NOT_PRIVATE]
    assert "not private" in call("cluster", table, *SMALL, "--k", 2, "--bounds-from-data").err


def test_bounds_come_from_a_file_with_transform_and_weight(
    call: Any, table: Path, tmp_path: Path
) -> None:
    bounds = {
        "spend": {"min": 0, "max": "10000", "transform": "log1p", "weight": 0.5},
        "age": {"min": 0, "max": 120},
    }
    path = tmp_path / "bounds.json"
    path.write_text(json.dumps(bounds), encoding="utf-8")
    said = call("cluster", table, *SMALL, "--k", 2, "--bounds", path, "--format", "json")
    assert said.status == 0
    assert said.data["notices"] == []
    assert said.data["bounds"]["spend"] == {
        "min": "0", "max": "10000", "transform": "log1p", "weight": "0.5",
    }  # fmt: skip
    path.write_text(json.dumps(said.data["bounds"]), encoding="utf-8")
    again = cluster(call, table, "--k", 2, "--bounds", path)
    assert again["centroids"] == said.data["centroids"]


def test_repeats_run_seed_after_seed(call: Any, table: Path) -> None:
    options = (table, "--k", 2, "--bounds-from-data", "--partners", 3)
    data = cluster(call, *options, "--seed", 4, "--repeats", 3)
    assert set(data) == {*COMMON_FIELDS, "runs", "summary"}
    assert [one["seed"] for one in data["runs"]] == [4, 5, 6]
    for one in data["runs"]:
        has_fields(one, RESULT_FIELDS)
        alone = cluster(call, *options, "--seed", one["seed"])
        for name in ("centroids", "counts", "inertia_mean", "rounds", "bytes_up_per_partner"):
            assert one[name] == alone[name]
    assert len(cluster(call, *options, "--repeats", 1)["runs"]) == 1


def test_repeats_are_summed_up(call: Any, tmp_path: Path) -> None:
    path = groups(tmp_path / "groups.csv", 400, 300, 45)
    words = (path, "--k", 5, "--k-min", 2, "--bounds-from-data", "--epsilon", 8, "--repeats", 5)
    data = call("cluster", *words, "--format", "json").data
    runs, found = data["runs"], data["summary"]
    assert found["runs"] == 5
    chosen = [run["n_clusters_chosen"] for run in runs]
    assert found["n_clusters"] == {str(k): chosen.count(k) for k in sorted(set(chosen))}
    assert chosen == [len(run["counts"]) for run in runs]
    inertia = np.array([run["inertia_mean"] for run in runs])
    for name, value in {
        "mean": inertia.mean(), "standard_deviation": inertia.std(),
        "lowest": inertia.min(), "highest": inertia.max(),
    }.items():  # fmt: skip
        assert found["inertia_mean"][name] == pytest.approx(value, rel=1e-9)
    for what in ("merged", "withheld"):
        numbers = [run[what]["clusters"] if run[what] else 0 for run in runs]
        assert found[what] == {"clusters": sum(numbers), "runs": sum(n > 0 for n in numbers)}
    assert sum(found["merged"].values()) > 0, "45 customers are too few"
    shown = " ".join(call("cluster", *words).out.split())
    for k, n in found["n_clusters"].items():
        assert f"{k} in {n} run" in shown
    assert f"Inertia: {inertia.mean():.6g} on average" in shown
    assert f"Merged: {found['merged']['clusters']} cluster" in shown
    assert "Withheld: none." in shown
    assert "±" in shown


def test_runs_that_follow_keep_customers_in_their_segments_and_are_charged_as_deployed_ones(
    call: Any, tmp_path: Path
) -> None:
    path = groups(tmp_path / "groups.csv", 600, 500, 400)
    words = (path, "--k", 3, "--bounds-from-data", "--epsilon", 2, "--seed", 3)
    alone = call("cluster", *words, "--format", "json").data
    assert "follow_ups" not in alone
    data = call("cluster", *words, "--follow-ups", 3, "--format", "json").data
    assert data["released"] == alone["released"], "the first run is the same"
    assert len(data["follow_ups"]) == 3
    rho, delta = data["rho"], data["delta"]
    for number, one in enumerate(data["follow_ups"], start=1):
        assert (one["segments"], one["rounds"]) == (3, 4)
        assert (one["starts_anew"], one["changed"]) == (False, False)
        assert 0.95 < one["kept"] <= 1.0
        assert 0.95 < one["kept_since_first"] <= 1.0
        # A run that follows costs 35 % of one that starts anew; rho adds up.
        units = cost_of_rho(Decimal(str(rho)))
        assert one["epsilon_spent"] == pytest.approx(
            epsilon_of(int(0.347 * units), delta), rel=0.02
        )
        in_all = epsilon_of(int((1 + 0.347 * number) * units), delta)
        assert one["epsilon_in_all"] == pytest.approx(in_all, rel=0.02)
    said = call("cluster", *words, "--follow-ups", 3)
    shown = " ".join(said.out.split())
    assert "Runs that follow, on the same customers" in shown
    assert percent_words(data["follow_ups"][1]["kept"]) in shown
    repeated = call("cluster", *words, "--follow-ups", 1, "--repeats", 2, "--format", "json").data
    assert [len(run["follow_ups"]) for run in repeated["runs"]] == [1, 1]
    assert repeated["runs"][0]["follow_ups"] == data["follow_ups"][:1]


def test_runs_that_follow_on_exact_totals_begin_at_the_last_centres(
    call: Any, tmp_path: Path
) -> None:
    path = groups(tmp_path / "groups.csv", 200, 150, 120)
    words = (path, "--k", 3, "--bounds-from-data", "--follow-ups", 2)
    data = call("cluster", *words, "--format", "json").data
    assert [one["kept_since_first"] for one in data["follow_ups"]] == [1.0, 1.0]
    assert all(one["rounds"] < data["rounds"] for one in data["follow_ups"])
    assert [one["epsilon_in_all"] for one in data["follow_ups"]] == [None, None]


def test_more_runs_that_follow_than_the_budget_holds_are_refused_with_how_many_it_holds(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_draft, "RUNS", 3)
    path = groups(tmp_path / "groups.csv", 200, 150, 120)
    words = (path, "--k", 3, "--bounds-from-data", "--epsilon", 2, "--plan", "lloyd-dp")
    said = call("cluster", *words, "--follow-ups", 40, "--format", "json")
    assert said.status != 0
    assert "E-BUDGET-SPENT" in said.err
    (held,) = map(int, re.findall(r"--follow-ups (\d+),", said.err))
    assert 2 < held < 9
    assert len(call("cluster", *words, "--follow-ups", held, "--format", "json").data["follow_ups"])


def test_on_exact_totals_each_number_of_clusters_is_tried_and_one_shown_by_a_stated_rule(
    call: Any, tmp_path: Path
) -> None:
    path = groups(tmp_path / "groups.csv", 200, 150, 120)
    words = (path, "--k", 4, "--k-min", 1, "--bounds-from-data")
    data = call("cluster", *words, "--format", "json").data
    assert (data["n_clusters_min"], data["n_clusters"]) == (1, 4)
    tried = {one["n_clusters"]: one for one in data["tried"]}
    assert list(tried) == [1, 2, 3, 4]
    assert data["n_clusters_chosen"] == len(data["counts"]) == 3
    assert tried[1]["silhouette"] is None
    assert max(tried.values(), key=lambda one: one["silhouette"] or 0)["n_clusters"] == 3
    for k, one in tried.items():
        alone = call("cluster", path, "--k", k, "--bounds-from-data", "--format", "json").data
        assert one["inertia_mean"] == alone["inertia_mean"]
        assert one["smallest"] == min(alone["counts"])
        assert one["withheld"] == (alone["withheld"] or {"clusters": 0})["clusters"]
    shown = " ".join(call("cluster", *words).out.split())
    assert "Chosen: 3 clusters, by the best silhouette among the numbers" in shown
    assert "does not say whether there are groups at all" in shown
    assert "plan.n_clusters" in shown
    repeated = call("cluster", *words, "--repeats", 2, "--format", "json").data
    assert repeated["summary"]["n_clusters"] == {"3": 2}
    assert repeated["runs"][0]["tried"] == data["tried"]
    only = call("cluster", path, "--k", 3, "--k-min", 3, "--bounds-from-data", "--format", "json")
    assert "tried" not in only.data


def test_a_terminal_is_shown_which_run_is_going_on_and_nothing_else_is(
    call: Any, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--k", 3, "--k-min", 2, "--repeats", 2, "--bounds-from-data", *SMALL)
    said = call("cluster", table, *words)
    assert "run 4 of 4" not in said.out + said.err
    terminal = Console(file=io.StringIO(), force_terminal=True, width=120)
    monkeypatch.setattr("simulations.cli.cluster.diagnostics", terminal)
    assert "run 4 of 4" not in call("cluster", table, *words).out
    assert "run 4 of 4" in terminal.file.getvalue()  # type: ignore[attr-defined]


def test_the_same_seed_gives_the_same_centroids_for_any_partners_and_sizes(
    call: Any, table: Path
) -> None:
    found = [
        cluster(call, table, "--k", 3, "--seed", 1, "--bounds-from-data", *more)["centroids"]
        for more in ([], ["--partners", 7], ["--partners", 12, "--sizes", "uneven"])
    ]
    assert found[0] == found[1] == found[2]


def test_a_file_a_partner(call: Any, table: Path, tmp_path: Path) -> None:
    head, *lines = table.read_text(encoding="utf-8").splitlines()
    files = []
    for number, part in enumerate((lines[:1], lines[1:40], lines[40:])):
        files.append(tmp_path / f"partner-{number}.csv.gz")
        files[-1].write_bytes(gzip.compress("\n".join([head, *part]).encode()))
    joined = cluster(call, table, "--k", 2, "--bounds-from-data")
    for more in ([], ["--partners", 3]):
        data = cluster(call, *files, "--k", 2, "--bounds-from-data", *more)
        assert data["n_partners"] == 3
        assert data["centroids"] == joined["centroids"]
    said = call("cluster", *files, "--k", 2, "--partners", 4, "--bounds-from-data")
    assert said.status == 2
    assert "3 files" in said.err


def test_a_file_without_header(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "plain.csv"
    path.write_text("1\n2\n3\n11\n12\n13\n", encoding="utf-8")
    data = cluster(call, path, "--k", 2, "--bounds-from-data")
    assert data["columns"] == ["x1"]
    assert np.abs(np.sort(np.ravel(data["centroids"])) - [2, 12]).max() < 1e-4


def test_the_plan_and_the_most_rounds_can_be_chosen(call: Any, table: Path) -> None:
    data = cluster(
        call, table, "--k", 4, "--plan", "lloyd-exact", "--max-rounds", 1, "--bounds-from-data"
    )
    assert (data["plan"], data["rounds"], data["max_rounds"]) == ("lloyd-exact", 1, 1)
    assert data["converged"] is False


def test_people_get_a_table_that_says_what_protects_the_customers(call: Any, table: Path) -> None:
    said = call("cluster", table, *SMALL, "--k", 2, "--bounds-from-data")
    assert said.status == 0
    for word in ("exact totals: not anonymous", "age", "spend", "Inertia", "60 customers"):
        assert word in said.out
    several = call("cluster", table, *SMALL, "--k", 2, "--bounds-from-data", "--repeats", 2)
    assert "seed" in several.out
    assert "exact totals: not anonymous" in several.out


def test_without_bounds_both_ways_are_explained(call: Any, table: Path) -> None:
    said = call("cluster", table, *SMALL, "--k", 2, "--format", "json")
    assert said.status == 2
    assert said.envelope["status"] == "failed"
    for text in (said.data["remedy"], said.err):
        assert "--bounds FILE" in text
        assert "--bounds-from-data" in text
        assert "not private" in text


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (["--k", 2, "--partners", 2, "--bounds-from-data"], 3, "E-PARTNERS"),
        (["--k", 2, "--partners", 1, "--bounds-from-data"], 3, "E-PARTNERS"),
        (["--k", 2, "--bounds-from-data", "--bounds", "b.json"], 2, "E-USAGE"),
        (["--k", 2, "--bounds", "none.json"], 2, "E-BOUNDS"),
        (["--k", 0, "--bounds-from-data"], 2, "E-USAGE"),
        (["--k", 1001, "--bounds-from-data"], 2, "E-USAGE"),
        (["--k", "two", "--bounds-from-data"], 2, "E-USAGE"),
        (["--k", 2, "--partners", 51, "--bounds-from-data"], 2, "E-USAGE"),
        (["--k", 2, "--seed", -1, "--bounds-from-data"], 2, "E-USAGE"),
        (["--k", 2, "--repeats", 0, "--bounds-from-data"], 2, "E-USAGE"),
        (["--k", 3, "--k-min", 2, "--follow-ups", 1, "--bounds-from-data"], 2, "E-USAGE"),
        (["--k", 2, "--max-rounds", 0, "--bounds-from-data"], 2, "E-USAGE"),
        (["--k", 2, "--plan", "magic", "--bounds-from-data"], 2, "E-USAGE"),
        (["--k", 2, "--sizes", "odd", "--bounds-from-data"], 2, "E-USAGE"),
        (["--bounds-from-data"], 2, "E-USAGE"),
    ],
)
def test_wrong_calls_end_with_their_status_and_code(
    call: Any, table: Path, words: list[object], status: int, code: str
) -> None:
    said = call("cluster", table, "--format", "json", *words)
    assert said.status == status
    assert said.data["code"] == code
    assert said.envelope["status"] == ("refused" if status == 3 else "failed")
    assert code in said.err


@pytest.mark.parametrize("words", [["--partners", 2], ["--partners", 1], []])
def test_too_few_partners_are_refused_in_plain_words(
    call: Any, table: Path, words: list[object]
) -> None:
    files = [table] if words else [table, table]
    said = call("cluster", *files, "--k", 2, "--bounds-from-data", *words, "--format", "json")
    assert (said.status, said.data["code"]) == (3, "E-PARTNERS")
    assert "exact totals need at least 3" in said.err.replace("\n", " ")
    shown = " ".join(call("cluster", "--help").out.replace("│", " ").split())
    assert "at least 3: exact totals" in shown


def notices(call: Any, path: Path, *words: object) -> list[str]:
    words = (*words, *SMALL)
    said = call("cluster", path, *words, "--format", "json")
    assert said.status == 0, said.err
    found: list[str] = said.data["notices"]
    for notice in found:
        assert f"note: {notice}" in said.err
        assert f"note: {notice}" in call("cluster", path, *words).err
    return found


@pytest.mark.slow
def test_more_clusters_than_different_customers_and_empty_ones_are_noticed(
    call: Any, tmp_path: Path
) -> None:
    path = tmp_path / "alike.csv"
    path.write_text("a,b\n" + "1,2\n3,4\n" * 10, encoding="utf-8")
    bounds = tmp_path / "bounds.json"
    bounds.write_text('[{"min": 0, "max": 9}, {"min": 0, "max": 9}]', encoding="utf-8")
    few, *empty = notices(call, path, "--k", 4, "--bounds", bounds, "--repeats", 2, "--seed", 5)
    assert "4 clusters are asked for, but customers differ in 2 ways" in few
    assert empty == ["seeds 5, 6: 2 of 4 clusters are empty"]
    assert notices(call, path, "--k", 2, "--bounds", bounds) == []


def test_columns_with_many_values_beyond_their_bounds_are_noticed(
    call: Any, tmp_path: Path
) -> None:
    path = tmp_path / "wide.csv"
    lines = (f"{i},{i % 5},{i}" for i in range(100))
    path.write_text("far,inside,hardly\n" + "\n".join(lines) + "\n", encoding="utf-8")
    bounds = tmp_path / "bounds.json"
    bounds.write_text(
        '{"far": {"min": 10, "max": 79}, "inside": {"min": 0, "max": 9}, '
        '"hardly": {"min": 5, "max": 99}}',
        encoding="utf-8",
    )
    (clipped,) = notices(call, path, "--k", 2, "--bounds", bounds)
    assert "30.0 % of the values of 'far' lie beyond its bounds" in clipped


def test_columns_that_are_no_features_are_left_out(call: Any, tmp_path: Path, table: Path) -> None:
    head, *lines = table.read_text(encoding="utf-8").splitlines()
    path = tmp_path / "more.csv"
    rows = [f"c{i},2026-01-01,{line},," for i, line in enumerate(lines)]
    path.write_text("\n".join([f"id,since,{head},note,x", *rows]) + "\n", encoding="utf-8")
    words = ("--k", 2, "--bounds-from-data")
    left_out = ("--id-column", "id", "--drop", "since", "--drop", "note", "--drop", "x")
    data = cluster(call, path, *words, *left_out)
    assert data["columns"] == ["age", "spend"]
    assert data["centroids"] == cluster(call, table, *words)["centroids"]
    for missing, code in ((["--id-column", "id"], "E-SOURCE-TEXT"), ([], "E-SOURCE-TEXT")):
        said = call("cluster", path, *words, *missing, "--format", "json")
        assert (said.status, said.data["code"]) == (3, code)
        for hint in ("--id-column", "--drop", "features.sql", "fedseg-simulate generate"):
            assert hint in said.data["remedy"]
    said = call("cluster", path, *words, "--id-column", "idd", "--format", "json")
    assert (said.status, said.data["code"]) == (3, "E-SOURCE-COLUMNS")
    assert "did you mean 'id'?" in said.data["message"]
    said = call("cluster", table, *words, "--drop", "age", "--drop", "spend", "--format", "json")
    assert (said.status, said.data["code"]) == (3, "E-SOURCE-COLUMNS")


def test_an_unknown_option_is_named(call: Any, table: Path) -> None:
    said = call("cluster", table, *SMALL, "--k", 2, "--bounds-form-data")
    assert said.status == 2
    assert "--bounds-form-data" in said.err


def test_files_that_cannot_be_clustered_are_refused_by_name(call: Any, tmp_path: Path) -> None:
    (tmp_path / "text.csv").write_text("a,b\n1,x\n", encoding="utf-8")
    (tmp_path / "empty.csv").write_text("", encoding="utf-8")
    (tmp_path / "one.csv").write_text("a\n1\n", encoding="utf-8")
    (tmp_path / "other.csv").write_text("b\n1\n", encoding="utf-8")
    for names, code in (
        (["none.csv"], "E-SOURCE-FILE"),
        (["text.csv"], "E-SOURCE-TEXT"),
        (["empty.csv"], "E-SOURCE-EMPTY"),
        (["one.csv", "one.csv", "other.csv"], "E-SOURCE-COLUMNS"),
    ):
        files = [tmp_path / name for name in names]
        said = call("cluster", *files, "--k", 1, "--bounds-from-data", "--format", "json")
        assert said.status == 3
        assert said.data["code"] == code
        assert names[-1] in said.err.replace("\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_generate_writes_transactions_truth_and_the_feature_query(
    call: Any, tmp_path: Path, kind: str
) -> None:
    words = ("--partners", 3, "--customers", 60, "--seed", 2, "--kind", kind)
    said = call("generate", "--out", tmp_path / "a" / "b", *words, "--format", "json")
    assert said.status == 0
    assert len(said.data["partners"]) == 3
    assert sum(p["customers"] for p in said.data["partners"]) == 60
    again = call("generate", "--out", tmp_path / "again", *words, "--format", "json")
    pairs = zip(said.data["partners"], again.data["partners"], strict=True)
    for one, other in pairs:
        assert Path(one["transactions"]).suffix == f".{kind}"
        for name in ("transactions", "ground_truth", "consents", "objections", "feedback"):
            assert Path(one[name]).read_bytes() == Path(other[name]).read_bytes()
    assert "SELECT" in Path(said.data["feature_query"]).read_text(encoding="utf-8")
    options = ("--k", 2, "--bounds", said.data["bounds"], "--id-column", said.data["id_column"])
    found = cluster(call, *(p["features"] for p in said.data["partners"]), *options)
    assert found["columns"] == [feature.name for feature in FEATURES]
    assert found["n_partners"] == 3
    assert 50 < found["n_samples"] <= 60
    text = call("generate", "--out", tmp_path / "c", *words)
    assert "Northlight" in text.out
    assert "…" not in text.out
    assert "--consents" in text.out


def test_generate_refuses_fewer_customers_than_partners(call: Any, tmp_path: Path) -> None:
    said = call("generate", "--out", tmp_path, "--partners", 9, "--customers", 5)
    assert said.status == 2
    assert "5 customers for 9 partners" in said.err


def test_demo_passes_its_options_on_and_says_where_the_report_is(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []
    view = PartnerView(
        id="books",
        name="Books",
        customers=7,
        messages=9,
        bytes_sent=99,
        by_segment={"S1": "fewer than 50"},
    )

    def run_demo(out: Path, *, n_customers: int, seed: int, console: Any, stay: bool) -> DemoResult:
        asked.append((out, n_customers, seed, stay))
        console.print("working")
        return DemoResult(report=out / "report.html", seconds=1.5, rounds=3, partners=(view,))

    monkeypatch.setattr(demo_module, "run_demo", run_demo)
    said = call("demo", "--out", tmp_path, "--customers", 500, "--seed", 8, "--format", "json")
    assert said.status == 0
    assert said.data["report"] == str(tmp_path / "report.html")
    assert said.data["partners"][0]["by_segment"] == {"S1": "fewer than 50"}
    assert "working" in said.err
    said = call("demo")
    assert "report.html" in said.out
    call("demo", "--stay")
    assert asked == [
        (tmp_path, 500, 8, False), (Path("demo-out"), 3000, 0, False),
        (Path("demo-out"), 3000, 0, True),
    ]  # fmt: skip


def test_help_explains_the_commands(call: Any) -> None:
    said = call("--help")
    assert said.status == 0
    for word in ("cluster", "generate", "demo"):
        assert word in said.out
    for word in ("--bounds-from-data", "--repeats", "--partners", "--max-rounds"):
        assert word in call("cluster", "--help").out


@pytest.mark.slow
def test_the_command_keeps_stdout_to_the_envelope_in_a_process_of_its_own(table: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, "-c", "from simulations.cli import main; main()", "cluster", str(table),
            "--k", "2", "--bounds-from-data", "--format", "json", *map(str, SMALL),
        ],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["data"]["n_samples"] == 60
    assert "Traceback" not in done.stderr


# --- the rules of a new agreement ------------------------------------------------------------


def groups(path: Path, *sizes: int) -> Path:
    """A file of groups that lie far apart."""
    rng = np.random.default_rng(8)
    rows = [
        f"{20 * place + rng.normal():.3f},{20 * (place % 2) + rng.normal():.3f}"
        for place, size in enumerate(sizes)
        for _ in range(size)
    ]
    rng.shuffle(rows)
    path.write_text("\n".join(["a,b", *rows]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("epsilon", [None, "1"])
def test_what_no_option_says_is_as_in_a_new_agreement(
    call: Any, tmp_path: Path, epsilon: str | None
) -> None:
    path = groups(tmp_path / "groups.csv", 300, 300)
    words = () if epsilon is None else ("--epsilon", epsilon)
    said = call(
        "cluster", path, "--k", 2, "--bounds-from-data", *words, "--format", "json"
    ).data  # fmt: skip
    drafted = drafted_agreement(tmp_path / "agreement.yaml", epsilon, customers=600)
    assert said["min_segment_size"] == drafted.min_segment_size == 50
    assert said["min_customers_per_partner"] == drafted.min_customers_per_partner == 100
    assert said["max_rounds"] == drafted.plan.max_rounds
    assert said["plan"] == drafted.plan.name
    assert said["secure_sum"] == drafted.secure_sum.to_dict()
    if drafted.privacy is not None:
        for name, value in drafted.privacy.to_dict().items():
            assert float(said[name]) == float(value), name


def drafted_agreement(path: Path, epsilon: str | None, *, customers: int) -> Agreement:
    """What `agreement draft` writes, between three partners who have made their cards."""
    path.write_text(
        agreement_template(
            id="a", purpose="p", purpose_term=SEGMENTATION, notice_version='"1"',
            effective="2026-01-15T00:00:00Z", review_by="2026-07-15T00:00:00Z",
            expires="2027-01-15T00:00:00Z", legal_name="o", contact="o", public_key="ff" * 32,
            parties=[
                {
                    "id": f"shop-{i}", "legal_name": "s", "contact": "c", "dpo": "d",
                    "public_key": f"{i:02x}" * 32, "jurisdictions": "DE", "max_customers": 200,
                }
                for i in range(3)
            ],
            privacy=privacy_template(
                None if epsilon is None else Decimal(epsilon), customers=customers, n_partners=3
            ),
            software=SOFTWARE,
        ),
        encoding="utf-8",
    )  # fmt: skip
    return load_yaml(path)


def test_a_file_too_small_for_a_new_agreement_is_refused_with_the_way_out(
    call: Any, table: Path
) -> None:
    words = ("cluster", table, "--k", 2, "--bounds-from-data", "--format", "json")
    said = call(*words)
    assert (said.status, said.data["code"]) == (3, "E-TOO-FEW")
    assert (
        "partner-0: 20 customers are counted now, the agreement needs 100" in said.data["message"]
    )
    assert "--min-customers" in said.data["remedy"]
    assert call(*words, "--min-customers", 20).status == 0


def test_clusters_that_a_deployed_run_would_not_release_are_said_to_be(
    call: Any, tmp_path: Path
) -> None:
    path = groups(tmp_path / "groups.csv", 400, 300, 40)
    words = (path, "--k", 3, "--bounds-from-data")
    data = call("cluster", *words, "--format", "json").data
    assert [s["size"] for s in data["released"]] == [400, 300]
    assert data["withheld"]["clusters"] == 1
    assert data["notices"][-1] == f"seed 0: {data['withheld']['reason']}"
    shown = call("cluster", *words).out
    assert "40 (withheld)" in shown
    kept = call("cluster", *words, "--min-segment-size", 40, "--format", "json").data
    assert [s["size"] for s in kept["released"]] == [400, 300, 40]
    assert kept["withheld"] is kept["merged"] is None
    noised = call("cluster", *words, "--epsilon", 50, "--format", "json").data
    assert noised["merged"]["clusters"] == 1
    assert len(noised["released"]) == 2
    assert noised["sizes"].count(None) == 1
    assert noised["least_size"] == 50 + 3 * noised["size_sigma"]
    assert noised["notices"][-1] == f"seed 0: {noised['merged']['reason']}"


def test_a_size_that_comes_out_too_small_under_noise_is_said_to_be_withheld() -> None:
    found = SimpleNamespace(sizes=(90, 71, None, 70, 0), size_sigma=7, least_size=71, counts=(1,))
    assert [_size(found, place) for place in range(5)] == [  # type: ignore[arg-type]
        "90 ± 14", "71 ± 14", "merged", "70 ± 14 (withheld)", "0 ± 14 (withheld)",
    ]  # fmt: skip
    exact = SimpleNamespace(sizes=None, size_sigma=0, least_size=50, counts=(1_050, 49, 0))
    assert [_size(exact, place) for place in range(3)] == [  # type: ignore[arg-type]
        "1,050", "49 (withheld)", "0",
    ]  # fmt: skip


def test_under_noise_a_run_goes_on_without_partners_that_have_too_few_customers(
    call: Any, tmp_path: Path
) -> None:
    files = [groups(tmp_path / f"{n}.csv", n, n) for n in (200, 210, 220, 230, 10)]
    words = (*files, "--k", 2, "--bounds-from-data", "--epsilon", 20)
    data = call("cluster", *words, "--format", "json").data
    assert data["participants"] == ["partner-0", "partner-1", "partner-2", "partner-3"]
    assert "partner-4: 20 customers are counted now" in data["notices"][-1]
    assert sum(s["size"] for s in data["released"]) == pytest.approx(1_720, abs=60)


@pytest.mark.parametrize(
    ("words", "name", "agreed"),
    [
        (("--spare-rounds", 4), "spare_rounds", 4),
        (("--partners-per-customer", 2), "max_partners_per_customer", 2),
        (("--colluding", 2), "secure_sum", 2),
    ],
)
def test_each_rule_has_an_option(
    call: Any, tmp_path: Path, words: tuple[object, ...], name: str, agreed: int
) -> None:
    path = groups(tmp_path / "groups.csv", 500, 500)
    common = ("cluster", path, "--k", 2, "--bounds-from-data", "--epsilon", 4, "--partners", 4)
    data = call(*common, *words, "--format", "json").data
    found = data[name]
    assert (found["max_colluding"] if name == "secure_sum" else found) == agreed
    if name != "spare_rounds":  # each of these makes more noise
        assert data["size_sigma"] > call(*common, "--format", "json").data["size_sigma"]


# --- under differential privacy --------------------------------------------------------------


@pytest.mark.parametrize("plan", [None, "hybrid-dp", "lloyd-dp"])
def test_with_epsilon_a_run_says_what_it_cost(call: Any, table: Path, plan: str | None) -> None:
    more = () if plan is None else ("--plan", plan)
    data = cluster(
        call, table, "--k", 2, "--partners", 2, "--bounds-from-data", "--epsilon", 2,
        "--delta", 0.0001, *more,
    )  # fmt: skip
    assert data["plan"] == (plan or "hybrid-dp")
    assert data["privacy"] == "differentially private aggregate"
    assert data["noise"] == "discrete Gaussian shares of all participants"
    assert (data["epsilon"], data["delta"]) == (2.0, 0.0001)
    assert 1.9 < data["epsilon_spent"] <= 2.0
    assert data["choice"] is None
    assert len(data["sizes"]) == 2
    assert data["sizes"] == [None, None], "60 customers are too few to tell"
    assert any("too small to tell" in notice for notice in data["notices"])
    has_fields(data, RESULT_FIELDS)
    assert not any("delta" in notice for notice in data["notices"])


def test_with_a_profile_it_is_said_where_customers_typically_lie(call: Any, table: Path) -> None:
    words = (table, "--k", 2, "--bounds-from-data", "--epsilon", 100, "--profile")
    data = cluster(call, *words)
    assert data["max_rounds"] == 12
    assert len(data["typical_ranges"]) == len(data["counts"])
    for centre, ranges in zip(data["centroids"], data["typical_ranges"], strict=True):
        assert len(ranges) == len(centre)
        assert all(r is None or r[0] <= c <= r[1] for r, c in zip(ranges, centre, strict=True))
    assert any(r for ranges in data["typical_ranges"] for r in ranges)
    assert "one standard deviation to either side" in call("cluster", *words, *SMALL).out
    without = cluster(call, *words[:-1])
    assert "typical_ranges" not in without


def test_the_same_seed_gives_the_same_noise(call: Any, table: Path) -> None:
    words = (table, "--k", 2, "--bounds-from-data", "--epsilon", 1, "--repeats", 2)
    first, again = cluster(call, *words)["runs"], cluster(call, *words)["runs"]
    for a, b in zip(first, again, strict=True):
        assert (a["centroids"], a["counts"]) == (b["centroids"], b["counts"])
    assert first[0]["counts"] != first[1]["counts"]


def test_delta_left_out_is_that_of_a_new_agreement_and_says_so(call: Any, table: Path) -> None:
    said = call("cluster", table, *SMALL, "--k", 2, "--bounds-from-data", "--epsilon", 1)
    assert said.status == 0
    assert "delta is 0.00001, as a new agreement" in " ".join(said.err.split())
    assert "epsilon 1 at delta 1e-05" in said.out
    assert "too small" in said.out


def test_sizes_come_with_what_the_noise_may_have_moved_them_by(call: Any, table: Path) -> None:
    words = (table, "--k", 2, "--bounds-from-data", "--epsilon", 50)
    data = cluster(call, *words)
    assert data["size_sigma"] > 0
    assert sum(data["sizes"]) == pytest.approx(60, abs=10 * data["size_sigma"])
    assert "±" in call("cluster", *words, *SMALL).out


def test_the_number_of_clusters_is_chosen_and_explained(call: Any, table: Path) -> None:
    words = ("--k", 5, "--k-min", 2, "--bounds-from-data", "--epsilon", 50)
    data = cluster(call, table, *words)
    choice = data["choice"]
    assert [gap["n_clusters"] for gap in choice["gaps"]] == [*range(2, 2 + len(choice["gaps"]))]
    assert choice["used"] == (choice["seen"] if choice["told"] and choice["seen"] > 1 else 5)
    assert len(data["counts"]) == choice["used"]
    said = " ".join(call("cluster", table, *words, *SMALL).out.split())
    assert choice["words"] in said


@pytest.mark.parametrize(
    "words",
    [
        ("--plan", "hybrid-dp"),
        ("--delta", "0.001"),
        ("--epsilon", "0"),
        ("--epsilon", "-1"),
        ("--epsilon", "nan"),
        ("--epsilon", "1000"),
        ("--epsilon", "1", "--delta", "0"),
        ("--epsilon", "1", "--delta", "2"),
        ("--epsilon", "1", "--delta", "nan"),
        ("--epsilon", "1", "--plan", "lloyd-exact"),
        ("--k-min", "4"),
        ("--profile",),
        ("--spare-rounds", "1"),
        ("--partners-per-customer", "2"),
        ("--epsilon", "1", "--k-min", "4"),
        ("--epsilon", "1", "--plan", "lloyd-dp", "--k-min", "2"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(
    call: Any, table: Path, words: tuple[str, ...]
) -> None:
    said = call("cluster", table, *SMALL, "--k", 3, "--bounds-from-data", *words)
    assert said.status == 2, said.err
    assert said.out == ""
    assert "Way out" in said.err
