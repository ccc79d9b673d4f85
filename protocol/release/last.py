"""The last release under an agreement, from which a run starts. SPEC.md, 10.6.

Both sides must start from the same one: the coordinator sends it with OPEN, and its hash is part of
the run's. A partner that holds a release accepts none of an earlier run; one that it never received
counts when every participant signed it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from protocol.agreement.document import Agreement
from protocol.clustering.followed import Followed
from protocol.clustering.result import least_size
from protocol.errors import RemoteProtocolError, RuleError
from protocol.participants import Chain
from protocol.release.document import Release, SignedRelease


def begins_at(agreement: Agreement, release: Release | None) -> Followed | None:
    """What a run starts from; None when it starts anew.

    Args:
        release: The last one under the agreement; None when there is none.
    """
    if release is None or agreement.plan.start or not release.segments:
        return None
    if release.start is not None and release.start.changed:
        return None
    sigmas = np.array([s.size_sigma for s in release.segments], dtype=np.int64)
    left_out = 0 if release.withheld is None else release.withheld.clusters
    followed = Followed(
        release=release.hash,
        centres=release.centres,
        sizes=np.array([s.size for s in release.segments], dtype=np.int64),
        sigmas=sigmas,
        centre_sigmas=np.array([s.centre_sigma for s in release.segments], dtype=np.int64),
        uncounted=left_out * least_size(agreement.min_segment_size, int(sigmas.max())),
    )
    found = release.distance
    if agreement.privacy is None or found is None:
        return followed if agreement.privacy is None else None
    return replace(followed, mean=found.mean, sigma=found.sigma, radius=found.radius)


def taken_start(
    envelope: bytes, agreement: Agreement, *, chain: Chain, last: Release | None
) -> Release | None:
    """The release that an OPEN names as the last one, checked; None when it names none.

    Args:
        envelope: What the OPEN carries; empty when the run is to start anew.
        chain: The participant sets that this partner knows: all up to the last that it signed.
        last: The last release that it received.

    Raises:
        RemoteProtocolError: The release is not as agreed or not signed by all of its participants
            (E-RELEASE), or no run may start so (E-RUN-START).
    """
    if not envelope:
        if last is not None and not agreement.plan.start:
            raise _not_to_start(f"no release is named, this node holds {_named(last)}")
        return None
    if agreement.plan.start:
        raise _not_to_start("every run is agreed to start anew, and a release is named")
    try:
        release = SignedRelease.from_bytes(envelope).verify(agreement)
    except RuleError as error:
        raise RemoteProtocolError(error.message, code=error.code) from error
    # A run that this partner has no set of went without it, after the last one that it knows.
    places = {link.run_hash: place for place, link in enumerate(chain.links)}
    place = places.get(release.run_hash, len(places))
    if last is not None and place < places.get(last.run_hash, 0):
        raise _not_to_start(f"{_named(release)} is older than {_named(last)}, which it holds")
    return release


def _not_to_start(why: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"the run does not start from the last release: {why}",
        code="E-RUN-START",
        remedy="the coordinator lacks that release: it has to restore its folder from a backup "
        "that has it; or every party signs a new version of the agreement",
    )


def _named(release: Release) -> str:
    return f"release {release.hash.hex()[:16]}"
