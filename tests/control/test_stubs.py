"""The checked-in stubs are what the pinned compiler makes of the .proto."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from coordinator.control.callers import ACCESS
from protocol.control import calls
from protocol.control.v1 import control_pb2

ROOT = Path(__file__).parents[2]
V1 = ROOT / "protocol" / "control" / "v1"
PROTO = "protocol/control/v1/control.proto"


@pytest.mark.slow
def test_the_stubs_are_made_of_the_proto(tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-I.",
         f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", PROTO],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    for name in ("control_pb2.py", "control_pb2.pyi"):
        there = (tmp_path / "protocol" / "control" / "v1" / name).read_bytes()
        assert there == (V1 / name).read_bytes(), f"{name}: call `make protos`"


def test_every_call_of_the_proto_has_a_name_and_a_line_in_the_table_of_access() -> None:
    service = control_pb2.DESCRIPTOR.services_by_name["Control"]
    assert service.full_name == calls.SERVICE
    assert {method.name for method in service.methods} == set(ACCESS)


def test_the_specification_names_every_call_and_every_field() -> None:
    text = (ROOT / "protocol" / "SPEC.md").read_text(encoding="utf-8")
    section = text.split("\n## 17")[1].split("\n## ")[0]
    for method in control_pb2.DESCRIPTOR.services_by_name["Control"].methods:
        assert re.search(rf"\| `{method.name}` \|", section), method.name
        for message in (method.input_type, method.output_type):
            for field in message.fields:
                assert f"`{field.name}`" in section, (method.name, field.name)
