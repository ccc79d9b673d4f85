"""Generated consent records: as a partner's system would export them, and read by a node's gate."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from partner_node.consent.gate import ConsentGate
from partner_node.consent.settings import ConsentSource
from partner_node.consent.verdicts import Reason
from partner_node.sources.file_places import File
from protocol.agreement.governance import CONSENT, SEGMENTATION
from simulations.retail_consents import NEVER_ASKED, OBJECTS, WITHDRAWN, write_consents

IDS = [f"shop-{i:06}" for i in range(4_000)]


def test_the_files_are_plain_csv(tmp_path: Path) -> None:
    files = write_consents(IDS, tmp_path / "new", "shop", seed=1)
    assert files.consents == tmp_path / "new" / "consents-shop.csv"
    assert files.objections == tmp_path / "new" / "objections-shop.csv"
    first, second, *_ = files.consents.read_text().splitlines()
    assert first == "customer_id,event,time,purpose,notice"
    assert second.startswith("shop-000000,ConsentGiven,2025-")
    assert second.endswith(f"Z,{SEGMENTATION},1")
    assert files.objections.read_text().splitlines()[0] == "customer_id"
    assert '"' not in files.consents.read_text() + files.objections.read_text()


def test_the_same_seed_gives_the_same_files_and_each_partner_its_own(tmp_path: Path) -> None:
    one, again, other, seeded = (
        write_consents(IDS, tmp_path / folder, partner, seed=seed).consents.read_text()
        for folder, partner, seed in (
            ("a", "shop", 1), ("b", "shop", 1), ("c", "bank", 1), ("d", "shop", 2),
        )
    )  # fmt: skip
    assert one == again
    assert len({one, other, seeded}) == 3


def test_every_customer_has_at_most_one_consent_and_one_event_after_it(tmp_path: Path) -> None:
    files = write_consents(IDS, tmp_path, "shop", seed=1)
    events: dict[str, list[tuple[str, str]]] = {}
    with files.consents.open(newline="") as file:
        for row in csv.DictReader(file):
            events.setdefault(row["customer_id"], []).append((row["time"], row["event"]))
    for found in events.values():
        assert found == sorted(found)
        assert found[0][1] == "ConsentGiven"
        assert [event for _, event in found[1:]] in (
            [], ["ConsentWithdrawn"], ["RenewedConsentGiven"],
        )  # fmt: skip


@pytest.mark.parametrize("notice", ["1", "2"])
def test_a_gate_lets_most_customers_pass(tmp_path: Path, notice: str) -> None:
    files = write_consents(IDS, tmp_path, "shop", seed=1, notice="1")
    columns = {"subject": "customer_id"}
    gate = ConsentGate(
        [
            ConsentSource(name="c", holds="consents", kind="csv",
                          place=File(path=str(files.consents)), columns=columns),
            ConsentSource(name="o", holds="objections", kind="csv",
                          place=File(path=str(files.objections)), columns=columns),
        ],
        basis=CONSENT, purpose=SEGMENTATION, notices=[notice], max_age=timedelta(hours=1),
        children_under=16,
        youngest_customer=18,left_out=frozenset,
    )  # fmt: skip
    ids = np.array(IDS, dtype=object)
    counted = gate.standing(iter([ids]), datetime.now(UTC)).counted
    if notice == "2":
        assert counted[None] == 0
        return
    assert counted[None] / len(IDS) == pytest.approx(
        (1 - NEVER_ASKED) * (1 - WITHDRAWN) * (1 - OBJECTS), abs=0.02
    )
    assert set(counted) == {None, Reason.OBJECTION, Reason.WITHDRAWN, Reason.UNKNOWN}
