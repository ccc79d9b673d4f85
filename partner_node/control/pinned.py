"""The certificate that a control port shows, taken only if an invitation has its fingerprint."""

from __future__ import annotations

import hmac
import ssl
from typing import Final

from cryptography import x509

from machine.certificates import key_fingerprint, pem
from partner_node.control.channel import away
from partner_node.link.proxy import Proxy
from partner_node.link.trouble import of_failure
from partner_node.link.tunnel import secured
from protocol.errors import TransportError

_TIMEOUT_S: Final = 10.0


def pinned_certificate(address: str, fingerprint: bytes, *, proxy: Proxy | None = None) -> bytes:
    """The certificate (PEM) of a control port, whose key must have a fingerprint.

    Whoever signed it does not matter here: the fingerprint came with the invitation. Nothing is
    sent but the greeting of TLS.

    Args:
        address: ``host:port``.
        fingerprint: SHA-256 of its public key.

    Raises:
        TransportError: It is not reached (E-CONTROL-AWAY, or E-PROXY-… for a proxy on the way),
            speaks no TLS (E-LINK-TLS), or shows another key (E-CONTROL-FINGERPRINT).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # Before 1.3 a port that asks for a client's certificate would end the handshake first.
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    try:
        with secured(address, context, proxy, timeout_s=_TIMEOUT_S) as connection:
            shown = connection.getpeercert(binary_form=True) or b""
    except OSError as error:
        raise away(address, of_failure(error), proxy) from error
    certificate = x509.load_der_x509_certificate(shown)
    if not hmac.compare_digest(key_fingerprint(certificate.public_key()), fingerprint):
        by = "" if proxy is None else f" through {proxy.words}"
        raise TransportError(
            f"what answers at {address}{by} is not the coordinator that invites: its certificate "
            "has another key",
            code="E-CONTROL-FINGERPRINT",
            remedy="join from another network, without a proxy that opens TLS; or ask the operator "
            "whether the certificate was renewed, and for a new invitation",
        )
    return pem(certificate)
