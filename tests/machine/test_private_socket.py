"""Folders for Unix sockets."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path

import pytest

from machine.private_socket import private_socket_folder
from protocol.errors import TransportError


def test_nobody_else_enters_the_folder_of_a_socket() -> None:
    with private_socket_folder("port", code="E-PORT") as folder:
        assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700


def test_a_temporary_folder_with_too_long_a_path_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 90)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with pytest.raises(TransportError, match="too long") as caught:
        private_socket_folder("port", code="E-PORT")
    assert caught.value.code == "E-PORT"
    assert list(deep.iterdir()) == []
