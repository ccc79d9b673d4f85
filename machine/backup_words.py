"""What is told of a backup that was written or restored, for people and as JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from machine.backups import Manifest
from machine.text import minute, shown

Told = tuple[dict[str, Any], list[str]]


def written(
    made: Manifest, out: Path, *, whose: str, left_out: Sequence[str], warning: str = ""
) -> Told:
    """What is told of a new backup.

    Args:
        whose: What was backed up, as in "the node north".
        left_out: What is not in it.
        warning: What whoever keeps the file has to know.
    """
    paths = ", ".join(shown(part.path) for part in made.parts)
    return {"file": str(out), **made.to_dict(), "left_out": list(left_out)}, [
        f"Wrote {shown(str(out))} and read it back: {whose} as of {minute(made.made_at)}, {paths}.",
        warning,
        *(f"Not in it: {what}." for what in left_out),
    ]


def restored(
    made: Manifest, folder: Path, *, whose: str, not_known: Sequence[str], passphrase: Path | None
) -> Told:
    """What is told of a folder that was made from a backup.

    Args:
        whose: What was put back, as in "the node north".
        not_known: What it does not know.
        passphrase: The file of its passphrase; None where that is in no file.
    """
    missing = passphrase is not None and not passphrase.exists()
    values = {
        "folder": str(folder),
        **made.to_dict(),
        "not_known": list(not_known),
        "passphrase_missing": str(passphrase) if missing else None,
    }
    return values, [
        f"Made {shown(str(folder))}: {whose} as of {minute(made.made_at)}.",
        *(f"It does not know {what}." for what in not_known),
        f"Put the passphrase into {shown(str(passphrase))}, mode 0600." if missing else "",
    ]
