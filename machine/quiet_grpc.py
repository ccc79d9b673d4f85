"""gRPC, imported so that it writes nothing to standard error by itself.

It logs refused handshakes of strangers, with their addresses, in a form of its own; what is worth
telling we tell. The variable counts when gRPC is first imported in a process.
"""

from __future__ import annotations

import os

os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
from grpc import aio

__all__ = ["aio", "grpc"]
