"""`feedback …`: opt-outs take effect, the rest is counted in ranges, and nothing leaves."""

# Fixtures of another file are imported, and named again by the tests that want them:

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from partner_node.feedback import KINDS, read_feedback
from partner_node.home import NodeHome
from protocol.errors import SourceError
from tests.partner_node.test_node_cli import Shell
from tests.partner_node.test_rights import counted, ids_in, node, ours, released, shell

__all__ = ["node", "ours", "released", "shell"]

HEADER = "customer_id,kind,at\n"
AT = "2026-01-31T09:30:00Z"
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def test_whoever_opts_out_is_out_of_questions_and_files(
    shell: Shell, ours: Path, tmp_path: Path
) -> None:
    rows = f"c7,opt-out,{AT}\nc9,opt-out,{AT}\nc0,wrong-segment,{AT}\nc1,preference,{AT}\n"
    (tmp_path / "said.csv").write_text(HEADER + rows)
    done = shell.json("feedback", "import", "said.csv", "--dir", ours)
    assert (done["read"], done["new"], done["opted_out"]) == (4, 4, 2)
    assert len(done["taken_out_of"]) == 2
    for path in map(Path, done["taken_out_of"]):
        found = ids_in(path)
        assert len(found) == 62
        assert not {"c7", "c9"} & set(found)
    assert not {"c7", "c9"} & set(counted(ours))
    assert {"c0", "c1"} <= set(counted(ours))
    again = shell.json("feedback", "import", "said.csv", "--dir", ours)
    assert (again["new"], again["taken_out_of"]) == (0, [])
    home = NodeHome.load(ours)
    store = home.store(home.keystore())
    assert [r for r in store.egress() if r.customers is not None] == []


def test_what_was_said_is_counted_in_ranges_by_segment(
    shell: Shell, ours: Path, tmp_path: Path
) -> None:
    assert "No customer has said anything yet" in shell("feedback", "list", "--dir", ours).out
    rows = "".join(f"c{i},wrong-segment,{AT}\n" for i in range(12))
    (tmp_path / "said.csv").write_text(HEADER + rows + f"nobody,complaint,{AT}\n")
    shell.json("feedback", "import", "said.csv", "--dir", ours)
    found = shell.json("feedback", "list", "--dir", ours)["feedback"]
    assert set(found) == set(KINDS)
    told = [r for r in found["wrong-segment"].values() if r["least"]]
    assert told in ([{"least": 10, "most": 19}], [])  # or hidden, beside what is small
    assert all(r["least"] in (0, None) for r in found["complaint"].values())
    assert "12" not in shell("feedback", "list", "--dir", ours).out


def test_a_customer_is_told_and_forgotten(shell: Shell, ours: Path, tmp_path: Path) -> None:
    (tmp_path / "said.csv").write_text(HEADER + f"c0,complaint,{AT}\nc1,complaint,{AT}\n")
    shell.json("feedback", "import", "said.csv", "--dir", ours)
    (said,) = shell.json("rights", "access", "--subject", "c0", "--dir", ours)["feedback"]
    assert (said["kind"], said["at"][:10]) == ("complaint", "2026-01-31")
    assert said["segment_then"].startswith("S")
    shell.json("rights", "erase", "--subject", "c0", "--dir", ours)
    assert shell.json("rights", "access", "--subject", "c0", "--dir", ours)["feedback"] == []
    assert len(shell.json("rights", "access", "--subject", "c1", "--dir", ours)["feedback"]) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "line 1: there is not one column 'customer_id'"),
        (b"customer_id,kind\n", "'at'"),
        (b"customer_id,kind,kind,at\n", "'kind'"),
        (b"customer_id,kind,at\nc1,opt-out\n", "line 2: 2 values"),
        (b"customer_id,kind,at\nSECRET,opt out,2026-01-01T00:00:00Z\n", "line 2, column 'kind'"),
        (b"customer_id,kind,at\n,opt-out,2026-01-01T00:00:00Z\n", "nobody is named"),
        (b"customer_id,kind,at\nSECRET,opt-out,2026-01-01\n", "line 2, column 'at'"),
        (b"customer_id,kind,at\nSECRET,opt-out,2999-01-01T00:00:00Z\n", "no time with a zone"),
        (b"customer_id,kind,at\nSECRET,opt-out,yesterday\n", "'yesterday'"),
        (b"customer_id,kind,at\n\xff\xfe\n", "not in UTF-8"),
        (b'customer_id,kind,at\n"SECRET,opt-out', "is not CSV"),
    ],
)
def test_a_file_with_a_fault_is_not_taken_in_at_all(
    shell: Shell, ours: Path, tmp_path: Path, text: bytes, says: str
) -> None:
    (tmp_path / "said.csv").write_bytes(text)
    error = shell.refused("feedback", "import", "said.csv", "--dir", ours, status=3)
    assert error["code"] == "E-FEEDBACK"
    assert says in error["message"]
    assert "SECRET" not in error["message"]
    assert "Nothing was taken in" in error["remedy"]
    assert len(counted(ours)) == 64


def test_folders_and_missing_files_are_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.csv"):
        with pytest.raises(SourceError) as caught:
            read_feedback(path, now=NOW)
        assert str(path) in caught.value.message


def test_a_byte_order_mark_more_columns_and_other_zones_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "said.csv"
    path.write_bytes(
        b"\xef\xbb\xbfkind,at,note,customer_id\r\nopt-out,2026-01-31T10:30:00+01:00,hi,c1\r\n\r\n"
    )
    (said,) = read_feedback(path, now=NOW)
    assert (said.subject, said.kind) == ("c1", "opt-out")
    assert said.at == datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
