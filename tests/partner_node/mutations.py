"""Guards taken out one at a time, each with a test that has to notice.

A mutation is `(file, text, replacement, test)`: the text occurs once in the file.
"""

from __future__ import annotations

GATE = "partner_node/consent/gate.py"
HOME = "partner_node/home.py"

GATES = "test_consent_gate.py::"

MUTATIONS: list[tuple[str, str, str, str]] = [
    # who told this node itself
    (
        GATE,
        "self._left_out = left_out\n",
        'self._left_out = __import__("functools").cache(left_out)\n',
        GATES
        + "test_whoever_objects_or_is_erased_at_this_node_between_two_passes_is_out_of_the_second",
    ),
    (
        HOME,
        "left_out=left_out,",
        'left_out=__import__("functools").cache(left_out),',
        GATES + "test_the_gate_of_a_node_asks_its_register_anew",
    ),
]
