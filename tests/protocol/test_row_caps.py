"""What the agreed row caps leave room for is said, by name and number."""

from __future__ import annotations

from dataclasses import replace

from protocol.release.row_caps import counted_customers, row_cap_words, wide_row_caps
from tests.federations import small_federation


def test_each_cap_stands_beside_all_customers_counted() -> None:
    federation = small_federation(1.0, 9.0, n_clusters=2)
    release = federation.run().release.release
    agreement = federation.agreement
    counted = counted_customers(release)
    caps = [counted // 2, 2 * counted, 4 * counted]
    parties = [
        replace(p, max_customers=cap) for p, cap in zip(agreement.parties, caps, strict=True)
    ]
    wide = replace(agreement, parties=tuple(parties))
    words = row_cap_words(release, wide)
    assert words.startswith(f"Row caps: partner-2 {caps[2]:,} (4 times those counted), partner-1 ")
    assert f"partner-0 {caps[0]:,} (50 % of those counted); together {sum(caps):,}" in words
    assert f"the room of {sum(caps) - counted:,} with customers" in words
    (warning,) = wide_row_caps(wide, release)
    assert (
        f"max_customers of partner-2 is {caps[2]:,}, the last release counts {counted:,}" in warning
    )
    assert wide_row_caps(wide, replace(release, segments=())) == []
    without = replace(release, participants=release.participants[:2])
    assert wide_row_caps(wide, without) == []
    others = replace(release, participants=release.participants[1:])
    (warning,) = wide_row_caps(wide, others)
    assert f"counts {counted:,} customers of all partners but partner-0:" in warning


def test_a_partner_that_took_no_part_has_no_room() -> None:
    federation = small_federation(1.0, 9.0, n_clusters=2)
    release = federation.run().release.release
    fewer = replace(release, participants=release.participants[:2])
    words = row_cap_words(fewer, federation.agreement)
    assert "partner-2" not in words
    assert words.endswith(": they leave no room")
