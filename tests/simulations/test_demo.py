"""The demo leaves nothing running behind, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.end_to_end.transport_support import process_exists, wait_for

DEMO = """
import sys, time
from pathlib import Path
from simulations import demo

folder = Path(sys.argv[1])
demo._program = lambda side: str(folder / f"fake-{side}")
with demo._sigterm_interrupts():
    with demo._serving("coordinator", folder, folder / "coordinator.log"):
        with demo._serving("node", folder, folder / "node.log"):
            while True:
                time.sleep(0.05)
"""

SERVES = """#!{python}
import os, sys, time
from pathlib import Path

Path({pid!r}).with_suffix(".part").write_text(str(os.getpid()))
os.rename(Path({pid!r}).with_suffix(".part"), {pid!r})
print("says", *sys.argv[1:], flush=True)
while True:
    time.sleep(0.05)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_what_the_demo_started_ends_with_it(tmp_path: Path, number: int) -> None:
    files = [tmp_path / "coordinator.pid", tmp_path / "node.pid"]
    for file in files:
        program = tmp_path / f"fake-{file.stem}"
        program.write_text(SERVES.format(python=sys.executable, pid=str(file)))
        program.chmod(0o755)
    demo = subprocess.Popen([sys.executable, "-c", DEMO, str(tmp_path)], stderr=subprocess.PIPE)
    try:
        wait_for(lambda: all(f.exists() for f in files), timeout_s=60, what="the services")
        pids = [int(file.read_text()) for file in files]
        assert all(map(process_exists, pids))
        os.kill(demo.pid, number)
        _, err = demo.communicate(timeout=60)
        assert demo.returncode != 0
        assert (b"KeyboardInterrupt" in err) == (number != signal.SIGKILL)
        if number == signal.SIGKILL:
            deadline = time.monotonic() + 60
            while any(map(process_exists, pids)) and time.monotonic() < deadline:
                time.sleep(0.05)
        assert not any(map(process_exists, pids))
        assert f"says serve --dir {tmp_path}" in (tmp_path / "node.log").read_text()
    finally:
        demo.kill()
        demo.wait()
