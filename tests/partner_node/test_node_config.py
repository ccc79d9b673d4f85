"""The node's configuration: every key, its default, and what is refused with which words."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machine.metrics.settings import MetricsSettings
from partner_node.config import consent as consent_config
from partner_node.config import node_config as module
from partner_node.config.node_config import NodeConfig
from partner_node.sources.file_places import File
from partner_node.sources.kinds import KINDS, open_source
from partner_node.sources.servers import Server
from partner_node.sources.source import numbers
from protocol.errors import ConfigError, SourceError

MINIMAL = """
[node]
partner = "north-shop"
agreement = "agreement.json"
[coordinator]
address = "segments.example:9443"
root_certificates = "ca.pem"
[data]
kind = "csv"
path = "customers.csv"
id_column = "customer_id"
[keys]
passphrase_env = "FEDSEG_PASSPHRASE"
"""


def load(folder: Path, text: str) -> NodeConfig:
    path = folder / "node.toml"
    path.write_text(text, encoding="utf-8")
    return NodeConfig.load(path)


def with_key(section: str, key: str, value: str) -> str:
    """The minimal configuration with one key set, replacing what is there."""
    text = re.sub(rf"(?m)^{key} = .*\n", "", MINIMAL)
    if f"[{section}]" not in text:
        return f"{text}[{section}]\n{key} = {value}\n"
    return text.replace(f"[{section}]\n", f"[{section}]\n{key} = {value}\n")


def refusal(folder: Path, text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    assert caught.value.code == "E-CONFIG"
    assert caught.value.exit_code == 2
    assert caught.value.remedy
    assert "node.toml" in caught.value.message
    return caught.value


def test_a_minimal_configuration_has_the_documented_defaults(tmp_path: Path) -> None:
    found = load(tmp_path, MINIMAL)
    assert dataclasses.asdict(dataclasses.replace(found.data, columns={}, units={})) == {
        "kind": "csv",
        "place": {"path": str(tmp_path / "customers.csv"), "delimiter": ","},
        "table": None,
        "id_column": "customer_id",
        "query": None,
        "chunk_rows": 65_536,
        "memory_bytes": 512_000_000,
        "temp_folder": None,
        "columns": {},
        "units": {},
        "observed": None,
        "lines": None,
    }
    assert found.file == tmp_path / "node.toml"
    assert found.node.partner == "north-shop"
    assert found.node.agreement == tmp_path / "agreement.json"
    assert found.node.state == tmp_path / "state"
    assert found.node.output == tmp_path / "segments"
    assert found.coordinator.address == "segments.example:9443"
    assert found.coordinator.root_certificates == tmp_path / "ca.pem"
    assert found.coordinator.bundle_sha256 is None
    assert found.keys.store == tmp_path / "keys" / "keystore.json"
    assert found.keys.passphrase_env == "FEDSEG_PASSPHRASE"
    assert found.keys.passphrase_file is None
    assert (found.limits.threads, found.limits.temp_bytes) == (2, 20 * 10**9)
    assert dataclasses.asdict(found.consent) == {
        "purpose": "fedseg:CustomerSegmentation",
        "notices": (),
        "assessment": None,
        "youngest_customer": None,
        "sources": (),
    }
    assert dataclasses.asdict(found.egress) == {"hold": "none", "hold_hours": 24}
    assert found.receipts.keep is True
    assert dataclasses.asdict(found.rights) == {"authority": None, "data_from": None}
    assert found.metrics is None, "nothing listens unless it is switched on"
    assert found.traces is None, "nothing is sent unless it is switched on"
    assert not found.data.columns
    assert not found.data.units


#: section, key, TOML value, where it is found, what is found there
VALUES: list[tuple[str, str, str, str, Any]] = [
    ("node", "partner", '"a-1"', "node.partner", "a-1"),
    ("node", "agreement", '"/etc/a.json"', "node.agreement", Path("/etc/a.json")),
    ("node", "state", '"/var/s"', "node.state", Path("/var/s")),
    ("node", "output", '"/var/o"', "node.output", Path("/var/o")),
    ("coordinator", "address", '"10.0.0.1:443"', "coordinator.address", "10.0.0.1:443"),
    ("coordinator", "address", '"[::1]:65535"', "coordinator.address", "[::1]:65535"),
    ("coordinator", "root_certificates", '"/c"', "coordinator.root_certificates", Path("/c")),
    ("coordinator", "bundle_sha256", f'"{"0f" * 32}"', "coordinator.bundle_sha256", "0f" * 32),
    ("coordinator", "control", '"c.example:9444"', "coordinator.control", "c.example:9444"),
    ("coordinator", "proxy", '"http://p.example:1/"', "coordinator.proxy.address", "p.example:1"),
    ("coordinator", "proxy", '"none"', "coordinator.proxy.address", "none"),
    (
        "coordinator",
        "proxy_password_file",
        '"/c"',
        "coordinator.proxy.password_file",
        Path("/c"),
    ),
    ("coordinator", "proxy_password_env", '"P"', "coordinator.proxy.password_env", "P"),
    ("data", "kind", '"parquet"', "data.kind", "parquet"),
    ("data", "path", '"/data/**/*.parquet"', "data.place.path", "/data/**/*.parquet"),
    ("data", "id_column", '"Kunden-Nr."', "data.id_column", "Kunden-Nr."),
    ("data", "delimiter", '";"', "data.place.delimiter", ";"),
    ("data", "delimiter", '"\\t"', "data.place.delimiter", "\t"),
    ("data", "query", '"FROM input"', "data.query", "FROM input"),
    ("data", "query", "'''\nFROM input\n'''", "data.query", "FROM input\n"),
    ("data", "chunk_rows", "1", "data.chunk_rows", 1),
    ("data", "memory_limit", '"2 GiB"', "data.memory_bytes", 2 << 30),
    ("data", "memory_limit", '"64MB"', "data.memory_bytes", 64_000_000),
    ("data", "temp_folder", '"/fast"', "data.temp_folder", Path("/fast")),
    ("data", "columns", '{ visits = "Besuche" }', "data.columns", {"visits": "Besuche"}),
    ("data", "units", '{ visits = "visits" }', "data.units", {"visits": "visits"}),
    ("consent", "youngest_customer", "18", "consent.youngest_customer", 18),
    ("consent", "youngest_customer", "0", "consent.youngest_customer", 0),
    ("consent", "purpose", '"dpv:Marketing"', "consent.purpose", "dpv:Marketing"),
    ("consent", "notices", '["1", "2.0-b"]', "consent.notices", ("1", "2.0-b")),
    ("consent", "assessment", '"/lia.pdf"', "consent.assessment", Path("/lia.pdf")),
    ("consent", "sources", "[]", "consent.sources", ()),
    ("egress", "hold", '"answers"', "egress.hold", "answers"),
    ("egress", "hold", '"signed"', "egress.hold", "signed"),
    ("egress", "hold_hours", "720", "egress.hold_hours", 720),
    ("receipts", "keep", "false", "receipts.keep", False),
    ("receipts", "keep", "true", "receipts.keep", True),
    ("rights", "authority", '"The authority"', "rights.authority", "The authority"),
    ("rights", "data_from", '"Your orders"', "rights.data_from", "Your orders"),
    ("console", "host", '"127.0.0.2"', "console.host", "127.0.0.2"),
    ("console", "port", "0", "console.port", 0),
    ("console", "tls", '{ certificate = "/c", key = "/k" }', "console.key", Path("/k")),
    ("console", "names", '["n.example"]', "console.names", ("n.example",)),
    ("keys", "store", '"/k/s.json"', "keys.store", Path("/k/s.json")),
    ("keys", "passphrase_env", '"OTHER_1"', "keys.passphrase_env", "OTHER_1"),
    ("limits", "threads", "64", "limits.threads", 64),
    ("limits", "temp_space", '"1TB"', "limits.temp_bytes", 10**12),
    ("metrics", "port", "9464", "metrics", MetricsSettings(host="127.0.0.1", port=9464)),
    ("traces", "endpoint", '"http://c:1/v1/traces"', "traces.endpoint", "http://c:1/v1/traces"),
    ("metrics", "host", '"::1"', "metrics", None),
]


@pytest.mark.parametrize(("section", "key", "value", "where", "expected"), VALUES)
def test_each_key_is_read(
    tmp_path: Path, section: str, key: str, value: str, where: str, expected: object
) -> None:
    found: object = load(tmp_path, with_key(section, key, value))
    for name in where.split("."):
        found = getattr(found, name)
    assert found == expected


@pytest.mark.parametrize("endpoint", ["127.0.0.1:4318", "ftp://c/", "http://", "file:///x"])
def test_traces_are_sent_to_a_url_alone(tmp_path: Path, endpoint: str) -> None:
    assert "endpoint" in refusal(tmp_path, f'{MINIMAL}[traces]\nendpoint = "{endpoint}"\n').message


def test_metrics_are_offered_where_a_port_is_named_at_an_address_of_this_machine(
    tmp_path: Path,
) -> None:
    text = MINIMAL + '[metrics]\nport = 1\nhost = "%s"\n'
    assert load(tmp_path, text % "::1").metrics == MetricsSettings(host="::1", port=1)
    for host in ("localhost", "*", "", "10.0.0.256"):
        assert "metrics" in refusal(tmp_path, text % host).message
    assert "port" in refusal(tmp_path, MINIMAL + "[metrics]\nport = 65536\n").message


def test_no_known_key_is_left_untested() -> None:
    elsewhere = {("data", "query_file"), ("keys", "passphrase_file"), ("data", "transactions")}
    elsewhere.add(("console", "oidc"))  # test_console.py
    elsewhere |= {("data", key) for _, key, *_ in DATABASE_VALUES}
    tested = {(section, key) for section, key, *_ in VALUES} | elsewhere
    assert tested == {(section, key) for section, keys in module._KEYS.items() for key in keys}


def database_text(kind: str, key: str = "", value: str = "") -> str:
    """A configuration of a database with one key set, replacing what is there."""
    lines = {"table": '"customers"', "id_column": '"id"'}
    if "host" in KINDS[kind].keys:
        lines |= {"host": '"db.example"', "database": '"shop"', "user": '"reader"'}
    else:
        lines |= {"path": '"c.db"'}
    if key:
        lines[key] = value
    data = "".join(f"{k} = {v}\n" for k, v in lines.items() if v)
    return re.sub(r"(?s)kind = .*id_column = [^\n]*\n", f'kind = "{kind}"\n{data}', MINIMAL)


#: kind, key, TOML value, where it is found, what is found there
DATABASE_VALUES: list[tuple[str, str, str, str, Any]] = [
    ("duckdb", "table", '"customers"', "table", ("customers",)),
    ("sqlite", "table", '"main.customers"', "table", ("main", "customers")),
    ("sqlite", "table", '\'"a.b"."c ""d"""\'', "table", ("a.b", 'c "d"')),
    ("sqlite", "path", '"/data/c.db"', "place.path", "/data/c.db"),
    ("postgresql", "table", '"sales.Kunden 2026"', "table", ("sales", "Kunden 2026")),
    ("postgresql", "host", '"10.0.0.1"', "place.host", "10.0.0.1"),
    ("postgresql", "host", '"fe80::1"', "place.host", "fe80::1"),
    ("postgresql", "host", '"/run/postgresql"', "place.ssl", "disable"),
    ("postgresql", "port", "6432", "place.port", 6432),
    ("postgresql", "database", '"the shop"', "place.database", "the shop"),
    ("postgresql", "user", '"Max"', "place.user", "Max"),
    ("postgresql", "password_file", '"/k/p"', "place.password_file", Path("/k/p")),
    ("postgresql", "password_env", '"SHOP_WORD"', "place.password_env", "SHOP_WORD"),
    ("postgresql", "ssl", '"verify-ca"', "place.ssl", "verify-ca"),
    ("postgresql", "ssl", '"require"', "place.ssl", "require"),
    ("postgresql", "root_certificates", '"/ca"', "place.root_certificates", Path("/ca")),
    ("postgresql", "timeout_s", "60", "place.timeout_s", 60),
    ("mysql", "host", '"/run/mysqld/mysqld.sock"', "place.ssl", "disable"),
    ("mysql", "host", '"db.example"', "place.ssl", "verify-full"),
    ("mysql", "port", "3307", "place.port", 3307),
    ("mysql", "user", '"Max"', "place.port", 3306),
    ("mysql", "table", '"crm.Kunden 2026"', "table", ("crm", "Kunden 2026")),
]


@pytest.mark.parametrize(("kind", "key", "value", "where", "expected"), DATABASE_VALUES)
def test_each_key_of_a_database_is_read(
    tmp_path: Path, kind: str, key: str, value: str, where: str, expected: object
) -> None:
    data = load(tmp_path, database_text(kind, key, value)).data
    assert data.kind == kind
    found: object = data
    for name in where.split("."):
        found = getattr(found, name)
    assert found == expected


def test_a_minimal_server_is_reached_over_tls_with_its_certificate_checked(tmp_path: Path) -> None:
    found = load(tmp_path, database_text("postgresql")).data
    assert found.place == Server(
        host="db.example",
        port=5432,
        database="shop",
        user="reader",
        password_file=None,
        password_env=None,
        ssl="verify-full",
        root_certificates=None,
        timeout_s=3_600,
    )
    assert "db.example:5432" in found.place.name


@pytest.mark.parametrize(
    ("kind", "key", "value", "words"),
    [
        ("sqlite", "delimiter", '";"', 'belongs to kind = "csv"'),
        ("parquet", "delimiter", '";"', 'belongs to kind = "csv"'),
        ("sqlite", "memory_limit", '"1GB"', "SQLite takes little"),
        ("sqlite", "temp_folder", '"tmp"', "SQLITE_TMPDIR"),
        ("sqlite", "host", '"db.example"', 'belongs to kind = "postgresql", "mysql"'),
        ("duckdb", "ssl", '"disable"', 'belongs to kind = "postgresql"'),
        ("postgresql", "path", '"c.db"', "host, port and database"),
        ("mysql", "path", '"c.db"', "host, port and database"),
        ("mysql", "memory_limit", '"1GB"', "the server has its own limits"),
        ("postgresql", "temp_folder", '"tmp"', "server has its own"),
        ("csv", "table", '"customers"', "name the file by path"),
    ],
)
def test_a_key_of_another_kind_is_refused_with_the_way_out(
    tmp_path: Path, kind: str, key: str, value: str, words: str
) -> None:
    if kind in ("csv", "parquet"):
        text = with_key("data", key, value).replace('kind = "csv"', f'kind = "{kind}"')
    else:
        text = database_text(kind, key, value)
    error = refusal(tmp_path, text)
    assert f"[data] {key} is not for kind = {kind!r}" in error.message
    assert words in error.remedy


@pytest.mark.parametrize(
    ("kind", "key", "value", "words"),
    [
        ("sqlite", "table", "", "[data] table is missing"),
        ("sqlite", "query", '"SELECT 1"', "table and query are both set"),
        ("postgresql", "query_file", '"q.sql"', "table and query_file are both set"),
        ("sqlite", "table", '"a.b.c"', "'a.b.c'"),
        ("sqlite", "table", '".a"', "'.a'"),
        ("sqlite", "table", "'\"a'", "'\"a'"),
        ("sqlite", "path", "", "path is missing"),
        ("postgresql", "host", "", "host is missing"),
        ("postgresql", "host", '"db.example,db2.example"', "db2"),
        ("postgresql", "host", '"run/postgresql"', "'run/postgresql'"),
        ("postgresql", "host", '"https://db.example"', "https"),
        ("postgresql", "port", "0", "is 0"),
        ("postgresql", "port", '"5432"', "found text"),
        ("postgresql", "database", "", "database is missing"),
        ("postgresql", "user", "", "user is missing"),
        ("postgresql", "password_env", '"NOT-A-NAME"', "'NOT-A-NAME'"),
        ("postgresql", "password", '"s3cret"', "did you mean 'password_"),
        ("postgresql", "ssl", '"verify_full"', "did you mean 'verify-full'"),
        ("postgresql", "ssl", '"prefer"', "'prefer'"),
        ("postgresql", "ssl", '"disable"', "for everybody to read"),
        ("postgresql", "timeout_s", "0", "is 0"),
        ("mysql", "ssl", '"disable"', "for everybody to read"),
        ("mysql", "password", '"s3cret"', "did you mean 'password_"),
        ("mysql", "host", '"run/mysqld.sock"', "'run/mysqld.sock'"),
    ],
)
def test_a_wrong_value_for_a_database_is_refused(
    tmp_path: Path, kind: str, key: str, value: str, words: str
) -> None:
    error = refusal(tmp_path, database_text(kind, key, value))
    assert words in error.message
    assert "s3cret" not in error.diagnostics()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1", "/run/postgresql"])
def test_without_tls_a_server_on_this_machine_alone_is_read(tmp_path: Path, host: str) -> None:
    text = database_text("postgresql", "ssl", '"disable"')
    assert load(tmp_path, text.replace("db.example", host)).data.place
    for elsewhere in ("10.0.0.1", "localhost.example", "db.example"):
        error = refusal(tmp_path, text.replace("db.example", elsewhere))
        assert "verify-full" in error.remedy


def test_keys_about_tls_that_do_nothing_are_refused(tmp_path: Path) -> None:
    text = database_text("postgresql", "ssl", '"require"\nroot_certificates = "ca.pem"')
    assert "does not look at the server's certificate" in refusal(tmp_path, text).message
    text = database_text("postgresql", "ssl", '"verify-full"').replace("db.example", "/run/pg")
    assert "a socket on this machine has no TLS" in refusal(tmp_path, text).message
    text = database_text("postgresql", "password_file", '"p"\npassword_env = "P"')
    assert "are both set" in refusal(tmp_path, text).message


def test_a_query_file_is_read_from_the_configuration_s_folder(tmp_path: Path) -> None:
    (tmp_path / "features.sql").write_text("\ufeffFROM input\n", encoding="utf-8")
    found = load(tmp_path, with_key("data", "query_file", '"features.sql"'))
    assert found.data.query == "FROM input\n"


def test_a_passphrase_file_stands_in_for_the_variable(tmp_path: Path) -> None:
    text = MINIMAL.replace('passphrase_env = "FEDSEG_PASSPHRASE"', 'passphrase_file = "secret"')
    found = load(tmp_path, text)
    assert found.keys.passphrase_file == tmp_path / "secret"
    assert found.keys.passphrase_env is None


def test_a_proxys_password_in_the_file_is_refused_and_not_repeated(tmp_path: Path) -> None:
    text = with_key("coordinator", "proxy", '"http://user:s3cret@p.example:1"')
    error = refusal(tmp_path, text)
    assert "proxy_password_file" in error.remedy
    assert "s3cret" not in error.diagnostics()
    both = text.replace('proxy = "http://user:s3cret@p.example:1"', 'proxy_password_file = "p"\n'
                        'proxy_password_env = "P"')  # fmt: skip
    assert "are both set" in refusal(tmp_path, both).message


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        ("node", "partner", '"North Shop"', "'North Shop'"),
        ("node", "partner", '""', "0 characters"),
        ("node", "partner", "7", "found a whole number"),
        ("node", "agreement", '"~/a.json"', "'~/a.json'"),
        ("node", "agreement", '"a\\u0000"', "NUL"),
        ("node", "output", "[]", "found a list"),
        ("node", "state", "true", "found true or false"),
        ("coordinator", "address", '"https://segments.example:9443"', "https://"),
        ("coordinator", "address", '"segments.example"', "'segments.example'"),
        ("coordinator", "address", '"segments.example:0"', ":0'"),
        ("coordinator", "address", '"segments.example:65536"', "65536"),
        ("coordinator", "address", '"segments.example:https"', "https"),
        ("coordinator", "address", '":9443"', "':9443'"),
        ("coordinator", "address", '"a b:9443"', "a b"),
        ("coordinator", "root_certificates", "2024-01-01", "found a date"),
        ("coordinator", "bundle_sha256", f'"{"0F" * 32}"', "0F0F"),
        ("coordinator", "bundle_sha256", '"abc"', "'abc'"),
        ("coordinator", "control", '"https://c.example:1"', "https://c.example:1"),
        ("coordinator", "control", '"c.example"', "c.example"),
        ("coordinator", "proxy", '"https://p.example:1"', "no address of an HTTP"),
        ("coordinator", "proxy", '"p.example:1"', "no address of an HTTP"),
        ("coordinator", "proxy", '"http://u:p@p.example:1"', "has user and password in it"),
        ("coordinator", "proxy", "8080", "found a whole number"),
        ("coordinator", "proxy_password_env", '"a b"', "a b"),
        ("data", "kind", '"parkuet"', "did you mean 'parquet'"),
        ("data", "kind", '"excel"', "'excel'"),
        ("data", "path", "1.5", "found a number"),
        ("data", "id_column", '""', "0 characters"),
        ("data", "delimiter", '";;"', "2 characters"),
        ("data", "delimiter", '"a"', "'a'"),
        ("data", "delimiter", "'\"'", "delimiter"),
        ("data", "delimiter", '"\\n"', "delimiter"),
        ("data", "query", '""', "0 characters"),
        ("data", "query_file", '"missing.sql"', "missing.sql"),
        ("data", "chunk_rows", "0", "is 0"),
        ("data", "chunk_rows", "10000001", "is 10000001"),
        ("data", "chunk_rows", "true", "found true or false"),
        ("data", "chunk_rows", "1.0", "found a number"),
        ("data", "memory_limit", '"1MB"', "'1MB'"),
        ("data", "memory_limit", '"lots"', "'lots'"),
        ("data", "memory_limit", '"-1GB"', "'-1GB'"),
        ("data", "memory_limit", '"101TB"', "'101TB'"),
        ("data", "memory_limit", "512", "found a whole number"),
        ("data", "temp_folder", "1", "found a whole number"),
        ("data", "columns", '"visits"', "found text"),
        ("data", "columns", "{ visits = 1 }", "columns.visits"),
        ("data", "columns", '{ visits = "" }', "columns.visits"),
        ("consent", "purpose", '"segmentation"', "'segmentation'"),
        ("consent", "notices", '"1"', "found text"),
        ("consent", "notices", "[1]", "found a whole number"),
        ("consent", "notices", '[""]', "found text"),
        ("consent", "notices", '["version 1"]', "'version 1'"),
        ("consent", "assessment", "true", "found true or false"),
        ("consent", "sources", '"crm.csv"', "found text"),
        ("egress", "hold", '"answer"', "did you mean 'answers'"),
        ("egress", "hold", "true", "found true or false"),
        ("egress", "hold_hours", "0", "is 0"),
        ("egress", "hold_hours", "721", "is 721"),
        ("receipts", "keep", "1", "must be true or false"),
        ("receipts", "keep", '"true"', "must be true or false"),
        ("keys", "store", "1", "found a whole number"),
        ("keys", "passphrase_env", '"NOT-A-NAME"', "'NOT-A-NAME'"),
        ("limits", "threads", "0", "is 0"),
        ("limits", "threads", "65", "is 65"),
        ("limits", "temp_space", '"20"', "'20'"),
    ],
)
def test_a_wrong_value_is_refused_naming_section_key_and_value(
    tmp_path: Path, section: str, key: str, value: str, words: str
) -> None:
    error = refusal(tmp_path, with_key(section, key, value))
    assert f"[{section}] {key}" in error.message
    assert words in error.message


@pytest.mark.parametrize(
    "key", ["partner", "agreement", "address", "root_certificates", "kind", "path", "id_column"]
)
def test_a_missing_key_is_refused_by_name(tmp_path: Path, key: str) -> None:
    error = refusal(tmp_path, re.sub(rf"(?m)^{key} = .*\n", "", MINIMAL))
    assert f"{key} is missing" in error.message


@pytest.mark.parametrize(
    ("section", "key", "nearest"),
    [
        ("node", "partnr", "partner"),
        ("coordinator", "adress", "address"),
        ("data", "Path", "path"),
        ("data", "id-column", "id_column"),
        ("data", "memory", "memory_limit"),
        ("consent", "notice", "notices"),
        ("egress", "hold_hour", "hold_hours"),
        ("receipts", "keeps", "keep"),
        ("keys", "passphrase", "passphrase_"),
        ("limits", "thread", "threads"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(
    tmp_path: Path, section: str, key: str, nearest: str
) -> None:
    error = refusal(tmp_path, with_key(section, key, '"s3cret"'))
    assert f"[{section}] unknown key {key!r}" in error.message
    assert f"did you mean '{nearest}" in error.message
    assert "s3cret" not in error.diagnostics()


def test_an_unknown_section_is_refused_with_the_nearest_known_one(tmp_path: Path) -> None:
    error = refusal(tmp_path, MINIMAL + "[limit]\nthreads = 2\n")
    assert "did you mean 'limits'" in error.message


def test_a_section_that_is_a_value_is_refused(tmp_path: Path) -> None:
    error = refusal(tmp_path, "limits = 3\n" + MINIMAL)
    assert "limits must be a section" in error.message


def test_two_queries_two_passphrases_or_none_are_refused(tmp_path: Path) -> None:
    two = with_key("data", "query", '"FROM input"').replace(
        "[data]\n", '[data]\nquery_file = "f.sql"\n'
    )
    assert "query and query_file are both set" in refusal(tmp_path, two).message
    both = MINIMAL + 'passphrase_file = "secret"\n'
    assert "are both set" in refusal(tmp_path, both).message
    none = MINIMAL.replace('passphrase_env = "FEDSEG_PASSPHRASE"', "")
    assert "passphrase_env is missing" in refusal(tmp_path, none).message


@pytest.mark.parametrize(
    "content",
    [
        b"[node\n",
        b"\xff\xfe[\x00n\x00",
        b"\0",
        b"a = 1\na = 2\n",
        b"x = " + b"[" * 100_000,
        b"#" * 2_000_000,
    ],
)
def test_a_file_that_is_not_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "node.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        NodeConfig.load(path)
    assert "node.toml" in caught.value.message


def test_a_missing_file_or_a_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "node.toml", tmp_path):
        with pytest.raises(ConfigError) as caught:
            NodeConfig.load(path)
        assert "init" in caught.value.remedy


def test_a_query_file_that_is_too_large_or_not_text_is_refused(tmp_path: Path) -> None:
    for content, words in ((b" " * 2_000_000, "more than"), (b"\xff\xff", "UTF-8")):
        (tmp_path / "q.sql").write_bytes(content)
        error = refusal(tmp_path, with_key("data", "query_file", '"q.sql"'))
        assert words in error.message


def test_a_byte_order_mark_in_the_configuration_is_skipped(tmp_path: Path) -> None:
    assert load(tmp_path, "\ufeff" + MINIMAL).node.partner == "north-shop"


# --- consent sources ---------------------------------------------------------------------------

CONSENTS = {"name": '"crm"', "holds": '"consents"', "kind": '"csv"', "path": '"crm.csv"'}
OBJECTIONS = CONSENTS | {"name": '"robinson"', "holds": '"objections"'}
IN_SQLITE = CONSENTS | {"kind": '"sqlite"', "table": '"consents"'}
IN_POSTGRESQL = {k: v for k, v in IN_SQLITE.items() if k != "path"} | {
    "kind": '"postgresql"', "host": '"db.example"', "database": '"crm"', "user": '"reader"',
}  # fmt: skip


def with_sources(*sources: dict[str, str]) -> str:
    """The minimal configuration with consent sources, given by key and TOML value."""
    return MINIMAL + "".join(
        "[[consent.sources]]\n" + "".join(f"{key} = {value}\n" for key, value in source.items())
        for source in sources
    )


def test_a_consent_source_has_the_documented_defaults(tmp_path: Path) -> None:
    (source,) = load(tmp_path, with_sources(CONSENTS)).consent.sources
    assert {name: getattr(source, name) for name in source.__slots__} == {
        "name": "crm",
        "holds": "consents",
        "kind": "csv",
        "place": File(path=str(tmp_path / "crm.csv")),
        "table": (),
        "columns": {"subject": "customer_id"},
        "constants": {},
        "events": {},
        "flags": (),
        "heartbeat": None,
    }


#: base, key, TOML value, what is found under the same name
SOURCE_VALUES: list[tuple[dict[str, str], str, str, Any]] = [
    (CONSENTS, "name", '"CRM of the shops"', "CRM of the shops"),
    (CONSENTS, "holds", '"objections"', "objections"),
    (CONSENTS, "kind", '"jsonl"', "jsonl"),
    (CONSENTS, "kind", '"parquet"', "parquet"),
    (CONSENTS, "path", '"/exports/*.csv"', "/exports/*.csv"),
    (CONSENTS, "delimiter", '"|"', "|"),
    (
        CONSENTS, "columns", '{ subject = "PartyId", until = "EffectiveTo" }',
        {"subject": "PartyId", "until": "EffectiveTo"},
    ),
    (CONSENTS, "columns", '{ time = "at" }', {"subject": "customer_id", "time": "at"}),
    (CONSENTS, "constants", '{ notice = "2" }', {"notice": "2"}),
    (CONSENTS, "events", '{ OptIn = "ConsentGiven" }', {"OptIn": "ConsentGiven"}),
    (OBJECTIONS, "flags", '["gpc", "limit"]', ("gpc", "limit")),
    (OBJECTIONS, "heartbeat", '"/exports/done"', Path("/exports/done")),
    (IN_SQLITE, "kind", '"duckdb"', "duckdb"),
    (IN_SQLITE, "columns", '{ updated = "at" }', {"subject": "customer_id", "updated": "at"}),
    (IN_SQLITE, "table", '"crm.events"', ("crm", "events")),
    (IN_POSTGRESQL, "table", '\'"a.b"."c d"\'', ("a.b", "c d")),
    (IN_POSTGRESQL, "host", '"other.example"', "other.example"),
    (IN_POSTGRESQL, "port", "6432", 6432),
    (IN_POSTGRESQL, "database", '"wishes"', "wishes"),
    (IN_POSTGRESQL, "user", '"fedseg"', "fedseg"),
    (IN_POSTGRESQL, "password_file", '"/secret"', Path("/secret")),
    (IN_POSTGRESQL, "password_env", '"SECRET"', "SECRET"),
    (IN_POSTGRESQL, "ssl", '"verify-ca"', "verify-ca"),
    (IN_POSTGRESQL, "root_certificates", '"/ca.pem"', Path("/ca.pem")),
    (IN_POSTGRESQL, "timeout_s", "60", 60),
]  # fmt: skip


@pytest.mark.parametrize(("base", "key", "value", "expected"), SOURCE_VALUES)
def test_each_key_of_a_consent_source_is_read(
    tmp_path: Path, base: dict[str, str], key: str, value: str, expected: object
) -> None:
    (source,) = load(tmp_path, with_sources(base | {key: value})).consent.sources
    assert getattr(source if hasattr(source, key) else source.place, key) == expected


def test_no_known_key_of_a_consent_source_is_left_untested() -> None:
    assert {key for _, key, *_ in SOURCE_VALUES} == set(consent_config._SOURCE_KEYS)


@pytest.mark.parametrize(
    ("base", "key", "value", "words"),
    [
        (CONSENTS, "holds", '"objection"', "did you mean 'objections'"),
        (CONSENTS, "kind", '"json"', "did you mean 'jsonl'"),
        (CONSENTS, "path", '"~/crm.csv"', "'~/crm.csv'"),
        (CONSENTS, "delimiter", '"a"', "'a'"),
        (CONSENTS, "columns", '{ moment = "at" }', "columns.moment is unknown"),
        (CONSENTS, "columns", "{ time = 1 }", "columns.time"),
        (CONSENTS, "constants", '{ event = "ConsentGiven" }', "constants.event is unknown"),
        (CONSENTS, "events", '{ yes = "ConsentGivn" }', "did you mean 'ConsentGiven'"),
        (CONSENTS, "flags", '["gpc"]', 'holds is "consents"'),
        (CONSENTS, "heartbeat", "1", "found a whole number"),
        (OBJECTIONS, "columns", '{ event = "e" }', "columns.event is unknown"),
        (OBJECTIONS, "constants", '{ notice = "1" }', 'holds is "objections"'),
        (OBJECTIONS, "events", '{ yes = "ConsentGiven" }', 'holds is "objections"'),
        (OBJECTIONS, "flags", '"gpc"', "found text"),
        (CONSENTS, "name", '""', "0 characters"),
        (CONSENTS, "nmae", '"crm"', "did you mean 'name'"),
        (CONSENTS, "table", '"consents"', "table is not for kind = 'csv'"),
        (CONSENTS, "columns", '{ updated = "at" }', "columns.updated is unknown"),
        (CONSENTS | {"kind": '"parquet"'}, "delimiter", '";"', "delimiter is not for kind"),
        (IN_SQLITE, "host", '"db.example"', "host is not for kind = 'sqlite'"),
        (IN_SQLITE, "table", '"a.b.c"', "'a.b.c'"),
        (IN_SQLITE, "holds", '"births"', "heartbeat or columns.updated is missing"),
        (IN_SQLITE, "query", '"SELECT 1"', "unknown key 'query'"),
        (IN_SQLITE | {"heartbeat": '"ok"'}, "columns", '{ updated = "at" }', "are both set"),
        (IN_POSTGRESQL, "path", '"crm.db"', "path is not for kind = 'postgresql'"),
        (IN_POSTGRESQL, "ssl", '"disable"', "cross the network"),
        (IN_POSTGRESQL, "host", '"a b"', "'a b'"),
    ],
)
def test_a_wrong_value_of_a_consent_source_is_refused_naming_the_source_and_the_key(
    tmp_path: Path, base: dict[str, str], key: str, value: str, words: str
) -> None:
    error = refusal(tmp_path, with_sources(OBJECTIONS | {"name": '"first"'}, base | {key: value}))
    assert "[consent.sources 2]" in error.message
    assert words in error.message


@pytest.mark.parametrize("key", ["name", "holds", "kind", "path"])
def test_a_consent_source_that_lacks_a_key_is_refused_by_name(tmp_path: Path, key: str) -> None:
    values = {k: v for k, v in CONSENTS.items() if k != key}
    assert f"{key} is missing" in refusal(tmp_path, with_sources(values)).message


@pytest.mark.parametrize("key", ["table", "host", "database", "user"])
def test_a_consent_source_in_a_database_that_lacks_a_key_is_refused_by_name(
    tmp_path: Path, key: str
) -> None:
    values = {k: v for k, v in IN_POSTGRESQL.items() if k != key}
    error = refusal(tmp_path, with_sources(values))
    assert f"{key} is missing" in error.message
    assert "query" not in error.remedy


def test_what_is_said_twice_of_a_consent_source_is_refused(tmp_path: Path) -> None:
    both = CONSENTS | {"columns": '{ notice = "n" }', "constants": '{ notice = "1" }'}
    assert "are both set" in refusal(tmp_path, with_sources(both)).message
    assert "'crm' twice" in refusal(tmp_path, with_sources(CONSENTS, CONSENTS)).message


def test_a_consent_source_that_is_no_section_is_refused(tmp_path: Path) -> None:
    error = refusal(tmp_path, with_key("consent", "sources", '["crm.csv"]'))
    assert "must be a section" in error.message


# --- the template ----------------------------------------------------------------------------


def test_the_template_loads_and_holds_what_was_put_in(tmp_path: Path) -> None:
    text = NodeConfig.template(
        partner="south",
        address="c.example:1",
        kind="parquet",
        path="parts/*.parquet",
        id_column='the "id"',
        columns={"visits": "n visits", "ünï x": "y"},
        agreement="a.json",
        root_certificates="root.pem",
        bundle_sha256="ab" * 32,
        passphrase_file="pass phrase",
    )
    found = load(tmp_path, text)
    assert found.node.partner == "south"
    assert found.node.agreement == tmp_path / "a.json"
    assert found.coordinator.address == "c.example:1"
    assert found.coordinator.root_certificates == tmp_path / "root.pem"
    assert found.coordinator.bundle_sha256 == "ab" * 32
    assert found.data.kind == "parquet"
    assert found.data.place.name == str(tmp_path / "parts/*.parquet")
    assert found.data.id_column == 'the "id"'
    assert found.data.columns == {"visits": "n visits", "ünï x": "y"}
    assert found.keys.passphrase_file == tmp_path / "pass phrase"


@pytest.mark.parametrize("kind", KINDS)
def test_the_template_s_commented_keys_are_the_defaults_or_load_as_examples(
    tmp_path: Path, kind: str
) -> None:
    (tmp_path / "features.sql").write_text("FROM input", encoding="utf-8")
    text = NodeConfig.template(
        partner="south", address="c.example:1", kind=kind, consents="c.csv", objections="o.jsonl"
    )
    plain = load(tmp_path, text)
    assert plain.data.kind == kind
    commented = re.findall(r"(?m)^# ([a-z0-9_]+) = ", text)
    examples = {
        "bundle_sha256", "control", "proxy", "proxy_password_file", "proxy_password_env",
        "query", "query_file", "monetary", "assessment", "authority",
        "data_from", "columns", "constants",
        "events", "flags", "heartbeat", "youngest_customer", "port", "endpoint", "tls",
        "names", "oidc",
    }  # fmt: skip
    examples |= {"temp_folder", "password_file", "password_env", "root_certificates"} & {
        *KINDS[kind].keys
    }
    assert examples < set(commented)
    for key in commented:
        changed = re.sub(rf"(?m)^# {key} = ", f"{key} = ", text)
        if key in ("query", "query_file"):
            changed = re.sub(r"(?m)^table = .*\n", "", changed)
        found = load(tmp_path, changed)
        assert (found == plain) == (key not in examples)


def test_the_template_names_every_known_key() -> None:
    text = "".join(
        NodeConfig.template(partner="south", address="c.example:1", passphrase_file=file, kind=kind)
        for file in (None, "secret")
        for kind in KINDS
    )
    text += NodeConfig.template(
        partner="south", address="c.example:1", consents="c.csv", objections="o.csv"
    )
    for keys in (*module._KEYS.values(), consent_config._SOURCE_KEYS):
        for key in keys:
            found = rf"(?m)^(# )?{key} = |\[data\.{key}\]|^\[\[consent\.{key}\]\]"
            assert re.search(found, text), key


def test_the_template_holds_what_is_said_of_a_server(tmp_path: Path) -> None:
    text = NodeConfig.template(
        partner="south",
        address="c.example:1",
        kind="postgresql",
        host="db.example",
        port=6432,
        database='the "shop"',
        user="reader",
        password_file="a b",
        ssl="verify-ca",
        table='sales."x.y"',
    )
    found = load(tmp_path, text).data
    assert found.table == ("sales", "x.y")
    server = found.place
    assert isinstance(server, Server)
    assert (server.host, server.port, server.database) == ("db.example", 6432, 'the "shop"')
    assert (server.user, server.password_file) == ("reader", tmp_path / "a b")
    assert server.ssl == "verify-ca"


def test_the_template_s_longer_examples_load_when_their_marks_are_taken_away(
    tmp_path: Path,
) -> None:
    text = NodeConfig.template(partner="south", address="c.example:1")
    plain = load(tmp_path, text)
    assert (plain.consent.sources, plain.agreements) == ((), {})
    found = load(tmp_path, re.sub(r"(?m)^#   |^# (?=\[agreements)", "", text))
    (source,) = found.consent.sources
    assert (source.holds, source.place.name) == ("consents", str(tmp_path / "consents.csv"))
    assert found.under("loyalty-2026").data.id_column == "member"


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_any_text_survives_the_template(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    found = load(
        folder,
        NodeConfig.template(
            partner="south", address="c.example:1", id_column=text, columns={text: text},
            consents="c.csv", notice="1",
        ),
    )  # fmt: skip
    assert found.consent.sources[0].columns["subject"] == text
    assert found.data.id_column == text
    assert found.data.columns == {text: text}


def test_the_template_names_the_tables_that_it_is_given(tmp_path: Path) -> None:
    text = NodeConfig.template(
        partner="south", address="c.example:1", consents="a.parquet", objections="b.jsonl",
        notice="2.1",
    )  # fmt: skip
    found = load(tmp_path, text).consent
    assert found.notices == ("2.1",)
    assert [(s.name, s.holds, s.kind, s.place.name) for s in found.sources] == [
        ("consents", "consents", "parquet", str(tmp_path / "a.parquet")),
        ("objections", "objections", "jsonl", str(tmp_path / "b.jsonl")),
    ]


def test_a_source_is_opened_as_configured(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("customer_id;x\n007;1.5\n", encoding="utf-8")
    text = NodeConfig.template(partner="south", address="c.example:1", path="c.csv")
    text = text.replace('# delimiter = ","', 'delimiter = ";"')
    text = text.replace('# temp_folder = "temporary"', 'temp_folder = "temporary"')
    found = load(tmp_path, text)
    source = open_source(found.data, found.limits)
    (chunk,) = source.chunks(numbers("x"), max_rows=found.data.chunk_rows)
    assert chunk.ids.tolist() == ["007"]
    assert chunk.values.tolist() == [[1.5]]
    assert (tmp_path / "temporary").is_dir()


def test_a_source_of_every_kind_is_opened_as_configured(tmp_path: Path) -> None:
    folders = set()
    for kind in KINDS:
        text = NodeConfig.template(partner="south", address="c.example:1", kind=kind)
        found = load(tmp_path, text)
        folders.add(type(open_source(found.data, found.limits)).__module__.split(".")[-2])
        if "path" in KINDS[kind].keys:
            with pytest.raises(SourceError, match=r"customers\.csv"):
                open_source(found.data, found.limits).columns()
    assert folders == {*KINDS} - {"csv", "parquet"}  # which DuckDB reads


def test_a_password_in_the_address_for_traces_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, MINIMAL + '[traces]\nendpoint = "http://me:s3cret@collector.example:4318"\n')
    assert caught.value.code == "E-CONFIG"
    assert "s3cret" not in f"{caught.value} {caught.value.remedy}"
