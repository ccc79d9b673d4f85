"""The store's statements and schema, which are written for SQLite, in PostgreSQL's words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

#: The schema with which stores on PostgreSQL began: none has rows of an earlier one, so what
#: changes rows up to it is not asked, and may be in SQLite's words alone.
FIRST_SCHEMA: Final = 8

#: What differs in the statements of the schema. Texts are compared byte by byte, as by SQLite.
_WORDS: Final = (
    (re.compile(r"\bINTEGER PRIMARY KEY AUTOINCREMENT\b"), "BIGINT PRIMARY KEY"),
    (re.compile(r"\bINTEGER\b"), "BIGINT"),
    (re.compile(r"\bBLOB\b"), "BYTEA"),
    (re.compile(r"\bREAL\b"), "DOUBLE PRECISION"),
    (re.compile(r"\bTEXT\b"), 'TEXT COLLATE "C"'),
    (re.compile(r"\)\s+STRICT$"), ")"),
)
_SHAPES_TABLES: Final = ("CREATE ", "ALTER ", "DROP ")


@lru_cache(maxsize=512)
def statement(sql: str) -> str:
    """A statement with ``?`` for values, as psycopg takes it.

    >>> statement("SELECT 1 FROM runs WHERE state = ? AND code LIKE 'E-%'")
    "SELECT 1 FROM runs WHERE state = %s AND code LIKE 'E-%%'"
    """
    return sql.replace("%", "%%").replace("?", "%s")


def schema_statements(migrations: Sequence[str], version: int) -> list[str]:
    """What makes the newest schema of that of a version; 0 for an empty database.

    >>> schema_statements(["CREATE TABLE a (b BLOB) STRICT; PRAGMA user_version = 1;"], 0)
    ['CREATE TABLE a (b BYTEA)']
    """
    found = []
    for number, script in enumerate(migrations[version:], start=version + 1):
        for text in map(str.strip, script.split(";")):
            shapes = text.startswith(_SHAPES_TABLES)
            if not text or text.startswith("PRAGMA ") or (number <= FIRST_SCHEMA and not shapes):
                continue
            for pattern, words in _WORDS:
                text = pattern.sub(words, text) if shapes else text
            found.append(text)
    return found
