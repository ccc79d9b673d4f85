"""`data check` and `data preview`: what is wrong with the data, told at the node alone."""

from __future__ import annotations

import gc
import json
import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from partner_node.data_quality.quantiles import Quantiles
from partner_node.data_quality.statistics import Statistics, Summary
from partner_node.data_quality.words import _COLUMNS, BAR_WIDTH
from partner_node.home import NodeHome
from protocol.agreement.features import Feature
from protocol.agreement.governance import SEGMENTATION
from protocol.percents import percent_words
from tests.agreed_terms import agreed_feature
from tests.partner_node.nodes import draft, init_words
from tests.shell import Shell

pytestmark = pytest.mark.slow

N = 400


def terms(name: str, low: str = "0", high: str = "10", **changes: Any) -> dict[str, Any]:
    return agreed_feature(name, min=low, max=high, **changes)


def statistics(
    values: Any, *, low: str = "0", high: str = "10", chunk: int = 7, **changes: Any
) -> Summary:
    numbers = {"min": Decimal(low), "max": Decimal(high), "weight": Decimal(1)}
    found = Statistics(Feature(**terms("x", low, high, **changes) | numbers))
    array = np.asarray(values, dtype=np.float64)
    for start in range(0, len(array), chunk):
        found.add(array[start : start + chunk])
    return found.summary()


# --- statistics ------------------------------------------------------------------------------


def test_a_summary_by_hand() -> None:
    found = statistics([-1, 0, 0, 2.5, 10, 11, 12], chunk=2)
    assert (found.customers, found.lowest, found.highest) == (7, -1, 12)
    assert found.mean == pytest.approx(34.5 / 7)
    assert (found.below, found.above) == (1, 2)
    assert found.clipped_share == pytest.approx(3 / 7)
    assert (found.commonest, found.commonest_count) == (0, 2)
    assert found.counts == (2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1)  # the bounds lie within
    assert sum(found.counts) + found.below + found.above == found.customers


def test_values_near_the_largest_double_overflow_nothing() -> None:
    with np.errstate(all="raise", under="ignore"):
        found = statistics([1.7e308] * 9 + [-1.7e308] * 9 + [1e-320, 0.0])
    assert (found.lowest, found.highest) == (-1.7e308, 1.7e308)
    assert abs(found.mean) < 1e294
    json.dumps(found.to_dict(), allow_nan=False)


def test_no_values_give_a_summary_that_json_can_hold() -> None:
    found = statistics([])
    assert (found.customers, found.clipped_share, found.lowest, found.commonest_count) == (
        0,
        0,
        0,
        0,
    )
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize("seed", range(3))
def test_quantiles_are_within_one_percent_of_the_sorted_values(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.lognormal(3, 2, 5_000) * generator.choice([-1, 1, 1], 5_000)
    values[:100] = 0
    found = Quantiles()
    for part in np.array_split(values, 7):
        found.add(part)
    for share in (0.0, 0.05, 0.3, 0.5, 0.75, 0.95, 1.0):
        exact = np.sort(values)[int(share * (len(values) - 1))]
        assert found.at(share) == pytest.approx(exact, rel=0.0101), share


def test_the_commonest_of_many_values_is_found_in_bounded_memory() -> None:
    generator = np.random.default_rng(1)
    values = np.where(generator.random(30_000) < 0.2, 3.0, generator.random(30_000))
    found = statistics(values, chunk=2_000)
    assert found.commonest == 3
    exact = int((values == 3).sum())
    assert exact - len(values) / 1_000 <= found.commonest_count <= exact


def test_bins_follow_the_features_own_scale() -> None:
    found = statistics([0, 9, 99, 999], high="999", transform="log1p")
    assert found.edges[4] == pytest.approx(9)
    assert found.edges[8] == pytest.approx(99)
    assert (found.edges[0], found.edges[-1]) == (0, 999)


# --- a node ----------------------------------------------------------------------------------


class Lab:
    """A node whose data and agreement can be anything."""

    def __init__(self, shell: Shell, folder: Path) -> None:
        self.shell = shell
        self.folder = folder
        self.node = folder / "node"
        self.ids = [f"SECRET-{i:04d}" for i in range(N)]
        generator = np.random.default_rng(5)
        self.columns: dict[str, list[Any]] = {
            "customer_id": self.ids,
            "visits": generator.poisson(4, N).tolist(),
            "spend": np.round(generator.gamma(2, 40, N), 2).tolist(),
        }
        self.features = [terms("visits"), terms("spend", "0", "1000", transform="log1p")]
        self.consents = self.ids
        shell.json(*init_words(self.node, max_customers="1000"))

    def write(self) -> None:
        """Data, consents and a signed agreement."""
        rows = zip(*self.columns.values(), strict=True)
        lines = [",".join(self.columns), *(",".join(map(str, row)) for row in rows)]
        (self.folder / "customers.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        header = "customer_id,event,time,purpose,notice"
        grants = [f"{i},ConsentGiven,2026-01-01T00:00:00Z,{SEGMENTATION},1" for i in self.consents]
        (self.folder / "consents.csv").write_text("\n".join([header, *grants]) + "\n")

    def install(self, **changes: Any) -> None:
        self.write()
        config = self.node / "node.toml"
        units = "".join(f"{f['name']} = {json.dumps(f['unit'])}\n" for f in self.features)
        before, _, after = config.read_text().partition('"visits" = "units"\n')
        config.write_text(before + units + after)
        first = draft(self.node, features=self.features).agreement.to_dict()
        changes["parties"] = [party | {"max_customers": 1_000} for party in first["parties"]]
        agreement = draft(self.node, features=self.features, **changes)
        (self.folder / "draft.json").write_bytes(agreement.to_bytes())
        self.shell.json("agreement", "sign", "draft.json", "--out", "signed.json",
                        "--dir", self.node)  # fmt: skip
        self.shell.json("agreement", "install", "signed.json", "--dir", self.node)

    def check(self, *words: object, status: int = 0) -> dict[str, Any]:
        """The report, which people and programs get alike."""
        text = self.shell("data", "check", "--dir", self.node, *words)
        assert text.code == status, text.err
        assert ("PASSED" in text.out) is (status == 0)
        done = self.shell("data", "check", "--dir", self.node, *words, "--format", "json",
                          *(["--overwrite"] if "--out" in words else []))  # fmt: skip
        assert done.code == status
        assert done.envelope["status"] == ("ok" if status == 0 else "refused")
        found: dict[str, Any] = done.envelope["data"]
        for problem in found["problems"]:
            assert problem["remedy"]
            assert problem["code"] in text.err
        assert found["passed"] is (status == 0)
        everything = text.out + text.err + done.out + done.err
        assert not any(customer in everything for customer in self.ids)
        return found

    def problem(self, *words: object) -> dict[str, str]:
        """The only problem."""
        (found,) = self.check(*words, status=3)["problems"]
        return found  # type: ignore[no-any-return]


@pytest.fixture
def lab(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Lab:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "ca.pem").write_text("no certificate")
    (tmp_path / "customers.csv").write_text("customer_id,visits\na,1\n")
    (tmp_path / "consents.csv").write_text("customer_id,event,time,purpose,notice\n")
    return Lab(Shell(capsys, monkeypatch), tmp_path)


def test_sound_data_pass_and_every_feature_is_described(lab: Lab) -> None:
    lab.columns["visits"][:30] = [11] * 30
    lab.install()
    found = lab.check()
    assert (found["customers"], found["eligible"], found["age_days"]) == (N, N, 0)
    visits, spend = found["features"]
    exact = np.array(lab.columns["visits"], dtype=float)
    assert visits["values"]["mean"] == pytest.approx(exact.mean())
    assert visits["values"]["share_above"] == pytest.approx((exact > 10).mean())
    assert visits["values"]["share_below"] == 0
    assert visits["values"]["quantiles"]["0.5"] == pytest.approx(np.median(exact), rel=0.011)
    assert (spend["min"], spend["max"], spend["column"]) == (0, 1000, "spend")
    assert any("visits: 7" in note and "clipped" in note for note in found["notes"])


@pytest.mark.slow
def test_the_tables_fit_80_columns_and_no_header_breaks_in_a_word(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "spending_of_the_last_twelve_months_in_every_shop"
    lab.columns[name] = lab.columns.pop("spend")
    lab.features = [terms("visits"), terms(name, "0", "1000", transform="log1p")]
    lab.install()
    monkeypatch.setenv("COLUMNS", "80")
    for words in (("check",), ("preview", "--rows", 2)):
        lines = lab.shell("data", *words, "--dir", lab.node).out.splitlines()
        assert max(map(len, lines)) <= 80
        assert "…" not in "".join(lines)
        heads = [cell.strip() for line in lines if "┃" in line for cell in line.split("┃")[1:-1]]
        shown = (
            ["feature: as agreed", *_COLUMNS] if words == ("check",) else ["row", "visits", name]
        )
        assert set(heads) == set(shown)
        assert heads.count("median") == (words == ("check",))


def test_nothing_of_a_check_leaves_or_is_kept_but_the_report(lab: Lab) -> None:
    lab.install()
    home = NodeHome.load(lab.node)
    gc.collect()  # closes the store that `install` left to the end of its process
    before = {p: p.read_bytes() for p in lab.node.rglob("*") if p.is_file()}
    for suffix in ("html", "json"):
        lab.check("--out", lab.folder / f"report.{suffix}")
    lab.shell("data", "preview", "--dir", lab.node, "--rows", "5")
    assert {p: p.read_bytes() for p in lab.node.rglob("*") if p.is_file()} == before
    store = home.store(home.keystore())
    assert store.egress() == []
    store.close()
    for suffix in ("html", "json"):
        report = lab.folder / f"report.{suffix}"
        assert stat.S_IMODE(report.stat().st_mode) == 0o600
        text = report.read_text(encoding="utf-8")
        assert not any(customer in text for customer in lab.ids)
        assert "SECRET" not in text
        assert "visits" in text


def test_a_report_replaces_nothing_unless_asked_to(lab: Lab) -> None:
    lab.install()
    report = lab.folder / "report.json"
    report.write_text("mine")
    words = ("data", "check", "--dir", lab.node, "--out", report)
    refused = lab.shell.refused(*words, status=2)
    assert "exists already" in refused["message"]
    assert "--overwrite" in refused["remedy"]
    assert report.read_text() == "mine"
    assert lab.shell(*words, "--overwrite").code == 0
    assert json.loads(report.read_text())["passed"]
    assert "ends with '.txt'" in lab.shell.refused(*words[:-1], "r.txt", status=2)["message"]
    assert "is a folder" in lab.shell.refused(
        "data", "check", "--dir", lab.node, "--out", _folder(lab.folder / "f.html"), status=2
    )["message"]  # fmt: skip


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_the_html_report_takes_nothing_from_the_agreement_for_markup(lab: Lab) -> None:
    lab.features[0]["unit"] = "units <script>alert(1)</script>"
    lab.install()
    lab.check("--out", "report.html")
    text = Path("report.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_every_broken_feature_is_told_not_the_first_alone(lab: Lab) -> None:
    lab.features += [terms("basket"), terms("returns"), terms("tenure")]
    lab.columns |= {"basket": [1.5] * N, "returns": [2] * N}
    lab.columns["basket"][3:5] = ["", ""]
    lab.columns["returns"][7] = "two"
    lab.columns["spend"][9] = "inf"
    lab.install()
    found = lab.check(status=3)
    by_feature = {f["feature"]: f["problem"] for f in found["features"]}
    assert by_feature["visits"] is None
    assert by_feature["basket"]["code"] == "E-SOURCE-NULL"
    assert "2 missing" in by_feature["basket"]["message"]
    assert "row 4" in by_feature["basket"]["message"]
    assert by_feature["spend"]["code"] == "E-SOURCE-NULL"
    assert "1 infinite" in by_feature["spend"]["message"]
    assert by_feature["returns"]["code"] == "E-SOURCE-TYPE"
    assert "row 8" in by_feature["returns"]["message"]
    assert by_feature["tenure"]["code"] == "E-SOURCE-COLUMN"
    assert len(found["problems"]) == 4
    assert found["features"][0]["values"]["customers"] == N


def test_a_customer_who_occurs_twice_is_told_with_both_rows(lab: Lab) -> None:
    lab.columns["customer_id"] = [*lab.ids[:-1], lab.ids[2]]
    lab.install()
    problem = lab.problem()
    assert problem["code"] == "E-DUPLICATE"
    assert f"rows 3 and {N}" in problem["message"]


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("health_score", "E-SPECIAL", "health"),
        ("customer_age", "E-CHILD", "age or date of birth"),
        ("email", "E-SPECIAL", "e-mail address"),
    ],
)
def test_a_forbidden_feature_is_refused_by_its_name_and_not_read(
    lab: Lab, name: str, code: str, words: str
) -> None:
    lab.features.append(terms(name))
    lab.columns[name] = ["not even a number"] * N
    lab.install()
    problem = lab.problem()
    assert problem["code"] == code
    assert repr(name) in problem["message"]
    assert words in problem["message"]


@pytest.mark.parametrize(
    ("column", "words"),
    [("diagnosis_code", "health"), ("postcode", "stands for something excluded")],
)
def test_a_harmless_name_does_not_hide_a_forbidden_column(
    lab: Lab, column: str, words: str
) -> None:
    lab.features.append(terms("score"))
    lab.columns[column] = [1] * N
    config = lab.node / "node.toml"
    config.write_text(
        config.read_text().replace("[data.columns]", f'[data.columns]\nscore = "{column}"')
    )
    lab.install()
    problem = lab.problem()
    assert problem["code"] == "E-SPECIAL"
    assert f"'score' (column {column!r})" in problem["message"]
    assert words in problem["message"]


def test_a_special_category_that_the_agreement_allows_is_noted(lab: Lab) -> None:
    lab.features.append(terms("church_visits"))
    lab.columns["church_visits"] = [i % 3 for i in range(N)]
    lab.install()  # excludes health alone
    (note,) = (note for note in lab.check()["notes"] if "church_visits" in note)
    assert "religious or philosophical beliefs" in note


def test_values_like_telephone_numbers_are_refused_whatever_the_column_is_called(lab: Lab) -> None:
    lab.features.append(terms("score", "0", "99999999999999"))
    lab.columns["score"] = [4_915_100_000_000 + 7_919 * ((i * 37) % N) for i in range(N)]
    lab.install()
    found = lab.check(status=3)
    (problem,) = found["problems"]
    assert found["features"][-1]["values"] is None
    assert problem["code"] == "E-SPECIAL"
    assert "telephone number" in problem["message"]


def test_columns_that_are_never_read_are_named_where_they_tell(lab: Lab) -> None:
    lab.columns |= {"email": ["x@y.example"] * N, "religion": ["none"] * N}
    lab.install()
    (note,) = (note for note in lab.check()["notes"] if note.startswith("never read"))
    assert "'email' (e-mail address)" in note
    assert "'religion' (religious or philosophical beliefs)" in note
    assert "customer_id" not in note


def test_a_feature_that_tells_nobody_apart_is_noted(lab: Lab) -> None:
    lab.columns["visits"] = [3] * N
    lab.columns["spend"] = [0.0] * (N - 4) + [1.0, 2.0, 3.0, 4.0]
    lab.install()
    notes = lab.check()["notes"]
    assert "visits: every customer has the same value, so it tells nobody apart" in notes
    assert "spend: 99.0 % of the customers have one and the same value" in notes


def test_too_few_who_may_be_counted_are_a_problem(lab: Lab) -> None:
    lab.consents = lab.ids[:10]
    lab.install(min_customers_per_partner=11)
    problem = lab.problem()
    assert problem["code"] == "E-TOO-FEW"
    assert "10 customers are counted now, the agreement needs 11" in problem["message"]


@pytest.mark.slow
def test_customers_left_out_for_a_missing_value_are_counted_nowhere(lab: Lab) -> None:
    lab.features[0]["missing"] = {"rule": "leave-out"}
    lab.features[1]["missing"] = {"rule": "replace", "value": "0"}
    lab.columns["visits"][:7] = [""] * 7  # five of these may be counted
    lab.columns["spend"][5:9] = [""] * 4
    lab.consents = lab.ids[2:100]
    lab.install(min_customers_per_partner=93)
    found = lab.check()
    home = NodeHome.load(lab.node)
    agreement = home.signed_agreement().agreement
    customers = home.customers(agreement, home.gate(agreement, home.party(agreement)))
    asked = sum(len(vectors) for vectors in customers.vectors())
    status = lab.shell.json("consent", "status", "--dir", lab.node)
    assert (found["eligible"], status["eligible"], asked) == (93, 93, 93)
    assert status["kept_out"] == {"unknown": N - 98, "missing-value": 5}
    assert status["customers"] == N
    text = lab.shell("consent", "status", "--dir", lab.node).out
    assert "left out as agreed: no value where the agreement needs one" in text
    for place, eligible, reason in ((4, False, "missing-value"), (7, True, None),
                                    (1, False, "unknown")):  # fmt: skip
        words = ("consent", "explain", "--subject", lab.ids[place], "--dir", lab.node)
        told = lab.shell.json(*words)
        assert (told["eligible"], told["reason"]) == (eligible, reason)
        said = " ".join(lab.shell(*words).out.split())
        assert ("it has no value where the agreement needs one" in said) == (place == 4)
    items = lab.shell("check", "--dir", lab.node).out
    assert f"93 of {N} customers are counted now" in items
    assert "5 are left out as agreed" in items


def test_too_few_are_counted_when_others_are_left_out_for_a_missing_value(lab: Lab) -> None:
    lab.features[0]["missing"] = {"rule": "leave-out"}
    lab.columns["visits"][0] = ""
    lab.install(min_customers_per_partner=N)
    problem = lab.problem()
    assert problem["code"] == "E-TOO-FEW"
    assert f"{N - 1} customers are counted now, the agreement needs {N}" in problem["message"]
    assert "E-TOO-FEW" in lab.shell("check", "--dir", lab.node).err


def test_as_many_customers_as_agreed_are_no_problem_when_the_others_are_left_out(lab: Lab) -> None:
    lab.features[0]["missing"] = {"rule": "leave-out"}
    lab.columns["visits"][10:] = [""] * (N - 10)
    lab.install()
    agreement = draft(lab.node, features=lab.features)  # 10 customers at each partner
    (lab.folder / "small.json").write_bytes(agreement.to_bytes())
    assert lab.check("--agreement", "small.json")["eligible"] == 10


@pytest.mark.slow
def test_who_is_left_out_is_not_known_when_a_feature_is_refused(lab: Lab) -> None:
    lab.features = [
        terms("visits", missing={"rule": "leave-out"}),
        terms("spend", "0", "1000", missing={"rule": "leave-out"}),
    ]
    lab.columns["spend"][3] = "much"
    lab.install()
    found = lab.check(status=3)
    assert found["eligible"] is None
    assert [p["code"] for p in found["problems"]] == ["E-SOURCE-TYPE"]
    lab.consents = []
    lab.write()
    codes = [p["code"] for p in lab.check(status=3)["problems"]]
    assert codes == ["E-SOURCE-TYPE", "E-NO-CONSENT"]


def test_nobody_who_may_be_counted_is_a_problem(lab: Lab) -> None:
    lab.consents = ["somebody else"]
    lab.install()
    assert lab.problem()["code"] == "E-NO-CONSENT"


def test_more_customers_than_agreed_are_a_problem(lab: Lab) -> None:
    lab.install()
    agreement = draft(lab.node, features=lab.features)  # 10 customers at each partner
    (lab.folder / "small.json").write_bytes(agreement.to_bytes())
    problem = lab.problem("--agreement", "small.json")
    assert problem["code"] == "E-ROW-CAP"
    assert (
        f"{N} customers are counted now, the agreement allows this partner 10" in problem["message"]
    )


def test_a_consent_source_that_is_gone_does_not_hide_the_features(lab: Lab) -> None:
    lab.install()
    (lab.folder / "consents.csv").unlink()
    found = lab.check(status=3)
    assert [p["code"] for p in found["problems"]] == ["E-CONSENT-SOURCE"]
    assert found["eligible"] is None
    assert found["features"][0]["values"]["customers"] == N


@pytest.mark.slow
def test_old_data_are_noted_and_refused_when_an_age_is_asked_for(lab: Lab) -> None:
    lab.install()
    at = (datetime.now(UTC) - timedelta(days=100, hours=1)).timestamp()
    os.utime(lab.folder / "customers.csv", (at, at))
    found = lab.check()
    assert found["age_days"] == 100
    assert found["data_of_told_by"] == "the last change of the file"
    assert any("100 days ago" in note for note in found["notes"])
    assert lab.check("--max-age-days", "100")["notes"] == []
    problem = lab.problem("--max-age-days", "99")
    assert problem["code"] == "E-DATA-STALE"
    assert "100 days ago" in problem["message"]


def test_transactions_are_as_old_as_their_observation_date(lab: Lab) -> None:
    lab.features = [terms("orders")]
    lab.install()
    days = [f"2026-01-{1 + i % 28:02d}" for i in range(N)]
    lines = [f"{c},{d},{i},5" for i, (c, d) in enumerate(zip(lab.ids, days, strict=True))]
    (lab.folder / "customers.csv").write_text("\n".join(["who,day,invoice,amount", *lines]) + "\n")
    config = lab.node / "node.toml"
    text = config.read_text().replace('id_column = "customer_id"', "")
    before, rest = text.split("[keys]")
    config.write_text(
        before
        + '[data.transactions]\ncustomer = "who"\ndate = "day"\norder = "invoice"\n'
        + 'amount = "amount"\nobservation_date = "2026-02-01"\n[keys]'
        + rest
    )
    found = lab.check()
    assert found["data_of"] == "2026-02-01"
    assert found["data_of_told_by"] == "observation_date of [data.transactions]"


def test_without_an_agreement_the_way_out_names_the_option(lab: Lab) -> None:
    lab.write()
    refused = lab.shell.refused("data", "check", "--dir", lab.node, status=3)
    assert refused["code"] == "E-AGR-MISSING"
    assert "--agreement" in refused["remedy"]


def test_a_database_is_checked_like_a_file(lab: Lab) -> None:
    lab.install()
    with closing(sqlite3.connect(lab.folder / "crm.db")) as database, database:
        database.execute("CREATE TABLE customers (customer_id TEXT, visits INTEGER, spend REAL)")
        database.executemany(
            "INSERT INTO customers VALUES (?, ?, ?)", zip(*lab.columns.values(), strict=True)
        )
    config = lab.node / "node.toml"
    from_file = lab.check()
    text = config.read_text()
    path = str(lab.folder / "customers.csv")
    config.write_text(
        text.replace('kind = "csv"', 'kind = "sqlite"\ntable = "customers"', 1).replace(
            path, str(lab.folder / "crm.db")
        )
    )
    found = lab.check()
    assert found["features"] == from_file["features"]
    assert found["kind"] == "sqlite"


# --- preview ---------------------------------------------------------------------------------


def test_the_preview_marks_bounds_and_what_will_be_clipped(lab: Lab) -> None:
    lab.columns["visits"] = [0] * 100 + [5] * 200 + [12] * 100
    lab.install()
    done = lab.shell("data", "preview", "--dir", lab.node)
    assert done.code == 0
    visits = done.out.split("spend in units")[0]
    lines = visits.splitlines()
    assert lines[0] == "visits in units"
    (above,) = (line for line in lines if "above 10" in line)
    assert "25.0 %  clipped to 10" in above
    assert above.count("█") == BAR_WIDTH // 2
    assert sum("agreed bound" in line for line in lines) == 2
    assert sum("50.0 %" in line and "█" * BAR_WIDTH in line for line in lines) == 1
    assert "logarithmic" in done.out
    assert not any(customer in done.out for customer in lab.ids)


def test_rows_are_shown_on_request_alone_scaled_and_without_ids(lab: Lab) -> None:
    lab.consents = lab.ids[5:]
    lab.install()
    words = ("data", "preview", "--dir", lab.node)
    assert lab.shell.json(*words)["rows"] == []
    rows = lab.shell.json(*words, "--rows", "3")["rows"]
    visits = np.clip(lab.columns["visits"][5:8], 0, 10) / 5 - 1
    assert [row["visits"] for row in rows] == pytest.approx(visits.round(2).tolist())
    assert all(set(row) == {"visits", "spend"} for row in rows)
    done = lab.shell(*words, "--rows", "3")
    assert "no ids" in done.out
    assert not any(customer in done.out for customer in lab.ids)
    assert lab.shell(*words, "--rows", "51").code == 2


def test_a_forbidden_column_has_no_histogram(lab: Lab) -> None:
    lab.features.append(terms("health_score"))
    lab.columns["health_score"] = [7] * N
    lab.install()
    done = lab.shell("data", "preview", "--dir", lab.node, "--rows", "2")
    assert done.code == 3
    assert "health_score in units\n  E-SPECIAL" in done.out
    assert "no ids" not in done.out
    assert "E-SPECIAL" in done.err


@pytest.mark.parametrize("words", [("check",), ("preview",)])
def test_no_more_than_a_chunk_of_rows_is_held(lab: Lab, words: tuple[str, ...],
                                            monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    lab.install()
    config = lab.node / "node.toml"
    config.write_text(config.read_text().replace("[data]", "[data]\nchunk_rows = 50", 1))
    sizes: list[int] = []
    add: Callable[[Statistics, Any], None] = Statistics.add
    monkeypatch.setattr(Statistics, "add", lambda s, v: (sizes.append(len(v)), add(s, v))[1])
    assert lab.shell("data", *words, "--dir", lab.node).code == 0
    assert sum(sizes) == 2 * N
    assert max(sizes) <= 50


# --- features with levels ----------------------------------------------------------------------


def leveled(name: str, kind: str, **fields: Any) -> dict[str, Any]:
    return agreed_feature(name, type=kind, unit="told", **fields)


@pytest.fixture
def levels(lab: Lab) -> Lab:
    """Beside numbers a membership, a tier and a channel, of which some are missing."""
    lab.columns["member"] = ["Yes", "no"] * (N // 2)
    lab.columns["tier"] = ["", *["gold", "bronze"] * (N // 2)][:N]
    lab.columns["channel"] = [*["fax"] * 7, *["web"] * (N - 7)]
    lab.columns["spend"][:3] = [""] * 3
    lab.features[1] |= {"missing": {"rule": "replace", "value": "0"}}
    lab.features += [
        leveled("member", "boolean"),
        leveled("tier", "ordinal", levels=["bronze", "silver", "gold"],
                missing={"rule": "leave-out"}),
        leveled("channel", "categorical", levels=["web", "shop"], other="shop"),
    ]  # fmt: skip
    return lab


def test_levels_are_counted_with_what_is_missing_and_what_is_no_level(levels: Lab) -> None:
    levels.install()
    found = levels.check()
    _, spend, member, tier, channel = (f["values"] for f in found["features"])
    assert (spend["missing"], spend["customers"]) == (3, N - 3)
    assert member["levels"] == {"no": N // 2, "yes": N // 2}
    assert (tier["missing"], tier["levels"]["silver"]) == (1, 0)
    assert sum(tier["levels"].values()) == N - 1
    assert channel["levels"] == {"web": N - 7, "shop": 0, "none of the agreed levels": 7}
    assert found["features"][3]["levels"] == ["bronze", "silver", "gold"]
    notes = " | ".join(found["notes"])
    assert (
        f"spend: 3 customers ({percent_words(3 / N)}) have no value; as agreed, each counts as 0"
        in notes
    )
    assert (
        f"tier: 1 customers ({percent_words(1 / N)}) have no value; as agreed, they are left out"
        in notes
    )
    assert "channel: 7 values are no agreed level; as agreed, they count as shop" in notes


def test_a_level_is_a_value_and_no_column_of_that_name(levels: Lab) -> None:
    levels.features[-1]["levels"] = ["web", "shop", "phone", "email"]
    levels.install()
    assert levels.check()["passed"]


def test_levels_are_drawn_in_the_terminal_and_in_the_report(levels: Lab) -> None:
    levels.install()
    shown = levels.shell("data", "preview", "--dir", levels.node, "--rows", "2").out
    assert "none of the agreed levels" in shown
    assert "counts as shop" in shown
    assert "silver │" in shown
    assert "channel: web" in shown
    assert "+0.71" in shown  # one of two levels, at weight 1
    levels.check("--out", levels.folder / "r.html")
    page = (levels.folder / "r.html").read_text()
    assert "<h2>tier: told</h2>" in page
    assert "Without a value: " in page
    assert "Commonest: web." in page


@pytest.mark.slow
def test_a_value_that_is_no_level_is_a_problem_where_nothing_is_agreed_on_it(levels: Lab) -> None:
    levels.columns["tier"][5] = "SECRET-tier"
    levels.install()
    problem = levels.problem()
    assert problem["code"] == "E-SOURCE-LEVEL"
    assert "row 6 of" in problem["message"]


@pytest.mark.parametrize(
    ("column", "value", "word"),
    [("channel", "church", "religious"), ("tier", "diabetes", "health")],
)
def test_a_level_that_tells_a_special_category_is_refused(
    levels: Lab, column: str, value: str, word: str
) -> None:
    feature = next(f for f in levels.features if f["name"] == column)
    feature["levels"] = [*feature["levels"], value]
    levels.install(
        excluded={
            "special": ["religious-or-philosophical-beliefs", "health"],
            "children_under": 16,
            "proxies": [],
        }
    )
    problem = levels.problem()
    assert problem["code"] == "E-SPECIAL"
    assert repr(value) in problem["message"]
    assert word in problem["message"]
