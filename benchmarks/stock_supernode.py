"""Seconds a round with Flower's own SuperNode, as its documentation starts it, over TLS."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import hashlib
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.stock_app import PLAN_FILE, REPORT_FILE
from coordinator.service.bundle import bundle_from
from coordinator.service.certificates import LOOPBACK_HOSTS, make_server_certificate
from coordinator.service.superlink import SuperLink, SuperLinkConfig

_PROJECT = Path(__file__).resolve().parents[1]
_TIMEOUT_S = 180.0
_CERTIFICATE = "port"
_BUNDLE = bundle_from(
    serverapp="benchmarks.stock_app:server", clientapp="benchmarks.stock_app:client"
)


def stock_round_seconds(
    n_nodes: int, *, rounds: int, bytes_up: int, bytes_down: int
) -> list[float]:
    """Run SuperNodes (isolation by subprocess, the default) and a trivial app.

    Args:
        bytes_up, bytes_down: Size of an answer and of a request.

    Returns:
        Seconds of each round.
    """
    with tempfile.TemporaryDirectory(prefix="fedseg-stock-") as folder:
        directory = Path(folder)
        plan = {
            "nodes": n_nodes,
            "rounds": rounds,
            "bytes_up": bytes_up,
            "bytes_down": bytes_down,
            "timeout_s": _TIMEOUT_S,
        }
        (directory / PLAN_FILE).write_text(json.dumps(plan), encoding="ascii")
        with contextlib.ExitStack() as stack:
            superlink = stack.enter_context(_superlink(directory))
            address = stack.enter_context(_public_port(directory, superlink))
            for number in range(n_nodes):
                stack.enter_context(_supernode(directory, superlink, address, number))
            flower_run = superlink.submit("", bundle=_BUNDLE)
            return _await_report(directory, superlink, flower_run)


@contextlib.contextmanager
def _superlink(directory: Path) -> Iterator[SuperLink]:
    superlink = SuperLink(
        SuperLinkConfig(
            directory=directory / "superlink",
            coordinator_directory=directory,
            bundles=frozenset({hashlib.sha256(_BUNDLE).hexdigest()}),
        )
    )
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(_PROJECT)  # for the ServerApp
    try:
        superlink.start()
        yield superlink
    finally:
        superlink.stop()
        if before is None:
            os.environ.pop("PYTHONPATH", None)
        else:
            os.environ["PYTHONPATH"] = before


@contextlib.contextmanager
def _public_port(directory: Path, superlink: SuperLink) -> Iterator[str]:
    """TLS on loopback in front of the SuperLink's socket, and nothing between them.

    The coordinator's own gateway wants a second signature of each call, which a SuperNode has not.
    """
    files = make_server_certificate(
        directory,
        name=_CERTIFICATE,
        hosts=LOOPBACK_HOSTS,
        now=datetime.datetime.now(datetime.UTC),
        lifetime_days=1,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="port")
    thread.start()

    async def listen() -> asyncio.Server:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there = await asyncio.open_unix_connection(superlink.socket)
            await asyncio.gather(_passed(reader, there[1]), _passed(there[0], writer))

        return await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)

    try:
        port = asyncio.run_coroutine_threadsafe(listen(), loop).result()
        yield f"127.0.0.1:{port.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


async def _passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes, until one side ends."""
    with contextlib.suppress(OSError):
        while some := await reader.read(1 << 16):
            writer.write(some)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


@contextlib.contextmanager
def _supernode(directory: Path, superlink: SuperLink, address: str, number: int) -> Iterator[None]:
    key_file = directory / f"node-{number}.key"
    superlink.admit(_write_key(key_file))
    folder = Path(sys.executable).parent
    with (directory / f"node-{number}.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(str(folder / "flower-supernode"), "--superlink", address),
                *("--root-certificates", str(directory / f"{_CERTIFICATE}-ca.crt")),
                *("--auth-supernode-private-key", str(key_file)),
                *("--port", str(_free_port())),
            ],
            stdout=log,
            stderr=log,
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("FLWR_")},
                "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
                "PYTHONPATH": str(_PROJECT),
                "FLWR_HOME": str(directory / f"flower-{number}"),
                "FLWR_TELEMETRY_ENABLED": "0",
                "FLWR_DISABLE_UPDATE_CHECK": "1",
                "NO_PROXY": "127.0.0.1",
                "no_proxy": "127.0.0.1",
            },
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _write_key(path: Path) -> bytes:
    """Write a node's private key; its public half in OpenSSH form."""
    key = ec.generate_private_key(ec.SECP384R1())
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
    )
    return key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )


def _await_report(directory: Path, superlink: SuperLink, flower_run: int) -> list[float]:
    deadline = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline:
        if (directory / REPORT_FILE).exists():
            seconds: list[float] = json.loads((directory / REPORT_FILE).read_text("ascii"))
            return seconds
        state = superlink.flower_run(flower_run)
        if state.state == "finished" and not (directory / REPORT_FILE).exists():
            raise RuntimeError(
                f"the app ended: {state.outcome} {state.details}; {_logs(directory)}"
            )
        time.sleep(0.5)
    raise TimeoutError(f"stock SuperNodes took longer than {_TIMEOUT_S:g} s; {_logs(directory)}")


def _logs(directory: Path) -> str:
    files = (*directory.glob("*.log"), *directory.glob("superlink/*.log"))
    return " | ".join(f.read_text(encoding="utf-8", errors="replace")[-500:] for f in files)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
