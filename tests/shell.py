"""The command lines, called in this process as they would be called."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from typing import Any, Final

import pytest

from coordinator import cli as coordinator_cli
from machine.console import _Lines
from partner_node import cli as node_cli
from simulations import cli as simulate_cli
from tests.agreement_names import check_names

#: By the name of the program.
_PROGRAMS: Final = {
    "fedseg-node": node_cli,
    "fedseg-coordinator": coordinator_cli,
    "fedseg-simulate": simulate_cli,
}


#: A date, an hour, or a hexadecimal word such as a hash: digits in it count nothing.
_NO_COUNT: Final = re.compile(r"\d{4}-\d\d-\d\d|\d\d?:\d\d(:\d\d(\.\d+)?)?|\b[0-9a-f]{8,}\b")


def numbers_in(text: str) -> set[int]:
    """The whole numbers that an output shows, beside those of dates, hours and hashes.

    >>> sorted(numbers_in("34 of 61 at 2026-12-27 18:27 in 0f27a3b4c5"))
    [34, 61]
    """
    return {int(found) for found in re.findall(r"\d+", _NO_COUNT.sub("", text))}


@dataclasses.dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def envelope(self) -> dict[str, Any]:
        """The one JSON object on standard output."""
        lines = self.out.splitlines()
        assert len(lines) == 1, self.out
        found: dict[str, Any] = json.loads(lines[0])
        assert list(found) == ["schema_version", "status", "data"]
        check_names(found)
        return found


class Shell:
    """Calls a program.

    Attributes:
        folds: Whether lines of text are folded at 80 columns, as in a terminal.
    """

    folds = True

    def __init__(
        self,
        capsys: pytest.CaptureFixture[str],
        patch: pytest.MonkeyPatch,
        *,
        program: str = "fedseg-node",
    ) -> None:
        self.capsys = capsys
        self.patch = patch
        self.program = program

    def __call__(self, *words: object) -> Done:
        self.patch.setattr(sys, "argv", [self.program, *map(str, words)])
        self.patch.setattr(_Lines, "_folds", lambda _: self.folds)
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            _PROGRAMS[self.program].main()
        captured = self.capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, captured.out, captured.err)

    def json(self, *words: object) -> dict[str, Any]:
        """The data of a command that succeeds."""
        done = self(*words, "--format", "json")
        assert done.code == 0, done.err
        assert done.envelope["status"] == "ok"
        data: dict[str, Any] = done.envelope["data"]
        return data

    def refused(self, *words: object, status: int) -> dict[str, Any]:
        """The error of a command, which leaves words for people on standard error only."""
        text = self(*words)
        assert (text.code, text.out) == (status, "")
        done = self(*words, "--format", "json")
        assert done.code == status
        assert done.envelope["status"] == ("refused" if status == 3 else "failed")
        data: dict[str, Any] = done.envelope["data"]
        assert data["code"] in text.err
        assert data["code"] in done.err
        return data
