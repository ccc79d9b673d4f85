"""The node's configuration, ``node.toml``: strict, typed, and explained by its own template.

An unknown key is refused with the nearest known one. Relative paths start at the file's folder.
No secret is in it: the passphrase of the key store is named by file or environment variable.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

from protocol.errors import ConfigError

MAX_CONFIG_BYTES: Final = 1 << 20
DEFAULT_CHUNK_ROWS: Final = 65_536
DEFAULT_MEMORY: Final = "512MB"
DEFAULT_THREADS: Final = 2
DEFAULT_TEMP_SPACE: Final = "20GB"
DEFAULT_PASSPHRASE_VARIABLE: Final = "FEDSEG_PASSPHRASE"  # noqa: S105 - a name

_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "node": ("partner", "agreement", "state", "output"),
    "coordinator": ("address", "root_certificates", "bundle_sha256"),
    "data": (
        "kind",
        "path",
        "id_column",
        "delimiter",
        "query",
        "query_file",
        "chunk_rows",
        "memory_limit",
        "temp_folder",
        "columns",
    ),
    "keys": ("store", "passphrase_file", "passphrase_env"),
    "limits": ("threads", "temp_space"),
}
_PARTNER: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HOST: Final = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_SIZE: Final = re.compile(r"([0-9]{1,12}) ?(KB|MB|GB|TB|KiB|MiB|GiB|TiB)")
_UNITS: Final[Mapping[str, int]] = {
    **{unit: 1000**power for power, unit in enumerate(("KB", "MB", "GB", "TB"), start=1)},
    **{unit: 1024**power for power, unit in enumerate(("KiB", "MiB", "GiB", "TiB"), start=1)},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSection:
    """``[node]``: who this is and where its files are.

    Attributes:
        partner: This partner's id in the agreement.
        agreement: The signed agreement.
        state: Folder of the node's database.
        output: Folder for releases and assignments.
    """

    partner: str
    agreement: Path
    state: Path
    output: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorSection:
    """``[coordinator]``: whom the node connects to.

    Attributes:
        address: ``host:port`` of the gateway.
        root_certificates: PEM file with the authority of the gateway's certificate.
        bundle_sha256: The only app bundle that is answered, in hex; None for the one that this
            version of fedseg makes.
    """

    address: str
    root_certificates: Path
    bundle_sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSection:
    """``[data]``: where the customers are.

    Attributes:
        kind: What the files are.
        path: Absolute path or glob.
        id_column: Column with the customers' ids.
        delimiter: Between the values of a CSV file.
        query: Text of the feature query, also when it came from ``query_file``; or None.
        chunk_rows: Rows held at once.
        memory_bytes: Limit of the reader's memory.
        temp_folder: For what does not fit into memory; None for the system's.
        columns: Column of each feature whose column has another name.
    """

    kind: Literal["csv", "parquet"]
    path: str
    id_column: str
    delimiter: str
    query: str | None
    chunk_rows: int
    memory_bytes: int
    temp_folder: Path | None
    columns: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysSection:
    """``[keys]``: the key store and where its passphrase is; exactly one of the two is set.

    Attributes:
        store: The encrypted key store.
        passphrase_file: File with the passphrase, mode 0600.
        passphrase_env: Environment variable with the passphrase.
    """

    store: Path
    passphrase_file: Path | None
    passphrase_env: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsSection:
    """``[limits]``: what reading the data may take from this machine.

    Attributes:
        threads: Threads of the reader.
        temp_bytes: Most temporary space on disk.
    """

    threads: int
    temp_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """A node's whole configuration.

    Attributes:
        file: The file it was read from.
    """

    file: Path
    node: NodeSection
    coordinator: CoordinatorSection
    data: DataSection
    keys: KeysSection
    limits: LimitsSection

    @staticmethod
    def load(path: Path) -> NodeConfig:
        """Read and check ``node.toml``.

        Raises:
            ConfigError: E-CONFIG, naming the section, the key, its value and the way out.
        """
        file = path.absolute()
        content = _read_toml(file)
        _refuse_unknown(content, tuple(_KEYS), f"{file}: unknown section")
        node, coordinator, data, keys, limits = (
            _Section(file, name, content.get(name, {}), known) for name, known in _KEYS.items()
        )
        return NodeConfig(
            file=file,
            node=NodeSection(
                partner=node.text("partner", pattern=_PARTNER, form="north-shop"),
                agreement=node.path("agreement"),
                state=node.path("state", default="state"),
                output=node.path("output", default="segments"),
            ),
            coordinator=CoordinatorSection(
                address=coordinator.address("address"),
                root_certificates=coordinator.path("root_certificates"),
                bundle_sha256=coordinator.optional(
                    "bundle_sha256", pattern=_SHA256, form="64 hex digits in lower case"
                ),
            ),
            data=_data_section(data),
            keys=_keys_section(keys),
            limits=LimitsSection(
                threads=limits.integer("threads", lowest=1, highest=64, default=DEFAULT_THREADS),
                temp_bytes=limits.size("temp_space", default=DEFAULT_TEMP_SPACE),
            ),
        )

    @staticmethod
    def template(
        *,
        partner: str,
        address: str,
        kind: Literal["csv", "parquet"] = "csv",
        path: str = "customers.csv",
        id_column: str = "customer_id",
        columns: Mapping[str, str] = MappingProxyType({}),
        agreement: str = "agreement.json",
        root_certificates: str = "coordinator-ca.pem",
        bundle_sha256: str | None = None,
        query_file: str | None = None,
        passphrase_file: str | None = None,
    ) -> str:
        """A commented ``node.toml`` that `load` accepts.

        Args:
            columns: Column of each feature whose column has another name.
            passphrase_file: None for the environment variable `DEFAULT_PASSPHRASE_VARIABLE`.
        """
        bundle = "" if bundle_sha256 is None else bundle_sha256
        mapping = [f"{_quoted(f)} = {_quoted(column)}" for f, column in columns.items()]
        return _TEMPLATE.format(
            partner=_quoted(partner),
            agreement=_quoted(agreement),
            address=_quoted(address),
            root_certificates=_quoted(root_certificates),
            bundle=("# " if bundle_sha256 is None else "")
            + f"bundle_sha256 = {_quoted(bundle or '0' * 64)}",
            kind=_quoted(kind),
            path=_quoted(path),
            id_column=_quoted(id_column),
            query=("# " if query_file is None else "")
            + f"query_file = {_quoted(query_file or 'features.sql')}",
            chunk_rows=DEFAULT_CHUNK_ROWS,
            memory=_quoted(DEFAULT_MEMORY),
            columns="\n".join(mapping or ['# monetary = "total_spent"']),
            passphrase=f"passphrase_env = {_quoted(DEFAULT_PASSPHRASE_VARIABLE)}"
            if passphrase_file is None
            else f"passphrase_file = {_quoted(passphrase_file)}",
            threads=DEFAULT_THREADS,
            temp_space=_quoted(DEFAULT_TEMP_SPACE),
        )


_TEMPLATE: Final = """\
# Configuration of a fedseg node. Relative paths start at this file's folder.
# A line that begins with "# name =" is an optional key with its default or an example.

[node]
# This partner's id in the agreement.
partner = {partner}
# The agreement, signed by all parties.
agreement = {agreement}
# Folders of the node's database, and of releases and assignments.
# state = "state"
# output = "segments"

[coordinator]
# host:port. The node connects outwards, nobody connects to it.
address = {address}
# Authority of the coordinator's certificate (PEM).
root_certificates = {root_certificates}
# The only app bundle that is answered; by default the one that this version of fedseg makes.
{bundle}

[data]
# "csv" (header line, UTF-8, may be .gz) or "parquet".
kind = {kind}
# A file or a glob.
path = {path}
# One row a customer, each id once.
id_column = {id_column}
# Between the values of a CSV file.
# delimiter = ","
# One SELECT that turns the files, seen as the table "input", into one row a customer.
# Columns of a CSV file are text in it: CAST(Quantity AS DOUBLE).
{query}
# query = "SELECT customer_id, count(*) AS frequency FROM input GROUP BY customer_id"
# Rows held at once.
# chunk_rows = {chunk_rows}
# Memory of the reader; what does not fit goes to a temporary folder (by default the system's).
# memory_limit = {memory}
# temp_folder = "temporary"

# Feature of the agreement = column of the data, where the names differ.
[data.columns]
{columns}

[keys]
# Private keys, encrypted; file mode 0600 in a folder of mode 0700.
# store = "keys/keystore.json"
# Their passphrase: passphrase_file (mode 0600) or passphrase_env (a variable), never both.
{passphrase}

[limits]
# Threads of the reader, and its most temporary space on disk.
# threads = {threads}
# temp_space = {temp_space}
"""


class _Section:
    """One section's values, taken out key by key."""

    def __init__(self, file: Path, name: str, values: object, known: tuple[str, ...]) -> None:
        self._file = file
        self._name = name
        if not isinstance(values, dict):
            raise ConfigError(
                f"{file}: {name} must be a section, found {_kind(values)}",
                remedy=f"write [{name}] on its own line, its keys below",
            )
        _refuse_unknown(values, known, f"{file}: [{name}] unknown key")
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

    def one_of(self, key: str, allowed: tuple[str, ...]) -> str:
        value = self.text(key)
        if value not in allowed:
            raise self.problem(
                key, f"is {value!r}{_near(value, allowed)}", "allowed: " + ", ".join(allowed)
            )
        return value

    def integer(self, key: str, *, lowest: int, highest: int, default: int) -> int:
        value = self._take(key, int, "a whole number", default)
        if not lowest <= value <= highest:
            raise self.problem(key, f"is {value}", f"allowed: {lowest} to {highest}")
        return int(value)

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


def _data_section(data: _Section) -> DataSection:
    kind = data.one_of("kind", ("csv", "parquet"))
    delimiter = data.text("delimiter", default=",", max_length=1)
    if not delimiter.isascii() or delimiter.isalnum() or delimiter in "\"'\r\n\\. -+":
        raise data.problem("delimiter", f"is {delimiter!r}", 'use one of "," ";" "|" or "\\t"')
    data.at_most_one_of("query", "query_file")
    query = data.optional("query")
    if query is None and data.optional("query_file") is not None:
        query = _read_text(data.path("query_file"), data)
    return DataSection(
        kind="csv" if kind == "csv" else "parquet",
        path=str(data.path("path")),
        id_column=data.text("id_column"),
        delimiter=delimiter,
        query=query,
        chunk_rows=data.integer(
            "chunk_rows", lowest=1, highest=10_000_000, default=DEFAULT_CHUNK_ROWS
        ),
        memory_bytes=data.size("memory_limit", default=DEFAULT_MEMORY),
        temp_folder=data.path("temp_folder") if data.optional("temp_folder") else None,
        columns=data.mapping("columns"),
    )


def _keys_section(keys: _Section) -> KeysSection:
    keys.at_most_one_of("passphrase_file", "passphrase_env")
    variable = keys.optional("passphrase_env", pattern=_VARIABLE, form=DEFAULT_PASSPHRASE_VARIABLE)
    file = keys.path("passphrase_file") if keys.optional("passphrase_file") else None
    if variable is None and file is None:
        raise keys.problem(
            "passphrase_file or passphrase_env",
            "is missing",
            f'add passphrase_env = "{DEFAULT_PASSPHRASE_VARIABLE}" and set that variable',
        )
    return KeysSection(
        store=keys.path("store", default="keys/keystore.json"),
        passphrase_file=file,
        passphrase_env=variable,
    )


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"{file}: {error.strerror}",
            remedy="make one with fedseg-node init, or correct the path",
        ) from error
    if len(data) > MAX_CONFIG_BYTES:
        raise ConfigError(
            f"{file} has more than {MAX_CONFIG_BYTES} bytes", remedy="correct the path"
        )
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(
            f"{file} is not TOML: {error}",
            remedy="correct that place; texts need quotes, a key may occur once",
        ) from error


def _read_text(path: Path, section: _Section) -> str:
    try:
        with path.open("rb") as opened:
            data = opened.read(MAX_CONFIG_BYTES + 1)
        if len(data) > MAX_CONFIG_BYTES:
            raise section.problem(
                "query_file", f"{path} has more than {MAX_CONFIG_BYTES} bytes", "correct the path"
            )
        return data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise section.problem(
            "query_file", f"{path}: {what}", "correct the path, or write the query there"
        ) from error


def _refuse_unknown(values: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for name in values:
        if name not in known:
            raise ConfigError(
                f"{where} {name!r}{_near(name, known)}", remedy="known: " + ", ".join(known)
            )


def _near(name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name.casefold(), known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _kind(value: object) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    return {**names, list: "a list", dict: "a section"}.get(type(value), "a date or time")


def _quoted(text: str) -> str:
    """TOML's basic string, whose escapes are those of JSON plus DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
