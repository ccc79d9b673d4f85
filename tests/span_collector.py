"""A collector of OpenTelemetry on loopback: takes spans by OTLP over HTTP, and keeps them."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from machine.traces import TraceSettings


@dataclass(frozen=True, kw_only=True)
class Told:
    """One span."""

    service: str
    name: str
    attributes: dict[str, Any]
    failed: bool


@dataclass(kw_only=True)
class SpanCollector:
    """What was taken.

    Attributes:
        raw: The requests' bodies, to be searched.
    """

    settings: TraceSettings
    raw: list[bytes] = field(default_factory=list)

    @property
    def spans(self) -> list[Told]:
        """Every span, in the order in which they ended."""
        found = []
        for body in self.raw:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                known = _values(resource.resource.attributes)
                assert known.keys() == {"service.name"}, "nothing is told of the machine"
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        assert not span.events, "no exception is told"
                        assert not span.status.message
                        found.append(
                            Told(
                                service=known["service.name"], name=span.name,
                                attributes=_values(span.attributes), failed=span.status.code == 2,
                            )
                        )  # fmt: skip
        return found


def set_endpoint(file: Path, endpoint: str) -> None:
    """Have the process of a configuration that `init` wrote send its spans there."""
    text = file.read_text()
    assert text.count("# endpoint = ") == 1
    file.write_text(re.sub("(?m)^# endpoint = .*$", f'endpoint = "{endpoint}"', text))


@contextmanager
def span_collector() -> Iterator[SpanCollector]:
    """Take spans until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.raw.append(self.rfile.read(int(self.headers["Content-Length"])))
            body = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_address[1]}/v1/traces"
    collector = SpanCollector(settings=TraceSettings(endpoint=endpoint))
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _values(attributes: Any) -> dict[str, Any]:
    return {
        one.key: one.value.int_value if one.value.HasField("int_value") else one.value.string_value
        for one in attributes
    }
