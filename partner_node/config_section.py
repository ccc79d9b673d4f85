"""One section of a configuration file: reading and checking its values, and writing lines."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from machine.files import open_regular
from protocol.errors import ConfigError

MAX_CONFIG_BYTES: Final = 1 << 20

_HOST: Final = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_SIZE: Final = re.compile(r"([0-9]{1,12}) ?(KB|MB|GB|TB|KiB|MiB|GiB|TiB)")
_UNITS: Final[Mapping[str, int]] = {
    **{unit: 1000**power for power, unit in enumerate(("KB", "MB", "GB", "TB"), start=1)},
    **{unit: 1024**power for power, unit in enumerate(("KiB", "MiB", "GiB", "TiB"), start=1)},
}


class ConfigSection:
    """Reader of one section, key by key."""

    def __init__(self, file: Path, name: str, values: object, known: tuple[str, ...]) -> None:
        self._file = file
        self._name = name
        if not isinstance(values, dict):
            raise ConfigError(
                f"{file}: {name} must be a section, found {_kind(values)}",
                remedy=f"write [{name}] on its own line, its keys below",
            )
        refuse_unknown(values, known, f"{file}: [{name}] unknown key")
        self._values: dict[str, Any] = values

    def problem(self, key: str, what: str, remedy: str) -> ConfigError:
        return ConfigError(f"{self._file}: [{self._name}] {key} {what}", remedy=remedy)

    def text(
        self,
        key: str,
        *,
        default: str | None = None,
        pattern: re.Pattern[str] | None = None,
        form: str = "",
        max_length: int = 4_096,
    ) -> str:
        value = self._take(key, str, "text in quotes", default)
        if not 1 <= len(value) <= max_length:
            raise self.problem(
                key, f"has {len(value)} characters", f"1 to {max_length} characters are allowed"
            )
        if "\0" in value:
            raise self.problem(key, "contains a NUL character", "remove it")
        if pattern is not None and not pattern.fullmatch(value):
            raise self.problem(key, f"is {value!r}", f"write it like this: {form}")
        return str(value)

    def optional(
        self, key: str, *, pattern: re.Pattern[str] | None = None, form: str = ""
    ) -> str | None:
        return self.text(key, pattern=pattern, form=form) if key in self._values else None

    def one_of(self, key: str, allowed: tuple[str, ...], *, default: str | None = None) -> str:
        value = self.text(key, default=default)
        if value not in allowed:
            raise self.problem(
                key, f"is {value!r}{near(value, allowed)}", "allowed: " + ", ".join(allowed)
            )
        return value

    def integer(self, key: str, *, lowest: int, highest: int, default: int) -> int:
        value = self._take(key, int, "a whole number", default)
        if not lowest <= value <= highest:
            raise self.problem(key, f"is {value}", f"allowed: {lowest} to {highest}")
        return int(value)

    def truth(self, key: str, *, default: bool) -> bool:
        return bool(self._take(key, bool, "true or false", default))

    def size(self, key: str, *, default: str) -> int:
        """A number of bytes written like "512MB"."""
        value = self.text(key, default=default)
        found = _SIZE.fullmatch(value)
        n_bytes = int(found[1]) * _UNITS[found[2]] if found else 0
        if not 64_000_000 <= n_bytes <= 100 * 10**12:
            raise self.problem(
                key, f"is {value!r}", 'write a size from "64MB" to "100TB", for instance "2GB"'
            )
        return n_bytes

    def path(self, key: str, *, default: str | None = None) -> Path:
        """An absolute path; a relative one starts at the file's folder."""
        value = self.text(key, default=default)
        if value.startswith("~"):
            raise self.problem(key, f"is {value!r}", "write the path in full, without ~")
        return self._file.parent / value

    def address(self, key: str) -> str:
        """``host:port``."""
        value = self.text(key)
        host, _, port = value.rpartition(":")
        is_port = port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65_535
        if not is_port or not _HOST.fullmatch(host):
            raise self.problem(
                key, f"is {value!r}", 'write host:port without https://, like "fedseg.example:9443"'
            )
        return value

    def mapping(self, key: str) -> Mapping[str, str]:
        """Texts by name; empty when missing."""
        found = self._take(key, dict, "a section", {})
        for name, value in found.items():
            if not isinstance(value, str) or not value or not name:
                raise self.problem(
                    f"{key}.{name}",
                    f"must be text in quotes, found {_kind(value)}",
                    'write feature = "column"',
                )
        return MappingProxyType(dict(found))

    def texts(self, key: str, *, pattern: re.Pattern[str] | None = None) -> tuple[str, ...]:
        """A list of texts; empty when missing."""
        found = self._take(key, list, "a list", [])
        for value in found:
            if not isinstance(value, str) or not value:
                raise self.problem(
                    key,
                    f"must hold texts in quotes, found {_kind(value)}",
                    f'write it like this: {key} = ["a", "b"]',
                )
            if pattern is not None and not pattern.fullmatch(value):
                raise self.problem(
                    key, f"holds {value!r}", "use letters, digits, dots, - and _, as agreements do"
                )
        return tuple(found)

    def sections(self, key: str, known: tuple[str, ...]) -> list[ConfigSection]:
        """The sections of a list, as ``[[consent.sources]]`` writes them; none when missing."""
        found = self._take(key, list, "a list of sections", [])
        where = f"{self._name}.{key}"
        return [
            ConfigSection(self._file, f"{where} {number}", values, known)
            for number, values in enumerate(found, start=1)
        ]

    def sets(self, key: str) -> bool:
        """Whether the file sets a key."""
        return key in self._values

    def text_of_file(self, key: str) -> str:
        """The text of the file that a key names."""
        path = self.path(key)
        try:
            with open_regular(path) as opened:
                data = opened.read(MAX_CONFIG_BYTES + 1)
            if len(data) > MAX_CONFIG_BYTES:
                raise self.problem(
                    key, f"{path} has more than {MAX_CONFIG_BYTES} bytes", "correct the path"
                )
            return data.decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            what = error.strerror if isinstance(error, OSError) else "is not UTF-8"
            raise self.problem(
                key, f"{path}: {what}", "correct the path, or write the query there"
            ) from error

    def section(self, key: str, known: tuple[str, ...]) -> ConfigSection:
        """A section within this one."""
        return ConfigSection(self._file, f"{self._name}.{key}", self._values.get(key), known)

    def at_most_one_of(self, first: str, second: str) -> None:
        if first in self._values and second in self._values:
            raise self.problem(
                f"{first} and {second}", "are both set", f"keep either {first} or {second}"
            )

    def _take(self, key: str, kind: type, kind_name: str, default: Any) -> Any:
        value = self._values.get(key, default)
        if value is None:
            raise self.problem(key, "is missing", f"add it below [{self._name}]")
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.problem(
                key, f"must be {kind_name}, found {_kind(value)}", "correct its type"
            )
        return value


def refuse_unknown(values: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for name in values:
        if name not in known:
            raise ConfigError(
                f"{where} {name!r}{near(name, known)}", remedy="known: " + ", ".join(known)
            )


def near(name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name.casefold(), known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _kind(value: object) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    return {**names, list: "a list", dict: "a section"}.get(type(value), "a date or time")


def toml_text(text: str) -> str:
    """A text in TOML: the escapes of JSON, plus DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_line(key: str, value: str, given: object) -> str:
    """A line that sets a key, commented out where no value was given."""
    return ("" if given is not None else "# ") + f"{key} = {value}"
