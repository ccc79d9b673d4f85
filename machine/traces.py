"""Traces by OpenTelemetry: spans of a run's phases and of a node's answers, off unless configured.

A span has a name and attributes of a fixed list, whose values are ids, codes and numbers of rounds.
Nothing in one tells of customers; errors are told by their code alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from machine.labels import label
from protocol.errors import ConfigError, FedsegError

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

ATTRIBUTES: Final = ("run", "agreement", "partner", "phase", "round", "request", "code")
_NAME: Final = "fedseg."


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSettings:
    """``[traces]`` of a configuration.

    Attributes:
        endpoint: The URL that takes spans, in OTLP over HTTP.
    """

    endpoint: str


#: For the end of a template: switched off.
TRACES_TEMPLATE: Final = """\
# Spans of runs, sent to a collector of OpenTelemetry; off unless one is named. Needs
# pip install "fedseg[otel]". Nothing in them tells of customers; see docs/production.md.
[traces]
# endpoint = "http://127.0.0.1:4318/v1/traces"
"""


def is_endpoint(url: str) -> bool:
    """Whether spans can be sent to a URL, which has neither a user nor a password.

    >>> is_endpoint("http://127.0.0.1:4318/v1/traces"), is_endpoint("127.0.0.1:4318")
    (True, False)
    >>> is_endpoint("https://user:secret@127.0.0.1/")
    False
    """
    scheme, _, rest = url.partition("://")
    host = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    return scheme in ("http", "https") and bool(host) and "@" not in host and url.isprintable()


_tracer: Tracer | None = None


@contextmanager
def exporting(settings: TraceSettings | None, *, service: str) -> Iterator[None]:
    """Send the spans of this process until the block ends; none without settings.

    Args:
        service: Names the process: ``fedseg-node`` or ``fedseg-coordinator``.

    Raises:
        ConfigError: OpenTelemetry is not installed (E-OTEL-MISSING).
    """
    if settings is None:
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ConfigError(
            "[traces] needs OpenTelemetry, which is not installed",
            code="E-OTEL-MISSING",
            remedy='pip install "fedseg[otel]", or delete the endpoint',
        ) from error
    global _tracer
    # A resource without detectors: neither the host nor the command line is told.
    provider = TracerProvider(resource=Resource({"service.name": service}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.endpoint)))
    before, _tracer = _tracer, provider.get_tracer("fedseg")
    try:
        yield
    finally:
        _tracer = before
        provider.shutdown()


@contextmanager
def span(name: str, **attributes: str | int) -> Iterator[None]:
    """A span around the block, where spans are sent.

    Args:
        attributes: Some of `ATTRIBUTES`.
    """
    end = begin(name, **attributes)
    code = "E-INTERNAL"
    try:
        yield
        code = ""
    except FedsegError as error:
        code = error.code
        raise
    finally:
        end(code)


def begin(name: str, **attributes: str | int) -> Callable[[str], None]:
    """Begin a span; what is returned ends it, with an error's code or without."""
    unknown = attributes.keys() - set(ATTRIBUTES)
    if unknown:
        raise ValueError(f"no attribute of a span: {sorted(unknown)}")
    if _tracer is None:
        return lambda code: None
    begun = _tracer.start_span(
        _NAME + name,
        attributes={k: v if isinstance(v, int) else label(v) for k, v in attributes.items()},
    )
    return lambda code: _end(begun, code)


def _end(begun: Span, code: str) -> None:
    from opentelemetry.trace import StatusCode

    if code:
        begun.set_attribute("code", label(code))
        begun.set_status(StatusCode.ERROR)
    begun.end()


class Phases:
    """Spans of what a run does one after the other, a new one whenever that changes."""

    def __init__(self, name: str, **attributes: str | int) -> None:
        self._name = name
        self._attributes = attributes
        self._now: tuple[str, int] | None = None
        self._end: Callable[[str], None] = lambda code: None

    def note(self, phase: str, round: int) -> None:
        """Say what is done now."""
        if (phase, round) != self._now:
            self._end("")
            self._now = (phase, round)
            self._end = begin(self._name, phase=phase, round=round, **self._attributes)

    def end(self, code: str = "") -> None:
        """End the last one, with the code with which the run failed, if it did."""
        self._end(code)
        self._end = lambda code: None
