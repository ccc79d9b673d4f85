"""Everything that a node holds of one customer, and why (GDPR 15, 20)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from partner_node.config.rights import RightsSection
from partner_node.consent.gate import Entry
from partner_node.register.requests import Wish
from partner_node.rights.explanation import Explanation
from partner_node.rights.segment_files import SegmentFiles
from partner_node.store.records import RunRecord
from protocol.agreement.document import Agreement
from protocol.agreement.parties import Party
from protocol.agreement.satisfaction import SatisfactionTerms

Cell = float | str | None
#: What a customer may ask for (GDPR 15(1)(e) and (f)).
RIGHTS: Final = (
    "access", "rectification", "erasure", "restriction", "portability", "objection",
    "withdrawal of consent", "complaint to a supervisory authority",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldFeature:
    """One agreed feature of a customer.

    Attributes:
        value: As the data have it; None where they do not.
        used: As it is counted.
    """

    name: str
    unit: str
    value: Cell
    used: Cell
    needed_because: str

    def to_dict(self) -> dict[str, Any]:
        """The feature as JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldFeedback:
    """One thing that a customer said.

    Attributes:
        segment_then: The customer's segment at that time; empty without one.
        asked: What a score answers: the agreed question with its scale, or in words that it was
            an earlier one.
    """

    kind: str
    at: str
    segment_then: str
    score: float | None
    asked: SatisfactionTerms | str | None

    def to_dict(self) -> dict[str, Any]:
        """What was said as JSON values."""
        asked = self.asked.to_dict() if isinstance(self.asked, SatisfactionTerms) else self.asked
        return {
            "kind": self.kind,
            "at": self.at,
            "segment_then": self.segment_then or None,
            "score": self.score,
            "asked": asked,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """What a node holds of one customer.

    Attributes:
        in_data: Whether the data hold such a customer.
        kept_out_by: What keeps the customer out, in words; None when it may be counted.
        consents: What every table of consents, objections and births holds.
        wishes: What the customer wished, and since when.
        segment: Why it is in its segment; None without one.
        release: The newest release with segments, in short; None before the first.
        runs: Every run of this node.
        agreement: What is agreed, for whom and for how long.
        party: What is agreed of this partner.
        stated: What the node's settings say besides.
        gives_receipts: Whether it is on record who was counted in its runs.
    """

    subject: str
    pseudonym: str
    in_data: bool
    kept_out_by: str | None
    features: tuple[HeldFeature, ...]
    consents: tuple[Entry, ...]
    wishes: dict[Wish, str]
    feedback: tuple[HeldFeedback, ...]
    segment: Explanation | None
    release: str | None
    segment_files: SegmentFiles
    runs: tuple[RunRecord, ...]
    agreement: Agreement
    party: Party
    stated: RightsSection
    gives_receipts: bool

    @property
    def not_stated(self) -> tuple[str, ...]:
        """What GDPR 15 asks for and neither the agreement nor the node's settings say."""
        unknown = {
            "the supervisory authority for complaints ([rights] authority in node.toml)": (
                self.stated.authority
            ),
            "where the data come from ([rights] data_from in node.toml)": self.stated.data_from,
        }
        return (
            *(what for what, said in unknown.items() if said is None),
            "how long the data themselves are kept where segments are not concerned",
            "whether data or results go to another country, and with which safeguards",
            "whether anything is decided about a customer by segments alone",
        )

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values, for the customer."""
        agreement, basis = self.agreement, self.party.legal_basis
        noise = " and with noise" if agreement.privacy is not None else ""
        return {
            "subject": self.subject,
            "pseudonym": self.pseudonym,
            "in_data": self.in_data,
            "may_be_counted": self.kept_out_by is None,
            "kept_out_by": self.kept_out_by,
            "features": [feature.to_dict() for feature in self.features],
            "consents": [
                {"source": entry.table, "rows": list(entry.rows)} for entry in self.consents
            ],
            "wishes": self.wishes,
            "feedback": [said.to_dict() for said in self.feedback],
            "segment": None if self.segment is None else self.segment.to_dict(),
            "release": self.release,
            "segment_files": self.segment_files.to_dict(),
            "runs": [
                {"run": run.run_id.hex(), "started_at": run.started_at, "ended": run.phase}
                for run in self.runs
            ],
            "runs_mean": "customers who might be counted at the time were part of sums over all of "
            f"them, hidden under masks{noise}; "
            + (
                "a receipt shows in which of them the customer was counted"
                if self.gives_receipts
                else "which customers these were is not recorded"
            ),
            "purpose": {"term": agreement.purpose.term, "text": agreement.purpose.text},
            "notice_version": agreement.purpose.notice_version,
            "legal_basis": {"basis": basis.basis, "reference": basis.reference},
            "recipients": list(agreement.results_use.recipients),
            "used_for": list(agreement.results_use.allowed),
            "never_for": list(agreement.results_use.forbidden),
            "retention": agreement.retention.to_dict(),
            "data_protection_officer": self.party.dpo,
            "controller": _told(self.party),
            "other_controllers": [
                _told(party) for party in agreement.parties if party.id != self.party.id
            ],
            "coordinator": {
                "name": agreement.coordinator.legal_name,
                "contact": agreement.coordinator.contact,
            },
            "data_from": self.stated.data_from,
            "supervisory_authority": self.stated.authority,
            "rights": list(RIGHTS),
            "not_stated": list(self.not_stated),
        }

    def portable(self) -> dict[str, Any]:
        """The customer's own data as JSON values, to take elsewhere."""
        everything = self.to_dict()
        return {
            name: everything[name]
            for name in ("subject", "features", "consents", "wishes", "segment")
        }

    @property
    def portable_rows(self) -> list[tuple[str, Cell, str]]:
        """The customer's own data as what it is, its value and its unit, a row each."""
        return [
            ("customer", self.subject, ""),
            *((feature.name, feature.value, feature.unit) for feature in self.features),
            ("segment", "" if self.segment is None else self.segment.name, ""),
        ]


def _told(party: Party) -> dict[str, str]:
    """A party as a customer is told of it."""
    return {"name": party.legal_name, "contact": party.contact, "role": party.role}
