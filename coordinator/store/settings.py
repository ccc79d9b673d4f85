"""``[store]`` of ``coordinator.toml``: a database of PostgreSQL instead of a file in the folder."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from coordinator.store.content import Asked
from coordinator.store.postgresql.place import ServerPlace
from coordinator.store.store_database import StoreDatabase
from protocol.errors import ConfigError
from protocol.strict import Fields

if TYPE_CHECKING:
    from coordinator.store.postgresql.lease import Lease

#: What `--store` and `--to` say for the file in the folder.
FILE: Final = "sqlite"

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADING: Final = "[store]"
_TEMPLATE: Final = """\
[store]
# The state is in a database of PostgreSQL. The URL has no password: password_file (mode 0600) or
# password_env = "VARIABLE" names its place. Do not change the id: the database has it, too.
url = {url}
id = {id}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """A database of a server that holds the coordinator's state.

    Attributes:
        id: By which the database knows whose state it holds.
    """

    place: ServerPlace
    id: str

    @staticmethod
    def new(place: ServerPlace) -> StoreSettings:
        """Settings of a database that is made now."""
        return StoreSettings(place=place, id=secrets.token_hex(16))

    @staticmethod
    def read(section: Fields, directory: Path) -> StoreSettings:
        """Read the section.

        Raises:
            MalformedError: A key is missing, unknown or of another type.
            ConfigError: The URL may not be so (E-STORE-URL).
        """
        password = {name: section.has(name) for name in ("password_file", "password_env")}
        file = section.text("password_file", max_length=1_000) if password["password_file"] else ""
        variable = section.text("password_env", max_length=200) if password["password_env"] else ""
        if all(password.values()) or (variable and not _VARIABLE.fullmatch(variable)):
            raise ConfigError(
                "[store] has both password_file and password_env, or no name of a variable",
                code="E-STORE-URL",
                remedy="name the place of the password once",
            )
        settings = StoreSettings(
            place=ServerPlace(
                url=section.text("url", max_length=2_000),
                folder=directory,
                password_file=directory / file if file else None,
                password_env=variable or None,
            ),
            id=section.text("id", max_length=64),
        )
        section.finish()
        return settings

    def section(self, quoted: Callable[[str], str]) -> str:
        """The section's text, with the password's file as an absolute path.

        Args:
            quoted: Puts a text into quotation marks.
        """
        text = _TEMPLATE.format(url=quoted(self.place.url), id=quoted(self.id))
        if self.place.password_file is not None:
            text += f"password_file = {quoted(str(self.place.password_file.absolute()))}\n"
        if self.place.password_env is not None:
            text += f"password_env = {quoted(self.place.password_env)}\n"
        return text

    def open(self) -> StoreDatabase:
        """Open the database; raises StoreError."""
        opened: StoreDatabase = _driver().PostgresDatabase(self.place, coordinator=self.id)
        return opened

    def make(self, fill: Callable[[Asked], None] = lambda _: None) -> None:
        """Make the state there, in one transaction; raises StoreError, as `making.make`."""
        _driver()
        from coordinator.store.postgresql.making import make

        make(self.place, coordinator=self.id, fill=fill)

    def lease(self) -> Lease:
        """What keeps a second process from serving it."""
        _driver()
        from coordinator.store.postgresql.lease import Lease

        return Lease(self.place)


def without_section(text: str) -> str:
    """The text of settings without their section ``[store]``."""
    kept, inside = [], False
    for line in text.splitlines(keepends=True):
        if line.lstrip().startswith("["):
            inside = line.split("#")[0].strip() == _HEADING
        if not inside:
            kept.append(line)
    return "".join(kept).rstrip("\n") + "\n"


def _driver() -> Any:
    """The module that needs psycopg, which is imported where a database of a server is used."""
    try:
        from coordinator.store.postgresql import database
    except ImportError as error:
        raise ConfigError(
            f"what speaks with PostgreSQL is not installed: {error}",
            code="E-STORE-DRIVER",
            remedy="install fedseg with its extra: pip install 'fedseg[postgresql]'",
        ) from error
    return database
