"""Coordinator and nodes as real processes over TLS: what a run gives, and who is kept out."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from coordinator.agreement_file import load_signed, save_signed
from coordinator.cli import agreement as operator_agreement
from partner_node.cli import agreement as partner_agreement
from partner_node.home import NodeHome
from protocol.canonical import canonical_json
from protocol.errors import AgreementError, FedsegError
from protocol.release.document import SignedRelease
from tests.end_to_end import deployment as deploy
from tests.end_to_end.command_line import PATIENCE_S, command, command_process
from tests.end_to_end.deployment import NAMES, Deployment
from tests.end_to_end.transport_support import wait_for
from tests.protocol.pack.test_pack import NODE, VERIFIER

pytestmark = pytest.mark.slow

SIZES = {"north": 400, "middle": 150, "south": 90}
GRACE_S = 60
#: Of the run that waits all of it.
SHORT_GRACE_S = 6


@pytest.fixture(scope="module")
def values() -> dict[str, np.ndarray]:
    return {name: deploy.customers(seed, SIZES[name]) for seed, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def deployed(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, np.ndarray]
) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("deployed")
    data = {n: deploy.write_customers(directory / f"{n}.csv", values[n]) for n in NAMES}
    made = deploy.make_deployment(directory, data, grace_s=GRACE_S, max_rounds=12, start="anew")
    with deploy.running(made):
        yield made


@pytest.fixture(scope="module")
def first(deployed: Deployment) -> SimpleNamespace:
    """The first run of the deployment, with its release."""
    row = deployed.run()
    assert row.state == "finished", row
    return SimpleNamespace(row=row, release=deployed.release(row.run_id))


def test_the_release_is_bit_for_bit_what_the_pooled_rows_give(
    deployed: Deployment, first: SimpleNamespace, values: dict[str, np.ndarray]
) -> None:
    together = np.vstack(list(values.values()))
    expected = deploy.pooled_release(deployed.agreement, first.release.run_hash, together)
    assert first.release.to_bytes() == expected.to_bytes()
    assert sum(s.size for s in first.release.segments) == sum(SIZES.values())


def test_every_node_holds_the_same_signed_release(
    deployed: Deployment, first: SimpleNamespace
) -> None:
    with deployed.store() as store:
        signed = store.release(first.row.run_id)
    held = []
    for name in NAMES:
        with deployed.node_store(name) as store:
            held += [e for _, e in store.releases() if SignedRelease.from_bytes(e).release
                     == first.release]  # fmt: skip
    assert held == [signed] * 3


def test_own_assignments_add_up_to_the_released_sizes(
    deployed: Deployment, first: SimpleNamespace, values: dict[str, np.ndarray]
) -> None:
    totals: dict[str, int] = {}
    for name in NAMES:
        done = command(
            "node", "segments", "assign", "--dir", deployed.folder(name), "--format", "json"
        )
        assert done.returncode == 0, done.stderr
        data = json.loads(done.stdout)["data"]
        assert data["customers"] == len(values[name])
        for segment in pq.read_table(data["file"]).column("segment_id").to_pylist():
            totals[segment] = totals.get(segment, 0) + 1
    listed = json.loads(
        command(
            "node", "segments", "list", "--dir", deployed.folder(NAMES[0]), "--format", "json"
        ).stdout
    )["data"]["segments"]
    assert totals == {segment["id"]: segment["size"] for segment in listed}


@pytest.mark.parametrize(
    ("side", "words", "status"),
    [
        ("node", ("segments", "list", "--format", "json"), 0),
        ("node", ("egress", "approve", "7", "--format", "json"), 3),
        ("coordinator", ("release", "show", "--format", "json"), 0),
        ("coordinator", ("release", "show", "--run", "ff"), 2),
    ],
)
def test_the_programs_say_what_the_command_lines_say_that_the_tests_call(
    deployed: Deployment, first: SimpleNamespace, side: str, words: tuple[str, ...], status: int
) -> None:
    folder = deployed.folder("north") if side == "node" else deployed.operator_folder
    given = (side, *words, "--dir", folder)
    started, called = command_process(*given), command(*given)
    assert (started.returncode, called.returncode) == (status, status), started.stderr
    assert (started.stdout, started.stderr) == (called.stdout, called.stderr)
    assert started.stdout + started.stderr


@pytest.fixture(scope="module")
def second(
    deployed: Deployment, first: SimpleNamespace, values: dict[str, np.ndarray]
) -> SimpleNamespace:
    """A second run, while two nodes try to get in that have agreements of their own making.

    The outsider was not admitted, the sybil was. All else is right with them.
    """
    nodes = {
        name: deploy.serving("node", _stranger(deployed, name, values["north"]))
        for name in ("outsider", "sybil")
    }
    deploy.admit(deployed.directory, ["sybil"])

    def wait_until(name: str, said: str) -> None:
        wait_for(lambda: said in nodes[name].said(), timeout_s=PATIENCE_S, what=f"{name}: {said}")

    try:
        for node in nodes.values():
            node.start()
        wait_until("outsider", "E-LINK-NOT-ADMITTED")
        wait_until("sybil", "link: connected")
        row = deployed.run()
        wait_until("sybil", "E-AGR-OTHER")
        assert nodes["outsider"].is_alive(), "it goes on trying"
    finally:
        for node in nodes.values():
            node.collect()
    assert row.state == "finished", row
    release = deployed.release(row.run_id)
    return SimpleNamespace(release=release, **{name: n.said() for name, n in nodes.items()})


def test_a_second_run_under_the_same_agreement_works(
    deployed: Deployment,
    first: SimpleNamespace,
    second: SimpleNamespace,
    values: dict[str, np.ndarray],
) -> None:
    assert second.release.run_hash != first.release.run_hash
    expected = deploy.pooled_release(
        deployed.agreement, second.release.run_hash, np.vstack(list(values.values()))
    )
    assert second.release.to_bytes() == expected.to_bytes()


def test_partners_cosigned_each_others_logs_message_by_message(
    deployed: Deployment, first: SimpleNamespace, second: SimpleNamespace, tmp_path: Path
) -> None:
    folder = deployed.folder(NAMES[0])

    def said(*words: object) -> dict[str, Any]:
        done = command("node", "log", *words, "--format", "json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)["data"]
        return found

    (found,) = said("witness", "--dir", folder)["agreements"]
    assert {one["party"] for one in found["witnesses"]} == set(NAMES[1:])
    assert all(one["cosigned"] >= found["seals"] - 2 for one in found["witnesses"]), found
    assert all(one["size"] >= found["seals"] - 2 for one in found["witnessed"]), found
    whole = said("verify", "--dir", folder)
    assert whole["seals"] == found["seals"]
    quick = said("verify", "--quick", "--dir", folder)
    assert quick["root"] == whole["root"]
    assert 0 < quick["known"] < whole["size"]
    said("prove", 3, "--cosigned", "--out", tmp_path / "proof", "--dir", folder)
    agreement = folder / "agreement.json"
    checked = said("check-proof", tmp_path / "proof", "--agreement", agreement, "--quorum", 2)
    assert len(checked["cosigned"]) == 2


def test_an_auditor_verifies_a_pack_with_either_verifier(
    deployed: Deployment, first: SimpleNamespace, second: SimpleNamespace, tmp_path: Path
) -> None:
    folder, pack = deployed.folder(NAMES[0]), tmp_path / "north.pack"
    done = command("node", "evidence", "pack", "--out", pack, "--dir", folder, "--format", "json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)["data"]
    other = deployed.folder(NAMES[1]) / "agreement.json"
    done = command("node", "evidence", "verify", pack, "--agreement", other, "--format", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["data"]
    (witnessed,) = found["witnessed"]
    assert set(witnessed["by"]) == set(NAMES[1:])
    assert found["releases"] == 2
    assert 0 < found["entries"] - found["entries_witnessed"] < found["entries"] // 2
    assert len(found["documents"]) == 18
    (named,) = made["agreements"]
    words = [NODE, VERIFIER, "--agreement", named["agreement_hash"], pack]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    said = json.loads(done.stdout)
    assert [said[key] for key in ("entries", "entries_witnessed", "root", "releases")] == [
        found[key] for key in ("entries", "entries_witnessed", "root", "releases")
    ]


def test_the_coordinator_forgets_the_masked_messages_of_a_run_that_ended(
    deployed: Deployment, first: SimpleNamespace
) -> None:
    with deployed.store() as store:
        assert store.inputs(first.row.run_id) == []


def test_a_folder_is_served_by_one_process_only(
    deployed: Deployment, first: SimpleNamespace
) -> None:
    second = command_process("node", "serve", "--dir", deployed.folder("north"))
    assert second.returncode != 0
    assert "another process serves" in second.stderr + second.stdout


def test_a_run_without_one_of_three_partners_fails_within_the_grace_time_and_says_who(
    deployed: Deployment, first: SimpleNamespace
) -> None:
    node = deployed.nodes["south"]
    connected = node.said().count("link: connected")
    assert node.stop() == 0
    try:
        with deployed.grace_time(SHORT_GRACE_S):
            row = deployed.run()
    finally:
        node.start()
        deployed.await_connected("south", times=connected + 1)
    assert row.state == "failed"
    assert row.code.startswith("E-"), row
    assert "south did not answer" in row.reason
    assert deployed.run().state == "finished", "the next run works"


# --- agreements -----------------------------------------------------------------------------------


def test_an_agreement_of_two_partners_is_refused(deployed: Deployment) -> None:
    with pytest.raises(AgreementError) as caught:
        deploy.draft_agreement(
            deployed.directory, NAMES[:2], features=deploy.plain_features(), id="two-only"
        )
    assert caught.value.code == "E-PARTNERS"
    assert caught.value.remedy


def test_a_partner_does_not_sign_for_two_partners_even_when_the_coordinator_skips_the_check(
    deployed: Deployment, tmp_path: Path
) -> None:
    whole = load_signed(deployed.directory / "test-segments-unsigned.json")
    values = whole.agreement.to_dict()
    values["parties"] = values["parties"][:2]
    values["secure_sum"]["min_partners"] = 2
    file = tmp_path / "two.json"
    file.write_bytes(replace(whole.envelope, payload=canonical_json(values)).to_bytes())
    with pytest.raises(AgreementError) as caught:
        partner_agreement.sign(
            file=file, out=tmp_path / "signed.json", directory=deployed.folder("north")
        )
    assert caught.value.code == "E-PARTNERS"


def _serve_with_agreement(deployed: Deployment, directory: Path, content: bytes) -> tuple[str, str]:
    """What a node of `north` says that finds `content` as its agreement: install, and serve."""
    file = directory / "given.json"
    file.write_bytes(content)
    folder = deploy.make_node(
        deployed.directory,
        f"copy-{directory.name[-6:]}",
        deploy.PartnerData(file=deployed.directory / "north.csv"),
    )
    own = NodeHome.load(deployed.folder("north")).config.keys
    theirs = NodeHome.load(folder).config.keys
    assert own.passphrase_file is not None
    assert theirs.passphrase_file is not None
    theirs.store.write_bytes(own.store.read_bytes())
    theirs.passphrase_file.write_bytes(own.passphrase_file.read_bytes())
    with pytest.raises(FedsegError) as caught:
        partner_agreement.install(file=file, directory=folder)
    NodeHome.load(folder).config.node.agreement.write_bytes(content)
    done = command_process("node", "serve", "--dir", folder)
    assert done.returncode != 0
    return caught.value.code, done.stderr


def test_a_node_refuses_an_agreement_that_not_everyone_signed(
    deployed: Deployment, tmp_path: Path
) -> None:
    partly = (deployed.directory / "test-segments-unsigned-south.json").read_bytes()
    code, said = _serve_with_agreement(deployed, tmp_path, partly)
    assert code == "E-AGR-UNSIGNED"
    assert "E-AGR-UNSIGNED" in said


def test_a_node_refuses_an_agreement_that_was_altered_after_signing(
    deployed: Deployment, tmp_path: Path
) -> None:
    complete = load_signed(deployed.directory / "test-segments-unsigned-complete.json")
    payload = complete.envelope.payload.replace(b'"n_clusters":4', b'"n_clusters":5')
    assert payload != complete.envelope.payload
    altered = replace(complete.envelope, payload=payload).to_bytes()
    code, said = _serve_with_agreement(deployed, tmp_path, altered)
    assert code == "E-AGR-SIGNATURE"
    assert "E-AGR-SIGNATURE" in said


# --- strangers ------------------------------------------------------------------------------------


def test_a_node_that_was_not_admitted_does_not_get_in(second: SimpleNamespace) -> None:
    assert "E-LINK-NOT-ADMITTED" in second.outsider
    assert "link: connected" not in second.outsider


def test_an_admitted_node_with_an_agreement_of_its_own_has_no_part_in_the_run(
    second: SimpleNamespace,
) -> None:
    assert "E-AGR-OTHER" in second.sybil
    assert second.release.participants == NAMES
    assert sum(s.size for s in second.release.segments) == sum(SIZES.values())


def test_a_node_whose_key_is_not_in_the_agreement_does_not_start(
    deployed: Deployment, values: dict[str, np.ndarray]
) -> None:
    folder = deploy.make_node(
        deployed.directory,
        "pretender",
        deploy.write_customers(deployed.directory / "pretender.csv", values["north"]),
    )
    agreement = deployed.directory / "test-segments-unsigned-complete.json"
    NodeHome.load(folder).config.node.agreement.write_bytes(agreement.read_bytes())
    done = command_process("node", "serve", "--dir", folder)
    assert done.returncode != 0
    assert "E-AGR-PARTY" in done.stderr


def _stranger(deployed: Deployment, name: str, values: np.ndarray) -> Path:
    """A node whose agreement is signed by itself and two made-up partners."""
    directory = deployed.directory
    names = [name, f"{name}-b", f"{name}-c"]
    data = deploy.write_customers(directory / f"{name}.csv", values)
    for party in names:
        deploy.make_node(directory, party, data)
    unsigned = deploy.draft_agreement(
        directory, names, features=deploy.plain_features(), id=f"{name}-terms"
    )
    signed = []
    for party in names:
        signed.append(directory / f"{name}-signed-by-{party}.json")
        partner_agreement.sign(file=unsigned, out=signed[-1], directory=directory / party)
    complete = directory / f"{name}-complete.json"
    save_signed(complete, operator_agreement.join_copies(signed))
    partner_agreement.install(file=complete, directory=directory / name)
    return directory / name


# --- consent --------------------------------------------------------------------------------------


def test_a_customer_who_withdraws_in_mid_run_is_out_of_the_next_round_and_of_the_assignments(
    deployed: Deployment, first: SimpleNamespace
) -> None:
    consents = deployed.directory / "north-consents.csv"
    given = consents.read_bytes()
    try:
        run_id = deployed.run_while_customers_withdraw(
            {"north": (consents, deploy.withdrawal("c7"))}
        )
        deployed.check_withdrawn(run_id, "north", customers=SIZES["north"])
        messages = _of_node(deployed, "egress", "list")["messages"]
        counts = [
            m["customers"] for m in messages
            if m["run_id"] == run_id.hex() and m["customers"] is not None
        ]  # fmt: skip
        assert counts == [answer.customers for answer in deployed.answers(run_id, "north")]
        out = deployed.directory / "assigned.csv"
        assigned = _of_node(deployed, "segments", "assign", "--out", out)
        assert assigned["customers"] == SIZES["north"] - 1
        ids = {line.split(",")[0].strip('"') for line in out.read_text().splitlines()[1:]}
        assert ids == {f"c{i}" for i in range(SIZES["north"])} - {"c7"}
        explained = _of_node(deployed, "consent", "explain", "--subject", "c7")
        assert (explained["eligible"], explained["reason"]) == (False, "withdrawn")
    finally:
        consents.write_bytes(given)


def _of_node(deployed: Deployment, *words: object) -> dict[str, Any]:
    """The data of a command of north's node."""
    done = command("node", *words, "--dir", deployed.folder("north"), "--format", "json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["data"]
    return found
