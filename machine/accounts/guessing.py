"""Guessing is slow: after some failures whoever signs in waits, longer with each.

Failures are counted for each name, whether there is such an account or not, and for each address;
for addresses apart where an identity provider vouches: those failures hold up no password, and
those of passwords nobody who comes from the provider.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Final

from machine.database import Database
from machine.times import moment, stamp
from protocol.errors import RuleError

#: Failures without a wait, of a name and of an address.
FREE_OF_NAME: Final = 4
FREE_OF_ADDRESS: Final = 19
_LONGEST_WAIT_S: Final = 900
#: After so long without a failure they are forgotten.
_FORGOTTEN_AFTER: Final = timedelta(days=1)
#: Names and addresses remembered; beyond it the oldest are forgotten.
_MOST_REMEMBERED: Final = 10_000


class Guessing:
    """Failures to sign in, in the database of accounts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def refuse_early(self, name: str, address: str, now: datetime) -> None:
        """Refuse whoever has to wait; raises RuleError (E-SIGN-IN-WAIT)."""
        of_name = self._wait_s(_whose("name", name), FREE_OF_NAME, now)
        of_address = self._wait_s(_whose("address", address), FREE_OF_ADDRESS, now)
        # A person can do something about a name's wait, which helps where the address has none.
        _refuse(max(of_name, of_address), of_name=of_address == 0)

    def refuse_vouched_early(self, address: str, now: datetime) -> None:
        """Refuse whoever comes from the identity provider and has to wait; raises likewise."""
        _refuse(self._wait_s(_whose("vouched", address), FREE_OF_ADDRESS, now), of_name=False)

    def failed(self, name: str, address: str, now: datetime) -> None:
        """Note a wrong password or code; inside a transaction."""
        self._note((_whose("name", name), _whose("address", address)), now)

    def failed_vouched(self, address: str, now: datetime) -> None:
        """Note a wrong ID token; inside a transaction."""
        self._note((_whose("vouched", address),), now)

    def _note(self, failed: tuple[bytes, ...], now: datetime) -> None:
        ask = self._database.ask
        ask("DELETE FROM failures WHERE last_at < ?", stamp(now - _FORGOTTEN_AFTER))
        for whose in failed:
            ask(
                "INSERT INTO failures VALUES (?, 1, ?)"
                " ON CONFLICT (whose) DO UPDATE SET times = times + 1, last_at = excluded.last_at",
                whose,
                stamp(now),
            )
        ask(
            "DELETE FROM failures WHERE whose IN"
            " (SELECT whose FROM failures ORDER BY last_at DESC LIMIT -1 OFFSET ?)",
            _MOST_REMEMBERED,
        )

    def forget(self, name: str) -> None:
        """Forget a name's failures, after it signed in; inside a transaction."""
        self._database.ask("DELETE FROM failures WHERE whose = ?", _whose("name", name))

    def _wait_s(self, whose: bytes, free: int, now: datetime) -> int:
        row = self._database.one("SELECT times, last_at FROM failures WHERE whose = ?", whose)
        if row is None or row[0] <= free:
            return 0
        wait_s = min(2 ** min(row[0] - free, 20), _LONGEST_WAIT_S)
        passed_s = (now - moment(row[1])).total_seconds()
        return 0 if passed_s >= wait_s else max(1, round(wait_s - max(passed_s, 0)))


def _whose(kind: str, value: str) -> bytes:
    return hashlib.sha256(f"{kind}\0{value}".encode("utf-8", "surrogatepass")).digest()


def _refuse(wait_s: int, *, of_name: bool) -> None:
    if wait_s > 0:
        raise RuleError(
            f"too many attempts to sign in failed; the next is possible in {wait_s} seconds",
            code="E-SIGN-IN-WAIT",
            remedy="wait, or have the password set anew at the machine: user reset"
            if of_name
            else "wait: nothing else ends the wait of an address",
        )
