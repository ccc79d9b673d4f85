"""A reply's bytes say by themselves which message it is, and nothing else is taken for one."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.canonical import frame, label
from protocol.errors import MalformedError, SignatureError
from protocol.masking import KEM_CIPHERTEXT_BYTES, KEM_PUBLIC_BYTES
from protocol.messages import Accept, Ack, Approval, Hello, Masked, Ready
from protocol.replies import ACCEPT, ACK, APPROVAL, HELLO, KINDS, MASKED, READY, read_reply
from protocol.signing import public_bytes

KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
H = b"\x01" * 32
MESSAGES = {
    HELLO: Hello(
        agreement_hash=H, run_id=b"r" * 16, partner=2, nonce=b"n" * 16, x25519=b"x" * 32,
        kem=b"k" * KEM_PUBLIC_BYTES,
    ),
    READY: Ready(run_hash=H, partner=2, head=H, ciphertexts=(b"c" * KEM_CIPHERTEXT_BYTES,)),
    ACCEPT: Accept(run_hash=H, partner=2, head=H),
    MASKED: Masked(context=H, partner=2, commitment=H, vector=b"v" * 8 * 5),
    APPROVAL: Approval(run_hash=H, partner=2, signature=b"s" * 64),
    ACK: Ack(partner=2),
}  # fmt: skip


def wire(kind: str) -> bytes:
    message = MESSAGES[kind]
    if isinstance(message, Approval | Ack):
        return message.to_bytes()
    return message.signed(KEY)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read_back_as_what_it_was(kind: str) -> None:
    reply = read_reply(wire(kind))
    assert (reply.kind, reply.message, reply.partner) == (kind, MESSAGES[kind], 2)
    assert reply.length == (5 if kind == MASKED else None)
    reply.check_signature(public_bytes(KEY), who="us")


@pytest.mark.parametrize("kind", [HELLO, READY, ACCEPT, MASKED])
def test_a_message_that_another_key_signed_is_noticed(kind: str) -> None:
    with pytest.raises(SignatureError):
        read_reply(wire(kind)).check_signature(public_bytes(OTHER), who="us")


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_that_is_cut_or_longer_is_none(kind: str) -> None:
    data = wire(kind)
    for changed in (data[:-1], data + b"\0", data[1:], data + data, data[: len(data) // 2]):
        with pytest.raises(MalformedError):
            read_reply(changed)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        frame(b""),
        frame(label("hello")),
        frame(label("open"), H, b"r" * 16),
        frame(frame(label("announce"), H), b"s" * 64),
        frame(label("ack"), b"\0\0\0\2", b"more"),
        frame(frame(label("masked"), H, b"\0\0\0\2", H), b"s" * 64, b"v" * 9),
    ],
)
def test_what_is_no_reply_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        read_reply(data)


def test_an_oversize_reply_is_refused_unread() -> None:
    with pytest.raises(MalformedError, match="E-SIZE"):
        read_reply(bytes(limits.MAX_REPLY_BYTES + 1))


@given(st.data())
def test_mutated_replies_are_refused_with_our_own_errors_only(data: st.DataObject) -> None:
    original = wire(data.draw(st.sampled_from(sorted(KINDS))))
    at = data.draw(st.integers(0, len(original) - 1))
    changed = original[:at] + bytes([original[at] ^ data.draw(st.integers(1, 255))])
    changed += original[at + 1 :]
    try:
        reply = read_reply(changed)
        reply.check_signature(public_bytes(KEY), who="us")
    except (MalformedError, SignatureError):
        return
    assert reply.kind in (APPROVAL, ACK), "a signed message was changed unnoticed"
