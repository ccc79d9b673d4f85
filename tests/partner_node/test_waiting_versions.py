"""A version that every party signed takes effect when it says so; what is in force goes on."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from partner_node import client_app
from partner_node.agreeing import Installed, install_agreement, take_effect
from partner_node.home import NodeHome
from partner_node.served_nodes import ServedNodes
from partner_node.store.waiting import WaitingVersions
from protocol.agreement.document import Agreement
from protocol.agreement.stop import SignedStop
from protocol.errors import AgreementError
from protocol.messages import Open, sign_request
from protocol.signed_agreement import SignedAgreement
from tests.partner_node.nodes import (
    COORDINATOR,
    OTHERS,
    complete,
    installed,
    node,
    shell,
    successor,
)
from tests.shell import Shell

__all__ = ["installed", "node", "shell"]

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)


def ahead(hours: int) -> dict[str, str]:
    return {"effective": f"{NOW + hours * HOUR:%Y-%m-%dT%H:%M:%SZ}"}


def install(node: Path, data: bytes, now: datetime = NOW) -> Installed:
    signed = SignedAgreement.from_bytes(data)
    return install_agreement(NodeHome.load(node), signed, Path("x.json"), now=now)


def in_force(node: Path) -> list[tuple[str, int]]:
    return [(one.id, one.version) for one in NodeHome.load(node).agreements_in_force()]


def after(node: Path, hours: float) -> list[int]:
    """The versions that take effect when so many hours have passed."""
    home = NodeHome.load(node)
    store = home.store(home.keystore())
    try:
        return [d.agreement.version for d in take_effect(home, store, NOW + hours * HOUR)]
    finally:
        store.close()


def third(node: Path, before: bytes, **changes: Any) -> bytes:
    """The version after one that may not be in force yet."""
    last = SignedAgreement.from_bytes(before).agreement
    return complete(node, version=3, supersedes=last.hash.hex(), **changes)


def unfinished_run(node: Path, agreement: Agreement) -> None:
    request = Open(agreement_hash=agreement.hash, run_id=b"1" * 16)
    served = ServedNodes.open(node)
    served.handle(sign_request(request, COORDINATOR))
    served.store.close()


def phases(node: Path) -> list[str]:
    home = NodeHome.load(node)
    store = home.store(home.keystore())
    found = [phase for (phase,) in store.ask("SELECT phase FROM runs")]
    store.close()
    return found


def test_a_version_that_lies_ahead_waits_and_ends_nothing_before(
    installed: Path, shell: Shell
) -> None:
    first = NodeHome.load(installed).signed_agreement().agreement
    unfinished_run(installed, first)
    data = successor(installed, **ahead(5))
    done = install(installed, data)
    assert (done.waits, done.runs_ended, done.replaces) == (True, [], first)
    assert in_force(installed) == [("ours", 1)]
    assert phases(installed) == ["greeted"]
    assert after(installed, 4.99) == []
    assert phases(installed) == ["greeted"]
    assert after(installed, 5) == [2]
    assert in_force(installed) == [("ours", 2)]
    assert phases(installed) == ["aborted"]
    assert after(installed, 6) == []


def test_what_waits_is_shown_and_so_is_when_it_takes_effect(
    installed: Path, shell: Shell, tmp_path: Path
) -> None:
    (tmp_path / "two.json").write_bytes(successor(installed, **ahead(5)))
    done = shell.json("agreement", "install", "two.json", "--dir", installed)
    assert done["waits_until"] == ahead(5)["effective"]
    for words, key in ((("status",), "waiting_versions"), (("agreement", "show"), "waiting")):
        (one,) = shell.json(*words, "--dir", installed)[key]
        assert (one["version"], one["effective"]) == (2, ahead(5)["effective"])
        said = " ".join(shell(*words, "--dir", installed).out.split())
        assert "Waits: version 2 of agreement ours" in said
    assert after(installed, 5) == [2]
    assert shell.json("status", "--dir", installed)["waiting_versions"] == []


def test_a_version_that_is_effective_takes_the_place_at_once(installed: Path) -> None:
    assert not install(installed, successor(installed)).waits
    assert in_force(installed) == [("ours", 2)]


def test_a_first_agreement_is_installed_before_it_is_effective(node: Path) -> None:
    assert not install(node, complete(node, **ahead(5))).waits
    assert in_force(node) == [("ours", 1)]


def test_another_agreement_in_the_same_place_waits_too(installed: Path) -> None:
    done = install(installed, complete(installed, id="another", **ahead(5)))
    assert done.waits
    assert in_force(installed) == [("ours", 1)]
    assert after(installed, 5) == [1]
    assert in_force(installed) == [("another", 1)]


def test_of_several_that_are_effective_the_highest_is_taken_and_none_waits(
    installed: Path,
) -> None:
    second = successor(installed, **ahead(5))
    install(installed, second)
    install(installed, third(installed, second, **ahead(7)))
    assert after(installed, 6) == [2]
    assert after(installed, 8) == [3]
    assert in_force(installed) == [("ours", 3)]


def test_a_node_that_was_off_takes_the_last_one_alone(installed: Path) -> None:
    second = successor(installed, **ahead(5))
    install(installed, second)
    install(installed, third(installed, second, **ahead(7)))
    assert after(installed, 24) == [3]
    assert after(installed, 24) == []


def test_a_later_version_that_is_effective_leaves_nothing_waiting_before_it(
    installed: Path,
) -> None:
    second = successor(installed, **ahead(5))
    install(installed, second)
    assert not install(installed, third(installed, second)).waits
    assert after(installed, 24) == []
    assert in_force(installed) == [("ours", 3)]


def test_what_follows_is_asked_of_what_waits(installed: Path) -> None:
    first = NodeHome.load(installed).signed_agreement().agreement
    second = successor(installed, **ahead(5))
    install(installed, second)
    with pytest.raises(AgreementError) as caught:
        install(installed, complete(installed, version=3, supersedes=first.hash.hex()))
    assert caught.value.code == "E-AGR-ROLLBACK"
    with pytest.raises(AgreementError) as caught:
        install(installed, successor(installed, min_segment_size=7))
    assert caught.value.code == "E-AGR-ROLLBACK"
    assert install(installed, second).waits, "again, as it was"


def test_a_version_that_not_all_signed_does_not_wait(
    installed: Path, caplog: pytest.LogCaptureFixture
) -> None:
    signed = SignedAgreement.from_bytes(successor(installed, **ahead(5)))
    lacking = SignedAgreement.draft(signed.agreement).to_bytes()
    with pytest.raises(AgreementError) as caught:
        install(installed, lacking)
    assert caught.value.code == "E-AGR-UNSIGNED"
    home = NodeHome.load(installed)
    store = home.store(home.keystore())
    with store.transaction():
        WaitingVersions(store).keep(SignedAgreement.draft(signed.agreement))
    assert take_effect(home, store, NOW + 6 * HOUR) == []
    assert "is not signed by" in caplog.text
    store.close()
    assert in_force(installed) == [("ours", 1)]


def test_an_open_node_answers_under_the_version_of_the_moment(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock(datetime):
        hours = 0

        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return NOW + cls.hours * HOUR

    monkeypatch.setattr("partner_node.client_app.datetime", Clock)
    monkeypatch.setattr("partner_node.served_nodes.datetime", Clock)
    before = client_app.nodes_of(installed)
    install(installed, successor(installed, **ahead(5)))
    assert client_app.nodes_of(installed) is before
    Clock.hours = 4
    assert client_app.nodes_of(installed) is before
    Clock.hours = 5
    for _ in range(2):  # the file was replaced while they were opened, so they are once more
        now = client_app.nodes_of(installed)
        assert [node.agreement.version for node in now.nodes] == [2]
    assert client_app.nodes_of(installed) is now


# --- stops, other agreements, hands ----------------------------------------------------------


def stop(shell: Shell, node: Path) -> dict[str, Any]:
    return shell.json("agreement", "stop", "--yes", "--out", "stop.json", "--dir", node)


def is_stopped(node: Path, agreement: Agreement) -> bool:
    home = NodeHome.load(node)
    store = home.store(home.keystore())
    found = store.stop_of(agreement.hash)
    store.close()
    return found is not None


def test_a_stop_is_of_the_version_that_waits_too(
    installed: Path, shell: Shell, tmp_path: Path
) -> None:
    data = successor(installed, **ahead(5))
    install(installed, data)
    done = stop(shell, installed)
    coming = SignedAgreement.from_bytes(data).agreement
    (other,) = done["waiting"]
    assert other["agreement_hash"] == coming.hash.hex()
    signed = SignedStop.from_bytes((tmp_path / "stop-version-2.json").read_bytes())
    signed.verify(coming)
    assert after(installed, 5) == [2]
    assert is_stopped(installed, coming)


def test_another_partners_stop_of_a_version_that_waits_is_taken(
    installed: Path, shell: Shell, tmp_path: Path
) -> None:
    data = successor(installed, **ahead(5))
    install(installed, data)
    coming = SignedAgreement.from_bytes(data).agreement
    (tmp_path / "s.json").write_bytes(
        SignedStop.sign(coming, OTHERS[0], at="2026-05-01T10:00:00Z").to_bytes()
    )
    assert shell.json("agreement", "accept-stop", "s.json", "--dir", installed)["partner"]
    assert after(installed, 5) == [2]
    assert is_stopped(installed, coming)


def test_a_version_that_waits_does_not_undo_what_a_person_installed_since(
    installed: Path, shell: Shell
) -> None:
    install(installed, successor(installed, **ahead(5)))
    install(installed, complete(installed, id="another"))
    assert after(installed, 5) == []
    assert in_force(installed) == [("another", 1)]
    home = NodeHome.load(installed)
    with closing(home.store(home.keystore())) as store:
        kept = [signed.agreement.version for signed in store.versions("ours")]
    assert kept == [1, 2], "both, and the one that was in force as the last"


def test_a_version_whose_section_is_gone_replaces_nothing(installed: Path, shell: Shell) -> None:
    file = installed / "node.toml"
    before = file.read_text()
    file.write_text(before + "[agreements.loyalty]\n")
    first = complete(installed, id="loyalty")
    install(installed, first)
    last = SignedAgreement.from_bytes(first).agreement
    install(installed, complete(installed, id="loyalty", version=2,
                                supersedes=last.hash.hex(), **ahead(5)))  # fmt: skip
    file.write_text(before)
    assert after(installed, 5) == []
    assert in_force(installed) == [("ours", 1)]
    assert after(installed, 6) == [], "it is forgotten"


def test_what_a_downgrade_left_out_does_not_come_by_itself(
    installed: Path, shell: Shell, tmp_path: Path
) -> None:
    first = NodeHome.load(installed).signed_agreement()
    install(installed, successor(installed, **ahead(5)))
    (tmp_path / "v1.json").write_bytes(first.to_bytes())
    shell.json("agreement", "install", "v1.json", "--downgrade", "--dir", installed)
    assert after(installed, 5) == []


def test_no_run_ends_under_an_agreement_that_cannot_be_read_when_another_takes_effect(
    installed: Path, shell: Shell
) -> None:
    with (installed / "node.toml").open("a") as file:
        file.write("[agreements.loyalty]\n")
    data = complete(installed, id="loyalty")
    install(installed, data)
    unfinished_run(installed, SignedAgreement.from_bytes(data).agreement)
    (installed / "agreements" / "loyalty.json").write_bytes(data[:50])
    install(installed, successor(installed))
    assert phases(installed) == ["greeted"]


def test_signing_what_is_meant_for_later_warns_of_nothing(
    installed: Path, shell: Shell, tmp_path: Path
) -> None:
    (tmp_path / "later.json").write_bytes(successor(installed, **ahead(5)))
    words = ("agreement", "sign", "later.json", "--out", "signed.json", "--dir", installed)
    assert not [w for w in shell.json(*words)["warnings"] if "agreement" in w]
