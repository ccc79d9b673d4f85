"""Keys that a process has open are those of now, also when they were replaced beside it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from machine.files import write_file
from partner_node import client_app
from partner_node.agreeing import install_agreement
from partner_node.home import NodeHome
from partner_node.keystore import Keystore
from partner_node.passphrase import change_passphrase
from partner_node.preflight import Item, preflight
from partner_node.rotating import renew, rotate
from partner_node.signing import sign_agreement
from protocol.agreement.hand_over import HandOver
from protocol.errors import FedsegError
from protocol.signed_agreement import SignedAgreement
from protocol.signing import public_bytes
from tests.end_to_end.deployment import cheap_key_stores
from tests.partner_node.nodes import OTHERS, draft, installed, node, shell, successor
from tests.shell import Shell

__all__ = ["installed", "node", "shell"]

AT = "2026-03-01T09:00:00Z"
NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
NEW = "another passphrase"


class SwitchedOffError(Exception):
    """The machine was switched off."""


@pytest.fixture(autouse=True)
def cheap() -> Iterator[None]:
    with cheap_key_stores():
        yield


def next_draft(directory: Path) -> SignedAgreement:
    before = NodeHome.load(directory).signed_agreement().agreement
    return draft(directory, version=2, supersedes=before.hash.hex())


def agreement_items(directory: Path, file: Path) -> list[Item]:
    report = preflight(directory, now=datetime.now(UTC), agreement_file=file, connect=False)
    return [item for item in report.items if item.name == "agreement"]


def code_of_signing(home: NodeHome, proposed: SignedAgreement) -> str:
    with pytest.raises(FedsegError) as caught:
        sign_agreement(home, proposed, Path("proposal"), by="anna", now=datetime.now(UTC))
    assert re.search("draft (it again|the agreement with)", caught.value.remedy)
    return caught.value.code


def test_a_process_that_opened_the_keys_before_takes_the_next_version_up(installed: Path) -> None:
    long_lived = NodeHome.load(installed)
    old = long_lived.keystore().identity_public
    rotate(NodeHome.load(installed), now=NOW)
    assert long_lived.keystore().identity_public not in (b"", old)
    agreement = long_lived.signed_agreement().agreement
    assert long_lived.party(agreement).id == "north"
    data = successor(installed)
    done = install_agreement(long_lived, SignedAgreement.from_bytes(data), Path("next.json"))
    assert done.agreement.version == 2
    assert done.agreement.parties[0].public_key == long_lived.keystore().identity_public


def test_a_serving_node_answers_with_the_new_key_wherever_its_replacement_was_switched_off(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hand-over says which key is in force before the key store is without the old one."""
    saved: list[Keystore] = []
    real = Keystore.save

    def save(self: Keystore, *words: Any, **more: Any) -> None:
        saved.append(self)
        if len(saved) > 1:
            raise SwitchedOffError
        real(self, *words, **more)
        client_app.nodes_of(installed)  # a message comes in between

    before = client_app.nodes_of(installed)
    with monkeypatch.context() as patch, pytest.raises(SwitchedOffError):
        patch.setattr(Keystore, "save", save)
        rotate(NodeHome.load(installed), now=NOW)
    after = client_app.nodes_of(installed)
    assert after is not before
    assert public_bytes(after.nodes[0]._key) == saved[1].identity_public
    assert after is client_app.nodes_of(installed), "nothing changed since"


def test_keys_are_opened_once_while_nothing_changes(installed: Path) -> None:
    home = NodeHome.load(installed)
    assert home.keystore() is home.under("ours").keystore() is home.keystore()


@pytest.mark.parametrize("change", [rotate, renew])
def test_a_proposal_that_names_the_key_of_before_is_signed_with_neither(
    shell: Shell, installed: Path, tmp_path: Path, change: object
) -> None:
    long_lived = NodeHome.load(installed)
    long_lived.keystore()
    proposed = next_draft(installed)
    change(NodeHome.load(installed), now=NOW)  # type: ignore[operator]
    code = "E-KEY-ROTATED" if change is rotate else "E-AGR-PARTY"  # which knows no hand-over
    assert code_of_signing(long_lived, proposed) == code
    assert code_of_signing(NodeHome.load(installed), proposed) == code
    (tmp_path / "proposed.json").write_bytes(proposed.to_bytes())
    sign = ("agreement", "sign", "proposed.json", "--out", "s.json", "--dir", installed)
    assert shell.refused(*sign, status=3)["code"] == code
    (item,) = agreement_items(installed, tmp_path / "proposed.json")
    assert item.problem and item.problem.code == code, "the checks say so before"
    anew = next_draft(installed)
    assert sign_agreement(long_lived, anew, Path("proposal"), by="anna", now=datetime.now(UTC))


def test_a_key_that_was_handed_over_signs_nothing_even_where_the_agreement_names_it(
    installed: Path,
) -> None:
    proposed, file = next_draft(installed), NodeHome.load(installed).config.keys.store
    stolen = file.read_bytes()
    rotate(NodeHome.load(installed), now=NOW)
    write_file(file, stolen, mode=0o600)
    with pytest.raises(FedsegError, match=r"E-KEY-ROTATED.* signs nothing any more"):
        sign_agreement(
            NodeHome.load(installed), proposed, Path("proposal"), by="anna", now=datetime.now(UTC)
        )


def test_a_rotated_node_finds_itself_in_a_file(
    shell: Shell, installed: Path, tmp_path: Path
) -> None:
    file = NodeHome.load(installed).config.node.agreement
    (tmp_path / "a.json").write_bytes(file.read_bytes())
    rotate(NodeHome.load(installed), now=NOW)
    show = ("agreement", "show", "--dir", installed)
    ours = [shell.json(*show, *words)["signatures"][0] for words in ((), ("a.json",))]
    assert ours[0] == ours[1] and ours[0]["signed_at"]
    (item,) = agreement_items(installed, tmp_path / "a.json")
    assert item.passed and "not installed here yet" not in item.details


# --- the passphrase of the environment -----------------------------------------------------------


@pytest.fixture
def by_variable(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings, file = installed / "node.toml", installed / "keys" / "passphrase"
    text = settings.read_text()
    line = next(one for one in text.splitlines() if one.startswith("passphrase_file"))
    settings.write_text(text.replace(line, 'passphrase_env = "NODE_PASSPHRASE"'))
    monkeypatch.setenv("NODE_PASSPHRASE", file.read_text().strip())
    return installed


def version(directory: Path) -> int:
    return client_app.nodes_of(directory).nodes[0].agreement.version


def test_a_serving_node_whose_passphrase_was_changed_still_takes_agreements_up(
    by_variable: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert version(by_variable) == 1
    following = successor(by_variable)
    change_passphrase(NodeHome.load(by_variable), NEW.encode())
    write_file(NodeHome.load(by_variable).config.node.agreement, following)
    assert version(by_variable) == 2
    assert "not opened before a restart" in caplog.text
    write_file(NodeHome.load(by_variable).config.node.agreement, b"{}")
    with pytest.raises(FedsegError, match="E-AGR"):
        version(by_variable)


@pytest.mark.parametrize("change", [rotate, renew])
def test_one_whose_signing_key_was_replaced_too_answers_nothing_with_the_old_one(
    by_variable: Path, monkeypatch: pytest.MonkeyPatch, change: object
) -> None:
    assert version(by_variable) == 1
    before = os.environ["NODE_PASSPHRASE"]
    change_passphrase(NodeHome.load(by_variable), NEW.encode())
    assert version(by_variable) == 1
    monkeypatch.setenv("NODE_PASSPHRASE", NEW)
    change(NodeHome.load(by_variable), now=NOW)  # type: ignore[operator]
    monkeypatch.setenv("NODE_PASSPHRASE", before)
    for _ in range(2):
        with pytest.raises(FedsegError, match="E-KEY-PASSPHRASE"):
            version(by_variable)


def test_a_key_store_that_is_open_to_others_or_gone_is_not_passed_over(installed: Path) -> None:
    assert version(installed) == 1
    store = NodeHome.load(installed).config.keys.store
    write_file(store, store.read_bytes(), mode=0o644)
    store.chmod(0o644)
    with pytest.raises(FedsegError, match="E-KEY-MODE"):
        version(installed)
    store.unlink()
    with pytest.raises(FedsegError, match="E-KEY-MISSING"):
        version(installed)


# --- hand-overs that do not go with an agreement -------------------------------------------------


def test_a_hand_over_that_does_not_go_with_the_agreement_is_said(installed: Path) -> None:
    home = NodeHome.load(installed)
    of_another = HandOver.make(
        OTHERS[0], Ed25519PrivateKey.generate(), partner="other-1", number=1, at=AT
    )
    home.hand_overs.take([of_another])
    with pytest.raises(FedsegError, match="E-KEY-PARTY"):
        home.installed_agreement()
    home.config.node.agreement.write_text("{}")
    assert home.installed_agreement() is None
