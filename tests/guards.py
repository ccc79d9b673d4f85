"""Guards taken out one at a time, each with a test that has to notice.

`mutations.py` in a folder of tests lists them as `(file, text, replacement, test)`: the text occurs
once in the file, and the test, named from that folder on, fails when the replacement stands there.
`test_mutations.py` beside it has one case a guard. `guard_server.py` runs them.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from _pytest.mark import ParameterSet

from tests import effort

ROOT: Final = Path(__file__).parents[1]
#: One of so many guards is taken out in ``make test``.
_PART: Final = 10


class Guard(NamedTuple):
    """One guard, and the test that notices when it is gone."""

    file: str
    text: str
    replacement: str
    test: str


def listed(folder: str) -> list[ParameterSet]:
    """The guards of a folder of tests as cases for pytest, named after file and test."""
    name = f"tests.{folder}.mutations"
    if not (ROOT / "tests" / folder / "mutations.py").exists():
        return []
    guards = [
        Guard(file, text, replacement, f"tests/{folder}/{test}")
        for file, text, replacement, test in importlib.import_module(name).MUTATIONS
    ]
    seen: Counter[str] = Counter()
    cases = []
    for guard in guards:
        named = f"{Path(guard.file).stem}-{guard.test.rpartition('::')[2]}"
        seen[named] += 1
        again = f"-{seen[named]}" if seen[named] > 1 else ""
        cases.append(pytest.param(guard, id=named + again))
    return cases


def tried(folder: str) -> list[ParameterSet]:
    """The guards of a folder that are taken out now: all in ``make test-long``, else a tenth.

    Which tenth follows from the guarded file and the tests as they are, so that it changes with
    every change of either.
    """
    cases = listed(folder)
    if effort.LONG:
        return cases
    drawn = sorted(_digest(case.values[0]) for case in cases)[: -(-len(cases) // _PART)]
    return [case for case in cases if _digest(case.values[0]) in drawn]


def _digest(guard: Guard) -> bytes:
    digest = hashlib.sha256("\0".join(guard).encode())
    for file in (guard.file, guard.test.partition("::")[0]):
        digest.update(_content(file))
    return digest.digest()


@cache
def _content(file: str) -> bytes:
    return (ROOT / file).read_bytes()


class Removal:
    """A server that takes guards out (`guard_server.py`)."""

    def __init__(self, guards: list[Guard], temporary: Path) -> None:
        """Start it; it answers once the tests that the guards name are collected."""
        files = {guard.test.partition("::")[0] for guard in guards}
        files |= {guard.file for guard in guards}
        settings = {
            "HYPOTHESIS_STORAGE_DIRECTORY": str(temporary / "hypothesis"),
            effort.EFFORT_VARIABLE: "",
            effort.SEED_VARIABLE: "1",
        }
        self._errors = temporary / "errors"
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "tests/guard_server.py", str(temporary)]
                + [file for file in sorted(files) if (ROOT / file).is_file()],
                cwd=ROOT,
                env={**os.environ, **settings},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def unnoticed(self, guard: Guard) -> str:
        """Why nothing noticed that a guard is gone; empty when its test failed, as it should."""
        questions, answers = self._process.stdin, self._process.stdout
        assert questions is not None
        assert answers is not None
        questions.write(json.dumps(guard) + "\n")
        questions.flush()
        line = answers.readline()
        assert line, f"the server of mutations is gone: {self._errors.read_text()[-2_000:]}"
        return str(json.loads(line))

    def close(self) -> None:
        """End the server: it ends when nothing more is asked."""
        self._process.communicate(timeout=60)


@contextmanager
def removal(folder: str, factory: pytest.TempPathFactory) -> Iterator[Removal]:
    """The server for the guards of a folder of tests, while it is needed."""
    server = Removal([case.values[0] for case in tried(folder)], factory.mktemp("guards"))
    try:
        yield server
    finally:
        server.close()
