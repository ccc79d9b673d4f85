"""The agreement in plain words at a node: with who signed it, and versions that wait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from machine.tables import filled_table
from machine.text import minute, shown
from protocol import agreement_words as words
from protocol.agreement.document import Agreement, time_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """Whether a party signed the agreement.

    Attributes:
        at: When, where it was signed at this node; None elsewhere, as signatures bear no date.
        by: Who signed at this node; empty elsewhere, and where an earlier version did not note it.
    """

    party: str
    signed: bool
    at: str | None
    by: str = ""

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            "party": self.party, "signed": self.signed, "signed_at": self.at,
            "signed_by": self.by or None,
        }  # fmt: skip

    @property
    def words(self) -> str:
        """The party and what is known of its signature."""
        by = f" by {shown(self.by)}" if self.by else ""
        return self.party + ("" if self.at is None else f" (at this node, {minute(self.at)}{by})")


def agreement_words(agreement: Agreement, parties_signed: Sequence[Signed]) -> list[object]:
    """Paragraphs and tables that say what the agreement means, and who signed it."""
    return [
        *(
            one if isinstance(one, str) else filled_table(one.title, one.headers, one.rows)
            for one in words.agreement_words(agreement, shown)
        ),
        *_signed_words(parties_signed),
    ]


def waiting_values(waiting: Sequence[Agreement]) -> list[dict[str, Any]]:
    """Versions that wait, as JSON values."""
    return [
        {
            **one.named(),
            "effective": time_text(one.effective),
        }
        for one in waiting
    ]


def waiting_words(waiting: Sequence[Agreement]) -> list[str]:
    """Versions that wait, for people."""
    return [
        f"Waits: version {one.version} of agreement {one.id}, signed by everyone, takes effect at "
        f"{one.effective:%Y-%m-%d %H:%M} UTC; the version in force goes on until then."
        for one in waiting
    ]


def _signed_words(parties: Sequence[Signed]) -> list[str]:
    signed = [one.words for one in parties if one.signed]
    missing = [one.party for one in parties if not one.signed]
    words = [f"Not signed yet by: {', '.join(missing)}."] if missing else []
    if signed:
        who = "Signed by everyone: " if not missing else "Signed by: "
        words.append(f"{who}{', '.join(signed)}. Signatures bear no date of their own.")
    return words
