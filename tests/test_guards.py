"""The server that takes guards out says which mutations prove nothing, and why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from machine.envelope import SCHEMA_VERSION
from tests import effort
from tests.guards import Guard, Removal, listed, tried

ENVELOPE = "machine/envelope.py"
FIELDS = "tests/machine/test_envelope.py::test_success_and_failure_have_the_same_three_fields"
STATUS = "tests/machine/test_envelope.py::test_a_rule_refuses_and_everything_else_fails"

IN_A_FUNCTION = Guard(ENVELOPE, '"refused" if', '"failed" if', STATUS)
_VERSION = "SCHEMA_VERSION: Final = {}"
A_CONSTANT = Guard(
    ENVELOPE, _VERSION.format(SCHEMA_VERSION), _VERSION.format(SCHEMA_VERSION + 1), FIELDS
)

FOLDERS = ("protocol", "machine", "partner_node", "coordinator", "control")
ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_text_of_every_guard_is_in_its_file_once(folder: str) -> None:
    """Said here at once, not after the minutes that it takes to take all guards out."""
    guards = [case.values[0] for case in listed(folder)]
    assert guards
    texts = {guard.file: (ROOT / guard.file).read_text(encoding="utf-8") for guard in guards}
    assert [guard for guard in guards if texts[guard.file].count(guard.text) != 1] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_test_of_every_guard_is_there(folder: str) -> None:
    """One that was renamed would be missed when its guard is next drawn, which may be in weeks."""
    named = {case.values[0].test.partition("[")[0].partition("::")[::2] for case in listed(folder)}
    texts = {file: (ROOT / file).read_text(encoding="utf-8") for file, _ in named}
    missing = [
        test for test in sorted(named) if f"def {test[1].split('::')[-1]}(" not in texts[test[0]]
    ]
    assert missing == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_tenth_of_the_guards_is_taken_out_in_make_test_and_all_in_make_test_long(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = listed(folder)
    monkeypatch.setattr(effort, "LONG", False)
    some = tried(folder)
    assert len(every) / 10 <= len(some) < len(every) / 10 + 1
    assert {case.id for case in some} < {case.id for case in every}
    monkeypatch.setattr(effort, "LONG", True)
    assert tried(folder) == every


@pytest.fixture(scope="module")
def removal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Removal]:
    folder: Path = tmp_path_factory.mktemp("guards")
    server = Removal([IN_A_FUNCTION, A_CONSTANT], folder)
    yield server
    server.close()


@pytest.mark.slow
@pytest.mark.parametrize("guard", [IN_A_FUNCTION, A_CONSTANT])
def test_a_changed_function_and_a_changed_constant_are_noticed(
    guard: Guard, removal: Removal
) -> None:
    assert removal.unnoticed(guard) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("guard", "words"),
    [
        (IN_A_FUNCTION._replace(test=FIELDS), "unnoticed by "),
        (A_CONSTANT._replace(test=STATUS), "unnoticed by "),
        (IN_A_FUNCTION._replace(text="no such text"), "has this text 0 times"),
        (IN_A_FUNCTION._replace(text="return"), "has this text 4 times"),
        (IN_A_FUNCTION._replace(file="protocol/none.py"), "there is no file"),
        (
            IN_A_FUNCTION._replace(test=f"{STATUS}_at_once"),
            "does not pass with all guards: missing",
        ),
        (IN_A_FUNCTION._replace(test="tests/none.py::test"), "does not pass with all guards: miss"),
        (IN_A_FUNCTION._replace(replacement="(if"), "is no Python any more"),
        (IN_A_FUNCTION._replace(replacement="unheard_of if"), "names something unknown"),
    ],
)
def test_a_mutation_that_proves_nothing_is_said_so(
    guard: Guard, words: str, removal: Removal
) -> None:
    assert words in removal.unnoticed(guard)
    assert removal.unnoticed(IN_A_FUNCTION) == "", "the next one is not changed by it"
