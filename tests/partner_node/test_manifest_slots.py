"""The slot of a message on disk: what is written there by earlier versions is found again."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from partner_node.egress.manifest import slot_of
from protocol.masking import KEM_PUBLIC_BYTES
from protocol.messages import (
    Accept,
    Ack,
    Announce,
    Approval,
    Hello,
    Masked,
    Open,
    Propose,
    Publish,
    Ready,
    Request,
    Roster,
    Stop,
)
from protocol.replies import KINDS, read_reply

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
RUN, H = b"r" * 16, b"\1" * 32
ANNOUNCE = Announce(run_hash=H, head=H, round=2, payload=b"p", certificate=None)
HELLO = Hello(
    agreement_hash=H, run_id=RUN, partner=1, nonce=bytes(16), x25519=bytes(32),
    kem=bytes(KEM_PUBLIC_BYTES),
)  # fmt: skip
ACK = Ack(partner=1).to_bytes()
ACCEPT = Accept(run_hash=H, partner=1, head=H)
PROPOSE = Propose(run_hash=H, chain=b"")

#: A message, what it replies to, and the slot that the version before the table of kinds gave it.
SLOTS: list[tuple[bytes, Request, str]] = [
    (
        HELLO.signed(KEY),
        Open(agreement_hash=H, run_id=RUN),
        "a07984669d7a006c53de5b2f31386dafcd0864e2697d16da19259d6e054f7ea7",
    ),
    (
        Ready(run_hash=H, partner=1, head=H, ciphertexts=()).signed(KEY),
        Roster(run_id=RUN, hellos=(), chain=b""),
        "4ce64720a202d59eddb0431a183d6a905b976da6380072428fb8410e48faa74c",
    ),
    (
        ACCEPT.signed(KEY),
        PROPOSE,
        "7603a1a3a5d21793d05ec29e746ae76edcde9d9a738b141a1046263a0c3ecb20",
    ),
    (
        Masked(context=H, partner=1, commitment=H, vector=bytes(8)).signed(KEY),
        ANNOUNCE,
        "79c20911d7f37ab8792080719b392220b9b0003519596028f43a8585733861d7",
    ),
    (
        Approval(run_hash=H, partner=1, signature=bytes(64)).to_bytes(),
        ANNOUNCE,
        "cac10074422ff0d9ae8407b6909a4bfe0e2a062256df2068c9b1a3b0f29440f9",
    ),
    (
        ACK,
        Publish(run_hash=H, release=b""),
        "b901b98981d8142bf2123d2ea26d79bcbd62b1b7e506f075ea6a64d031343f73",
    ),
    (
        ACK,
        Stop(run_id=RUN, reason="E-GRACE"),
        "872f24dd02d06bddceec636088c85d9e0c042c15fcfcf810f5559ca0e7de10cd",
    ),
]


@pytest.mark.parametrize(("message", "request_", "slot"), SLOTS)
def test_a_message_is_found_where_earlier_versions_wrote_it(
    message: bytes, request_: Request, slot: str
) -> None:
    assert slot_of(read_reply(message), request_, RUN).hex() == slot


def test_every_kind_of_reply_to_every_request_has_a_slot_on_record() -> None:
    on_record = {(read_reply(message).kind, type(request)) for message, request, _ in SLOTS}
    assert on_record == {(k.name, request) for k in KINDS.values() for request in k.answers}
    assert len({slot for _, _, slot in SLOTS}) == len(SLOTS)


def test_acceptances_of_two_sets_are_two_messages() -> None:
    other = Accept(run_hash=H, partner=1, head=b"\2" * 32)
    first, second = (slot_of(read_reply(m.signed(KEY)), PROPOSE, RUN) for m in (ACCEPT, other))
    assert first != second
