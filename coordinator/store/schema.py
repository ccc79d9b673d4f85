"""The tables of the coordinator's state, and how an earlier version's become this one's.

In SQLite's words; `postgresql.dialect` says the same in PostgreSQL's.
"""

from __future__ import annotations

from typing import Final, LiteralString

#: Each ends with the version that it makes.
MIGRATIONS: Final[tuple[LiteralString, ...]] = (
    """
    CREATE TABLE agreements (
        agreement_hash BLOB PRIMARY KEY,
        id TEXT NOT NULL,
        version INTEGER NOT NULL,
        envelope BLOB NOT NULL,
        links BLOB NOT NULL,
        added_at TEXT NOT NULL
    ) STRICT;
    CREATE TABLE admitted (
        partner TEXT PRIMARY KEY,
        node_key TEXT NOT NULL UNIQUE,
        admitted_at TEXT NOT NULL
    ) STRICT;
    CREATE TABLE runs (
        run_id BLOB PRIMARY KEY,
        agreement_hash BLOB NOT NULL REFERENCES agreements,
        links_at_start BLOB NOT NULL,
        state TEXT NOT NULL,
        progress TEXT NOT NULL,
        code TEXT NOT NULL,
        reason TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL
    ) STRICT;
    CREATE TABLE inputs (
        run_id BLOB NOT NULL REFERENCES runs,
        number INTEGER NOT NULL,
        kind TEXT NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (run_id, number)
    ) STRICT;
    CREATE TABLE traffic (
        run_id BLOB NOT NULL REFERENCES runs,
        partner TEXT NOT NULL,
        messages INTEGER NOT NULL,
        bytes_up INTEGER NOT NULL,
        bytes_down INTEGER NOT NULL,
        PRIMARY KEY (run_id, partner)
    ) STRICT;
    CREATE TABLE rounds (
        run_id BLOB NOT NULL REFERENCES runs,
        round INTEGER NOT NULL,
        partners INTEGER NOT NULL,
        seconds REAL NOT NULL,
        inertia REAL NOT NULL,
        length INTEGER NOT NULL,
        PRIMARY KEY (run_id, round)
    ) STRICT;
    CREATE TABLE releases (
        run_id BLOB PRIMARY KEY REFERENCES runs,
        agreement_hash BLOB NOT NULL,
        envelope BLOB NOT NULL,
        released_at TEXT NOT NULL
    ) STRICT;
    PRAGMA user_version = 1;
    """,
    """
    ALTER TABLE runs ADD COLUMN remedy TEXT NOT NULL DEFAULT '';
    ALTER TABLE runs ADD COLUMN without TEXT NOT NULL DEFAULT '[]';
    CREATE TABLE carrier_nodes (
        node_key TEXT PRIMARY KEY,
        node TEXT NOT NULL
    ) STRICT;
    CREATE TABLE farewells (
        run_id BLOB NOT NULL REFERENCES runs,
        partner TEXT NOT NULL,
        PRIMARY KEY (run_id, partner)
    ) STRICT;
    PRAGMA user_version = 2;
    """,
    """
    ALTER TABLE rounds RENAME TO rounds_before;
    CREATE TABLE rounds (
        run_id BLOB NOT NULL REFERENCES runs,
        round INTEGER NOT NULL,
        partners INTEGER NOT NULL,
        seconds REAL NOT NULL,
        inertia REAL,
        length INTEGER NOT NULL,
        asked TEXT NOT NULL,
        PRIMARY KEY (run_id, round)
    ) STRICT;
    INSERT INTO rounds SELECT run_id, round, partners, seconds, inertia, length, ''
        FROM rounds_before;
    DROP TABLE rounds_before;
    PRAGMA user_version = 3;
    """,
    """
    CREATE TABLE stops (
        agreement_hash BLOB NOT NULL REFERENCES agreements,
        partner TEXT NOT NULL,
        noted_at TEXT NOT NULL,
        envelope BLOB NOT NULL,
        PRIMARY KEY (agreement_hash, partner)
    ) STRICT;
    PRAGMA user_version = 4;
    """,
    """
    CREATE TABLE invitations (
        id TEXT PRIMARY KEY,
        partner TEXT NOT NULL,
        authority TEXT NOT NULL,
        made_at TEXT NOT NULL,
        expires_at TEXT NOT NULL,
        node_key TEXT
    ) STRICT;
    CREATE TABLE enrolled (
        node_key TEXT PRIMARY KEY,
        partner TEXT NOT NULL,
        card BLOB NOT NULL,
        enrolled_at TEXT NOT NULL,
        seen_at TEXT NOT NULL,
        version TEXT NOT NULL
    ) STRICT;
    PRAGMA user_version = 5;
    """,
    """
    CREATE TABLE proposals (
        agreement_hash BLOB PRIMARY KEY,
        id TEXT NOT NULL,
        version INTEGER NOT NULL,
        envelope BLOB NOT NULL,
        proposed_at TEXT NOT NULL
    ) STRICT;
    CREATE TABLE proposal_answers (
        agreement_hash BLOB NOT NULL REFERENCES proposals ON DELETE CASCADE,
        partner TEXT NOT NULL,
        signature BLOB,
        comment TEXT NOT NULL,
        answered_at TEXT NOT NULL,
        PRIMARY KEY (agreement_hash, partner)
    ) STRICT;
    PRAGMA user_version = 6;
    """,
    """
    CREATE TABLE announcements (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        partner TEXT NOT NULL,
        kind TEXT NOT NULL,
        agreement_hash BLOB NOT NULL
    ) STRICT;
    PRAGMA user_version = 7;
    """,
    """
    ALTER TABLE agreements ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
    UPDATE agreements SET number = rowid;
    CREATE UNIQUE INDEX agreements_by_number ON agreements (number);
    ALTER TABLE runs ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
    UPDATE runs SET number = rowid;
    CREATE UNIQUE INDEX runs_by_number ON runs (number);
    ALTER TABLE releases ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
    UPDATE releases SET number = rowid;
    CREATE UNIQUE INDEX releases_by_number ON releases (number);
    ALTER TABLE stops ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
    UPDATE stops SET number = rowid;
    CREATE UNIQUE INDEX stops_by_number ON stops (number);
    ALTER TABLE proposals ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
    UPDATE proposals SET number = rowid;
    CREATE UNIQUE INDEX proposals_by_number ON proposals (number);
    PRAGMA user_version = 8;
    """,
    """
    CREATE TABLE readiness (
        node_key TEXT NOT NULL,
        agreement_hash BLOB NOT NULL,
        codes TEXT NOT NULL,
        since TEXT NOT NULL,
        told_at TEXT NOT NULL,
        version TEXT NOT NULL,
        PRIMARY KEY (node_key, agreement_hash)
    ) STRICT;
    CREATE TABLE listening (node_key TEXT PRIMARY KEY) STRICT;
    PRAGMA user_version = 9;
    """,
    """
    CREATE TABLE scheduled (
        agreement_id TEXT NOT NULL,
        moment TEXT NOT NULL,
        agreement_hash BLOB NOT NULL REFERENCES agreements,
        run_id BLOB REFERENCES runs,
        code TEXT NOT NULL,
        reason TEXT NOT NULL,
        noted_at TEXT NOT NULL,
        PRIMARY KEY (agreement_id, moment)
    ) STRICT;
    CREATE TABLE schedule_pauses (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        agreement_id TEXT NOT NULL,
        at TEXT NOT NULL,
        paused INTEGER NOT NULL,
        reason TEXT NOT NULL
    ) STRICT;
    PRAGMA user_version = 10;
    """,
    """
    CREATE TABLE builds (
        agreement_hash BLOB NOT NULL REFERENCES agreements,
        build_hash BLOB NOT NULL,
        proposed_at TEXT NOT NULL,
        envelope BLOB NOT NULL,
        PRIMARY KEY (agreement_hash, build_hash)
    ) STRICT;
    PRAGMA user_version = 11;
    """,
    """
    CREATE TABLE diligence (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        partner TEXT NOT NULL,
        envelope BLOB NOT NULL,
        added_at TEXT NOT NULL
    ) STRICT;
    PRAGMA user_version = 12;
    """,
    """
    CREATE TABLE certified (node_key TEXT PRIMARY KEY, ends TEXT NOT NULL) STRICT;
    PRAGMA user_version = 13;
    """,
    """
    CREATE TABLE hand_overs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        hand_over_hash BLOB NOT NULL UNIQUE,
        old_key BLOB NOT NULL UNIQUE,
        envelope BLOB NOT NULL,
        added_at TEXT NOT NULL
    ) STRICT;
    ALTER TABLE runs ADD COLUMN hand_overs BLOB;
    PRAGMA user_version = 14;
    """,
    """
    CREATE TABLE refused_hand_overs (
        old_key BLOB PRIMARY KEY,
        envelope BLOB NOT NULL,
        refused_at TEXT NOT NULL
    ) STRICT;
    PRAGMA user_version = 15;
    """,
    """
    CREATE TABLE authorities (
        number INTEGER PRIMARY KEY,
        envelope BLOB NOT NULL,
        stated_at TEXT NOT NULL
    ) STRICT;
    CREATE TABLE trusting (node_key TEXT PRIMARY KEY, number INTEGER NOT NULL) STRICT;
    PRAGMA user_version = 16;
    """,
    # What each partner's node said last of its log and the others', to be passed on.
    """
    CREATE TABLE told_of_logs (
        agreement_id TEXT NOT NULL,
        partner TEXT NOT NULL,
        told BLOB NOT NULL,
        told_at TEXT NOT NULL,
        PRIMARY KEY (agreement_id, partner)
    ) STRICT;
    PRAGMA user_version = 17;
    """,
    # The audit log.
    """
    CREATE TABLE log_entries (number INTEGER PRIMARY KEY, entry BLOB NOT NULL) STRICT;
    CREATE TABLE log_hashes (
        level INTEGER NOT NULL,
        position INTEGER NOT NULL,
        hash BLOB NOT NULL,
        PRIMARY KEY (level, position)
    ) STRICT;
    CREATE TABLE log_kinds (
        kind TEXT NOT NULL,
        number INTEGER NOT NULL,
        PRIMARY KEY (kind, number)
    ) STRICT;
    CREATE TABLE outside_facts (what TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    PRAGMA user_version = 18;
    """,
)

#: Every table, those before that others refer to.
TABLES: Final = (
    "agreements",
    "admitted",
    "carrier_nodes",
    "runs",
    "inputs",
    "traffic",
    "rounds",
    "farewells",
    "releases",
    "stops",
    "invitations",
    "enrolled",
    "proposals",
    "proposal_answers",
    "announcements",
    "readiness",
    "listening",
    "scheduled",
    "schedule_pauses",
    "builds",
    "diligence",
    "certified",
    "hand_overs",
    "refused_hand_overs",
    "authorities",
    "trusting",
    "told_of_logs",
    "log_entries",
    "log_hashes",
    "log_kinds",
    "outside_facts",
)
