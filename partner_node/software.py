"""What is installed here, to be compared with what was agreed."""

from __future__ import annotations

from functools import cache
from importlib import metadata, resources

from protocol.installation import Software


@cache
def installed_software() -> Software:
    """What is installed here, which must be what was agreed; looked at once a process."""
    return Software.installed(metadata.version, resources.files)
