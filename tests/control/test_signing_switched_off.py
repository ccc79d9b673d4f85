"""A node that is switched off while it signs online: the same command again ends it."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Any

import pytest

from coordinator.control.proposals import SIGNED, Proposals
from partner_node import signing as at_node
from partner_node.control import proposals
from partner_node.control.channel import Channel
from partner_node.control.proposals import fetched, send_signature
from partner_node.four_eyes import Confirmations, First
from partner_node.signing import let_out, sign_agreement
from partner_node.store.node_store import NodeStore
from protocol.agreement.governance import SIGNING
from tests.control.commands import shell
from tests.control.lab import lab
from tests.control.parties import Signing, parties, signing
from tests.switching_off import is_switched_off

__all__ = ["lab", "parties", "shell", "signing"]

ANNA, BERND = "anna (at the machine)", "bernd (at the machine)"
#: What is done, in order: calls, the copy that is kept, the note, the signature, the first word.
STEPS: tuple[tuple[object, str], ...] = (
    (Channel, "call"),
    (proposals, "write_file"),
    (at_node, "note_signature"),
    (at_node, "_forget_word"),
    (NodeStore, "note_signed"),
    (Confirmations, "forget"),
)


def sign_online(signing: Signing, by: str) -> bool:
    """As `agreement sign --proposed` does; whether this person's word was the last."""
    home, now = signing.home, datetime.now(UTC)
    signed, where = fetched(home, signing.digits)
    made = sign_agreement(home, signed, where, by=by, now=now)
    if isinstance(made, First):
        return False
    let_out(home, made, partial(send_signature, home, made.copy), now=now)
    return True


def stands(signing: Signing) -> tuple[bool, str, int]:
    """Whether the coordinator has the signature, who signed as the node has it, and first words."""
    agreement = signing.parties.draft.agreement
    found = Proposals(signing.parties.lab.store).with_hash(agreement.hash)
    assert found is not None
    (answer,) = [a for a in found.answers if a.partner == signing.home.config.node.partner]
    home = signing.home
    with closing(home.store(home.keystore())) as store:
        waiting = Confirmations(store, home.people()).said(SIGNING, datetime.now(UTC))
        by = store.signed_by(agreement.hash)
    return answer.kind == SIGNED, by, len(waiting)


@pytest.mark.parametrize(
    ("terms", "by"), [({}, ANNA), ({"four_eyes": ["agreement"]}, f"{ANNA}, {BERND}")]
)
def test_a_node_that_is_switched_off_at_any_step_of_signing_ends_it_with_the_same_command(
    signing: Signing, terms: dict[str, Any], by: str
) -> None:
    last = BERND if terms else ANNA
    sent = noted = 0
    for step in count():
        signing.propose_next(id=f"{signing.home.config.node.partner[:30]}-{step}", **terms)
        if terms:
            assert not sign_online(signing, ANNA)
        ended = not is_switched_off(partial(sign_online, signing, last), step, *STEPS)
        has_it, signed_by, waiting = stands(signing)
        assert not has_it or signed_by == by, "what has left is on record"
        assert signed_by in ("", by)
        assert ended or waiting == bool(terms), "the first word is kept for the same command"
        sent, noted = sent + (has_it and not ended), noted + bool(signed_by and not has_it)
        if not ended:
            assert sign_online(signing, last)
        assert stands(signing) == (True, by, 0)
        if ended:
            break
    assert sent >= 2 and noted >= 1, "switched off before it left, and after"


def test_the_command_itself_is_called_again(signing: Signing) -> None:
    """Also once everybody has signed."""
    words = ("sign", "--proposed", signing.digits)
    signing.sign_others()
    for _ in range(2):
        assert signing.call(*words)["complete"] is True
    assert stands(signing)[0]
