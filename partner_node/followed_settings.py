"""Taking up a configuration that was changed while the node serves, without waiting for a message.

Looked at whenever the link looks for messages, and after each: never oftener than that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from machine.files import mark_of
from partner_node.client_app import nodes_of
from protocol.errors import FedsegError

logger = logging.getLogger(__name__)


class FollowedSettings:
    """Sees that ``node.toml`` was changed; make it before anything is checked by what it says.

    Args:
        directory: The node's folder.
        file: Its configuration.
    """

    def __init__(self, directory: Path, file: Path) -> None:
        self._directory = directory
        self._file = file
        self._mark = mark_of(file)

    def look(self, changed: Callable[[], None]) -> None:
        """Open the nodes with what is written now, and say that something changed here.

        What cannot be taken up is logged, and refuses messages as long as it stands there: so
        readiness is another one then, too.
        """
        mark = mark_of(self._file)
        if mark == self._mark:
            return
        self._mark = mark
        logger.info("%s was changed", self._file)
        try:
            nodes_of(self._directory)
        except FedsegError as error:
            logger.warning("%s is not taken up: %s; %s", self._file, error, error.remedy)
        except Exception as error:  # nothing in a file ends the link
            logger.error("%s is not taken up: %s", self._file, type(error).__name__)
        changed()
