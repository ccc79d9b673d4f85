"""The page on which files of own customers' segments are asked for, and agreed to.

A file is written into the node's folder and is not handed to the browser: what a browser saves
would be a copy that neither retention nor a customer's objection reaches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from machine.accounts.roles import Permission, may
from machine.shown import Shown
from machine.web.site import Asked, Waits
from partner_node.four_eyes import First
from partner_node.home import NodeHome
from partner_node.segments.known_releases import KnownRelease, all_releases, chosen
from partner_node.segments.wishes import WishedFile, refuse_file, waiting_files
from partner_node.shown.four_eyes import waiting_files_shown, waits_shown
from partner_node.store.node_store import NodeStore
from protocol.errors import UsageError

_SUFFIXES: Final = (".csv", ".parquet")


class ExportPages:
    """The page of one node's folder.

    Args:
        newest: Gives the newest release of each agreement in force, by the agreement's id.
    """

    def __init__(
        self, home: NodeHome, store: NodeStore, newest: Callable[[], Mapping[str, KnownRelease]]
    ) -> None:
        self._home = home
        self._store = store
        self._newest = newest

    def waiting(self, asked: Asked) -> Shown:
        """The files that one person asked for and a second one has to."""
        return waiting_files_shown(waiting_files(self._store, self._home.people(), asked.now))

    def forms(self, asked: Asked) -> Mapping[str, Any]:
        """What may be asked for, and what may be agreed to, by this person."""
        role = asked.account.role
        newest = self._newest() if may(role, Permission.EXPORT_SEGMENTS) else {}
        return {
            "folder": str(self._home.config.node.output),
            "suffixes": [suffix.removeprefix(".") for suffix in _SUFFIXES],
            "releases": [
                {
                    "id": name,
                    "release": one.short,
                    "uses": one.agreement.results_use.allowed,
                    "segments": [
                        (identity, called.name)
                        for identity, called in zip(one.ids, one.calls, strict=True)
                    ],
                }
                for name, one in newest.items()
                if one.release.segments
            ],
            "open": [
                (wish.text, wish.digits, wish.words, first.who)
                for wish, first in waiting_files(self._store, self._home.people(), asked.now)
            ],
        }

    def write(self, asked: Asked) -> Shown | Waits:
        """As `segments export` of the newest release under an agreement, into the node's folder."""
        form = asked.form
        known = self._newest().get(form.get("id", ""))
        suffix = "." + form.get("form", "")
        if known is None or suffix not in _SUFFIXES:
            raise _no_form()
        segment = form.get("segment", "")
        wish = WishedFile(
            release=known.release.hash.hex(), use=form.get("use", ""),
            segment=known.ids[known.place_of(segment)] if segment else "",
            suffix=suffix, escape=form.get("escape") == "yes",
        )  # fmt: skip
        return self._written(wish, asked)

    def agree(self, asked: Asked) -> Shown | Waits:
        """The same file as the first person asked for."""
        about = asked.form.get("wish", "")
        said = [wish.text for wish, _ in waiting_files(self._store, self._home.people(), asked.now)]
        if about not in said:
            raise UsageError(
                "that file does not wait for a second person, or not any more", code="E-FORM",
                remedy="open the page again; after a week both have to ask anew",
            )  # fmt: skip
        return self._written(WishedFile.of(about), asked)

    def refuse(self, asked: Asked) -> str:
        """As `segments refuse`; one person is enough, also whoever asked."""
        refuse_file(self._store, self._home.people(), asked.form.get("file", ""), asked.now)
        return "/exports"

    def _written(self, wish: WishedFile, asked: Asked) -> Shown | Waits:
        from partner_node.segments.exports import export_segments  # Arrow takes long to import
        from partner_node.shown.exports import written_shown

        known = chosen(all_releases(self._home), wish.release)
        home = self._home.under(known.agreement.id)
        only = known.place_of(wish.segment) if wish.segment else None
        path = self._path(known, wish, asked)
        done = export_segments(
            home, known, path, use=wish.use, overwrite=False, only=only, escape=wish.escape,
            by=asked.account.name, now=asked.now,
        )  # fmt: skip
        if isinstance(done, First):
            return Waits(shows=waits_shown(done, f"No file is written yet: {wish.words}"))
        return written_shown(known, path, *done, use=wish.use, only=only)

    def _path(self, known: KnownRelease, wish: WishedFile, asked: Asked) -> Path:
        """A new name in the node's folder; nothing of it comes from the form."""
        which = f"-{wish.segment}" if wish.segment else ""
        at = f"{asked.now:%Y%m%dT%H%M%S%f}Z"
        return self._home.config.node.output / f"export-{known.short}{which}-{at}{wish.suffix}"


def _no_form() -> UsageError:
    return UsageError(
        "the form names no file that may be asked for", code="E-FORM", remedy="open the page again"
    )
