"""Runs tests against the project with one guard removed at a time; see `guards.py`.

Two processes import once what every mutation needs: the *importer* imports libraries only, the
*loaded* process collects the test files, and so imports the whole project. A mutation is tried in
a fork of the loaded process, where the code of the changed functions is replaced in place, so that
every reference to them sees the change. What cannot be shown that way (a changed constant, class
body, default or decorator), and every mutation that went unnoticed that way, is tried in a fork of
the importer, which imports the project anew with the changed source.

Reads one JSON object a line from standard input, and answers each with one line.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import select
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, BinaryIO, Final

import pytest

ROOT: Final = Path(__file__).parents[1]
OWN: Final = ("protocol", "machine", "partner_node", "coordinator", "simulations", "tests")
# How long a test may take without its guard; with it, it takes a second or two.
PATIENCE_S: Final = 90.0
IN_A_FUNCTION: Final = 0x0001 | 0x0002  # CO_OPTIMIZED and CO_NEWLOCALS
OPTIONS: Final = ["-q", "--tb=native", "--color=no", "-p", "no:cacheprovider", "-p", "no:xdist"]
OPTIONS_ANEW: Final = [*OPTIONS, "-x", "-W", "ignore::pytest.PytestAssertRewriteWarning"]

NOTICED: Final = "noticed"
PASSED: Final = "passed"
NOT_IN_PLACE: Final = "not in place"


class NotInPlaceError(Exception):
    """A mutation changes more than the code of functions."""


def in_a_fork(work: Callable[[], dict[str, str]]) -> dict[str, str]:
    """What `work` answers in a fork of this process, which it leaves as it is."""
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # libraries have started threads that no test needs
        child = os.fork()
    if child == 0:
        os.close(reading)
        os.setpgid(0, 0)
        try:
            answer = work()
        except BaseException as error:
            answer = {"outcome": "broken", "words": f"{type(error).__name__}: {error}"}
        with contextlib.suppress(BaseException):
            os.write(writing, json.dumps(answer).encode()[:60_000])
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answers:  # noqa: PTH123
        ready, _, _ = select.select([answers], [], [], PATIENCE_S)
        if not ready:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        text = answers.read() if ready else b""
    os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)  # what it started and did not end
    if not ready:
        return {"outcome": "late", "words": f"not done after {PATIENCE_S:.0f} seconds"}
    return dict(json.loads(text)) if text else {"outcome": "broken", "words": "the process died"}


def module_of(file: str) -> str:
    """The name of the module in a file of the project."""
    return ".".join(Path(file).with_suffix("").parts).removesuffix(".__init__")


# -- in place


def changed_functions(original: CodeType, mutated: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    """The functions whose own code differs, line numbers aside, outermost ones only.

    Raises:
        NotInPlaceError: Something else than the code of a function differs.
    """
    if own_code(original) != own_code(mutated):
        raise NotInPlaceError
    for one, other in zip(nested(original), nested(mutated), strict=True):
        if everything(one) == everything(other):
            continue
        if one.co_flags & IN_A_FUNCTION != IN_A_FUNCTION:
            yield from changed_functions(one, other)
        elif one.co_freevars == other.co_freevars:
            yield one, other
        else:
            raise NotInPlaceError


def nested(code: CodeType) -> list[CodeType]:
    return [value for value in code.co_consts if isinstance(value, CodeType)]


def own_code(code: CodeType) -> tuple[object, ...]:
    """What a code object does, without its line numbers and without the functions within it."""
    return (
        code.co_code,
        tuple(
            value.co_name if isinstance(value, CodeType) else (type(value), repr(value))
            for value in code.co_consts
        ),
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_cellvars,
        code.co_flags,
        (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount),
        code.co_exceptiontable,
    )


def everything(code: CodeType) -> tuple[object, ...]:
    return (*own_code(code), *(everything(inner) for inner in nested(code)))


class Functions:
    """Our functions and caches as they are once all tests are collected.

    Some modules are only imported when they are used: those with a guard are imported before.
    Looked up before any fork: looking at every object in a fork would copy all of its memory.
    """

    def __init__(self, files: list[str]) -> None:
        for file in files:
            importlib.import_module(module_of(file))
        self._of_file: dict[str, list[FunctionType]] = {}
        self._caches: list[Any] = []
        gc.collect()
        for each in gc.get_objects():
            if isinstance(each, FunctionType):
                file = each.__code__.co_filename
                if file.startswith(str(ROOT)):
                    self._of_file.setdefault(file, []).append(each)
            elif isinstance(each, functools._lru_cache_wrapper):
                name = getattr(each, "__module__", None) or ""
                if name.partition(".")[0] in OWN:
                    self._caches.append(each)

    def replace(self, file: str, original: str, mutated: str) -> None:
        """Give every function of a file that the mutation changes its changed code.

        Raises:
            NotInPlaceError: The mutation changes more than functions, or ones that are not there.
        """
        before = compile(original, file, "exec", dont_inherit=True)
        after = compile(mutated, file, "exec", dont_inherit=True)
        changed = list(changed_functions(before, after))
        for old, new in changed:
            found = [each for each in self._of_file.get(file, []) if same(each.__code__, old)]
            if not found:
                raise NotInPlaceError
            for function in found:
                function.__code__ = new
        if not changed:
            raise NotInPlaceError

    def forget_results(self) -> None:
        """Empty the caches: what they hold was computed with all guards."""
        for cache in self._caches:
            cache.cache_clear()


def same(one: CodeType, other: CodeType) -> bool:
    """Whether two code objects are of one function, however often it has been called."""
    place = (one.co_qualname, one.co_firstlineno)
    return place == (other.co_qualname, other.co_firstlineno) and own_code(one) == own_code(other)


class Loaded:
    """A plugin that answers questions about the collected tests instead of running them."""

    def __init__(self, questions: BinaryIO, answers: BinaryIO, guarded: list[str]) -> None:
        self._guarded = guarded
        self._questions = questions
        self._answers = answers
        self._wrong: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        do_not_shrink()

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._wrong.append(str(report.longrepr)[-2_000:])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        tmp = session.config._tmp_path_factory  # type: ignore[attr-defined]
        tmp.getbasetemp()  # made here, or each fork makes its own
        libraries = [
            name
            for name, module in list(sys.modules.items())
            if name.partition(".")[0] not in (*OWN, "__main__") and hasattr(module, "__spec__")
        ]
        functions = Functions(self._guarded)
        gc.freeze()  # or each fork's garbage collection copies what it has inherited
        self._say({"wrong": self._wrong, "libraries": libraries})
        for line in self._questions:
            question = json.loads(line)
            self._say(
                in_a_fork(functools.partial(self._answer, functions, session.items, question))
            )
        return True

    def _say(self, answer: dict[str, Any]) -> None:
        self._answers.write(json.dumps(answer).encode() + b"\n")
        self._answers.flush()

    @staticmethod
    def _answer(
        functions: Functions, items: list[pytest.Item], question: dict[str, str]
    ) -> dict[str, str]:
        if "mutated" in question:
            try:
                functions.replace(question["file"], question["original"], question["mutated"])
            except NotInPlaceError:
                return {"outcome": NOT_IN_PLACE}
        functions.forget_results()
        return run_items(items, question["test"])


def run_items(items: list[pytest.Item], test: str) -> dict[str, str]:
    """Run the collected items of one test until one fails."""
    from _pytest.runner import runtestprotocol

    chosen = [item for item in items if belongs(item.nodeid, test)]
    if not chosen:
        return {"outcome": "missing", "words": "there is no such test"}
    skipped = 0
    for item in chosen:
        for report in runtestprotocol(item, log=False, nextitem=None):
            if report.failed:
                outcome = NOTICED if report.when == "call" else f"broken in {report.when}"
                return {"outcome": outcome, "words": str(report.longrepr)[-1_000:]}
            skipped += report.skipped
    if skipped == len(chosen):
        return {"outcome": "skipped", "words": "every case of it is skipped here"}
    return {"outcome": PASSED}


def belongs(node_id: str, test: str) -> bool:
    """Whether a collected item is a test, one of its cases, or in a class of tests."""
    return node_id == test or node_id.startswith((f"{test}[", f"{test}::"))


def do_not_shrink() -> None:
    """That hypothesis found an example is enough: nobody reads the smallest one."""
    from hypothesis import Phase, settings

    phases = (Phase.explicit, Phase.generate)
    settings.register_profile("guards", settings(), phases=phases, database=None, max_examples=100)
    settings.load_profile("guards")


# -- imported anew


class Mutated(importlib.abc.MetaPathFinder):
    """Finds one module of the project, whose source is not the one in its file."""

    def __init__(self, file: Path, source: str) -> None:
        self._file = file
        self._source = source
        self._name = module_of(str(file.relative_to(ROOT)))

    def find_spec(self, fullname: str, path: object, target: object = None) -> Any:
        if fullname != self._name:
            return None
        loader = Source(fullname, str(self._file), self._source)
        return importlib.util.spec_from_file_location(fullname, self._file, loader=loader)


class Source(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self._source = source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._source, self.path, "exec", dont_inherit=True)


class Result:
    """A plugin that remembers how the run of one test went."""

    def __init__(self) -> None:
        self.answer = {"outcome": "missing", "words": "there is no such test"}

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        do_not_shrink()

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            words = str(report.longrepr)[-1_000:]
            self.answer = {"outcome": "broken in collection", "words": words}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self.answer["outcome"] not in ("missing", "skipped", PASSED):
            return
        if report.failed:
            outcome = NOTICED if report.when == "call" else f"broken in {report.when}"
            self.answer = {"outcome": outcome, "words": str(report.longrepr)[-1_000:]}
        elif report.skipped and self.answer["outcome"] != PASSED:
            self.answer = {"outcome": "skipped", "words": "every case of it is skipped here"}
        elif report.when == "call" and report.passed:
            self.answer = {"outcome": PASSED}


def run_anew(test: str, temporary: str, file: str = "", mutated: str = "") -> dict[str, str]:
    """Import the project, with one file changed, and run one test; in a fork of the importer."""
    be_silent()
    if file:
        sys.meta_path.insert(0, Mutated(Path(file), mutated))
    result = Result()
    pytest.main([*OPTIONS_ANEW, f"--basetemp={temporary}/anew", test], plugins=[result])
    return result.answer


def be_silent() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)


class Importer:
    """Answers what happens without a guard; asks the loaded process first."""

    def __init__(self, guarded: list[str], tests: list[str], temporary: str) -> None:
        self._temporary = temporary
        self._with_all_guards: dict[tuple[str, bool], str] = {}
        asked, self._ask = os.pipe()
        answering, answered = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            os.close(self._ask)
            os.close(answering)
            be_silent()
            with open(asked, "rb") as questions, open(answered, "wb") as answers:  # noqa: PTH123
                plugins = [Loaded(questions, answers, guarded)]
                options = [*OPTIONS, f"--basetemp={temporary}/loaded"]
                options += ["--continue-on-collection-errors"]
                pytest.main([*options, *tests], plugins=plugins)
            os._exit(0)
        os.close(asked)
        os.close(answered)
        self._from_loaded = open(answering, "rb")  # noqa: PTH123, SIM115
        started = self._next_answer()
        self.wrong = "\n".join(started["wrong"])
        for name in started["libraries"]:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        gc.collect()
        gc.freeze()
        strange = sorted({name.partition(".")[0] for name in sys.modules} & {*OWN})
        if strange:
            raise SystemExit(f"the importer has imported {', '.join(strange)}")

    def close(self) -> None:
        """End the loaded process: it ends when nothing more is asked."""
        os.close(self._ask)
        self._from_loaded.close()
        os.waitpid(self._child, 0)

    def unnoticed(self, file: str, text: str, replacement: str, test: str) -> str:
        """Why a mutation went unnoticed; empty when its test failed, as it should."""
        path = ROOT / file
        if not path.is_file():
            return f"there is no file {file}"
        original = path.read_text()
        if original.count(text) != 1:
            return f"{file} has this text {original.count(text)} times, not once: {text}"
        mutated = original.replace(text, replacement)
        try:
            compile(mutated, file, "exec", dont_inherit=True)
        except SyntaxError as error:
            return f"{file} is no Python any more without its guard: {error}"
        if wrong := self._wrong_with_all_guards(test, anew=False):
            return wrong
        change = {"file": str(path), "mutated": mutated}
        answer = self._loaded({**change, "original": original, "test": test})
        if answer["outcome"] not in (PASSED, NOT_IN_PLACE):
            return verdict(answer, test)
        if wrong := self._wrong_with_all_guards(test, anew=True):
            return wrong
        anew = functools.partial(run_anew, test, self._temporary, **change)
        return verdict(in_a_fork(anew), test)

    def _wrong_with_all_guards(self, test: str, *, anew: bool) -> str:
        """Why a test says nothing about guards: it is missing, or fails with all of them."""
        if (test, anew) not in self._with_all_guards:
            if anew:
                answer = in_a_fork(functools.partial(run_anew, test, self._temporary))
            else:
                answer = self._loaded({"test": test})
            wrong = ""
            if answer["outcome"] != PASSED:
                wrong = f"{test} does not pass with all guards: {answer['outcome']}\n"
                wrong += answer.get("words", "")
            self._with_all_guards[test, anew] = wrong
        return self._with_all_guards[test, anew]

    def _loaded(self, question: dict[str, str]) -> dict[str, str]:
        os.write(self._ask, json.dumps(question).encode() + b"\n")
        return self._next_answer()

    def _next_answer(self) -> dict[str, Any]:
        line = self._from_loaded.readline()
        if not line:
            raise SystemExit("the process that had loaded the tests is gone")
        return dict(json.loads(line))


def verdict(answer: dict[str, str], test: str) -> str:
    """Why a mutation went unnoticed, as a sentence; empty when it was noticed."""
    if answer["outcome"] != NOTICED:
        return f"unnoticed by {test}: {answer['outcome']}\n{answer.get('words', '')}"
    if "NameError: " in answer["words"] or "UnboundLocalError: " in answer["words"]:
        return f"the replacement names something unknown\n{answer['words']}"
    return ""


def main() -> None:
    """Answer one mutation a line; the arguments: a temporary folder, guarded and test files."""
    sys.path.insert(0, str(ROOT))
    os.chdir(ROOT)
    os.environ["FEDSEG_TEST_STORES"] = "sqlite"  # a server would be started for each guard
    temporary, *files = sys.argv[1:]
    tests = [file for file in files if file.startswith("tests/")]
    importer = Importer([file for file in files if file not in tests], tests, temporary)
    for line in sys.stdin:
        answer = importer.wrong or importer.unnoticed(*json.loads(line))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    importer.close()


if __name__ == "__main__":
    main()
