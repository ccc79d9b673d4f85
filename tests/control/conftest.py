"""What tests of the control plane share: a server for the coordinator's state."""

from __future__ import annotations

from tests.store_servers import store_server

__all__ = ["store_server"]
