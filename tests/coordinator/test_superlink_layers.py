"""Flower's layers are around the calls that they are for, all of them, and around no others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from flwr.superlink.main import create_app
from starlette.applications import Starlette

from coordinator.service.superlink_layers import thin_out

CALLS = {
    "control": ("/v1/control/list-runs", "/v1/control/start-run", "/v1/control/no-such-call"),
    "fleet": ("/v1/fleet/pull-messages", "/v1/fleet/push-messages"),
    "runtime": ("/v1/runtime/pull-messages",),
    "other": ("/", "/health", "/v1/fleet", "/v1//fleet/pull-messages", "/docs"),
}
ALL = [
    "ControlSensitiveResponseMiddleware", "BaseHTTPMiddleware", "ControlAuthenticationMiddleware",
    "ControlLicenseMiddleware", "ProtobufTranslationMiddleware", "RuntimeTracingMiddleware",
    "ControlEventLogMiddleware", "NodeAuthMiddleware", "FleetEventLogMiddleware",
]  # fmt: skip


@pytest.fixture
def met(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the layers that a call goes through, in order."""
    found: list[str] = []

    def noted(call: Callable[..., Any]) -> Callable[..., Any]:
        async def passes(self: Any, *arguments: Any) -> Any:
            if arguments[0]["type"] == "http":
                found.append(type(self).__name__)
            return await call(self, *arguments)

        return passes

    kinds = {layer.cls: layer.cls.__call__ for layer in create_app().user_middleware}
    for kind, call in kinds.items():  # all of them looked up before one is replaced
        monkeypatch.setattr(kind, "__call__", noted(call))
    return found


def thinned() -> Starlette:
    app = create_app()
    app.state.enable_supernode_auth = True
    thin_out(app)
    return app


async def answered(app: Starlette, path: str) -> int:
    """The status that a call without any content gets."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://superlink") as client:
        answer = await client.post(path, headers={"content-type": "application/protobuf"})
    return answer.status_code


def test_flower_has_the_layers_that_are_known_here() -> None:
    assert [getattr(layer.cls, "__name__", "") for layer in create_app().user_middleware] == ALL


@pytest.mark.parametrize(
    ("kind", "left_out"),
    [
        ("control", set()),
        ("other", set()),
        ("fleet", {name for name in ALL if name.startswith("Control")}
         | {"RuntimeTracingMiddleware"}),
        ("runtime", {name for name in ALL if name.startswith("Control")}
         | {"FleetEventLogMiddleware"}),
    ],
)  # fmt: skip
async def test_a_call_goes_through_the_layers_that_are_for_it(
    met: list[str], kind: str, left_out: set[str]
) -> None:
    app = thinned()
    wanted = [name for name in ALL if name not in left_out]
    async with app.router.lifespan_context(app):
        for path in CALLS[kind]:
            met.clear()
            await answered(app, path)
            # A layer that refuses ends the way: those before it are still the wanted ones.
            assert met == wanted[: len(met)], path
            assert met[:2] == wanted[:2]


async def test_a_nodes_call_without_its_signature_is_refused() -> None:
    app = thinned()
    async with app.router.lifespan_context(app):
        for path in CALLS["fleet"]:
            assert await answered(app, path) == 401, path
