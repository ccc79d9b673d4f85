"""Guards taken out one at a time, each with a test that has to notice.

A mutation is `(file, text, replacement, test)`: the text occurs once in the file.
"""

from __future__ import annotations

DRIVER = "coordinator/run_driver.py"
STORE = "coordinator/store.py"

DRIVEN = "test_run_driver.py::"
STORED = "test_coordinator_store.py::"

MUTATIONS: list[tuple[str, str, str, str]] = [
    # the chain outlives a failed run
    (
        DRIVER,
        "        self._store.append_input(self._machine.run_id, kind, data, self._machine.chain)\n",
        "        if kind == CLOSED:\n"
        "            self._store.append_input(\n"
        "                self._machine.run_id, kind, data, self._machine.chain\n"
        "            )\n",
        DRIVEN
        + "test_a_set_that_nodes_signed_is_known_to_the_next_run_although_no_answer_came_back",
    ),
    # what is on disk
    (
        STORE,
        '"PRAGMA synchronous = FULL"',
        '"PRAGMA synchronous = OFF"',
        STORED + "test_a_commit_is_on_the_disk_when_it_returns_and_not_only_handed_to_the_system",
    ),
]
