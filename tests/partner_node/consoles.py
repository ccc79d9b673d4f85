"""A node's console as tests open it: a folder with a held answer, and people of each role."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from machine.accounts.accounts import Accounts
from machine.accounts.roles import Role
from machine.web.site import Site
from partner_node.console.site import node_site
from partner_node.home import NodeHome
from partner_node.keystore import MIN_LOG2_N, Keystore
from tests.machine.browsing import HOSTS, Person
from tests.machine.people import accounts_at, add


@pytest.fixture(autouse=True)
def cheap_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A passphrase is derived from at the least cost that is accepted."""
    monkeypatch.setitem(Keystore.create.__kwdefaults__, "log2_n", MIN_LOG2_N)


@pytest.fixture
def accounts(waiting: Path) -> Iterator[Accounts]:
    home = NodeHome.load(waiting)
    opened = accounts_at(home.accounts_file, home.keystore())
    yield opened
    opened.close()


@pytest.fixture
def site(waiting: Path, accounts: Accounts) -> Site:
    return node_site(NodeHome.load(waiting), hosts=HOSTS, accounts=accounts)


def person(site: Site, role: Role, name: str = "") -> Person:
    """Somebody of a role, who is signed in."""
    found = Person(site)
    assert found.sign_in(add(site.accounts, name or role.value, role)).status_code == 303
    return found
