"""SPEC.md names what there is: every error code, every test, every limit."""

from __future__ import annotations

import re
from pathlib import Path

from protocol import limits

ROOT = Path(__file__).parents[2]
SPEC = (ROOT / "protocol" / "SPEC.md").read_text()
WIRE = [
    "agreement/document",
    "signed_agreement",
    "canonical",
    "messages",
    "participants",
    "partner_round",
    "coordinator_round",
    "masking",
    "queries",
    "ring",
    "signing",
    "strict",
    "clustering/lloyd_exact",
    "clustering/plan",
    "release/document",
]


def test_every_code_of_the_protocol_is_in_the_table() -> None:
    for name in WIRE:
        source = (ROOT / "protocol" / f"{name}.py").read_text()
        for code in set(re.findall(r'"(E-[A-Z-]+)"', source)) - {"E-"}:
            assert f"`{code}`" in SPEC.partition("## 14.")[2], f"{code} of {name}.py"


def test_every_test_that_is_named_exists() -> None:
    sources = "".join(
        path.read_text()
        for folder in ("protocol", "control")
        for path in (ROOT / "tests" / folder).glob("*.py")
    )
    named = set(re.findall(r"`(test_[a-z0-9_]+)`", SPEC))
    assert len(named) > 20
    for name in named:
        assert f"def {name}(" in sources, name


def test_the_sections_that_docstrings_refer_to_exist() -> None:
    for path in (ROOT / "protocol").rglob("*.py"):
        found = re.findall(r"SPEC\.md,\s+(?:section\s+)?(\d+(?:\.\d+)?)", path.read_text())
        for number in found:
            assert re.search(rf"^#+ {re.escape(number)}[. ]", SPEC, re.MULTILINE), (path, number)


def test_limits_are_those_of_the_table() -> None:
    table = SPEC.partition("## 2.")[2].partition("## 3.")[0]
    for value in (
        f"{limits.MAX_REQUEST_BYTES >> 20} MiB",
        f"{limits.MAX_REPLY_BYTES >> 20} MiB",
        f"{limits.MAX_TRANSCRIPT_BYTES >> 20} MiB",
        f"{limits.MAX_AGREEMENT_BYTES >> 20} MiB, {limits.MAX_RELEASE_BYTES >> 20} MiB",
        f"8·m + {limits.MASKED_OVERHEAD_BYTES} bytes",
        f"{limits.MAX_PARTNERS}; {limits.MAX_FEATURES}; {limits.MAX_CLUSTERS:,}; "
        f"{limits.MAX_ROUNDS:,}",
        f"{limits.MAX_CHAIN_LINKS:,}",
    ):
        assert value in table, value
