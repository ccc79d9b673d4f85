"""What stands before every call: who calls, whether it may, and what of errors leaves.

Nothing of a request is parsed before its caller is known and allowed. Whoever is refused learns a
code alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from cryptography import x509
from google.protobuf.message import DecodeError, Message

from coordinator.control.callers import ACCESS, Caller, caller_of
from coordinator.store.coordinator_store import CoordinatorStore
from machine.quiet_grpc import grpc
from protocol.errors import FedsegError, MalformedError, RuleError

logger = logging.getLogger(__name__)

_Request = TypeVar("_Request", bound=Message)
_Result = TypeVar("_Result")
Handler = Callable[[Caller, bytes], Message]
Source = Callable[[Callable[[], Awaitable[Caller]], bytes], AsyncIterator[Message]]

_STATUS: Final = {
    "E-CALLER": grpc.StatusCode.PERMISSION_DENIED,
    "E-MALFORMED": grpc.StatusCode.INVALID_ARGUMENT,
    # The database is away for a moment and nothing was changed: nodes call again.
    "E-STORE-CONNECT": grpc.StatusCode.UNAVAILABLE,
}


class RefusedError(RuleError):
    """A caller may not make this call."""

    default_code = "E-CALLER"


@dataclass(frozen=True, slots=True)
class _Shown:
    """What gRPC knows of a caller; read at once, as it is gone with the call.

    Attributes:
        peer: The other end of the connection.
        identity: What the handshake showed.
    """

    peer: str
    identity: Mapping[str, list[bytes]]

    @staticmethod
    def by(context: Any) -> _Shown:
        return _Shown(context.peer(), context.auth_context())


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Lets callers through to handlers.

    Attributes:
        store: Used in `executor` alone.
        executor: Where handlers run: one thread, as they share a database connection.
        clock: The time, UTC.
        met: Told at every call over which connection it came, as gRPC names its other end, and
            whose it is: a node's key or an invitation's id, empty for nobody's. Called in
            `executor`.
    """

    store: CoordinatorStore
    authority: x509.Certificate
    executor: Executor
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    met: Callable[[str, str], None] = lambda _, __: None

    def around(self, call: str, handler: Handler) -> Callable[[bytes, Any], Awaitable[bytes]]:
        """A handler as gRPC calls it: bytes in, bytes out."""

        async def guarded(request: bytes, context: Any) -> bytes:
            shown = _Shown.by(context)
            try:
                return await self._run(lambda: self._answer(call, handler, shown, request))
            except Exception as error:
                code = _told(call, error)
            await context.abort(status_of(code), code)
            raise AssertionError("abort raises")

        return guarded

    def around_stream(
        self, call: str, source: Source
    ) -> Callable[[bytes, Any], AsyncIterator[bytes]]:
        """A source of messages as gRPC calls it; it asks anew who its caller is, when it likes."""

        async def guarded(request: bytes, context: Any) -> AsyncIterator[bytes]:
            shown = _Shown.by(context)

            async def admitted() -> Caller:
                return await self._run(lambda: self._admitted(call, shown))

            try:
                async for message in source(admitted, request):
                    yield message.SerializeToString()
            except Exception as error:
                code = _told(call, error)
            else:
                return
            await context.abort(status_of(code), code)

        return guarded

    async def _run(self, action: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self.executor, action)

    def _answer(self, call: str, handler: Handler, shown: _Shown, request: bytes) -> bytes:
        return bytes(handler(self._admitted(call, shown), request).SerializeToString())

    def _admitted(self, call: str, shown: _Shown) -> Caller:
        """Who calls, if it may; else RefusedError."""
        caller = self._caller(shown.identity)
        self.met(shown.peer, "" if caller is None else caller.invitation or caller.node_key)
        if caller is None or caller.who not in ACCESS[call]:
            raise RefusedError(f"{call} is not for whoever {caller.who if caller else 'that is'}")
        return caller

    def _caller(self, identity: Mapping[str, list[bytes]]) -> Caller | None:
        found = identity.get("x509_pem_cert", [])
        if len(found) != 1:
            return None
        try:
            certificate = x509.load_pem_x509_certificate(found[0])
            return caller_of(certificate, self.store, authority=self.authority, now=self.clock())
        except ValueError:
            return None


def _told(call: str, error: Exception) -> str:
    """The code with which an error leaves; outermost: its message may quote a value."""
    if isinstance(error, FedsegError):
        logger.info("control: %s is refused: %s", call, error.code)
        return error.code
    logger.error("control: %s failed: %s", call, type(error).__name__)
    return "E-INTERNAL"


def parsed(kind: type[_Request], request: bytes) -> _Request:
    """Read a request; raises MalformedError."""
    try:
        return kind.FromString(request)
    except DecodeError as error:
        raise MalformedError("the request is none of this call") from error


def status_of(code: str) -> Any:
    """The gRPC status under which a code is told; it says no more than the code."""
    if code == "E-INTERNAL":
        return grpc.StatusCode.INTERNAL
    return _STATUS.get(code, grpc.StatusCode.FAILED_PRECONDITION)
