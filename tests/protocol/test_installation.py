from __future__ import annotations

from importlib import metadata, resources
from pathlib import Path

import pytest

from protocol.errors import ConfigError
from protocol.installation import (
    NODE_PACKAGES,
    PACKAGES,
    Software,
    code_hash,
    require_sole_owner,
)


@pytest.mark.parametrize("package", PACKAGES)
def test_an_environment_where_somebody_else_ships_our_package_is_refused(package: str) -> None:
    with pytest.raises(ConfigError, match=f"{package!r} is also shipped by other") as caught:
        require_sole_owner({package: ["fedseg", "other"]})
    assert caught.value.code == "E-INSTALLATION"


def test_an_editable_installation_that_lists_no_packages_is_fine() -> None:
    require_sole_owner({"numpy": ["numpy"]})


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
