"""Makes the protocol's test vectors: `python -m tests.vectors.make_vectors`, from the project.

Everything follows from fixed names and seeds, so the files change only when bytes on the wire do.
ML-KEM encapsulation cannot be repeated: its ciphertexts and secrets are kept in
`kem_encapsulations.json` and used again.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np

from protocol import masking, ring
from protocol.agreement.document import Agreement
from protocol.agreement.schedule import ScheduleTerms
from protocol.canonical import canonical_json, frame, tagged_hash
from protocol.clustering.lloyd_exact import spread_start
from protocol.errors import FedsegError
from protocol.messages import Hello, Masked, round_context, run_hash
from protocol.participants import Chain, Link, bitmap
from protocol.signed_agreement import SignedAgreement
from protocol.signing import Envelope, pre_authentication_encoding, public_bytes
from protocol.strict import Fields

HERE = Path(__file__).parent
FOLDER = HERE / "protocol"
ENCAPSULATIONS = HERE / "kem_encapsulations.json"


def counterparties() -> ModuleType:
    """The module with test agreements and runs."""
    name = "fedseg_tests_counterparties"
    if name not in sys.modules:
        path = HERE.parent / "protocol" / "counterparties.py"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(name)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def bytes_of(name: str, size: int) -> bytes:
    """`size` bytes that follow from a name."""
    return hashlib.shake_256(name.encode()).digest(size)


def framing() -> list[dict[str, Any]]:
    """Fields and what they are framed to."""
    cases = [[], [b""], [b"ab", b""], [b"\0" * 5], [b"a", b"b", b"c"], [frame(b"in", b"side")]]
    return [{"fields": [f.hex() for f in c], "framed": frame(*c).hex()} for c in cases]


def bad_framing() -> list[dict[str, Any]]:
    """Bytes that are not so many fields."""
    cases = [
        (1, "", "no field"),
        (0, "00000000", "a field too many"),
        (1, "000000", "a length cut off"),
        (1, "0000000261", "a field cut off"),
        (1, "000000016100", "a byte after the end"),
        (1, "ffffffff61", "a length beyond the end"),
        (2, "0000000161", "a field missing"),
    ]
    return [
        {"why": why, "count": count, "bytes": data, "code": "E-MALFORMED"}
        for count, data, why in cases
    ]


def hashes() -> list[dict[str, Any]]:
    """Labelled hashes."""
    cases: list[tuple[str, list[bytes]]] = [
        ("agreement", [b"{}"]),
        ("run", [bytes(32), bytes(16), b""]),
        ("ctx", [b"a", b"", b"b"]),
    ]
    return [
        {"name": n, "fields": [f.hex() for f in fields], "hash": tagged_hash(n, *fields).hex()}
        for n, fields in cases
    ]


def agreements() -> list[dict[str, Any]]:
    """Agreements, their signed bytes and hashes."""
    lab = counterparties()
    cases = [lab.agreement_values(3), lab.agreement_values(9, colluding=2, features=5)]
    cases.append(lab.agreement_values(3) | {"schedule": _schedule()})
    cases.append(lab.agreement_values(3))
    cases[3]["diligence"] = "required"
    cases[3]["software"] |= {
        "protocol": 1,
        "builds": [{"version": "0.1.1", "sha256": "11" * 32}],
        "added_by": "parties",
    }
    cases.append(lab.agreement_values(3) | {"four_eyes": ["agreement", "egress", "export"]})
    cases.append(lab.agreement_values(3) | {"training": ["fedseg-basics", "privacy-2"]})
    cases[1]["features"][0].update(transform="log1p", max="0.000000001", weight="0.50")
    cases[1]["purpose"]["text"] = "Größere „Körbe“\nfinden"
    found = []
    for values in cases:
        agreement = Agreement.from_dict(values)
        found.append(
            {
                "agreement": values,
                "bytes": agreement.to_bytes().hex(),
                "hash": agreement.hash.hex(),
                "quorum": agreement.quorum,
                "smallest_set": agreement.smallest_set,
            }
        )
    return found


def _schedule(**changes: Any) -> dict[str, Any]:
    return {
        "every": 2, "unit": "months", "first_day": "2026-01-31", "at": "03:00", "window_hours": 12,
    } | changes  # fmt: skip


def schedules() -> list[dict[str, Any]]:
    """Moments of schedules, by their first and last possible time."""
    cases = [
        (_schedule(), "2026-01-31T03:00:00Z", "2026-12-31T00:00:00Z"),
        (
            _schedule(every=3, first_day="2027-11-30"),
            "2026-01-01T00:00:00Z",
            "2028-06-01T00:00:00Z",
        ),
        (_schedule(unit="weeks", at="23:59"), "2026-03-20T00:00:00Z", "2026-04-30T00:00:00Z"),
        (_schedule(unit="days", every=45), "2028-02-01T00:00:00Z", "2028-05-01T00:00:00Z"),
    ]
    return [
        {
            "schedule": values,
            "begin": begin,
            "end": end,
            "moments": [
                moment.to_dict()
                for moment in ScheduleTerms.read(Fields(values, "schedule")).moments(
                    datetime.fromisoformat(begin), datetime.fromisoformat(end)
                )
            ],
        }
        for values, begin, end in cases
    ]


def bad_agreements() -> list[dict[str, Any]]:
    """Changes that make an agreement unacceptable: what, where, and the code."""
    cases: list[tuple[str, list[Any], Any, str]] = [
        ("an unknown field", ["comment"], "x", "E-AGR-SCHEMA"),
        ("an unknown field inside", ["plan", "seed"], 1, "E-AGR-SCHEMA"),
        ("another schema", ["schema"], "fedseg/agreement/v2", "E-AGR-SCHEMA"),
        ("a number for a decimal", ["features", 0, "min"], 0, "E-AGR-SCHEMA"),
        ("a decimal with exponent", ["features", 0, "max"], "1e1", "E-AGR-SCHEMA"),
        ("a time without zeros", ["effective"], "2026-1-1T0:0:0Z", "E-AGR-SCHEMA"),
        ("a key in capitals", ["coordinator", "public_key"], "AB" * 32, "E-AGR-SCHEMA"),
        ("a boolean for a number", ["version"], True, "E-AGR-SCHEMA"),
        ("noise that this version lacks", ["privacy"], "zcdp", "E-AGR-SCHEMA"),
        ("exact totals in milder words", ["plan", "exact_totals"], "yes", "E-AGR-SCHEMA"),
        (
            "exact totals, and not said what they show",
            ["plan"],
            {"name": "lloyd-exact", "n_clusters": 3, "max_rounds": 8},
            "E-PLAN",
        ),
        ("two partners suffice", ["secure_sum", "min_partners"], 2, "E-PARTNERS"),
        ("atoms of two", ["secure_sum", "min_atom"], 2, "E-PARTNERS"),
        ("too many may collude", ["secure_sum", "max_colluding"], 2, "E-PARTNERS"),
        ("bounds turned round", ["features", 0, "min"], "11", "E-FEATURE-BOUNDS"),
        ("over before it begins", ["expires"], "2025-01-01T00:00:00Z", "E-AGR-EXPIRED"),
        ("reviewed after its end", ["review_by"], "2027-01-02T00:00:00Z", "E-AGR-REVIEW"),
        ("a second version of nothing", ["version"], 2, "E-AGR-ROLLBACK"),
        (
            "a day that there is not",
            ["schedule"],
            _schedule(first_day="2026-02-30"),
            "E-AGR-SCHEMA",
        ),
        ("windows that overlap", ["schedule"], _schedule(window_hours=1_345), "E-AGR-SCHEMA"),
        (
            "a schedule without a moment",
            ["schedule"],
            _schedule(first_day="2090-01-01"),
            "E-SCHEDULE",
        ),
        ("a column twice", ["excluded", "proxies"], ["postcode", "postcode"], "E-AGR-SCHEMA"),
    ]
    lab = counterparties()
    found = []
    for why, path, value, code in cases:
        values = lab.agreement_values(3)
        place = values
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        found.append({"why": why, "agreement": values, "code": code})
    return found


def dsse() -> list[dict[str, Any]]:
    """Signed documents."""
    lab = counterparties()
    found = []
    for kind, payload in (
        ("http://example.com/HelloWorld", b"hello world"),
        ("application/vnd.fedseg.agreement.v1+json", canonical_json({"b": 1, "a": "ü"})),
    ):
        key = lab.key_of("p0")
        envelope = Envelope(payload_type=kind, payload=payload, signatures={}).signed_by(key)
        found.append(
            {
                "private_key": key.private_bytes_raw().hex(),
                "public_key": public_bytes(key).hex(),
                "payload_type": kind,
                "payload": payload.hex(),
                "encoded": pre_authentication_encoding(kind, payload).hex(),
                "envelope": envelope.to_bytes().decode(),
            }
        )
    return found


def bad_signed_agreements() -> list[dict[str, Any]]:
    """Envelopes that are no agreement signed by every party."""
    lab = counterparties()
    draft = SignedAgreement.draft(Agreement.from_dict(lab.agreement_values(3)))

    def signed(*names: str) -> dict[str, Any]:
        envelope = draft.envelope
        for name in names:
            envelope = envelope.signed_by(lab.key_of(name))
        values: dict[str, Any] = json.loads(envelope.to_bytes())
        return values

    swapped = signed("p0", "p1", "p2")
    one, two, _ = swapped["signatures"]
    one["sig"], two["sig"] = two["sig"], one["sig"]
    doubled = signed("p0", "p1", "p2")
    doubled["signatures"].append(doubled["signatures"][0])
    other = SignedAgreement.draft(Agreement.from_dict(lab.agreement_values(3, cap=9)))
    altered = signed("p0", "p1", "p2")
    altered["payload"] = json.loads(other.envelope.to_bytes())["payload"]
    cases = [
        ("nobody signed", signed(), "E-AGR-UNSIGNED"),
        ("one signature is missing", signed("p0", "p1"), "E-AGR-UNSIGNED"),
        ("a stranger signed too", signed("p0", "p1", "p2", "mallory"), "E-AGR-SIGNATURE"),
        ("two signatures are swapped", swapped, "E-AGR-SIGNATURE"),
        ("the payload is another agreement", altered, "E-AGR-SIGNATURE"),
        ("one key signed twice", doubled, "E-AGR-SCHEMA"),
        ("another type", {**signed("p0"), "payloadType": "text/plain"}, "E-AGR-SCHEMA"),
        ("an unknown field", {**signed("p0", "p1", "p2"), "x": 1}, "E-AGR-SCHEMA"),
    ]
    return [{"why": why, "envelope": json.dumps(e), "code": code} for why, e, code in cases]


def chain_of(sets: list[list[int]], runs: str) -> Chain:
    """A chain among nine; `runs` names each set's run by a letter."""
    links = tuple(
        Link(run_hash=run.encode() * 32, members=frozenset(members))
        for run, members in zip(runs, sets, strict=True)
    )
    return Chain(agreement_hash=bytes(range(32)), n_partners=9, links=links)


FULL, LOW, HIGH = list(range(9)), list(range(6)), list(range(3, 9))


def chains() -> list[dict[str, Any]]:
    """Chains among nine partners under the agreement hash 00 01 … 1f, and their heads."""
    found = []
    for sets, runs in (([], ""), ([FULL], "a"), ([FULL, LOW], "aa"), ([FULL, LOW, FULL], "aab")):
        chain = chain_of(sets, runs)
        found.append(
            {
                "n_partners": 9,
                "agreement_hash": chain.agreement_hash.hex(),
                "runs": [link.run_hash.hex() for link in chain.links],
                "sets": sets,
                "bitmaps": [bitmap(link.members, 9).hex() for link in chain.links],
                "bytes": chain.to_bytes().hex(),
                "head": chain.head.hex(),
            }
        )
    return found


def bad_chains() -> list[dict[str, Any]]:
    """Chains that a partner of nine refuses: smallest set 6, min_atom 3, two changes, run a."""
    cases: list[tuple[str, list[list[int]], str, list[list[int]], str, str]] = [
        ("no set", [], "", [], "", "E-CHAIN-RUN"),
        ("a set of another run", [FULL], "b", [], "", "E-CHAIN-RUN"),
        ("a fork", [LOW], "a", [FULL], "a", "E-CHAIN-FORK"),
        ("cut back", [FULL], "a", [FULL, LOW], "aa", "E-CHAIN-FORK"),
        ("below the quorum", [list(range(5))], "a", [], "", "E-SET-QUORUM"),
        ("hidden below the quorum", [[0, 1, 2], FULL], "ba", [], "", "E-SET-QUORUM"),
        ("one left out", [FULL, list(range(8))], "aa", [FULL], "a", "E-SET-ISOLATES"),
        ("two left out", [FULL, list(range(7))], "aa", [FULL], "a", "E-SET-ISOLATES"),
        ("grows in a run", [LOW, FULL], "aa", [LOW], "a", "E-SET-GROWS"),
        ("a run comes back", [FULL, FULL, FULL], "aba", [FULL, FULL], "ab", "E-SET-GROWS"),
        ("three changes", [FULL, LOW, HIGH, FULL], "bcda", [], "", "E-SET-CHANGES"),
    ]
    return [
        {
            "why": why,
            "chain": chain_of(sets, runs).to_bytes().hex(),
            "signed": chain_of(before, before_runs).to_bytes().hex(),
            "run_hash": (b"a" * 32).hex(),
            "code": code,
        }
        for why, sets, runs, before, before_runs, code in cases
    ]


def masks() -> list[dict[str, Any]]:
    """Pair keys, mask keys and the first words of mask streams."""
    found = []
    for a, b in ((0, 1), (1, 0), (2, 49)):
        one, two = bytes_of("x25519 one", 32), bytes_of("x25519 two", 32)
        secret = masking.agree_x25519(one, masking.x25519_public(two))
        kem, run, context = bytes_of("kem", 32), bytes_of("run", 32), bytes_of("context", 32)
        pair = masking.pair_key(secret, kem, run_hash=run, a=a, b=b)
        key = masking.expand(pair, "mask", context)
        found.append(
            {
                "x25519_private": one.hex(),
                "x25519_public": masking.x25519_public(two).hex(),
                "x25519_secret": secret.hex(),
                "kem_secret": kem.hex(),
                "run_hash": run.hex(),
                "partners": [a, b],
                "pair_key": pair.hex(),
                "context": context.hex(),
                "mask_key": key.hex(),
                "words": [str(w) for w in masking.Stream(key).words(5).tolist()],
                "below_1000": masking.Stream(key).below(1_000, 5).tolist(),
            }
        )
    return found


def ring_elements() -> list[dict[str, Any]]:
    """Integers and their bytes."""
    values = [0, 1, -1, 2**62, -(2**62), 123_456_789]
    vector = np.array(values, dtype=np.int64)
    words = ring.to_ring(
        vector, low=np.full(len(values), -(2**62)), high=np.full(len(values), 2**62)
    )
    return [{"integers": values, "bytes": ring.to_bytes(words).hex()}]


def starts() -> list[dict[str, Any]]:
    """The plan's first centroids from a seed."""
    found = []
    for k, limit in ((1, [1 << 20]), (3, [1 << 20, 1 << 19]), (7, [1 << 20] * 4), (2, [0])):
        seed = bytes_of(f"seed {k}", 32)
        start = spread_start(k, np.array(limit), seed)
        found.append({"seed": seed.hex(), "limit": limit, "centroids": start.tolist()})
    return found


@contextmanager
def recorded_encapsulations() -> Iterator[None]:
    """The same ML-KEM ciphertexts as the last time; new ones are added to the file."""
    known: dict[str, list[str]] = {}
    if ENCAPSULATIONS.exists():
        known = json.loads(ENCAPSULATIONS.read_text())
    fresh: Callable[[bytes], tuple[bytes, bytes]] = masking.kem_encapsulate
    count: dict[bytes, int] = {}

    def again(public: bytes) -> tuple[bytes, bytes]:
        count[public] = count.get(public, 0) + 1
        name = hashlib.sha256(public).hexdigest() + f"/{count[public]}"
        if name not in known:
            secret, ciphertext = fresh(public)
            known[name] = [secret.hex(), ciphertext.hex()]
            ENCAPSULATIONS.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
        secret_hex, ciphertext_hex = known[name]
        return bytes.fromhex(secret_hex), bytes.fromhex(ciphertext_hex)

    with mock.patch.object(masking, "kem_encapsulate", again):
        yield


def rounds() -> list[dict[str, Any]]:
    """Set-up and first round of three partners with fixed entropy."""
    lab = counterparties()
    fed = lab.Federation(3, rows=4)
    with recorded_encapsulations():
        run = fed.run("vectors").until("answers")
        hellos = run.coordinator._roster()
        request = run.coordinator.request(0)
        announce = run.open_request_for(0)
        length = run.coordinator._plan.query.length
        nodes = run.nodes
        keys = [
            {str(i): k.hex() for i, k in sorted(pair_keys(node, announce).items())}
            for node in nodes
        ]
        run.until("answers", number=1)
    messages = run.coordinator._transcript
    context = round_context(announce.run_hash, announce.head, 0, announce.payload)
    return [
        {
            "agreement": fed.agreement.to_dict(),
            "run_id": run.run_id.hex(),
            "entropy": [node.entropy.hex() for node in nodes],
            "hellos": [h.hex() for h in hellos],
            "x25519_public": [Hello.parse(h)[0].x25519.hex() for h in hellos],
            "run_hash": run_hash(fed.agreement.hash, run.run_id, hellos).hex(),
            "head": announce.head.hex(),
            "readys": [r.hex() for r in announce.certificate.readys],
            "announce": request.hex(),
            "payload": announce.payload.hex(),
            "context": context.hex(),
            "pair_keys": keys,
            "customers": [node.vectors[:, :-2].astype(int).tolist() for node in nodes],
            "masked": [m.hex() for m in messages],
            "vectors": [Masked.parse(m, length=length)[0].vector.hex() for m in messages],
            "total": run.coordinator.totals[0].total.tolist(),
            "next_centroids": run.coordinator._plan.centroids.tolist(),
        }
    ]


def pair_keys(node: Any, announce: Any) -> dict[int, bytes]:
    """A node's pair keys once the announced set is active."""
    node.state.announce(announce)
    keys: dict[int, bytes] = node.state.state.held.pair_keys
    return keys


FILES: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "framing": framing,
    "hashes": hashes,
    "agreement": agreements,
    "schedule": schedules,
    "dsse": dsse,
    "chain": chains,
    "masks": masks,
    "ring": ring_elements,
    "lloyd_exact_start": starts,
    "round": rounds,
    "bad_framing": bad_framing,
    "bad_agreement": bad_agreements,
    "bad_signed_agreement": bad_signed_agreements,
    "bad_chain": bad_chains,
}


def main() -> None:
    """Write all files."""
    FOLDER.mkdir(exist_ok=True)
    for name, make in FILES.items():
        text = json.dumps({"vectors": make()}, indent=1, ensure_ascii=False)
        (FOLDER / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    try:
        main()
    except FedsegError as error:
        raise SystemExit(error.diagnostics()) from error
