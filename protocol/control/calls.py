"""Names and sizes of the control plane's calls. SPEC.md, section 17.3."""

from __future__ import annotations

from typing import Final

SERVICE: Final = "fedseg.control.v1.Control"
GREET: Final = "Greet"
ENROL: Final = "Enrol"
STANDING: Final = "Standing"
RENEW: Final = "Renew"

#: Largest request and reply.
MAX_MESSAGE_BYTES: Final = 1 << 16


def path(call: str) -> str:
    """The HTTP/2 path of a call.

    >>> path(GREET)
    '/fedseg.control.v1.Control/Greet'
    """
    return f"/{SERVICE}/{call}"
