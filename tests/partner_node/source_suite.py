"""What every kind of source promises: one suite that each passes, and what makes its tables."""

from __future__ import annotations

import logging
import tempfile
import traceback
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import nan
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest

from partner_node.customers.source_customers import column_of
from partner_node.sources.source import Column, Source, numbers
from partner_node.sources.text_table import TextSource, texts_of
from protocol.agreement.features import Feature
from protocol.errors import SourceError
from protocol.feature_values import UNLISTED
from protocol.strict import Fields

Table = Mapping[str, Sequence[Any]]


def numbered(n_rows: int) -> Table:
    return {
        "id": [f"C{i:06d}" for i in range(n_rows)],
        "visits": [float(i % 97) for i in range(n_rows)],
        "spent": [i / 8 for i in range(n_rows)],
        "note": ["free text"] * n_rows,
    }


def terms(name: str, kind: str, **others: Any) -> Feature:
    values = {"name": name, "type": kind, "unit": "told", "weight": "1", "necessity": "a test"}
    return Feature.read(Fields(values | others, name))


def ordinal(name: str, *levels: str) -> Feature:
    return terms(name, "ordinal", levels=list(levels))


MEMBER = column_of(terms("member", "boolean"), "member")


def level(name: str, *levels: str, **options: bool) -> Column:
    return Column(name=name, levels=tuple((text,) for text in levels), **options)


def asked(columns: Sequence[str | Column]) -> list[Column]:
    return [c if isinstance(c, Column) else Column(name=c) for c in columns]


def rows(
    source: Source, columns: Sequence[str | Column], *, max_rows: int = 1_000
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for chunk in source.chunks(asked(columns), max_rows=max_rows):
        for customer, values in zip(chunk.ids, chunk.values.tolist(), strict=True):
            assert customer not in found
            found[customer] = values
    return found


def refusal(source: Source, columns: Sequence[str | Column]) -> SourceError:
    with pytest.raises(SourceError) as caught:
        list(source.chunks(asked(columns), max_rows=1_000))
    assert caught.value.remedy
    return caught.value


class SourceSuite(ABC):
    """What every source promises. Subclasses say how a table becomes a source."""

    #: How the last of four rows is counted.
    last_of_four = 4

    @abstractmethod
    def make(self, folder: Path, table: Table) -> Source:
        """A source of the kind under test that holds `table`."""

    def test_gives_every_customer_once_with_the_columns_in_the_order_asked_for(
        self, tmp_path: Path
    ) -> None:
        source = self.make(tmp_path, numbered(50))
        assert rows(source, ["spent", "visits"]) == {
            f"C{i:06d}": [i / 8, float(i % 97)] for i in range(50)
        }

    def test_columns_name_what_can_be_asked_for(self, tmp_path: Path) -> None:
        source = self.make(tmp_path, numbered(3))
        assert source.columns() == ("id", "visits", "spent", "note")

    def test_no_chunk_has_more_rows_than_allowed(self, tmp_path: Path) -> None:
        source = self.make(tmp_path, numbered(5_000))
        for max_rows in (1_999, 4_096, 10_000):
            sizes = [c.n_rows for c in source.chunks(numbers("visits"), max_rows=max_rows)]
            assert max(sizes) <= max_rows
            assert sum(sizes) == 5_000

    def test_chunks_of_one_row_are_possible(self, tmp_path: Path) -> None:
        source = self.make(tmp_path, numbered(3))
        assert [c.n_rows for c in source.chunks(numbers("visits"), max_rows=1)] == [1, 1, 1]

    def test_values_are_float64_in_c_order_and_ids_are_text(self, tmp_path: Path) -> None:
        for chunk in self.make(tmp_path, numbered(7)).chunks(
            numbers("visits", "spent"), max_rows=100
        ):
            assert chunk.values.dtype == np.float64
            assert chunk.values.shape == (chunk.n_rows, 2)
            assert chunk.values.flags.c_contiguous
            assert chunk.ids.dtype == object
            assert all(type(customer) is str for customer in chunk.ids)

    def test_two_passes_give_the_same_rows_in_the_same_order(self, tmp_path: Path) -> None:
        source = self.make(tmp_path, numbered(20_000))
        first, second = (
            list(source.chunks(numbers("visits", "spent"), max_rows=3_000)) for _ in range(2)
        )
        assert [c.n_rows for c in first] == [c.n_rows for c in second]
        for a, b in zip(first, second, strict=True):
            assert a.ids.tolist() == b.ids.tolist()
            assert a.values.tobytes() == b.values.tobytes()

    def test_no_feature_columns_gives_the_ids_alone(self, tmp_path: Path) -> None:
        found = rows(self.make(tmp_path, numbered(4)), [])
        assert found == {f"C{i:06d}": [] for i in range(4)}

    def test_extreme_and_negative_numbers_come_out_unchanged(self, tmp_path: Path) -> None:
        numbers = [0.1, -0.0, 1e308, -1e308, 5e-324, 123456789.123456789]
        table: Table = {"id": list("abcdef"), "x": numbers}
        assert [v[0] for v in rows(self.make(tmp_path, table), ["x"]).values()] == numbers

    def test_ids_keep_zeros_blanks_and_letters_of_every_script(self, tmp_path: Path) -> None:
        ids = ["007", "7", " 7", "Ünï", "客", "a,b", 'q"q', "x\ny"]
        table: Table = {"id": ids, "x": [1.0] * len(ids)}
        assert set(rows(self.make(tmp_path, table), ["x"])) == set(ids)

    def test_a_misspelt_column_is_refused_with_the_nearest_name(self, tmp_path: Path) -> None:
        error = refusal(self.make(tmp_path, numbered(3)), ["vists"])
        assert error.code == "E-SOURCE-COLUMN"
        assert "'vists'" in error.message
        assert "did you mean 'visits'" in error.message
        assert error.remedy.endswith('[data.columns]: FEATURE = "visits"')

    def test_of_a_missing_column_unlike_all_others_they_are_listed_and_none_is_suggested(
        self, tmp_path: Path
    ) -> None:
        error = refusal(self.make(tmp_path, numbered(3)), ["qqqq"])
        assert error.code == "E-SOURCE-COLUMN"
        assert "did you mean" not in error.message
        assert error.remedy.startswith("there are: id, ")
        assert error.remedy.endswith("; name the one to read in [data.columns]")

    def test_the_id_column_cannot_be_a_feature(self, tmp_path: Path) -> None:
        error = refusal(self.make(tmp_path, numbered(3)), ["id"])
        assert error.code == "E-SOURCE-COLUMN"

    def test_a_missing_value_is_refused_with_count_and_first_row(self, tmp_path: Path) -> None:
        table: Table = {"id": list("abcd"), "x": [1.0, None, 2.0, None]}
        error = refusal(self.make(tmp_path, table), ["x"])
        assert error.code == "E-SOURCE-NULL"
        assert "'x'" in error.message
        assert "2 missing" in error.message
        assert "row 2" in error.message

    @pytest.mark.parametrize(
        ("bad", "word"), [("nan", "1 NaN"), ("inf", "1 infinite"), ("-inf", "1 infinite")]
    )
    def test_a_number_that_is_not_finite_is_refused(
        self, tmp_path: Path, bad: str, word: str
    ) -> None:
        table: Table = {"id": list("abc"), "x": [1.0, 2.0, float(bad)]}
        error = refusal(self.make(tmp_path, table), ["x"])
        assert error.code == "E-SOURCE-NULL"
        assert word in error.message
        assert "row 3" in error.message

    def test_a_bad_value_in_a_column_nobody_asked_for_does_not_matter(self, tmp_path: Path) -> None:
        table: Table = {"id": ["a", "b"], "x": [1.0, 2.0], "y": [None, 1.0]}
        assert len(rows(self.make(tmp_path, table), ["x"])) == 2

    def test_text_in_a_feature_column_is_refused(self, tmp_path: Path) -> None:
        error = refusal(self.make(tmp_path, numbered(3)), ["note"])
        assert error.code == "E-SOURCE-TYPE"
        assert "'note'" in error.message
        assert "free text" not in str(error)

    def test_levels_become_their_places(self, tmp_path: Path) -> None:
        table: Table = {"id": list("abcd"), "tier": ["gold", "bronze", "it's", "bronze"]}
        tier = level("tier", "bronze", "it's", "gold")
        found = rows(self.make(tmp_path, table), [tier])
        assert found == {"a": [2.0], "b": [0.0], "c": [1.0], "d": [0.0]}

    def test_levels_may_be_whole_numbers(self, tmp_path: Path) -> None:
        stars = column_of(ordinal("stars", "-1", "0", "3"), "stars")
        for name, column in (("whole", [3, -1]), ("double", [3.0, -1.0])):
            (tmp_path / name).mkdir()
            table: Table = {"id": list("ab"), "stars": column}
            assert rows(self.make(tmp_path / name, table), [stars]) == {"a": [2.0], "b": [0.0]}

    def test_nan_among_levels_is_missing_and_no_other_level(self, tmp_path: Path) -> None:
        table: Table = {"id": list("abcd"), "stars": [1.0, 2.0, 1.0, nan]}
        stars = column_of(terms("stars", "categorical", levels=["1", "2"], other="2"), "stars")
        source = self.make(tmp_path, table)
        error = refusal(source, [stars])
        assert error.code == "E-SOURCE-NULL"
        assert "1 missing" in error.message
        found = rows(source, [replace(stars, optional=True)])
        assert str(found["d"]) == "[nan]"

    @pytest.mark.parametrize(
        "answers",
        [[True, False, True], [1, 0, 1], ["yes", "No", "TRUE"], [1.0, 0.0, 1.0]],
        ids=["booleans", "integers", "words", "doubles"],
    )
    def test_yes_and_no_are_read_as_people_write_them(
        self, tmp_path: Path, answers: list[Any]
    ) -> None:
        table: Table = {"id": list("abc"), "member": answers}
        assert rows(self.make(tmp_path, table), [MEMBER]) == {"a": [1.0], "b": [0.0], "c": [1.0]}

    def test_a_value_that_is_no_level_is_refused_with_count_and_first_row(
        self, tmp_path: Path
    ) -> None:
        table: Table = {"id": list("abcd"), "tier": ["gold", "gold", "gold", "canary"]}
        error = refusal(self.make(tmp_path, table), [level("tier", "bronze", "gold")])
        assert error.code == "E-SOURCE-LEVEL"
        assert "'tier'" in error.message
        assert "1 of no level" in error.message
        assert f"row {self.last_of_four}" in error.message
        assert "'bronze', 'gold'" in error.remedy
        assert "canary" not in str(error) + error.remedy

    def test_of_yes_and_no_the_way_out_names_the_words_that_are_understood(
        self, tmp_path: Path
    ) -> None:
        table: Table = {"id": list("abcd"), "member": ["yes", "no", "yes", "canary"]}
        error = refusal(self.make(tmp_path, table), [MEMBER])
        assert error.code == "E-SOURCE-LEVEL"
        assert "no is written false, f, no, n, 0 or 0.0, yes true, t, yes, y, 1" in error.remedy
        assert "(other)" not in error.remedy
        assert "canary" not in str(error) + error.remedy

    def test_capital_and_small_letters_make_another_level(self, tmp_path: Path) -> None:
        table: Table = {"id": list("ab"), "tier": ["gold", "bronze"]}
        error = refusal(self.make(tmp_path, table), [level("tier", "bronze", "GOLD")])
        assert error.code == "E-SOURCE-LEVEL"

    def test_a_value_that_is_no_level_is_told_apart_where_others_are_agreed(
        self, tmp_path: Path
    ) -> None:
        table: Table = {"id": list("abc"), "tier": ["gold", "canary", "bronze"]}
        tier = level("tier", "bronze", "gold", others=True)
        found = rows(self.make(tmp_path, table), [tier])
        assert found == {"a": [1.0], "b": [UNLISTED], "c": [0.0]}

    def test_what_is_held_of_one_customer_is_told_letter_by_letter(self, tmp_path: Path) -> None:
        table: Table = {
            "id": list("abcd"),
            "x": [1.5, 2.0, 3.0, 4.0],
            "tier": ["gold", "=canary, \u00fc\n", " Gold ", None],
        }
        source = cast(TextSource, self.make(tmp_path, table))
        for subject, tier in zip("abcd", table["tier"], strict=True):
            columns = ["tier", "x", "tier"]
            found = texts_of(source, subject, id_column="id", columns=columns)
            assert found is not None
            assert list(found) == ["tier", "x"]
            assert found["tier"] == tier
            assert float(found["x"] or "") == table["x"]["abcd".index(subject)]
        assert texts_of(source, "A", id_column="id", columns=["tier"]) is None

    def test_missing_values_come_as_nan_where_a_rule_is_agreed(self, tmp_path: Path) -> None:
        table: Table = {
            "id": list("abc"),
            "x": [1.0, None, 3.0],
            "tier": ["gold", "bronze", None],
            "member": [None, True, False],
        }
        wanted = [
            Column(name="x", optional=True),
            level("tier", "bronze", "gold", optional=True),
            replace(MEMBER, optional=True),
        ]
        found = rows(self.make(tmp_path, table), wanted)
        # As texts, because NaN is not equal to itself.
        told = {customer: str(values) for customer, values in found.items()}
        assert told == {"a": "[1.0, 1.0, nan]", "b": "[nan, 0.0, 1.0]", "c": "[3.0, nan, 0.0]"}

    def test_a_missing_level_is_refused_without_a_rule(self, tmp_path: Path) -> None:
        table: Table = {"id": list("abcd"), "tier": ["gold", "gold", "gold", None]}
        error = refusal(self.make(tmp_path, table), [level("tier", "bronze", "gold", others=True)])
        assert error.code == "E-SOURCE-NULL"
        assert "1 missing" in error.message
        assert f"row {self.last_of_four}" in error.message
        assert "agree" in error.remedy

    @pytest.mark.parametrize("bad", ["inf", "-inf"])
    def test_an_infinite_number_is_refused_even_where_missing_ones_are_not(
        self, tmp_path: Path, bad: str
    ) -> None:
        table: Table = {"id": list("abcd"), "x": [None, 2.0, 3.0, float(bad)]}
        error = refusal(self.make(tmp_path, table), [Column(name="x", optional=True)])
        assert error.code == "E-SOURCE-NULL"
        assert "1 infinite" in error.message
        assert "missing" not in error.message
        assert f"row {self.last_of_four}" in error.message

    def test_text_among_numbers_is_refused_even_where_missing_ones_are_not(
        self, tmp_path: Path
    ) -> None:
        error = refusal(self.make(tmp_path, numbered(3)), [Column(name="note", optional=True)])
        assert error.code == "E-SOURCE-TYPE"
        assert "free text" not in str(error)

    def test_a_duplicate_id_is_refused_with_count_and_rows(self, tmp_path: Path) -> None:
        table: Table = {"id": ["a", "b", "c", "b", "b"], "x": [1.0] * 5}
        error = refusal(self.make(tmp_path, table), ["x"])
        assert error.code == "E-DUPLICATE"
        assert "1 customer ids" in error.message
        assert "3 of 5 rows" in error.message
        assert "rows 2 and 4" in error.message

    def test_a_duplicate_far_away_is_found_before_the_first_chunk(self, tmp_path: Path) -> None:
        table = dict(numbered(20_000))
        table["id"] = [*table["id"][:-1], "C000000"]
        with pytest.raises(SourceError) as caught:
            self.make(tmp_path, table).chunks(numbers("visits"), max_rows=10)
        assert caught.value.code == "E-DUPLICATE"

    @pytest.mark.parametrize("bad", [None, ""])
    def test_a_missing_or_empty_id_is_refused(self, tmp_path: Path, bad: str | None) -> None:
        error = refusal(self.make(tmp_path, {"id": ["a", bad, "c"], "x": [1.0] * 3}), ["x"])
        assert error.code == "E-SOURCE-ID"
        assert "1 of 3 rows" in error.message
        assert "row 2" in error.message

    def test_an_id_with_a_nul_character_is_refused(self, tmp_path: Path) -> None:
        error = refusal(self.make(tmp_path, {"id": ["a", "b\0c"], "x": [1.0] * 2}), ["x"])
        assert error.code in ("E-SOURCE-ID", "E-SOURCE-ENCODING")

    def test_a_source_without_rows_is_refused(self, tmp_path: Path) -> None:
        error = refusal(self.make(tmp_path, {"id": [], "x": []}), ["x"])
        assert error.code == "E-SOURCE-EMPTY"

    def test_max_rows_below_one_is_a_defect_of_the_caller(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="max_rows"):
            self.make(tmp_path, numbered(3)).chunks(numbers("visits"), max_rows=0)

    def test_errors_and_logs_show_no_id_and_no_value(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        tables: list[Table] = [
            {"id": ["canary-id", "canary-id"], "x": [8675309.5, 1.0]},
            {"id": ["canary-id", "b"], "x": [8675309.5, None]},
            {"id": ["canary-id", "b"], "x": ["8675309.5x", "1"]},
            {"id": ["canary-id", None], "x": [8675309.5, 1.0]},
        ]
        for i, table in enumerate(tables):
            folder = tmp_path / str(i)
            folder.mkdir()
            error = refusal(self.make(folder, table), ["x"])
            shown = "".join(traceback.format_exception(error)) + error.diagnostics() + caplog.text
            assert "canary" not in shown
            assert "8675309" not in shown

    def test_nothing_is_left_in_the_temporary_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        temporary = tmp_path / "temporary"
        temporary.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(temporary))
        source = self.make(tmp_path, numbered(5_000))
        stream = source.chunks(numbers("visits"), max_rows=10)
        next(stream)
        del stream
        rows(source, ["visits"])
        refusal(source, ["vists"])
        assert list(temporary.iterdir()) == []


def write_csv(path: Path, table: Table, *, delimiter: str = ",") -> Path:
    def cell(value: Any) -> str:
        text = "" if value is None else repr(value) if isinstance(value, float) else str(value)
        quoted = any(c in text for c in (delimiter, '"', "\n")) or text != text.strip()
        return '"' + text.replace('"', '""') + '"' if quoted else text

    lines = [
        delimiter.join(table),
        *map(delimiter.join, zip(*[map(cell, v) for v in table.values()], strict=True)),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def parquet_table(table: Table) -> pa.Table:
    def kind(name: str, values: Sequence[Any]) -> pa.DataType:
        is_text = name in ("id", "note") or any(isinstance(v, str) for v in values)
        return pa.string() if is_text else pa.float64()

    return pa.table({name: pa.array(v, type=kind(name, v)) for name, v in table.items()})
