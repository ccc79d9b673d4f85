"""Certificates on the way to the coordinator that will not hold much longer."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from machine.certificates import lasting
from machine.files import open_regular
from machine.text import shown
from protocol.errors import FedsegError

#: A certificate that ends sooner than this is mentioned.
SOON: Final = timedelta(days=30)
_MAX_BYTES: Final = 1 << 20


def ends_soon(what: str, end: datetime, now: datetime) -> list[str]:
    """A warning about a certificate that ends soon, or has ended; else nothing.

    Args:
        what: Which certificate, for the beginning of the sentence.
    """
    if end - now > SOON:
        return []
    when = "ended" if end <= now else "ends"
    return [f"{what} {when} on {end:%Y-%m-%d}: ask the operator for a new one"]


def authority_ends_soon(file: Path, now: datetime) -> list[str]:
    """Warnings about the authority's certificates; nothing where the file cannot be read.

    What is wrong with such a file is said where it is used.
    """
    try:
        with open_regular(file) as opened:
            found = x509.load_pem_x509_certificates(opened.read(_MAX_BYTES))
    except (OSError, ValueError, FedsegError):
        return []
    what = f"the authority of the coordinator's certificate, {shown(str(file))},"
    ends = (one.not_valid_after_utc for one in lasting(found))  # not where it is there anew
    return [words for end in ends for words in ends_soon(what, end, now)]
