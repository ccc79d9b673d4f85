"""What a customer is told: everything that the node holds of it, and why its segment is that."""

from __future__ import annotations

from collections.abc import Iterator

from partner_node.receipts.counted_sets import CountedSets
from partner_node.register.scores import question_id
from partner_node.rights.case import Case
from partner_node.rights.explanation import Explanation, explain_place
from partner_node.rights.holdings import Cell, HeldFeature, HeldFeedback, Holdings
from partner_node.segments.known_releases import KnownRelease
from protocol.agreement.satisfaction import SatisfactionTerms
from protocol.errors import RuleError
from protocol.feature_values import as_counted, as_read, coordinate_values
from protocol.scaling import FloatMatrix


def explanation_of(case: Case) -> Explanation:
    """Why the customer is in its segment.

    Raises:
        RuleError: There is no release with segments (E-NO-RELEASE), the data hold no such
            customer (E-NO-CUSTOMER), or it may not be counted, so it has no segment
            (E-NOT-COUNTED).
    """
    known = case.newest_release()
    if known is None:
        raise RuleError(
            "this node has no release with segments",
            code="E-NO-RELEASE",
            remedy="a run must finish first; see `fedseg-node status`",
        )
    standing = case.standing()
    if standing.values is None:
        raise case.no_such_customer()
    if standing.reason is not None:
        raise RuleError(
            f"the customer has no segment, because it may not be counted: {standing.reason.words}",
            code="E-NOT-COUNTED",
            remedy="`fedseg-node consent explain` shows what each table holds",
        )
    found = _place(case, known, standing.values)
    if found is None:
        raise RuleError(
            "the customer has no segment: a value is missing, and the agreement leaves such "
            "customers out",
            code="E-NOT-COUNTED",
            remedy="`fedseg-node rights access` shows which",
        )
    return found


def _place(case: Case, known: KnownRelease, values: FloatMatrix) -> Explanation | None:
    """Why the customer is in its segment; None when a missing value leaves it out."""
    terms = known.agreement
    if terms.features != case.agreement.features:  # another version of the agreement
        found = case.everybody(terms).values_of(case.subject)
        values = values if found is None else found
    counted, coordinates = coordinate_values(values[None, :], terms.features)
    return explain_place(coordinates[0], known) if counted[0] else None


def holdings_of(case: Case) -> Holdings:
    """Everything that this node holds of the customer, and why (GDPR 15)."""
    standing, known = case.standing(), case.newest_release()
    place = None
    if known is not None and standing.values is not None and standing.reason is None:
        place = _place(case, known, standing.values)
    files = case.files()
    return Holdings(
        subject=case.subject,
        pseudonym=case.pseudonym,
        in_data=standing.values is not None,
        kept_out_by=None if standing.reason is None else standing.reason.words,
        features=tuple(_features(case, standing.values)),
        consents=standing.entries,
        wishes=case.register.wishes_of(case.subject),
        feedback=tuple(_feedback(case)),
        segment=place,
        release=None if known is None else known.short,
        segment_files=files,
        runs=tuple(case.store.runs()),
        agreement=case.agreement,
        party=case.party,
        stated=case.home.config.rights,
        gives_receipts=CountedSets(case.store).any_kept,
    )


def _features(case: Case, values: FloatMatrix | None) -> Iterator[HeldFeature]:
    """The agreed features as the data have them, and as they are counted."""
    texts = None if values is None else case.home.levels_of(case.agreement, case.subject)
    for i, feature in enumerate(case.agreement.features):
        value: Cell = None
        used: Cell = None
        if values is not None:
            read = float(values[i])
            value, used = as_read(feature, read), as_counted(feature, read)
        if texts is not None and feature.name in texts:
            value = texts[feature.name]  # a level that is none of the agreed ones is held, too
        yield HeldFeature(
            name=feature.name,
            unit=feature.unit,
            value=value,
            used=used,
            needed_because=feature.necessity,
        )


def _feedback(case: Case) -> Iterator[HeldFeedback]:
    """What the customer said, oldest first."""
    for kind, at, segment, score, question in case.store.ask(
        "SELECT kind, at, segment, score, question FROM feedback WHERE pseudonym = ? ORDER BY at",
        case.said_by.of(case.subject),
    ):
        yield HeldFeedback(
            kind=kind, at=at, segment_then=segment, score=score, asked=_asked(case, question)
        )


def _asked(case: Case, question: str | None) -> SatisfactionTerms | str | None:
    """What a score answers: the agreed question with its scale, or an earlier one."""
    terms = case.agreement.plan.satisfaction
    if question is None:
        return None
    if terms is not None and question == question_id(case.agreement.id, terms):
        return terms
    return "a question of an earlier version of the agreement"
