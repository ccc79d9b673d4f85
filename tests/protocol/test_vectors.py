"""The test vectors: what they say is what the code does; the bad ones are refused as they say."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from protocol import masking
from protocol.agreement.document import Agreement
from protocol.agreement_rules import problems_of
from protocol.canonical import unframe
from protocol.errors import FedsegError
from protocol.participants import Chain, SetRules
from protocol.signed_agreement import SignedAgreement

FOLDER = Path(__file__).parents[1] / "vectors"
FILES = sorted((FOLDER / "protocol").glob("*.json"))
GOOD = [path for path in FILES if not path.stem.startswith("bad_")]
BAD = [path for path in FILES if path.stem.startswith("bad_")]


@pytest.fixture(scope="module")
def maker(lab: ModuleType) -> ModuleType:
    """The script that makes the vectors."""
    spec = importlib.util.spec_from_file_location("make_vectors", FOLDER / "make_vectors.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_is_a_file_for_everything_that_is_made(maker: ModuleType) -> None:
    assert {path.stem for path in FILES} == set(maker.FILES)
    assert len(BAD) >= 4


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_code_gives_what_the_vectors_say(maker: ModuleType, path: Path) -> None:
    before = (FOLDER / "kem_encapsulations.json").read_bytes()
    assert json.loads(path.read_text())["vectors"] == json.loads(
        json.dumps(maker.FILES[path.stem]())
    )
    assert (FOLDER / "kem_encapsulations.json").read_bytes() == before


def refuse_framing(case: dict[str, Any]) -> None:
    unframe(bytes.fromhex(case["bytes"]), case["count"])


def refuse_agreement(case: dict[str, Any]) -> None:
    for problem in problems_of(Agreement.from_dict(case["agreement"])):
        raise problem


def refuse_signed_agreement(case: dict[str, Any]) -> None:
    SignedAgreement.from_bytes(case["envelope"].encode()).verify()


def refuse_chain(lab: ModuleType, case: dict[str, Any]) -> None:
    agreement = Agreement.from_dict(lab.agreement_values(9))
    chain, signed = (
        Chain.from_bytes(bytes.fromhex(case[name]), agreement) for name in ("chain", "signed")
    )
    rules = SetRules(smallest=6, min_atom=3, max_changes=2)
    rules.check(chain, signed=signed, run_hash=bytes.fromhex(case["run_hash"]))


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_vectors_are_refused_with_the_code_they_name(lab: ModuleType, path: Path) -> None:
    check: Callable[[dict[str, Any]], None] = {
        "bad_framing": refuse_framing,
        "bad_agreement": refuse_agreement,
        "bad_signed_agreement": refuse_signed_agreement,
        "bad_chain": lambda case: refuse_chain(lab, case),
    }[path.stem]
    for case in json.loads(path.read_text())["vectors"]:
        with pytest.raises(FedsegError) as caught:
            check(case)
        assert caught.value.code == case["code"], case["why"]


def test_recorded_encapsulations_are_real(lab: ModuleType) -> None:
    """Each opens with the seed of the partner it is for."""
    recorded = json.loads((FOLDER / "kem_encapsulations.json").read_text())
    (case,) = json.loads((FOLDER / "protocol" / "round.json").read_text())["vectors"]
    seeds = [bytes.fromhex(entropy)[48:112] for entropy in case["entropy"]]
    opened = 0
    for secret, ciphertext in recorded.values():
        found = {masking.kem_decapsulate(seed, bytes.fromhex(ciphertext)).hex() for seed in seeds}
        opened += secret in found
    assert opened == len(recorded) == 3
