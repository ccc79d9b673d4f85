"""The ClientApp lets out the node's answer or a code, never the words of an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from flwr.app import ConfigRecord, Context, Metadata, RecordDict
from flwr.app.message import make_message

from machine.files import write_file
from partner_node import client_app
from partner_node.client_app import app, node_directory, nodes_of
from protocol.errors import ConfigError, RuleError

CANARY = "customer 4711 spent 99.95"


class ScriptedNode:
    """Stands for `partner_node.node.Node`."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self.handle = answer

    def answer(self, message: bytes, beside: bytes) -> tuple[bytes, bytes]:
        return self.handle(message), beside and b"logs: " + beside


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Callable[[bytes], bytes]]]:
    script: dict[str, Callable[[bytes], bytes]] = {"answer": lambda message: b"re: " + message}
    monkeypatch.setattr(client_app, "nodes_of", lambda directory: ScriptedNode(script["answer"]))
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


def _ask(content: RecordDict, context: Context | None = None, group: str = "") -> dict[str, object]:
    metadata = Metadata(
        run_id=1,
        message_id="0" * 64,
        src_node_id=1,
        dst_node_id=2,
        reply_to_message_id="",
        group_id=group,
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


def test_what_is_said_of_logs_leaves_beside_it_where_the_coordinator_reads_that(
    node: dict[str, Callable[[bytes], bytes]],
) -> None:
    content = RecordDict({"fedseg": ConfigRecord({"message": b"hello", "witness": b"w"})})
    both = {"message": b"re: hello", "witness": b"logs: w"}
    assert _ask(content, group="witness-1") == both
    assert _ask(_message(b"hello"), group="witness-1") == {"message": b"re: hello"}
    assert _ask(content) == {"message": b"re: hello"}, "a coordinator of an earlier version"
    assert _ask(content, group="witness-2") == {"message": b"re: hello"}

    def refuse(message: bytes) -> bytes:
        raise RuleError(CANARY, code="E-ATOM", remedy=CANARY)

    node["answer"] = refuse
    assert _ask(content, group="witness-1") == {"error": "E-ATOM"}, "nothing beside a refusal"


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
        RecordDict({"fedseg": ConfigRecord({"message": b"x", "witness": "text"})}),
        RecordDict({"fedseg": ConfigRecord({"message": b"x", "witness": bytes((1 << 18) + 1)})}),
        RecordDict({"fedseg": ConfigRecord({"message": b"x", "witness": b"w", "more": 1})}),
        RecordDict({"fedseg": ConfigRecord({"message": b"x"}), "more": ConfigRecord({})}),
    ],
)
def test_anything_but_one_bytes_field_is_malformed(
    node: dict[str, Callable[[bytes], bytes]], content: RecordDict
) -> None:
    assert _ask(content, group="witness-1") == {"error": "E-MALFORMED"}


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


# --- the node is opened once, and again for another agreement --------------------------------


class Folder:
    """Counts how often the node is opened, with what its agreement file says then."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.agreement = path / "agreement.json"
        self.agreement.write_text("1")
        self.beside = path / "beside.json"
        self.opened: list[str] = []
        self.closed: list[str] = []

    def load(self, directory: Path) -> SimpleNamespace:
        return SimpleNamespace(watched_files=(self.agreement, self.beside))

    def open(self, directory: Path, *, keys: object = None) -> SimpleNamespace:
        try:
            version = self.agreement.read_text()
        except OSError as error:
            raise RuleError("gone", code="E-AGR-MISSING") from error
        self.opened.append(version)
        return SimpleNamespace(
            words=version,
            is_overtaken=lambda now: False,
            store=SimpleNamespace(close=lambda: self.closed.append(version)),
        )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    found = Folder(tmp_path)
    monkeypatch.setattr(client_app, "NodeHome", found)
    monkeypatch.setattr("partner_node.served_nodes.ServedNodes", found)
    return found


def test_a_node_is_opened_once_while_its_agreement_stays(folder: Folder) -> None:
    assert nodes_of(folder.path) is nodes_of(folder.path)
    assert folder.opened == ["1"]


def test_another_agreement_is_taken_up_with_the_next_message(folder: Folder) -> None:
    nodes_of(folder.path)
    write_file(folder.agreement, b"2")
    assert nodes_of(folder.path).words == "2"
    assert (folder.opened, folder.closed) == (["1", "2"], ["1"])


def test_an_agreement_that_arrives_beside_the_first_is_taken_up_too(folder: Folder) -> None:
    nodes_of(folder.path)
    write_file(folder.beside, b"another")
    nodes_of(folder.path)
    assert (folder.opened, folder.closed) == (["1", "1"], ["1"])


def test_nothing_is_answered_under_an_agreement_that_was_taken_away(folder: Folder) -> None:
    nodes_of(folder.path)
    folder.agreement.unlink()
    for _ in range(2):
        with pytest.raises(RuleError, match="E-AGR-MISSING"):
            nodes_of(folder.path)
    folder.agreement.write_text("3")
    assert nodes_of(folder.path).words == "3"


def test_an_agreement_replaced_while_the_node_opens_is_taken_up_too(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = folder.open

    def slow(directory: Path, **_: object) -> SimpleNamespace:
        node = opening(directory)
        if len(folder.opened) == 1:
            write_file(folder.agreement, b"2")
        return node

    monkeypatch.setattr(folder, "open", slow)
    nodes_of(folder.path)
    assert nodes_of(folder.path).words == "2"
