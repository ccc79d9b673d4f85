"""Data whose size or time changes within a run: said at the node, in its log and in `status`."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from partner_node.home import NodeHome
from partner_node.shown.record_tables import run_values, run_words
from tests.federations import small_federation
from tests.partner_node.nodes import installed, node, open_node, shell

__all__ = ["installed", "node", "shell"]


def test_data_that_change_within_a_run_are_said_in_log_and_status(
    caplog: pytest.LogCaptureFixture,
) -> None:
    federation = small_federation(1.0, 9.0, n_clusters=2)
    stamps = iter(["as it was"] * 3 + ["another"] * 1_000)
    federation.nodes[0]._data_stamp = lambda: next(stamps)
    federation.nodes[1]._data_stamp = lambda: "as it was"
    with caplog.at_level(logging.WARNING, logger="partner_node.node"):
        federation.run()
    told = [r.getMessage() for r in caplog.records if "data changed" in r.getMessage()]
    assert len(told) == 1, "once for a change, not for every question after it"
    changed, steady, unknown = (federation.nodes[i].store.runs() for i in range(3))
    (value,) = run_values(changed, [])
    assert value["data_changed_at"] == changed[0].data_changed_at != ""
    assert told[0].startswith(f"run {changed[0].run_id.hex()[:8]}: size or time of the data")
    (line,) = (w for w in run_words(changed, []) if "this node's data changed" in str(w))
    assert changed[0].run_id.hex()[:8] in str(line)
    for runs in (steady, unknown):
        assert run_values(runs, [])[0]["data_changed_at"] is None
        assert not any("data changed" in str(word) for word in run_words(runs, []))


def test_a_stamp_follows_from_size_and_time_of_the_files_that_are_read(installed: Path) -> None:
    home = NodeHome.load(installed)
    agreement = home.signed_agreement().agreement
    customers = home.customers(agreement, None)
    file = Path(home.config.data.place.path)
    found = [customers.data_stamp(), customers.data_stamp()]
    assert found[0] == found[1] != ""
    before = file.stat()
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000_000))
    found.append(customers.data_stamp())
    with file.open("a") as data:
        data.write("one-more,1\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    found.append(customers.data_stamp())
    assert len(set(found)) == 3
    file.unlink()
    assert customers.data_stamp() == "", "what cannot be read is refused by the reading itself"
    assert open_node(installed)._data_stamp() == ""
