"""`release list` and `release show`: released segments."""

from __future__ import annotations

from coordinator.report.released import release_table, views_in
from coordinator.store.coordinator_store import CoordinatorStore
from machine.shown import Shown
from machine.tables import Table
from machine.text import minute, short
from protocol.privacy.accounting import epsilon_text
from protocol.release.document import Release
from protocol.release.view import ReleaseView


def releases_shown(store: CoordinatorStore) -> Shown:
    """All releases, newest first."""
    table = Table(title="Releases, newest first")
    table.add_column("run", no_wrap=True)
    table.add_column("agreement", overflow="fold")
    table.add_column("segments", justify="right")
    table.add_column("partners", justify="right")
    views = views_in(store)
    with_noise = any(view.release.privacy is not None for _, _, view in views)
    if with_noise:
        table.add_column("epsilon", justify="right")
    table.add_column("released", no_wrap=True)
    releases = []
    privacy = set()
    for run_id, released_at, view in views:
        release = view.release
        privacy.add(release.privacy_words)
        releases.append(
            {
                **view.named(),
                "run_id": run_id.hex(),
                "released_at": released_at,
                "segments": list(view.ids),
                "epsilon": None if release.privacy is None else release.privacy.epsilon,
            }
        )
        table.add_row(
            short(run_id),
            release.agreement_id,
            str(len(release.segments)),
            str(len(release.participants)),
            *([_epsilon_cell(release)] if with_noise else []),
            minute(released_at),
        )
    return Shown(
        values={"releases": releases},
        parts=[table, *(f"Privacy: {words}." for words in sorted(privacy))]
        if releases
        else ["No run has ended with a release yet."],
    )


def _epsilon_cell(release: Release) -> str:
    return "none" if release.privacy is None else epsilon_text(release.privacy.epsilon)


def release_shown(view: ReleaseView, *, width: int | None = None) -> Shown:
    """A release's segments: sizes, and centres in the features' units.

    Args:
        width: Characters of a line, by default the terminal's.
    """
    return Shown(values=view.to_dict(), parts=release_table(view, width=width))
