"""Preflight: PASSED, or each problem with its way out; nothing leaves the node."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator.service.certificates import ServerCertificate, make_server_certificate
from machine.private_files import write_private_file
from partner_node.config.node_config import NodeConfig
from partner_node.keystore import Keystore
from partner_node.link.certificates import SOON, authority_ends_soon
from partner_node.preflight import Report, preflight
from protocol.agreement.document import Agreement
from protocol.agreement.governance import SEGMENTATION
from protocol.agreement.software import Software
from protocol.signing import public_bytes
from simulations.agreement import signed_with
from tests.agreed_terms import agreed_feature, agreed_party, agreed_values
from tests.connect_proxy import connect_proxy

NOW = datetime.now(UTC)
OTHER_SOFTWARE = Software(version="9.9.9", sha256=bytes(32)).to_dict()
OTHERS = [Ed25519PrivateKey.generate() for _ in range(3)]


class TlsServer:
    """Shakes hands on loopback until it is closed."""

    def __init__(self, files: ServerCertificate) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.key)
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.received: list[bytes] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._socket.accept()
            except OSError:
                return
            plain.settimeout(5)
            try:
                with plain, self._context.wrap_socket(plain, server_side=True) as secured:
                    self.received.append(secured.recv(1_000))
            except OSError:
                continue

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> ServerCertificate:
    return make_server_certificate(
        tmp_path_factory.mktemp("tls"), name="coordinator", hosts=["127.0.0.1"], now=NOW,
        lifetime_days=90,
    )  # fmt: skip


@pytest.fixture(scope="module")
def server(files: ServerCertificate) -> Iterator[TlsServer]:
    found = TlsServer(files)
    yield found
    found.close()


class Lab:
    """A node's folder in which all is well."""

    def __init__(self, folder: Path, server: TlsServer, authority: Path) -> None:
        self.folder = folder
        self.server = server
        (folder / "customers.csv").write_text("customer_id,visits,spent\n001,1,5\nb,5,50\nc,11,7\n")
        self.write_consents("001", "b", "c")
        self.write_config(authority=authority)
        write_private_file(folder / "keys" / "passphrase", b"a passphrase of some length\n")
        self.keystore = Keystore.create(
            folder / "keys" / "keystore.json", b"a passphrase of some length", log2_n=14
        )
        self.write_agreement()

    def write_config(self, *, authority: Path, **changes: Any) -> None:
        self.authority = authority
        values: dict[str, Any] = {
            "partner": "north",
            "address": f"127.0.0.1:{self.server.port}",
            "root_certificates": str(authority),
            "passphrase_file": "keys/passphrase",
            "consents": "consents.csv",
            "youngest_customer": 18,
            "units": {"visits": "units", "spent": "units"},
        } | changes
        (self.folder / "node.toml").write_text(NodeConfig.template(**values))

    def write_consents(self, *ids: str) -> None:
        """Consents of these customers."""
        lines = [f"{i},ConsentGiven,2025-01-01T00:00:00Z,{SEGMENTATION},1" for i in ids]
        (self.folder / "consents.csv").write_text(
            "\n".join(["customer_id,event,time,purpose,notice", *lines]) + "\n"
        )

    def write_agreement(self, *, sign: bool = True, cap: int = 3, **changes: Any) -> None:
        keys = [self.keystore.identity_public, *map(public_bytes, OTHERS[:2])]
        values = agreed_values(
            id="ours",
            parties=[
                agreed_party(name, key, max_customers=cap)
                for name, key in zip(("north", "south", "west"), keys, strict=True)
            ],
            coordinator_key=public_bytes(OTHERS[2]),
            features=[agreed_feature("visits"), agreed_feature("spent")],
            **{
                "effective": (NOW - timedelta(days=2)).strftime("%Y-%m-%dT00:00:00Z"),
                "expires": (NOW + timedelta(days=2)).strftime("%Y-%m-%dT00:00:00Z"),
                "consent": {"max_age_hours": 48},
                "software": Software.installed(metadata.version, resources.files).to_dict(),
                **changes,
            },
        )
        signers = [*OTHERS[:2], *([self.keystore.identity] if sign else [])]
        signed = signed_with(Agreement.from_dict(values), signers)
        path = self.folder / "agreement.json"
        path.write_bytes(signed.to_bytes())

    def check(self) -> Report:
        return preflight(self.folder, now=datetime.now(UTC))


@pytest.fixture
def lab(tmp_path: Path, server: TlsServer, files: ServerCertificate) -> Lab:
    return Lab(tmp_path, server, files.authority)


def test_what_is_open_to_other_accounts_is_warned_of(lab: Lab) -> None:
    assert not [w for item in lab.check().items for w in item.warnings]
    lab.folder.chmod(0o777)
    (lab.folder / "node.toml").chmod(0o666)
    report = lab.check()
    (keys,) = [item for item in report.items if item.name == "keys and state"]
    assert keys.passed
    assert [w.split(" is open")[0] for w in keys.warnings] == [
        str(lab.folder), str(lab.folder / "node.toml"),
    ]  # fmt: skip
    assert f"chmod 0700 {lab.folder}" in keys.warnings[0]
    assert f"chmod 0644 {lab.folder / 'node.toml'}" in keys.warnings[1]


def test_a_node_in_order_passes_and_says_what_it_found(lab: Lab) -> None:
    report = lab.check()
    assert report.passed, [i.to_dict() for i in report.items if not i.passed]
    assert [item.name for item in report.items] == [
        "installation", "configuration", "keys and state", "retention", "receipts", "agreement",
        "data", "consent", "budget", "coordinator",
    ]  # fmt: skip
    details = {item.name: item.details for item in report.items}
    assert "3 customers" in details["data"]
    assert "visits 33.3 %" in details["data"]
    assert "spent 33.3 %" in details["data"]
    assert "signed by all 3 parties" in details["agreement"]
    assert "3 of 3 customers are counted now, on the basis of consent" in details["consent"]
    assert "3 of 3 ids in consents are in the data" in details["consent"]
    assert "answers directly, with TLS" in details["coordinator"]


def test_by_which_way_the_node_goes_out_is_said(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def outcome(**changes: object) -> tuple[str, str]:
        lab.write_config(authority=lab.authority, **changes)
        (item,) = [item for item in lab.check().items if item.name == "coordinator"]
        return ("" if item.problem is None else item.problem.code), item.details

    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert "answers directly" in outcome()[1], "a coordinator on this machine"
    with connect_proxy() as proxy:
        code, details = outcome(proxy=proxy.url)
        assert code == ""
        assert f"answers through the proxy 127.0.0.1:{proxy.port} (node.toml)" in details
        assert proxy.asked == {f"127.0.0.1:{lab.server.port}": 1}
        assert outcome(proxy=proxy.url, address="127.0.0.1:9")[0] == "E-TRANSPORT"
        proxy.answer = 403
        assert outcome(proxy=proxy.url)[0] == "E-PROXY-REFUSED"
        proxy.credentials = "user:password"
        assert outcome(proxy=proxy.url)[0] == "E-PROXY-LOGIN"
        assert outcome(proxy=proxy.url, proxy_password_file="missing")[0] == "E-PROXY"
    code, details = outcome(proxy=proxy.url)
    assert (code, "is not reached" in details) == ("E-PROXY-AWAY", True)
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:9")
    assert outcome(address="c.example:9")[0] == "E-PROXY"


def test_certificates_that_end_within_a_month_are_mentioned(
    lab: Lab, files: ServerCertificate
) -> None:
    def warned(days: int) -> list[str]:
        report = preflight(lab.folder, now=NOW + timedelta(days=days))
        (found,) = [item for item in report.items if item.name == "coordinator"]
        assert found.passed
        return [w.partition(" ends on ")[0] for w in found.warnings]

    authority = f"the authority of the coordinator's certificate, {files.authority},"
    assert warned(30) == []
    assert warned(61) in (
        [f"the certificate of 127.0.0.1:{lab.server.port}"],
        [authority, f"the certificate of 127.0.0.1:{lab.server.port}"],
    )
    (end,) = [
        c.not_valid_after_utc for c in x509.load_pem_x509_certificates(files.authority.read_bytes())
    ]
    assert authority_ends_soon(files.authority, end - SOON - timedelta(seconds=1)) == []
    (soon,) = authority_ends_soon(files.authority, end - SOON)
    assert f"{authority} ends on {end:%Y-%m-%d}" in soon
    (ended,) = authority_ends_soon(files.authority, end)
    assert f"{authority} ended on" in ended
    name = files.authority.name.removesuffix("-ca.crt")
    anew = make_server_certificate(
        lab.folder / "anew", name=name, hosts=["127.0.0.1"], now=NOW, lifetime_days=900
    )
    both = lab.folder / "both.pem"
    both.write_bytes(files.authority.read_bytes() + anew.authority.read_bytes())
    assert authority_ends_soon(both, end) == [], "it is there anew"
    (lab.folder / "text.pem").write_text("hello")
    for unreadable in (lab.folder / "text.pem", lab.folder / "missing.pem", lab.folder):
        assert authority_ends_soon(unreadable, NOW) == []


def test_nothing_is_said_to_the_coordinator(lab: Lab) -> None:
    lab.server.received.clear()
    assert lab.check().passed
    assert b"".join(lab.server.received) == b""


def _no_agreement(lab: Lab) -> None:
    (lab.folder / "agreement.json").unlink()


def _unsigned(lab: Lab) -> None:
    lab.write_agreement(sign=False)


def _expired(lab: Lab) -> None:
    lab.write_agreement(expires=(NOW - timedelta(days=1)).strftime("%Y-%m-%dT00:00:00Z"))


def _to_review(lab: Lab) -> None:
    yesterday = (NOW - timedelta(days=1)).strftime("%Y-%m-%dT00:00:00Z")
    lab.write_agreement(review_by=yesterday)


def _not_yet(lab: Lab) -> None:
    days = ((NOW + timedelta(days=n)).strftime("%Y-%m-%dT00:00:00Z") for n in (2, 3))
    lab.write_agreement(effective=next(days), expires=next(days))


def _other_software(lab: Lab) -> None:
    lab.write_agreement(software=OTHER_SOFTWARE)


def _other_key(lab: Lab) -> None:
    (lab.folder / "keys" / "keystore.json").unlink()
    Keystore.create(
        lab.folder / "keys" / "keystore.json", b"a passphrase of some length", log2_n=14
    )


def _other_name(lab: Lab) -> None:
    lab.write_config(authority=lab.authority, partner="nord")


def _open_key(lab: Lab) -> None:
    (lab.folder / "keys" / "keystore.json").chmod(0o644)


def _other_passphrase(lab: Lab) -> None:
    (lab.folder / "keys" / "passphrase").write_bytes(b"another passphrase, also long\n")


def _over_cap(lab: Lab) -> None:
    lab.write_agreement(cap=2)


def _other_column(lab: Lab) -> None:
    (lab.folder / "customers.csv").write_text("customer_id,visit,spent\na,1,5\n")


def _id_twice(lab: Lab) -> None:
    (lab.folder / "customers.csv").write_text("customer_id,visits,spent\na,1,5\na,1,5\n")


def _no_data(lab: Lab) -> None:
    (lab.folder / "customers.csv").unlink()


def _mapping(lab: Lab) -> None:
    lab.write_config(authority=lab.authority, columns={"vists": "visits"})


def _other_purpose(lab: Lab) -> None:
    purpose = {"term": "dpv:Marketing", "text": "Segments.", "notice_version": "1"}
    lab.write_agreement(purpose=purpose)


def _other_notice(lab: Lab) -> None:
    purpose = {"term": SEGMENTATION, "text": "Segments.", "notice_version": "2"}
    lab.write_agreement(purpose=purpose)


def _no_consents(lab: Lab) -> None:
    lab.write_config(authority=lab.authority, consents=None)


def _no_age(lab: Lab) -> None:
    lab.write_config(authority=lab.authority, youngest_customer=None)


def _no_unit(lab: Lab) -> None:
    lab.write_config(authority=lab.authority, units={"visits": "units"})


def _units_of_nothing(lab: Lab) -> None:
    units = {"visits": "units", "spent": "units", "age": "years", "tenure": "days"}
    lab.write_config(authority=lab.authority, units=units)


def _consents_gone(lab: Lab) -> None:
    (lab.folder / "consents.csv").unlink()


def _consents_stale(lab: Lab) -> None:
    long_ago = (NOW - timedelta(hours=49)).timestamp()
    os.utime(lab.folder / "consents.csv", (long_ago, long_ago))


def _consents_broken(lab: Lab) -> None:
    (lab.folder / "consents.csv").write_text("customer_id,event\n001,ConsentGiven\n")


def _nobody_agreed(lab: Lab) -> None:
    lab.write_consents("1", "B", " c")


def _nobody_there(lab: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    lab.write_config(authority=lab.authority, address=f"127.0.0.1:{port}")


def _other_authority(lab: Lab) -> None:
    other = make_server_certificate(
        lab.folder / "other", name="x", hosts=["127.0.0.1"], now=NOW, lifetime_days=30
    )
    lab.write_config(authority=other.authority)


def _no_authority(lab: Lab) -> None:
    lab.write_config(authority=lab.folder / "missing.pem")


def _authority_is_no_certificate(lab: Lab) -> None:
    (lab.folder / "text.pem").write_text("hello")
    lab.write_config(authority=lab.folder / "text.pem")


def _damaged_state(lab: Lab) -> None:
    (lab.folder / "state").mkdir()
    (lab.folder / "state" / "node.db").write_bytes(b"not a database" * 100)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "check", "code", "said"),
    [
        (_no_agreement, "agreement", "E-AGR-MISSING", "agreement install"),
        (_unsigned, "agreement", "E-AGR-UNSIGNED", "north"),
        (_expired, "agreement", "E-AGR-EXPIRED", "new version"),
        (_to_review, "agreement", "E-AGR-REVIEW", "new version"),
        (_not_yet, "agreement", "E-AGR-EXPIRED", "holds from"),
        (_other_software, "agreement", "E-CODE", "9.9.9"),
        (_other_key, "agreement", "E-AGR-PARTY", "public key"),
        (_other_name, "agreement", "E-AGR-PARTY", 'partner = "north"'),
        (_open_key, "keys and state", "E-KEY-MODE", "chmod 0600"),
        (_other_passphrase, "keys and state", "E-KEY-PASSPHRASE", "passphrase"),
        (_damaged_state, "keys and state", "E-STORE", "node.db"),
        (_over_cap, "consent", "E-ROW-CAP", "max_customers"),
        (_other_column, "data", "E-SOURCE", "'visit'"),
        (_id_twice, "data", "E-DUPLICATE", "customer_id"),
        (_no_data, "data", "E-SOURCE", "customers.csv"),
        (_mapping, "data", "E-FEATURE-UNLISTED", "visits, spent"),
        (_other_purpose, "consent", "E-PURPOSE", "[consent] purpose"),
        (_other_notice, "consent", "E-NOTICE", "[consent] notices"),
        (_no_consents, "consent", "E-BASIS", "[[consent.sources]]"),
        (_no_age, "consent", "E-CHILD", "youngest_customer = 16"),
        (_units_of_nothing, "data", "E-FEATURE-UNLISTED", "leave them out of [data.units]"),
        (_no_unit, "data", "E-FEATURE-UNIT", 'spent = "units"'),
        (_consents_gone, "consent", "E-CONSENT-SOURCE", "consents.csv: no such file"),
        (_consents_stale, "consent", "E-CONSENT-STALE", "heartbeat"),
        (_consents_broken, "consent", "E-CONSENT-SOURCE", "no column 'time' for time"),
        (_nobody_agreed, "consent", "E-NO-CONSENT", "letter by letter"),
        (_nobody_there, "coordinator", "E-TRANSPORT", "firewall"),
        (_other_authority, "coordinator", "E-TLS", "root_certificates"),
        (_no_authority, "coordinator", "E-TLS", "missing.pem"),
        (_authority_is_no_certificate, "coordinator", "E-TLS", "text.pem"),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)
def test_a_single_problem_is_found_and_comes_with_its_way_out(
    lab: Lab, spoil: Callable[[Lab], None], check: str, code: str, said: str
) -> None:
    spoil(lab)
    report = lab.check()
    assert not report.passed
    (item,) = [item for item in report.items if not item.passed]
    assert item.problem is not None
    assert item.name == check
    assert item.problem.code.startswith(code)
    assert said in item.problem.message + item.problem.remedy
    assert item.problem.remedy
    assert item.to_dict()["code"] == item.problem.code


def test_how_many_customers_may_be_counted_is_said(lab: Lab) -> None:
    lab.write_consents("001", "stranger")
    details = {item.name: item.details for item in lab.check().items if item.passed}
    assert "1 of 3 customers are counted now" in details["consent"]
    assert "1 of 2 ids in consents are in the data" in details["consent"]


def test_several_problems_are_all_listed(lab: Lab) -> None:
    _over_cap(lab)
    lab.write_config(authority=lab.folder / "missing.pem")
    failed = {item.name for item in lab.check().items if not item.passed}
    assert failed == {"consent", "coordinator"}


def test_more_customers_than_agreed_may_be_in_the_data_when_no_more_are_counted(lab: Lab) -> None:
    lab.write_agreement(cap=1)
    lab.write_consents("b")
    assert lab.check().passed


@pytest.mark.slow
def test_fewer_customers_than_agreed_are_a_problem(lab: Lab) -> None:
    lab.write_agreement(min_customers_per_partner=3)
    assert lab.check().passed
    lab.write_consents("001", "b")
    (item,) = [item for item in lab.check().items if not item.passed]
    assert item.problem is not None
    assert (item.name, item.problem.code) == ("consent", "E-TOO-FEW")
    assert "2 customers are counted now, the agreement needs 3" in item.details


@pytest.mark.slow
@pytest.mark.parametrize("spoil", [_no_agreement, _unsigned, _expired, _open_key])
def test_the_data_are_tried_whatever_is_wrong_before_them(
    lab: Lab, spoil: Callable[[Lab], None]
) -> None:
    spoil(lab)
    details = {item.name: item.details for item in lab.check().items if item.passed}
    assert "3 customers" in details["data"]
    _id_twice(lab)
    codes = {item.name: item.problem.code for item in lab.check().items if item.problem}
    assert codes["data"] == "E-DUPLICATE"


def test_without_an_agreement_the_columns_that_are_mapped_are_tried(lab: Lab) -> None:
    _no_agreement(lab)
    details = {item.name: item.details for item in lab.check().items}
    assert "columns: customer_id, visits, spent" in details["data"]
    assert "check --agreement FILE" in details["data"]
    lab.write_config(authority=lab.authority, columns={"frequency": "visit"})
    problems = {item.name: item.problem for item in lab.check().items if item.problem}
    assert problems["data"].code == "E-SOURCE-COLUMN"


def test_without_a_configuration_nothing_else_is_tried(tmp_path: Path) -> None:
    report = preflight(tmp_path, now=datetime.now(UTC))
    assert [item.name for item in report.items] == ["installation", "configuration"]
    assert not report.passed


def test_a_certificate_for_another_name_is_refused(lab: Lab) -> None:
    lab.write_config(authority=lab.authority, address=f"localhost:{lab.server.port}")
    (item,) = [item for item in lab.check().items if not item.passed]
    assert item.problem is not None
    assert item.problem.code == "E-TLS"
