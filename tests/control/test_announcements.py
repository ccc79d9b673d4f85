"""Announcements: whom they reach, when a stream ends, and what a serving node does at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coordinator.control import announcements as module
from coordinator.control.announcements import (
    ADMITTED,
    CHECK,
    COMPLETE,
    PROPOSED,
    RUN,
    STOPPED,
    Announcements,
)
from coordinator.control.releases import announce_run
from coordinator.control.standing import shut_out
from coordinator.control.taking_stops import take_stop
from partner_node.control.belonging import open_channel
from partner_node.control.channel import Channel
from partner_node.control.in_force import sound_in_force
from partner_node.control.presence import present, show_up
from partner_node.control.stopping import exchange_stops
from partner_node.home import NodeHome
from partner_node.link.settings import Bell
from protocol.agreement.stop import SignedStop
from protocol.control.calls import ANNOUNCEMENTS, STOP, STOPS
from protocol.control.v1 import control_pb2 as v1
from protocol.errors import AgreementError, FedsegError
from protocol.signed_agreement import SignedAgreement
from tests.control.commands import line_of, operator, shell
from tests.control.lab import JoinedNode, Lab, lab, no_run, serving
from tests.control.parties import (
    Parties,
    Signing,
    code_of,
    in_force,
    lying,
    outcome,
    parties,
    signing,
    stopped,
)
from tests.end_to_end.transport_support import wait_for
from tests.shell import Shell

__all__ = ["lab", "parties", "shell", "signing"]

PATIENCE_S = 20.0
#: More messages than a test waits for, so that none waits for ever.
MOST = 20


def listening(channel: Channel, *, after: int) -> Iterator[v1.Announcement]:
    """What a node is told, without what says that nothing happened; bounded."""
    request = v1.AnnouncementsRequest(after=after)
    for count, one in enumerate(channel.stream(ANNOUNCEMENTS, request, v1.Announcement)):
        assert count < MOST, "nothing was announced"
        if one.kind != v1.Announcement.NOTHING:
            yield one


def kind_of(one: v1.Announcement) -> str:
    return v1.Announcement.Kind.Name(one.kind)


def stop_of(node: JoinedNode, signed: SignedAgreement, *, reason: str = "") -> SignedStop:
    return SignedStop.sign(
        signed.agreement, node.keystore.identity, at="2026-11-30T10:00:00Z", reason=reason
    )


def complete(parties: Parties) -> None:
    for node in parties.nodes:
        parties.sign(node)


def test_a_run_that_asks_something_wakes_the_links_of_its_parties(
    signing: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreement = in_force(signing)
    store, run_id = signing.parties.lab.store, bytes(15) + b"\x07"
    store.request_run(run_id, agreement)
    bell, rung = Bell(), threading.Event()
    monkeypatch.setattr(bell, "ring", rung.set)
    with present(signing.home, no_run, bell=bell):
        wait_for(lambda: bell.is_attended, timeout_s=PATIENCE_S, what="the node to listen")
        assert not rung.is_set()
        announce_run(store, run_id)
        assert rung.wait(PATIENCE_S)
    assert not bell.is_attended


# --- at the port -----------------------------------------------------------------------------


def test_what_happens_after_a_node_asked_how_it_stands_reaches_it(parties: Parties) -> None:
    """Also what happens before it listens: it names the number that it was told."""
    hash, node = parties.draft.agreement.hash, parties.nodes[0]
    with parties.lab.channel(node.identity) as channel:
        after = show_up(channel).announced
        complete(parties)
        stream = listening(channel, after=after)
        one = next(stream)
        assert (kind_of(one), one.hash) == ("COMPLETE", hash)
        take_stop(parties.lab.store, stop_of(parties.nodes[1], parties.draft))
        one = next(stream)
        assert (kind_of(one), one.hash) == ("STOPPED", hash)
    with parties.lab.channel(node.identity) as channel:
        one = next(listening(channel, after=after))
        assert kind_of(one) == "COMPLETE", "whoever asks again is told again"


def test_a_partner_is_told_of_its_own_agreements_alone(parties: Parties) -> None:
    other = parties.lab.join(f"{parties.draft.agreement.id}-other")
    parties.lab.admit(other)
    with parties.lab.channel(other.identity) as channel:
        after = show_up(channel).announced
        complete(parties)
        store = parties.lab.store
        with store.transaction():
            Announcements(store).add(PROPOSED, [other.card.id], b"\x01" * 32)
        one = next(listening(channel, after=after))
        assert one.hash == b"\x01" * 32


def test_a_node_that_waits_is_told_that_it_is_admitted(lab: Lab) -> None:
    node = lab.join("told")
    with lab.channel(node.identity) as channel:
        stream = listening(channel, after=show_up(channel).announced)
        lab.admit(node)
        with lab.store.transaction():
            Announcements(lab.store).add(ADMITTED, ["told"])
        assert kind_of(next(stream)) == "ADMITTED"


def test_the_stream_of_a_removed_node_ends(lab: Lab) -> None:
    node = lab.join("listener")
    lab.admit(node)
    with lab.channel(node.identity) as channel:
        request = v1.AnnouncementsRequest(after=show_up(channel).announced)
        stream = channel.stream(ANNOUNCEMENTS, request, v1.Announcement)
        assert kind_of(next(stream)) == "NOTHING"
        shut_out(lab.store, "listener")
        assert code_of(lambda: [one for _, one in zip(range(MOST), stream, strict=False)]) == (
            "E-CALLER"
        )


def test_a_node_has_one_stream_and_the_newest_counts(lab: Lab) -> None:
    node = lab.join("twice")
    lab.admit(node)
    with lab.channel(node.identity) as first, lab.channel(node.identity) as second:
        request = v1.AnnouncementsRequest(after=show_up(first).announced)
        older = first.stream(ANNOUNCEMENTS, request, v1.Announcement)
        assert kind_of(next(older)) == "NOTHING"
        newer = second.stream(ANNOUNCEMENTS, request, v1.Announcement)
        assert kind_of(next(newer)) == "NOTHING"
        left = [kind_of(one) for _, one in zip(range(MOST), older, strict=False)]
        assert len(left) < MOST, "the older one goes on"
        assert kind_of(next(newer)) == "NOTHING"


def test_who_listens_is_known_as_long_as_it_does(lab: Lab, shell: Shell) -> None:
    """Of two streams of one node the first one's end says nothing."""
    node = lab.join("listens")
    lab.admit(node)
    with lab.store.transaction():
        Announcements(lab.store).add(ADMITTED, ["listens"])
    channels = [lab.channel(node.identity) for _ in range(2)]

    def listens() -> bool:
        return bool(line_of(shell, lab, "listens")["listens"])

    assert not listens()
    streams = [listening(channel, after=0) for channel in channels]
    for stream in streams:
        next(stream)  # that it is admitted
        assert listens()
    channels[0].close()
    assert listens()
    channels[1].close()
    wait_for(lambda: not listens(), timeout_s=PATIENCE_S, what="the end of the stream")


def test_a_port_that_ends_ends_its_streams(tmp_path: Path) -> None:
    ended: list[str] = []
    with serving(tmp_path) as lab:
        node = lab.join("last")
        lab.admit(node)
        channel = lab.channel(node.identity)
        stream = channel.stream(ANNOUNCEMENTS, v1.AnnouncementsRequest(), v1.Announcement)
        assert kind_of(next(stream)) == "NOTHING"

        def listen() -> None:
            try:
                ended.extend(kind_of(one) for _, one in zip(range(MOST), stream, strict=False))
            except FedsegError as error:
                ended.append(error.code)

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
    listener.join(PATIENCE_S)
    assert not listener.is_alive()
    assert len(ended) < MOST
    channel.close()


def test_old_announcements_are_deleted_and_numbers_go_on(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_KEPT", 5)
    told = Announcements(lab.store)
    before = told.last()
    for _ in range(4):
        with lab.store.transaction():
            told.add(COMPLETE, ["keeper", "other"])
    assert told.last() == before + 8
    assert [line.number - before for line in told.after(0, "keeper")] == [5, 7]
    assert lab.store.one("SELECT count(*) FROM announcements") == (5,)


def test_what_comes_again_and_again_pushes_nothing_else_out(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_KEPT", 10)
    told = Announcements(lab.store)
    with lab.store.transaction():
        start = told.last()
        told.add(STOPPED, ["keeper", "other"], b"h")
        for _ in range(20):
            before = told.last()
            told.add(RUN, ["keeper", "other"], b"h")
            told.add(RUN, ["keeper"], b"another")
            told.add(CHECK, ["keeper"])
            fresh = [line.number for line in told.after(before, "keeper")]
            assert fresh == [before + 1, before + 3, before + 4], "a stream is told each time"
    kinds = [(line.kind, line.agreement_hash) for line in told.after(start, "keeper")]
    assert kinds == [(STOPPED, b"h"), (RUN, b"h"), (RUN, b"another"), (CHECK, b"")]
    assert [line.kind for line in told.after(start, "other")] == [STOPPED, RUN]


# --- stops -----------------------------------------------------------------------------------


def send(lab: Lab, node: JoinedNode, envelope: bytes) -> str:
    return outcome(lab, node, STOP, v1.StopRequest(envelope=envelope), v1.StopReply)


def test_a_stop_is_taken_of_the_partner_that_signed_it_alone(parties: Parties) -> None:
    first, second, _ = parties.nodes
    lab, stop = parties.lab, stop_of(first, parties.draft)
    assert send(lab, first, stop.to_bytes()) == "E-PROPOSAL", "it is not published yet"
    complete(parties)
    assert send(lab, second, stop.to_bytes()) == "E-PROPOSAL"
    other = lab.join(f"{parties.draft.agreement.id}-other")
    lab.admit(other)
    assert send(lab, other, stop.to_bytes()) == "E-PROPOSAL"
    unsigned = replace(stop, envelope=replace(stop.envelope, signatures={}))
    assert send(lab, first, unsigned.to_bytes()) == "E-AGR-SIGNATURE"
    hash = parties.draft.agreement.hash
    assert lab.store.stops_of(hash) == []
    assert send(lab, first, stop.to_bytes()) == ""
    assert send(lab, first, stop.to_bytes()) == "", "again, as an answer can be lost"
    assert lab.store.stops_of(hash) == [stop.to_bytes()]
    asked = v1.StopsRequest(hash=hash)
    assert outcome(lab, other, STOPS, asked, v1.StopsReply) == "E-PROPOSAL"
    with lab.channel(second.identity) as channel:
        assert list(channel.call(STOPS, asked, v1.StopsReply).envelopes) == [stop.to_bytes()]


def test_a_stop_that_came_as_a_file_is_handed_on_too(signing: Signing, tmp_path: Path) -> None:
    in_force(signing)
    stop = stop_of(signing.parties.nodes[0], signing.parties.draft, reason="Merger.")
    (tmp_path / "stop.json").write_bytes(stop.to_bytes())
    at = ("--dir", signing.parties.lab.config.directory)
    operator(signing.shell).json("agreement", "stop", tmp_path / "stop.json", *at)
    assert stopped(signing.home) == []
    with open_channel(signing.home, retries=False) as channel:
        exchange_stops(signing.home, channel)
        exchange_stops(signing.home, channel)
    assert stopped(signing.home) == [signing.parties.nodes[0].card.id]


def test_an_agreement_in_a_bad_way_keeps_no_stop_of_another_back(
    signing: Signing, tmp_path: Path
) -> None:
    first, settings = in_force(signing), signing.home.directory / "node.toml"
    with settings.open("a") as file:
        file.write("[agreements.another-purpose]\n")
    signing.propose_next(id="another-purpose")
    signing.agree()
    assert signing.take_up() == "another-purpose 1"
    second = signing.parties.draft.agreement
    with settings.open("a") as file:
        file.write(f"[agreements.{first.id}]\n")
    home = NodeHome.load(signing.home.directory)
    stop = stop_of(signing.parties.nodes[0], signing.parties.draft, reason="Merger.")
    (tmp_path / "stop.json").write_bytes(stop.to_bytes())
    at = ("--dir", signing.parties.lab.config.directory)
    operator(signing.shell).json("agreement", "stop", tmp_path / "stop.json", *at)
    with open_channel(home, retries=False) as channel:
        assert code_of(lambda: exchange_stops(home, channel)) == "E-AGR-TWICE"
    with closing(home.store(home.keystore())) as store:
        assert [one.partner for one in store.stops_of(second.hash)] == [stop.partner]
    assert [one.id for one in sound_in_force(home)] == [second.id]


def test_a_version_that_waits_and_is_in_a_bad_way_keeps_no_stop_back(
    signing: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_force(signing)
    own = signing.call("stop", "--yes", "--out", "stop.json")
    assert own["sent"]
    with signing.parties.lab.store.transaction():
        signing.parties.lab.store.ask("DELETE FROM stops")

    def unfit(home: NodeHome, signed: SignedAgreement) -> SignedAgreement:
        raise AgreementError("it does not fit", code="E-KEY-PARTY", remedy="ask")

    waiting = SimpleNamespace(all=lambda: [signing.parties.draft])
    monkeypatch.setattr("partner_node.control.stopping.WaitingVersions", lambda _: waiting)
    agreement = signing.parties.draft.agreement
    monkeypatch.setattr(NodeHome, "agreement_here", lambda _: agreement)
    monkeypatch.setattr(NodeHome, "with_keys", unfit)
    with open_channel(signing.home, retries=False) as channel:
        assert code_of(lambda: exchange_stops(signing.home, channel)) == "E-KEY-PARTY"
    assert len(signing.parties.lab.store.stops_of(agreement.hash)) == 1


def test_a_stop_that_no_partner_signed_is_not_believed(
    signing: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_force(signing)
    real = stop_of(signing.parties.nodes[0], signing.parties.draft)
    forger = Ed25519PrivateKey.generate()
    forged = replace(real, envelope=replace(real.envelope, signatures={}).signed_by(forger))

    def add(reply: v1.StopsReply) -> None:
        reply.envelopes.append(forged.to_bytes())

    lying(monkeypatch, STOPS, add)
    with open_channel(signing.home, retries=False) as channel:
        assert code_of(lambda: exchange_stops(signing.home, channel)) == "E-AGR-SIGNATURE"
    assert stopped(signing.home) == []


def test_a_partner_stops_online_and_has_the_file_all_the_same(
    signing: Signing, tmp_path: Path
) -> None:
    agreement = in_force(signing)
    data = signing.call("stop", "--yes", "--out", tmp_path / "stop.json")
    assert (data["sent"], data["warnings"]) == (True, [])
    (kept,) = signing.parties.lab.store.stops_of(agreement.hash)
    assert (tmp_path / "stop.json").read_bytes() == kept


def away(home: NodeHome) -> str:
    """The text of a node's configuration with a control port that nobody serves."""
    text = home.config.file.read_text(encoding="utf-8")
    assert home.config.coordinator.control is not None
    return text.replace(home.config.coordinator.control, "127.0.0.1:1")


def test_a_stop_holds_here_while_the_coordinator_is_away_and_is_sent_later(
    signing: Signing, tmp_path: Path
) -> None:
    agreement = in_force(signing)
    there = signing.home.config.file.read_text(encoding="utf-8")
    signing.home.config.file.write_text(away(signing.home), encoding="utf-8")
    data = signing.call("stop", "--yes", "--out", tmp_path / "stop.json")
    assert data["sent"] is False
    assert "does not have it yet" in data["warnings"][0]
    own = signing.home.config.node.partner
    assert stopped(signing.home) == [own]
    signing.home.config.file.write_text(there, encoding="utf-8")
    assert signing.parties.lab.store.stops_of(agreement.hash) == []
    with present(signing.home, no_run):
        wait_for(
            lambda: len(signing.parties.lab.store.stops_of(agreement.hash)) == 1,
            timeout_s=PATIENCE_S,
            what="the stop at the coordinator",
        )


def test_a_serving_node_takes_up_what_is_announced(
    signing: Signing, caplog: pytest.LogCaptureFixture
) -> None:
    """The first agreement, a later version and a stop, over one connection."""
    caplog.set_level("INFO")

    def await_log(words: str) -> None:
        wait_for(lambda: words in caplog.text, timeout_s=PATIENCE_S, what=words)

    with present(signing.home, no_run, first_wait_s=600, most_wait_s=600):
        await_log("control: admitted")
        signing.agree()
        first = signing.parties.draft.agreement
        await_log(f"control: agreement {first.id}, version 1, is in force here")
        signing.propose_next(id=first.id, version=2, supersedes=first.hash.hex())
        await_log("an agreement is proposed: fedseg-node agreement proposals")
        signing.agree()
        await_log(f"control: agreement {first.id}, version 2, is in force here")
        node = signing.parties.nodes[1]
        take_stop(signing.parties.lab.store, stop_of(node, signing.parties.draft))
        await_log(f"control: {node.card.id} stopped agreement")
    assert stopped(signing.home) == [node.card.id]
    assert caplog.text.count("control: admitted") == 1


def test_what_does_not_follow_is_said_once_and_the_node_goes_on(
    signing: Signing, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    first = in_force(signing)
    signing.propose_next(id=first.id, version=3, supersedes="00" * 32)
    signing.agree()
    with present(signing.home, no_run, first_wait_s=600, most_wait_s=600):
        wait_for(lambda: "E-AGR-ROLLBACK" in caplog.text, timeout_s=PATIENCE_S, what="a refusal")
        node = signing.parties.nodes[0]
        signed = signing.home.signed_agreement()
        take_stop(signing.parties.lab.store, stop_of(node, signed))
        wait_for(
            lambda: stopped(signing.home) == [node.card.id],
            timeout_s=PATIENCE_S / 4,
            what="the stop",
        )
    assert caplog.text.count("E-AGR-ROLLBACK") == 1
