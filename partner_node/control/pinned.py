"""The certificate that a control port shows, taken only if an invitation has its fingerprint."""

from __future__ import annotations

import hmac
import socket
import ssl
from typing import Final

from cryptography import x509

from machine.certificates import key_fingerprint, pem
from partner_node.link.trouble import of_failure
from protocol.errors import TransportError

_TIMEOUT_S: Final = 10.0


def pinned_certificate(address: str, fingerprint: bytes) -> bytes:
    """The certificate (PEM) of a control port, whose key must have a fingerprint.

    Whoever signed it does not matter here: the fingerprint came with the invitation. Nothing is
    sent but the greeting of TLS.

    Args:
        address: ``host:port``.
        fingerprint: SHA-256 of its public key.

    Raises:
        TransportError: It is not reached (E-CONTROL-AWAY), or shows another key
            (E-CONTROL-FINGERPRINT).
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # Before 1.3 a port that asks for a client's certificate would end the handshake first.
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    try:
        with (
            socket.create_connection((host, int(port)), timeout=_TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            shown = secured.getpeercert(binary_form=True) or b""
    except OSError as error:
        trouble = of_failure(error)
        raise TransportError(
            f"the control port {address} is not reached: {trouble.words}",
            code="E-CONTROL-AWAY",
            remedy="ask the operator whether the coordinator serves; look for a firewall or a "
            "proxy on the way",
        ) from error
    certificate = x509.load_der_x509_certificate(shown)
    if not hmac.compare_digest(key_fingerprint(certificate.public_key()), fingerprint):
        raise TransportError(
            f"what answers at {address} is not the coordinator that invites: its certificate has "
            "another key",
            code="E-CONTROL-FINGERPRINT",
            remedy="join from another network, without a proxy that opens TLS; or ask the operator "
            "whether the certificate was renewed, and for a new invitation",
        )
    return pem(certificate)
