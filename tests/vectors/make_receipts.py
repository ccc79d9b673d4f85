"""Makes the vectors of receipts: `python -m tests.vectors.make_receipts`, from the project.

`receipts.json` is for verifiers in other languages too: everything in it follows from SPEC.md, 19.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from protocol.canonical import canonical_json
from protocol.errors import FedsegError
from protocol.receipts.buckets import bucket_of, elements, filled, least_bits
from protocol.receipts.document import COUNTED, RECEIPT_TYPE
from protocol.receipts.handles import from_bytes, handle, handles, in_order, key_commitment
from protocol.receipts.sets import commit
from protocol.signing import sign_document
from tests.protocol.receipts.made_receipts import Partner, bytes_of

FILE: Final = Path(__file__).parent / "receipts.json"
KEY, CONTEXT = bytes_of("vector key", 32), bytes_of("vector context", 32)


def _customers(count: int) -> list[str]:
    return [f"C-{number}" for number in range(count)]


def _handles() -> list[dict[str, Any]]:
    return [
        {
            "customer": customer,
            "handle": (own := handle(KEY, customer)).hex(),
            "element": f"{int(elements(from_bytes(own), CONTEXT)[0]):016x}",
            "buckets": {str(bits): bucket_of(own, bits) for bits in (0, 2, 16, 30)},
        }
        for customer in ("C-1", "00123", "Größe 7", "客户", "x" * 200)
    ]


def _sets() -> list[dict[str, Any]]:
    found = []
    for count in (0, 1, 32, 33, 600):
        own = in_order(handles(KEY, _customers(count)))
        committed = commit(own, KEY, CONTEXT)
        last = (1 << committed.bits) - 1
        table = filled(own, KEY, CONTEXT, bits=committed.bits, first=0, count=last + 1)
        assert table is not None
        found.append(
            {
                "customers": f"C-0 to C-{count - 1}" if count else "nobody",
                "count": count,
                "bits": committed.bits,
                "root": committed.root.hex(),
                "last_bucket": table[last].astype(">u8").tobytes().hex(),
            }
        )
        assert committed.bits == least_bits(count)
    return found


def _partner() -> Partner:
    """A partner with a run of three answers; C-1 objects after the second."""
    north = Partner()
    for leaving in (False, False, True):
        north.counts("spring", [one for one in _customers(40) if not leaving or one != "C-1"])
    return north


def _good() -> list[dict[str, Any]]:
    north = _partner()
    north.counts("autumn", _customers(3))
    spring = north.shown("spring", "C-1")
    cases = {
        "counted twice, then not": north.receipt(spring),
        "never counted": north.receipt(north.shown("spring", "C-99"), customer="C-99"),
        "two runs, and an answer without a set": north.receipt(
            spring, north.shown("autumn", "C-1", unrecorded=[1])
        ),
    }
    south = Partner("south")
    cases["cosigned"] = north.receipt(spring, seen=north.seen(south))
    cases["sealed, and cosigned by a stranger"] = north.receipt(
        spring, seen=north.seen(Partner("east"))
    )
    return [
        {
            "why": why,
            "vkey": str(north.vkey),
            "witness": str(south.witness),
            "cosigned": {south.origin: 1_800_000_000} if why == "cosigned" else {},
            "receipt": one.signed_by(north.signs),
            "told": [
                {"run": event["fedseg:run"], "round": event["fedseg:round"],
                 "state": event["event_state"]}
                for event in one.events
            ],
        }
        for why, one in cases.items()
    ]  # fmt: skip


Change = Callable[[dict[str, Any]], None]


def _bad() -> list[dict[str, Any]]:
    north = _partner()
    spring = north.shown("spring", "C-1")
    values = north.receipt(spring).to_dict()
    other = north.receipt(north.shown("spring", "C-2")).to_dict()["fedseg:runs"][0]["answers"][0]
    cases: list[tuple[str, Change]] = [
        ("a state is the other one", lambda v: v["event"][2].update(event_state=COUNTED)),
        ("an event is missing", lambda v: v["event"].pop()),
        ("an event is of another round", lambda v: v["event"][0].update({"fedseg:round": 5})),
        ("a bucket of another customer", lambda v: _first(v).update(
            bucket=other["bucket"], path=other["path"])),
        ("a path of another customer", lambda v: _first(v).update(path=other["path"])),
        ("a path that is too short", lambda v: _first(v)["path"].pop()),
        ("an element was exchanged", lambda v: _first(v).update(
            bucket="AAAAAAAAAAA" + _first(v)["bucket"][11:])),
        ("a bucket that is cut", lambda v: _first(v).update(bucket=_first(v)["bucket"][:-8])),
        ("elements in another order", lambda v: _first(v).update(
            bucket=_first(v)["bucket"][-32:] + _first(v)["bucket"][:-32])),
        ("an entry with another root", lambda v: _first(v)["entry"].update(root="11" * 32)),
        ("an entry of another number", lambda v: _first(v).update(index=2)),
        ("an entry beyond the checkpoint", lambda v: _first(v).update(index=99)),
        ("an inclusion proof without a hash", lambda v: _first(v)["inclusion"].pop()),
        ("a set is left out", lambda v: (_run(v)["answers"].pop(0), v["event"].pop(0))),
        ("sets in another order", lambda v: (_run(v)["answers"].reverse(), v["event"].reverse())),
        ("the last answer twice", lambda v: (_run(v)["answers"].append(_run(v)["answers"][2]),
                                             v["event"].append(v["event"][2]))),
        ("a run of another id", lambda v: _run(v).update(run="22" * 16)),
        ("a handle of another customer", lambda v: _run(v).update(handle="33" * 16)),
        ("a handle that is missing", lambda v: _run(v).update(handle="")),
        ("a run twice", lambda v: (v["fedseg:runs"].append(_run(v)),
                                   v["event"].extend(v["event"]))),
        ("an unknown field", lambda v: v.update(more="1")),
        ("a field is missing", lambda v: v.pop("record_id")),
        ("another schema", lambda v: v.update(schema_version="ISO/IEC TS 27560:2029")),
        ("a checkpoint of another root", lambda v: v.update({
            "fedseg:checkpoint": north.note("fedseg/north/ffffffffffffffff").to_bytes().decode()})),
    ]  # fmt: skip
    south = Partner("south")
    sealed = north.receipt(spring, seen=north.seen(south)).to_dict()
    strange = north.seen(south, strange=True).to_dict()
    other_log = north.seen(south, under="fedseg/east/0123456789abcdef/pilot").to_dict()
    lies: list[tuple[str, Change]] = [
        ("a seal's nonce is another one", lambda v: v["fedseg:seal"].update(nonce="44" * 32)),
        ("a seal of another state", lambda v: v.update({
            "fedseg:seal": north.seen(south, text=south.note().text).to_dict()})),
        ("seals of another log", lambda v: v.update({"fedseg:seal": other_log})),
        ("seals that another key signed", lambda v: v.update({"fedseg:seal": strange})),
        ("a seal without its log of seals", lambda v: v["fedseg:seal"].pop("proof")),
        ("a seal with one more field", lambda v: v["fedseg:seal"].update(more="1")),
        ("a proof of a seal that is cut", lambda v: v["fedseg:seal"].update(
            proof=v["fedseg:seal"]["proof"].split("\n\n")[0])),
        ("a seal at another place", lambda v: v["fedseg:seal"].update(
            proof=v["fedseg:seal"]["proof"].replace("index 2", "index 1"))),
        ("a seal whose place is written in another way", lambda v: v["fedseg:seal"].update(
            proof=v["fedseg:seal"]["proof"].replace("index 2", "index 02"))),
        ("a seal beyond its log", lambda v: v["fedseg:seal"].update(
            proof=v["fedseg:seal"]["proof"].replace("index 2", "index 3"))),
    ]  # fmt: skip
    found = []
    for why, change in lies:
        lie = json.loads(json.dumps(sealed))
        change(lie)
        found.append(_refused(north, why, _resigned(north, lie)))
    for why, change in cases:
        lie = json.loads(json.dumps(values))
        change(lie)
        found.append(_refused(north, why, _resigned(north, lie)))
    signed = json.loads(json.dumps(north.receipt(spring).signed_by(north.signs)))
    signed["record_id"] = "pilot-2"
    found.append(_refused(north, "a word was changed after it was signed", signed))
    stranger = Partner("south")
    found.append(_refused(north, "signed by another key", _resigned(stranger, values)))
    return found


def _resigned(partner: Partner, values: dict[str, Any]) -> dict[str, Any]:
    signature = sign_document(partner.signs, RECEIPT_TYPE, canonical_json(values))
    return {**values, "fedseg:signature": signature.hex()}


def _run(values: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = values["fedseg:runs"][0]
    return found


def _first(values: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = _run(values)["answers"][0]
    return found


def _refused(north: Partner, why: str, receipt: dict[str, Any]) -> dict[str, Any]:
    try:
        north.check(canonical_json(receipt))
    except FedsegError as error:
        return {"why": why, "vkey": str(north.vkey), "code": error.code, "receipt": receipt}
    raise AssertionError(f"taken: {why}")


def vectors() -> dict[str, Any]:
    """All of them."""
    return {
        "key": KEY.hex(),
        "commitment": key_commitment(KEY).hex(),
        "context": CONTEXT.hex(),
        "handles": _handles(),
        "sets": _sets(),
        "receipts": _good(),
        "bad_receipts": _bad(),
    }


def text() -> str:
    """The file: an entry of a list on each line."""
    parts = []
    for name, value in vectors().items():
        if isinstance(value, list):
            rows = ",\n  ".join(
                json.dumps(one, ensure_ascii=False, sort_keys=True) for one in value
            )
            parts.append(f' "{name}": [\n  {rows}\n ]')
        else:
            parts.append(f' "{name}": {json.dumps(value)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
