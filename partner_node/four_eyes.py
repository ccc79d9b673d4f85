"""Acts that need two people: the first one's word is kept until a second person says the same.

The agreement says which acts do. A first word is good for a week; one that nobody joined is nothing
then. Messages that are held keep theirs beside the message, as long as it waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from machine.accounts.acts import is_at_the_machine, person_of
from machine.accounts.roles import Permission, may
from partner_node.store.node_store import NodeStore
from partner_node.store.times import moment, stamp
from protocol.agreement.document import Agreement
from protocol.agreement.governance import EGRESS, EXPORT, SIGNING
from protocol.errors import RuleError
from protocol.log.entries import FIRST_WORD

if TYPE_CHECKING:
    from machine.accounts.accounts import Account, Accounts

GOOD_FOR: Final = timedelta(days=7)
#: What an account has to be allowed for its first word about each act to count.
NEEDED: Final[Mapping[str, Permission]] = {
    SIGNING: Permission.SIGN_AGREEMENTS,
    EGRESS: Permission.DECIDE_EGRESS,
    EXPORT: Permission.EXPORT_SEGMENTS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class First:
    """The first of two people who have to do something; nothing is done yet.

    Attributes:
        act: Of `protocol.agreement.governance.FOUR_EYES`.
        about: What is to be done, to the letter.
        until: Until when a second person may join, as `stamp` writes times.
    """

    act: str
    about: str
    who: str
    until: str


def needs_two(store: NodeStore, act: str, agreement: Agreement, last: Agreement | None) -> bool:
    """Whether two people have to do an act about a version of an agreement.

    The version says so; or the one that holds here does, or one that was kept here and is not lower
    than that: whoever goes back to an earlier version takes no clause away.

    Args:
        act: Of `protocol.agreement.governance.FOUR_EYES`.
        last: The version that holds here; None, or of another agreement, for the one that was in
            force here last.
    """
    kept = [signed.agreement for signed in store.versions(agreement.id)]
    if last is None or last.id != agreement.id:
        last = next(iter(kept), None)
    held = [] if last is None else [last, *(one for one in kept if one.version >= last.version)]
    return any(act in version.four_eyes for version in (agreement, *held))


class People:
    """Whose words count now: accounts of the console by their roles, and the machine's.

    Args:
        opened: Opens the accounts.
        issuer: The identity provider that vouches here; None for none.
    """

    def __init__(self, opened: Callable[[], Accounts], *, issuer: str | None) -> None:
        self._opened = opened
        self._issuer = issuer

    def account_of(self, who: str) -> str:
        """The mark of somebody's account; empty for the machine's, which has none."""
        account = None if is_at_the_machine(who) else self._of_name(who)
        return "" if account is None else account.mark

    def may_still(self, who: str, act: str, *, account: str) -> bool:
        """Whether a first word counts: its account is there and may be used, as for a session, and
        its role may do the act.

        Args:
            account: What `account_of` said when the word was: another account that was made under
                that name since is another person's, and a password that was set anew may be too.
        """
        if is_at_the_machine(who):
            return True
        found = self._of_name(who)
        if found is None or found.mark != account or not found.may_be_used(issuer=self._issuer):
            return False
        return may(found.role, NEEDED[act])

    def _of_name(self, who: str) -> Account | None:
        with closing(self._opened()) as accounts:
            return accounts.of_name(who)


class Confirmations:
    """First words in a node's state database."""

    def __init__(self, store: NodeStore, people: People) -> None:
        self._store = store
        self._people = people

    def said(self, act: str, now: datetime) -> Sequence[First]:
        """What waits for a second person, oldest first, of first ones who may do it still."""
        rows = self._store.ask(
            "SELECT about, who, at, account FROM confirmations WHERE act = ? AND at > ?"
            " ORDER BY at, about",
            act,
            stamp(now - GOOD_FOR),
        )
        return [
            First(act=act, about=about, who=who, until=stamp(moment(at) + GOOD_FOR))
            for about, who, at, account in rows
            if self._people.may_still(who, act, account=account)
        ]

    def join(self, act: str, about: str, *, by: str, now: datetime, what: str) -> str | First:
        """Say that something may be done; inside a transaction.

        Args:
            by: Who says so.
            what: The same as `about`, for people.

        Returns:
            Both names, where this is the second person; else what is kept for that person.

        Raises:
            RuleError: The same person said so before (E-FOUR-EYES); nothing changes.
        """
        before = next((one for one in self.said(act, now) if one.about == about), None)
        if before is not None:
            refuse_same_person(what, before.who, by)
            return both(before.who, by)
        self._store.ask("DELETE FROM confirmations WHERE at <= ?", stamp(now - GOOD_FOR))
        self._store.ask(
            "INSERT OR REPLACE INTO confirmations (act, about, who, at, account)"
            " VALUES (?, ?, ?, ?, ?)",
            act, about, by, stamp(now), self._people.account_of(by),
        )  # fmt: skip
        self._store.log.append(
            FIRST_WORD, at=stamp(now), act=act, about=sha256(about.encode()).hexdigest(), by=by
        )
        return First(act=act, about=about, who=by, until=stamp(now + GOOD_FOR))

    def forget(self, act: str, about: str) -> None:
        """Forget a first word, as the act was done or refused; inside a transaction."""
        self._store.ask("DELETE FROM confirmations WHERE act = ? AND about = ?", act, about)

    def forget_beginning(self, act: str, digits: str) -> bool:
        """Forget first words about what begins so; whether there were any; inside a transaction."""
        rows = self._store.ask("SELECT about FROM confirmations WHERE act = ?", act)
        found = [about for (about,) in rows if about.startswith(digits)]
        for about in found:
            self.forget(act, about)
        return bool(found)


def refuse_same_person(what: str, first: str, second: str) -> None:
    """Refuse the second word of one person; raises RuleError (E-FOUR-EYES)."""
    if person_of(first) == person_of(second):
        raise RuleError(
            f"{what} needs two different people, and {first} has agreed to it already",
            code="E-FOUR-EYES",
            remedy="another person has to: with an account of their own in the console, or at this "
            "machine",
        )


def both(first: str, second: str) -> str:
    """Two people, as records name them."""
    return f"{first}, {second}"
