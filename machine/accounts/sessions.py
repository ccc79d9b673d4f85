"""Sessions at the server: who is signed in, from when, and until when.

A browser has a random token; the database has its hash alone. A session ends when nothing was
asked for half an hour, after twelve hours at the latest, when the person signs out, when role,
password or account change (`Accounts`), and when the identity provider that vouched is none of this
console any more.
"""

from __future__ import annotations

import hashlib
import secrets
import shlex
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Final

from machine.accounts.accounts import Account, Accounts
from machine.times import moment, stamp
from protocol.errors import RuleError

IDLE: Final = timedelta(minutes=30)
LONGEST: Final = timedelta(hours=12)
#: How often a session's last use is written down.
_SEEN_AGAIN: Final = timedelta(minutes=1)
_TOKEN_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Somebody who is signed in."""

    token: str
    account: Account


class Sessions:
    """The sessions of one side.

    Args:
        issuer: The identity provider that vouches here; None for none.
    """

    def __init__(self, accounts: Accounts, *, issuer: str | None) -> None:
        self._accounts = accounts
        self._issuer = issuer
        self._database = accounts.database
        self._one = Lock()

    def sign_in(
        self, name: str, password: str, code: str, *, address: str, now: datetime
    ) -> Session:
        """Begin a session for whoever knows the password and has the second factor.

        Raises:
            RuleError: Something is wrong, whatever it is (E-SIGN-IN); or too many attempts failed
                (E-SIGN-IN-WAIT), and nothing was checked.
        """
        name = name.strip().lower()
        with self._one:
            account = self._proved(name, password, code, address, now)
        return self._begun(account, now, _wrong())

    def sign_in_vouched(self, issuer: str, subject: str, *, now: datetime) -> Session:
        """Begin a session for whom an identity provider vouches, who has an account here.

        Raises:
            RuleError: There is no account of that person (E-OIDC-ACCOUNT).
        """
        account = self._accounts.of_identity(issuer, subject)
        unknown = RuleError(
            f"the identity provider says who you are ({subject}), and there is no account of yours "
            "here",
            code="E-OIDC-ACCOUNT",
            remedy="ask whoever runs this machine for one: user add NAME --role ROLE --oidc "
            f"{shlex.quote(subject)}",
        )
        if account is None:
            raise unknown
        return self._begun(account, now, unknown)

    def _begun(self, account: Account, now: datetime, gone: RuleError) -> Session:
        """A new session; raises `gone` where the account was changed or removed meanwhile."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        with self._database.transaction():
            self._database.ask(
                "DELETE FROM sessions WHERE seen_at < ? OR begun_at < ?",
                stamp(now - IDLE), stamp(now - LONGEST),
            )  # fmt: skip
            begun = self._database.ask(
                "INSERT INTO sessions SELECT ?, id, ?, ? FROM accounts"
                " WHERE id = ? AND changed_at = ? RETURNING account",
                _hashed(token), stamp(now), stamp(now), account.id, account.changed_at,
            )  # fmt: skip
        if not begun:
            raise gone
        return Session(token=token, account=account)

    def _proved(self, name: str, password: str, code: str, address: str, now: datetime) -> Account:
        """The account of whoever signs in; one at a time, or many would guess before any waits."""
        guessing = self._accounts.guessing
        guessing.refuse_early(name, address, now)
        account = self._accounts.prove(name, password, code, now)
        with self._database.transaction():
            if account is not None:
                guessing.forget(name)
                return account
            guessing.failed(name, address, now)
        raise _wrong()

    def of(self, token: str, now: datetime, *, seen: bool = True) -> Session | None:
        """The session of a token; None where there is none any more.

        Args:
            seen: Whether a person asks: a page that renews itself keeps nobody signed in.
        """
        row = self._database.one(
            "SELECT account, begun_at, seen_at FROM sessions WHERE hash = ?", _hashed(token)
        )
        if row is None:
            return None
        account = self._accounts.of_id(row[0])
        begun, last = moment(row[1]), moment(row[2])
        over = now - begun >= LONGEST or now - last >= IDLE
        if account is None or over or not account.may_be_used(issuer=self._issuer):
            self.end(token)
            return None
        if seen and now - last >= _SEEN_AGAIN:
            with self._database.transaction():
                self._database.ask(
                    "UPDATE sessions SET seen_at = ? WHERE hash = ?", stamp(now), _hashed(token)
                )
        return Session(token=token, account=account)

    def end(self, token: str) -> None:
        """End a session."""
        with self._database.transaction():
            self._database.ask("DELETE FROM sessions WHERE hash = ?", _hashed(token))


def _hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _wrong() -> RuleError:
    return RuleError(
        "name, password or code is wrong",
        code="E-SIGN-IN",
        remedy="try again with a new code; a code is good once",
    )
