"""The releases stored at a node, each verified again, with the stable ids of segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from partner_node.home import NodeHome
from protocol.agreement.document import Agreement
from protocol.errors import RuleError, UsageError
from protocol.release.document import Release, SignedRelease
from protocol.release.lineage import Step, lineage
from protocol.release.personas import Called, release_calls
from protocol.release.view import ReleaseView, release_view

#: Fewest hexadecimal digits by which a release can be named.
LEAST_DIGITS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRelease:
    """A release stored at this node.

    Attributes:
        received_at: The stored time of its receipt.
        agreement: The version that it was made under, which may be an earlier one.
        step: The ids of its segments, and the fate of those before it.
        history: Steps of all releases under versions of that agreement, oldest first.
        data_words: That this node's data changed within its run; empty when they did not.
    """

    received_at: str
    release: Release
    agreement: Agreement
    step: Step
    history: tuple[Step, ...]
    data_words: str = ""

    @property
    def ids(self) -> tuple[str, ...]:
        """The segments' ids, in the release's order."""
        return self.step.ids

    @property
    def calls(self) -> list[Called]:
        """The segments' names and suggested uses, in the release's order."""
        return release_calls(self.agreement, self.release)

    @property
    def view(self) -> ReleaseView:
        """The view of the release."""
        return release_view(self.release, self.agreement, self.step)

    @property
    def short(self) -> str:
        """The first digits of the hash, as shown in files and tables."""
        return self.release.hash.hex()[:16]

    def place_of(self, segment: str) -> int:
        """The place of a segment that is named by its id, the id's number, or its name.

        Raises:
            UsageError: There is no such segment, or the name is that of several.
        """
        wanted = segment.strip().casefold()
        names = [called.name for called in self.calls]
        found = [
            place
            for place, (identity, name) in enumerate(zip(self.ids, names, strict=True))
            if wanted in (identity.casefold(), identity[1:], name.casefold())
        ]
        if len(found) != 1:
            known = (f"{i}, {name!r}" for i, name in zip(self.ids, names, strict=True))
            raise UsageError(
                f"release {self.short} has {'several segments' if found else 'no segment'} "
                f"{segment!r}",
                remedy=f"it has {'; '.join(known)}",
            )
        return found[0]

    def need_segments(self) -> None:
        """Refuse a release without segments (E-NO-SEGMENTS)."""
        if not self.release.segments:
            raise RuleError(
                f"release {self.short} has no segments to assign to",
                code="E-NO-SEGMENTS",
                remedy="`fedseg-node segments list` says why they are withheld",
            )


def known_releases(home: NodeHome) -> list[KnownRelease]:
    """The releases of agreements that `home` is the place of, newest first.

    Those of the agreement in force come before those of others that were there: what is shown of
    an agreement is its own newest release, whatever another came to since.

    Raises:
        RuleError: There is none (E-NO-RELEASE), or one does not verify (E-RELEASE).
    """
    found = [one for one in all_releases(home) if home.has_place_for(one.agreement.id)]
    if not found:
        raise _no_release()
    here = home.installed_agreement()
    return found if here is None else sorted(found, key=lambda one: one.agreement.id != here.id)


def all_releases(home: NodeHome) -> list[KnownRelease]:
    """The releases under every agreement, newest first; raises RuleError as `known_releases`."""
    store = home.store(home.keystore())
    found: list[tuple[str, Release, Agreement]] = []
    for received_at, envelope in store.releases():
        signed = SignedRelease.from_bytes(envelope)
        # The agreement may be over: it says what was agreed, under the keys of its time.
        kept = store.agreement(signed.release.agreement_hash) or home.main().signed_agreement()
        agreement = home.with_fitting_keys(kept).verify()
        found.append((received_at, signed.verify(agreement), agreement))
    changed = {run.run_hash: run.data_words for run in store.runs() if run.data_words}
    store.close()
    if not found:
        raise _no_release()
    histories = {
        identity: lineage([(r, a) for _, r, a in reversed(found) if a.id == identity])
        for identity in {agreement.id for _, _, agreement in found}
    }
    steps = {step.release: step for history in histories.values() for step in history}
    return [
        KnownRelease(
            received_at=received_at,
            release=release,
            agreement=agreement,
            step=steps[release.hash],
            history=histories[agreement.id],
            data_words=changed.get(release.run_hash, ""),
        )
        for received_at, release, agreement in found
    ]


def _no_release() -> RuleError:
    return RuleError(
        "this node has received no release yet",
        code="E-NO-RELEASE",
        remedy="a run must finish first; see `fedseg-node status`",
    )


def place_of_release(home: NodeHome, under: str | None, start: str | None) -> NodeHome:
    """The place of the agreement that a command about a release is about.

    Args:
        under: The agreement's id, if it was named.
        start: How the release's hash begins, if it was named.

    Raises:
        UsageError: It cannot be told which agreement is meant.
        RuleError: As `known_releases`.
    """
    if under is None and start is not None:
        return home.under(chosen(all_releases(home), start).agreement.id)
    return home.chosen(under)


def chosen(known: Sequence[KnownRelease], start: str | None) -> KnownRelease:
    """The release whose hash begins with `start`, by default the newest.

    Raises:
        UsageError: No release or several match.
    """
    if start is None:
        return known[0]
    begun = start.strip().lower()
    found = [
        k for k in known if len(begun) >= LEAST_DIGITS and k.release.hash.hex().startswith(begun)
    ]
    if len(found) == 1:
        return found[0]
    raise UsageError(
        f"{len(found) or 'no'} releases of this node have a hash that begins with {start!r}",
        remedy=f"give {LEAST_DIGITS} digits or more of a hash that `fedseg-node segments releases` "
        "shows",
    )
