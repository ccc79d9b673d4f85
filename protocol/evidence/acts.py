"""Facts of what happened: entries of the audit log, the ledger, requests, files, releases."""

from __future__ import annotations

from protocol.evidence.document import Grid, Value
from protocol.evidence.forms import text
from protocol.evidence.looking import NODE, Look
from protocol.log import entries as kinds
from protocol.privacy.words import counted


def signed(look: Look) -> Value:
    """When this node signed, and who did."""
    found = look.entries(kinds.AGREEMENT_SIGNED)
    by = found.last.about.get("by") or "somebody without an account here"
    return text(f"Signed at this node on {_day(found.last.at)} by {by}.")


def signatures(look: Look) -> Value:
    """Whose signatures the agreement has here."""
    have = look.record("signatures")
    missing = [who for who, signed_it in have.items() if not signed_it]
    return text(
        f"Signed by {', '.join(who for who, signed_it in have.items() if signed_it) or 'nobody'}"
        + (f"; not by {', '.join(missing)}." if missing else "; that is every party.")
    )


def questions(look: Look) -> Value:
    """How often customers' data were asked, each charged before a row was read."""
    begun = look.entries(kinds.BEGUN)
    found = look.entries_if_any(kinds.QUESTION)
    if found is None:
        return text(f"None under this agreement since the log began on {_day(begun.first.at)}.")
    return text(
        f"{counted(found.count, 'question')} charged under this agreement between "
        f"{_day(found.first.at)} and {_day(found.last.at)}, each before a row was read for it."
    )


def left(look: Look) -> Value:
    """What left this node."""
    begun = look.entries(kinds.BEGUN)
    found = look.entries_if_any(kinds.LEFT)
    if found is None:
        return text(f"Nothing since the log began on {_day(begun.first.at)}.")
    return text(
        f"{counted(found.count, 'message')} left between {_day(found.first.at)} and "
        f"{_day(found.last.at)}, under all agreements of this node; the last has SHA-256 "
        f"{found.last.about.get('sha256')}. Each has a manifest that people read: what it says, "
        "under which mask and noise, and to whom."
    )


def refusals(look: Look) -> Value:
    """What this node refused, which may be nothing."""
    begun = look.entries(kinds.BEGUN)
    found = look.entries_if_any(kinds.REFUSED)
    if found is None:
        return text(f"None since the log began on {_day(begun.first.at)}.")
    return text(
        f"{counted(found.count, 'request')} refused, under all agreements of this node, the last "
        f"on {_day(found.last.at)} ({found.last.about.get('code')})."
    )


def budget(look: Look) -> Value:
    """What was spent of the privacy budget."""
    return text(str(look.record("ledger")))


def requests(look: Look) -> Value:
    """Customers' requests by right, and how many were answered in time."""
    rows = tuple(
        (row["right"], str(row["received"]), str(row["in_time"]), str(row["late"]),
         str(row["open"]), str(row["overdue"]))
        for row in look.record("requests")["by_right"]
    )  # fmt: skip
    days = look.clause("retention.records_days")
    if not rows:
        return text(f"No customer asked for anything in the last {counted(days, 'day')}.")
    headers = ("Right", "Received", "Answered in time", "Late", "Open", "Overdue")
    return Value(
        paragraphs=(f"On record, for {counted(days, 'day')}:",),
        grid=Grid(headers=headers, rows=rows),
    )


def releases(look: Look) -> Value:
    """How many releases this node received, from when until when."""
    begun = look.entries(kinds.BEGUN)
    found = look.entries_if_any(kinds.RELEASE)
    if found is None:
        return text(f"None under this version since the log began on {_day(begun.first.at)}.")
    return text(
        f"{counted(found.count, 'release')} under this version, the first on "
        f"{_day(found.first.at)}, the last on {_day(found.last.at)}."
    )


def first_release(look: Look) -> Value:
    """The day of the first release."""
    if look.side == NODE:
        return text(_day(look.entries(kinds.RELEASE).first.at))
    return text(_day(look.record("releases")["first"]))


def deletions(look: Look) -> Value:
    """When files of segments were deleted last."""
    found = look.record("deletions")
    written, deleted = found["written"], found["deleted"]
    said = f"{counted(written, 'file')} of customers' segments written, {deleted} deleted"
    return text(said + (f", the last on {_day(found['last'])}." if found["last"] else "."))


def runs(look: Look) -> Value:
    """The coordinator's runs."""
    found = look.record("runs")
    return text(
        f"{counted(found['finished'], 'run')} ended with a release, {found['failed']} without; "
        f"{found['open']} under way."
    )


def _day(at: str) -> str:
    return at[:10]
