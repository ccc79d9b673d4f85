"""Sets of counted customers: every membership and non-membership is shown, and nothing else is."""

from __future__ import annotations

import hashlib
from itertools import product

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.canonical import frame
from protocol.errors import FedsegError
from protocol.log.tree import check_inclusion, leaf_hash
from protocol.receipts import buckets
from protocol.receipts.buckets import (
    BUCKET_BYTES,
    WIDTH,
    bucket_of,
    elements,
    fill,
    filled,
    least_bits,
    read_bucket,
)
from protocol.receipts.handles import (
    from_bytes,
    handle,
    handles,
    in_order,
    key_commitment,
    to_bytes,
)
from protocol.receipts.sets import commit, shelf_of, show
from tests.protocol.log.trees import naive_root
from tests.protocol.receipts.made_receipts import bytes_of

KEY, CONTEXT = bytes_of("key", 32), bytes_of("context", 32)


def named(count: int) -> list[str]:
    return [f"C-{number}" for number in range(count)]


def test_a_handle_is_that_of_the_specification() -> None:
    wanted = hashlib.sha256(b"fedseg/v1/counted-handle" + KEY + "Größe".encode()).digest()[:16]
    assert handle(KEY, "Größe") == wanted == to_bytes(handles(KEY, ["Größe"]))
    assert key_commitment(KEY) == hashlib.sha256(frame(b"fedseg/v1/counted-key", KEY)).digest()
    for key in (b"", KEY[1:], KEY + b"x"):
        for call in (lambda k=key: handle(k, "a"), lambda k=key: key_commitment(k)):
            with pytest.raises(FedsegError, match="32 bytes"):
                call()


def test_an_element_is_that_of_the_specification() -> None:
    """AES a block at a time, by the words of SPEC.md."""
    found = handles(KEY, named(5))
    key = hashlib.sha256(frame(b"fedseg/v1/counted-element", CONTEXT)).digest()[:16]
    for row, element in zip(to_bytes_each(found), elements(found, CONTEXT), strict=True):
        block = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(row)  # noqa: S305
        wanted = bytes(a ^ b for a, b in zip(block, row, strict=True))[:8]
        assert int(element).to_bytes(8, "big") == wanted


def to_bytes_each(found: np.ndarray) -> list[bytes]:
    data = to_bytes(found)
    return [data[at : at + 16] for at in range(0, len(data), 16)]


def test_what_fills_a_bucket_is_the_same_wherever_one_begins() -> None:
    whole = fill(KEY, CONTEXT, 0, 8)
    secret = hashlib.sha256(frame(b"fedseg/v1/counted-fill", KEY, CONTEXT)).digest()[:16]
    stream = Cipher(algorithms.AES(secret), modes.CTR(bytes(16))).encryptor()
    assert whole.astype(">u8").tobytes() == stream.update(bytes(8 * BUCKET_BYTES))
    for first in range(8):
        assert (fill(KEY, CONTEXT, first, 8 - first) == whole[first:]).all()
    assert (fill(bytes(32), CONTEXT, 0, 8) != whole).all()
    assert (fill(KEY, bytes(32), 0, 8) != whole).all()


@pytest.mark.parametrize("count", [0, 1, 2, 31, 32, 33, 128, 129, 600, 9_000])
def test_everybody_counted_is_shown_in_the_set_and_nobody_else(count: int) -> None:
    """Every customer of the set and as many others, each against the root by the log's check."""
    found = in_order(handles(KEY, named(count)))
    committed = commit(found, KEY, CONTEXT)
    assert committed.bits == least_bits(count)
    step = max(1, count // 150)
    for number in range(0, 2 * count + 1, step):
        own = handle(KEY, f"C-{number}")
        first, size = shelf_of(own, committed.bits)
        rows = buckets.buckets_of(found, committed.bits)
        on_shelf = found[(rows >= first) & (rows < first + size)]
        shown = show(own, committed, on_shelf, KEY, CONTEXT)
        check_inclusion(
            leaf_hash(b"fedseg/v1/counted-bucket" + shown.bucket),
            bucket_of(own, committed.bits), 1 << committed.bits, shown.path, committed.root,
        )  # fmt: skip
        inside = elements(from_bytes(own), CONTEXT)[0] in read_bucket(shown.bucket)
        assert inside is (number < count)


def test_the_root_is_that_of_the_whole_table() -> None:
    for count in (0, 7, 200, 9_000):
        found = in_order(handles(KEY, named(count)))
        committed = commit(found, KEY, CONTEXT)
        size = 1 << committed.bits
        table = filled(found, KEY, CONTEXT, bits=committed.bits, first=0, count=size)
        assert table is not None
        assert committed.root == naive_root([leaf_hash(one) for one in buckets.leaves(table)])


def test_a_bucket_shows_neither_how_many_nor_who_nor_that_somebody_left() -> None:
    """The same customers in two answers share no number, and every bucket is full."""
    found = in_order(handles(KEY, named(600)))
    bits = least_bits(600)
    tables = []
    for context in (CONTEXT, bytes_of("another", 32)):
        table = filled(found, KEY, context, bits=bits, first=0, count=1 << bits)
        assert table is not None
        assert table.shape == (1 << bits, WIDTH)
        assert (np.sort(table, axis=1) == table).all()
        tables.append({int(one) for one in table.ravel()})
    assert not tables[0] & tables[1]
    left = in_order(handles(KEY, named(599)))
    without = filled(left, KEY, CONTEXT, bits=bits, first=0, count=1 << bits)
    assert without is not None
    assert without.shape == (1 << bits, WIDTH)
    changed = {int(one) for one in without.ravel()} ^ tables[0]
    assert len(changed) == 2, "one element went, and a number that looks like it came"


def test_a_number_of_customers_is_shown_to_within_a_factor_of_four() -> None:
    sizes = [least_bits(count) for count in range(1, 40_000)]
    assert sizes == sorted(sizes)
    assert {one % 2 for one in sizes} == {0}
    assert [least_bits(count) for count in (0, 32, 33, 128, 129, 512, 513, 10**6, 10**7)] == [
        0, 0, 2, 2, 4, 4, 6, 16, 20,
    ]  # fmt: skip
    for count in (1, 33, 10**6, 10**8):
        assert count <= 32 << least_bits(count)


def test_a_set_that_shrinks_has_as_many_buckets_as_before() -> None:
    found = in_order(handles(KEY, named(3)))
    assert commit(found, KEY, CONTEXT, at_least=6).bits == 6


def test_a_bucket_that_overflows_gets_the_set_more_buckets() -> None:
    """Handles that all begin alike fill one bucket; those of real customers do so by no chance."""
    crowd = np.arange(400, dtype=np.uint64)[:, np.newaxis] << np.uint64(50)
    found = in_order(np.hstack([crowd, crowd]))
    assert filled(found, KEY, CONTEXT, bits=4, first=0, count=16) is None
    committed = commit(found, KEY, CONTEXT)
    assert least_bits(400) == 4
    assert committed.bits == 8
    rows = buckets.buckets_of(found, committed.bits)
    assert np.bincount(rows).max() <= WIDTH


def test_what_was_kept_of_another_set_is_not_shown() -> None:
    found = in_order(handles(KEY, named(20)))
    committed = commit(found, KEY, CONTEXT)
    for other, key, context in (
        (found[1:], KEY, CONTEXT), (found, bytes(32), CONTEXT), (found, KEY, bytes(32)),
        (np.repeat(found, 6, axis=0), KEY, CONTEXT),
    ):  # fmt: skip
        with pytest.raises(FedsegError, match="E-RECEIPT-KEPT"):
            show(handle(KEY, "C-1"), committed, other, key, context)


def test_what_is_no_bucket_is_refused() -> None:
    good = fill(KEY, CONTEXT, 0, 1)
    ordered = np.sort(good, axis=1).astype(">u8").tobytes()
    assert (read_bucket(ordered) == np.sort(good[0])).all()
    for bad in (b"", ordered[:-1], ordered + b"\0", ordered[8:], good.astype(">u8").tobytes()):
        with pytest.raises(FedsegError, match="E-RECEIPT-FORMAT"):
            read_bucket(bad)
    with pytest.raises(FedsegError, match="E-RECEIPT-FORMAT"):
        from_bytes(b"x" * 17)
    for bits, own in product((-2, 1, 32, 64), (bytes(16),)):
        with pytest.raises(FedsegError, match="E-RECEIPT-FORMAT"):
            bucket_of(own, bits)


@settings(max_examples=25, deadline=None)
@given(
    names=st.sets(st.text(min_size=1, max_size=12).filter(lambda one: one.isprintable())),
    out=st.integers(min_value=0, max_value=400),
)
def test_whoever_leaves_is_out_and_whoever_stays_is_in(names: set[str], out: int) -> None:
    customers = sorted(names)
    stay = customers[out:]
    found = in_order(handles(KEY, stay))
    committed = commit(found, KEY, CONTEXT, at_least=2)
    for one in customers:
        own = handle(KEY, one)
        rows = buckets.buckets_of(found, committed.bits)
        first, size = shelf_of(own, committed.bits)
        shown = show(own, committed, found[(rows >= first) & (rows < first + size)], KEY, CONTEXT)
        inside = elements(from_bytes(own), CONTEXT)[0] in read_bucket(shown.bucket)
        assert inside is (one in stay)
