"""Malformed files and configurations: a clear message, a way out, exit status 2 or 3, no change.

Each case spoils one thing of a sound node and calls a command as a person would. The message must
name the place (file, row or line, column or key), tell no customer's id, and nothing on disk may
be another than before.
"""

from __future__ import annotations

import datetime
import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pytest

from partner_node import cli
from partner_node.home import NodeHome
from protocol.signed_agreement import SignedAgreement
from tests.partner_node.hostile_site import CONFIG, CONSENTS, DATA, SECRET, Site, restore
from tests.partner_node.nodes import draft, init_words
from tests.shell import Shell

pytestmark = pytest.mark.slow

Change = Callable[[Site], None]
CHECK: Final = ("check",)
DATA_CHECK: Final = ("data", "check")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One spoilt thing.

    Attributes:
        change: Spoils it.
        says: What the message must name.
        words: The command.
        status: Its exit status.
    """

    name: str
    change: Change
    says: tuple[str, ...]
    words: tuple[str, ...] = DATA_CHECK
    status: int = 3


# --- node.toml -------------------------------------------------------------------------------


def _toml(name: str, old: str, new: str, *says: str) -> Case:
    return Case(
        name=f"toml: {name}",
        change=lambda site: site.config((old, new)),
        says=("node.toml", *says),
        status=2,
    )


def _toml_bytes(name: str, content: bytes, *says: str) -> Case:
    return Case(
        name=f"toml: {name}",
        change=lambda site: site.write("node/node.toml", content) and None,
        says=("node.toml", *says),
        status=2,
    )


def _folder(path: Path) -> None:
    path.mkdir()


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _broken_link(path: Path) -> None:
    path.symlink_to("nowhere")


PARTNER, AGREEMENT = 'partner = "north"', 'agreement = "agreement.json"'
ADDRESS = 'address = "127.0.0.1:1"'
PATH, ID = 'path = "../customers.csv"', 'id_column = "customer_id"'
DATA_KIND = 'kind = "csv"\npath = "../customers.csv"'
NOTICES, NAME = 'notices = ["1"]', 'name = "crm"'
HOLDS, THREADS = 'holds = "consents"', "threads = 1"
CONSENT_PATH = 'path = "../consents.csv"'
CONFIGS = [
    _toml_bytes("empty", b"", "[data] kind is missing"),
    _toml_bytes("NUL bytes", b"\0" * 100, "line 1"),
    _toml_bytes("random bytes", bytes(range(256)), "not TOML"),
    _toml_bytes("UTF-16", CONFIG.encode("utf-16"), "not TOML"),
    _toml_bytes("Latin-1", CONFIG.replace("north", "nörth").encode("latin-1"), "not TOML"),
    _toml_bytes("JSON", b'{"node": {"partner": "north"}}', "line 1"),
    _toml_bytes("too large", b"#" * ((1 << 20) + 1), "bytes"),
    _toml_bytes("cut off", CONFIG[:60].encode(), "not TOML"),
    _toml_bytes("deeply nested", b"a = " + b"[" * 5_000, "not TOML"),
    _toml("NUL in a text", PARTNER, 'partner = "no\0rth"', "not TOML"),
    _toml("escaped NUL in a path", PATH, r'path = "a\u0000b"', "[data] path", "NUL"),
    _toml("a key twice", PARTNER, PARTNER + "\n" + PARTNER, "line 3"),
    _toml("a section twice", "[data]", "[node]\n[data]", "line"),
    _toml("unknown section", "[limits]", "[limit]", "'limit'", "'limits'"),
    _toml("unknown key", PARTNER, PARTNER + '\npartnr = "x"', "'partnr'", "'partner'"),
    _toml_bytes("a section that is a number",
                ("node = 3\n" + CONFIG[CONFIG.index("[coord"):]).encode(), "must be a section"),
    _toml("partner is a number", PARTNER, "partner = 7", "[node] partner", "whole number"),
    _toml("partner is infinite", PARTNER, "partner = inf", "[node] partner", "a number"),
    _toml("partner is NaN", PARTNER, "partner = nan", "[node] partner", "a number"),
    _toml("partner is a date", PARTNER, "partner = 2026-01-01", "[node] partner", "date"),
    _toml("partner is a list", PARTNER, 'partner = ["north"]', "[node] partner", "list"),
    _toml("partner is empty", PARTNER, 'partner = ""', "[node] partner", "0 characters"),
    _toml("partner has spaces", PARTNER, 'partner = "North Shop"', "[node] partner"),
    _toml("partner is missing", PARTNER, "", "[node] partner is missing"),
    _toml("partner turns the writing", PARTNER, 'partner = "nor\u202eth"', "[node] partner"),
    _toml("agreement is true", AGREEMENT, "agreement = true", "[node] agreement"),
    _toml("agreement at home", AGREEMENT, 'agreement = "~/a.json"', "[node] agreement", "~"),
    _toml("agreement is long", AGREEMENT, f'agreement = "{"x" * 5_000}"', "[node] agreement"),
    _toml("address with https", ADDRESS, 'address = "https://a.example:1"', "r] address"),
    _toml("address without port", ADDRESS, 'address = "a.example"', "[coordinator] address"),
    _toml("port 0", ADDRESS, 'address = "a.example:0"', "[coordinator] address"),
    _toml("port 65536", ADDRESS, 'address = "a.example:65536"', "[coordinator] address"),
    _toml("port in other digits", ADDRESS, 'address = "a.example:٤٤٣"', "[coordinator] address"),
    _toml("bundle is no hash", ADDRESS, ADDRESS + '\nbundle_sha256 = "xyz"', "bundle_sha256"),
    _toml("kind is unknown", DATA_KIND, 'kind = "cvs"\n' + PATH, "[data] kind", "'csv'"),
    _toml("kind is missing", DATA_KIND, PATH, "[data] kind is missing"),
    _toml("kind is a list", DATA_KIND, 'kind = ["csv"]\n' + PATH, "[data] kind", "list"),
    _toml("path is missing", PATH, "", "[data] path is missing"),
    _toml("path is a number", PATH, "path = 1", "[data] path"),
    _toml("id column is missing", ID, "", "[data] id_column is missing"),
    _toml("id column is empty", ID, 'id_column = ""', "[data] id_column"),
    _toml("delimiter is long", ID, ID + '\ndelimiter = "||"', "[data] delimiter"),
    _toml("delimiter is a letter", ID, ID + '\ndelimiter = "x"', "[data] delimiter"),
    _toml("delimiter is a quote", ID, ID + "\ndelimiter = '\"'", "[data] delimiter"),
    _toml("delimiter ends lines", ID, ID + '\ndelimiter = "\\n"', "[data] delimiter"),
    _toml("chunks of 0", ID, ID + "\nchunk_rows = 0", "[data] chunk_rows", "is 0"),
    _toml("chunks of -1", ID, ID + "\nchunk_rows = -1", "[data] chunk_rows"),
    _toml("chunks of 10^18", ID, ID + f"\nchunk_rows = {10**18}", "[data] chunk_rows"),
    _toml("chunks of 10^308", ID, ID + "\nchunk_rows = 1e308", "[data] chunk_rows", "a number"),
    _toml("chunks of more digits", ID, ID + f"\nchunk_rows = {'9' * 5_000}", "digits"),
    _toml("chunks are true", ID, ID + "\nchunk_rows = true", "[data] chunk_rows", "true or false"),
    _toml("memory without unit", ID, ID + '\nmemory_limit = "512"', "[data] memory_limit"),
    _toml("memory of 1 KB", ID, ID + '\nmemory_limit = "1KB"', "[data] memory_limit"),
    _toml("memory is a number", ID, ID + "\nmemory_limit = 512", "[data] memory_limit"),
    _toml("query and file", ID, ID + '\nquery = "x"\nquery_file = "y"', "query and query_file"),
    _toml("a table of a file", ID, ID + '\ntable = "customers"', "[data] table"),
    _toml("a host of a file", ID, ID + '\nhost = "db.example"', "[data] host"),
    _toml("query file is missing", ID, ID + '\nquery_file = "no.sql"', "query_file", "no.sql"),
    _toml("query file is a folder", ID, ID + '\nquery_file = "keys"', "query_file", "keys"),
    _toml("columns are a list", ID, ID + "\ncolumns = []", "[data] columns"),
    _toml("a column is a number", ID, ID + "\ncolumns = {visits = 1}", "columns.visits"),
    _toml("a column is empty", ID, ID + '\ncolumns = {visits = ""}', "columns.visits"),
    _toml("plain text to a server", DATA_KIND, 'kind = "postgresql"\nhost = "db.example"\n'
          'database = "d"\nuser = "u"\ntable = "t"\nssl = "disable"', "[data] ssl"),
    _toml("host with a bracket", DATA_KIND, 'kind = "postgresql"\nhost = "db(1)"\n'
          'database = "d"\nuser = "u"\ntable = "t"', "[data] host"),
    _toml("table with dots", DATA_KIND, 'kind = "sqlite"\ntable = "a.b.c"\n' + PATH,
          "[data] table"),
    _toml("purpose is free text", 'purpose = "', 'purpose = "more money', "[consent] purpose"),
    _toml("notices are text", NOTICES, 'notices = "1"', "[consent] notices", "a list"),
    _toml("notices are numbers", NOTICES, "notices = [1]", "[consent] notices"),
    _toml("sources are a section", "[[consent.sources]]", "[consent.sources]", "sources"),
    _toml("a source without name", NAME, "", "[consent.sources 1] name is missing"),
    _toml("a source holds more", HOLDS, 'holds = "consent"', "sources 1] holds", "'consents'"),
    _toml("a source of its own kind", 'kind = "csv"\npath = "../consents.csv"',
          'kind = "xlsx"\npath = "../consents.csv"', "[consent.sources 1] kind"),
    _toml("two sources of a name", "[keys]", '[[consent.sources]]\nname = "crm"\n'
          'holds = "objections"\nkind = "csv"\npath = "x.csv"\n[keys]', "'crm' twice"),
    _toml("unknown part of a source", CONSENT_PATH, CONSENT_PATH + '\ncolumns = {sujet = "x"}',
          "columns.sujet", "'subject'"),
    _toml("unknown event", CONSENT_PATH, CONSENT_PATH + '\nevents = {yes = "Given"}',
          "events.yes", "ConsentGiven"),
    _toml("a constant that is a column", CONSENT_PATH, CONSENT_PATH
          + '\ncolumns = {notice = "n"}\nconstants = {notice = "1"}', "constants.notice"),
    _toml("flags of consents", CONSENT_PATH, CONSENT_PATH + '\nflags = ["x"]', "holds"),
    _toml("no passphrase", 'passphrase_file = "keys/passphrase"', "", "[keys] passphrase_file"),
    _toml("two passphrases", "[limits]", 'passphrase_env = "X"\n[limits]', "are both set"),
    _toml("a variable with spaces", 'passphrase_file = "keys/passphrase"',
          'passphrase_env = "MY VARIABLE"', "[keys] passphrase_env"),
    _toml("no threads", THREADS, "threads = 0", "[limits] threads"),
    _toml("threads in words", THREADS, 'threads = "two"', "[limits] threads"),
    _toml("half a thread", THREADS, "threads = 0.5", "[limits] threads"),
    _toml("endless space", THREADS, 'temp_space = "inf"', "[limits] temp_space"),
]  # fmt: skip
SPOILT_PLACES = [
    Case(name=f"{name} instead of {file}", change=lambda s, f=file, c=change: s.spoil(f, c),
         says=(*says, *(["egular file"] if change is os.mkfifo else [])),
         words=words, status=status)
    for file, says, words, status in (
        ("node/node.toml", ("node.toml",), DATA_CHECK, 2),
        ("node/agreement.json", ("agreement.json",), DATA_CHECK, 3),
        ("customers.csv", ("customers.csv",), DATA_CHECK, 3),
        ("consents.csv", ("consents.csv", "'crm'"), DATA_CHECK, 3),
        ("node/keys/passphrase", ("passphrase",), CHECK, 3),
        ("node/keys/keystore.json", ("keystore.json",), CHECK, 3),
    )
    for name, change in (
        ("a folder", _folder), ("a loop of links", _loop), ("a broken link", _broken_link),
        ("a pipe", os.mkfifo), ("nothing", lambda path: None),
    )
]  # fmt: skip

# --- customers -------------------------------------------------------------------------------


def _csv(name: str, content: str | bytes, *says: str) -> Case:
    return Case(
        name=f"csv: {name}",
        change=lambda site: site.write("customers.csv", content) and None,
        says=("customers.csv", *says),
    )


def _value(name: str, value: str, *says: str) -> Case:
    """The second customer's visits."""
    return Case(
        name=f"csv value: {name}",
        change=lambda site: site.write("customers.csv", DATA.replace(",3,", f",{value},")) and None,
        says=("'visits'", "row 2", *says),
    )


CSVS = [
    _csv("0 bytes", b"", "0 bytes"),
    _csv("blank", "\n\n \n", "blank"),
    _csv("header alone", "customer_id,visits,spend\n", "no rows"),
    _csv("blank first line", "\n" + DATA, "first line"),
    _csv("no header", DATA.split("\n", 1)[1], "'customer_id'", "first line"),
    _csv("UTF-16", DATA.encode("utf-16"), "UTF-16", "iconv"),
    _csv("UTF-16 big endian", b"\xfe\xff" + DATA.encode("utf-16-be"), "UTF-16"),
    _csv("UTF-32", DATA.encode("utf-32"), "UTF-32"),
    _csv("NUL in the header", DATA.replace("visits", "vis\0its"), "NUL", "byte 16"),
    _csv("NUL in a row", DATA.replace("SECRET-2", "SECRET\0-2"), "NUL", "byte"),
    _csv("Latin-1 in the header", DATA.replace("spend", "spénd").encode("latin-1"), "line 1"),
    _csv("Latin-1 in a row", DATA.replace("SECRET-2", "SECRÉT-2").encode("latin-1"), "line 3"),
    _csv("a zip file", b"PK\x03\x04" + bytes(200), "NUL"),
    _csv("random bytes", bytes(np.random.default_rng(1).integers(1, 256, 500, dtype=np.uint8)), ""),
    _csv("duplicate columns", DATA.replace("spend", "visits"), "'visits'", "columns 2 and 3"),
    _csv("columns alike but for case", DATA.replace("spend", "Visits"), "columns 2 and 3"),
    _csv("duplicate columns behind a BOM", "\ufeff" + DATA.replace("spend", "customer_id"),
         "columns 1 and 3"),
    _csv("semicolons", DATA.replace(",", ";"), "';'", "delimiter"),
    _csv("tabs", DATA.replace(",", "\t"), "delimiter"),
    _csv("an open quote", DATA.replace("SECRET-2", '"SECRET-2'), "line"),
    _csv("an open quote in the header", '"' + DATA, "header"),
    _csv("text behind a quote", DATA.replace("SECRET-2", '"SECRET-2"x'), "line 3"),
    _csv("a row too short", DATA.replace(",3,4", ""), "line 3", "3"),
    _csv("a row too long", DATA.replace(",3,4", ",3,4,5"), "line 3"),
    _csv("no id column", DATA.replace("customer_id", "kunde"), "'customer_id'"),
    _csv("no feature column", DATA.replace("visits", "besuche"), "'visits'", "besuche"),
    _csv("an id twice", DATA.replace("SECRET-3", "SECRET-1"), "rows 1 and 3"),
    _csv("an id missing", DATA.replace("SECRET-2", ""), "row 2", "'customer_id'"),
    _csv("an id of quotes", DATA.replace("SECRET-2", '""'), "row 2", "'customer_id'"),
    _csv("an endless line", "customer_id,visits,spend\na,1," + "9" * 3_000_000 + "\n", ""),
    _csv("an endless header", "x" * (1 << 21), ""),
]  # fmt: skip
VALUES = [
    _value("missing", "", "1 missing"),
    _value("NaN", "NaN", "1 NaN"),
    _value("nan", "nan", "1 NaN"),
    _value("infinite", "inf", "1 infinite"),
    _value("minus infinity", "-Infinity", "1 infinite"),
    _value("10^309", "1e309", ""),
    _value("a word", "three", "not numbers"),
    _value("a date in words", "3rd of March 2026", "not numbers"),
    _value("a date", "2026-03-01", "not numbers"),
    _value("a comma", '"3,5"', "not numbers"),
    _value("a thousand's point", "1.234.567", "not numbers"),
    _value("a unit", "3 EUR", "not numbers"),
    _value("a currency", "€3", "not numbers"),
    _value("a percentage", "3 %", "not numbers"),
    _value("true", "true", "not numbers"),
    _value("NULL in letters", "NULL", "not numbers"),
    _value("N/A", "N/A", "not numbers"),
    _value("hexadecimal", "0x1F", "not numbers"),
    _value("a formula", "=1+2", "not numbers"),
    _value("a minus that is a dash", "\u22123", "not numbers"),
    _value("digits of another script", "\u0663", "not numbers"),
    _value("a space that breaks no line", "1\u00a0234", "not numbers"),
    _value("SQL", "1); DROP TABLE customers; --", "not numbers"),
]
OTHER_FILES = [
    Case(name="gz: not packed", says=("customers.csv.gz", "not packed"), change=lambda s: (
        s.write("customers.csv.gz", DATA),
        s.config(('"../customers.csv"', '"../customers.csv.gz"')))[1]),
    Case(name="gz: cut off", says=("customers.csv.gz",), change=lambda s: (
        s.write("customers.csv.gz", gzip.compress(DATA.encode())[:-12]),
        s.config(('"../customers.csv"', '"../customers.csv.gz"')))[1]),
    Case(name="glob: nothing fits", says=("*.tsv", "no file matches"),
         change=lambda s: s.config(('"../customers.csv"', '"../*.tsv"'))),
    Case(name="glob: other columns", says=("other.csv", "column 2"), change=lambda s: (
        s.write("other.csv", DATA.replace("visits", "x")), (s.root / "consents.csv").unlink(),
        s.config(('"../customers.csv"', '"../*.csv"')))[2]),
    Case(name="folder: without data", says=("keys", ".csv"),
         change=lambda s: s.config(('"../customers.csv"', '"keys"'))),
    Case(name="a name with brackets", says=("[1]",), change=lambda s: (
        s.write("c[1].csv", DATA), s.config(('"../customers.csv"', '"../c[1].csv"')))[1]),
    Case(name="parquet: text", says=("customers.parquet",), change=lambda s: (
        s.write("customers.parquet", DATA), s.data("parquet", "customers.parquet"))[1]),
    Case(name="parquet: the beginning alone", says=("customers.parquet",), change=lambda s: (
        s.write("customers.parquet", b"PAR1" + bytes(100)),
        s.data("parquet", "customers.parquet"))[1]),
    Case(name="sqlite: text", says=("crm.db",), change=lambda s: (
        s.write("crm.db", DATA * 50), s.data("sqlite", "crm.db", 'table = "customers"'))[1]),
    Case(name="sqlite: damaged", says=("crm.db",), change=lambda s: (
        s.sqlite("CREATE TABLE customers (customer_id, visits, spend)"),
        s.write("crm.db", (s.root / "crm.db").read_bytes()[:1_000]))[0]),
    Case(name="duckdb: text", says=("crm.duckdb",), change=lambda s: (
        s.write("crm.duckdb", DATA * 500),
        s.data("duckdb", "crm.duckdb", 'table = "customers"'))[1]),
]  # fmt: skip

IDS = ["SECRET-1", "SECRET-2", "SECRET-3"]
SPEND = [1.0, 2.0, 3.0]


def _parquet(name: str, visits: Any, *says: str, ids: Any = None) -> Case:
    return Case(
        name=f"parquet: {name}",
        change=lambda s: s.parquet(
            {"customer_id": IDS if ids is None else ids, "visits": visits, "spend": SPEND}
        ),
        says=says,
    )


PARQUETS = [
    _parquet("text for numbers", ["1", "2", "3"], "'visits'", "VARCHAR"),
    _parquet("truth", [True, False, True], "'visits'", "BOOLEAN"),
    _parquet("days", [datetime.date(2026, 1, 1)] * 3, "'visits'", "DATE"),
    _parquet("lists", [[1], [2], [3]], "'visits'", "LIST"),
    _parquet("sections", [{"a": 1}] * 3, "'visits'", "STRUCT"),
    _parquet("bytes", [b"1", b"2", b"3"], "'visits'", "BLOB"),
    _parquet("missing", [1.0, None, 3.0], "'visits'", "row 2", "1 missing"),
    _parquet("NaN", [1.0, float("nan"), 3.0], "'visits'", "row 2", "1 NaN"),
    _parquet("infinite", [1.0, 2.0, float("-inf")], "'visits'", "row 3", "1 infinite"),
    _parquet("nothing but null", pa.nulls(3), "'visits'"),
    _parquet("ids are fractions", [1, 2, 3], "'customer_id'", "DOUBLE", ids=[1.5, 2.5, 3.5]),
    _parquet("ids are lists", [1, 2, 3], "'customer_id'", "LIST", ids=[["a"], ["b"], ["c"]]),
    _parquet("an id with NUL", [1, 2, 3], "'customer_id'", "row 2", ids=["a", "b\0", "c"]),
    _parquet("an id is missing", [1, 2, 3], "'customer_id'", "row 1", ids=[None, "b", "c"]),
    _parquet("an id twice", [1, 2, 3], "'customer_id'", "rows 1 and 2", ids=["a", "a", "c"]),
]


def _sqlite(name: str, create: str, values: str, *says: str, table: str = "customers") -> Case:
    return Case(
        name=f"sqlite: {name}",
        change=lambda s: s.sqlite(
            f"CREATE TABLE customers ({create})",
            f"INSERT INTO customers VALUES {values}",
            table=table,
        ),
        says=says,
    )


ANY = "customer_id, visits, spend"
SQLITES = [
    _sqlite("no such table", ANY, "('a', 1, 1)", "'customer'", "'customers'", table="customer"),
    _sqlite("text that is a number", ANY, "('a', '1', 1)", "'visits'", "row 1"),
    _sqlite("bytes", ANY, "('a', x'01', 1)", "'visits'", "row 1"),
    _sqlite("missing", ANY, "('a', 1, 1), ('b', NULL, 1)", "'visits'", "row 2", "1 missing"),
    _sqlite("infinite", ANY, "('a', 9e999, 1)", "'visits'", "1 infinite"),
    _sqlite("an id twice, in two types", ANY, "('1', 1, 1), (1, 1, 1)", "rows 1 and 2"),
    _sqlite("an id that is a fraction", ANY, "(1.5, 1, 1)", "'customer_id'", "REAL"),
    _sqlite("an id that is bytes", ANY, "(x'ff', 1, 1)", "'customer_id'", "BLOB"),
    _sqlite("an id with NUL", ANY, "('a' || char(0), 1, 1)", "'customer_id'", "row 1"),
    _sqlite("a table of the system", ANY, "('a', 1, 1)", "'sqlite_schema'", table="sqlite_schema"),
    Case(name="sqlite: no rows", says=("no rows",),
         change=lambda s: s.sqlite(f"CREATE TABLE customers ({ANY})")),
    Case(name="sqlite: a view that fails", says=("crm.db",), change=lambda s: s.sqlite(
        f"CREATE TABLE t ({ANY})", "CREATE VIEW customers AS SELECT * FROM t",
        "DROP TABLE t")),
    Case(name="duckdb: no such table", says=("'customer'", "'customers'"),
         change=lambda s: s.duckdb(
             "CREATE TABLE customers (customer_id VARCHAR, visits DOUBLE, spend DOUBLE)",
             table="customer")),
    Case(name="duckdb: text for numbers", says=("'visits'", "VARCHAR"), change=lambda s: s.duckdb(
        "CREATE TABLE customers (customer_id VARCHAR, visits VARCHAR, spend DOUBLE)",
        "INSERT INTO customers VALUES ('a', '1', 1)")),
    Case(name="duckdb: NaN", says=("'visits'", "row 1", "NaN"), change=lambda s: s.duckdb(
        "CREATE TABLE customers (customer_id VARCHAR, visits DOUBLE, spend DOUBLE)",
        "INSERT INTO customers VALUES ('a', 'nan', 1)")),
]  # fmt: skip

# --- feature queries -------------------------------------------------------------------------


def _sql(name: str, sql: str | bytes, *says: str, status: int = 3) -> Case:
    return Case(
        name=f"sql: {name}", change=lambda s: s.query(sql), says=says or ("query",), status=status
    )


GOOD = "SELECT customer_id, CAST(visits AS DOUBLE) AS visits, CAST(spend AS DOUBLE) AS spend"
QUERIES = [
    _sql("empty", "", "query"),
    _sql("a comment alone", "-- nothing", "0 statements"),
    _sql("words", "please give me the customers", "not SQL"),
    _sql("NUL", "SELECT \0 FROM input", ""),
    _sql("Latin-1", "SELECT 'é' FROM input".encode("latin-1"), "query_file", status=2),
    _sql("UTF-16", "SELECT 1".encode("utf-16"), "query_file", status=2),
    _sql("too long", "SELECT " + "1," * 60_000 + "1 FROM input", "characters"),
    _sql("too large a file", b" " * ((1 << 20) + 1), "query_file", "bytes", status=2),
    _sql("deep brackets", "SELECT " + "(" * 20_000 + "1" + ")" * 20_000 + " FROM input", ""),
    _sql("two statements", f"{GOOD} FROM input; SELECT 1", "2 statements"),
    _sql("inserts", "INSERT INTO input VALUES (1)", "INSERT"),
    _sql("updates", "UPDATE input SET visits = 0", "UPDATE"),
    _sql("deletes", "DELETE FROM input", "DELETE"),
    _sql("drops", "DROP TABLE input", "DROP"),
    _sql("creates", "CREATE TABLE t AS FROM input", "CREATE"),
    _sql("copies out", "COPY input TO 'stolen.csv'", "COPY"),
    _sql("exports", "EXPORT DATABASE 'stolen'", "EXPORT"),
    _sql("attaches", "ATTACH 'stolen.db' AS s", "ATTACH"),
    _sql("installs", "INSTALL httpfs", ""),
    _sql("sets", "SET memory_limit = '9TB'", "SET"),
    _sql("a pragma", "PRAGMA database_list", ""),
    _sql("writes in a WITH", "WITH x AS (INSERT INTO input SELECT 1 RETURNING *) FROM x",
         "INSERT"),
    _sql("reads another file", f"{GOOD} FROM read_csv('node/node.toml')", "read_csv"),
    _sql("reads a file by name", f"{GOOD} FROM 'consents.csv'", "consents.csv"),
    _sql("reads text of a file", "SELECT content FROM read_text('node/keys/passphrase')",
         "read_text"),
    _sql("lists files", "SELECT * FROM glob('*')", "glob"),
    _sql("reads the settings", "SELECT * FROM duckdb_settings()", "duckdb_settings"),
    _sql("reads the variables", f"{GOOD}, getenv('HOME') FROM input", "query"),
    _sql("reads the schema", "SELECT * FROM information_schema.tables", "tables"),
    _sql("another table", f"{GOOD} FROM inputs", "'inputs'", "input"),
    _sql("random", f"{GOOD}, random() FROM input", "random"),
    _sql("a sample", f"{GOOD} FROM input USING SAMPLE 2", "sample"),
    _sql("now", f"{GOOD}, now() FROM input", "now"),
    _sql("current_date", f"{GOOD}, current_date FROM input", "current_date"),
    _sql("a parameter", f"{GOOD} FROM input WHERE visits = $1", "parameter"),
    _sql("no such column", "SELECT customer_id, visit FROM input", "visit"),
    Case(name="sql: no header to read", says=("customers.csv", "first line"), change=lambda s: (
        s.query(f"{GOOD} FROM input"), s.write("customers.csv", DATA.split("\n", 1)[1]))[0]),
    _sql("no such function", f"{GOOD}, frobnicate(1) FROM input", "frobnicate"),
    _sql("columns alike", f"{GOOD}, 1 AS visits FROM input", "columns 2 and 4"),
    _sql("without the id", "SELECT CAST(visits AS DOUBLE) AS visits FROM input", "'customer_id'"),
    _sql("text for numbers", "SELECT * FROM input", "'visits'", "VARCHAR"),
    _sql("a value that does not convert",
         f"{GOOD} FROM input".replace("CAST(visits", "CAST(customer_id"),
         "query", "TRY_CAST"),
    _sql("divides by zero",
         f"{GOOD} FROM input".replace("CAST(visits AS DOUBLE)", "1 / 0"), "'visits'"),
    _sql("an endless number",
         f"{GOOD} FROM input".replace("CAST(visits AS DOUBLE)", "exp(1000)"), ""),
    _sql("no rows", f"{GOOD} FROM input WHERE false", "no rows"),
    _sql("rows twice", f"{GOOD} FROM input UNION ALL {GOOD} FROM input", "feature query", "rows"),
    _sql("an error with a value",
         f"{GOOD} FROM input".replace("CAST(visits", "CAST(error(customer_id)"), "query"),
]  # fmt: skip


def _sqlite_query(name: str, sql: str, *says: str) -> Case:
    def change(site: Site) -> None:
        site.sqlite(f"CREATE TABLE customers ({ANY})", "INSERT INTO customers VALUES ('a', 1, 1)")
        site.write("features.sql", sql)
        site.config(('table = "customers"', 'query_file = "../features.sql"'))

    return Case(name=f"sqlite sql: {name}", change=change, says=says)


SQLITE_QUERIES = [
    _sqlite_query("deletes", "DELETE FROM customers", "DELETE"),
    _sqlite_query("replaces", "REPLACE INTO customers VALUES ('b', 1, 1)", "query"),
    _sqlite_query("vacuums", "VACUUM INTO 'stolen.db'", "query"),
    _sqlite_query("loads", "SELECT load_extension('x') FROM customers", "load_extension"),
    _sqlite_query("writes", "SELECT writefile('stolen', customer_id) FROM customers", "writefile"),
    _sqlite_query("random", "SELECT *, random() FROM customers", "random"),
    _sqlite_query("the clock", "SELECT *, date() FROM customers", "DATE"),
    _sqlite_query("now", "SELECT *, julianday('now') FROM customers", "now"),
    _sqlite_query("the schema", "SELECT * FROM sqlite_schema", "sqlite_schema"),
]


def _transactions(name: str, *says: str, status: int = 2, **changes: str) -> Case:
    keys = {
        "customer": '"customer_id"', "date": '"day"', "order": '"invoice"', "amount": '"spend"',
        "observation_date": '"2026-02-01"',
    } | changes  # fmt: skip

    def change(site: Site) -> None:
        lines = "\n".join(f"{key} = {value}" for key, value in keys.items() if value)
        site.config((ID + "\n", ""), ("[consent]", f"[data.transactions]\n{lines}\n[consent]"))
        site.write(
            "customers.csv",
            "customer_id,day,invoice,spend\nSECRET-1,2026-01-01,7,1\nSECRET-2,3 May,8,2\n",
        )

    return Case(name=f"transactions: {name}", change=change, says=says, status=status)


TRANSACTIONS = [
    _transactions("date in words", "'day'", "date_format", status=3),
    _transactions("no such column", "'tag'", "date in [data.transact", status=3, date='"tag"'),
    _transactions("observed never", "observation_date", observation_date=""),
    _transactions("observed in words", "observation_date", observation_date='"1 May 2026"'),
    _transactions("observed on no day", "observation_date", observation_date='"2026-02-30"'),
    _transactions("observed in TOML's dates", "observation_date", observation_date="2026-02-01"),
    _transactions("a window of 0 days", "window_days", window_days="0"),
    _transactions("an unknown form of dates", "date_format", date_format='"%Q"'),
    _transactions("amount and price", "amount and price", price='"p"'),
    _transactions("an unknown key", "'costumer'", "'customer'", costumer='"x"'),
]

# --- consents --------------------------------------------------------------------------------


def _consent(name: str, content: str | bytes, *says: str) -> Case:
    return Case(
        name=f"consents: {name}",
        change=lambda site: site.write("consents.csv", content) and None,
        says=("'crm'", *says),
    )


def _consent_file(name: str, file: str, kind: str, content: bytes, *says: str) -> Case:
    def change(site: Site) -> None:
        site.write(file, content)
        site.config(
            ('kind = "csv"\npath = "../consents.csv"', f'kind = "{kind}"\npath = "../{file}"')
        )

    return Case(name=f"consents: {name}", change=change, says=("'crm'", *says))


def _old(path: Path) -> None:
    path.write_text(CONSENTS)
    os.utime(path, (1_000_000_000, 1_000_000_000))


def _future(path: Path) -> None:
    path.write_text(CONSENTS)
    os.utime(path, (4_000_000_000, 4_000_000_000))


CONSENT_TABLES = [
    _consent("0 bytes", b"", "consents.csv", "0 bytes"),
    _consent("blank", "\n", "consents.csv"),
    _consent("UTF-16", CONSENTS.encode("utf-16"), "consents.csv", "UTF-16"),
    _consent("NUL", CONSENTS.replace("SECRET-2", "SECRET\0-2"), "consents.csv", "NUL"),
    _consent("Latin-1", CONSENTS.replace("SECRET-2", "SÉC-2").encode("latin-1"), "line 3"),
    _consent("semicolons", CONSENTS.replace(",", ";"), "consents.csv", "customer_id"),
    _consent("no header", CONSENTS.split("\n", 1)[1], "consents.csv", "first line"),
    _consent("no time", CONSENTS.replace("time", "when"), "'time'"),
    _consent("no purpose", CONSENTS.replace("purpose,", "why,"), "'purpose'"),
    _consent("columns alike", CONSENTS.replace("notice", "time"), "columns 3 and 5"),
    _consent("nobody", CONSENTS.replace("SECRET-2", ""), "row 2"),
    _consent("a short row", CONSENTS + "SECRET-2,ConsentGiven\n", "line 5"),
    _consent("a long row", CONSENTS + "SECRET-2,a,b,c,d,e,f\n", "line 5"),
    _consent("an open quote", CONSENTS + '"SECRET-2,a,b,c,d\n', "line"),
    _consent_file("no JSON", "c.jsonl", "jsonl", b"{\n", "c.jsonl"),
    _consent_file("half a line of JSON", "c.jsonl", "jsonl",
                  b'{"customer_id": "SECRET-1", "event"\n', "c.jsonl", "line 1"),
    _consent_file("JSON in UTF-16", "c.jsonl", "jsonl", '{"a": 1}\n'.encode("utf-16"), "c.jsonl"),
    _consent_file("no Parquet", "c.parquet", "parquet", CONSENTS.encode(), "c.parquet"),
    Case(name="consents: old", says=("'crm'", "2001-09-09"),
         change=lambda s: s.spoil("consents.csv", _old)),
    Case(name="consents: of the future", says=("'crm'", "2096-10-02"),
         change=lambda s: s.spoil("consents.csv", _future)),
    Case(name="consents: times in words", says=("none of 3 customers",), change=lambda s: s.write(
        "consents.csv", CONSENTS.replace("2026-01-01T00:00:00Z", "New Year 2026")) and None),
    Case(name="consents: another purpose", says=("fedseg:Other",), change=lambda s: s.config(
        ('purpose = "', 'purpose = "fedseg:Other" # "'))),
    Case(name="consents: another notice", says=("'1'", "2"),
         change=lambda s: s.config((NOTICES, 'notices = ["2"]'))),
    Case(name="consents: objections alone", says=("consent",), change=lambda s: s.config(
        (HOLDS, 'holds = "objections"'))),
    Case(name="consents: no heartbeat", says=("'crm'", "beat"), change=lambda s: s.config(
        (CONSENT_PATH, CONSENT_PATH + '\nheartbeat = "../beat"'))),
]  # fmt: skip

# --- agreements ------------------------------------------------------------------------------


def _agreement(name: str, change: Callable[[dict[str, Any]], object], *says: str) -> Case:
    return Case(
        name=f"agreement: {name}",
        change=lambda site: site.agreement(change),
        says=("agreement.json", *says),
    )


def _agreement_bytes(name: str, content: bytes, *says: str) -> Case:
    return Case(
        name=f"agreement: {name}",
        change=lambda site: site.write("node/agreement.json", content) and None,
        says=("agreement.json", *says),
    )


def _feature(name: str, key: str, value: Any, *says: str) -> Case:
    def change(agreement: dict[str, Any]) -> None:
        agreement["features"][0][key] = value

    return _agreement(f"{key} {name}", change, *says)


AGREEMENTS = [
    _agreement_bytes("0 bytes", b"", "line 1"),
    _agreement_bytes("NUL", bytes(50)),
    _agreement_bytes("a list", b"[]"),
    _agreement_bytes("a number of 10^308 digits, nearly", b"9" * 10_000),
    _agreement_bytes("deep", b"[" * 100_000, "nested"),
    _agreement_bytes("too large", b" " * 10_000_000),
    _agreement_bytes("no payload", b'{"payloadType": "x", "signatures": []}'),
    _agreement_bytes("UTF-16", json.dumps({"payload": ""}).encode("utf-16"), "byte 1"),
    _agreement_bytes("a key twice", b'{"payload": "", "payload": ""}'),
    _agreement_bytes("YAML", b"schema: fedseg\n"),
    _agreement("NaN", lambda a: a.update(min_segment_size=float("nan"))),
    _agreement("infinite", lambda a: a.update(min_segment_size=float("inf"))),
    _agreement("10^308", lambda a: a.update(min_segment_size=10**308)),
    _agreement("a fraction", lambda a: a.update(min_segment_size=1.5)),
    _agreement("unknown key", lambda a: a.update(min_segment_sise=1), "min_segment_sise"),
    _agreement("missing key", lambda a: a.pop("features") and None, "features"),
    _agreement("no features", lambda a: a.update(features=[]), "features"),
    _agreement("a list instead", lambda a: [a]),
    _agreement("expires in words", lambda a: a.update(expires="next May"), "expires"),
    _agreement("expires on no day", lambda a: a.update(expires="2026-02-30T00:00:00Z"), "expires"),
    _agreement("version in words", lambda a: a.update(version="one"), "version"),
    _agreement("version 0", lambda a: a.update(version=0), "version"),
    _agreement("unknown schema", lambda a: a.update(schema="fedseg/agreement/99"), "schema"),
    _agreement("parties alike", lambda a: a["parties"].append(a["parties"][0]), "parties"),
    _agreement("a hash too short", lambda a: a["software"].update(sha256="00"), "sha256"),
    _feature("NaN", "min", "NaN", "features[0].min", "'NaN'"),
    _feature("infinite", "max", "Infinity", "features[0].max", "'Infinity'"),
    _feature("10^308", "max", "1e308", "features[0].max", "'1e308'"),
    _feature("a number", "max", 10, "features[0].max", "in quotes"),
    _feature("below min", "max", "-1", "'visits'"),
    _feature("0", "weight", "0", "'visits'", "weight"),
    _feature("2", "weight", "2", "'visits'", "weight"),
    _feature("unknown", "transform", "sqrt", "features[0].transform", "log1p"),
    _feature("with a space", "name", "visits per month", "features[0].name"),
    _feature("unseen", "unit", "vi\u202esits", "features[0].unit", "202E"),
    _feature("empty", "necessity", "", "features[0].necessity"),
]

ALL: Final = [
    *CONFIGS, *SPOILT_PLACES, *CSVS, *VALUES, *OTHER_FILES, *PARQUETS, *SQLITES, *QUERIES,
    *SQLITE_QUERIES, *TRANSACTIONS, *CONSENT_TABLES, *AGREEMENTS,
]  # fmt: skip


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound node, made once."""
    root = tmp_path_factory.mktemp("pristine")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        (root / "customers.csv").write_text(DATA)
        (root / "consents.csv").write_text(CONSENTS)
        (root / "ca.pem").write_text("no certificate")
        patch.setattr(sys, "argv", ["fedseg-node", *init_words(root / "node")])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 0
    (root / "node" / "node.toml").write_text(CONFIG)
    home = NodeHome.load(root / "node")
    keystore = home.keystore()
    home.store(keystore).close()
    signed = draft(root / "node")
    copy = SignedAgreement(
        agreement=signed.agreement, envelope=signed.envelope.signed_by(keystore.identity)
    )
    (root / "node" / "agreement.json").write_bytes(copy.to_bytes())
    return root


@pytest.fixture
def site(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("COLUMNS", "20000")  # tables and messages on one line
    found = restore(pristine, tmp_path / "site")
    monkeypatch.chdir(found.root)
    return found


def test_there_are_at_least_two_hundred_cases_and_none_twice() -> None:
    assert len(ALL) >= 200
    assert len({case.name for case in ALL}) == len(ALL)


@pytest.mark.slow
def test_the_node_is_sound_before_it_is_spoilt(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = site.snapshot()
    shell = Shell(capsys, monkeypatch)
    done = shell("data", "check", "--dir", "node")
    assert done.code == 0, done.err
    checks = shell("check", "--dir", "node", "--format", "json").envelope["data"]["checks"]
    assert [c["check"] for c in checks if not c["passed"]] == ["coordinator"]  # nobody serves
    assert site.snapshot() == before


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_spoilt_input_is_refused_with_its_place_and_a_way_out(
    case: Case,
    site: Site,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case.change(site)
    before = site.snapshot()
    words = (*case.words, "--dir", "node", "--format", "json")
    done = Shell(capsys, monkeypatch)(*words)
    assert done.code == case.status, done.err
    assert done.envelope["status"] == ("refused" if case.status == 3 else "failed")
    assert "E-INTERNAL" not in done.err
    first, *ways_out = done.err.split("\n  Way out: ")
    assert len(first) > 5
    assert ways_out, done.err
    assert all(len(way_out.splitlines()[0]) > 5 for way_out in ways_out), done.err
    for said in case.says:
        assert said in done.err
    assert SECRET not in done.err + done.out
    assert site.snapshot() == before


@pytest.mark.slow
def test_a_process_of_its_own_ends_without_a_traceback_too(site: Site) -> None:
    """The same through a process, as a service manager sees it."""
    for change, says, status in (
        (lambda: site.write("node/node.toml", bytes(9)), "node.toml", 2),
        (lambda: site.write("node/node.toml", CONFIG), "", 0),
        (lambda: site.write("customers.csv", DATA.replace(",3,", ",NaN,")), "row 2", 3),
    ):
        change()
        before = site.snapshot()
        done = _process(site, "import partner_node.cli as c; c.main()", "data", "check",
                        "--dir", "node")  # fmt: skip
        assert done.returncode == status, done.stderr
        assert says in done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        assert SECRET not in done.stdout + done.stderr
        assert site.snapshot() == before


_UNREADABLE: Final = """
import contextlib, io, json, os, sys
from partner_node import cli
found = []
for name, words in json.loads(sys.argv.pop()):
    os.chmod(name, 0)
    sys.argv = ["fedseg-node", *words, "--dir", "node"]
    with contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            cli.main()
        except SystemExit as ended:
            found.append([name, ended.code, err.getvalue()])
    os.chmod(name, 0o600)
print(json.dumps(found))
"""


@pytest.mark.slow
def test_files_that_this_account_may_not_read_are_named(site: Site) -> None:
    """Root may read everything, so root gives that right up first."""
    files = [
        ("node/node.toml", DATA_CHECK), ("node/agreement.json", DATA_CHECK),
        ("customers.csv", DATA_CHECK), ("consents.csv", DATA_CHECK),
        ("node/keys/passphrase", CHECK), ("node/keys/keystore.json", CHECK),
    ]  # fmt: skip
    for name, _ in files:
        (site.root / name).chmod(0o600)
    before = site.snapshot()
    done = _process(site, _UNREADABLE, json.dumps(files), without_rights=os.geteuid() == 0)
    assert done.returncode == 0, done.stderr
    *_, last = done.stdout.splitlines()
    found = json.loads(last)
    assert [name for name, _, _ in found] == [name for name, _ in files]
    for name, status, said in found:
        assert status == (2 if name.endswith(".toml") else 3), said
        assert Path(name).name in said
        assert "Permission denied" in said
        assert "Way out: " in said
    assert site.snapshot() == before


def _process(
    site: Site, code: str, *words: str, without_rights: bool = False
) -> subprocess.CompletedProcess[str]:
    rights = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] * without_rights
    if rights and shutil.which("setpriv") is None:
        pytest.skip("root cannot give up the right to read everything without setpriv")
    return subprocess.run(
        [*rights, sys.executable, "-c", code, *words],
        cwd=site.root, capture_output=True, text=True, timeout=120, check=False,
        env=os.environ | {"COLUMNS": "20000", "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
