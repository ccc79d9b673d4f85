"""Logs of our processes: of bounded size, and no line again and again.

Whoever calls a port, or lets a node be asked, decides how often something is worth a line. So one
line is written once a minute, with the number of times that it was left out, and a file of lines
is renamed when it is full, and the oldest deleted.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import traceback
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import StrEnum
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import MappingProxyType
from typing import Final

from machine.labels import label

logger = logging.getLogger(__name__)

FULL_BYTES: Final = 4 << 20
#: Full files kept beside the one that is written.
FULL_FILES: Final = 3
_FORMAT: Final = "%(asctime)s %(levelname)s %(message)s"
_FILE_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_ONCE_IN_S: Final = 60.0
_REMEMBERED: Final = 1_024
_SAME: Final = "same"
_about: Final[ContextVar[Mapping[str, str]]] = ContextVar("about", default=MappingProxyType({}))


class LogFormat(StrEnum):
    """How a line is written."""

    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """The lowest level that is written; there is none for what libraries say of each message."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def to_console(form: LogFormat = LogFormat.TEXT, level: LogLevel = LogLevel.INFO) -> None:
    """Log to standard error, also what libraries would write there in forms of their own.

    Call it when what serves is imported: Flower adds handlers of its own then.

    Args:
        level: The lowest that is written.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_Json() if form is LogFormat.JSON else logging.Formatter(_FORMAT))
    handler.addFilter(Repetitions())
    number: int = getattr(logging, level.upper())
    logging.basicConfig(handlers=[handler], level=number)
    _silence_others()
    if form is LogFormat.JSON:
        logging.captureWarnings(capture=True)
        threading.excepthook = _thread_ended
    logging.getLogger("httpx").setLevel(max(number, logging.WARNING))


def _silence_others() -> None:
    """Have what other loggers write to standard output and error by themselves go our way alone."""
    for name in list(logging.root.manager.loggerDict):
        found = logging.getLogger(name)
        for handler in found.handlers[:]:
            of_a_file = isinstance(handler, logging.FileHandler)
            if isinstance(handler, logging.StreamHandler) and not of_a_file:
                found.removeHandler(handler)


def _thread_ended(ended: threading.ExceptHookArgs) -> None:
    """Say that a thread ended by an exception: where, never its message."""
    place = traceback.extract_tb(ended.exc_traceback)[-1:]
    where = "".join(f" at {Path(one.filename).name}:{one.lineno}" for one in place)
    logger.error("a thread ended: unexpected %s%s", ended.exc_type.__name__, where)


def to_file(path: Path, *, level: int = logging.INFO) -> None:
    """Log to a file that others of our processes may write too.

    Args:
        path: Full files have ``.1``, ``.2`` … behind its name.
        level: The lowest that is written.
    """
    handler = _LogFile(path)
    handler.setFormatter(logging.Formatter(_FILE_FORMAT))
    handler.addFilter(Repetitions())
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(level)
    logging.getLogger("httpx").setLevel(logging.WARNING)


@contextmanager
def about(*, run: str = "", agreement: str = "", partner: str = "") -> Iterator[None]:
    """What lines of this thread are about until the block ends, in lines of JSON.

    What is empty stays as it was.
    """
    told = {"run": run, "agreement": agreement, "partner": partner}
    token = _about.set(
        {**_about.get(), **{name: label(text) for name, text in told.items() if text}}
    )
    try:
        yield
    finally:
        _about.reset(token)


class _Json(logging.Formatter):
    """A line is an object with what the line of text says, and what it is about."""

    def format(self, record: logging.LogRecord) -> str:
        """The record in one line."""
        more = dict(_about.get())
        if record.exc_info:
            more["exception"] = self.formatException(record.exc_info)
        return json_line(
            record.getMessage(), more,
            level=record.levelname, logger=record.name, at=record.created,
        )  # fmt: skip


def json_line(
    message: str, more: Mapping[str, str], *, level: str, logger: str, at: float | None = None
) -> str:
    """A line of the log as an object.

    Args:
        more: Fields beside those of each line; empty ones are left out.
        at: Seconds since 1970; None for now.
    """
    time = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
    values = {
        "time": time.isoformat(timespec="milliseconds"),
        "level": level,
        "logger": logger,
        "message": message,
    }
    return json.dumps(values | {k: v for k, v in more.items() if v}, ensure_ascii=False)


def alike(*what: Hashable) -> dict[str, Hashable]:
    """For ``extra=`` of a log call: lines with the same `what` count as the same line."""
    return {_SAME: what}


class Repetitions(logging.Filter):
    """Leaves a line out that was written within the last minute."""

    def __init__(self) -> None:
        super().__init__()
        #: When each line was written, and how often it was left out since; oldest first.
        self._lines: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is written; it then says how many like it were not."""
        message = record.getMessage()
        line = (record.name, getattr(record, _SAME, message))
        at, left_out = self._lines.get(line, (float("-inf"), 0))
        if 0 <= record.created - at < _ONCE_IN_S:
            self._lines[line] = (at, left_out + 1)
            return False
        self._lines[line] = (record.created, 0)
        self._lines.move_to_end(line)
        if len(self._lines) > _REMEMBERED:
            self._lines.popitem(last=False)
        if left_out:
            record.msg, record.args = f"{message} (and {left_out} times more since the last)", None
        return True


class _LogFile(RotatingFileHandler):
    """A file of lines that is renamed when it is full; nobody but this user reads it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=FULL_BYTES, backupCount=FULL_FILES, encoding="utf-8")

    def _open(self) -> TextIOWrapper:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return os.fdopen(os.open(self.baseFilename, flags, 0o600), "a", encoding="utf-8")

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line into the file of that name; another process may have renamed ours."""
        if self.stream is not None and not self._is_named(self.stream):
            self.stream.close()
            self.stream = self._open()
        super().emit(record)

    def _is_named(self, stream: TextIOWrapper) -> bool:
        try:
            return os.path.samestat(Path(self.baseFilename).stat(), os.fstat(stream.fileno()))
        except FileNotFoundError:
            return False
