"""Every small change that mutmut can think of, and whether the quick tests notice it.

``make mutants MODULE=protocol/ring.py`` tries one module, ``make mutants`` all that must not be
wrong; what survives is written to a file, with the change itself. The whole list takes many hours:
``SAMPLE=50`` draws fifty mutants of each name in it, from a seed that is printed. The guards in
`mutations.py` are chosen by hand and run on every commit; this finds those that nobody thought of.
mutmut works on a copy of the project in the folder ``.mutants``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests import effort

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("protocol", "machine", "partner_node", "coordinator")
#: What a mistake in must not go unnoticed; folders stand for all files in them.
GUARDED: Final = (
    "protocol", "machine", "partner_node/node.py", "partner_node/store", "partner_node/egress",
    "partner_node/consent", "partner_node/rights", "coordinator/service/gateway.py",
    "coordinator/runs/driver.py", "coordinator/runs/farewells.py", "coordinator/runs/links.py",
    "coordinator/runs/refusals.py", "coordinator/store",
)  # fmt: skip
#: Where a package's tests are that try more than its own modules: what `machine` does is mostly
#: proven by those who use it.
TESTS: Final = {"machine": ("machine", "partner_node", "coordinator")}
#: mutmut's words for the exit status of a mutant's tests.
STATUS: Final = {
    0: "survived", 5: "no tests", 33: "no tests", 1: "killed", 3: "killed",
    36: "timed out", 24: "timed out", -24: "timed out", 152: "timed out", 255: "timed out",
}  # fmt: skip
#: A loop that does not end any more is noticed; so does mutmut count.
NOTICED: Final = ("killed", "timed out")
_COPIED: Final = (
    "protocol", "machine", "partner_node", "coordinator", "simulations", "benchmarks", "docs",
    "tests", "Makefile", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "constraints.txt",
    "pyproject.toml",
)  # fmt: skip


def modules_of(names: Sequence[str]) -> list[str]:
    """The modules that files and folders of the project stand for, by their paths."""
    found = []
    for name in names:
        place = (ROOT / name).resolve()
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        if not files or not all(file.is_file() for file in files):
            raise SystemExit(f"{name}: there is no such module")
        found += [file.relative_to(ROOT).as_posix() for file in files]
    if strange := [name for name in found if name.partition("/")[0] not in PACKAGES]:
        raise SystemExit(f"{strange[0]}: only modules in {', '.join(PACKAGES)} have such tests")
    return found


def settings(package: str, modules: Sequence[str]) -> str:
    """mutmut's section of ``pyproject.toml``."""
    options = ["-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow and not browser"]
    tested = TESTS.get(package, (package,))
    options += [f"--ignore=tests/{name}/test_mutations.py" for name in tested]
    copied = [name for name in _COPIED if name not in ("tests", "pyproject.toml")]
    sources = [name for name in copied if (ROOT / name / "__init__.py").is_file()]
    values = {
        "source_paths": sources,
        "only_mutate": list(modules),
        "also_copy": [name for name in copied if name not in sources and (ROOT / name).exists()],
        "pytest_add_cli_args": options,
        "pytest_add_cli_args_test_selection": [f"tests/{name}" for name in tested],
        "process_isolation": "forkserver",
    }
    return "\n[tool.mutmut]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in values.items())


def prepare(folder: Path, package: str, modules: Sequence[str]) -> None:
    """Copy the project, with mutmut's settings."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
            shutil.copytree(source, folder / name, ignore=ignored)
        elif source.exists():
            shutil.copy2(source, folder / name)
    with (folder / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(settings(package, modules))


def mutmut(folder: Path, *words: str, show: bool = False, fails: bool = False) -> str:
    """Call mutmut in a folder; what it printed."""
    environment = {**os.environ, effort.EFFORT_VARIABLE: "", effort.SEED_VARIABLE: "1"}
    done = subprocess.run(
        [Path(sys.executable).with_name("mutmut"), *words], cwd=folder, env=environment,
        stdout=None if show else subprocess.PIPE, stderr=subprocess.PIPE if fails else None,
        text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0 and not fails:
        raise SystemExit(f"mutmut {words[0]} ended with status {done.returncode} in {folder}")
    return done.stdout or ""


def results(folder: Path, modules: Sequence[str]) -> dict[str, str]:
    """What became of each mutant of the modules that was tried, by its name."""
    found: dict[str, str] = {}
    for module in modules:
        found |= {
            name: STATUS.get(status, "broken")
            for name, status in _statuses(folder, module).items()
            if status is not None
        }
    return found


def _statuses(folder: Path, module: str) -> dict[str, int | None]:
    file = folder / "mutants" / f"{module}.meta"
    if not file.is_file():  # a module without functions has no mutants
        return {}
    statuses: dict[str, int | None] = json.loads(file.read_text("utf-8"))["exit_code_by_key"]
    return statuses


def drawn(folder: Path, named: Mapping[str, Sequence[str]], count: int) -> list[str]:
    """So many mutants of each named place, drawn at random.

    mutmut writes its mutants down when it runs, so it is asked to run one that there is not.
    """
    mutmut(folder, "run", "--max-children", "1", "there-is-no-such-mutant", fails=True)
    chosen: list[str] = []
    for name, modules in named.items():
        mutants = sorted(key for module in modules for key in _statuses(folder, module))
        if not mutants:
            raise SystemExit(f"{name}: mutmut wrote no mutants of it down in {folder}")
        chosen += effort.chance(f"mutants of {name}").sample(mutants, min(count, len(mutants)))
    return chosen


def try_out(
    package: str, named: Mapping[str, Sequence[str]], *,
    workers: int, report: Path, go_on: bool, sample: int | None,
) -> dict[str, Counter[str]]:  # fmt: skip
    """Try mutants of a package's modules; survivors are added to the report.

    Args:
        named: what is asked for, a file or a folder, to the modules that it stands for.

    Returns:
        How many mutants of each name had each fate.
    """
    folder = ROOT / ".mutants" / package
    if not go_on or not folder.exists():
        prepare(folder, package, [module for modules in named.values() for module in modules])
    chosen = [] if sample is None else drawn(folder, named, sample)
    mutmut(folder, "run", "--max-children", str(workers), *chosen, show=True)
    became = {name: results(folder, modules) for name, modules in named.items()}
    with report.open("a", encoding="utf-8") as file:
        for name, status in sorted(pair for each in became.values() for pair in each.items()):
            if status not in NOTICED:
                file.write(f"## {name}: {status}\n\n{mutmut(folder, 'show', name)}\n")
    return {name: Counter(each.values()) for name, each in became.items()}


def score(name: str, became: Counter[str]) -> str:
    """A line that says how many mutants of a name were noticed."""
    told = ", ".join(f"{count} {status}" for status, count in became.most_common())
    noticed = sum(became[fate] for fate in NOTICED)
    return f"{name}: {noticed} of {became.total()} mutants were noticed ({told})\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the mutants of some modules, or of all that are guarded; print the score."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", help="files or folders; all guarded when left out")
    parser.add_argument("--out", type=Path, default=ROOT / ".mutants" / "survivors.md")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--continue", dest="go_on", action="store_true",
        help="go on with a run of the same modules that was stopped, on the code of that time",
    )  # fmt: skip
    parser.add_argument(
        "--sample", type=int, help="try so many mutants of each name, drawn at random",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    named = {name.rstrip("/"): modules_of([name]) for name in options.modules or GUARDED}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text("", encoding="utf-8")
    if options.sample is not None:
        sys.stdout.write(f"drawn from the seed {effort.SEED}\n")
        sys.stdout.flush()
    for package in PACKAGES:
        of_package = {k: v for k, v in named.items() if v[0].partition("/")[0] == package}
        if of_package:
            became = try_out(
                package, of_package, workers=options.workers, report=options.out,
                go_on=options.go_on, sample=options.sample,
            )  # fmt: skip
            sys.stdout.write("".join(score(name, each) for name, each in became.items()))
    sys.stdout.write(f"the others are in {options.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
