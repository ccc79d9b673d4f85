"""Preflight checks of everything that a run will need. Nothing of customers leaves the node."""

from __future__ import annotations

import ssl
import stat
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from importlib import metadata, resources
from pathlib import Path
from typing import Any, Final

from cryptography import x509

from machine.files import open_regular
from machine.software import owners_of_packages, require_sole_owner
from machine.text import are, how_many
from partner_node.agreement_files import (
    missing_signatures,
    naming,
    own_place,
    read_agreement,
    verified,
)
from partner_node.budget import bound_words
from partner_node.columns.agreed import check_features
from partner_node.consent.count import check_number, count_now, leaves_out, refuse_nobody
from partner_node.consent.words import strangers
from partner_node.home import NodeHome
from partner_node.link.certificates import authority_ends_soon, ends_soon
from partner_node.link.proxy import way_to
from partner_node.link.trouble import ProxyAnswerError, of_failure
from partner_node.link.tunnel import secured
from partner_node.notices.published import Publications
from partner_node.notices.telling import standing_words
from partner_node.segments.export_records import ExportRecords
from partner_node.segments.retention import overdue
from partner_node.sources.kinds import open_source
from partner_node.sources.source import numbers
from partner_node.store.builds import AcceptedBuilds
from partner_node.store.ledger import Ledger
from protocol.agreement.document import Agreement
from protocol.agreement.parties import Party
from protocol.agreement.software import Software
from protocol.clustering.plan import most_cost
from protocol.errors import (
    AgreementError,
    FedsegError,
    RuleError,
    TransportError,
)
from protocol.percents import percent_words
from protocol.privacy.ledger import runs_left
from protocol.privacy.words import fuel
from protocol.release.document import SignedRelease
from protocol.release.last import begins_at

_CONNECT_TIMEOUT_S: Final = 5.0
#: Tries the control port at a time; adds what is no problem to a list, and says what it found.
ControlCheck = Callable[[NodeHome, datetime, list[str]], str]
#: What a check calls trouble that the log of a serving node names otherwise.
_CODES: Final = {"E-LINK-TLS": "E-TLS", "E-LINK-AWAY": "E-TRANSPORT"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing that was tried.

    Attributes:
        name: What was tried.
        of: Of which agreement, in words, where several are in force.
        details: What was found.
        problem: Why it does not work; None when it does.
        warnings: What does not forbid a run and is hardly meant.
        agreement: The id of the agreement that it is about; None for all, or before the first.
    """

    name: str
    details: str
    problem: FedsegError | None = None
    warnings: tuple[str, ...] = ()
    agreement: str | None = None
    of: str = ""

    @property
    def title(self) -> str:
        """What was tried, and of which agreement where several are in force."""
        return f"{self.name}{self.of}"

    @property
    def passed(self) -> bool:
        """Whether the check passed."""
        return self.problem is None

    def to_dict(self) -> dict[str, Any]:
        """The item as JSON values."""
        values: dict[str, Any] = {
            "check": self.title,
            "passed": self.passed,
            "details": self.details,
            "agreement": self.agreement,
            "warnings": list(self.warnings),
        }
        if self.problem is not None:
            values |= {"code": self.problem.code, "remedy": self.problem.remedy}
        return values


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Results of all checks, in order; a check that needs a failed one is left out."""

    items: tuple[Item, ...]

    @property
    def passed(self) -> bool:
        """Whether all checks passed."""
        return all(item.passed for item in self.items)

    def about(self, agreement_id: str) -> Report:
        """What is about one agreement, or about all."""
        return Report(items=tuple(i for i in self.items if i.agreement in (None, agreement_id)))


def preflight(
    directory: Path,
    *,
    now: datetime,
    agreement_file: Path | None = None,
    connect: bool = True,
    control: ControlCheck | None = None,
) -> Report:
    """Check configuration, keys, agreements, data and connection of a node's folder.

    Each agreement in force is checked; where they are several, the items' names say which one.

    Args:
        agreement_file: An agreement, signed or not, to check instead of the installed one.
        connect: Whether to connect to the coordinator.
        control: Tries the control port of a node that joined by invitation; it is not tried if
            None.
    """
    items: list[Item] = []

    def attempt(
        name: str,
        action: Callable[[], str],
        warnings: Sequence[str] = (),
        about: str | None = None,
        of: str = "",
    ) -> bool:
        found = Item(name=name, details="", agreement=about, of=of)
        try:
            details = action()
            items.append(replace(found, details=details, warnings=tuple(warnings)))
        except FedsegError as error:
            items.append(replace(found, details=error.message, problem=error))
        return items[-1].passed

    def installed() -> str:
        require_sole_owner(owners_of_packages())
        return f"fedseg {Software.installed(metadata.version, resources.files).version}"

    attempt("installation", installed)
    loaded: list[NodeHome] = []

    def load() -> str:
        loaded.append(NodeHome.load(directory))
        return f"{loaded[0].config.file.name} of partner {loaded[0].config.node.partner}"

    if not attempt("configuration", load):
        return Report(items=tuple(items))
    home = loaded[0]
    loose = _open_to_others(home)
    opened = attempt("keys and state", lambda: _check_keys(home), loose)
    try:
        places = _places(home, agreement_file)
    except AgreementError as error:
        items.append(Item(name="agreement", details=error.message, problem=error))
        places = ()
    if opened:
        attempt("retention", lambda: _check_retention(home, now))
        attempt("receipts", lambda: _receipts_words(home))
    for place in places:
        _check_under(place, agreement_file, opened, now, attempt, several=len(places) > 1)
    if connect:
        ends: list[str] = authority_ends_soon(home.config.coordinator.root_certificates, now)
        attempt("coordinator", lambda: _check_connection(home, now, ends), ends)
    if control is not None and home.config.coordinator.control is not None:
        heeded: list[str] = []
        attempt("control port", lambda: control(home, now, heeded), heeded)
    return Report(items=tuple(items))


def _places(home: NodeHome, file: Path | None) -> tuple[NodeHome, ...]:
    """The places of agreements that are checked; raises AgreementError (E-AGR-TWICE)."""
    if file is None:
        home.in_force()
        return home.filled()
    try:
        return (home.under(read_agreement(file).agreement.id),)
    except AgreementError:
        return (home.main(),)


def _check_under(
    home: NodeHome,
    file: Path | None,
    opened: bool,
    now: datetime,
    attempt: Callable[[str, Callable[[], str], Sequence[str], str | None, str], bool],
    *,
    several: bool,
) -> None:
    """Check what a run under one agreement needs.

    Args:
        home: The agreement's place.
        opened: Whether keys and state are open.
    """
    agreement = _agreement_at_hand(home, file)
    of = ""
    if several:
        of = f" of {home.config.node.agreement.name if agreement is None else agreement.id}"
    # What cannot be read is about no agreement, and keeps none of the others from a run.
    unread = (home.section or "[node]") if several else None
    about = unread if agreement is None else agreement.id
    if opened:
        attempt("agreement", lambda: _check_agreement(home, now, file), (), about, of)
    if agreement is None:
        attempt("data", lambda: _check_data_alone(home), (), about, of)
        return
    party = {p.id: p for p in agreement.parties}.get(home.config.node.partner)
    sound = attempt("data", lambda: _check_data(home, agreement), (), about, of)
    if sound and opened and party is not None:
        warnings: list[str] = []
        attempt(
            "consent",
            lambda: _check_consent(home, agreement, party, now, warnings),
            warnings,
            about,
            of,
        )
    if opened:
        attempt("budget", lambda: _check_budget(home, agreement), (), about, of)


def _agreement_at_hand(home: NodeHome, file: Path | None) -> Agreement | None:
    """The agreement whose features the data must have, signed or not; None without one."""
    if file is None:
        return home.installed_agreement()
    try:
        return read_agreement(file).agreement
    except AgreementError:
        return None


def _open_to_others(home: NodeHome) -> list[str]:
    """What other accounts of this machine may read or change, with the way out."""
    warnings = []
    for path, forbidden in (
        (home.directory, 0o077),
        (home.config.node.state, 0o077),
        (home.config.file, 0o022),
    ):
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0
        if mode & forbidden:
            warnings.append(
                f"{path} is open to other accounts (mode {mode:04o}): "
                f"chmod {mode & ~forbidden:04o} {path}"
            )
    return warnings


def _check_keys(home: NodeHome) -> str:
    store = home.store(home.keystore())
    store.check()
    store.close()
    return "keys open, state is sound"


def _check_agreement(home: NodeHome, now: datetime, offered: Path | None) -> str:
    file = offered or home.config.node.agreement
    signed = home.signed_agreement() if offered is None else home.with_keys(read_agreement(offered))
    agreement, missing = signed.agreement, missing_signatures(signed, file)
    if offered is None:
        verified(signed, file)
    with naming(file):
        if home.config.node.partner in (party.id for party in missing):
            own_place(signed, home.keystore().identity_public)  # whether it can be signed
        # One that is offered may be meant for later; one in force has to hold now.
        _check_terms(home, agreement, now if offered is None else max(now, agreement.effective))
    text = f"{agreement.id}, version {agreement.version}"
    until = f"until {agreement.expires:%Y-%m-%d}"
    if not missing:
        text += f", signed by all {agreement.n_partners} parties, {until}"
    else:
        text += f", not signed yet by {', '.join(party.id for party in missing)}, {until}"
    there = home.installed_agreement()
    if offered is not None and (there is None or there.hash != agreement.hash):
        text += "; not installed here yet"
    return text


def _check_terms(home: NodeHome, agreement: Agreement, now: datetime) -> None:
    party = agreement.parties[agreement.index_of_key(home.keystore().identity_public)]
    if party.id != home.config.node.partner:
        raise AgreementError(
            f"the agreement calls this node {party.id!r}, its configuration "
            f"{home.config.node.partner!r}",
            code="E-AGR-PARTY",
            remedy=f'write partner = "{party.id}" in {home.config.file.name}',
        )
    agreement.check_time(now)
    agreement.check_review(now)
    store = home.store(home.keystore())
    stop, latest = store.stop_of(agreement.hash), store.latest_moment(agreement.hash)
    builds = AcceptedBuilds(store).allowed(agreement)
    store.close()
    agreement.check_clock(now, latest=latest)
    if stop is not None:
        raise stop.refusal(agreement)
    agreement.check_software(
        Software.installed(metadata.version, resources.files), added=lambda: builds
    )


def _check_data_alone(home: NodeHome) -> str:
    """Check what needs no agreement: ids, and the configured columns."""
    data = home.config.data
    columns = tuple(dict.fromkeys(data.columns.values()))
    source = open_source(data, home.config.limits)
    customers = sum(
        chunk.n_rows for chunk in source.chunks(numbers(*columns), max_rows=data.chunk_rows)
    )
    return (
        f"{how_many(customers, 'customer')}; columns: {', '.join(source.columns())}; whether they "
        "are the agreed features is checked with an agreement: check --agreement FILE"
    )


def _check_data(home: NodeHome, agreement: Agreement) -> str:
    data = home.config.data
    check_features(agreement, columns=data.columns, units=data.units)
    reports = home.customers(agreement, None).report()
    customers = reports[0].customers
    clipped = ", ".join(
        f"{r.feature} {percent_words(r.clipped_share)}" for r in reports if r.clipped_share > 0
    )
    whole = " with all values that the agreement needs" if leaves_out(agreement) else ""
    return (
        f"{how_many(customers, 'customer')}{whole}; beyond the agreed bounds: {clipped or 'none'}"
    )


def _check_retention(home: NodeHome, now: datetime) -> str:
    """Check for files of customers' segments past their retention; deletes nothing."""
    store = home.store(home.keystore())
    records = ExportRecords(store).all()
    store.close()
    late = sorted({record.path for record in overdue(records, now)})
    n_files = len({record.path for record in records})
    text = f"{how_many(n_files, 'file')} of customers' segments {are(n_files)} on record"
    if late:
        text += "; the next run deletes, because they may not be kept longer: " + ", ".join(late)
    return text


def _receipts_words(home: NodeHome) -> str:
    if home.config.receipts.keep:
        return "who was counted in which answer is kept, under a keyed hash"
    return (
        "who was counted is NOT kept ([receipts] keep = false): no customer can be shown from when "
        "on it was not counted"
    )


def _check_budget(home: NodeHome, agreement: Agreement) -> str:
    """Check whether budget and cap cover the next run, and how many the budget still holds."""
    with closing(home.store(home.keystore())) as store:
        ledger = Ledger(store)
        ledger.refuse_exact(agreement)
        terms = agreement.privacy
        if terms is None:
            return "exact totals, which no budget limits"
        spent, charges = ledger.spent(agreement), ledger.charges(agreement.id)
        last = store.last_release(store.chain(agreement))
        release = None if last is None else SignedRelease.from_bytes(last).release
        cost = most_cost(agreement, follows=begins_at(agreement, release) is not None)
        if not runs_left(terms, spent=spent, cost=cost):
            raise RuleError(
                f"the privacy budget of agreement {agreement.id} holds no further run",
                code="E-BUDGET-SPENT",
                remedy="`fedseg-node budget show` lists every charge; more runs need a new version "
                "of the agreement",
            )
        ledger.check_cap(more=terms.reserve_for(cost))
    return ". ".join([fuel(terms, spent=spent), *(w[:-1] for w in bound_words(charges))])


def _check_consent(
    home: NodeHome, agreement: Agreement, party: Party, now: datetime, warnings: list[str]
) -> str:
    """Purpose, notice, basis, and whether as many customers are counted now as agreed."""
    home.rules(agreement, party).check(now)
    gate = home.gate(agreement, party)
    count = count_now(home.customers(agreement, None), gate, agreement, now)
    refuse_nobody(count.standing)
    check_number(count.customers, agreement, party)
    warnings += strangers(gate, count.standing)
    listed = "; ".join(
        f"{found:,} of {named:,} ids in {table.name} are in the data"
        for table, (named, found) in zip(gate.tables, count.standing.listed, strict=True)
    )
    left_out = (
        f"; {count.left_out:,} {are(count.left_out)} left out as agreed, for lack of a value"
        if count.left_out
        else ""
    )
    everybody = count.standing.counted.total()
    return (
        f"{count.customers:,} of {how_many(everybody, 'customer')} {are(everybody)} counted now, "
        f"on the basis of {party.legal_basis.words}{left_out}; {listed}; "
        f"{_notice_words(home, agreement)}"
    )


def _notice_words(home: NodeHome, agreement: Agreement) -> str:
    """Whether the agreed notice is the one that was published here, or is taken on trust."""
    with closing(home.store(home.keystore())) as store:
        return standing_words(agreement, Publications(store).under(agreement.id))


def _check_connection(home: NodeHome, now: datetime, warnings: list[str]) -> str:
    """Connect to the coordinator; adds a warning if its certificate ends soon."""
    address = home.config.coordinator.address
    authority = home.config.coordinator.root_certificates
    try:
        open_regular(authority).close()  # OpenSSL would block on a pipe
        context = ssl.create_default_context(cafile=authority)
    except OSError as error:  # also if it is not a certificate
        raise TransportError(
            f"the coordinator's authority {authority} cannot be read: "
            f"{error.strerror or 'it is no PEM certificate'}",
            code="E-TLS",
            remedy="ask the operator for the authority's certificate; its place is "
            "root_certificates in node.toml",
        ) from error
    proxy = way_to(address, home.config.coordinator.proxy)
    by = "directly" if proxy is None else f"through {proxy.words}"
    try:
        with secured(address, context, proxy, timeout_s=_CONNECT_TIMEOUT_S) as connection:
            shown = connection.getpeercert(binary_form=True)
            if shown is not None:
                end = x509.load_der_x509_certificate(shown).not_valid_after_utc
                warnings += ends_soon(f"the certificate of {address}", end, now)
            return f"{address} answers {by}, with {connection.version()} and the right certificate"
    except OSError as error:  # also what is wrong with TLS
        trouble = of_failure(error, through_proxy=proxy is not None)
        raise TransportError(
            f"{address} cannot be reached {by}: {trouble.words}"
            + ("" if isinstance(error, ssl.SSLError | ProxyAnswerError) else f" ({error})"),
            code=_CODES.get(trouble.code, trouble.code),
            remedy=trouble.way_out,
        ) from error
