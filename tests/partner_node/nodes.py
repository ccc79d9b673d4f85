"""A partner's node as tests of its commands make it, with two other parties and a coordinator.

Test files get the fixtures by importing them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from partner_node.home import NodeHome
from partner_node.node import Node
from partner_node.served_nodes import ServedNodes
from protocol.agreement.document import Agreement
from protocol.agreement.governance import SEGMENTATION
from protocol.agreement.partner_card import PartnerCard
from protocol.agreement.software import Software
from protocol.signed_agreement import SignedAgreement
from protocol.signing import public_bytes
from simulations.agreement import changed, signed_with
from tests.agreed_terms import agreed_feature, agreed_party, agreed_values
from tests.shell import Shell

COORDINATOR = Ed25519PrivateKey.generate()
OTHERS = [Ed25519PrivateKey.generate() for _ in range(2)]


@pytest.fixture
def shell(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "customers.csv").write_text("customer_id,visits\n00123,1\nb,5\nc,9\n")
    grants = [
        f"{i},ConsentGiven,2026-01-01T00:00:00Z,{SEGMENTATION},1" for i in ("00123", "b", "c")
    ]
    header = "customer_id,event,time,purpose,notice"
    (tmp_path / "consents.csv").write_text("\n".join([header, *grants]) + "\n")
    (tmp_path / "ca.pem").write_text("no certificate")
    return Shell(capsys, monkeypatch)


def init_words(directory: Path, **changes: str) -> list[str]:
    options = {
        "partner": "north",
        "legal-name": "North GmbH",
        "contact": "office@north.example",
        "dpo": "dpo@north.example",
        "jurisdiction": "DE",
        "coordinator": "127.0.0.1:1",
        "root-certificates": "ca.pem",
        "data": "customers.csv",
        "id-column": "customer_id",
        "consents": "consents.csv",
        "youngest-customer": "18",
        "unit": "visits=units",
        "max-customers": "10",
    } | {k.replace("_", "-"): v for k, v in changes.items()}
    return [
        "init",
        "--dir",
        str(directory),
        *(w for k, v in options.items() for w in (f"--{k}", v)),
    ]


def draft(
    directory: Path, *, basis: dict[str, str] | None = None, **changes: Any
) -> SignedAgreement:
    """An agreement of the node in `directory` with two others, signed by those only.

    Args:
        basis: The legal basis of all parties; consent when left out.
    """
    card = PartnerCard.from_bytes((directory / "partner-card.json").read_bytes())
    now = datetime.now(UTC)
    parties = [
        agreed_party("north", card.public_key, legal_name="North"),
        *(
            agreed_party(f"other-{i}", public_bytes(key), legal_name=f"[red]Other[/red] {i}")
            for i, key in enumerate(OTHERS)
        ),
    ]
    common = {"max_customers": 10} | ({"legal_basis": basis} if basis else {})
    terms = {
        "id": "ours",
        "supersedes": "00" * 32 if changes.get("version", 1) > 1 else "none",
        "purpose": {"text": "Segments for [bold]own[/bold] [/] marketing \ue000example."},
        "effective": (now - timedelta(days=2)).strftime("%Y-%m-%dT00:00:00Z"),
        "expires": (now + timedelta(days=2)).strftime("%Y-%m-%dT00:00:00Z"),
        "parties": [party | common for party in parties],
        "coordinator_key": public_bytes(COORDINATOR),
        "features": [agreed_feature("visits")],
        "consent": {"max_age_hours": 48},
        "software": Software.installed(metadata.version, resources.files).to_dict(),
    }
    values = agreed_values(**changed(terms, changes))
    return signed_with(Agreement.from_dict(values), OTHERS)


def complete(directory: Path, **changes: Any) -> bytes:
    """An agreement of the node in `directory`, signed by everyone."""
    home = NodeHome.load(directory)
    signed = draft(directory, **changes)
    envelope = signed.envelope.signed_by(home.keystore().identity)
    return SignedAgreement(agreement=signed.agreement, envelope=envelope).to_bytes()


def successor(directory: Path, **changes: Any) -> bytes:
    """The next version of what is installed in `directory`, signed by everyone."""
    before = NodeHome.load(directory).signed_agreement().agreement
    follows = {"version": before.version + 1, "supersedes": before.hash.hex()}
    return complete(directory, **follows | changes)


@pytest.fixture
def node(shell: Shell, tmp_path: Path) -> Path:
    shell.json(*init_words(tmp_path / "node"))
    return tmp_path / "node"


@pytest.fixture
def installed(shell: Shell, node: Path, tmp_path: Path) -> Path:
    (tmp_path / "draft.json").write_bytes(draft(node).to_bytes())
    shell.json("agreement", "sign", "draft.json", "--out", "signed.json", "--dir", node)
    shell.json("agreement", "install", "signed.json", "--dir", node)
    return node


def withdraw(folder: Path, subject: str) -> None:
    """Have a customer withdraw, in the table that `shell` made."""
    with (folder / "consents.csv").open("a") as file:
        file.write(f"{subject},ConsentWithdrawn,2026-02-01T00:00:00Z,{SEGMENTATION},1\n")


def open_node(directory: Path) -> Node:
    """The node of the first agreement in force in a folder."""
    return ServedNodes.open(directory).nodes[0]
