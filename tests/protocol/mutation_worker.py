"""Runs tests against copies of the project with one guard removed each; see `test_mutations.py`.

Reads mutations as JSON from standard input, works in the current folder, and writes one JSON line
a mutation: why it went unnoticed, or an empty text. The slow libraries are imported once; every
mutation is tested in a fork, which imports the changed project afresh.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from pathlib import Path


def run(tests: list[str]) -> tuple[int, str]:
    """Exit status and output of pytest over some tests, in a fork."""
    import pytest

    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            status = 3
            try:
                options = ["-x", "-q", "-p", "no:cacheprovider", "--tb=line"]
                options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
                status = int(pytest.main([*options, *tests]))
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        _, waited = os.waitpid(child, 0)
        output.seek(0)
        text = output.read().decode(errors="replace")
    return os.waitstatus_to_exitcode(waited), text


def unnoticed(file: str, text: str, replacement: str, test: str) -> str:
    """Why a mutation went unnoticed; empty when its test failed, as it should."""
    path = Path(file)
    original = path.read_text()
    if original.count(text) != 1:
        return f"{file}: found {original.count(text)} times: {text}"
    path.write_text(original.replace(text, replacement))
    try:
        status, output = run([test])
    finally:
        path.write_text(original)
    if status == 1 and "failed" in output:
        return ""
    return f"{file}: {text}\n  unnoticed by {test}, status {status}\n{output[-300:]}"


def main() -> None:
    """Test the mutations on standard input, then all their tests without a mutation."""
    import cryptography.hazmat.primitives.asymmetric.mlkem
    import hypothesis
    import numpy
    import scipy.sparse
    import threadpoolctl

    loaded = (cryptography, hypothesis, numpy, scipy.sparse, threadpoolctl)
    if any(name.partition(".")[0] == "protocol" for name in sys.modules) or not all(loaded):
        raise SystemExit("the project is loaded already")
    mutations = json.load(sys.stdin)
    for mutation in mutations:
        sys.stdout.write(json.dumps(unnoticed(*mutation)) + "\n")
        sys.stdout.flush()
    status, output = run(sorted({mutation[3] for mutation in mutations}))
    sys.stdout.write(json.dumps("" if status == 0 else output[-2_000:]) + "\n")


if __name__ == "__main__":
    main()
