"""The ClientApp lets out the node's answer or a code, never the words of an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, Context, Metadata, RecordDict
from flwr.app.message import make_message

from partner_node import client_app
from partner_node.client_app import app, node_directory
from protocol.errors import ConfigError, RuleError

CANARY = "customer 4711 spent 99.95"


class ScriptedNode:
    """Stands for `partner_node.node.Node`."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self.handle = answer


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Callable[[bytes], bytes]]]:
    script: dict[str, Callable[[bytes], bytes]] = {"answer": lambda message: b"re: " + message}
    monkeypatch.setattr(client_app, "_open_node", lambda directory: ScriptedNode(script["answer"]))
    yield script


def _context(
    node_config: dict[str, bool | int | float | str] | None = None,
    run_config: dict[str, bool | int | float | str] | None = None,
) -> Context:
    return Context(
        run_id=1,
        node_id=2,
        node_config={"node-directory": "somewhere"} if node_config is None else node_config,
        state=RecordDict(),
        run_config=run_config or {},
    )


def _ask(content: RecordDict, context: Context | None = None) -> dict[str, object]:
    metadata = Metadata(
        run_id=1,
        message_id="0" * 64,
        src_node_id=1,
        dst_node_id=2,
        reply_to_message_id="",
        group_id="",
        created_at=2_000_000_000.0,
        ttl=1e9,
        message_type="query.fedseg",
    )
    reply = app(make_message(metadata=metadata, content=content), context or _context())
    assert set(reply.content) == {"fedseg"}
    return dict(reply.content["fedseg"])


def _message(payload: bytes) -> RecordDict:
    return RecordDict({"fedseg": ConfigRecord({"message": payload})})


def test_the_nodes_answer_leaves_as_bytes(node: dict[str, Callable[[bytes], bytes]]) -> None:
    assert _ask(_message(b"hello")) == {"message": b"re: hello"}


def test_a_refusal_leaves_as_its_code_alone(
    node: dict[str, Callable[[bytes], bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(message: bytes) -> bytes:
        raise RuleError(CANARY, code="E-ATOM", remedy=CANARY)

    node["answer"] = refuse
    assert _ask(_message(b"hello")) == {"error": "E-ATOM"}
    assert "E-ATOM" in caplog.text


def test_an_unexpected_error_leaves_as_e_internal_and_its_words_are_not_logged(
    node: dict[str, Callable[[bytes], bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(message: bytes) -> bytes:
        raise ValueError(CANARY)

    node["answer"] = fail
    assert _ask(_message(b"hello")) == {"error": "E-INTERNAL"}
    assert CANARY not in caplog.text
    assert "ValueError at" in caplog.text
    assert "fail" in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        RecordDict(),
        RecordDict({"fedseg": ConfigRecord({"message": "text"})}),
        RecordDict({"fedseg": ConfigRecord({"message": b"x", "more": 1})}),
        RecordDict({"fedseg": ConfigRecord({"message": b"x"}), "more": ConfigRecord({})}),
    ],
)
def test_anything_but_one_bytes_field_is_malformed(
    node: dict[str, Callable[[bytes], bytes]], content: RecordDict
) -> None:
    assert _ask(content) == {"error": "E-MALFORMED"}


def test_a_deployed_node_is_where_the_partner_says_whatever_the_run_says() -> None:
    context = _context(
        {"node-directory": "mine", "partition-id": 3}, {"simulation-dir": "the operator's"}
    )
    assert node_directory(context) == Path("mine")


def test_a_simulated_node_is_found_by_its_partition() -> None:
    context = _context({"partition-id": 3, "num-partitions": 5}, {"simulation-dir": "sim"})
    assert node_directory(context) == Path("sim/node-3")


@pytest.mark.parametrize(
    ("node_config", "run_config"),
    [({}, {}), ({"partition-id": 1}, {"simulation-dir": ""}), ({}, {"simulation-dir": "sim"})],
)
def test_a_context_that_names_no_directory_is_a_configuration_error(
    node_config: dict[str, bool | int | float | str],
    run_config: dict[str, bool | int | float | str],
) -> None:
    with pytest.raises(ConfigError):
        node_directory(_context(node_config, run_config))
    answer = _ask(_message(b"x"), _context(node_config, run_config))
    assert answer == {"error": "E-CONFIG"}
