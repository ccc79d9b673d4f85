"""Names and sizes of the control plane's calls. SPEC.md, section 17.3."""

from __future__ import annotations

from typing import Final

from protocol import limits

SERVICE: Final = "fedseg.control.v1.Control"
GREET: Final = "Greet"
ENROL: Final = "Enrol"
STANDING: Final = "Standing"
RENEW: Final = "Renew"
PROPOSALS: Final = "Proposals"
PROPOSAL: Final = "Proposal"
SIGN: Final = "Sign"
DECLINE: Final = "Decline"
STOP: Final = "Stop"
STOPS: Final = "Stops"
READINESS: Final = "Readiness"
RELEASES: Final = "Releases"
RELEASE: Final = "Release"
ACKNOWLEDGE: Final = "Acknowledge"
BUILDS: Final = "Builds"
SIGN_BUILD: Final = "SignBuild"
DILIGENCE: Final = "Diligence"
HAND_OVER: Final = "HandOver"
HAND_OVERS: Final = "HandOvers"
AUTHORITIES: Final = "Authorities"
ANNOUNCEMENTS: Final = "Announcements"

#: Largest request.
MAX_REQUEST_BYTES: Final = 1 << 16
#: Largest reply: a release, as in a run.
MAX_REPLY_BYTES: Final = limits.MAX_REQUEST_BYTES
#: Most proposals that are kept and told.
MAX_PROPOSALS: Final = 20
#: Most letters of a comment.
MAX_COMMENT: Final = 500


def path(call: str) -> str:
    """The HTTP/2 path of a call.

    >>> path(GREET)
    '/fedseg.control.v1.Control/Greet'
    """
    return f"/{SERVICE}/{call}"
