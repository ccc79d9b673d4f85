"""Files of customers' segments: until when they may be kept, and what became of others."""

from __future__ import annotations

from machine.shown import Shown
from machine.tables import Table
from machine.text import minute, shown
from partner_node.segments.export_records import ExportRecords
from partner_node.store.node_store import NodeStore


def files_shown(store: NodeStore) -> Shown:
    """Files on the register with the day until which they may be kept, and those that ended."""
    records = ExportRecords(store)
    files, ended = [versions[0] for versions in records.by_path().values()], records.ended()
    table = Table(title="Files that were on the register, newest first")
    table.add_column("no.", justify="right", no_wrap=True)
    table.add_column("ended", no_wrap=True)
    table.add_column("how", no_wrap=True)
    table.add_column("written", no_wrap=True)
    table.add_column("customers", justify="right", no_wrap=True)
    for number, one in enumerate(ended, start=1):
        record = one.record
        table.add_row(str(number), minute(one.at), one.ending, record.at[:10], record.rows_words)
    return Shown(
        values={
            "files": [
                {
                    "file": one.path,
                    "delete_by": one.delete_by[:10],
                    "of_another_folder": one.foreign,
                }
                for one in files
            ],
            "ended": [
                {
                    "at": one.at,
                    "how": one.ending,
                    "file": one.record.path,
                    "written": one.record.at,
                    "use": one.record.use,
                    **one.record.rows_told,
                }
                for one in ended
            ],
        },
        parts=[
            *(
                f"{shown(one.path)}: may be kept until {one.delete_by[:10]}"
                + (f"; written by this node in {shown(one.home)}." if one.foreign else ".")
                for one in files
            ),
            "" if files else "No file of customers' segments is on the register.",
            table if ended else "",
            "\n".join(f"{number}: {one.record.path}" for number, one in enumerate(ended, start=1)),
        ],
    )
