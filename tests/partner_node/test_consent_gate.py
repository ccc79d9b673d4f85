"""The consent gate over tables in files: who passes, and what it does with broken tables."""

from __future__ import annotations

import gzip
import os
import string
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from partner_node.consent import tables as tables_module
from partner_node.consent.gate import ConsentGate
from partner_node.consent.settings import ConsentSource
from partner_node.consent.verdicts import Reason
from partner_node.customers.source_customers import SourceCustomers
from partner_node.home import NodeHome
from partner_node.register.requests import RightsRegister, Wish
from partner_node.sources.duckdb.sandbox import Sandbox
from partner_node.sources.files import find_files
from partner_node.sources.source import Chunk, Description
from partner_node.store.node_store import NodeStore
from protocol.agreement.document import Agreement
from protocol.agreement.features import Feature
from protocol.agreement.governance import CONSENT, LEGITIMATE_INTEREST, SEGMENTATION
from protocol.errors import FedsegError, RuleError, SourceError
from protocol.strict import Fields
from simulations.federation import EphemeralSealer
from tests.partner_node import consents as c
from tests.partner_node.test_node_config import CONSENTS, load, with_sources
from tests.protocol import counterparties

NOW = c.NOW
SECRET = "cust-4711-secret"


def refusal(action: Callable[[], object]) -> FedsegError:
    with pytest.raises(FedsegError) as caught:
        action()
    return caught.value


# --- bases and several tables --------------------------------------------------------------------


def test_on_consent_only_customers_with_a_consent_pass(tmp_path: Path) -> None:
    table = c.write_csv(
        tmp_path / "crm.csv",
        [c.given("a"), c.given("b"), c.withdrawn("b"), c.given("d", notice="9")],
    )
    gate = c.gate_of(c.consents(table))
    assert c.allowed(gate, "a", "b", "d", "missing") == ["a"]
    assert c.reasons(gate, "a", "b", "d", "missing") == [
        None, Reason.WITHDRAWN, Reason.OTHER_NOTICE, Reason.UNKNOWN,
    ]  # fmt: skip


def test_several_consent_tables_permit_what_each_of_them_permits(tmp_path: Path) -> None:
    shop = c.write_csv(tmp_path / "shop.csv", [c.given("a"), c.given("b"), c.given("d")])
    app = c.write_csv(tmp_path / "app.csv", [c.given("a"), c.given("b"), c.withdrawn("b")])
    gate = c.gate_of(c.consents(shop), c.consents(app, name="app"))
    assert c.allowed(gate, "a", "b", "d", "e") == ["a"]
    assert c.reasons(gate, "b", "d", "e") == [Reason.WITHDRAWN, Reason.UNKNOWN, Reason.UNKNOWN]


def test_an_objection_wins_over_every_consent(tmp_path: Path) -> None:
    table = c.write_csv(tmp_path / "crm.csv", [c.given("a"), c.given("b", c.LATER), c.given("d")])
    one = c.write_csv(tmp_path / "one.csv", [{"subject": "b"}], header=["subject"])
    two = c.write_csv(tmp_path / "two.csv", [{"subject": "d"}], header=["subject"])
    gate = c.gate_of(
        c.objections(one, name="one"), c.consents(table), c.objections(two, name="two")
    )
    assert c.allowed(gate, "a", "b", "d", "x") == ["a"]
    assert c.reasons(gate, "b", "d") == [Reason.OBJECTION, Reason.OBJECTION]


def test_on_legitimate_interest_the_unknown_pass_and_whoever_objects_does_not(
    tmp_path: Path,
) -> None:
    listed = c.write_csv(tmp_path / "robinson.csv", [{"subject": "b"}], header=["subject"])
    gate = c.gate_of(c.objections(listed), basis=LEGITIMATE_INTEREST)
    assert c.allowed(gate, "a", "b", "unknown") == ["a", "unknown"]
    assert c.reasons(gate, "b") == [Reason.OBJECTION]


def test_on_legitimate_interest_a_withdrawal_or_what_may_be_one_keeps_out(tmp_path: Path) -> None:
    listed = c.write_csv(tmp_path / "robinson.csv", [{"subject": "o"}], header=["subject"])
    table = c.write_csv(
        tmp_path / "crm.csv",
        [
            c.given("o"), c.given("given"), c.withdrawn("withdrawn"),
            c.given("refused", event="no"), c.given("notice", notice="9"),
            c.given("other", purpose="dpv:Marketing"),
            c.given("when", "soon"), c.given("future", "2027-01-01T00:00:00Z"),
        ],
    )  # fmt: skip
    gate = c.gate_of(c.consents(table), c.objections(listed), basis=LEGITIMATE_INTEREST)
    ids = ("o", "given", "withdrawn", "refused", "notice", "other", "when", "future", "unknown")
    assert c.allowed(gate, *ids) == ["given", "notice", "other", "unknown"]
    assert c.reasons(gate, "o", "withdrawn", "refused", "when", "future") == [
        Reason.OBJECTION, Reason.WITHDRAWN, Reason.WITHDRAWN, Reason.UNREADABLE_TIME,
        Reason.FUTURE_TIME,
    ]  # fmt: skip


def test_a_gate_without_the_table_that_its_basis_needs_lets_nobody_pass(tmp_path: Path) -> None:
    table = c.write_csv(tmp_path / "crm.csv", [c.given("a")])
    listed = c.write_csv(tmp_path / "robinson.csv", [{"subject": "b"}], header=["subject"])
    for gate, needed in (
        (c.gate_of(), "consents"),
        (c.gate_of(c.objections(listed)), "consents"),
        (c.gate_of(basis=LEGITIMATE_INTEREST), "objections"),
        (c.gate_of(c.consents(table), basis=LEGITIMATE_INTEREST), "objections"),
    ):
        for ask in (
            lambda gate=gate: gate.snapshot(NOW),
            lambda gate=gate: gate.explain("a", NOW),
            lambda gate=gate: gate.standing(iter([c.ids_of("a")]), NOW),
            gate.check_complete,
        ):
            error = refusal(ask)
            assert error.code == "E-BASIS"
            assert f'holds = "{needed}"' in error.remedy


def test_ids_match_letter_by_letter(tmp_path: Path) -> None:
    table = c.write_csv(
        tmp_path / "crm.csv", [c.given("007"), c.given(" b"), c.given("ß"), c.given("D")]
    )
    assert c.allowed(c.gate_of(c.consents(table)), "7", "007", "b", " b", "ss", "d") == [
        "007",
        " b",
    ]


def test_how_many_listed_ids_are_in_the_data_is_counted_for_each_table(tmp_path: Path) -> None:
    table = c.write_csv(tmp_path / "crm.csv", [c.given("a"), c.given("b"), c.withdrawn("b")])
    listed = c.write_csv(
        tmp_path / "robinson.csv",
        [{"subject": i} for i in ("b", "x", "x", "y")],
        header=["subject"],
    )
    gate = c.gate_of(c.consents(table), c.objections(listed))
    standing = gate.standing(iter([c.ids_of("a", "n"), c.ids_of("b")]), NOW)
    assert standing.listed == ((2, 2), (3, 1))
    assert standing.counted == {None: 1, Reason.UNKNOWN: 1, Reason.OBJECTION: 1}


def test_explaining_shows_every_table_s_rows_about_that_customer_alone(tmp_path: Path) -> None:
    table = c.write_csv(tmp_path / "crm.csv", [c.given("a"), c.given("b"), c.withdrawn("a")])
    listed = c.write_csv(
        tmp_path / "flags.csv", [{"subject": "a", "gpc": "0"}], header=["subject", "gpc"]
    )
    gate = c.gate_of(c.consents(table), c.objections(listed, flags=("gpc",)))
    reason, (crm, robinson) = gate.explain("a", NOW)
    assert reason is Reason.WITHDRAWN
    assert [row["event"] for row in crm.rows] == ["ConsentGiven", "ConsentWithdrawn"]
    assert [row["time"] for row in crm.rows] == [c.GIVEN, c.LATER]
    assert crm.reason is Reason.WITHDRAWN
    assert (robinson.rows, robinson.reason) == (({"subject": "a", "flags": ["0"]},), None)
    assert [len(entry.rows) for entry in gate.explain("nobody", NOW)[1]] == [0, 0]


# --- how tables are written ----------------------------------------------------------------------


def test_one_table_says_the_same_in_csv_parquet_and_json_lines(tmp_path: Path) -> None:
    rows = [
        c.given("a"), c.given("b"), c.withdrawn("b"), c.given("d", until="2026-02-01T00:00:00Z"),
        c.given("e", until="2027-02-01T00:00:00Z"),
    ]  # fmt: skip
    header = [*c.HEADER, "until"]
    columns = {name: [row.get(name) for row in rows] for name in header}
    written = {
        "csv": c.write_csv(tmp_path / "t.csv", rows, header=header),
        "jsonl": c.write_jsonl(tmp_path / "t.jsonl", rows),
        "parquet": c.write_parquet(tmp_path / "t.parquet", **columns),
    }
    written["csv.gz"] = c.write_text(
        tmp_path / "t.csv.gz", gzip.compress(written["csv"].read_bytes())
    )
    for kind, path in written.items():
        gate = c.gate_of(c.consents(path, kind=kind.removesuffix(".gz")))
        assert c.allowed(gate, "a", "b", "d", "e") == ["a", "e"], kind
        assert c.reasons(gate, "d") == [Reason.EXPIRED]


def test_parquet_may_hold_integers_and_times_with_a_zone(tmp_path: Path) -> None:
    times = [datetime(2026, 1, day, 11, tzinfo=UTC) for day in (1, 2)]
    path = c.write_parquet(
        tmp_path / "t.parquet",
        subject=pa.array([7, 7], pa.int64()),
        event=["ConsentGiven", "ConsentWithdrawn"],
        time=pa.array(times, pa.timestamp("us", "Europe/Berlin")),
        purpose=[SEGMENTATION] * 2,
        notice=pa.array([1, 1], pa.int32()),
    )
    gate = c.gate_of(c.consents(path, kind="parquet"))
    assert c.reasons(gate, "7", "7.0") == [Reason.WITHDRAWN, Reason.UNKNOWN]
    listed = c.write_parquet(
        tmp_path / "o.parquet", subject=pa.array([7, 8], pa.uint16()), gpc=[True, False]
    )
    gate = c.gate_of(
        c.objections(listed, kind="parquet", flags=("gpc",)), basis=LEGITIMATE_INTEREST
    )
    assert c.allowed(gate, "7", "8", "9") == ["8", "9"]


def test_lines_of_json_may_leave_fields_out(tmp_path: Path) -> None:
    path = c.write_jsonl(
        tmp_path / "log.jsonl",
        [
            c.given("a"),
            {"subject": "b", "event": "ConsentGiven", "time": c.GIVEN, "notice": "1"},
            c.given("d"),
            {"subject": "d", "event": "ConsentWithdrawn", "time": c.LATER},
            c.given("e") | {"until": None, "more": {"nested": [1, 2]}},
            {"subject": "f"},
            {"subject": 7, "event": "ConsentGiven", "time": c.GIVEN, "purpose": SEGMENTATION,
             "notice": 1},
        ],
    )  # fmt: skip
    gate = c.gate_of(c.consents(path, kind="jsonl"))
    assert c.allowed(gate, "a", "b", "d", "e", "f", "7") == ["a", "e", "7"]
    assert c.reasons(gate, "b", "d", "f") == [
        Reason.OTHER_PURPOSE, Reason.WITHDRAWN, Reason.UNREADABLE_TIME,
    ]  # fmt: skip


def test_a_list_of_objections_may_be_empty(tmp_path: Path) -> None:
    table = c.write_csv(tmp_path / "crm.csv", [c.given("a")])
    for text in ("subject\n", "subject", "subject\n\n\n"):
        listed = c.write_text(tmp_path / "robinson.csv", text)
        assert c.allowed(c.gate_of(c.consents(table), c.objections(listed)), "a", "b") == ["a"]
    listed = c.write_jsonl(tmp_path / "robinson.jsonl", [])
    gate = c.gate_of(c.consents(table), c.objections(listed, kind="jsonl", flags=("gpc",)))
    assert c.allowed(gate, "a") == ["a"]


def test_a_blank_line_in_a_list_of_ids_is_no_row(tmp_path: Path) -> None:
    listed = c.write_text(tmp_path / "robinson.csv", "subject\na\n\nb\n\n")
    gate = c.gate_of(c.objections(listed), basis=LEGITIMATE_INTEREST)
    assert c.allowed(gate, "a", "b", "d", "") == ["d", ""]


def test_a_table_may_be_in_several_files(tmp_path: Path) -> None:
    c.write_csv(tmp_path / "crm-1.csv", [c.given("a"), c.given("b")])
    c.write_csv(tmp_path / "crm-2.csv", [c.withdrawn("b"), c.given("d")])
    (tmp_path / "crm-3.csv").symlink_to(c.write_csv(tmp_path / "elsewhere", [c.withdrawn("d")]))
    gate = c.gate_of(c.consents(tmp_path / "crm-*.csv"))
    assert c.allowed(gate, "a", "b", "d") == ["a"]
    c.write_csv(tmp_path / "crm-4.csv", [c.withdrawn("a")])
    assert c.allowed(gate, "a", "b", "d") == []


def test_columns_constants_words_and_delimiters_of_their_own_are_read(tmp_path: Path) -> None:
    path = c.write_text(
        tmp_path / "crm.csv",
        "Kunde;Einwilligung;geändert am;egal\n"
        '"a";ja;2026-01-01T10:00:00Z;x\n'
        "b;nein;2026-01-01T10:00:00Z;x\n"
        "d;Ja;2026-01-01T10:00:00Z;x\n"
        'e;"it\'s ""ok""";2026-01-01T10:00:00Z;x\n',
    )
    source = c.consents(
        path,
        delimiter=";",
        columns={"subject": "Kunde", "event": "Einwilligung", "time": "geändert am"},
        constants={"purpose": SEGMENTATION, "notice": "1"},
        events={"ja": "ConsentGiven", "nein": "ConsentRefused", 'it\'s "ok"': "ConsentGiven"},
    )
    gate = c.gate_of(source)
    assert c.allowed(gate, "a", "b", "d", "e") == ["a", "e"]
    assert gate.explain("a", NOW)[1][0].rows[0]["purpose"] == SEGMENTATION


def test_a_word_of_the_table_s_own_may_mean_the_opposite_of_ours(tmp_path: Path) -> None:
    path = c.write_csv(tmp_path / "crm.csv", [c.given("a")])
    gate = c.gate_of(c.consents(path, events={"ConsentGiven": "ConsentWithdrawn"}))
    assert c.reasons(gate, "a") == [Reason.WITHDRAWN]


def test_one_column_may_stand_for_two_things(tmp_path: Path) -> None:
    path = c.write_csv(tmp_path / "crm.csv", [c.given("a", notice=SEGMENTATION)])
    gate = c.gate_of(c.consents(path, columns={"notice": "purpose"}), notices=[SEGMENTATION])
    assert c.allowed(gate, "a") == ["a"]


def test_flags_say_who_objects(tmp_path: Path) -> None:
    rows = [
        {"subject": "a", "gpc": "0", "limit": ""},
        {"subject": "b", "gpc": "1", "limit": ""},
        {"subject": "d", "gpc": "no", "limit": "2026-01-01"},
        {"subject": "e", "gpc": "FALSE", "limit": "n"},
    ]
    path = c.write_csv(tmp_path / "flags.csv", rows, header=["subject", "gpc", "limit"])
    gate = c.gate_of(c.objections(path, flags=("gpc", "limit")), basis=LEGITIMATE_INTEREST)
    assert c.allowed(gate, "a", "b", "d", "e", "x") == ["a", "e", "x"]
    lines = c.write_jsonl(
        tmp_path / "flags.jsonl",
        [{"subject": "a"}, {"subject": "b", "gpc": True}, {"subject": "d", "gpc": False},
         {"subject": "e", "gpc": [1]}],
    )  # fmt: skip
    gate = c.gate_of(c.objections(lines, kind="jsonl", flags=("gpc",)), basis=LEGITIMATE_INTEREST)
    assert c.allowed(gate, "a", "b", "d", "e") == ["a", "d"]


def test_a_flag_on_any_row_of_a_customer_counts(tmp_path: Path) -> None:
    rows = [{"subject": "a", "gpc": flag} for flag in ("0", "1", "0")]
    path = c.write_csv(tmp_path / "flags.csv", rows, header=["subject", "gpc"])
    gate = c.gate_of(c.objections(path, flags=("gpc",)), basis=LEGITIMATE_INTEREST)
    assert c.allowed(gate, "a") == []


# --- freshness -----------------------------------------------------------------------------------


def test_a_table_older_than_agreed_is_refused_and_named(tmp_path: Path) -> None:
    table = c.write_csv(tmp_path / "crm.csv", [c.given("a")])
    gate = c.gate_of(c.consents(table, name="the CRM"))
    c.changed(table, ago=timedelta(hours=48))
    assert c.allowed(gate, "a") == ["a"]
    c.changed(table, ago=timedelta(hours=48, seconds=1))
    for ask in (lambda: gate.snapshot(NOW), lambda: gate.check_fresh(NOW)):
        error = refusal(ask)
        assert (type(error), error.code) == (RuleError, "E-CONSENT-STALE")
        assert "'the CRM'" in error.message
        assert "2026-02-27 11:59 UTC" in error.message
        assert "48 hours" in error.message
        assert "heartbeat" in error.remedy


def test_every_table_must_be_fresh_the_objections_too(tmp_path: Path) -> None:
    table = c.write_csv(tmp_path / "crm.csv", [c.given("a")])
    listed = c.write_csv(tmp_path / "robinson.csv", [], header=["subject"])
    c.changed(listed, ago=timedelta(days=3))
    error = refusal(lambda: c.gate_of(c.consents(table), c.objections(listed)).snapshot(NOW))
    assert error.code == "E-CONSENT-STALE"
    assert "'robinson'" in error.message


def test_a_table_from_the_future_is_refused_beyond_the_usual_differences_of_clocks(
    tmp_path: Path,
) -> None:
    table = c.write_csv(tmp_path / "crm.csv", [c.given("a")])
    gate = c.gate_of(c.consents(table))
    c.changed(table, ago=timedelta(minutes=-5))
    assert c.allowed(gate, "a") == ["a"]
    c.changed(table, ago=timedelta(minutes=-5, seconds=-1))
    error = refusal(lambda: gate.check_fresh(NOW))
    assert error.code == "E-CONSENT-STALE"
    assert "future" in error.message
    assert "clocks" in error.remedy


def test_the_newest_of_several_files_counts(tmp_path: Path) -> None:
    c.changed(c.write_csv(tmp_path / "crm-1.csv", [c.given("a")]), ago=timedelta(days=90))
    newest = c.write_csv(tmp_path / "crm-2.csv", [c.given("b")])
    gate = c.gate_of(c.consents(tmp_path / "crm-*.csv"))
    assert c.allowed(gate, "a", "b") == ["a", "b"]
    c.changed(newest, ago=timedelta(days=3))
    assert refusal(lambda: gate.check_fresh(NOW)).code == "E-CONSENT-STALE"


def test_a_heartbeat_speaks_for_a_quiet_log_and_alone(tmp_path: Path) -> None:
    table = c.write_csv(tmp_path / "crm.csv", [c.given("a")])
    c.changed(table, ago=timedelta(days=90))
    beat = c.write_text(tmp_path / "crm.ok", "")
    gate = c.gate_of(c.consents(table, heartbeat=beat))
    assert c.allowed(gate, "a") == ["a"]
    c.changed(beat, ago=timedelta(days=3))
    c.changed(table, ago=timedelta(hours=1))
    assert refusal(lambda: gate.check_fresh(NOW)).code == "E-CONSENT-STALE"
    beat.unlink()
    error = refusal(lambda: gate.check_fresh(NOW))
    assert error.code == "E-CONSENT-SOURCE"
    assert "crm.ok" in error.message
    assert "heartbeat" in error.remedy


# --- read anew -----------------------------------------------------------------------------------


class Table:
    """A source of customers with one feature."""

    def __init__(self, ids: Sequence[str]) -> None:
        self._ids = ids
        self.passes = 0

    def columns(self) -> tuple[str, ...]:
        return ("id", "visits")

    def describe(self) -> Description:
        raise AssertionError("the gate asks for no description")

    def chunks(self, columns: Sequence[str], *, max_rows: int) -> Iterator[Chunk]:
        self.passes += 1
        for start in range(0, len(self._ids), max_rows):
            ids = c.ids_of(*self._ids[start : start + max_rows])
            yield Chunk(ids=ids, values=np.ones((len(ids), len(columns))))


def customers_of(gate: ConsentGate, *ids: str) -> SourceCustomers:
    visits = {"name": "visits", "type": "numeric", "unit": "x", "min": "0", "max": "1",
              "transform": "none", "weight": "1", "necessity": "x"}  # fmt: skip
    return SourceCustomers(
        Table(ids), [Feature.read(Fields(visits, "visits"))], columns={}, chunk_rows=2, gate=gate,
        clock=lambda: NOW,
    )  # fmt: skip


def counted(customers: SourceCustomers) -> list[str]:
    return [i for ids, vectors in customers.identified() for i in ids if len(vectors) == len(ids)]


def test_a_customer_who_withdraws_between_two_passes_is_out_of_the_second(tmp_path: Path) -> None:
    table = c.write_csv(tmp_path / "crm.csv", [c.given(i) for i in "abde"])
    customers = customers_of(c.gate_of(c.consents(table)), *"abde", "unknown")
    assert counted(customers) == ["a", "b", "d", "e"]
    assert sum(len(v) for v in customers.vectors()) == 4
    with table.open("a") as file:
        file.write(",".join(c.withdrawn("b").values()) + "\n")
    c.changed(table)
    assert counted(customers) == ["a", "d", "e"]
    assert sum(len(v) for v in customers.vectors()) == 3
    assert [report.customers for report in customers.report()] == [3]


@pytest.mark.parametrize("basis", [CONSENT, LEGITIMATE_INTEREST])
def test_whoever_objects_or_is_erased_at_this_node_between_two_passes_is_out_of_the_second(
    tmp_path: Path, basis: str
) -> None:
    """The register is read anew for every pass, like each table."""
    table = c.write_csv(tmp_path / "crm.csv", [c.given(i) for i in "abd"])
    nobody = c.write_csv(tmp_path / "robinson.csv", [], header=["subject"])
    store = NodeStore(":memory:", EphemeralSealer())
    register = RightsRegister(store)
    gate = c.gate_of(
        c.consents(table), c.objections(nobody), basis=basis, left_out=register.left_out
    )
    customers = customers_of(gate, *"abd")
    assert counted(customers) == c.allowed(gate, *"abd") == ["a", "b", "d"]
    wishes: list[tuple[Wish, str, list[str]]] = [
        ("objection", "b", ["a", "d"]),
        ("erasure", "d", ["a"]),
    ]
    for wish, subject, stay in wishes:
        with store.transaction():
            register.leave_out(wish, f"pseudonym {subject}", subject, NOW)
        assert counted(customers) == c.allowed(gate, *"abd") == stay
        assert c.reasons(gate, subject) == [Reason.OBJECTION]


def test_the_gate_of_a_node_asks_its_register_anew(tmp_path: Path) -> None:
    c.write_csv(tmp_path / "crm.csv", [c.given(i) for i in "ab"])
    source = CONSENTS | {"columns": '{ subject = "subject" }'}
    told = '[consent]\nnotices = ["1"]\nyoungest_customer = 18\n'
    home = NodeHome(directory=tmp_path, config=load(tmp_path, told + with_sources(source)))
    agreement = Agreement.from_dict(counterparties.agreement_values(3))
    store = NodeStore(":memory:", EphemeralSealer())
    gate = home.gate(agreement, agreement.parties[0], store)
    assert c.allowed(gate, *"ab") == ["a", "b"]
    with store.transaction():
        RightsRegister(store).leave_out("objection", "pseudonym", "b", NOW)
    assert c.allowed(gate, *"ab") == ["a"]


def test_customers_who_may_not_be_counted_are_left_out_before_their_values_are_used(
    tmp_path: Path,
) -> None:
    table = c.write_csv(tmp_path / "crm.csv", [c.given("a")])
    customers = customers_of(c.gate_of(c.consents(table)), "b", "a", "d")
    (report,) = customers.report()
    assert report.customers == 1
    assert [len(ids) for ids, _ in customers.identified()] == [1, 0]


def test_a_stale_table_ends_a_pass_before_a_customer_is_read(tmp_path: Path) -> None:
    table = c.write_csv(tmp_path / "crm.csv", [c.given("a")])
    customers = customers_of(c.gate_of(c.consents(table)), "a")
    c.changed(table, ago=timedelta(days=3))
    assert refusal(lambda: list(customers.vectors())).code == "E-CONSENT-STALE"
    assert customers._source.passes == 0  # type: ignore[attr-defined]


def test_a_table_that_changes_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = c.write_csv(tmp_path / "crm.csv", [c.given("a"), c.given("b")])
    judge, changes = tables_module.judge_consents, [c.withdrawn("a")]

    def judge_and_change(*arguments: Any) -> None:
        judge(*arguments)
        if changes:
            c.write_csv(table, [c.given("a"), c.given("b"), changes.pop()])

    monkeypatch.setattr(tables_module, "judge_consents", judge_and_change)
    found = c.gate_of(c.consents(table)).snapshot(NOW)
    assert len(found.named) == 1
    assert found.named.holds(["b"]).all()


def test_a_table_that_never_stops_changing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = c.write_csv(tmp_path / "crm.csv", [c.given("a")])
    judge, readings = tables_module.judge_consents, []

    def judge_and_change(*arguments: Any) -> None:
        judge(*arguments)
        readings.append(1)
        c.write_csv(table, [c.given("a")] * (len(readings) + 1))

    monkeypatch.setattr(tables_module, "judge_consents", judge_and_change)
    error = refusal(lambda: c.gate_of(c.consents(table)).snapshot(NOW))
    assert (type(error), error.code) == (SourceError, "E-CONSENT-SOURCE")
    assert "'crm'" in error.message
    assert "changed while it was read" in error.message
    assert "rename" in error.remedy
    assert len(readings) == 3


def test_a_table_that_is_replaced_by_one_of_the_same_size_and_time_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = c.write_csv(tmp_path / "crm.csv", [c.given("a")])
    other = c.write_csv(tmp_path / "other.csv", [c.given("b")])
    judge = tables_module.judge_consents

    def judge_and_change(*arguments: Any) -> None:
        judge(*arguments)
        if other.exists():
            other.replace(table)

    monkeypatch.setattr(tables_module, "judge_consents", judge_and_change)
    assert c.allowed(c.gate_of(c.consents(table)), "a", "b") == ["b"]


# --- broken tables -------------------------------------------------------------------------------


def everything_said(error: BaseException) -> str:
    """All text in an error and in whatever it was raised from or during."""
    found, seen = [], set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        found += [str(each), repr(each), repr(each.args), getattr(each, "remedy", "")]
        waiting += [each.__cause__, each.__context__]
    return "\n".join(found)


def _of_csv(text: str | bytes) -> Callable[[Path], ConsentSource]:
    return lambda folder: c.consents(c.write_text(folder / "crm.csv", text))


def _of_jsonl(text: str | bytes) -> Callable[[Path], ConsentSource]:
    return lambda folder: c.consents(c.write_text(folder / "crm.jsonl", text), kind="jsonl")


def _of_parquet(**columns: Any) -> Callable[[Path], ConsentSource]:
    def make(folder: Path) -> ConsentSource:
        usual = {name: [value] for name, value in c.given(SECRET).items()}
        path = c.write_parquet(folder / "crm.parquet", **(usual | columns))
        return c.consents(path, kind="parquet")

    return make


def _gone(folder: Path) -> ConsentSource:
    return c.consents(folder / "gone.csv")


def _no_match(folder: Path) -> ConsentSource:
    return c.consents(folder / "gone-*.csv")


def _folder(folder: Path) -> ConsentSource:
    (folder / "crm").mkdir()
    return c.consents(folder / "crm")


def _broken_link(folder: Path) -> ConsentSource:
    (folder / "crm.csv").symlink_to(folder / "nowhere.csv")
    return c.consents(folder / "crm.csv")


def _fifo(folder: Path) -> ConsentSource:
    os.mkfifo(folder / "crm.csv")
    return c.consents(folder / "crm.csv")


def _two_headers(folder: Path) -> ConsentSource:
    c.write_csv(folder / "crm-1.csv", [c.given("a")])
    c.write_csv(folder / "crm-2.csv", [c.given(SECRET)], header=sorted(c.HEADER))
    return c.consents(folder / "crm-*.csv")


def _damaged_parquet(folder: Path) -> ConsentSource:
    path = _of_parquet()(folder)
    data = Path(path.place.name).read_bytes()
    c.write_text(Path(path.place.name), data[: len(data) // 2])
    return path


HEAD = "subject,event,time,purpose,notice\n"
GOOD = f"a,ConsentGiven,{c.GIVEN},{SEGMENTATION},1\n"
LINE = '{"subject": "a", "event": "ConsentGiven"}\n'
BROKEN: list[tuple[str, Callable[[Path], ConsentSource], str]] = [
    ("gone", _gone, "gone.csv: no such file"),
    ("no match", _no_match, "gone-*.csv: no file matches"),
    ("a folder", _folder, "is a folder"),
    ("a broken link", _broken_link, "crm.csv"),
    ("a fifo", _fifo, "not a regular file"),
    ("0 bytes", _of_csv(b""), "crm.csv is empty"),
    ("blank", _of_csv("\n\n"), "crm.csv"),
    ("header not UTF-8", _of_csv(b"subject,\xff" + SECRET.encode() + b"\n"), "line 1 is not UTF-8"),
    ("UTF-16", _of_csv((HEAD + GOOD).encode("utf-16")), "UTF-16"),
    ("row not UTF-8", _of_csv(f"{HEAD}{GOOD}{SECRET}".encode() + b",\xff,,,\n"), "UTF-8"),
    ("ragged: more", _of_csv(HEAD + GOOD + f"{SECRET},ConsentGiven,x,y,1,7\n"), "line 3: 6 values"),
    ("ragged: fewer", _of_csv(HEAD + GOOD + f"{SECRET},ConsentGiven\n"), "line 3"),
    ("open quote", _of_csv(HEAD + GOOD + f'"{SECRET},ConsentGiven,x,y,1\n'), "crm.csv"),
    ("a column twice", _of_csv("subject,Subject,event\n"), "'Subject'"),
    ("no subject", _of_csv("who,event,time,purpose,notice\n" + GOOD), "no column 'subject'"),
    ("no time", _of_csv("subject,event,purpose,notice\n"), "no column 'time' for time"),
    ("no notice", _of_csv("subject,event,time,purpose\n"), "no column 'notice'"),
    ("other headers", _two_headers, "crm-2.csv has other columns than"),
    ("nobody", _of_csv(HEAD + GOOD + f",{SECRET},x,y,1\n"), "1 rows of"),
    ("nobody at all", _of_csv(HEAD + '"",ConsentWithdrawn,x,y,1\n' * 3), "3 rows of"),
    ("JSON cut off", _of_jsonl(LINE + f'{{"subject": "{SECRET}", "ev'), "crm.jsonl"),
    ("JSON with other lines", _of_jsonl(LINE + f"{SECRET}\n" + LINE), "line 2"),
    ("JSON list", _of_jsonl(LINE + f'["{SECRET}"]\n'), "line 2"),
    ("JSON key twice", _of_jsonl(f'{{"subject": "a", "subject": "{SECRET}"}}\n'), "line 1"),
    ("JSON not UTF-8", _of_jsonl(LINE.encode() + b'{"subject": "\xff' + SECRET.encode() + b'"}\n'),
     "UTF-8"),
    ("JSON about nobody", _of_jsonl(LINE + f'{{"event": "{SECRET}"}}\n'), "the first is row 2"),
    ("JSON empty", _of_jsonl(b""), "is empty (0 bytes)"),
    ("Parquet damaged", _damaged_parquet, "crm.parquet cannot be read"),
    ("Parquet is CSV", lambda f: c.consents(c.write_text(f / "p", HEAD + GOOD), kind="parquet"),
     "cannot be read"),
    ("id a fraction", _of_parquet(subject=[7.0]), "type DOUBLE, ids must be text"),
    ("id a list", _of_parquet(subject=[[SECRET]]), "ids must be text"),
    ("purpose a list", _of_parquet(purpose=[[SECRET]]), "one value a row"),
    ("time without zone", _of_parquet(time=[datetime(2026, 1, 1)]),  # noqa: DTZ001
     "a timestamp with time zone"),
    ("time a number", _of_parquet(time=[1767261600]), "type BIGINT"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "said"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_a_broken_table_is_refused_with_its_name_the_place_and_the_way_out(
    tmp_path: Path, make: Callable[[Path], ConsentSource], said: str
) -> None:
    gate = c.gate_of(make(tmp_path))
    asked = [lambda: gate.snapshot(NOW), lambda: gate.standing(iter([c.ids_of("a")]), NOW)]
    for ask in asked:
        error = refusal(ask)
        assert (type(error), error.code) == (SourceError, "E-CONSENT-SOURCE")
        assert error.message.startswith("consent source 'crm': ")
        assert said in error.message
        assert error.remedy
        assert "[data] path" not in error.remedy
        assert SECRET not in everything_said(error)


def test_a_mapped_column_that_is_missing_is_named_with_those_that_there_are(tmp_path: Path) -> None:
    table = c.write_csv(tmp_path / "crm.csv", [c.given("a")])
    error = refusal(lambda: c.gate_of(c.consents(table, columns={"until": "ends"})).snapshot(NOW))
    assert "no column 'ends' for until" in error.message
    assert "subject, event, time, purpose, notice" in error.remedy
    assert "[[consent.sources]]" in error.remedy
    table = c.write_csv(tmp_path / "crm.csv", [], header=["subject", "event", "time", "purpose"])
    assert "constants" in refusal(lambda: c.gate_of(c.consents(table)).snapshot(NOW)).remedy
    error = refusal(
        lambda: c.gate_of(c.objections(table, flags=("gpc",)), basis=LEGITIMATE_INTEREST).snapshot(
            NOW
        )
    )
    assert "no column 'gpc' for a flag" in error.message


def test_a_field_without_which_more_would_pass_must_be_in_some_line_of_json(tmp_path: Path) -> None:
    """A misspelt name would otherwise be a field that every line leaves out."""
    listed = c.write_jsonl(tmp_path / "o.jsonl", [{"subject": "a", "gpc": True}, {"subject": "b"}])
    options: dict[str, Any] = {"kind": "jsonl", "flags": ("gcp",)}
    gate = c.gate_of(c.objections(listed, **options), basis=LEGITIMATE_INTEREST)
    error = refusal(lambda: gate.snapshot(NOW))
    assert error.code == "E-CONSENT-SOURCE"
    assert "no line" in error.message
    assert "'gcp' for a flag" in error.message
    table = c.write_jsonl(tmp_path / "c.jsonl", [c.given("a", ends="2026-01-02T00:00:00Z")])
    gate = c.gate_of(c.consents(table, kind="jsonl", columns={"until": "end"}))
    assert "'end' for until" in refusal(lambda: gate.snapshot(NOW)).message
    gate = c.gate_of(c.consents(table, kind="jsonl", columns={"until": "ends"}))
    assert c.reasons(gate, "a") == [Reason.EXPIRED]


def test_one_broken_table_closes_the_gate_whatever_the_others_say(tmp_path: Path) -> None:
    table = c.write_csv(tmp_path / "crm.csv", [c.given("a")])
    listed = c.write_text(tmp_path / "robinson.csv", f"subject,x\na\n{SECRET}\n")
    error = refusal(lambda: c.gate_of(c.consents(table), c.objections(listed)).snapshot(NOW))
    assert error.code == "E-CONSENT-SOURCE"
    assert "'robinson'" in error.message
    assert "line 2" in error.message


def test_what_does_not_fit_into_memory_is_an_error_in_words(tmp_path: Path) -> None:
    table = c.write_csv(tmp_path / "crm.csv", [c.given(f"{i:0100}") for i in range(30_000)])
    small = Sandbox(memory_bytes=4 << 20, temp_bytes=1 << 10)
    error = refusal(lambda: c.gate_of(c.consents(table), limits=small).snapshot(NOW))
    assert error.code == "E-CONSENT-SOURCE"
    assert "[data] memory_limit" in error.remedy


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path) -> None:
    table = c.write_csv(tmp_path / "crm.csv", [c.given("a")])
    folder = tmp_path / "temporary"
    gate = c.gate_of(c.consents(table), limits=Sandbox(temp_folder=folder))
    assert c.allowed(gate, "a") == ["a"]
    c.write_text(table, "subject\n")
    assert refusal(lambda: gate.snapshot(NOW)).code == "E-CONSENT-SOURCE"
    assert list(folder.iterdir()) == []


# --- hostile names -------------------------------------------------------------------------------

NASTY = [
    "'; DROP TABLE verdict_0; --", 'a"b', "a'b", "a\\b", "$now", "$1", "{}", "{scan}", "?",
    "x') UNION SELECT 'a', NULL; --", "']), read_csv(['/etc/passwd", "--", "/*", "NULL", "subject",
    "time", "\t", "ünï", "select", "reason",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("nasty", NASTY)
def test_names_paths_constants_and_words_are_never_sql(tmp_path: Path, nasty: str) -> None:
    folder = tmp_path / "".join(ch for ch in nasty if ch not in "*?[/\0") / "x"
    folder.mkdir(parents=True)
    header = ["who", nasty, "at"]
    rows = [
        {"who": "a", nasty: nasty, "at": c.GIVEN},
        {"who": "b", nasty: "no", "at": c.GIVEN},
        {"who": nasty, nasty: nasty, "at": c.GIVEN},
    ]
    source = c.consents(
        c.write_csv(folder / "crm.csv", rows, header=header),
        name=nasty,
        columns={"subject": "who", "event": nasty, "time": "at"},
        constants={"purpose": nasty, "notice": nasty},
        events={nasty: "ConsentGiven"},
    )
    lines = c.objections(
        c.write_jsonl(folder / "flags.jsonl", [{"who": "b", nasty: "1"}, {"who": "d", nasty: "0"}]),
        name="flags", kind="jsonl", columns={"subject": "who"}, flags=(nasty,),
    )  # fmt: skip
    purpose = nasty.strip() or nasty
    gate = c.gate_of(source, lines, purpose=purpose, notices=[purpose])
    if nasty.strip():
        assert c.allowed(gate, "a", "b", "d", nasty) == ["a", nasty]
    assert c.reasons(gate, "b") == [Reason.OBJECTION]


@pytest.mark.slow
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    word=st.text(alphabet=string.punctuation + "ab \n", min_size=1, max_size=12),
    subject=st.text(alphabet=string.punctuation + "ab \n", min_size=1, max_size=12),
)
def test_any_text_survives_as_itself(tmp_path: Path, word: str, subject: str) -> None:
    table = c.write_jsonl(tmp_path / "crm.jsonl", [c.given(subject, event=word), c.given("other")])
    gate = c.gate_of(c.consents(table, kind="jsonl", events={word: "ConsentGiven"}))
    named = gate.snapshot(NOW).named
    assert (len(named), named.holds([subject, "other"]).all()) == (2, True)
    reason, (entry,) = gate.explain(subject, NOW)
    assert reason is None
    assert entry.rows[0]["subject"] == subject


def test_a_table_reaches_for_no_other_file(tmp_path: Path) -> None:
    """The sandbox opens the files that the sources name, and nothing else."""
    table = c.write_csv(tmp_path / "crm.csv", [c.given("a")])
    other = c.write_csv(tmp_path / "other.csv", [c.given("b")])
    with Sandbox().closed_in([f.path for f in find_files(str(table))]) as connection:
        text = "all_varchar = true"
        assert connection.execute(f"FROM read_csv('{table}', {text})").fetchall()
        for sql in (f"FROM read_csv('{other}', {text})", f"COPY (SELECT 1) TO '{tmp_path}/out.csv'",
                    "SET enable_external_access = true", "INSTALL httpfs"):  # fmt: skip
            with pytest.raises(Exception, match=r"Error"):
                connection.execute(sql)
    assert not (tmp_path / "out.csv").exists()


def test_a_snapshot_keeps_when_it_was_taken(tmp_path: Path) -> None:
    table = c.write_csv(tmp_path / "crm.csv", [c.given("a")])
    assert c.gate_of(c.consents(table)).snapshot(NOW).taken_at == NOW
    soon = NOW.astimezone(UTC) + timedelta(hours=1)
    assert c.gate_of(c.consents(table)).snapshot(soon).taken_at == soon


# --- births --------------------------------------------------------------------------------------


def with_births(folder: Path, *born: tuple[str, str], **changes: Any) -> ConsentGate:
    """A gate over consents of everybody named, and their births."""
    table = c.write_csv(
        folder / "births.csv",
        [{"subject": i, "born": date} for i, date in born],
        header=["subject", "born"],
    )
    people = sorted({i for i, _ in born})
    crm = c.write_csv(folder / "crm.csv", [c.given(i) for i in [*people, "unlisted"]])
    values = {"youngest_customer": None} | changes
    return c.gate_of(c.consents(crm), c.births(table), **values)


@pytest.mark.parametrize(
    ("born", "reason"),
    [
        ("2010-02-28", None),
        ("2010-03-01", None),  # sixteen today
        ("2010-03-02", Reason.TOO_YOUNG),
        ("2010-02-28T23:59:59Z", None),
        ("2010-03-02 00:00:00", Reason.TOO_YOUNG),
        ("1926", None),
        ("2009", None),
        ("2010", Reason.TOO_YOUNG),  # perhaps in December
        (" 1980-01-01 ", None),
        ("2026-03-02", Reason.UNREADABLE_BIRTH),
        ("9999", Reason.UNREADABLE_BIRTH),
        ("1980-02-30", Reason.UNREADABLE_BIRTH),
        ("01.02.1980", Reason.UNREADABLE_BIRTH),
        ("80", Reason.UNREADABLE_BIRTH),
        ("1980-1-1", Reason.UNREADABLE_BIRTH),
        ("1980-01-01 or so", Reason.UNREADABLE_BIRTH),
        ("", Reason.UNREADABLE_BIRTH),
    ],
)
def test_whoever_may_be_younger_than_agreed_is_kept_out(
    tmp_path: Path, born: str, reason: Reason | None
) -> None:
    gate = with_births(tmp_path, ("a", born))
    assert c.allowed(gate, "a", now=c.NOW + timedelta(minutes=1)) == ([] if reason else ["a"])
    assert c.reasons(gate, "a", now=c.NOW + timedelta(minutes=1)) == [reason]


def test_a_birthday_has_come_when_it_has_come_everywhere(tmp_path: Path) -> None:
    gate = with_births(tmp_path, ("a", "2010-03-01"))
    assert c.allowed(gate, "a", now=c.NOW - timedelta(seconds=1)) == []
    assert c.allowed(gate, "a", now=c.NOW) == ["a"]


def test_somebody_born_on_a_leap_day_has_birthdays_in_march(tmp_path: Path) -> None:
    gate = with_births(tmp_path, ("a", "2008-02-29"), children_under=18)
    for day, found in (("2026-02-28", []), ("2026-03-01", ["a"])):
        now = datetime.fromisoformat(day).replace(hour=12, tzinfo=UTC)
        for name in ("crm.csv", "births.csv"):
            c.changed(tmp_path / name, now=now)
        assert c.allowed(gate, "a", now=now) == found
    gate = with_births(tmp_path, ("a", "2007-02-28"), ("b", "2007-03-01"), children_under=17)
    now = datetime(2024, 2, 29, 12, tzinfo=UTC)
    for name in ("crm.csv", "births.csv"):
        c.changed(tmp_path / name, now=now)
    late = [c.given(i, "2024-01-01T00:00:00Z") for i in "ab"]
    c.write_csv(tmp_path / "crm.csv", late, now=now)
    assert c.allowed(gate, "a", "b", now=now) == ["a"]


def test_whose_birth_is_unknown_or_told_twice_is_judged_by_the_stricter(tmp_path: Path) -> None:
    gate = with_births(tmp_path, ("a", "1980"), ("a", "2015"), ("b", "1980"), ("b", ""))
    assert c.allowed(gate, "a", "b", "unlisted") == []
    assert c.reasons(gate, "a", "b", "unlisted") == [
        Reason.TOO_YOUNG,
        Reason.UNREADABLE_BIRTH,
        Reason.AGE_UNKNOWN,
    ]


def test_births_count_on_legitimate_interest_too(tmp_path: Path) -> None:
    table = c.write_csv(
        tmp_path / "births.csv",
        [{"subject": i, "born": born} for i, born in (("a", "1980"), ("b", "2015"), ("o", "1980"))],
        header=["subject", "born"],
    )
    objecting = c.write_csv(tmp_path / "robinson.csv", [{"subject": "o"}], header=["subject"])
    crm = c.write_csv(tmp_path / "crm.csv", [c.withdrawn("w")])
    table_of_w = c.write_parquet(tmp_path / "more.parquet", subject=["w"], born=["1970-01-01"])
    interest = c.gate_of(
        c.objections(objecting), c.consents(crm), c.births(tmp_path / "births.csv"),
        basis=LEGITIMATE_INTEREST, youngest_customer=None,
    )  # fmt: skip
    assert table.exists()
    assert c.allowed(interest, "a", "b", "o", "stranger") == ["a"]
    lone = c.gate_of(
        c.objections(objecting), c.consents(crm), c.births(table_of_w, kind="parquet"),
        basis=LEGITIMATE_INTEREST, youngest_customer=None,
    )  # fmt: skip
    assert c.reasons(lone, "w", "stranger") == [Reason.WITHDRAWN, Reason.AGE_UNKNOWN]


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_births_come_as_dates_of_any_kind(tmp_path: Path, kind: str) -> None:
    if kind == "parquet":
        born = pa.array([date(1980, 5, 1), date(2015, 5, 1), None], pa.date32())
        table = c.write_parquet(tmp_path / "b.parquet", subject=["a", "b", "c"], born=born)
    else:
        rows = [{"subject": "a", "born": 1980}, {"subject": "b", "born": "2015-05-01"}]
        table = c.write_jsonl(tmp_path / "b.jsonl", [*rows, {"subject": "c"}])
    crm = c.write_csv(tmp_path / "crm.csv", [c.given(i) for i in "abc"])
    gate = c.gate_of(c.consents(crm), c.births(table, kind=kind), youngest_customer=None)
    assert c.allowed(gate, *"abc") == ["a"]


def test_what_contracts_say_of_ages_is_enough_only_from_the_agreed_age_on(tmp_path: Path) -> None:
    crm = c.write_csv(tmp_path / "crm.csv", [c.given("a")])
    assert c.allowed(c.gate_of(c.consents(crm), youngest_customer=16), "a") == ["a"]
    for youngest in (None, 0, 15):
        gate = c.gate_of(c.consents(crm), youngest_customer=youngest)
        for ask in (gate.check_complete, partial(gate.snapshot, c.NOW)):
            with pytest.raises(RuleError) as caught:
                ask()
            assert caught.value.code == "E-CHILD"
