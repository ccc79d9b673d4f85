"""The verifier in JavaScript tells the same of every receipt among the test vectors."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.protocol.pack.test_pack import NODE, VERIFIER

VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "receipts.json").read_text(encoding="utf-8")
)


def told(folder: Path, receipt: object, key: str, *more: str) -> dict[str, object]:
    file = folder / "receipt.json"
    file.write_text(json.dumps(receipt, ensure_ascii=False), encoding="utf-8")
    done = subprocess.run(
        [NODE, VERIFIER, "--key", key, *more, file],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    said: dict[str, object] = json.loads(done.stdout)
    assert done.returncode == (0 if said["accepted"] else 1)
    return said


def test_what_is_proved_is_told(tmp_path: Path) -> None:
    assert len(VECTORS["receipts"]) > 2
    for one in VECTORS["receipts"]:
        said = told(tmp_path, one["receipt"], one["vkey"], "--witness", one["witness"])
        assert said["accepted"], said
        assert said["cosigned"] == one["cosigned"]
        assert said["event"] == one["receipt"]["event"]
        assert said["customer"] == one["receipt"]["pii_principal_id"]


def test_nothing_is_told_of_what_is_not_proved(tmp_path: Path) -> None:
    assert len(VECTORS["bad_receipts"]) > 20
    for one in VECTORS["bad_receipts"]:
        said = told(tmp_path, one["receipt"], one["vkey"])
        assert not said["accepted"], one["why"]
