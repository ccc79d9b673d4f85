from __future__ import annotations

from importlib import metadata, resources
from pathlib import Path

import pytest

from machine import software
from protocol.agreement.software import DISTRIBUTION, NODE_PACKAGES, Software, code_hash


def _packages(folder: Path) -> dict[str, Path]:
    (folder / "a" / "inner").mkdir(parents=True)
    (folder / "a" / "one.py").write_bytes(b"1")
    (folder / "a" / "inner" / "two.py").write_bytes(b"2")
    (folder / "b").mkdir()
    (folder / "b" / "three.py").write_bytes(b"3")
    return {name: folder / name for name in ("a", "b")}


def test_the_hash_of_code_follows_from_its_files_alone(tmp_path: Path) -> None:
    packages = _packages(tmp_path / "here")
    there = _packages(tmp_path / "there")
    found = code_hash(packages)
    assert found == code_hash(dict(reversed(there.items())))
    (there["a"] / "notes.txt").write_text("no code")
    (there["a"] / "__pycache__").mkdir()
    (there["a"] / "__pycache__" / "one.pyc").write_bytes(b"x")
    assert found == code_hash(there)


@pytest.mark.parametrize("change", ["bytes", "name", "place", "new", "gone"])
def test_any_change_of_code_changes_its_hash(tmp_path: Path, change: str) -> None:
    packages = _packages(tmp_path)
    found = code_hash(packages)
    one = packages["a"] / "one.py"
    match change:
        case "bytes":
            one.write_bytes(b"11")
        case "name":
            one.rename(one.with_name("uno.py"))
        case "place":
            one.rename(packages["b"] / "one.py")
        case "new":
            one.with_name("four.py").write_bytes(b"")
        case "gone":
            one.unlink()
    assert code_hash(packages) != found


def test_the_installed_software_is_what_its_files_hash_to() -> None:
    found = Software.installed(metadata.version, resources.files)
    assert found.version == metadata.version("fedseg")
    assert found.sha256 == code_hash({name: resources.files(name) for name in NODE_PACKAGES})


def test_the_agreed_software_is_the_distribution_whose_packages_are_ours() -> None:
    assert DISTRIBUTION == software.DISTRIBUTION
    assert set(NODE_PACKAGES) < set(software.PACKAGES)
