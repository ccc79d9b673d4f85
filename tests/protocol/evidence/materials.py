"""Materials with everything in them, for an agreement with every clause; and ways to break each."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from protocol.agreement.document import Agreement
from protocol.evidence.document import Source
from protocol.evidence.forms_of import AT_COORDINATOR, AT_NODE
from protocol.evidence.looking import Entries, Entry, Materials
from protocol.log.entries import KINDS
from tests.agreed_terms import agreed_feature, agreed_party, agreed_values

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
FORMS = [("node", form) for form in AT_NODE.values()] + [
    ("coordinator", form) for form in AT_COORDINATOR.values()
]
PRIVACY = {
    "epsilon": "1.0",
    "delta": "0.000001",
    "rho": "0.0190",
    "runs": 6,
    "spare_rounds": 4,
    "max_partners_per_customer": 1,
}


def agreement_values() -> dict[str, Any]:
    """The JSON of an agreement with noise and with every clause that documents read."""
    places = [["DE"], ["FR"], ["US-CA"]]
    parties = [
        agreed_party(name, bytes([number]) * 32, jurisdictions=place, legal_name=f"{name} Ltd")
        for number, (name, place) in enumerate(zip(("north", "east", "west"), places, strict=True))
    ]
    features = [
        agreed_feature("visits", category="behaviour.visits"),
        agreed_feature(
            "channel", type="categorical", levels=["shop", "web"], missing={"rule": "leave-out"}
        ),
    ]  # fmt: skip
    values = agreed_values(
        parties=parties,
        features=features,
        coordinator_key=b"\xff" * 32,
        id="shop",
        version=2,
        supersedes="0a" * 32,
        four_eyes=["egress"],
    )
    values["privacy"] = dict(PRIVACY)
    values["plan"]["satisfaction"] = {"question": "How do you like us?", "lowest": 1, "highest": 5}
    values["schedule"] = {"every": "month"}
    return values


def entry(number: int, **about: Any) -> Entry:
    """An entry of a log as a document sees it."""
    return Entry(
        number=number, at=f"2026-11-{number + 1:02d}T08:00:00Z", leaf="1e" * 32, about=about
    )


def materials(side: str) -> Materials:
    """Everything that is there to fill documents on one side with."""
    about = {"sha256": "5a" * 32, "code": "E-PURPOSE", "by": "anna"}
    log = {
        kind: Entries(count=7, first=entry(0, **about), last=entry(20, **about)) for kind in KINDS
    }
    return Materials(
        side=side,
        party="north" if side == "node" else "",
        now=NOW,
        agreement=agreement_values(),
        about={"agreement": "shop", "version": 2, "agreement_hash": "ab" * 32},
        settings={
            "rights.authority": "The authority",
            "rights.data_from": "Orders in our shop",
            "egress.hold": "answers",
            "data.kind": "csv",
            "consent.notices": ["1"],
            "consent.sources": [{"name": "crm", "holds": "consents", "kind": "csv"}],
            "consent.objections": [{"name": "optouts", "flags": ["gpc"]}],
        },
        log=log if side == "node" else {},
        records={
            "signatures": {"north": True, "east": True, "west": True},
            "stopped": {"on": "2026-11-30", "by": "west"},
            "ledger": "4 runs left (epsilon 1.5 of 3 spent at delta 0.000001)",
            "requests": {
                "by_right": [
                    {"right": "object", "received": 3, "in_time": 2, "late": 0, "open": 1,
                     "overdue": 0}
                ]
            },
            "deletions": {"written": 4, "deleted": 2, "last": "2026-11-20T08:00:00Z"},
            "log": {"entries": 21, "root": "7e" * 32},
            "releases": {"count": 2, "first": "2026-11-02", "last": "2026-11-22"},
            "runs": {"finished": 2, "failed": 1, "open": 0},
        },
        measured={
            "authority": "SHA-256 aa, until 2027-01-01",
            "certificate": "SHA-256 bb, until 2027-01-01",
            "key_store": "keystore.json is encrypted with AES-256-GCM",
            "modes": "keys has mode 0700, closed to other accounts.",
            "backup": "2026-11-30",
        },
        program={"version": "0.10.0", "sha256": "c0" * 32},
        home={"customers": "1,250 – 1,299"},
    )  # fmt: skip


def broken(made: Materials, source: Source) -> Materials:
    """The same where what one source names is not there.

    Raises:
        KeyError: Nobody has said how a source of this kind is broken.
    """
    if source.kind == "agreement":
        return replace(made, agreement=_without(made.agreement, source.where))
    name = {
        "log": "log", "setting": "settings", "record": "records", "measured": "measured",
        "program": "program", "home": "home",
    }[source.kind]  # fmt: skip
    kept = {key: value for key, value in getattr(made, name).items() if key != source.where}
    assert len(kept) < len(getattr(made, name)), source
    changed: dict[str, Any] = {name: kept}
    return replace(made, **changed)


def _without(values: Any, path: str) -> Any:
    left = deepcopy(values)
    *steps, last = (int(s) if s.isdigit() else s for s in re.findall(r"[a-z0-9_]+", path))
    place = left
    for step in steps:
        place = place[step]
    del place[last]
    return left


def check_is_an_agreement() -> None:
    """The values are those of an agreement that could be signed, but for its schedule."""
    values = agreement_values()
    del values["schedule"]
    Agreement.from_dict(values)
