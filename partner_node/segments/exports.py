"""Files of customers' segments: for an agreed use only, and each on record."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

from partner_node.customers.source_customers import SourceCustomers
from partner_node.home import NodeHome
from partner_node.segments.assignments import AssignmentSummary, check_file, write_assignments
from partner_node.segments.known_releases import KnownRelease
from partner_node.segments.private_files import Leftovers, PrivateFiles, located
from partner_node.store.records import ExportRecord
from partner_node.store.times import stamp
from protocol.agreement.document import Agreement
from protocol.errors import RuleError


def check_use(use: str, agreement: Agreement, installed: Agreement | None) -> None:
    """Refuse a use that is not allowed by the release's agreement, and by its version in force now.

    Args:
        installed: The agreement in force here; another one than the release's has no say.

    Raises:
        RuleError: E-USE.
    """
    versions = [agreement]
    if installed is not None and installed.id == agreement.id:
        versions.append(installed)
    for version in versions:
        uses = version.results_use
        if use in uses.forbidden or use not in uses.allowed:
            how = "forbids" if use in uses.forbidden else "does not allow"
            raise RuleError(
                f"agreement {version.id!r}, version {version.version}, {how} to use segments for "
                f"{use!r}",
                code="E-USE",
                remedy=f"allowed uses are {', '.join(uses.allowed)}; another one needs a new "
                "version of the agreement that all parties sign",
            )


def _kept_for(agreement: Agreement, installed: Agreement | None) -> timedelta:
    """How long a file may be kept: as its release's agreement says, or its version in force."""
    days = [agreement.retention.assignments_days]
    if installed is not None and installed.id == agreement.id:
        days.append(installed.retention.assignments_days)
    return timedelta(days=min(days))


def own_customers(home: NodeHome, known: KnownRelease, now: datetime) -> SourceCustomers:
    """Own customers who may be counted now; the rules of every question are checked first.

    Raises:
        RuleError: What a question under the agreement would be refused for, too.
        SourceError: The data or a consent source cannot be read.
    """
    party = home.party(known.agreement)
    home.rules(known.agreement, party).check(now)
    return home.customers(known.agreement, home.gate(known.agreement, party))


def export_segments(
    home: NodeHome,
    known: KnownRelease,
    path: Path,
    *,
    use: str,
    overwrite: bool,
    now: datetime,
) -> tuple[AssignmentSummary, Leftovers]:
    """Write own customers who may be counted now with their segments, and put it on record.

    The record is made before the file appears: a node that is killed in between has a record of a
    file that is not there, never a file without a record. Who may be counted is asked while no
    customer can be taken out of files, so that nobody is forgotten who objects meanwhile.

    Returns:
        What was written, and what is left of earlier files.

    Raises:
        RuleError: The use is not allowed (E-USE), before any row is read; or as `own_customers`
            and `partner_node.segments.assignments.write_assignments` say.
        UsageError: The file may not be written there.
    """
    check_use(use, known.agreement, home.installed_agreement())
    known.need_segments()
    check_file(path, overwrite=overwrite)
    customers = own_customers(home, known, now)
    store = home.store(home.keystore())
    place = located(path)

    def record(summary: AssignmentSummary) -> None:
        with store.transaction():
            store.save_export(
                ExportRecord(
                    at=stamp(now),
                    release=known.release.hash,
                    use=use,
                    path=str(place),
                    n_rows=summary.customers,
                    sha256=summary.sha256,
                    delete_by=stamp(now + _kept_for(known.agreement, home.installed_agreement())),
                )
            )

    with closing(store), PrivateFiles(store).held() as files:
        summary = write_assignments(
            customers, known, path, files=files, overwrite=overwrite, record=record
        )
        return summary, files.left
