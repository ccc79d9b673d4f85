"""Accounts as tests make them: with a hash that costs little."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyotp

from machine.accounts.accounts import Accounts, Enrolment, FileModeAlone, Seal
from machine.accounts.passwords import Passwords
from machine.accounts.roles import Role

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
PASSWORD = "correct horse battery"


def cheap_passwords() -> Passwords:
    return Passwords(memory_kib=8, passes=1, lanes=1)


def accounts_at(path: Path | str = ":memory:", seal: Seal | None = None) -> Accounts:
    return Accounts(path, seal or FileModeAlone(), passwords=cheap_passwords())


def add(accounts: Accounts, name: str = "anna", role: Role = Role.APPROVER) -> Enrolment:
    return accounts.add(name, role, PASSWORD, NOW)


def code_of(enrolment: Enrolment, now: datetime = NOW) -> str:
    return pyotp.TOTP(enrolment.secret).at(now)
