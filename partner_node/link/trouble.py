"""What keeps a node from its coordinator: a code, words and the way out, in one place."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Final

#: The code for a certificate that is not the one to expect, and for what speaks no TLS.
TLS: Final = "E-LINK-TLS"
#: OpenSSL's numbers of what is wrong with a certificate (``X509_V_ERR_…``).
_NOT_YET_VALID, _EXPIRED, _OTHER_NAME, _OTHER_ADDRESS = 9, 10, 62, 64


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the coordinator is not reached.

    Attributes:
        code: ``E-LINK-…`` or ``E-PROXY-…``, as a node's log has it.
        words: What is wrong, without the address.
        way_out: What to do.
    """

    code: str
    words: str
    way_out: str


_AWAY: Final = Trouble(
    "E-LINK-AWAY",
    "no answer",
    "ask the operator whether the coordinator serves, and check the address in node.toml and the "
    "firewall",
)
_CUT: Final = Trouble(
    "E-LINK-AWAY",
    "the connection was cut before it was secured",
    "ask the operator whether the coordinator serves, and look for a firewall or proxy on the way",
)
_NO_TLS: Final = Trouble(
    TLS,
    "what answers there does not speak TLS as the coordinator does",
    "check the ports in node.toml: the coordinator's public port in address, its control port in "
    "control",
)
_EXPIRED_WORDS: Final = Trouble(
    TLS,
    "its certificate has expired",
    "ask the operator for a new one (fedseg-coordinator certificate renew, switch), and for its "
    "authority, for root_certificates; or set this machine's clock, when it is ahead",
)
_EARLY: Final = Trouble(
    TLS, "its certificate is not valid yet", "set this machine's clock, which is behind"
)
_NAME: Final = Trouble(
    TLS,
    "its certificate is for another name",
    "write the name that the operator gave into address and control of node.toml, or have the "
    "operator add this one (fedseg-coordinator certificate renew --name NAME, then switch)",
)
_AUTHORITY: Final = Trouble(
    TLS,
    "its certificate is not of the authority in root_certificates",
    "ask the operator for the authority's certificate, over a way that you trust, for "
    "root_certificates; a node that serves takes a new one online before it is used",
)

#: What the coordinator said, or what was found out about it, by code.
SAID: Final = {
    trouble.code: trouble
    for trouble in (
        Trouble(
            "E-LINK-NOT-ADMITTED",
            "this node's key is not admitted there",
            "send the operator partner-card.json, for fedseg-coordinator partner admit",
        ),
        Trouble(
            "E-LINK-SECOND",
            "another process is connected with this node's key",
            "stop the other one: a node is one folder at one place, and a copy of it answers the "
            "same questions from another memory; one that was killed is forgotten within a minute",
        ),
        Trouble("E-LINK-CLOCK", "its clock and this machine's differ", "set this machine's clock"),
        Trouble(
            "E-LINK-UNKNOWN", "it was started again", "nothing: this node connects again by itself"
        ),
        _AWAY,
    )
}


class ProxyAwayError(OSError):
    """The proxy on the way is not reached."""


class ProxyAnswerError(OSError):
    """The proxy on the way does not connect.

    Args:
        status: The HTTP status that it answers; 0 for no HTTP.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"the proxy answers {status}" if status else "the proxy answers no HTTP")
        self.status = status


_PROXY_AWAY: Final = Trouble(
    "E-PROXY-AWAY",
    "the proxy on the way is not reached",
    'check proxy in node.toml, or HTTPS_PROXY; proxy = "none" goes out directly',
)
_PROXY_LOGIN: Final = Trouble(
    "E-PROXY-LOGIN",
    "the proxy on the way asks for user and password, or does not take these (407)",
    "write user:password into a file with mode 0600, and its name into proxy_password_file of "
    "node.toml; only basic authentication is known",
)
_PROXY_TLS: Final = Trouble(
    "E-PROXY-TLS",
    "what answers through the proxy has a certificate of another authority: the proxy opens TLS",
    "have whoever runs the proxy let connections to the coordinator pass unopened; or, when its "
    "authority is new, ask the operator for that, over a way that you trust",
)
#: What a proxy answers when it is not reached what it is to connect to.
_NO_WAY_ON: Final = frozenset({502, 503, 504})


def _of_answer(status: int) -> Trouble:
    if status == 407:
        return _PROXY_LOGIN
    if status in _NO_WAY_ON:
        return Trouble(
            _AWAY.code, f"no answer: the proxy on the way does not reach it ({status})",
            _AWAY.way_out,
        )  # fmt: skip
    return Trouble(
        "E-PROXY-REFUSED",
        f"the proxy on the way refuses to connect ({status or 'it speaks no HTTP'})",
        "have whoever runs the proxy allow CONNECT to the coordinator's host and ports",
    )


def of_failure(error: BaseException, *, through_proxy: bool = False) -> Trouble:
    """What a failed attempt to connect means.

    Args:
        error: As an HTTP client or a socket raised it; what lies behind it is looked at.
        through_proxy: Whether there is a proxy on the way.
    """
    trouble = _of_failure(error)
    return _PROXY_TLS if through_proxy and trouble is _AUTHORITY else trouble


def _of_failure(error: BaseException) -> Trouble:
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ProxyAnswerError):
            return _of_answer(found.status)
        if isinstance(found, ProxyAwayError):
            return _PROXY_AWAY
        if isinstance(found, ssl.SSLCertVerificationError):
            return _of_certificate(found.verify_code)
        if isinstance(found, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return _CUT
        if isinstance(found, ssl.SSLError):
            return _CUT if found.reason == "UNEXPECTED_EOF_WHILE_READING" else _NO_TLS
        if isinstance(found, ConnectionResetError | BrokenPipeError):
            return _CUT
        found = found.__cause__ or found.__context__
    return _AWAY


def _of_certificate(verify_code: int) -> Trouble:
    return {
        _EXPIRED: _EXPIRED_WORDS,
        _NOT_YET_VALID: _EARLY,
        _OTHER_NAME: _NAME,
        _OTHER_ADDRESS: _NAME,
    }.get(verify_code, _AUTHORITY)
