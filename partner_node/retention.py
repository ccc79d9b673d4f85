"""Deleting on time what was agreed to be kept no longer: files of segments, and records."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from partner_node.store import ExportRecord, NodeStore, stamp
from protocol.agreement import Agreement
from protocol.errors import RuleError


def purge(store: NodeStore, agreement: Agreement, now: datetime) -> list[str]:
    """Delete what may not be kept any longer; a file that is not as it was written is left alone.

    Returns:
        Paths of the files that were deleted.

    Raises:
        RuleError: A file cannot be deleted (E-RETENTION); its record stays, so that it is tried
            again.
    """
    deleted = []
    moment = stamp(now)
    records = store.exports()
    last: dict[str, str] = {}
    for record in records:  # a file that was written again may be kept as long as its last writing
        last[record.path] = max(record.delete_by, last.get(record.path, ""))
    for record in overdue(records, now):
        if last[record.path] < moment and _delete(Path(record.path), record.sha256):
            deleted.append(record.path)
        with store.transaction():
            store.forget_exports(record.path, before=moment)
    before = stamp(now - timedelta(days=agreement.retention.records_days))
    if store.oldest_record() < before:
        with store.transaction():
            store.forget_records(before=before)
    return deleted


def overdue(records: Sequence[ExportRecord], now: datetime) -> list[ExportRecord]:
    """Files that may not be kept any longer."""
    return [record for record in records if record.delete_by < stamp(now)]


def _delete(path: Path, sha256: str) -> bool:
    """Whether the file was there, as it was written, and is gone now."""
    try:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                return False
        path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise RuleError(
            f"{path}, a file of customers' segments, was to be deleted by now and cannot be: "
            f"{error.strerror}",
            code="E-RETENTION",
            remedy="delete it, or let this account do so",
        ) from error
    return True
