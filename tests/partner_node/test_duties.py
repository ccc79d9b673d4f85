"""Every duty of a node, made to stand in each state that it can have."""

# Fixtures of another file are imported, and named again by the tests that want them:
# ruff: noqa: F811

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Timer
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from machine.accounts.roles import Role
from machine.backups import note_backup
from machine.duties.duty import Duty, State
from partner_node.duties import keeping, keys
from partner_node.duties.all import duties_of
from partner_node.egress.records import WAITING, Manifests
from partner_node.home import NodeHome
from partner_node.membership import CERTIFICATE_FILE
from partner_node.metrics.health import LinkState
from partner_node.metrics.measuring import measure_node
from partner_node.register.requests import RightsRegister
from partner_node.segments import retention
from partner_node.segments.export_records import ExportRecords
from partner_node.spending import Spending
from partner_node.store.caps import Cap, Caps
from partner_node.store.ledger import Ledger
from partner_node.store.node_store import NodeStore
from partner_node.store.seals import Seals
from partner_node.store.staff import Staff, Training
from partner_node.store.times import moment, stamp
from protocol.privacy.accounting import cost_of_rho, rho_for
from tests.machine.people import add
from tests.partner_node.nodes import complete, installed, node, shell  # noqa: F401 - fixtures
from tests.partner_node.test_node_cli import PRIVACY
from tests.scraping import scraped
from tests.shell import Shell

DAY = timedelta(days=1)
#: Dates that are far away.
AGREED: dict[str, Any] = {
    "expires": "2030-01-01T00:00:00Z", "review_by": "2029-01-01T00:00:00Z",
}  # fmt: skip


class Lab:
    """A node's folder, and its duties at whatever time."""

    def __init__(self, shell: Shell, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.shell, self.folder, self.patch = shell, folder, patch
        self.now = datetime.now(UTC)

    @property
    def home(self) -> NodeHome:
        return NodeHome.load(self.folder)

    def install(self, **changes: Any) -> None:
        self.home.config.node.agreement.write_bytes(complete(self.folder, **AGREED | changes))

    def change(self, act: Callable[[NodeStore], object]) -> None:
        home = self.home
        with closing(home.store(home.keystore())) as store, store.transaction():
            act(store)

    def duties(self, *, days: float = 0, under: str | None = None) -> dict[str, Duty]:
        home = self.home
        with closing(home.store(home.keystore())) as store:
            found = duties_of(home, store, self.now + days * DAY, under=under)
        assert len({one.key for one in found}) == len(found)
        return {one.name: one for one in found}

    def state(self, name: str, *, days: float = 0) -> State:
        return self.duties(days=days)[name].state


@pytest.fixture
def lab(shell: Shell, installed: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return Lab(shell, installed, monkeypatch)


def _agreement(lab: Lab) -> None:
    lab.install()
    end = datetime(2030, 1, 1, tzinfo=UTC)
    lab.now = end
    assert [lab.state("agreement", days=d) for d in (-31, -30, -1, 0)] == [
        State.OK, State.SOON, State.SOON, State.OVERDUE
    ]  # fmt: skip
    assert lab.duties(days=3)["agreement"].since == end
    lab.now = datetime.now(UTC)
    lab.shell.json("agreement", "stop", "--yes", "--out", "stop.json", "--dir", lab.folder)
    assert lab.state("agreement") is State.OVERDUE
    assert "north stopped" in lab.duties()["agreement"].found


def _review(lab: Lab) -> None:
    lab.install()
    lab.now = datetime(2029, 1, 1, tzinfo=UTC)
    assert [lab.state("review", days=d) for d in (-31, -5, 1)] == [
        State.OK, State.SOON, State.OVERDUE
    ]  # fmt: skip


def _program(lab: Lab) -> None:
    assert lab.state("program") is State.OK
    lab.install(software={"package": "fedseg", "version": "0.1.0", "sha256": "ab" * 32})
    found = lab.duties()["program"]
    assert (found.state, "other code" in found.found) == (State.OVERDUE, True)


def _diligence(lab: Lab) -> None:
    assert lab.state("due-diligence") is State.NOT_ASKED
    lab.install(diligence="required")
    assert lab.state("due-diligence") is State.UNKNOWN


def _schedule(lab: Lab) -> None:
    assert lab.state("scheduled-runs") is State.NOT_ASKED
    monthly = {"every": 1, "unit": "months", "first_day": "2020-01-01", "at": "00:00",
               "window_hours": 1}  # fmt: skip
    lab.install(schedule=monthly)
    lab.duties()
    lab.change(lambda store: store.keep_agreement(lab.home.signed_agreement(), now=stamp(lab.now)))
    assert lab.state("scheduled-runs") is State.OK
    found = lab.duties(days=40)["scheduled-runs"]
    assert found.state is State.OVERDUE
    assert found.since is not None and found.next is not None and found.since < found.next


def _consents(lab: Lab) -> None:
    """Agreed are 48 hours: a quarter of that is twelve."""
    assert [lab.state("consents", days=d) for d in (0, 1.6, 2.1)] == [
        State.OK, State.SOON, State.OVERDUE
    ]  # fmt: skip
    (lab.folder.parent / "consents.csv").unlink()
    found = lab.duties()["consents"]
    assert (found.state, found.found[:16]) == (State.OVERDUE, "E-CONSENT-SOURCE")


def _notice(lab: Lab) -> None:
    assert lab.state("notice") is State.UNKNOWN
    lab.install(purpose={"text": "Segments for own marketing."})
    where = ("--dir", lab.folder)
    lab.shell.json("notice", "render", "--out", "notice.html", *where)
    lab.shell.json("notice", "publish", "notice.html", *where)
    assert lab.state("notice") is State.OK
    lab.install(purpose={"text": "Segments for own marketing.", "notice_version": "2"})
    assert lab.state("notice") is State.OVERDUE


def _requests(lab: Lab) -> None:
    assert lab.state("requests") is State.OK
    day = lab.now.date()
    lab.change(lambda s: RightsRegister(s).receive("access", "ab" * 32, day, now=lab.now))
    found = lab.duties()["requests"]
    assert (found.state, found.found) == (State.OK, "1 request of customers open")
    assert lab.state("requests", days=27) is State.SOON
    late = lab.duties(days=33)["requests"]
    assert (late.state, late.next) == (State.OVERDUE, found.next)
    assert "1 past the last day" in late.found


def _files(lab: Lab) -> None:
    assert lab.state("segment-files") is State.OK
    file = SimpleNamespace(path="/x", delete_by=stamp(lab.now + 10 * DAY))
    lab.patch.setattr(ExportRecords, "all", lambda _: [file])
    assert [lab.state("segment-files", days=d) for d in (0, 5, 11)] == [
        State.OK, State.SOON, State.OVERDUE
    ]  # fmt: skip


def _records(lab: Lab) -> None:
    assert lab.state("records") is State.OK
    lab.patch.setattr(retention, "_oldest_record", lambda _: stamp(lab.now))
    days = lab.home.agreements_in_force()[0].retention.records_days
    assert lab.state("records", days=days) is State.OK
    assert lab.state("records", days=days + 2) is State.OVERDUE


def _budget(lab: Lab) -> None:
    assert lab.state("budget") is State.NOT_ASKED
    lab.install(privacy=PRIVACY, plan={"name": "lloyd-dp", "max_rounds": 4})
    terms = lab.home.agreements_in_force()[0].privacy
    assert terms is not None
    assert lab.state("budget") is State.OK
    for left, state in ((4, State.OK), (2, State.SOON), (0, State.OVERDUE)):
        spent = terms.budget - left * (terms.budget // 5)
        lab.patch.setattr(Ledger, "spent", lambda *_, spent=spent: spent)
        assert lab.state("budget") is state, left


def _cap(lab: Lab) -> None:
    assert lab.state("cap") is State.NOT_ASKED
    cap = Cap(at=stamp(lab.now), epsilon=Decimal(4), delta=Decimal("0.000001"), reason="")
    lab.change(lambda store: Caps(store).decide(cap))
    for epsilon, state in ((3.0, State.OK), (3.3, State.SOON), (4.1, State.OVERDUE)):
        spent = cost_of_rho(rho_for(epsilon, 1e-6))
        lab.patch.setattr(Spending, "total", spent)
        assert lab.state("cap") is state, epsilon


def _two_people(lab: Lab) -> None:
    assert lab.state("two-people") is State.NOT_ASKED
    lab.install(four_eyes=["agreement"])
    states = [lab.state("two-people")]
    for name in ("anna", "bo"):
        with closing(lab.home.accounts()) as accounts:
            add(accounts, name, Role.APPROVER)
        states.append(lab.state("two-people"))
    assert states == [State.OVERDUE, State.SOON, State.OK]


def _approvals(lab: Lab) -> None:
    assert lab.state("approvals") is State.OK
    held = SimpleNamespace(expires_at=stamp(lab.now + DAY), state=lambda _: WAITING)
    lab.patch.setattr(Manifests, "held", lambda _: [held])
    found = lab.duties()["approvals"]
    assert (found.state, found.next) == (State.SOON, lab.now + DAY)
    held.expires_at = None
    assert lab.state("approvals") is State.SOON


def _backup(lab: Lab) -> None:
    assert lab.state("backup") is State.OVERDUE
    note_backup(lab.home.backup_note, stamp(lab.now))
    assert [lab.state("backup", days=d) for d in (1, 3)] == [State.OK, State.OVERDUE]


def _authority(lab: Lab) -> None:
    assert lab.state("authority") is State.UNKNOWN
    _certificate(lab.home.config.coordinator.root_certificates, lab.now + 100 * DAY)
    assert [lab.state("authority", days=d) for d in (0, 80, 120)] == [
        State.OK, State.SOON, State.OVERDUE
    ]  # fmt: skip


def _own_certificate(lab: Lab) -> None:
    assert "own-certificate" not in lab.duties()
    _certificate(lab.home.keys_folder / CERTIFICATE_FILE, lab.now + 100 * DAY)
    assert [lab.state("own-certificate", days=d) for d in (0, 80, 120)] == [
        State.OK, State.SOON, State.OVERDUE
    ]  # fmt: skip


def _certificate(file: Path, end: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(end - 300 * DAY).not_valid_after(end)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))


def _training(lab: Lab) -> None:
    assert lab.state("training") is State.NOT_ASKED
    lab.install(training=["fedseg-basics"])
    assert lab.state("training") is State.OVERDUE
    today = lab.now.date()
    one = Training(
        name="anna", course="fedseg-basics", on=today, until=today + 100 * DAY, evidence=""
    )
    at = stamp(lab.now)
    lab.change(lambda store: Staff(store).add("anna", "marketer", by="", at=at))
    assert lab.state("training") is State.OVERDUE
    lab.change(lambda store: Staff(store).train(one, by="", at=at))
    assert [lab.state("training", days=d) for d in (0, 80, 102)] == [
        State.OK, State.SOON, State.OVERDUE
    ]  # fmt: skip
    lab.change(lambda store: Staff(store).add("bo", "officer", by="", at=at))
    assert lab.state("training") is State.SOON, "one of two"


def _keys(lab: Lab) -> None:
    assert lab.state("keys") is State.OK
    one = SimpleNamespace(refused_at=stamp(lab.now))
    lab.patch.setattr(keys, "unsettled", lambda *_: [one])
    found = lab.duties()["keys"]
    assert (found.state, found.since) == (State.OVERDUE, moment(stamp(lab.now)))


def _logs_of_others(lab: Lab) -> None:
    assert lab.state("logs-of-others") is State.OK
    fork = SimpleNamespace(party="other-0", found_at=stamp(lab.now))
    lab.patch.setattr(keeping, "open_forks", lambda _: [("ours", fork)])
    found = lab.duties()["logs-of-others"]
    assert (found.state, found.found) == (State.OVERDUE, "forked: other-0 under ours")


def _cosigning(lab: Lab) -> None:
    assert lab.state("cosigning") is State.OK
    lab.patch.setattr(Seals, "size", 7)
    assert lab.state("cosigning") is State.SOON
    lab.patch.setattr(keeping, "newest_cosigned", lambda *_: SimpleNamespace(number=5))
    found = lab.duties()["cosigning"]
    assert (found.state, found.found[-24:]) == (State.OK, "others cosigned the first 6"[-24:])


EACH: dict[str, Callable[[Lab], None]] = {
    "agreement": _agreement, "review": _review, "program": _program,
    "due-diligence": _diligence, "scheduled-runs": _schedule, "consents": _consents,
    "notice": _notice, "requests": _requests, "segment-files": _files, "records": _records,
    "budget": _budget, "cap": _cap, "two-people": _two_people, "approvals": _approvals,
    "backup": _backup, "authority": _authority, "own-certificate": _own_certificate,
    "training": _training, "keys": _keys,
    "logs-of-others": _logs_of_others, "cosigning": _cosigning,
}  # fmt: skip


@pytest.mark.parametrize("name", EACH)
def test_a_duty_stands_as_the_facts_are(lab: Lab, name: str) -> None:
    EACH[name](lab)


def test_no_duty_is_told_that_is_not_made_to_stand_in_its_states(lab: Lab) -> None:
    _certificate(lab.home.keys_folder / CERTIFICATE_FILE, lab.now)
    text = (Path(__file__).parents[2] / "docs" / "duties.md").read_text(encoding="utf-8")
    for name in lab.duties():
        assert name in EACH
        assert f"`{name}`" in text


def test_before_the_first_agreement_nothing_is_overdue_but_the_backup(
    shell: Shell, node: Path
) -> None:
    found = shell("compliance", "status", "--dir", node, "--format", "json")
    assert (found.code, found.envelope["status"]) == (3, "refused")
    states = {one["duty"]: one["state"] for one in found.envelope["data"]["duties"]}
    assert {name for name, state in states.items() if state == "overdue"} == {"backup"}
    assert states["agreement"] == "not asked"


def test_an_agreement_that_cannot_be_read_is_overdue_and_the_rest_is_told(lab: Lab) -> None:
    lab.home.config.node.agreement.write_text("{")
    found = lab.duties()
    assert found["agreement"].state is State.OVERDUE
    assert "cannot be read" in found["agreement"].found
    assert found["requests"].state is State.OK


def test_the_exit_status_is_for_a_machine(lab: Lab) -> None:
    note_backup(lab.home.backup_note, stamp(lab.now))
    lab.install()
    _certificate(lab.home.config.coordinator.root_certificates, lab.now + 100 * DAY)
    words = ("compliance", "status", "--dir", lab.folder)
    plain = lab.shell(*words)
    assert (plain.code, "1 unknown" in plain.out) == (0, True)
    assert lab.shell(*words, "--strict").code == 3, "nothing is known of the notice"
    other = lab.shell.refused(*words, "--under", "theirs", status=2)
    assert "ours" in other["remedy"]
    found = lab.shell(*words, "--under", "ours", "--format", "json").envelope["data"]
    assert {one["agreement"] for one in found["duties"]} == {None, "ours"}


def test_asking_changes_nothing(lab: Lab) -> None:
    home = lab.home
    with closing(home.store(home.keystore())) as store:
        before, log = store.mark(), store.log.size
        assert duties_of(home, store, lab.now)
        assert (store.mark(), store.log.size) == (before, log)


def test_metrics_have_names_and_states_and_no_date_of_a_request(lab: Lab) -> None:
    day = lab.now.date() - 40 * DAY
    lab.change(lambda s: RightsRegister(s).receive("access", "ab" * 32, day, now=lab.now))
    found = scraped(lambda: measure_node(lab.home, LinkState()), dict)
    assert found[("fedseg_duty_overdue", "", "requests")] == 1
    assert ("fedseg_duty_next_timestamp_seconds", "", "requests") not in found
    assert found[("fedseg_duty_next_timestamp_seconds", "ours", "review")] > 0
    assert found[("fedseg_duties", "overdue")] >= 2


def test_a_watch_tells_a_change_while_it_lasts_and_ends_with_a_signal(lab: Lab) -> None:
    lab.install()
    program = [sys.executable, "-c", "from partner_node.cli import main; main()"]
    words = ["compliance", "watch", "--dir", str(lab.folder), "--format", "json"]
    with subprocess.Popen(
        [*program, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stdout is not None
        bound = Timer(60, watching.kill)  # who tells nothing is not waited for
        bound.start()
        try:
            first = json.loads(watching.stdout.readline())
            assert first["event"] == "standing"
            assert len(first["duties"]) == sum(first["states"].values())
            day = lab.now.date() - 40 * DAY
            lab.change(lambda s: RightsRegister(s).receive("access", "ab" * 32, day, now=lab.now))
            change = json.loads(watching.stdout.readline())
            assert (change["event"], change["duty"], change["was"], change["state"]) == (
                "changed", "requests", "ok", "overdue",
            )  # fmt: skip
            watching.send_signal(signal.SIGTERM)
            assert (watching.wait(timeout=20), watching.stdout.read()) == (0, "")
        finally:
            bound.cancel()
            watching.kill()
