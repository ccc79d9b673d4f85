"""Stated satisfaction of a released segment's customers. SPEC.md, 11."""

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
        answered: Number of customers who gave a score, noised.
        answered_sigma: Standard deviation of the noise in it.
        mean: Their mean score, from the scale's middle, in units of which 2^14 reaches its ends.
        mean_sigma: Standard deviation of the noise in the mean, same units.
    """

    answered: int
    answered_sigma: int
    mean: int
    mean_sigma: int

    @staticmethod
    def of(
        found: Satisfaction | None, place: int, *, min_segment_size: int
    ) -> SegmentSatisfaction | None:
        """The scores of the cluster at index `place` among those that are left.

        Returns:
            None when nothing was asked, or when too few answered: like a segment's size, the count
                must exceed the smallest segment by three standard deviations of its noise.
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
        """The values as in the signed JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    def may_be_told(self, agreement: Agreement) -> bool:
        """Whether enough customers answered for a release under `agreement` to contain it."""
        most = agreement.most_customers(range(agreement.n_partners))
        least = least_size(agreement.min_segment_size, self.answered_sigma)
        noised = self.answered_sigma >= 1 and self.mean_sigma >= 1
        return noised and least <= self.answered <= most + MARGIN_SIGMAS * self.answered_sigma

    @property
    def answered_margin(self) -> int:
        """Half the 95 % interval of `answered` under the noise."""
        return -(-self.answered_sigma * INTERVAL_PERCENT // 100)

    def score(self, terms: SatisfactionTerms) -> float:
        """The mean on the agreed scale."""
        return terms.from_units(self.mean)

    def margin(self, terms: SatisfactionTerms) -> float:
        """Half the mean's 95 % interval under the noise, on the agreed scale."""
        return terms.width_of(self.mean_sigma * INTERVAL_PERCENT / 100)

    def values(self, terms: SatisfactionTerms) -> dict[str, float | int]:
        """The scores on the agreed scale, as JSON values."""
        return {
            "score": self.score(terms),
            "score_margin": self.margin(terms),
            "answered": self.answered,
            "answered_margin": self.answered_margin,
        }

    def words(self, terms: SatisfactionTerms) -> str:
        """The scores on the agreed scale, for people."""
        digits = max(0, 3 - len(str(terms.highest - terms.lowest)))
        score, margin = self.score(terms), self.margin(terms)
        return (
            f"{score:.{digits}f} ± {margin:.{digits}f} "
            f"({self.answered:,} ± {self.answered_margin:,} answered)"
        )


#: Shown for a segment if too few of its customers answered.
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
