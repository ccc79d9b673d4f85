"""What left a node, as JSON values and as tables that fit a terminal of 80 columns."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Final

from machine.tables import Table
from machine.text import minute, short
from partner_node.store.records import EgressRecord
from protocol.messages import round_number
from protocol.release.document import EXACT_WORDS, NOISED_STATEMENT

#: What an answer is called in the record of what left the node.
EXACT_ANSWER: Final = "MASKED: answer hidden under masks"
NOISED_ANSWER: Final = "MASKED: noised answer hidden under masks"


def egress_values(records: Sequence[EgressRecord]) -> list[dict[str, Any]]:
    """What left the node as JSON values."""
    return [
        {
            "number": record.manifest,
            "at": record.at,
            "run_id": record.run_id.hex(),
            "round": round_number(record.round),
            "what": record.what,
            "bytes": record.n_bytes,
            "sha256": record.sha256,
            "customers": record.customers,
            "beside": beside_values(record) if record.beside_bytes else None,
        }
        for record in records
    ]


def beside_values(record: EgressRecord) -> dict[str, Any]:
    """What left beside a message as JSON values."""
    return {
        "bytes": record.beside_bytes,
        "sha256": record.beside_sha256,
        "words": record.beside,
    }


def beside_lines(records: Sequence[EgressRecord]) -> list[object]:
    """What left beside the sendings of one message, a line for each."""
    return [
        f"Beside it left at {minute(one.at)}: {one.beside or 'nothing of logs yet'} "
        f"({one.beside_bytes:,} bytes, SHA-256 {one.beside_sha256})."
        for one in records
    ]


def egress_words(records: Sequence[EgressRecord]) -> list[object]:
    """What left the node: a table for each day."""
    if not records:
        return ["Nothing has left this node."]
    return [
        *(
            _egress_table(day, list(group))
            for day, group in itertools.groupby(records, lambda record: record.at[:10])
        ),
        *(
            ["After +: of logs and cosignatures, beside the message; `egress show` says what."]
            if any(record.beside_bytes for record in records)
            else []
        ),
        f"Privacy: {egress_privacy(records)}.",
    ]


def egress_privacy(records: Sequence[EgressRecord]) -> str:
    """What protected the customers that were counted: the least of all messages."""
    if any(r.customers is not None and r.what != NOISED_ANSWER for r in records):
        return EXACT_WORDS
    return NOISED_STATEMENT


def _egress_table(day: str, records: Sequence[EgressRecord]) -> Table:
    table = Table(title=f"{day} (UTC)")
    table.add_column("no.", no_wrap=True, justify="right")
    table.add_column("time", no_wrap=True)
    table.add_column("run", no_wrap=True)
    table.add_column("round", no_wrap=True, justify="right")
    table.add_column("what", overflow="fold")
    table.add_column("bytes", no_wrap=True, justify="right")
    table.add_column("own customers\ncounted", justify="right")
    for record in records:
        table.add_row(
            "" if record.manifest is None else str(record.manifest),
            record.at[11:19],
            short(record.run_id),
            str(round_number(record.round)) if record.round >= 0 else "",
            record.what,
            f"{record.n_bytes:,}" + (f"\n+ {record.beside_bytes:,}" if record.beside_bytes else ""),
            "" if record.customers is None else f"{record.customers:,}",
        )
    return table
