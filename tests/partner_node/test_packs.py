"""`evidence pack`, `evidence verify` and `evidence verifier` of a node."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from machine.plain_archive import MAX_FILE_BYTES
from partner_node import packing
from tests.partner_node.nodes import installed, node, shell
from tests.shell import Shell

__all__ = ["installed", "node", "shell"]


def test_a_pack_has_all_documents_and_the_log_says_that_it_was_made(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "minutes.pdf").write_bytes(b"%PDF")
    before = shell.json("log", "verify", "--dir", installed)["size"]
    made = shell.json(
        "evidence",
        "pack",
        "--out",
        "n.pack",
        "--with",
        tmp_path / "minutes.pdf",
        "--dir",
        installed,
    )
    assert stat.S_IMODE((tmp_path / "n.pack").stat().st_mode) == 0o600
    assert made["entries"] == before
    ((said,),) = [shell.json("log", "show", "--kind", "pack", "--dir", installed)["entries"]]
    assert said["sha256"] == made["sha256"]
    (agreement,) = made["agreements"]
    words = ("evidence", "verify", "n.pack", "--agreement", agreement["agreement_hash"])
    error = shell.refused(*words, status=3)
    assert error["code"] == "E-PACK-WITNESS", "no run took place: nobody cosigned"
    assert "nobody cosigned" in error["message"]


def test_a_pack_is_never_written_over_another_file(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "n.pack").write_bytes(b"mine")
    error = shell.refused("evidence", "pack", "--out", "n.pack", "--dir", installed, status=2)
    assert error["code"] == "E-PACK-OUT"
    assert (tmp_path / "n.pack").read_bytes() == b"mine"
    assert shell.json("log", "show", "--kind", "pack", "--dir", installed)["entries"] == []


def test_a_file_that_appears_while_a_pack_is_made_is_kept(
    shell: Shell, installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = packing.write_archive

    def meanwhile(*about: Any) -> None:
        (tmp_path / "n.pack").write_bytes(b"mine")
        write(*about)

    monkeypatch.setattr(packing, "write_archive", meanwhile)
    done = shell("evidence", "pack", "--out", "n.pack", "--dir", installed)
    assert done.code == 2
    assert "E-FILE" in done.err
    assert (tmp_path / "n.pack").read_bytes() == b"mine"


def test_a_file_that_cannot_be_read_is_named(shell: Shell, installed: Path, tmp_path: Path) -> None:
    words = ("evidence", "pack", "--out", "n.pack", "--with", tmp_path / "none", "--dir", installed)
    assert shell.refused(*words, status=2)["code"] == "E-PACK-FILE"
    words = ("evidence", "verify", tmp_path / "none", "--agreement", "ab" * 32)
    assert shell.refused(*words, status=2)["code"] == "E-PACK-FILE"
    (tmp_path / "other").write_bytes(bytes(1024))
    words = ("evidence", "verify", tmp_path / "other", "--agreement", "ab" * 32)
    assert shell.refused(*words, status=3)["code"] == "E-PACK-FILES"


def test_a_file_that_no_pack_can_have_is_named_before_anything_is_done(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "the minutes.pdf").write_bytes(b"%PDF")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    for name, words in (("the minutes.pdf", "can be called"), ("huge", "268,435,456 bytes")):
        asked = ("evidence", "pack", "--out", "n.pack", "--with", tmp_path / name)
        error = shell.refused(*asked, "--dir", installed, status=2)
        assert error["code"] == "E-PACK-FILE"
        assert words in error["message"]
        assert name in error["message"]
    assert shell.json("log", "show", "--kind", "pack", "--dir", installed)["entries"] == []


def test_the_second_verifier_is_written_as_it_is(shell: Shell, tmp_path: Path) -> None:
    shell.json("evidence", "verifier", "--out", "verifier.mjs")
    from tests.protocol.pack.test_pack import VERIFIER

    assert (tmp_path / "verifier.mjs").read_bytes() == VERIFIER.read_bytes()
