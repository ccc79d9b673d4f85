"""``[store]`` and the URL of a server's database: no password in clear, TLS, nothing unknown."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from coordinator.config import CoordinatorConfig, template, with_store
from coordinator.patience import Patience
from coordinator.store.content import copy
from coordinator.store.postgresql.place import ServerPlace
from coordinator.store.settings import StoreSettings
from coordinator.store.store_database import open_file
from protocol.errors import ConfigError, FedsegError, StoreError

URL = "postgresql://fedseg@db.example/fedseg"


def text(folder: Path, more: str = "", *, url: str = URL) -> bytes:
    """A ``coordinator.toml`` with a store, whose section ends with more lines."""
    made = template(
        legal_name="x", contact="x", host="127.0.0.1", port=0, certificate="c", key="k",
        patience=Patience(),
        store=StoreSettings(place=ServerPlace(url=url, folder=folder), id="ours"),
    )  # fmt: skip
    return (made + more).encode()


def parameters(url: str, folder: Path) -> dict[str, object]:
    return ServerPlace(url=url, folder=folder).parameters({})


def refused(code: str, action: Callable[[], object]) -> FedsegError:
    with pytest.raises(FedsegError) as caught:
        action()
    assert caught.value.code == code, caught.value
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://fedseg:s3cret@db.example/fedseg", "password in clear"),
        ("postgresql://fedseg@db.example/fedseg?password=s3cret", "password in clear"),
        ("mysql://fedseg@db.example/fedseg", "not the URL"),
        ("fedseg", "not the URL"),
        ("postgresql://[fedseg@db.example/fedseg", "no URL"),
        ("postgresql://db.example/fedseg", "no account"),
        ("postgresql://fedseg@db.example", "no database"),
        (f"{URL}?sslmode=prefer", "sslmode"),
        (f"{URL}?sslmode=disable", "another machine"),
        ("postgresql://fedseg@127.0.0.1,db.example/fedseg?sslmode=disable", "another machine"),
        (f"{URL}?host=10.0.0.1&sslmode=disable", "another machine"),
        (f"{URL}?passfile=x", "passfile"),
        (f"{URL}?service=x", "service"),
        (f"{URL}?sslmode=require&sslmode=verify-full", "twice"),
    ],
)
def test_a_url_that_may_not_be_so_is_refused_and_not_repeated(
    tmp_path: Path, url: str, words: str
) -> None:
    error = refused("E-STORE-URL", lambda: ServerPlace(url=url, folder=tmp_path))
    assert words in error.message
    assert "s3cret" not in error.diagnostics()
    with pytest.raises(FedsegError) as caught:
        CoordinatorConfig.parse(text(tmp_path).replace(URL.encode(), url.encode()), tmp_path)
    assert "s3cret" not in caught.value.diagnostics()


def test_the_certificate_is_verified_with_the_systems_authorities_unless_the_url_says_otherwise(
    tmp_path: Path,
) -> None:
    found = parameters(URL, tmp_path)
    assert found["sslmode"] == "verify-full"
    assert Path(str(found["sslrootcert"])).is_absolute()
    own = parameters(f"{URL}?sslrootcert=ca.pem", tmp_path)
    assert own["sslrootcert"] == str(tmp_path / "ca.pem")
    assert parameters(f"{URL}?sslmode=require", tmp_path)["sslmode"] == "require"
    assert "sslrootcert" not in parameters(f"{URL}?sslmode=require", tmp_path)
    socket = "postgresql://fedseg@/fedseg?host=/run/postgresql"
    assert parameters(socket, tmp_path)["sslmode"] == "disable"
    assert parameters("postgresql://fedseg@127.0.0.1/x", tmp_path)["sslmode"] == "verify-full"


def test_options_of_the_environment_are_not_taken(tmp_path: Path) -> None:
    assert parameters(URL, tmp_path)["options"] == ""
    assert parameters(URL, tmp_path)["target_session_attrs"] == "read-write"
    assert parameters(URL, tmp_path)["gssencmode"] == "disable"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (URL, "database 'fedseg' at db.example"),
        ("postgresql://u@a:1,b:2/db", "database 'db' at a:1,b:2"),
        ("postgresql://u@/db?host=/run/x", "database 'db' at /run/x"),
        ("postgresql://u@[::1]:5/db?sslmode=disable", "database 'db' at [::1]:5"),
    ],
)
def test_a_place_is_named_without_account_and_options(tmp_path: Path, url: str, name: str) -> None:
    assert ServerPlace(url=url, folder=tmp_path).name == name


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ("pasword_file = 'x'\n", "E-CONFIG"),
        ("password = 's3cret'\n", "E-CONFIG"),
        ("password_file = 'x'\npassword_env = 'Y'\n", "E-STORE-URL"),
        ("password_env = 'NO NAME'\n", "E-STORE-URL"),
    ],
)
def test_what_the_section_may_not_say_is_refused(tmp_path: Path, more: str, code: str) -> None:
    error = refused(code, lambda: CoordinatorConfig.parse(text(tmp_path, more), tmp_path))
    assert "s3cret" not in error.diagnostics()


def test_without_the_section_the_state_is_in_the_folder(tmp_path: Path) -> None:
    without = with_store(text(tmp_path), tmp_path, None)
    config = CoordinatorConfig.parse(without, tmp_path)
    assert config.store is None
    assert config.state_name == str(tmp_path / "coordinator.db")
    assert b"[store]" not in without


def test_settings_are_rewritten_with_another_place_and_nothing_else_changes(tmp_path: Path) -> None:
    place = ServerPlace(
        url='postgresql://a@b/c?options=-c"', folder=tmp_path, password_file=tmp_path / 'p"w'
    )
    settings = StoreSettings(place=place, id="another")
    plain = with_store(text(tmp_path), tmp_path, None)
    for before in (
        plain,
        text(tmp_path),
        plain + b"\n[store] # ours\nurl='postgresql://a@b/c'\nid='x'\n",
    ):
        changed = with_store(before, tmp_path, settings)
        assert CoordinatorConfig.parse(changed, tmp_path).store == settings
        assert changed.count(b"\n[store]") == 1
        assert with_store(changed, tmp_path, None) == plain
    odd = plain + b"store = {url = 'postgresql://a@b/c', id = 'x'}\n"
    top = b"store = {url = 'postgresql://a@b/c', id = 'x'}\n" + plain
    with pytest.raises(ConfigError):
        with_store(odd, tmp_path, settings)
    with pytest.raises(ConfigError):
        with_store(top, tmp_path, settings)


def test_a_password_that_is_not_there_is_said_with_its_place(tmp_path: Path) -> None:
    place = ServerPlace(url=URL, folder=tmp_path, password_env="FEDSEG_WORD")
    for environment in ({}, {"FEDSEG_WORD": ""}, {"FEDSEG_WORD": "a\0b"}):
        with pytest.raises(StoreError, match="FEDSEG_WORD") as caught:
            place.parameters(environment)
        assert caught.value.code == "E-STORE-PASSWORD"
    assert place.parameters({"FEDSEG_WORD": "x"})["password"] == "x"


def test_without_the_driver_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [n for n in sys.modules if n.startswith("coordinator.store.postgresql.")]:
        if not name.endswith(("place", "dialect")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("coordinator.store.postgresql.database", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    config = CoordinatorConfig.parse(text(tmp_path), tmp_path)
    error = refused("E-STORE-DRIVER", config.open_store)
    assert "fedseg[postgresql]" in error.remedy


def test_a_copy_that_does_not_read_as_its_source_is_refused(tmp_path: Path) -> None:
    class Forgetful:
        """A database that takes everything and has nothing."""

        def ask(self, sql: str, *values: object) -> list[tuple[object, ...]]:
            return []

    with closing(open_file(tmp_path / "x.db")) as database:
        copy(database, Forgetful())
        with database.transaction():
            database.ask("INSERT INTO carrier_nodes VALUES ('key', '7')")
        with pytest.raises(StoreError, match="does not read"):
            copy(database, Forgetful())
