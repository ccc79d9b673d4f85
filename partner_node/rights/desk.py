"""Where one node answers customers: its state, its register and the files that it wrote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import date, datetime
from typing import Any

from partner_node.home import NodeHome
from partner_node.keystore import Keystore
from partner_node.register.pseudonyms import Pseudonyms
from partner_node.register.requests import Kind, Request, RightsRegister
from partner_node.rights.left_out import Remainder
from partner_node.rights.receipt import Receipt
from partner_node.rights.segment_files import InFile, SegmentFiles, standing_in, take_out
from partner_node.segments.export_records import ExportRecords
from partner_node.segments.known_releases import KnownRelease, all_releases, known_releases
from partner_node.segments.private_files import Leftovers, PrivateFiles
from partner_node.store.node_store import NodeStore
from partner_node.store.times import stamp
from protocol.agreement.document import Agreement
from protocol.agreement.parties import Party
from protocol.errors import FedsegError, RuleError, SourceError, UsageError


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


def _wish_holds(faults: Sequence[SourceError | UsageError]) -> FedsegError:
    """What is wrong with files as one error, which says that a wish is in effect all the same."""
    message = "; ".join(fault.message for fault in faults)
    ways_out = "; ".join(dict.fromkeys(fault.remedy for fault in faults if fault.remedy))
    kind, code = (
        (type(faults[0]), faults[0].code) if len(faults) == 1 else (SourceError, "E-SEGMENT-FILE")
    )
    return kind(
        f"{message}. The wish is on record and holds all the same, from the next question on",
        code=code,
        remedy=f"{ways_out}; then call the command again, which finishes what is left",
    )


class Desk:
    """Where one node answers customers: its state, its register and the files that it wrote.

    Attributes:
        agreement: The one that the answers are about.
        register: Of requests and wishes, which hold under every agreement.
        pseudonyms: Those of the register.
        said_by: Those of feedback under `agreement`.
    """

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
        self.said_by = Pseudonyms.under(self.agreement.id, home.keys_folder, self.keystore)
        first = home.main().signed_agreement().agreement.id
        self.pseudonyms = Pseudonyms.under(first, home.keys_folder, self.keystore)

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

        What a killed process left unfinished is deleted first. Of a file that cannot be read it is
        not known whether it holds them: it is one that was changed.

        Raises:
            SourceError: What is unfinished cannot be deleted (E-SEGMENT-FILE).
        """
        left = PrivateFiles(self.store).sweep()
        _refuse_stuck(left)
        records = ExportRecords(self.store).by_path()
        found = {}
        for path, versions in records.items():
            try:
                found[path] = standing_in(versions, subjects)
            except SourceError:
                found[path] = InFile.CHANGED
        return _segment_files(found, left)

    def take_out_of_files(self, subjects: Set[str]) -> SegmentFiles:
        """Write every file again that lists one of some customers, without them.

        Their wishes are on record before, so errors say that these hold. What a killed process left
        unfinished is deleted first. A file that cannot be read or written does not keep customers
        in the others.

        Returns:
            Where they were listed, and files that are not where they were written.

        Raises:
            SourceError: A file cannot be read, or what is unfinished cannot be deleted
                (E-SEGMENT-FILE); all of them are named.
            UsageError: A file cannot be written (E-FILE).
        """
        found: dict[str, InFile] = {}
        faults: list[SourceError | UsageError] = []
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
        if faults:
            raise _wish_holds(faults) from faults[0]
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
            else self.register.receive(kind, pseudonym, received or self.now.date(), now=self.now)
        )
        receipt = self.receipt(self._request(number), effects, outcome)
        self.register.answer(number, receipt.to_dict(), self.now)
        return receipt

    def settle(self, requests: Iterable[Request], *, by: Receipt) -> None:
        """Close open requests that another one settled, inside a transaction."""
        effects = {"settled_by": {"kind": by.kind, "number": by.number}}
        for request in requests:
            receipt = self.receipt(request, effects, f"settled by request {by.number}")
            self.register.answer(request.number, receipt.to_dict(), self.now)

    def _request(self, number: int) -> Request:
        (request,) = [r for r in self.register.requests() if r.number == number]
        return request

    def receipt(self, request: Request, effects: Mapping[str, Any], outcome: str) -> Receipt:
        """The receipt for what became of a request."""
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
            known = all_releases(self.home)
        except RuleError:
            return ()
        return tuple(
            Remainder(
                release=one.short, received_at=one.received_at, privacy=one.release.privacy_words
            )
            for one in known
        )
