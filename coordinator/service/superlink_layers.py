"""The layers around Flower's calls, each around those calls alone that it is for.

Flower's application puts nine layers around every call. Each costs about half a millisecond of a
processor, and most look at the path and pass the call on. A layer that does so for a node's calls
or a driver's is not in their way here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flwr.supercore.routers.runtime.tracing import RuntimeTracingMiddleware
from flwr.superlink.routers.control.middlewares import (
    ControlAuthenticationMiddleware,
    ControlEventLogMiddleware,
    ControlLicenseMiddleware,
    ControlSensitiveResponseMiddleware,
)
from flwr.superlink.routers.fleet.middlewares import FleetEventLogMiddleware
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

_OF_NODES: Final = "/v1/fleet/"
_OF_DRIVERS: Final = "/v1/runtime/"
#: Layers that do nothing for calls whose path begins so. Any other is around all calls.
_NOTHING_FOR: Final[Mapping[Any, tuple[str, ...]]] = {
    ControlSensitiveResponseMiddleware: (_OF_NODES, _OF_DRIVERS),
    ControlAuthenticationMiddleware: (_OF_NODES, _OF_DRIVERS),
    ControlLicenseMiddleware: (_OF_NODES, _OF_DRIVERS),
    ControlEventLogMiddleware: (_OF_NODES, _OF_DRIVERS),
    FleetEventLogMiddleware: (_OF_DRIVERS,),
    RuntimeTracingMiddleware: (_OF_NODES,),
}


def thin_out(app: Starlette) -> None:
    """Have each layer of Flower's application around the calls alone that it is for."""
    app.user_middleware = [_thinned(layer) for layer in app.user_middleware]


def _thinned(layer: Middleware) -> Middleware:
    nothing_for = _NOTHING_FOR.get(layer.cls)
    if nothing_for is None:
        return layer
    return Middleware(_Around, layer=layer, nothing_for=nothing_for)


class _Around:
    """One layer, and the way past it."""

    def __init__(self, app: ASGIApp, *, layer: Middleware, nothing_for: tuple[str, ...]) -> None:
        self._past = app
        self._through = layer.cls(app, *layer.args, **layer.kwargs)
        self._nothing_for = nothing_for

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_past = scope["type"] == "http" and scope["path"].startswith(self._nothing_for)
        await (self._past if is_past else self._through)(scope, receive, send)
