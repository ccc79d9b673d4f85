"""One customer's case: how it stands with this node, and what was done for it on record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from partner_node.consent.gate import Entry
from partner_node.consent.verdicts import Reason
from partner_node.customers.source_customers import SourceCustomers
from partner_node.home import NodeHome
from partner_node.register.requests import Kind
from partner_node.rights.desk import Desk
from partner_node.rights.left_out import alike_words
from partner_node.rights.receipt import Receipt
from partner_node.rights.segment_files import SegmentFiles
from protocol.agreement.document import Agreement
from protocol.errors import RuleError, SourceError
from protocol.scaling import FloatMatrix


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a customer stands with this node now.

    Attributes:
        values: The agreed features as the data have them (`SourceCustomers.values_of`), shape
            ``(n_features,)``; None when the data hold no such customer.
        reason: What keeps the customer out; None when it may be counted.
        entries: What every table of consents, objections and births holds.
    """

    values: FloatMatrix | None
    reason: Reason | None
    entries: tuple[Entry, ...]


class Case(Desk):
    """One customer at one node.

    Args:
        subject: The customer's id, letter by letter as the data have it.
    """

    def __init__(self, home: NodeHome, subject: str, *, now: datetime) -> None:
        super().__init__(home, now=now)
        self.subject = subject
        self.pseudonym = self.pseudonyms.of(subject)

    def standing(self) -> Standing:
        """How the customer stands now; raises what reading data and tables raises."""
        gate = self.home.gate(self.agreement, self.party, self.store)
        reason, entries = gate.explain(self.subject, self.now)
        values = self.everybody(self.agreement).values_of(self.subject)
        return Standing(values=values, reason=reason, entries=tuple(entries))

    def everybody(self, agreement: Agreement) -> SourceCustomers:
        """Everybody in the data: a mistake about another customer keeps nobody from an answer."""
        return self.home.customers(agreement, None, unique=False)

    def in_data(self) -> bool | None:
        """Whether any data hold the customer now; None when they cannot be read."""
        try:
            return any(
                (ids == self.subject).any() for data in self._all_data() for ids in data.ids()
            )
        except SourceError:
            return None

    def _all_data(self) -> Iterator[SourceCustomers]:
        """Everybody in the data, under each agreement in force."""
        for place in self.home.in_force():
            agreement = place.signed_agreement().agreement
            yield place.customers(agreement, None, unique=False)

    def files(self) -> SegmentFiles:
        """In which files of segments the customer is; every file that is on record is read."""
        return self.files_of({self.subject})

    def no_such_customer(self) -> RuleError:
        """The refusal when the data hold no customer of that id."""
        alike = alike_words(self.customers_alike())
        return RuleError(
            f"the data hold no customer {self.subject!r}{alike}",
            code="E-NO-CUSTOMER",
            remedy="ids are compared letter by letter, as the data have them",
        )

    def customers_alike(self) -> tuple[str, ...]:
        """Ids in the data that may be meant by this one."""
        return tuple(
            dict.fromkeys(i for data in self._all_data() for i in data.ids_alike(self.subject))
        )

    def close_request(
        self, kind: Kind, effects: Mapping[str, Any], *, received: date | None
    ) -> Receipt:
        """Put what was done for this customer into the register; the receipt for it."""
        with self.store.transaction():
            return self.answered(kind, self.pseudonym, effects, received=received)
