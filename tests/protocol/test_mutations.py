"""A test that stays green when its guard is removed is no test: every guard is removed once."""

from __future__ import annotations

import compileall
import json
import os
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent.relative_to(ROOT)
WORKERS = 2


def copy_of_the_project(target: Path) -> Path:
    """What the tests of this folder need, where guards can be removed."""
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(ROOT / "protocol", target / "protocol", ignore=ignored)
    shutil.copytree(ROOT / HERE, target / HERE, ignore=ignored)
    (target / "partner_node").mkdir()
    for name in ("__init__.py", "answers.py", "nearest.py"):
        shutil.copy(ROOT / "partner_node" / name, target / "partner_node" / name)
    for name in ("__init__.py", "agreed_terms.py"):
        shutil.copy(ROOT / "tests" / name, target / "tests" / name)
    shutil.copy(ROOT / "pyproject.toml", target / "pyproject.toml")
    by_content = py_compile.PycInvalidationMode.CHECKED_HASH
    compileall.compile_dir(target, quiet=2, invalidation_mode=by_content)
    return target


@pytest.mark.slow
def test_every_removed_guard_is_noticed(
    lab_mutations: list[tuple[str, str, str, str]], tmp_path: Path
) -> None:
    workers = []
    for number in range(WORKERS):
        mutations = [
            (file, text, replacement, f"{HERE}/{test}")
            for file, text, replacement, test in lab_mutations[number::WORKERS]
        ]
        given = tmp_path / f"{number}.json"
        given.write_text(json.dumps(mutations))
        project = copy_of_the_project(tmp_path / str(number))
        with given.open() as standard_input:
            process = subprocess.Popen(
                [sys.executable, HERE / "mutation_worker.py"],
                cwd=project,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": "."},
                stdin=standard_input,
                stdout=subprocess.PIPE,
                text=True,
            )
        workers.append((process, len(mutations)))
    survivors = []
    for process, count in workers:
        output, _ = process.communicate(timeout=600)
        lines = [json.loads(line) for line in output.splitlines()]
        assert process.returncode == 0
        assert len(lines) == count + 1
        survivors += [line for line in lines if line]
    assert not survivors, "\n".join(survivors)
