"""Export of customers' segments to files: for an agreed use only, and each on record."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

from partner_node.customers.source_customers import SourceCustomers
from partner_node.four_eyes import Confirmations, First, needs_two
from partner_node.home import NodeHome
from partner_node.segments.assignments import AssignmentSummary, check_file, write_assignments
from partner_node.segments.export_records import ExportRecord, ExportRecords
from partner_node.segments.known_releases import KnownRelease
from partner_node.segments.private_files import Leftovers, PrivateFiles, located
from partner_node.segments.wishes import WishedFile
from partner_node.store.times import stamp
from partner_node.trained import check_trained
from protocol.agreement.document import Agreement
from protocol.agreement.governance import EXPORT
from protocol.errors import RuleError


def check_use(use: str, agreement: Agreement, installed: Agreement | None) -> None:
    """Refuse a use that the release's agreement, or its version in force now, does not allow.

    Args:
        installed: The agreement in force here; ignored unless it is a version of the release's.

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
    """Retention of a file: the shorter one of its release's agreement and the version in force."""
    days = [agreement.retention.assignments_days]
    if installed is not None and installed.id == agreement.id:
        days.append(installed.retention.assignments_days)
    return timedelta(days=min(days))


def own_customers(home: NodeHome, known: KnownRelease, now: datetime) -> SourceCustomers:
    """Own eligible customers, after the same checks as before every question.

    Raises:
        RuleError: A question under the agreement would be refused, too.
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
    only: int | None = None,
    escape: bool = False,
    by: str,
    now: datetime,
) -> tuple[AssignmentSummary, Leftovers] | First:
    """Write own eligible customers with their segments, and record the file.

    The record is made before the file appears: a node that is killed in between has a record of a
    missing file, never a file without a record. Eligibility is read while the lock on files is held
    that removing a customer from files needs too, so that nobody is missed who objects meanwhile.

    Where two people have to write a file the first one's word is kept, and no row is read; the file
    is written when a second person asks for the same: release, use, segment and form.

    Args:
        only, escape: As for `write_assignments`.
        by: Who writes it, as the log names them.

    Returns:
        What was written, and what earlier processes left; or that a second person has to ask too.

    Raises:
        RuleError: The use is not allowed (E-USE), the same person asks twice where two have to
            (E-FOUR-EYES), or lacks agreed training (E-TRAINING), before any row is read; or as
            `own_customers` and `partner_node.segments.assignments.write_assignments` say.
        UsageError: The file may not be written there.
    """
    check_use(use, known.agreement, home.installed_agreement())
    known.need_segments()
    check_file(path, overwrite=overwrite)
    asked = WishedFile(
        release=known.release.hash.hex(), use=use,
        segment="" if only is None else known.ids[only],
        suffix=path.suffix, escape=escape,
    )  # fmt: skip
    with closing(home.store(home.keystore())) as store:
        for one in (known.agreement, home.installed_agreement()):
            if one is not None:
                check_trained(store, one, by, now)
        if needs_two(store, EXPORT, known.agreement, home.installed_agreement()):
            with store.transaction():
                joined = Confirmations(store, home.people()).join(
                    EXPORT, asked.text, by=by, now=now, what=f"a file for {use}"
                )
            if isinstance(joined, First):
                return joined
            by = joined
        customers = own_customers(home, known, now)
        place = located(path)

        def record(summary: AssignmentSummary) -> None:
            kept_for = _kept_for(known.agreement, home.installed_agreement())
            with store.transaction():
                ExportRecords(store).add(
                    ExportRecord(
                        at=stamp(now),
                        release=known.release.hash,
                        use=use,
                        path=str(place),
                        n_rows=summary.customers,
                        sha256=summary.sha256,
                        segment=asked.segment,
                        written_by=by,
                        delete_by=stamp(now + kept_for),
                    )
                )
                Confirmations(store, home.people()).forget(EXPORT, asked.text)

        with PrivateFiles(store).held() as files:
            summary = write_assignments(
                customers,
                known,
                path,
                files=files,
                overwrite=overwrite,
                only=only,
                escape=escape,
                record=record,
            )
            return summary, files.left
