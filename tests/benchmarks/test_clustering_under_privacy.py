"""The comparison with peers is measured from a set to the files that the documents show."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from benchmarks import clustering_under_privacy as compared

SET, EPSILON = "iris", 1.0


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three groups under a name that the benchmark knows, and what its peer's authors measured."""
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(120, 2)) + np.repeat([[0.0, 0.0], [40.0, 0.0], [0.0, 40.0]], 40, axis=0)
    with gzip.open(tmp_path / f"{SET}.csv.gz", "wt", encoding="utf-8") as file:
        file.writelines(f"{a},{b}\n" for a, b in rows.tolist())
    (tmp_path / "reference.csv").write_text(
        f"dataset,method,epsilon,mean_nicv,se\n{SET},FastLloyd (authors),{EPSILON},0.5,0.1\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(compared, "DATA", tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_every_method_is_measured_and_written_down(sets: Path) -> None:
    out = sets / "out"
    asked = ["--seeds", "2", "--sets", SET, "--epsilons", f"{EPSILON:g}", "--out", str(out)]
    assert compared.main(asked) == 0
    with (out / "nicv.csv").open(encoding="utf-8", newline="") as file:
        lines = {row["method"]: row for row in csv.DictReader(file)}
    assert set(lines) == {
        compared.HYBRID, compared.LLOYD, compared.FAST_LLOYD, compared.DIFFPRIVLIB,
        compared.K_MEANS, compared.ONE_CLUSTER,
    }  # fmt: skip
    found = {method: float(row["mean_nicv"]) for method, row in lines.items()}
    assert found[compared.K_MEANS] < found[compared.HYBRID]
    assert found[compared.K_MEANS] < found[compared.ONE_CLUSTER]
    assert {int(lines[m]["seeds"]) for m in (compared.HYBRID, compared.LLOYD)} == {2}
    assert f"| {SET} | " in (out / "nicv.md").read_text(encoding="utf-8")
    assert (out / "nicv.svg").stat().st_size > 1_000
