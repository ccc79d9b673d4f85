"""gRPC, imported so that it writes nothing by itself, and goes the way that it is told.

It logs refused handshakes of strangers, with their addresses, in a form of its own; what is worth
telling we tell. The variable counts when gRPC is first imported in a process.

A proxy that a channel is told, gRPC leaves out for what ``no_proxy`` names; whether there is one is
decided elsewhere, so that variable is hidden from it by an empty one that it reads first.
"""

from __future__ import annotations

import os

os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ["no_grpc_proxy"] = ""  # noqa: SIM112 - gRPC reads small letters

import grpc
from grpc import aio

__all__ = ["aio", "grpc"]
