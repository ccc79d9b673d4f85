"""The software that is installed here."""

from __future__ import annotations

from importlib import metadata, resources

from protocol.installation import Software


def installed_software() -> Software:
    """Version and hash of the installed code, as an agreement fixes them."""
    return Software.installed(metadata.version, resources.files)
