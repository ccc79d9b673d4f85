"""Certificates made on the spot: what they allow, and what never reaches the disk."""

from __future__ import annotations

import datetime
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509

from coordinator.service.certificates import certificate_files, make_server_certificate

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


def _make(directory: Path, *hosts: str) -> x509.Certificate:
    files = make_server_certificate(
        directory, name="gateway", hosts=hosts, now=NOW, lifetime_days=30
    )
    return x509.load_pem_x509_certificate(files.certificate.read_bytes())


def test_the_server_key_is_for_its_owner_only_and_the_authoritys_key_is_nowhere(
    tmp_path: Path,
) -> None:
    _make(tmp_path, "localhost")
    files = certificate_files(tmp_path, name="gateway")
    assert files.exists()
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600
    assert sum(b"PRIVATE KEY" in path.read_bytes() for path in tmp_path.iterdir()) == 1


def test_it_is_valid_for_the_hosts_asked_for_and_ends_in_time(tmp_path: Path) -> None:
    certificate = _make(tmp_path, "coordinator.test", "192.0.2.1", "::1")
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["coordinator.test"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.1", "::1"]
    assert certificate.not_valid_after_utc == NOW + datetime.timedelta(days=30)


def test_it_is_signed_by_its_authority_and_cannot_sign_others(tmp_path: Path) -> None:
    certificate = _make(tmp_path, "localhost")
    files = certificate_files(tmp_path, name="gateway")
    authority = x509.load_pem_x509_certificate(files.authority.read_bytes())
    certificate.verify_directly_issued_by(authority)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert not constraints.value.ca


def test_python_accepts_the_pair_as_a_server_certificate(tmp_path: Path) -> None:
    _make(tmp_path, "localhost")
    files = certificate_files(tmp_path, name="gateway")
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
        files.certificate, files.key
    )


def test_a_certificate_for_no_host_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="hosts"):
        _make(tmp_path)
