"""What the agreement says, in the words that customers read: own ones, the language's, or as is."""

from __future__ import annotations

from collections.abc import Sequence

from partner_node.notices.catalogue import Catalogue
from partner_node.notices.words import NodeTexts, OwnWords, texts_of
from protocol.agreement.document import Agreement
from protocol.agreement.features import Feature
from protocol.agreement.parties import Party


class Phrases:
    """An agreement's texts for one partner's customers, in one language."""

    def __init__(
        self,
        agreement: Agreement,
        party: Party,
        texts: Catalogue,
        own: OwnWords,
        node: NodeTexts,
    ) -> None:
        self.agreement = agreement
        self.party = party
        self.texts = texts
        self.node = node
        self._own = own
        self._says = texts_of(agreement, party, node)

    @property
    def others(self) -> Sequence[Party]:
        """The other partners."""
        return [one for one in self.agreement.parties if one.id != self.party.id]

    @property
    def purpose(self) -> str:
        """What for."""
        return self.said("purpose.text")

    def said(self, key: str) -> str:
        """The text of a place, as `texts_of` names it, for customers."""
        return self._own.of(key) or self._known(key) or self._says[key]

    def feature_name(self, feature: Feature) -> str:
        """What a feature is called."""
        return self.said(f"features.{feature.name}")

    def uses(self, uses: Sequence[str]) -> str:
        """Some uses of segments, in a sentence."""
        return self.texts.listed([self.said(f"results_use.{use}") for use in uses])

    def country(self, code: str) -> str:
        """A country's name, its code where the language has none here."""
        return self.texts.known("countries", code) or code

    def as_they_stand(self) -> tuple[str, ...]:
        """The places whose texts nobody said again for customers."""
        return tuple(
            key
            for key in self._says
            if self._own.of(key) is None and self._known(key) is None and not _is_name(key)
        )

    def not_stated(self) -> tuple[str, ...]:
        """What the node's settings do not say."""
        missing = {
            "[rights] authority": self.node.authority,
            "[rights] data_from": self.node.data_from,
        }
        return tuple(name for name, value in missing.items() if value is None)

    def _known(self, key: str) -> str | None:
        """What the language itself calls a use or a unit."""
        kind, _, rest = key.partition(".")
        if kind == "results_use":
            return self.texts.known("uses", rest)
        if kind == "features" and rest.endswith(".unit"):
            return self.texts.known("units", self._says[key])
        return None


def _is_name(key: str) -> bool:
    """Whether a text is a name, or a place to look, which is the same in every language."""
    return key in ("legal_basis.reference", "rights.authority") or key.startswith(
        "results_use.recipients."
    )


def ended(text: str) -> str:
    """A text that ends as a sentence does."""
    bare = text.strip()
    return bare if bare.endswith((".", "!", "?", "…")) else f"{bare}."


def unended(text: str) -> str:
    """A text without a full stop, where a sentence goes on behind it."""
    return text.strip().rstrip(".").rstrip()
