"""The Flower app bundle: a name and two references, no code.

Flower runs a *bundle* (FAB). Ours holds a pyproject.toml and a README; its components are
references to packages that are already installed, at the coordinator and at each partner. So
nothing that an operator submits is ever executed by a partner: the node compares the bundle's
hash with the one it pins (`partner_node.link.flower_link`) and never asks for the bundle itself.

The bundle is written with stored (uncompressed) entries and fixed dates, so its hash does not
depend on the machine, the Python version or the zlib that made it.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from machine.files import write_file

#: Keys of the run configuration (Flower refuses keys that the bundle does not declare).
RUN_KEY: Final = "fedseg-run"
COORDINATOR_DIRECTORY_KEY: Final = "coordinator-directory"
SIMULATION_DIRECTORY_KEY: Final = "simulation-dir"

#: Environment variable with the coordinator's directory, for a deployed ServerApp. It is not in the
#: run configuration, because nodes can read that.
DIRECTORY_VARIABLE: Final = "FEDSEG_COORDINATOR_DIRECTORY"

#: Folder name of the bundle project; Flower requires letters, digits and hyphens, at most 32.
BUNDLE_FOLDER: Final = "fedseg-bundle"

_SERVER_APP: Final = "coordinator.server_app:app"
_CLIENT_APP: Final = "partner_node.client_app:app"

_PYPROJECT: Final = f"""\
[project]
name = "fedseg"
version = "1.0.0"
description = "Shared customer segments: references to the installed fedseg, no code"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "fedseg"
fab-include = ["README.md"]

[tool.flwr.app.components]
serverapp = "{_SERVER_APP}"
clientapp = "{_CLIENT_APP}"

[tool.flwr.app.config]
{RUN_KEY} = ""
{COORDINATOR_DIRECTORY_KEY} = ""
{SIMULATION_DIRECTORY_KEY} = ""
"""

_README: Final = """\
# fedseg bundle

This bundle contains no code. Its two components name modules of the fedseg that is installed
where they run. A partner's node runs only software that the partner installed.
"""

_FILES: Final = (("pyproject.toml", _PYPROJECT), ("README.md", _README))
_MANIFEST: Final = ".info/CONTENT"
_DATE: Final = (1980, 1, 1, 0, 0, 0)
_UNIX: Final = 3


def build_bundle() -> bytes:
    """The bundle's bytes: a FAB that Flower accepts, the same on every machine."""
    return pack_bundle({name: text.encode("utf-8") for name, text in _FILES})


def bundle_from(*, serverapp: str, clientapp: str) -> bytes:
    """The same bundle with other components (``module:name``), for tests and measurements."""
    text = _PYPROJECT.replace(_SERVER_APP, serverapp).replace(_CLIENT_APP, clientapp)
    return pack_bundle({"pyproject.toml": text.encode("utf-8"), "README.md": _README.encode()})


def pack_bundle(files: Mapping[str, bytes]) -> bytes:
    """Pack files into Flower's bundle format, pyproject.toml first, reproducibly."""
    entries = list(files.items())
    manifest = "\n".join(
        f"{name},{hashlib.sha256(data).hexdigest()},{len(data) * 8}" for name, data in entries
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in [*entries, (_MANIFEST, manifest.encode("ascii"))]:
            entry = zipfile.ZipInfo(name, date_time=_DATE)
            entry.compress_type = zipfile.ZIP_STORED
            entry.create_system = _UNIX
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return buffer.getvalue()


def bundle_sha256() -> str:
    """SHA-256 of the bundle, in hex, which partners pin."""
    return hashlib.sha256(build_bundle()).hexdigest()


def write_bundle_project(parent: Path) -> Path:
    """Write the bundle as a project folder, for ``flwr run FOLDER local``.

    Args:
        parent: Folder in which the project folder is created or updated.

    Returns:
        The project folder. Flower's own builder compresses, so the bundle that it builds from
            this folder has another hash: usable in Flower's simulation, refused by deployed nodes.
    """
    project = parent / BUNDLE_FOLDER
    for name, text in _FILES:
        write_file(project / name, text)
    return project
