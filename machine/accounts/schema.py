"""The tables of accounts: scripts that are never changed once they were released."""

from __future__ import annotations

from typing import Final, LiteralString

MIGRATIONS: Final[tuple[LiteralString, ...]] = (
    """
    CREATE TABLE accounts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        role TEXT NOT NULL,
        password TEXT,
        second_factor BLOB,
        last_step INTEGER NOT NULL,
        issuer TEXT,
        subject TEXT,
        made_at TEXT NOT NULL,
        changed_at TEXT NOT NULL,
        UNIQUE (issuer, subject)
    ) STRICT;
    CREATE TABLE recovery_codes (
        account INTEGER NOT NULL REFERENCES accounts ON DELETE CASCADE,
        hash BLOB NOT NULL,
        PRIMARY KEY (account, hash)
    ) STRICT;
    CREATE TABLE sessions (
        hash BLOB PRIMARY KEY,
        account INTEGER NOT NULL REFERENCES accounts ON DELETE CASCADE,
        begun_at TEXT NOT NULL,
        seen_at TEXT NOT NULL
    ) STRICT;
    CREATE TABLE failures (
        whose BLOB PRIMARY KEY,
        times INTEGER NOT NULL,
        last_at TEXT NOT NULL
    ) STRICT;
    CREATE TABLE acts (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        who TEXT NOT NULL,
        act TEXT NOT NULL,
        about TEXT NOT NULL,
        outcome TEXT NOT NULL,
        began INTEGER NOT NULL,
        chain BLOB NOT NULL
    ) STRICT;
    PRAGMA user_version = 1;
    """,
)
