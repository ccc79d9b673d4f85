"""What psycopg may raise, in our words."""

from __future__ import annotations

from typing import Final

import psycopg

from protocol.errors import StoreError


class UnreachableStoreError(StoreError):
    """The database is not reached at the moment; nothing was changed."""

    default_code = "E-STORE-CONNECT"


AWAY: Final = (
    "see that the server runs and this machine may connect; what goes on goes on when it is back"
)
_GRANT: Final = (
    "let the account own its schema: CREATE SCHEMA fedseg AUTHORIZATION fedseg, for an account "
    "fedseg; docs/operating.md has the whole of it"
)
#: Conditions by their number (SQLSTATE): code, what is said, way out.
_BY_STATE: Final = {
    "42501": ("E-STORE-RIGHTS", "the account may not do that", _GRANT),
    "25006": ("E-STORE-RIGHTS", "the server takes no changes: it is a copy", "name the primary"),
    "3F000": ("E-STORE-RIGHTS", "the account has no schema", _GRANT),
    "42P01": (
        "E-STATE-LOST",
        "a table of the state is missing",
        "restore it from a backup; if it was moved away meanwhile, call the command again",
    ),
    "53100": ("E-STORE", "the server's disk is full", "make room there"),
    "53200": ("E-STORE", "the server has no memory left", "give it more"),
    "53300": ("E-STORE-CONNECT", "the server takes no more connections", "raise max_connections"),
    "55P03": (
        "E-STORE-BUSY",
        "another process held the state for a minute",
        "see what it does: pg_stat_activity, application_name fedseg-coordinator",
    ),
    "57014": ("E-STORE-BUSY", "the server took more than ten minutes", "see what keeps it busy"),
}
#: Conditions in which the server ends the connection, or does not take it yet.
_ENDING: Final = ("08", "57P", "25P03")
#: What is said in connecting has no number: libpq's own words, and the server's in English.
_IN_CONNECTING: Final = (
    ("password authentication failed", "E-STORE-PASSWORD", "the server does not take this "
     "account with this password", "correct the account in the URL, and the password"),
    ("no password supplied", "E-STORE-PASSWORD", "the server asks for a password and none is "
     "configured", "set password_file (mode 0600) or password_env under [store]"),
    ("permission denied", "E-STORE-RIGHTS", "the account may not connect to this database",
     "GRANT CONNECT ON DATABASE to it"),
    ("certificate", "E-STORE-TLS", "its certificate is not one that is trusted for this host",
     "name its authority (PEM) with sslrootcert in the URL, and the host as the certificate does"),
    ("does not support SSL", "E-STORE-TLS", "the server offers no TLS",
     "have it offer TLS; without it the state and the password would cross the network in clear"),
)  # fmt: skip


def of_connecting(error: psycopg.Error, name: str) -> StoreError:
    """An error in connecting; it is safe to try again later where it is unreachable."""
    text = " ".join(str(error).split())
    for words, code, what, remedy in _IN_CONNECTING:
        if words in text:
            more = f" ({text[:500]})" if code == "E-STORE-TLS" else ""  # which file, or which name
            return StoreError(f"{name}: {what}{more}", code=code, remedy=remedy)
    return UnreachableStoreError(f"{name} is not reached: {text[:500]}", remedy=AWAY)


def of_statement(error: psycopg.Error, name: str, *, broken: bool) -> StoreError:
    """An error of a statement; with a broken connection nothing of its transaction was kept."""
    state = error.sqlstate or ""
    if broken or state.startswith(_ENDING):
        return UnreachableStoreError(f"{name}: the connection is lost", remedy=AWAY)
    if state in _BY_STATE:
        code, what, remedy = _BY_STATE[state]
        return StoreError(f"{name}: {what}", code=code, remedy=remedy)
    said = error.diag.message_primary or type(error).__name__
    return StoreError(
        f"{name}: {said} ({state or 'no number'})",
        remedy="see the server's log; restore a damaged database from a backup",
    )
