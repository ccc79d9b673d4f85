"""What tests of a coordinator share: places for its state."""

from __future__ import annotations

from tests.store_servers import store_place, store_server

__all__ = ["store_place", "store_server"]
