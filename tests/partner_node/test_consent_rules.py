"""A partner's own rules: each refuses before a row is read or anything is charged."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from coordinator.patience import Patience
from partner_node.config.node_config import ConsentSection
from partner_node.consent.local_rules import LocalRules
from partner_node.customers.source_customers import SourceCustomers
from partner_node.node import Node
from partner_node.notices.facts import NoticeFacts
from partner_node.notices.published import Publication, Publications
from partner_node.sources.source import Chunk, Description
from partner_node.store.ledger import Ledger
from partner_node.store.node_store import NodeStore
from partner_node.store.refusals import Refusals
from protocol.agreement.document import Agreement
from protocol.agreement.duties import SPECIAL_CATEGORIES
from protocol.agreement.governance import LEGITIMATE_INTEREST, SEGMENTATION, LegalBasis
from protocol.agreement.parties import Party
from protocol.agreement.stop import SignedStop
from protocol.errors import FedsegError, RemoteProtocolError, RunFailedError
from protocol.messages import Open, Stop, sign_request
from protocol.privacy.accounting import rho_for
from protocol.privacy.terms import PrivacyTerms
from simulations.federation import SOFTWARE, EphemeralSealer, FeatureTerms, Federation
from tests.partner_node import consents as c

NOW = datetime(2026, 1, 15, tzinfo=UTC)
#: Which the simulated agreement names.
NOTICE = "none"
FEATURES = [FeatureTerms(name=name, min="0", max="10") for name in ("visits", "spent")]
NO_COLUMNS: Mapping[str, str] = MappingProxyType({})
UNITS = MappingProxyType({"visits": "units", "spent": "units"})
IDS = [f"c{i}" for i in range(40)]
ASSESSMENT = b"%PDF our interests outweigh"
WITH_NOISE = PrivacyTerms(
    epsilon=Decimal("2"), delta=Decimal("0.00001"), rho=rho_for(2.0, 1e-5), runs=3,
    spare_rounds=1, max_partners_per_customer=1,
)  # fmt: skip


class SpySource:
    """Counts how often customers are read."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = values
        self.reads = 0

    def columns(self) -> tuple[str, ...]:
        return ("id", "visits", "spent")

    def describe(self) -> Description:
        raise AssertionError("the gate asks for no description")

    def chunks(self, columns: Sequence[str], *, max_rows: int) -> Iterator[Chunk]:
        self.reads += 1
        yield Chunk(ids=c.ids_of(*IDS), values=self._values)


class Lab:
    """A federation with one node that has rules, a consent gate and a ledger."""

    def __init__(self, folder: Path, *, privacy: PrivacyTerms | None = WITH_NOISE) -> None:
        rng = np.random.default_rng(3)
        n_partners = 4 if privacy else 3
        data = [rng.uniform(0, 10, (len(IDS), 2)) for _ in range(n_partners)]
        self.fed = Federation(
            data, FEATURES, n_clusters=2, max_rounds=4, seed=1, privacy=privacy,
            plan="lloyd-dp" if privacy else "lloyd-exact",
            patience=Patience(grace_s=20, resend_s=1),
        )  # fmt: skip
        self.folder = folder
        self.source = SpySource(data[1])
        self.consents = c.write_csv(
            folder / "crm.csv", [c.given(i, notice=NOTICE) for i in IDS], now=NOW
        )
        self.objections = c.write_csv(folder / "robinson.csv", [], header=["subject"], now=NOW)
        self.store = NodeStore(":memory:", EphemeralSealer())
        self.party = self.fed.agreement.parties[1]
        self.node = self.make_node()
        self.codes: list[str] = []
        self._note_codes()

    def section(self, **changes: Any) -> ConsentSection:
        values: dict[str, Any] = {
            "purpose": SEGMENTATION,
            "notices": (NOTICE,),
            "assessment": None,
            "youngest_customer": 18,
            "sources": (c.consents(self.consents), c.objections(self.objections)),
        }
        return ConsentSection(**(values | changes))

    def rules(
        self,
        party: Party | None = None,
        agreement: Agreement | None = None,
        columns: Mapping[str, str] = NO_COLUMNS,
        units: Mapping[str, str] = UNITS,
        **changes: Any,
    ) -> LocalRules:
        section = self.section(**changes)
        return LocalRules(
            agreement or self.fed.agreement, party or self.party, section,
            self.gate(section, party), columns=columns, units=units,
            published=lambda: Publications(self.store).under(self.fed.agreement.id),
        )  # fmt: skip

    def gate(self, section: ConsentSection, party: Party | None = None) -> Any:
        return c.gate_of(
            *section.sources,
            basis=(party or self.party).legal_basis.basis,
            notices=section.notices,
            youngest_customer=section.youngest_customer,
            max_age=timedelta(hours=24),
        )

    def make_node(self) -> Node:
        gate = self.gate(self.section())
        customers = SourceCustomers(
            self.source, self.fed.agreement.features, columns={}, chunk_rows=100, gate=gate,
            clock=lambda: NOW,
        )  # fmt: skip
        node = Node(
            self.fed.signed, self.fed.partner_keys[1], self.store, customers, self.rules(),
            software=SOFTWARE, clock=lambda: NOW, seed_of=self.fed.seed_of,
        )  # fmt: skip
        self.fed.nodes[1] = node
        return node

    def interested(self, reference: str) -> Party:
        """This partner, on the basis of legitimate interest."""
        basis = LegalBasis(basis=LEGITIMATE_INTEREST, reference=reference)
        return replace(self.party, legal_basis=basis)

    def assess(self) -> tuple[Path, Party]:
        """The assessment's file, and this partner on its basis."""
        file = self.folder / "assessment.pdf"
        file.write_bytes(ASSESSMENT)
        return file, self.interested(hashlib.sha256(ASSESSMENT).hexdigest())

    def _note_codes(self) -> None:
        exchange = self.fed.exchange
        pull, codes = exchange.pull, self.codes

        def noted(handles: Any) -> Any:
            replies = pull(handles)
            codes.extend(r.error for r in replies.values() if r.error is not None)
            return replies

        exchange.__class__ = type(
            "Noted", (type(exchange),), {"__slots__": (), "pull": lambda _, handles: noted(handles)}
        )

    def signed(self, request: Any) -> bytes:
        return sign_request(request, self.fed.coordinator_key)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


# --- what spoils it ------------------------------------------------------------------------------


def _other_purpose(lab: Lab) -> LocalRules:
    return lab.rules(purpose="dpv:Marketing")


def _other_notice(lab: Lab) -> LocalRules:
    return lab.rules(notices=("1", "2"))


def _no_notice(lab: Lab) -> LocalRules:
    return lab.rules(notices=())


def _untold(lab: Lab) -> LocalRules:
    """A notice of the agreed version is published that does not tell of one feature."""
    agreement = lab.fed.agreement
    published = Publication(
        at="2026-01-01T00:00:00.000000Z", agreement=agreement.id, agreement_hash=agreement.hash,
        version=NOTICE, language="en", url="", words_sha256="", sha256="", own_text=True, by="anna",
        facts=replace(NoticeFacts.of(agreement, lab.party), features=("visits",)),
    )  # fmt: skip
    with lab.store.transaction():
        Publications(lab.store).add(published, b"")
    return lab.rules()


def _no_consents(lab: Lab) -> LocalRules:
    return lab.rules(sources=(c.objections(lab.objections),))


def _no_sources(lab: Lab) -> LocalRules:
    return lab.rules(sources=())


def _no_objections(lab: Lab) -> LocalRules:
    file, party = lab.assess()
    return lab.rules(party, assessment=file, sources=(c.consents(lab.consents),))


def _no_assessment(lab: Lab) -> LocalRules:
    return lab.rules(lab.assess()[1])


def _other_assessment(lab: Lab) -> LocalRules:
    file, party = lab.assess()
    file.write_bytes(ASSESSMENT + b" ")
    return lab.rules(party, assessment=file)


def _assessment_gone(lab: Lab) -> LocalRules:
    file, party = lab.assess()
    file.unlink()
    return lab.rules(party, assessment=file)


def _assessment_is_a_folder(lab: Lab) -> LocalRules:
    return lab.rules(lab.assess()[1], assessment=lab.folder)


def _stale(lab: Lab) -> LocalRules:
    c.changed(lab.consents, now=NOW, ago=timedelta(hours=25))
    return lab.rules()


def _stale_objections(lab: Lab) -> LocalRules:
    c.changed(lab.objections, now=NOW, ago=timedelta(hours=25))
    return lab.rules()


def _from_the_future(lab: Lab) -> LocalRules:
    c.changed(lab.consents, now=NOW, ago=timedelta(hours=-1))
    return lab.rules()


def _gone(lab: Lab) -> LocalRules:
    lab.consents.unlink(missing_ok=True)
    return lab.rules()


def _youngest_unsaid(lab: Lab) -> LocalRules:
    return lab.rules(youngest_customer=None)


def _too_young(lab: Lab) -> LocalRules:
    return lab.rules(youngest_customer=15)


def _stale_births(lab: Lab) -> LocalRules:
    births = c.write_csv(
        lab.folder / "births.csv",
        [{"subject": i, "born": "1980"} for i in IDS],
        header=["subject", "born"],
        now=NOW - timedelta(hours=25),
    )
    sources = (c.consents(lab.consents), c.births(births))
    return lab.rules(youngest_customer=None, sources=sources)


def _no_units(lab: Lab) -> LocalRules:
    return lab.rules(units={"visits": "units"})


def _other_unit(lab: Lab) -> LocalRules:
    return lab.rules(units={**UNITS, "spent": "cents"})


def _unit_of_nothing(lab: Lab) -> LocalRules:
    return lab.rules(units={**UNITS, "age": "years"})


def _column_is_an_identifier(lab: Lab) -> LocalRules:
    return lab.rules(columns={"visits": "phone"})


def _column_is_special(lab: Lab) -> LocalRules:
    excluded = replace(lab.fed.agreement.excluded, special=SPECIAL_CATEGORIES)
    agreement = replace(lab.fed.agreement, excluded=excluded)
    return lab.rules(agreement=agreement, columns={"spent": "religion_code"})


def _column_is_an_age(lab: Lab) -> LocalRules:
    return lab.rules(columns={"spent": "customer_age"})


def _with(lab: Lab, name: str, **excluded: Any) -> LocalRules:
    agreed = lab.fed.agreement
    features = (replace(agreed.features[0], name=name), *agreed.features[1:])
    agreement = replace(agreed, features=features, excluded=replace(agreed.excluded, **excluded))
    return lab.rules(agreement=agreement, units={f.name: f.unit for f in features})


def _feature_is_special(lab: Lab) -> LocalRules:
    return _with(lab, "health_score", special=("health",))


def _column_is_a_proxy(lab: Lab) -> LocalRules:
    excluded = replace(lab.fed.agreement.excluded, proxies=("post_code",))
    agreement = replace(lab.fed.agreement, excluded=excluded)
    return lab.rules(agreement=agreement, columns={"visits": "PostCode"})


SPOILS: list[tuple[Callable[[Lab], LocalRules], str, str, str]] = [
    (_other_purpose, "E-PURPOSE", "for dpv:Marketing", "[consent] purpose"),
    (_other_notice, "E-NOTICE", "version 'none'; versions that tell your customers", "notices"),
    (_no_notice, "E-NOTICE", "of the purpose: none", "notices"),
    (_untold, "E-NOTICE", "it lacks the feature 'spent'", "new notice_version"),
    (_no_consents, "E-BASIS", "is consent", 'holds = "consents"'),
    (_no_sources, "E-BASIS", "is consent", 'holds = "consents"'),
    (_no_objections, "E-BASIS", "is legitimate interest", 'holds = "objections"'),
    (_no_assessment, "E-BASIS", "[consent] assessment names none", "SHA-256"),
    (_other_assessment, "E-BASIS", "is not the assessment that was agreed", "agreed file"),
    (_assessment_gone, "E-BASIS", "assessment.pdf cannot be read", "[consent] assessment"),
    (_assessment_is_a_folder, "E-BASIS", "cannot be read", "[consent] assessment"),
    (_stale, "E-CONSENT-STALE", "'crm' was last brought up to date", "export it again"),
    (_stale_objections, "E-CONSENT-STALE", "'robinson'", "export it again"),
    (_from_the_future, "E-CONSENT-STALE", "in the future", "clocks"),
    (_gone, "E-CONSENT-SOURCE", "crm.csv: no such file", "[[consent.sources]]"),
    (_youngest_unsaid, "E-CHILD", "younger than 16 are never counted", 'holds = "births"'),
    (_too_young, "E-CHILD", "yours may be 15", "youngest_customer = 16"),
    (_stale_births, "E-CONSENT-STALE", "'registry'", "export it again"),
    (_no_units, "E-FEATURE-UNIT", "in which unit the data have spent", 'spent = "units"'),
    (_other_unit, "E-FEATURE-UNIT", "spent in cents, agreed is units", "[data.units]"),
    (_unit_of_nothing, "E-FEATURE-UNLISTED", "[data.units] names 'age'", "visits, spent"),
    (_column_is_an_identifier, "E-SPECIAL", "(column 'phone') looks like", "agree"),
    (_column_is_special, "E-SPECIAL", "(column 'religion_code') looks like", "agree on"),
    (_column_is_an_age, "E-CHILD", "looks like an age", 'min: "16"'),
    (_feature_is_special, "E-SPECIAL", "feature 'health_score' looks like health", "agree on"),
    (_column_is_a_proxy, "E-SPECIAL", "the agreement names 'PostCode'", "agree on"),
]
NAMES = [spoil.__name__.strip("_") for spoil, *_ in SPOILS]


def test_a_node_in_order_answers_and_is_charged(lab: Lab) -> None:
    lab.fed.run()
    assert lab.codes == []
    assert lab.source.reads > 1
    assert len(Ledger(lab.store).charges()) == lab.source.reads


def test_legitimate_interest_in_order_refuses_nothing(lab: Lab) -> None:
    file, party = lab.assess()
    rules = lab.rules(party, assessment=file, sources=(c.objections(lab.objections),))
    rules.check(NOW)


@pytest.mark.parametrize(("spoil", "code", "said", "remedy"), SPOILS, ids=NAMES)
def test_each_rule_says_what_is_wrong_and_the_way_out(
    lab: Lab, spoil: Callable[[Lab], LocalRules], code: str, said: str, remedy: str
) -> None:
    with pytest.raises(FedsegError) as caught:
        spoil(lab).check(NOW)
    assert caught.value.code == code
    assert caught.value.exit_code == 3
    assert said in caught.value.message
    assert remedy in caught.value.remedy


@pytest.mark.slow
@pytest.mark.parametrize(("spoil", "code"), [s[:2] for s in SPOILS], ids=NAMES)
def test_a_rule_that_is_broken_from_the_start_keeps_the_node_out_unread_and_uncharged(
    lab: Lab, spoil: Callable[[Lab], LocalRules], code: str
) -> None:
    lab.node._rules = spoil(lab)
    lab.fed.run()  # goes on without it
    assert set(lab.codes) == {code}
    assert lab.source.reads == 0
    assert Ledger(lab.store).charges() == []
    assert lab.store.egress() == []


@pytest.mark.slow
@pytest.mark.parametrize(("spoil", "code"), [s[:2] for s in SPOILS], ids=NAMES)
def test_a_rule_that_breaks_in_mid_run_refuses_the_next_round_unread_and_uncharged(
    lab: Lab, spoil: Callable[[Lab], LocalRules], code: str
) -> None:
    before: list[int] = []

    def break_it(number: int, message: bytes) -> bytes:
        if number == 1 and len(Ledger(lab.store).charges()) == 2 and not before:
            before.append(lab.source.reads)
            lab.node._rules = spoil(lab)
        return message

    lab.fed.exchange.tamper_request = break_it
    lab.fed.run()  # three of four are a quorum
    assert before == [2]
    assert set(lab.codes) == {code}
    assert lab.source.reads == 2
    assert len(Ledger(lab.store).charges()) == 2


@pytest.mark.slow
@pytest.mark.parametrize(("spoil", "code"), [s[:2] for s in SPOILS], ids=NAMES)
def test_with_exact_totals_a_broken_rule_ends_the_run_with_its_code_alone(
    tmp_path: Path, spoil: Callable[[Lab], LocalRules], code: str
) -> None:
    lab = Lab(tmp_path, privacy=None)

    def break_it(number: int, message: bytes) -> bytes:
        if number == 1 and lab.source.reads == 1:
            lab.node._rules = spoil(lab)
        return message

    lab.fed.exchange.tamper_request = break_it
    with pytest.raises(RunFailedError) as caught:
        lab.fed.run()
    assert set(lab.codes) == {code}
    assert lab.source.reads == 1
    assert f"partner-1 refused with {code}" in caught.value.message
    for word in ("crm", "robinson", "notice", "assessment", str(lab.folder)):
        assert word not in caught.value.message


def test_what_a_rule_refused_is_kept_for_the_person_at_this_machine(lab: Lab) -> None:
    lab.node._rules = _other_notice(lab)
    asked = lab.signed(Open(agreement_hash=lab.fed.agreement.hash, run_id=bytes(16)))
    with pytest.raises(FedsegError, match="E-NOTICE"):
        lab.node.handle(asked)
    assert [r.code for r in Refusals(lab.store).all()] == ["E-NOTICE"]


def test_a_stop_and_a_release_are_taken_whatever_the_rules_say(lab: Lab) -> None:
    def break_it(number: int, message: bytes) -> bytes:
        if number == 1 and b"fedseg/v1/publish" in message:
            lab.node._rules = _other_notice(lab)
        return message

    lab.fed.exchange.tamper_request = break_it
    lab.fed.run()
    assert len(lab.store.releases()) == 1
    assert lab.codes == []
    (record,) = lab.store.runs()
    assert lab.node.handle(lab.signed(Stop(run_id=record.run_id, reason="E-STOPPED")))


# --- what hangs on single customers --------------------------------------------------------------


def _spoiled_table(lab: Lab) -> None:
    text = lab.consents.read_text()
    c.write_text(lab.consents, text + "one,value,too,few\n")
    c.changed(lab.consents, now=NOW)


def test_a_table_that_cannot_be_read_leaves_with_noise_as_the_code_for_everything(lab: Lab) -> None:
    """Whether a table can be read may hang on the row of a single customer."""
    _spoiled_table(lab)
    lab.fed.run()  # goes on without it
    assert set(lab.codes) == {"E-SOURCE"}
    assert lab.source.reads == 0


def test_a_table_that_cannot_be_read_leaves_with_exact_totals_as_its_own_code(
    tmp_path: Path,
) -> None:
    lab = Lab(tmp_path, privacy=None)
    _spoiled_table(lab)
    with pytest.raises(RunFailedError, match="partner-1 refused with E-CONSENT-SOURCE"):
        lab.fed.run()
    assert lab.source.reads == 0


def _in_a_database(lab: Lab, newest: str) -> LocalRules:
    """Consents in SQLite, without a heartbeat, whose newest event is of that time."""
    path = lab.folder / "crm.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE consents (subject, event, time, purpose, notice)")
        rows = [tuple(c.given(i, newest, notice=NOTICE).values()) for i in IDS]
        database.executemany("INSERT INTO consents VALUES (?, ?, ?, ?, ?)", rows)
    source = c.consents(path, kind="sqlite", table=("consents",))
    rules = lab.rules(sources=(source,))
    lab.node._customers._gate = rules._gate  # type: ignore[attr-defined]
    return rules


@pytest.mark.parametrize(("privacy", "code"), [(True, "E-SOURCE"), (False, "E-CONSENT-STALE")])
def test_an_age_that_only_rows_tell_leaves_with_noise_as_the_code_for_everything(
    tmp_path: Path, privacy: bool, code: str
) -> None:
    """A table may be fresh by the event of a single customer."""
    lab = Lab(tmp_path) if privacy else Lab(tmp_path, privacy=None)
    lab.node._rules = _in_a_database(lab, "2025-01-01T00:00:00Z")
    with nullcontext() if privacy else pytest.raises(RunFailedError, match=code):
        lab.fed.run()
    assert set(lab.codes) == {code}
    assert lab.source.reads == 0


def test_a_table_in_a_database_that_is_in_order_is_read(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.node._rules = _in_a_database(lab, "2026-01-14T00:00:00Z")
    lab.fed.run()
    assert lab.codes == []
    assert lab.source.reads > 1


def test_a_customer_who_withdraws_in_mid_run_is_out_of_the_next_round(tmp_path: Path) -> None:
    lab = Lab(tmp_path, privacy=None)

    def withdraw(number: int, message: bytes) -> bytes:
        if number == 1 and lab.source.reads == 2 and len(counts(lab)) == 2:
            withdrawn = c.withdrawn("c7", "2026-01-10T00:00:00Z", notice=NOTICE)
            with lab.consents.open("a") as file:
                file.write(",".join(withdrawn.values()) + "\n")
            c.changed(lab.consents, now=NOW)
        return message

    lab.fed.exchange.tamper_request = withdraw
    lab.fed.run()
    found = counts(lab)
    assert found[:2] == [40, 40]
    assert set(found[2:]) == {39}


def counts(lab: Lab) -> list[int]:
    """How many customers were in each answer, oldest first."""
    return [m.customers for m in lab.store.egress() if m.customers is not None]


def test_more_customers_than_agreed_are_no_matter_as_long_as_fewer_may_be_counted(
    tmp_path: Path,
) -> None:
    """The row cap is about customers who are counted."""
    lab = Lab(tmp_path, privacy=None)
    cap = lab.party.max_customers
    more = [*IDS, "one-more"]
    lab.source.chunks = lambda columns, *, max_rows: iter(  # type: ignore[method-assign]
        [Chunk(ids=c.ids_of(*more), values=np.ones((len(more), 2)))]
    )
    lab.fed.run()
    assert set(counts(lab)) == {cap}


def test_what_was_agreed_to_be_no_exclusion_is_none(lab: Lab) -> None:
    _with(lab, "health_score", special=()).check(NOW)
    _with(lab, "wealth_score", special=("health",)).check(NOW)


def test_an_age_from_the_agreed_one_on_is_a_feature_like_others(lab: Lab) -> None:
    agreed = lab.fed.agreement
    age = replace(agreed.features[0], name="age", min=Decimal(16), max=Decimal(90))
    agreement = replace(agreed, features=(age, *agreed.features[1:]))
    lab.rules(agreement=agreement, units={"age": "units", "spent": "units"}).check(NOW)


def test_births_say_what_no_contract_does(lab: Lab) -> None:
    births = c.write_csv(
        lab.folder / "births.csv", [{"subject": i, "born": "1980"} for i in IDS],
        header=["subject", "born"], now=NOW,
    )  # fmt: skip
    sources = (c.consents(lab.consents), c.births(births))
    lab.rules(youngest_customer=None, sources=sources).check(NOW)


# --- a partner's signed stop ---------------------------------------------------------------------


def stop_by(lab: Lab, partner: int) -> SignedStop:
    key = lab.fed.partner_keys[partner]
    return SignedStop.sign(lab.fed.agreement, key, at="2026-01-15T00:00:00Z", reason="a breach")


def note(lab: Lab, stop: SignedStop) -> None:
    with lab.store.transaction():
        lab.store.note_stop(stop, now="2026-01-15T00:00:00.000000Z")


@pytest.mark.parametrize("partner", [1, 2], ids=["own", "another's"])
def test_after_a_stop_a_node_reads_and_charges_nothing(lab: Lab, partner: int) -> None:
    note(lab, stop_by(lab, partner))
    lab.fed.run()  # nobody knows yet who this node is: it goes on without it
    assert set(lab.codes) == {"E-WITHDRAWN"}
    assert lab.source.reads == 0
    assert Ledger(lab.store).charges() == []
    assert lab.store.egress() == []


def test_a_stop_in_mid_run_ends_this_nodes_part_with_the_next_round(lab: Lab) -> None:
    """The coordinator has no stop that somebody signed: it believes none, and others may go on."""

    def stop_it(number: int, message: bytes) -> bytes:
        if number == 1 and len(Ledger(lab.store).charges()) == 2:
            note(lab, stop_by(lab, 1))
        return message

    lab.fed.exchange.tamper_request = stop_it
    lab.fed.run()  # three of four are a quorum
    assert set(lab.codes) == {"E-WITHDRAWN"}
    assert lab.source.reads == 2
    assert len(Ledger(lab.store).charges()) == 2


@pytest.mark.parametrize("signed", [False, True])
def test_a_stop_that_nobody_signed_is_not_believed(lab: Lab, signed: bool) -> None:
    fed = lab.fed
    request = Open(agreement_hash=fed.agreement.hash, run_id=b"\x07" * 16)
    lab.node.handle(sign_request(request, fed.coordinator_key))
    if signed:
        note(lab, stop_by(lab, 2))
    ended = sign_request(Stop(run_id=request.run_id, reason="E-WITHDRAWN"), fed.coordinator_key)
    if signed:
        lab.node.handle(ended)
    else:
        with pytest.raises(RemoteProtocolError) as caught:
            lab.node.handle(ended)
        assert caught.value.code == "E-STOP-UNSIGNED"
        assert [r.code for r in Refusals(lab.store).all()] == ["E-STOP-UNSIGNED"]
    run = lab.store.run_by_id(request.run_id)
    assert run is not None
    assert run.phase == ("aborted" if signed else "greeted")


def test_a_stop_of_another_version_stops_nothing(lab: Lab) -> None:
    later = replace(lab.fed.agreement, version=2, supersedes=lab.fed.agreement.hash)
    note(lab, SignedStop.sign(later, lab.fed.partner_keys[2], at="2026-01-15T00:00:00Z"))
    lab.fed.run()
    assert lab.codes == []


def test_no_smaller_set_is_signed_once_a_rule_is_broken(lab: Lab) -> None:
    assert refused_at_propose(lab, lambda: setattr(lab.node, "_rules", _other_notice(lab))) == {
        "E-NOTICE"
    }


def test_no_smaller_set_is_signed_after_a_stop(lab: Lab) -> None:
    """Nobody but the node that has the stop says so; the others are not told of one."""
    codes = refused_at_propose(lab, lambda: note(lab, stop_by(lab, 2)))
    assert codes == {"E-WITHDRAWN"}


def refused_at_propose(lab: Lab, spoil: Callable[[], object]) -> set[str]:
    """With which codes partner 1 refuses a set without partner 3, which it did not sign."""
    spoiled: list[int] = []

    def tamper(number: int, message: bytes) -> bytes | None:
        if number == 3 and b"fedseg/v1/announce" in message:
            return None  # partner 3 falls silent
        if number == 1 and b"fedseg/v1/propose" in message and not spoiled:
            spoiled.append(lab.source.reads)
            spoil()
        return message

    lab.fed.exchange.tamper_request = tamper
    with pytest.raises(RunFailedError):  # two of four are no quorum
        lab.fed.run()
    assert spoiled == [lab.source.reads], "a customer was read"
    assert [len(link.members) for link in lab.store.chain(lab.fed.agreement).links] == [4]
    assert not any("ACCEPT" in record.what for record in lab.store.egress())
    return set(lab.codes)
