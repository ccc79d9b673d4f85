"""The demo leaves nothing running behind, however it ends."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from simulations import demo
from simulations.federation import FeatureTerms, Federation
from simulations.retail_features import FEATURES
from tests.end_to_end.transport_support import process_exists, wait_for


def test_the_result_fits_a_terminal_and_counts_messages_as_the_report_does(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    federation = Federation(
        [rng.uniform(1, 300, (40 + i, 5)) for i in range(3)],
        [FeatureTerms(name=f.name, min=f.minimum, max=f.maximum, unit=f.unit) for f in FEATURES],
        n_clusters=3,
        seed=1,
    )
    federation.run()
    store = federation.store
    row = store.runs()[0]
    traffic = store.traffic(row.run_id)
    views = [
        demo.PartnerView(
            id=t.partner, name=f"Simulated partner {i}", customers=40 + i,
            messages=t.messages + 1, bytes_sent=t.bytes_up,
            by_segment={"S1": "fewer than 50", "S2": f"{50 * i} – {50 * i + 49}"},
        )
        for i, t in enumerate(traffic)
    ]  # fmt: skip
    out = io.StringIO()
    demo._print_result(store, row, views, Console(file=out, width=80, markup=False))
    text = " ".join(out.getvalue().replace("│", " ").split())
    assert "…" not in text
    assert max(map(len, out.getvalue().splitlines())) <= 80
    assert "Another demo may end in other segments" in text
    assert "Further runs under an agreement start from its last release" in text
    demo._write_report(tmp_path / "report.html", store, row, views)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for t in traffic:
        assert f"{t.messages} messages down" in text
        assert f"{t.messages + 1} messages up" in text
        assert f'data-label="Messages down" class="number">{t.messages}<' in page


# Python leaves SIGINT ignored when it is started so, as by `nohup` or in the background.
DEMO = """
import signal, sys, time
from pathlib import Path
from simulations import demo_processes as demo

signal.signal(signal.SIGINT, signal.default_int_handler)
folder = Path(sys.argv[1])
demo.program = lambda side: str(folder / f"fake-{side}")
with demo.sigterm_interrupts():
    with demo.serving("coordinator", folder, folder / "coordinator.log"):
        with demo.serving("node", folder, folder / "node.log"):
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


@pytest.mark.slow
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
