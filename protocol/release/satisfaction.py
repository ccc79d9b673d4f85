"""How satisfied a released segment's customers said they are. SPEC.md, 11."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from protocol.agreement.document import Agreement
from protocol.agreement.satisfaction import SatisfactionTerms
from protocol.clustering.result import Satisfaction, least_size
from protocol.noised_queries import MARGIN_SIGMAS
from protocol.ring import UNIT
from protocol.strict import Fields

#: Half a 95 % interval of Gaussian noise, in percent of its standard deviation.
INTERVAL_PERCENT: Final = 196
_COUNT: Final = 1 << 50


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentSatisfaction:
    """Scores of one segment's customers.

    Attributes:
        answered: How many of them gave a score, noised.
        answered_sigma: Standard deviation of the noise in that.
        mean: Their mean score, in units of which 2^14 is from the scale's middle to its ends.
        mean_sigma: Standard deviation of the noise in it, in the same units.
    """

    answered: int
    answered_sigma: int
    mean: int
    mean_sigma: int

    @staticmethod
    def of(
        found: Satisfaction | None, place: int, *, min_segment_size: int
    ) -> SegmentSatisfaction | None:
        """Of the cluster at a place among those that are left.

        Returns:
            None when nothing was asked, or when too few answered: as of a segment's size, three
            standard deviations of the count's noise are asked for above the smallest segment.
        """
        if found is None:
            return None
        answered, sigma = int(found.answered[place]), int(found.answered_sigmas[place])
        if answered < least_size(min_segment_size, sigma):
            return None
        return SegmentSatisfaction(
            answered=answered,
            answered_sigma=sigma,
            mean=int(found.means[place]),
            mean_sigma=int(found.mean_sigmas[place]),
        )

    @staticmethod
    def read(fields: Fields) -> SegmentSatisfaction:
        """Read the scores at `fields`."""
        found = SegmentSatisfaction(
            answered=fields.integer("answered", at_least=1, at_most=_COUNT),
            answered_sigma=fields.integer("answered_sigma", at_least=0, at_most=_COUNT),
            mean=fields.integer("mean", at_least=-UNIT, at_most=UNIT),
            mean_sigma=fields.integer("mean_sigma", at_least=0, at_most=_COUNT),
        )
        fields.finish()
        return found

    def to_dict(self) -> dict[str, int]:
        """The values as they stand in the signed JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    def may_be_told(self, agreement: Agreement) -> bool:
        """Whether a release under an agreement may hold it: as many answered as it asks for."""
        most = agreement.most_customers(range(agreement.n_partners))
        least = least_size(agreement.min_segment_size, self.answered_sigma)
        noised = self.answered_sigma >= 1 and self.mean_sigma >= 1
        return noised and least <= self.answered <= most + MARGIN_SIGMAS * self.answered_sigma

    @property
    def answered_margin(self) -> int:
        """What the noise may have moved `answered` by, 95 % of the time."""
        return -(-self.answered_sigma * INTERVAL_PERCENT // 100)

    def score(self, terms: SatisfactionTerms) -> float:
        """The mean on the agreed scale."""
        return terms.from_units(self.mean)

    def margin(self, terms: SatisfactionTerms) -> float:
        """What the noise may have moved the mean by on that scale, 95 % of the time."""
        return terms.width_of(self.mean_sigma * INTERVAL_PERCENT / 100)

    def values(self, terms: SatisfactionTerms) -> dict[str, float | int]:
        """On the agreed scale, as JSON values."""
        return {
            "score": self.score(terms),
            "score_margin": self.margin(terms),
            "answered": self.answered,
            "answered_margin": self.answered_margin,
        }

    def words(self, terms: SatisfactionTerms) -> str:
        """On the agreed scale, for people."""
        digits = max(0, 3 - len(str(terms.highest - terms.lowest)))
        score, margin = self.score(terms), self.margin(terms)
        return (
            f"{score:.{digits}f} ± {margin:.{digits}f} "
            f"({self.answered:,} ± {self.answered_margin:,} answered)"
        )


#: What is said of a segment of whose customers too few answered.
TOO_FEW_WORDS: Final = "too few answered to tell"


def satisfaction_values(
    found: SegmentSatisfaction | None, agreement: Agreement
) -> dict[str, Any] | None:
    """A segment's satisfaction as JSON values; None when it is not in the release."""
    terms = agreement.plan.satisfaction
    return None if found is None or terms is None else dict(found.values(terms))


def question_of(agreement: Agreement) -> dict[str, Any] | None:
    """The agreed question with its scale, as JSON values; None when the partners do not ask."""
    terms = agreement.plan.satisfaction
    return None if terms is None else terms.to_dict()


def question_words(agreement: Agreement) -> str:
    """The agreed question with its scale, for people; empty when the partners do not ask."""
    terms = agreement.plan.satisfaction
    return "" if terms is None else f"“{terms.question}”, {terms.scale_words}"


def satisfaction_words(found: SegmentSatisfaction | None, agreement: Agreement) -> str:
    """A segment's satisfaction for people; empty when the partners do not ask."""
    terms = agreement.plan.satisfaction
    if terms is None:
        return ""
    return TOO_FEW_WORDS if found is None else found.words(terms)
