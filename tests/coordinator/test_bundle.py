"""The bundle holds no code, is accepted by Flower, and has the hash that nodes pin."""

from __future__ import annotations

import importlib.util
import io
import re
import zipfile
from pathlib import Path

import pytest
import tomli
from flwr.cli.build import build_fab_from_disk
from flwr.cli.install import install_from_fab
from flwr.common.config import get_fab_config

from coordinator.service import bundle
from partner_node import client_app
from partner_node.link import flower_link


def _names(content: bytes) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(content)).namelist()


def test_the_bundle_holds_a_description_and_no_code() -> None:
    assert _names(bundle.build_bundle()) == ["pyproject.toml", "README.md", ".info/CONTENT"]


def test_nodes_pin_exactly_this_bundle() -> None:
    assert bundle.bundle_sha256() == flower_link.APPROVED_BUNDLE_SHA256


def test_the_hash_does_not_depend_on_a_compression_library() -> None:
    entries = zipfile.ZipFile(io.BytesIO(bundle.build_bundle())).infolist()
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {entry.create_system for entry in entries} == {3}


def test_flower_accepts_and_installs_the_bundle(tmp_path: Path) -> None:
    installed = install_from_fab(bundle.build_bundle(), tmp_path, skip_prompt=True)
    assert sorted(path.name for path in installed.iterdir()) == ["README.md", "pyproject.toml"]


def test_its_components_are_modules_that_are_installed_here() -> None:
    app = get_fab_config(bundle.build_bundle())["tool"]["flwr"]["app"]
    for reference in app["components"].values():
        assert importlib.util.find_spec(reference.partition(":")[0]) is not None


def test_the_apps_are_plain_assignments_as_flower_demands() -> None:
    for module in ("coordinator.server_app", "partner_node.client_app"):
        spec = importlib.util.find_spec(module)
        assert spec is not None
        assert spec.origin is not None
        assert re.search(r"^app = \w+App\(\)$", Path(spec.origin).read_text(), re.MULTILINE)


def test_every_key_that_the_apps_read_is_declared_because_flower_refuses_others() -> None:
    declared = set(get_fab_config(bundle.build_bundle())["tool"]["flwr"]["app"]["config"])
    assert declared == {
        bundle.RUN_KEY,
        bundle.COORDINATOR_DIRECTORY_KEY,
        bundle.SIMULATION_DIRECTORY_KEY,
    }
    assert client_app.SIMULATION_DIRECTORY_KEY == bundle.SIMULATION_DIRECTORY_KEY


@pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")
def test_flowers_own_builder_finds_no_code_in_the_project_either(tmp_path: Path) -> None:
    project = bundle.write_bundle_project(tmp_path)
    assert re.fullmatch(r"[a-z0-9-]{1,32}", project.name)
    assert _names(build_fab_from_disk(project)) == _names(bundle.build_bundle())
    parsed = tomli.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    assert parsed["tool"]["flwr"]["app"]["fab-include"] == ["README.md"]


def test_the_project_is_refreshed_in_place(tmp_path: Path) -> None:
    project = bundle.write_bundle_project(tmp_path)
    (project / "README.md").write_text("changed")
    assert bundle.write_bundle_project(tmp_path) == project
    assert "no code" in (project / "README.md").read_text()
