"""A key that is lost, or in other hands: a new card, a new version, and what was spent stays."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import pytest

from coordinator.next_version import next_version
from machine.accounts.acts import DONE
from partner_node.home import NodeHome
from partner_node.register.requests import RightsRegister
from partner_node.store.ledger import Ledger
from protocol.agreement.document import Agreement
from protocol.agreement.hand_over import HandOver
from protocol.agreement.partner_card import PartnerCard
from protocol.agreement.software import Software
from protocol.errors import FedsegError
from protocol.messages import Hello, Open, sign_request
from protocol.privacy.ledger import Charge
from protocol.signed_agreement import SignedAgreement
from protocol.signing import public_bytes
from simulations.agreement import signed_with
from tests.end_to_end.deployment import cheap_key_stores
from tests.partner_node.nodes import (
    COORDINATOR,
    OTHERS,
    complete,
    init_words,
    node,
    open_node,
    shell,
)
from tests.shell import Shell

__all__ = ["node", "shell"]

NOISED: dict[str, Any] = {
    "privacy": {
        "epsilon": "1", "delta": "0.00001", "rho": "0.0305", "runs": 5, "spare_rounds": 1,
        "max_partners_per_customer": 1,
    },
    "plan": {"name": "lloyd-dp", "max_rounds": 4},
}  # fmt: skip


@pytest.fixture(autouse=True)
def cheap() -> Iterator[None]:
    with cheap_key_stores():
        yield


@pytest.fixture
def spent(shell: Shell, node: Path, tmp_path: Path) -> Path:
    """A node under an agreement with noise, whose customers have spent one run."""
    (tmp_path / "first.json").write_bytes(complete(node, **NOISED))
    shell.json("agreement", "install", "first.json", "--dir", node)
    home = NodeHome.load(node)
    agreement = home.signed_agreement().agreement
    assert agreement.privacy is not None
    store = home.store(home.keystore())
    with store.transaction():
        charge = Charge.unrecorded(b"r" * 32, agreement.privacy, stated=None)
        Ledger(store).record(charge, agreement, now="2026-03-01T09:00:00Z")
    store.close()
    shell.json("rights", "object", "--subject", "b", "--dir", node)
    return node


def with_card(before: Agreement, card: PartnerCard) -> SignedAgreement:
    """The next version with a new card, as the operator drafts it, signed by the others."""
    written = next_version(
        before, cards=[card], without=(), now=datetime.now(UTC) - timedelta(minutes=1),
        software=Software.installed(metadata.version, resources.files),
    )  # fmt: skip
    return signed_with(written, OTHERS)


def card_of(directory: Path) -> PartnerCard:
    return PartnerCard.from_bytes((directory / "partner-card.json").read_bytes())


def put_into_force(shell: Shell, directory: Path, signed: SignedAgreement, folder: Path) -> None:
    (folder / "next.json").write_bytes(signed.to_bytes())
    shell.json("agreement", "sign", "next.json", "--out", "all.json", "--dir", directory)
    shell.json("agreement", "install", "all.json", "--dir", directory)


def cost_at(directory: Path) -> int:
    home = NodeHome.load(directory)
    store = home.store(home.keystore())
    try:
        return Ledger(store).spent(home.signed_agreement().agreement)
    finally:
        store.close()


def test_with_a_new_version_the_new_key_is_in_the_old_one_out_and_what_was_spent_stays(
    shell: Shell, spent: Path, tmp_path: Path
) -> None:
    before = NodeHome.load(spent).signed_agreement().agreement
    shutil.copytree(spent, tmp_path / "thief")
    assert shell.refused("key", "renew", "--dir", spent, status=2)["code"] == "E-USAGE"
    charged = cost_at(spent)
    shell.json("key", "renew", "--yes", "--dir", spent)
    with pytest.raises(FedsegError, match="E-AGR-PARTY"):
        open_node(spent)
    put_into_force(shell, spent, with_card(before, card_of(spent)), tmp_path)
    shutil.copy(tmp_path / "all.json", tmp_path / "thief" / "agreement.json")
    with pytest.raises(FedsegError, match="E-AGR-PARTY"):
        open_node(tmp_path / "thief")
    served = open_node(spent)
    assert served.agreement.version == 2
    opening = Open(agreement_hash=served.agreement.hash, run_id=b"n" * 16)
    hello = served.handle(sign_request(opening, COORDINATOR))
    Hello.verified(hello, public_key=card_of(spent).public_key, who="north")
    assert RightsRegister(served.store).left_out() == {"b"}
    served.store.close()
    assert cost_at(spent) == charged > 0
    assert shell.json("budget", "show", "--dir", spent)["charges"]


def test_a_key_that_a_thief_handed_over_first_is_got_rid_of_by_a_new_version(
    shell: Shell, spent: Path, tmp_path: Path
) -> None:
    home = NodeHome.load(spent)
    before, stolen = home.signed_agreement().agreement, home.keystore().identity
    thiefs = HandOver.make(stolen, OTHERS[0], partner="north", number=7, at="2026-03-01T09:00:00Z")
    (tmp_path / "thief.json").write_bytes(thiefs.to_bytes())
    refused = shell.refused("key", "accept", "thief.json", "--dir", spent, status=3)
    assert refused["code"] == "E-KEY-REUSED", "not to a partner's key"
    thief = shutil.copytree(spent, tmp_path / "thief")
    one = shell.json("key", "rotate", "--out", tmp_path / "thief.json", "--dir", thief)
    shell.json("key", "accept", "thief.json", "--dir", spent)
    with pytest.raises(FedsegError, match="E-KEY-ROTATED"):
        open_node(spent)
    assert shell.refused("key", "rotate", "--dir", spent, status=3)["code"] == "E-KEY-ROTATED"
    shell.json("key", "renew", "--yes", "--dir", spent)
    put_into_force(shell, spent, with_card(before, card_of(spent)), tmp_path)
    served = open_node(spent)
    own = public_bytes(NodeHome.load(spent).keystore().identity)
    assert served.agreement.keys.of(0) == own and one["new_key"]
    served.store.close()
    assert cost_at(spent) > 0


def test_a_node_made_anew_has_forgotten_what_was_spent_until_it_is_charged(
    shell: Shell, spent: Path, tmp_path: Path
) -> None:
    before = NodeHome.load(spent).signed_agreement().agreement
    charged = cost_at(spent)
    shell.json(*init_words(tmp_path / "anew"))
    anew = tmp_path / "anew"
    put_into_force(shell, anew, with_card(before, card_of(anew)), tmp_path)
    assert cost_at(anew) == 0
    carry = ("budget", "carry", "--runs", "1", "--dir", anew)
    assert "before: none" in shell.refused(*carry, status=2)["message"]
    assert cost_at(anew) == 0
    assert shell.json(*carry, "--yes")["carried_before"] == []
    assert cost_at(anew) == charged
    noted = [a for a in shell.json("user", "log", "--dir", anew)["acts"] if "carry" in a["act"]]
    about = f"1 runs to {before.id}"
    assert [(a["about"], a["outcome"]) for a in noted] == [(about, "begun"), (about, "done")]
    shell.json("budget", "recompute", "--dir", anew)
    assert "before: 1 at 2" in shell.refused(*carry, status=2)["message"]
    assert cost_at(anew) == charged
    (before,) = shell.json(*carry, "--yes")["carried_before"]
    assert before["runs"] == 1
    assert "or made anew: what was asked" in " ".join(
        shell("budget", "show", "--dir", anew).out.split()
    )
    with closing(NodeHome.load(anew).accounts()) as accounts:
        acts = [(act.act, act.about, act.outcome) for act in accounts.acts.all()]
    assert acts.count(("budget carry", "1 runs to ours", DONE)) == 2
