"""The control port: gRPC over mutual TLS, in a thread of the serving process.

gRPC listens on a Unix socket that nobody else reaches, behind the front that decides who gets a
place (`coordinator.front`): by itself it counts connections, but not whose they are.

Whom a handshake lets in changes with each invitation, so what is trusted is asked at every
handshake; who may call what is decided at every call (`guard`).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator.config import CoordinatorConfig
from coordinator.control.agreements import Agreements
from coordinator.control.authority import NodesAuthority
from coordinator.control.builds import Builds
from coordinator.control.enrolment import Enrolment, Operator
from coordinator.control.guard import Guard, Handler
from coordinator.control.hand_overs import HandedOver
from coordinator.control.invitations import Invitations
from coordinator.control.listening import Listening
from coordinator.control.membership import Membership
from coordinator.control.releases import Releases
from coordinator.control.shown_certificate import ShownCertificate
from coordinator.control.stops import Stops
from coordinator.control.stream import NOTHING_EVERY_S, Streams
from coordinator.control.taking_readiness import Readiness
from coordinator.control.telling_authorities import ToldAuthorities
from coordinator.front.limits import FrontLimits
from coordinator.front.listening import listen
from coordinator.front.relay import RelayedFront
from coordinator.keystore import opened_with
from coordinator.store.coordinator_store import CoordinatorStore
from machine.certificates import pem
from machine.private_socket import private_socket_folder
from machine.quiet_grpc import aio, grpc
from protocol.control.calls import (
    ACKNOWLEDGE,
    ANNOUNCEMENTS,
    AUTHORITIES,
    BUILDS,
    DECLINE,
    DILIGENCE,
    ENROL,
    GREET,
    HAND_OVER,
    HAND_OVERS,
    MAX_REPLY_BYTES,
    MAX_REQUEST_BYTES,
    PROPOSAL,
    PROPOSALS,
    READINESS,
    RELEASE,
    RELEASES,
    RENEW,
    SERVICE,
    SIGN,
    SIGN_BUILD,
    STANDING,
    STOP,
    STOPS,
)
from protocol.errors import ConfigError, FedsegError, TransportError
from protocol.signing import public_bytes

logger = logging.getLogger(__name__)

_START_S: Final = 20.0
_STOP_S: Final = 2.0
#: Whoever is no stranger any more may stay as long as it wants something.
_FRONT: Final = FrontLimits()
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_send_message_length", MAX_REPLY_BYTES),
    ("grpc.max_metadata_size", 8_192),
    ("grpc.absolute_max_metadata_size", 8_192),
    ("grpc.max_concurrent_streams", 8),
    ("grpc.server_handshake_timeout_ms", int(1_000 * _FRONT.stranger_s)),
    ("grpc.max_connection_idle_ms", 120_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
)


@dataclass(kw_only=True)
class ControlPort:
    """Serves the control plane until it is stopped.

    Attributes:
        config: With `control` set.
        public_port: The number of the port for runs, which nodes are told.
        nothing_every_s: How often nodes are told that nothing happened.
        address: ``host:port`` once it serves.
        prepared: What was read when it was started.
    """

    config: CoordinatorConfig
    public_port: int
    nothing_every_s: float = NOTHING_EVERY_S
    address: str = ""
    prepared: Prepared = field(init=False)
    _stop: threading.Event = field(default_factory=threading.Event)
    _begun: threading.Event = field(default_factory=threading.Event)
    _failure: FedsegError | None = None
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Serve.

        Raises:
            TransportError: The port is taken, or cannot be listened on (E-CONTROL-PORT).
            ConfigError, KeystoreError: Keys or certificates cannot be read.
        """
        self.prepared = _prepared(self.config, self.public_port)
        self._thread = threading.Thread(
            target=self._run, args=(self.prepared,), name="control port"
        )
        self._thread.start()
        if not self._begun.wait(_START_S):
            self._failure = TransportError("the control port does not begin", code="E-CONTROL-PORT")
        if self._failure is not None:
            self.stop()
            raise self._failure

    def stop(self) -> None:
        """End it, and wait for the end."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def renew(self) -> None:
        """Show the certificate that is in its file now to whoever connects from now on.

        Connections that are open go on.

        Raises:
            ConfigError: It cannot be read, or is not of its key; the one before stays.
        """
        self.prepared.shown.read_again()

    def is_alive(self) -> bool:
        """Whether it serves."""
        return self._thread is not None and self._thread.is_alive()

    def _run(self, prepared: Prepared) -> None:
        try:
            asyncio.run(self._serve(prepared))
        except FedsegError as error:
            self._failure = error
        finally:
            self._begun.set()

    async def _serve(self, prepared: Prepared) -> None:
        with (
            closing(self.config.open_store()) as store,
            closing(self.config.open_store()) as trusted,
            ThreadPoolExecutor(1, thread_name_prefix="control") as executor,
            private_socket_folder("control port", code="E-CONTROL-PORT") as folder,
        ):
            Listening(store).clear()
            loop = asyncio.get_running_loop()
            trust = _Trust(prepared, Invitations(trusted))
            front = RelayedFront(_FRONT, Path(folder))
            server = aio.server(options=_OPTIONS)
            guard = Guard(
                store=store,
                authority=prepared.authority.certificate,
                executor=executor,
                met=lambda peer, member: _tell(loop, front, peer, member),
            )
            streams = Streams(store, executor, nothing_every_s=self.nothing_every_s)
            server.add_generic_rpc_handlers((_handlers(guard, prepared, store, streams),))
            listeners = _listen(self.config)
            _serve_behind(server, front.server, trust)
            await server.start()
            host, port = self.config.host, listeners[0].getsockname()[1]
            self.address = f"{f'[{host}]' if ':' in host else host}:{port}"
            tasks = [asyncio.create_task(front.accept(listener)) for listener in listeners]
            tasks.append(asyncio.create_task(streams.look()))
            for task in tasks:  # without one of them nobody is let in, or told anything
                task.add_done_callback(lambda _: self._stop.set())
            self._begun.set()
            try:
                await loop.run_in_executor(None, self._stop.wait)
            finally:
                for task in tasks:
                    task.cancel()
                for listener in listeners:
                    listener.close()
                await streams.end()
                await server.stop(_STOP_S)
                await front.close()


def _tell(loop: asyncio.AbstractEventLoop, front: RelayedFront, peer: str, member: str) -> None:
    """Tell the front whose a connection is, from another thread."""
    name = unquote(peer.removeprefix("unix:"))
    with suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(front.met, name, member)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What is read before anything is served."""

    authority: NodesAuthority
    operator: Operator
    authority_file: Path
    shown: _Shown
    signing_key: Ed25519PrivateKey = field(repr=False)


def _prepared(config: CoordinatorConfig, public_port: int) -> Prepared:
    if config.control is None:
        raise ValueError("there is no control port")
    file = config.control.authority
    try:
        file.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be read: {error.strerror}",
            remedy="correct authority under [public] in coordinator.toml",
        ) from error
    signing_key = config.signing_key()
    return Prepared(
        authority=opened_with(
            config.passphrases(),
            lambda p: NodesAuthority.of(config.directory, p, now=datetime.now(UTC)),
        ),
        operator=Operator(
            legal_name=config.legal_name,
            contact=config.contact,
            key=public_bytes(signing_key),
            port=public_port,
        ),
        authority_file=file,
        shown=_Shown(config),
        signing_key=signing_key,
    )


class _Shown:
    """What the port shows of itself; replaced at once, as several threads read it.

    Raises:
        ConfigError: See `ShownCertificate.read`.
    """

    def __init__(self, config: CoordinatorConfig) -> None:
        self._config = config
        self.now = ShownCertificate.read(config)

    def read_again(self) -> None:
        """Show what is in the files now; raises ConfigError, and shows what it did."""
        self.now = ShownCertificate.read(self._config)


class _Trust:
    """What the next handshake shows and takes: the certificate in force; the nodes' authority and
    open invitations.
    """

    def __init__(self, prepared: Prepared, invitations: Invitations) -> None:
        self._prepared = prepared
        self._invitations = invitations
        self._lock = threading.Lock()
        self._told: tuple[bytes, ShownCertificate] | None = None

    def now(self) -> Any:
        """For the first handshake."""
        self._told = self._roots(), self._prepared.shown.now
        return self._configuration(*self._told)

    def changed(self) -> Any | None:
        """Before a handshake; None where nothing changed. gRPC calls it in threads of its own."""
        with self._lock:
            try:
                told = self._roots(), self._prepared.shown.now
            except FedsegError as error:
                logger.warning("control: %s", error)
                return None  # what was trusted before; every call is looked at again
            if told == self._told:
                return None
            self._told = told
            return self._configuration(*told)

    def _roots(self) -> bytes:
        valid = self._invitations.valid(datetime.now(UTC))
        return b"".join(
            [
                pem(self._prepared.authority.certificate),
                *(row.authority.encode("ascii") for row in valid),
            ]
        )

    @staticmethod
    def _configuration(roots: bytes, shown: ShownCertificate) -> Any:
        return grpc.ssl_server_certificate_configuration(
            [(shown.key, shown.certificate)], root_certificates=roots
        )


def _listen(config: CoordinatorConfig) -> list[socket.socket]:
    wanted = 0 if config.control is None else config.control.port
    try:
        return listen(config.host, wanted)
    except OSError as error:
        host = f"[{config.host}]" if ":" in config.host else config.host
        raise TransportError(
            f"the control port {host}:{wanted} cannot be listened on: {error.strerror}",
            code="E-CONTROL-PORT",
            remedy="see that nobody else has it, and that host is an address of this machine; or "
            "set another control_port in coordinator.toml",
        ) from error


def _serve_behind(server: Any, socket: Path, trust: _Trust) -> None:
    credentials = grpc.dynamic_ssl_server_credentials(
        trust.now(), trust.changed, require_client_authentication=True
    )
    server.add_secure_port(f"unix:{socket}", credentials)


def _handlers(guard: Guard, prepared: Prepared, store: CoordinatorStore, streams: Streams) -> Any:
    told = ToldAuthorities(
        store=store, file=prepared.authority_file, chain=lambda: prepared.shown.now.chain
    )
    enrolment = Enrolment(
        store=store,
        authority=prepared.authority,
        operator=prepared.operator,
        trusted=told.pem,
    )
    membership = Membership(store=store, authority=prepared.authority)
    agreements = Agreements(store=store)
    stops = Stops(store=store)
    releases = Releases(store=store, key=prepared.signing_key)
    builds = Builds(store=store)
    handed_over = HandedOver(store=store, own_key=prepared.operator.key)
    calls: dict[str, Handler] = {
        GREET: enrolment.greet,
        ENROL: enrolment.enrol,
        STANDING: membership.standing,
        RENEW: membership.renew,
        PROPOSALS: agreements.proposals,
        PROPOSAL: agreements.proposal,
        SIGN: agreements.sign,
        DECLINE: agreements.decline,
        STOP: stops.stop,
        STOPS: stops.stops,
        READINESS: Readiness(store=store).readiness,
        RELEASES: releases.releases,
        RELEASE: releases.release,
        ACKNOWLEDGE: releases.acknowledge,
        BUILDS: builds.builds,
        DILIGENCE: agreements.diligence,
        SIGN_BUILD: builds.sign,
        HAND_OVER: handed_over.hand_over,
        HAND_OVERS: handed_over.hand_overs,
        AUTHORITIES: told.authorities,
    }
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            call: grpc.unary_unary_rpc_method_handler(guard.around(call, handler))
            for call, handler in calls.items()
        }
        | {
            ANNOUNCEMENTS: grpc.unary_stream_rpc_method_handler(
                guard.around_stream(ANNOUNCEMENTS, streams.announcements)
            )
        },
    )
