"""Paths and bytes of tiles and bundles."""

from __future__ import annotations

import pytest

from protocol.errors import MalformedError
from protocol.log import tiles

PATHS = {
    "tile/0/000": tiles.TilePath(0, 0),
    "tile/63/x001/x234/067": tiles.TilePath(63, 1234067),
    "tile/1/999.p/255": tiles.TilePath(1, 999, 255),
    "tile/entries/x001/000.p/1": tiles.TilePath(None, 1000, 1),
    "tile/entries/x009/x223/x372/x036/x854/x775/807": tiles.TilePath(None, 2**63 - 1),
}
#: Written otherwise than the specification says, or out of range.
NO_PATHS = [
    "tile/64/000",
    "tile/00/000",
    "tile/0/0",
    "tile/0/x000/001",
    "tile/0/001/234",
    "tile/0/x001/x234",
    "tile/0/000.p/0",
    "tile/0/000.p/256",
    "tile/0/000.p/01",
    "tile/0/000\n",
    "/tile/0/000",
    "tile/0/../000",
    "tile/0/٠٠٠",
    "tile/entries/x009/x223/x372/x036/x854/x775/808",
]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_says_which_tile(path: str) -> None:
    assert str(PATHS[path]) == path
    assert tiles.TilePath.parse(path) == PATHS[path]


@pytest.mark.parametrize("path", NO_PATHS)
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(MalformedError):
        tiles.TilePath.parse(path)


def test_tiles_and_bundles_come_back_and_nothing_shorter_or_longer() -> None:
    hashes = [bytes([at]) * 32 for at in range(256)]
    entries = [b"", b"x", bytes(65_535)]
    assert tiles.read_tile(tiles.write_tile(hashes), 256) == hashes
    bundle = tiles.write_bundle(entries)
    assert tiles.read_bundle(bundle, 3) == entries
    for data, width in ((bundle[:-1], 3), (bundle + b"x", 3), (bundle, 2), (bundle, 4), (b"", 0)):
        with pytest.raises(MalformedError):
            tiles.read_bundle(data, width)
    for data, width in ((bytes(31), 1), (bytes(33), 1), (b"", 0), (bytes(257 * 32), 257)):
        with pytest.raises(MalformedError):
            tiles.read_tile(data, width)


@pytest.mark.parametrize("entries", [[], [b""] * 257, [bytes(65_536)]])
def test_bundles_have_1_to_256_entries_below_65536_bytes(entries: list[bytes]) -> None:
    with pytest.raises(MalformedError):
        tiles.write_bundle(entries)
