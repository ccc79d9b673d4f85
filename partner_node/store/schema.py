"""The tables of a node's state, and how an earlier version's become this one's."""

from __future__ import annotations

from typing import Final, LiteralString

#: Each ends with the version that it makes.
MIGRATIONS: Final[tuple[LiteralString, ...]] = (
    """
    CREATE TABLE chains (agreement_hash BLOB PRIMARY KEY, links BLOB NOT NULL) STRICT;
    CREATE TABLE runs (
        run_id BLOB PRIMARY KEY,
        run_hash BLOB,
        agreement_hash BLOB NOT NULL,
        phase TEXT NOT NULL,
        round INTEGER NOT NULL,
        reason TEXT NOT NULL,
        started_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        sealed BLOB NOT NULL
    ) STRICT;
    CREATE INDEX runs_by_hash ON runs (run_hash);
    CREATE TABLE releases (
        run_hash BLOB PRIMARY KEY,
        agreement_hash BLOB NOT NULL,
        received_at TEXT NOT NULL,
        envelope BLOB NOT NULL
    ) STRICT;
    CREATE TABLE egress (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        run_id BLOB NOT NULL,
        what TEXT NOT NULL,
        round INTEGER NOT NULL,
        n_bytes INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        customers INTEGER
    ) STRICT;
    PRAGMA user_version = 1;
    """,
    """
    CREATE TABLE agreements (
        agreement_hash BLOB PRIMARY KEY,
        kept_at TEXT NOT NULL,
        envelope BLOB NOT NULL
    ) STRICT;
    PRAGMA user_version = 2;
    """,
    """
    CREATE TABLE refusals (
        run_id BLOB NOT NULL,
        code TEXT NOT NULL,
        at TEXT NOT NULL,
        times INTEGER NOT NULL,
        PRIMARY KEY (run_id, code)
    ) STRICT;
    PRAGMA user_version = 3;
    """,
    """
    CREATE TABLE ledger (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        agreement_id TEXT NOT NULL,
        run_id BLOB NOT NULL,
        round INTEGER NOT NULL,
        context BLOB NOT NULL UNIQUE,
        asked TEXT NOT NULL,
        sensitivity_squared TEXT NOT NULL,
        group_size INTEGER NOT NULL,
        share_variance TEXT NOT NULL,
        honest INTEGER NOT NULL,
        cost TEXT NOT NULL
    ) STRICT;
    PRAGMA user_version = 4;
    """,
    """
    ALTER TABLE ledger ADD COLUMN colluding INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE excused (
        run_hash BLOB PRIMARY KEY,
        agreement_hash BLOB NOT NULL,
        at TEXT NOT NULL
    ) STRICT;
    PRAGMA user_version = 5;
    """,
    """
    CREATE TABLE stops (
        agreement_hash BLOB NOT NULL,
        partner TEXT NOT NULL,
        noted_at TEXT NOT NULL,
        envelope BLOB NOT NULL,
        PRIMARY KEY (agreement_hash, partner)
    ) STRICT;
    PRAGMA user_version = 6;
    """,
    """
    CREATE TABLE exports (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        release BLOB NOT NULL,
        use TEXT NOT NULL,
        path TEXT NOT NULL,
        n_rows INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        delete_by TEXT NOT NULL
    ) STRICT;
    PRAGMA user_version = 7;
    """,
    """
    CREATE TABLE wishes (
        pseudonym TEXT NOT NULL,
        wish TEXT NOT NULL,
        at TEXT NOT NULL,
        sealed BLOB NOT NULL,
        PRIMARY KEY (pseudonym, wish)
    ) STRICT;
    CREATE TABLE requests (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        pseudonym TEXT NOT NULL,
        received_on TEXT NOT NULL,
        due_on TEXT NOT NULL,
        done_at TEXT NOT NULL,
        receipt TEXT NOT NULL
    ) STRICT;
    PRAGMA user_version = 8;
    """,
    """
    CREATE TABLE manifests (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        run_id BLOB NOT NULL,
        slot BLOB NOT NULL UNIQUE,
        sha256 TEXT NOT NULL,
        manifest TEXT NOT NULL,
        expires_at TEXT,
        decision TEXT,
        decided_at TEXT
    ) STRICT;
    ALTER TABLE egress ADD COLUMN manifest INTEGER;
    CREATE INDEX egress_by_manifest ON egress (manifest);
    PRAGMA user_version = 9;
    """,
    """
    CREATE TABLE feedback (
        pseudonym TEXT NOT NULL,
        kind TEXT NOT NULL,
        at TEXT NOT NULL,
        segment TEXT NOT NULL,
        PRIMARY KEY (pseudonym, kind, at)
    ) STRICT;
    PRAGMA user_version = 10;
    """,
    """
    ALTER TABLE feedback ADD COLUMN score REAL;
    ALTER TABLE feedback ADD COLUMN question TEXT;
    PRAGMA user_version = 11;
    """,
    """
    CREATE TABLE drafts (number INTEGER PRIMARY KEY AUTOINCREMENT, sealed BLOB NOT NULL) STRICT;
    PRAGMA user_version = 12;
    """,
    """
    ALTER TABLE exports ADD COLUMN home TEXT NOT NULL DEFAULT '';
    ALTER TABLE exports ADD COLUMN ended_at TEXT;
    ALTER TABLE exports ADD COLUMN ended TEXT;
    PRAGMA user_version = 13;
    """,
    """
    ALTER TABLE requests ADD COLUMN extended_on TEXT NOT NULL DEFAULT '';
    PRAGMA user_version = 14;
    """,
    """
    CREATE TABLE told (
        agreement_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        segment TEXT NOT NULL,
        at TEXT NOT NULL,
        least INTEGER NOT NULL,
        most INTEGER NOT NULL,
        PRIMARY KEY (agreement_id, kind, segment)
    ) STRICT;
    PRAGMA user_version = 15;
    """,
    """
    ALTER TABLE exports ADD COLUMN segment TEXT NOT NULL DEFAULT '';
    PRAGMA user_version = 16;
    """,
    """
    CREATE TABLE signed (agreement_hash BLOB PRIMARY KEY, at TEXT NOT NULL) STRICT;
    PRAGMA user_version = 17;
    """,
    """
    ALTER TABLE runs ADD COLUMN data_stamp TEXT NOT NULL DEFAULT '';
    ALTER TABLE runs ADD COLUMN data_changed_at TEXT NOT NULL DEFAULT '';
    PRAGMA user_version = 18;
    """,
    """
    ALTER TABLE feedback ADD COLUMN agreement_id TEXT NOT NULL DEFAULT '';
    CREATE TABLE caps (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        epsilon TEXT NOT NULL,
        delta TEXT NOT NULL,
        reason TEXT NOT NULL
    ) STRICT;
    PRAGMA user_version = 19;
    """,
    """
    CREATE TABLE readiness (
        agreement_hash BLOB PRIMARY KEY,
        codes TEXT NOT NULL,
        since TEXT NOT NULL,
        checked_at TEXT NOT NULL,
        told INTEGER NOT NULL
    ) STRICT;
    PRAGMA user_version = 20;
    """,
    """
    CREATE TABLE heard (
        channel TEXT PRIMARY KEY,
        reached INTEGER NOT NULL,
        code TEXT NOT NULL,
        since TEXT NOT NULL,
        heard_at TEXT NOT NULL
    ) STRICT;
    PRAGMA user_version = 21;
    """,
    """
    CREATE TABLE builds (
        agreement_hash BLOB NOT NULL,
        build_hash BLOB NOT NULL,
        noted_at TEXT NOT NULL,
        envelope BLOB NOT NULL,
        PRIMARY KEY (agreement_hash, build_hash)
    ) STRICT;
    PRAGMA user_version = 22;
    """,
    """
    CREATE TABLE waiting (
        agreement_hash BLOB PRIMARY KEY,
        id TEXT NOT NULL,
        version INTEGER NOT NULL,
        effective TEXT NOT NULL,
        envelope BLOB NOT NULL
    ) STRICT;
    PRAGMA user_version = 23;
    """,
    """
    ALTER TABLE manifests ADD COLUMN decided_by TEXT NOT NULL DEFAULT '';
    PRAGMA user_version = 24;
    """,
    """
    ALTER TABLE manifests ADD COLUMN people INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE manifests ADD COLUMN first_by TEXT NOT NULL DEFAULT '';
    ALTER TABLE signed ADD COLUMN signed_by TEXT NOT NULL DEFAULT '';
    ALTER TABLE exports ADD COLUMN written_by TEXT NOT NULL DEFAULT '';
    CREATE TABLE confirmations (
        act TEXT NOT NULL,
        about TEXT NOT NULL,
        who TEXT NOT NULL,
        at TEXT NOT NULL,
        PRIMARY KEY (act, about)
    ) STRICT;
    PRAGMA user_version = 25;
    """,
    # The accounts of first people. Of words of before it is not known: those of accounts are void.
    """
    ALTER TABLE manifests ADD COLUMN first_account TEXT NOT NULL DEFAULT '';
    ALTER TABLE confirmations ADD COLUMN account TEXT NOT NULL DEFAULT '';
    PRAGMA user_version = 26;
    """,
    """
    CREATE TABLE refused_hand_overs (
        old_key BLOB NOT NULL,
        refused_by TEXT NOT NULL,
        envelope BLOB NOT NULL,
        code TEXT NOT NULL,
        refused_at TEXT NOT NULL,
        PRIMARY KEY (old_key, refused_by)
    ) STRICT;
    PRAGMA user_version = 27;
    """,
    """
    CREATE TABLE authorities (
        number INTEGER PRIMARY KEY,
        envelope BLOB NOT NULL,
        taken_at TEXT NOT NULL
    ) STRICT;
    PRAGMA user_version = 28;
    """,
    """
    CREATE TABLE log_entries (number INTEGER PRIMARY KEY, entry BLOB NOT NULL) STRICT;
    CREATE TABLE log_hashes (
        level INTEGER NOT NULL,
        position INTEGER NOT NULL,
        hash BLOB NOT NULL,
        PRIMARY KEY (level, position)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE log_refusals (day TEXT PRIMARY KEY, times INTEGER NOT NULL) STRICT;
    PRAGMA user_version = 29;
    """,
    # What the audit log said last of settings and the signing key, which stand outside.
    """
    CREATE TABLE outside_facts (what TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    PRAGMA user_version = 30;
    """,
    # Who was counted in each answer: a sealed key for each run, files of handles, sets of them.
    """
    CREATE TABLE counted_keys (
        run_id BLOB PRIMARY KEY,
        at TEXT NOT NULL,
        sealed BLOB NOT NULL
    ) STRICT;
    CREATE TABLE counted_parts (
        run_id BLOB NOT NULL,
        number INTEGER NOT NULL,
        file TEXT NOT NULL UNIQUE,
        count INTEGER NOT NULL,
        PRIMARY KEY (run_id, number)
    ) STRICT;
    CREATE TABLE counted_sets (
        context BLOB PRIMARY KEY,
        run_id BLOB NOT NULL,
        number INTEGER NOT NULL,
        round INTEGER NOT NULL,
        at TEXT NOT NULL,
        bits INTEGER NOT NULL,
        shelves BLOB NOT NULL,
        marks BLOB NOT NULL,
        entry INTEGER NOT NULL,
        UNIQUE (run_id, number)
    ) STRICT;
    CREATE TABLE counted_kept (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        kept INTEGER NOT NULL
    ) STRICT;
    PRAGMA user_version = 31;
    """,
    # What is asked for by kind; the expressions are those of `audit_log`, or it is not used.
    """
    CREATE INDEX log_entries_by_kind ON log_entries (
        json_extract(CAST(entry AS TEXT), '$.kind'),
        json_extract(CAST(entry AS TEXT), '$.agreement')
    );
    PRAGMA user_version = 32;
    """,
    # Seals of the audit log, what others cosigned of them, and what is witnessed of the others'.
    """
    CREATE TABLE seals (
        agreement_id TEXT NOT NULL,
        number INTEGER NOT NULL,
        message INTEGER NOT NULL,
        at TEXT NOT NULL,
        nonce BLOB NOT NULL,
        text TEXT NOT NULL,
        note BLOB NOT NULL,
        PRIMARY KEY (agreement_id, number),
        UNIQUE (agreement_id, message)
    ) STRICT;
    CREATE TABLE seal_hashes (
        agreement_id TEXT NOT NULL,
        level INTEGER NOT NULL,
        position INTEGER NOT NULL,
        hash BLOB NOT NULL,
        PRIMARY KEY (agreement_id, level, position)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE cosignatures (
        agreement_id TEXT NOT NULL,
        size INTEGER NOT NULL,
        witness TEXT NOT NULL,
        key BLOB NOT NULL,
        time INTEGER NOT NULL,
        signature BLOB NOT NULL,
        PRIMARY KEY (agreement_id, size, witness)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE witnesses (
        agreement_id TEXT NOT NULL,
        witness TEXT NOT NULL,
        size INTEGER NOT NULL,
        time INTEGER NOT NULL,
        signature BLOB NOT NULL,
        ours INTEGER NOT NULL,
        received_at TEXT NOT NULL,
        PRIMARY KEY (agreement_id, witness)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE witnessed (
        agreement_id TEXT NOT NULL,
        party TEXT NOT NULL,
        branch INTEGER NOT NULL,
        size INTEGER NOT NULL,
        root BLOB NOT NULL,
        note BLOB NOT NULL,
        time INTEGER NOT NULL,
        signature BLOB NOT NULL,
        PRIMARY KEY (agreement_id, party, branch, size)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE forks (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        agreement_id TEXT NOT NULL,
        party TEXT NOT NULL,
        found_at TEXT NOT NULL,
        known BLOB NOT NULL,
        other BLOB NOT NULL,
        accepted_at TEXT NOT NULL DEFAULT '',
        accepted_by TEXT NOT NULL DEFAULT ''
    ) STRICT;
    ALTER TABLE egress ADD COLUMN beside_bytes INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE egress ADD COLUMN beside_sha256 TEXT NOT NULL DEFAULT '';
    ALTER TABLE egress ADD COLUMN beside TEXT NOT NULL DEFAULT '';
    PRAGMA user_version = 33;
    """,
    # What customers were told: notices that were published, with the facts that each tells.
    """
    CREATE TABLE notices (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        agreement_id TEXT NOT NULL,
        agreement_hash BLOB NOT NULL,
        version TEXT NOT NULL,
        language TEXT NOT NULL,
        url TEXT NOT NULL,
        facts TEXT NOT NULL,
        words_sha256 TEXT NOT NULL,
        own_text INTEGER NOT NULL,
        published_by TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        content BLOB NOT NULL
    ) STRICT;
    PRAGMA user_version = 34;
    """,
    # Who may act here, and the training that each has, by the names of accounts.
    """
    CREATE TABLE staff (
        name TEXT PRIMARY KEY,
        role TEXT NOT NULL,
        since TEXT NOT NULL
    ) STRICT;
    CREATE TABLE training (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL REFERENCES staff ON DELETE CASCADE,
        course TEXT NOT NULL,
        on_day TEXT NOT NULL,
        until_day TEXT NOT NULL,
        evidence TEXT NOT NULL,
        noted_at TEXT NOT NULL
    ) STRICT;
    PRAGMA user_version = 35;
    """,
)
