"""Calls to the coordinator's control port: deadlines, retries, and what an error means here."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from cryptography import x509
from google.protobuf.message import DecodeError, Message

from machine.quiet_grpc import grpc
from partner_node.control.refusals import refusal
from partner_node.link.proxy import Proxy
from partner_node.link.trouble import TLS, Trouble, of_failure
from partner_node.link.tunnel import secured
from protocol.control.calls import MAX_REPLY_BYTES, MAX_REQUEST_BYTES, path
from protocol.errors import FedsegError, TransportError

_Reply = TypeVar("_Reply", bound=Message)

DEADLINE_S: Final = 20.0
#: Longest wait for each step when what is wrong is looked for.
_LOOK_S: Final = 5.0
#: gRPC waits between attempts for times that grow and are drawn, so nodes do not come all at once.
_RETRIES: Final = {
    "maxAttempts": 5,
    "initialBackoff": "0.3s",
    "maxBackoff": "5s",
    "backoffMultiplier": 2.0,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """With what a node shows who it is.

    Attributes:
        key: Its private key, PEM.
        certificate: The certificate of that key, PEM.
    """

    key: bytes
    certificate: bytes

    def __repr__(self) -> str:
        return "Identity(…)"


class Channel:
    """A connection to the control port; use it in a ``with`` block.

    Args:
        address: ``host:port``.
        roots: What the port's certificate must be signed by, PEM; or that certificate itself.
        retries: Whether a call is made again while the port is away.
        proxy: The HTTP proxy on the way; None for the direct one.
    """

    def __init__(
        self,
        address: str,
        *,
        roots: bytes,
        identity: Identity,
        retries: bool = True,
        proxy: Proxy | None = None,
    ) -> None:
        self._address = address
        self._roots = roots
        self._certificate = identity.certificate
        self._proxy = proxy
        config = {"methodConfig": [{"name": [{}], "retryPolicy": _RETRIES}]} if retries else {}
        self._channel = grpc.secure_channel(
            address,
            grpc.ssl_channel_credentials(roots, identity.key, identity.certificate),
            options=(
                ("grpc.enable_retries", int(retries)),
                ("grpc.service_config", json.dumps(config)),
                ("grpc.max_receive_message_length", MAX_REPLY_BYTES),
                ("grpc.max_send_message_length", MAX_REQUEST_BYTES),
                ("grpc.keepalive_time_ms", 60_000),
                ("grpc.keepalive_timeout_ms", 20_000),
                # By itself gRPC would ask the environment.
                ("grpc.enable_http_proxy", int(proxy is not None)),
                *(() if proxy is None else (("grpc.http_proxy", proxy.url),)),
            ),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; calls that wait end too."""
        self._channel.close()

    def call(self, name: str, request: Message, reply: type[_Reply]) -> _Reply:
        """Make one call.

        Raises:
            TransportError: The coordinator is not reached (E-CONTROL-AWAY), shows another
                certificate than it should (E-LINK-TLS), or answers nonsense.
            FedsegError: It refuses; the code is its own, the words are ours.
        """
        with self._errors(name):
            said: bytes = self._channel.unary_unary(path(name))(
                request.SerializeToString(), timeout=DEADLINE_S
            )
        return self._read(name, said, reply)

    def stream(self, name: str, request: Message, reply: type[_Reply]) -> Iterator[_Reply]:
        """Make a call that is answered by messages, without end; as `call` otherwise."""
        with self._errors(name):
            said = self._channel.unary_stream(path(name))(request.SerializeToString())
        while True:
            with self._errors(name):
                message = next(said, None)
            if message is None:
                return
            yield self._read(name, message, reply)

    def _read(self, name: str, said: bytes, reply: type[_Reply]) -> _Reply:
        try:
            return reply.FromString(said)
        except DecodeError as error:
            raise TransportError(
                f"{self._address} answers {name} with something else",
                code="E-CONTROL-REPLY",
                remedy="ask the operator which version the coordinator has",
            ) from error

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            failure: FedsegError = self._failure(name, error)
        except ValueError:  # the channel was closed meanwhile
            failure = TransportError(f"{name}: the connection was ended", code="E-CONTROL-AWAY")
        else:
            return
        raise failure

    def _failure(self, name: str, error: Any) -> FedsegError:
        status, told = error.code(), str(error.details() or "")
        if status in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            return self._trouble() or self._own_end() or self._unanswered()
        return refusal(name, told, fallback=status.name)

    def _trouble(self) -> TransportError | None:
        """What is wrong on the way, or with the certificate there; gRPC tells texts alone."""
        try:
            context = ssl.create_default_context(cadata=self._roots.decode("ascii"))
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # gRPC takes a leaf as well
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # and is no stricter
            context.minimum_version = ssl.TLSVersion.TLSv1_3  # as in `pinned`
            context.set_alpn_protocols(["h2"])
            with secured(self._address, context, self._proxy, timeout_s=_LOOK_S):
                return None
        except OSError as error:
            trouble = of_failure(error, through_proxy=self._proxy is not None)
            return away(self._address, trouble, self._proxy)

    def _unanswered(self) -> TransportError:
        return TransportError(
            f"the control port {self._address} does not answer this node",
            code="E-CONTROL-AWAY",
            remedy="ask the operator whether the coordinator serves, and whether this node is "
            "still a member (fedseg-coordinator partner list); look for a firewall on the way",
        )

    def _own_end(self) -> TransportError | None:
        """That this node's own certificate has ended, with which the port lets nobody in."""
        end = x509.load_pem_x509_certificate(self._certificate).not_valid_after_utc
        if end > datetime.now(UTC):
            return None
        return TransportError(
            f"the control port {self._address} does not answer this node, whose certificate ended "
            f"on {end:%Y-%m-%d}",
            code="E-CONTROL-AWAY",
            remedy="ask the operator for an invitation; `fedseg-node check` says how it is used; "
            "or set this machine's clock, when it is ahead",
        )


def away(address: str, trouble: Trouble, proxy: Proxy | None) -> TransportError:
    """The error for a control port that is not reached."""
    by = "" if proxy is None else f" through {proxy.words}"
    ours = trouble.code == TLS or trouble.code.startswith("E-PROXY")
    return TransportError(
        f"the control port {address} is not reached{by}: {trouble.words}",
        code=trouble.code if ours else "E-CONTROL-AWAY",
        remedy=trouble.way_out
        if ours
        else "ask the operator whether the coordinator serves; look for a firewall or a proxy on "
        "the way",
    )
