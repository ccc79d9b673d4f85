"""Folders for Unix sockets that nobody but this user reaches."""

from __future__ import annotations

import os
import tempfile
from typing import Final

from protocol.errors import TransportError

#: Longest path of a Unix socket, in bytes, on every system that we know.
_MOST_PATH_BYTES: Final = 103
#: Longest name of a socket in such a folder.
_MOST_NAME_BYTES: Final = 12


def private_socket_folder(whose: str, *, code: str) -> tempfile.TemporaryDirectory[str]:
    """A folder of mode 0700 with a path short enough for a socket in it.

    Args:
        whose: Whose socket it is for, for the message.
        code: Of the error.

    Raises:
        TransportError: The path of the system's temporary folder is too long.
    """
    folder = tempfile.TemporaryDirectory(prefix="fedseg-", ignore_cleanup_errors=True)
    if len(os.fsencode(folder.name)) + 1 + _MOST_NAME_BYTES > _MOST_PATH_BYTES:
        folder.cleanup()
        raise TransportError(
            f"the {whose}'s socket cannot be in {tempfile.gettempdir()}: the path is too long",
            code=code,
            remedy="Set TMPDIR to a folder with a shorter path.",
        )
    return folder
