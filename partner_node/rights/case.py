"""One customer's case: what this node knows of it, and doing what the customer asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, get_args

from partner_node.consent.gate import Entry
from partner_node.consent.verdicts import Reason
from partner_node.customers.source_customers import SourceCustomers
from partner_node.home import NodeHome
from partner_node.keystore import Keystore
from partner_node.register.pseudonyms import Pseudonyms
from partner_node.register.requests import (
    MOST_EXTENDED,
    Kind,
    Request,
    RightsRegister,
    Wish,
    due_date,
)
from partner_node.register.scores import question_id
from partner_node.rights.explanation import Explanation, explain_place
from partner_node.rights.holdings import Cell, HeldFeature, HeldFeedback, Holdings
from partner_node.rights.left_out import (
    Corrected,
    Erased,
    LeftOut,
    Remainder,
    TakenBack,
    alike_words,
)
from partner_node.rights.receipt import Receipt
from partner_node.rights.segment_files import InFile, SegmentFiles, standing_in, take_out
from partner_node.segments.export_records import ExportRecords
from partner_node.segments.known_releases import KnownRelease, known_releases
from partner_node.segments.private_files import Leftovers, PrivateFiles
from partner_node.store.node_store import NodeStore
from partner_node.store.times import stamp
from protocol.agreement.document import Agreement
from protocol.agreement.parties import Party
from protocol.agreement.satisfaction import SatisfactionTerms
from protocol.errors import FedsegError, RuleError, SourceError, UsageError
from protocol.feature_values import as_counted, as_read, coordinate_values
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


def _segment_files(found: Mapping[str, InFile], left: Leftovers) -> SegmentFiles:
    def which(standing: InFile) -> tuple[str, ...]:
        return tuple(path for path, one in found.items() if one is standing)

    return SegmentFiles(
        listing=which(InFile.LISTED),
        gone=which(InFile.GONE) + left.paths,
        changed=which(InFile.CHANGED),
    )


def _refuse_stuck(left: Leftovers) -> None:
    """Refuse when what a killed process left cannot be deleted; raises SourceError."""
    if left.stuck:
        raise SourceError(
            "; ".join(left.stuck),
            code="E-SEGMENT-FILE",
            remedy="these are unfinished files about customers that a killed process left: delete "
            "them, or let this account do so",
        )


class Desk:
    """Where one node answers customers: its state, its register and the files that it wrote."""

    def __init__(self, home: NodeHome, *, now: datetime) -> None:
        self.home = home
        self.now = now
        self.keystore: Keystore = home.keystore()
        self.store: NodeStore = home.store(self.keystore)
        self.agreement: Agreement = home.signed_agreement().agreement
        self.party: Party = self.agreement.parties[
            self.agreement.index_of_key(self.keystore.identity_public)
        ]
        self.register = RightsRegister(self.store)
        self.pseudonyms = Pseudonyms.under(self.agreement.id, home.keys_folder, self.keystore)

    def newest_release(self) -> KnownRelease | None:
        """The newest release with segments; None before the first."""
        return next(iter(self._releases()), None)

    def first_release(self) -> KnownRelease | None:
        """The first release with segments; None before it."""
        return next(reversed(self._releases()), None)

    def _releases(self) -> list[KnownRelease]:
        """Every release with segments, newest first."""
        try:
            known = known_releases(self.home)
        except RuleError as error:
            if error.code == "E-NO-RELEASE":
                return []
            raise
        return [one for one in known if one.release.segments]

    def files_of(self, subjects: Set[str]) -> SegmentFiles:
        """In which files of segments some customers are; every file that is on record is read.

        What a killed process left unfinished is deleted first.

        Raises:
            SourceError: A file cannot be read, or what is unfinished cannot be deleted
                (E-SEGMENT-FILE).
        """
        left = PrivateFiles(self.store).sweep()
        _refuse_stuck(left)
        records = ExportRecords(self.store).by_path()
        found = {path: standing_in(versions, subjects) for path, versions in records.items()}
        return _segment_files(found, left)

    def take_out_of_files(self, subjects: Set[str]) -> SegmentFiles:
        """Write every file again that lists one of some customers, without them.

        What a killed process left unfinished is deleted first. A file that cannot be read or
        written does not keep customers in the others.

        Returns:
            Where they were listed, and files that are not where they were written.

        Raises:
            SourceError: A file cannot be read, or what is unfinished cannot be deleted
                (E-SEGMENT-FILE); all of them are named.
            UsageError: A file cannot be written (E-FILE).
        """
        found: dict[str, InFile] = {}
        faults: list[FedsegError] = []
        with PrivateFiles(self.store).held() as files:
            for path, versions in ExportRecords(self.store).by_path().items():
                try:
                    found[path] = standing_in(versions, subjects)
                    if found[path] is InFile.LISTED:
                        take_out(versions, subjects, files=files)
                except (SourceError, UsageError) as fault:
                    faults.append(fault)
        try:
            _refuse_stuck(files.left)
        except SourceError as fault:
            faults.append(fault)
        if len(faults) == 1:
            raise faults[0]
        if faults:
            raise SourceError(
                "; ".join(fault.message for fault in faults),
                code="E-SEGMENT-FILE",
                remedy="; ".join(dict.fromkeys(fault.remedy for fault in faults)),
            )
        return _segment_files(found, files.left)

    def answered(
        self,
        kind: Kind,
        pseudonym: str,
        effects: Mapping[str, Any],
        *,
        received: date | None,
        outcome: str = "answered",
    ) -> Receipt:
        """Put what was done for a customer into the register, inside a transaction.

        It answers the oldest open request of its kind; without one, one that was received on the
        day `received`, or today.
        """
        waiting = self.register.open_request(kind, pseudonym)
        number = (
            waiting.number
            if waiting
            else self.register.receive(kind, pseudonym, received or self.now.date())
        )
        receipt = self._receipt(self._request(number), effects, outcome)
        self.register.answer(number, receipt.to_dict(), self.now)
        return receipt

    def _request(self, number: int) -> Request:
        (request,) = [r for r in self.register.requests() if r.number == number]
        return request

    def _receipt(self, request: Request, effects: Mapping[str, Any], outcome: str) -> Receipt:
        return Receipt(
            number=request.number,
            kind=request.kind,
            pseudonym=request.pseudonym,
            partner=self.party.id,
            agreement=self.agreement.id,
            agreement_version=self.agreement.version,
            received=request.received,
            due=request.due,
            done_at=stamp(self.now),
            effects=effects,
            outcome=outcome,
        )

    def answer_opt_outs(self, subjects: Iterable[str], *, in_data: Set[str]) -> list[int]:
        """Answer the open requests of customers who opted out, once they are out of files.

        Returns:
            Their numbers in the register.
        """
        numbers = []
        with self.store.transaction():
            for subject in subjects:
                pseudonym = self.pseudonyms.of(subject)
                if self.register.open_request("object", pseudonym):
                    since = self.register.wishes(pseudonym)["opt-out"]
                    effects = {"in_data": subject in in_data, "not_counted_from": since}
                    given = self.answered("object", pseudonym, effects, received=None)
                    numbers.append(given.number)
        return numbers

    def remainders(self) -> tuple[Remainder, ...]:
        """What stays of a customer in releases."""
        try:
            known = known_releases(self.home)
        except RuleError:
            return ()
        return tuple(
            Remainder(
                release=one.short, received_at=one.received_at, privacy=one.release.privacy_words
            )
            for one in known
        )


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
        values = self._everybody(self.agreement).values_of(self.subject)
        return Standing(values=values, reason=reason, entries=tuple(entries))

    def explanation(self) -> Explanation:
        """Why the customer is in its segment.

        Raises:
            RuleError: There is no release with segments (E-NO-RELEASE), the data hold no such
                customer (E-NO-CUSTOMER), or it may not be counted, so it has no segment
                (E-NOT-COUNTED).
        """
        known = self.newest_release()
        if known is None:
            raise RuleError(
                "this node has no release with segments",
                code="E-NO-RELEASE",
                remedy="a run must finish first; see `fedseg-node status`",
            )
        standing = self.standing()
        if standing.values is None:
            raise self.no_such_customer()
        if standing.reason is not None:
            raise RuleError(
                f"the customer has no segment, because it may not be counted: "
                f"{standing.reason.words}",
                code="E-NOT-COUNTED",
                remedy="`fedseg-node consent explain` shows what each table holds",
            )
        found = self._place(known, standing.values)
        if found is None:
            raise RuleError(
                "the customer has no segment: a value is missing, and the agreement leaves such "
                "customers out",
                code="E-NOT-COUNTED",
                remedy="`fedseg-node rights access` shows which",
            )
        return found

    def _place(self, known: KnownRelease, values: FloatMatrix) -> Explanation | None:
        """Why the customer is in its segment; None when a missing value leaves it out."""
        terms = known.agreement
        if terms.features != self.agreement.features:  # another version of the agreement
            found = self._everybody(terms).values_of(self.subject)
            values = values if found is None else found
        counted, coordinates = coordinate_values(values[None, :], terms.features)
        return explain_place(coordinates[0], known) if counted[0] else None

    def access(self) -> Holdings:
        """Everything that this node holds of the customer, and why (GDPR 15)."""
        standing, known = self.standing(), self.newest_release()
        place = None
        if known is not None and standing.values is not None and standing.reason is None:
            place = self._place(known, standing.values)
        files = self.files()
        return Holdings(
            subject=self.subject,
            pseudonym=self.pseudonym,
            in_data=standing.values is not None,
            kept_out_by=None if standing.reason is None else standing.reason.words,
            features=tuple(self._features(standing.values)),
            consents=standing.entries,
            wishes=self.register.wishes(self.pseudonym),
            feedback=tuple(self._feedback()),
            segment=place,
            release=None if known is None else known.short,
            segment_files=files,
            runs=tuple(self.store.runs()),
            agreement=self.agreement,
            party=self.party,
            stated=self.home.config.rights,
        )

    def _features(self, values: FloatMatrix | None) -> Iterator[HeldFeature]:
        """The agreed features as the data have them, and as they are counted."""
        texts = None if values is None else self.home.levels_of(self.agreement, self.subject)
        for i, feature in enumerate(self.agreement.features):
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

    def _feedback(self) -> Iterator[HeldFeedback]:
        """What the customer said, oldest first."""
        for kind, at, segment, score, question in self.store.ask(
            "SELECT kind, at, segment, score, question FROM feedback WHERE pseudonym = ?"
            " ORDER BY at",
            self.pseudonym,
        ):
            yield HeldFeedback(
                kind=kind, at=at, segment_then=segment, score=score, asked=self._asked(question)
            )

    def _asked(self, question: str | None) -> SatisfactionTerms | str | None:
        """What a score answers: the agreed question with its scale, or an earlier one."""
        terms = self.agreement.plan.satisfaction
        if question is None:
            return None
        if terms is not None and question == question_id(self.agreement.id, terms):
            return terms
        return "a question of an earlier version of the agreement"

    def files(self) -> SegmentFiles:
        """In which files of segments the customer is; every file that is on record is read."""
        return self.files_of({self.subject})

    def _everybody(self, agreement: Agreement) -> SourceCustomers:
        """Everybody in the data: a mistake about another customer keeps nobody from an answer."""
        return self.home.customers(agreement, None, unique=False)

    def in_data(self) -> bool | None:
        """Whether the data hold the customer now; None when they cannot be read."""
        try:
            chunks = self._everybody(self.agreement).ids()
            return any((ids == self.subject).any() for ids in chunks)
        except SourceError:
            return None

    def no_such_customer(self) -> RuleError:
        """The refusal when the data hold no customer of that id."""
        alike = alike_words(self._customers_alike())
        return RuleError(
            f"the data hold no customer {self.subject!r}{alike}",
            code="E-NO-CUSTOMER",
            remedy="ids are compared letter by letter, as the data have them",
        )

    def leave_out(self, wish: Wish) -> LeftOut:
        """Have the customer not be counted from the next question on, and out of files.

        The wish is stored first, so that a node that is killed in between counts nobody who
        objected; calling it again finishes what is left.
        """
        before = self.register.wishes(self.pseudonym)
        with self.store.transaction():
            self.register.leave_out(wish, self.pseudonym, self.subject, self.now)
            if wish == "erasure":
                self.store.ask("DELETE FROM feedback WHERE pseudonym = ?", self.pseudonym)
        files = self.take_out_of_files({self.subject})
        running = [run.run_id.hex() for run in self.store.runs() if run.phase == "running"]
        in_data = self.in_data()
        alike = () if in_data is not False else self._customers_alike()
        return LeftOut(
            in_data=in_data,
            alike=alike,
            not_counted_from=before.get(wish, stamp(self.now)),
            runs_under_way=tuple(running),
            files=files,
        )

    def rectify(self, features: Sequence[str], received: date | None) -> Receipt:
        """Put on record that values were corrected in the partner's own data; the receipt.

        Raises:
            UsageError: One is no agreed feature.
        """
        known = [feature.name for feature in self.agreement.features]
        for name in features:
            if name not in known:
                raise UsageError(
                    f"{name!r} is no agreed feature", remedy=f"they are {', '.join(known)}"
                )
        effects = {"rectified": sorted(set(features)), "in_data": self.in_data()}
        return self.close_request("rectify", effects, received=received)

    def refuse(self, kind: Kind, reason: str, received: date | None) -> Receipt:
        """Refuse a request, and say where the customer may complain (GDPR 12(4))."""
        authority = self.home.config.rights.authority
        effects = {
            "refused": reason,
            "may_complain_to": authority or "a supervisory authority",
            "may_go_to_court": True,
        }
        with self.store.transaction():
            return self.answered(
                kind, self.pseudonym, effects, received=received, outcome=f"refused, {reason}"
            )

    def extend(self, kind: Kind, reason: str, *, months: int) -> Receipt:
        """Put the answer to the oldest open request of a kind off (GDPR 12(3)).

        Raises:
            RuleError: There is none, it was extended before, or its first month is over
                (E-EXTENSION).
        """
        request = self.register.open_request(kind, self.pseudonym)
        if request is None:
            problem = f"the customer has no open request of kind {kind!r}"
        elif request.extended_on is not None:
            problem = f"request {request.number} was extended on {request.extended_on} already"
        elif request.is_overdue(self.now.date()):
            problem = f"request {request.number} was due by {request.due}"
        else:
            due = due_date(request.received, months=1 + months)
            extended = replace(request, due=due)
            effects = {"extended": reason, "until": due.isoformat()}
            receipt = self._receipt(extended, effects, f"extended, {reason}")
            with self.store.transaction():
                self.register.extend(request.number, due, receipt.to_dict(), self.now)
            return receipt
        raise RuleError(
            problem,
            code="E-EXTENSION",
            remedy="a request may be extended once, within a month of its receipt, by "
            f"{MOST_EXTENDED} months at most; `fedseg-node rights list` shows all",
        )

    def take_back(self, received: date | None) -> tuple[TakenBack, Receipt]:
        """Have the customer be counted again as far as its own wishes go, with the receipt.

        Raises:
            RuleError: It has no wish on record (E-NO-WISH).
        """
        wishes = self._wishes_of(self.subject)
        with self.store.transaction():
            self.register.take_back(self.subject)
            receipt = self.answered(
                "take-back", self.pseudonym, {"taken_back": wishes}, received=received
            )
        gate = self.home.gate(self.agreement, self.party, self.store)
        reason, _ = gate.explain(self.subject, self.now)
        still = None if reason is None else reason.words
        return TakenBack(wishes=wishes, still_kept_out_by=still), receipt

    def correct(self, mistyped: str, received: date | None) -> tuple[Corrected, Receipt]:
        """Have the wishes of an id that was mistyped be this customer's, with the receipt.

        This customer is left out first: killed in between, both are left out, and calling it again
        finishes what is left.

        Raises:
            RuleError: The other id has no wish on record (E-NO-WISH).
        """
        wishes = self._wishes_of(mistyped)
        (*_, left_out) = [self.leave_out(wish) for wish in get_args(Wish) if wish in wishes]
        done = Corrected(instead_of=self.pseudonyms.of(mistyped), wishes=wishes, left_out=left_out)
        with self.store.transaction():
            self.register.take_back(mistyped)
            receipt = self.answered("correct", self.pseudonym, done.to_dict(), received=received)
        return done, receipt

    def _wishes_of(self, subject: str) -> dict[str, str]:
        wishes = self.register.wishes_of(subject)
        if not wishes:
            raise RuleError(
                f"customer {subject!r} has no objection, opt-out or erasure on record here",
                code="E-NO-WISH",
                remedy="ids are compared letter by letter; `fedseg-node consent explain` shows "
                "what each table holds, and an objection in a table of your own is taken back "
                "there",
            )
        return wishes

    def _customers_alike(self) -> tuple[str, ...]:
        return self._everybody(self.agreement).ids_alike(self.subject)

    def erase(self) -> Erased:
        """Have the customer not be counted any more, and say what stays of it."""
        return Erased(left_out=self.leave_out("erasure"), in_releases=self.remainders())

    def close_request(
        self, kind: Kind, effects: Mapping[str, Any], *, received: date | None
    ) -> Receipt:
        """Put what was done for this customer into the register; the receipt for it."""
        with self.store.transaction():
            return self.answered(kind, self.pseudonym, effects, received=received)
