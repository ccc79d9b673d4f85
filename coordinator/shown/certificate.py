"""`certificate show`: the certificate in force, the one that waits, and who trusts what."""

from __future__ import annotations

from coordinator.config import CoordinatorConfig
from coordinator.control.authorities import Outstanding, StatedAuthorities, outstanding
from coordinator.control.renewing import is_switching, waiting
from coordinator.service.certificates import CertificateFacts, facts_of, read_certificate
from coordinator.store.coordinator_store import CoordinatorStore
from machine.shown import Shown
from protocol.control.authorities import words_of


def certificate_shown(config: CoordinatorConfig, store: CoordinatorStore) -> Shown:
    """For which names the certificates are, until when, and which nodes have the authorities.

    Raises:
        ConfigError: A certificate cannot be read.
    """
    found, coming = read_certificate(config.certificate), waiting(config)
    next_one = None if coming is None else facts_of(coming.certificate)
    stated, left = StatedAuthorities(store).newest(), outstanding(store)
    return Shown(
        values={
            **_values(found),
            "next": None if next_one is None else _values(next_one),
            "switching": is_switching(config),
            "authorities": None
            if stated is None
            else {
                "number": stated.number,
                "certificates": [words_of(one) for one in stated.certificates],
                "not_taken": list(left.online),
                "by_hand": list(left.by_hand),
            },
        },
        parts=[
            f"For {_words(found)}.",
            "" if next_one is None else f"The next one waits: for {_words(next_one)}.",
            ""
            if stated is None
            else "Nodes are told to trust the "
            + " and ".join(f"authority {words_of(one)}" for one in stated.certificates)
            + ".",
            f"Not taken yet by {', '.join(left.online)}." if left.online else "",
            f"Not known of {', '.join(left.by_hand)}, who get a file by hand."
            if left.by_hand
            else "",
            "" if stated is None else _taken_words(left),
            "A switch was begun and not ended: whoever serves ends it, or `fedseg-coordinator "
            "certificate switch` does."
            if is_switching(config)
            else "",
            "`fedseg-coordinator certificate switch` puts it in force." if next_one else "",
        ],
    )


def _taken_words(left: Outstanding) -> str:
    if left.online:
        return ""
    whoever = "partner that joined" if left.by_hand else "admitted partner"
    return f"Every {whoever} has taken that."


def waits_words(config: CoordinatorConfig, store: CoordinatorStore) -> str:
    """That a certificate waits, and for whom, for people; empty where none does."""
    if waiting(config) is None:
        return ""
    left = outstanding(store).all
    return "A new one waits to be put in force (`certificate switch`); its authority is " + (
        f"not taken yet by {', '.join(left)}." if left else "taken by every admitted partner."
    )


def _values(found: CertificateFacts) -> dict[str, object]:
    return {"names": list(found.names), "expires": found.expires.isoformat()}


def _words(found: CertificateFacts) -> str:
    return f"{', '.join(found.names)}, until {found.expires:%Y-%m-%d %H:%M} UTC"
