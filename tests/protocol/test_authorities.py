"""What a statement of authorities may say, and by whom a certificate is signed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from machine.certificates import authority_certificate, client_certificate
from protocol.canonical import canonical_json
from protocol.control.authorities import (
    MAX_COUNT,
    PAYLOAD_TYPE,
    SCHEMA,
    Authorities,
    certifies,
    pem_of,
    read_authorities,
)
from protocol.errors import FedsegError, MalformedError
from protocol.signing import Envelope, public_bytes

NOW = datetime(2026, 3, 1, tzinfo=UTC)
START, END = NOW - timedelta(days=1), NOW + timedelta(days=30)
KEY, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([i]) * 32) for i in (1, 2))
KEYS = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
ONE, TWO = (authority_certificate(f"a{i}", KEYS[i], start=START, end=END) for i in (0, 1))
LEAF = client_certificate(
    KEYS[2].public_key(), name="leaf", issuer="a0", issuer_key=KEYS[0], start=START, end=END
)  # fmt: skip


def read(values: dict[str, Any], *, payload_type: str = PAYLOAD_TYPE) -> Authorities:
    envelope = Envelope(payload_type=payload_type, payload=canonical_json(values), signatures={})
    return Authorities.from_bytes(envelope.signed_by(KEY).to_bytes())


def values(certificates: Sequence[x509.Certificate] = (ONE,), **more: Any) -> dict[str, Any]:
    text = pem_of(certificates).decode("ascii")
    return {"schema": SCHEMA, "number": 7, "certificates": text, **more}


def test_a_statement_comes_back_as_it_was_signed() -> None:
    made = Authorities.sign([ONE, TWO], KEY, number=7)
    found = Authorities.from_bytes(made.to_bytes())
    assert (found.number, found.certificates) == (7, (ONE, TWO))
    assert found.pem == pem_of([ONE, TWO])
    found.verify(public_bytes(KEY))
    with pytest.raises(FedsegError, match="E-AUTHORITIES-SIGNATURE"):
        found.verify(public_bytes(OTHER))
    forged = Envelope(
        payload_type=PAYLOAD_TYPE,
        payload=Authorities.sign([TWO], KEY, number=8).envelope.payload,
        signatures=made.envelope.signatures,
    )
    with pytest.raises(FedsegError, match="E-AUTHORITIES-SIGNATURE"):
        Authorities.from_bytes(forged.to_bytes()).verify(public_bytes(KEY))


@pytest.mark.parametrize(
    "wrong",
    [
        values([LEAF]),
        values([ONE, LEAF]),
        values([ONE, ONE]),
        values([]),
        values() | {"certificates": "no certificate"},
        values(number=0),
        values(schema="fedseg/authorities/v2"),
        values(more=1),
        values(
            [
                authority_certificate(f"m{i}", KEYS[0], start=START, end=END)
                for i in range(MAX_COUNT + 1)
            ]
        ),
    ],
)
def test_what_is_no_statement_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(FedsegError) as caught:
        read(wrong)
    assert caught.value.code == "E-AUTHORITIES" and caught.value.remedy


def test_a_document_of_another_kind_is_no_statement() -> None:
    assert read(values()).number == 7
    with pytest.raises(FedsegError, match="E-AUTHORITIES"):
        read(values(), payload_type="application/vnd.fedseg.stop+json")


def test_an_authority_that_has_ended_is_named() -> None:
    made = Authorities.sign([ONE], KEY, number=7)
    made.check_time(END - timedelta(seconds=1))
    with pytest.raises(FedsegError, match="until 2026-03-31"):
        made.check_time(END)


def test_an_authority_that_may_not_sign_certificates_is_none() -> None:
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=False, crl_sign=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "odd")])
    odd = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEYS[0].public_key())
        .serial_number(1)
        .not_valid_before(START)
        .not_valid_after(END)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .sign(KEYS[0], hashes.SHA256())
    )
    with pytest.raises(MalformedError, match="may not certify others"):
        read_authorities(pem_of([odd]))


def test_a_certificate_is_of_an_authority_directly_or_by_others_in_between() -> None:
    assert certifies(ONE, [LEAF]) and not certifies(TWO, [LEAF])
    same_name = authority_certificate("a0", KEYS[1], start=START, end=END)
    assert not certifies(same_name, [LEAF])
    between = client_certificate(
        KEYS[0].public_key(), name="a0", issuer="a1", issuer_key=KEYS[1], start=START, end=END
    )  # fmt: skip
    assert certifies(TWO, [LEAF, between])
    assert not certifies(TWO, [LEAF, ONE]), "one that signed itself leads nowhere"
    assert Authorities.sign([TWO, ONE], KEY, number=1).certify([LEAF])
