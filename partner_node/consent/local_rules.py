"""This partner's own checks of an agreement before each answer, before any row is read.

Every rule fails closed. Of a refusal only the code leaves the node.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from machine.files import open_regular
from partner_node.columns.agreed import check_features
from partner_node.consent.gate import ConsentGate
from partner_node.consent.settings import ConsentSection
from partner_node.notices.published import Publication
from partner_node.notices.telling import refuse_untold
from partner_node.store.staff import Person
from partner_node.trained import check_somebody_trained
from protocol.agreement.document import Agreement
from protocol.agreement.governance import LEGITIMATE_INTEREST
from protocol.agreement.parties import Party
from protocol.errors import RuleError, SourceError


class Rules(Protocol):
    """A partner's own checks."""

    def check(self, now: datetime) -> None:
        """Refuse to answer now; raises RuleError or SourceError."""
        ...


class NoRules:
    """For simulations, whose customers are generated or belong to whoever simulates."""

    def check(self, now: datetime) -> None:
        """Accept everything."""


class LocalRules:
    """The rules of a partner about purpose, notice, legal basis and consent.

    Args:
        party: This partner in the agreement.
        gate: The consent gate that its customers pass.
        columns: Column of each feature whose column has another name.
        units: Unit in which this partner's data have each feature.
        published: The notices that were published for the agreement, as they are then.
        staff: Who may act here, as they are then.
    """

    def __init__(
        self,
        agreement: Agreement,
        party: Party,
        consent: ConsentSection,
        gate: ConsentGate,
        *,
        columns: Mapping[str, str],
        units: Mapping[str, str],
        published: Callable[[], Sequence[Publication]],
        staff: Callable[[], Sequence[Person]] = list,
    ) -> None:
        self._agreement = agreement
        self._party = party
        self._consent = consent
        self._gate = gate
        self._columns = columns
        self._units = units
        self._published = published
        self._staff = staff

    def check(self, now: datetime) -> None:
        """Refuse to answer now.

        Raises:
            RuleError: E-PURPOSE, E-NOTICE, E-BASIS, E-CHILD, E-SPECIAL, E-FEATURE-UNLISTED,
                E-FEATURE-UNIT, E-TRAINING or E-CONSENT-STALE.
            SourceError: A consent source cannot be found (E-CONSENT-SOURCE).
        """
        self._check_purpose()
        self._check_basis()
        check_features(self._agreement, columns=self._columns, units=self._units)
        if self._agreement.training:
            check_somebody_trained(self._staff(), self._agreement, now)
        self._gate.check_fresh(now)

    def _check_purpose(self) -> None:
        agreed, own = self._agreement.purpose, self._consent
        if own.purpose != agreed.term:
            raise RuleError(
                f"agreement {self._agreement.id!r} is for {agreed.term}, this node for "
                f"{own.purpose}",
                code="E-PURPOSE",
                remedy="correct [consent] purpose, or do not sign: customers are asked for one "
                "purpose at a time",
            )
        if agreed.notice_version not in own.notices:
            told = ", ".join(own.notices) or "none"
            raise RuleError(
                f"the agreed notice has version {agreed.notice_version!r}; versions that tell your "
                f"customers of the purpose: {told}",
                code="E-NOTICE",
                remedy="publish that notice, then add its version to [consent] notices",
            )
        refuse_untold(self._agreement, self._party, self._published(), own.notices)

    def _check_basis(self) -> None:
        self._gate.check_complete()
        basis = self._party.legal_basis
        if basis.basis == LEGITIMATE_INTEREST:
            self._check_assessment(basis.reference)

    def _check_assessment(self, agreed: str) -> None:
        file = self._consent.assessment
        if file is None:
            raise RuleError(
                "legitimate interest needs an assessment, and [consent] assessment names none",
                code="E-BASIS",
                remedy="name the file whose SHA-256 the agreement has",
            )
        try:
            with open_regular(file) as opened:
                found = hashlib.file_digest(opened, "sha256").hexdigest()
        except OSError as error:
            raise SourceError(
                f"the assessment {file} cannot be read: {error.strerror}",
                code="E-BASIS",
                remedy="correct [consent] assessment in node.toml",
            ) from error
        if found != agreed:
            raise RuleError(
                f"{file} is not the assessment that was agreed: its SHA-256 is {found}, agreed is "
                f"{agreed}",
                code="E-BASIS",
                remedy="put the agreed file there, or agree on the new assessment",
            )
