"""A run starts from the last signed release: the same one at both sides, and never an older one."""

from __future__ import annotations

import dataclasses
import json
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from protocol.clustering.followed import Beginning
from protocol.clustering.lloyd_exact import LloydExact
from protocol.errors import ProtocolError, RemoteProtocolError
from protocol.messages import Open
from protocol.partner_state import PartnerState
from protocol.release.document import Release, SignedRelease
from protocol.release.last import begins_at

ALL = frozenset(range(3))


def ended(run: Any) -> SignedRelease:
    """The release of an honest run."""
    release: SignedRelease = run.finish().coordinator.release
    return release


class Runs:
    """Two runs that have ended, and a third that is to begin."""

    def __init__(self, lab: ModuleType, **terms: Any) -> None:
        self.fed = lab.Federation(3, **terms)
        self.first = self.fed.run("first")
        self.one = ended(self.first)
        self.second = self.after(self.first, self.one, name="second")
        self.two = ended(self.second)

    def after(
        self, run: Any, last: SignedRelease | None, *, name: str = "third", held: Any = None
    ) -> Any:
        """A run after `run`, in which all partners received the release `last`."""
        given = b"" if last is None else last.to_bytes()
        if held is None and last is not None:
            held = dict.fromkeys(ALL, last.release)
        return self.fed.run(name, chain=run.coordinator.chain, last=given, held=held)


@pytest.fixture
def runs(lab: ModuleType) -> Runs:
    return Runs(lab)


def test_a_run_starts_from_the_centres_of_the_last_release_at_both_sides(runs: Runs) -> None:
    run = runs.after(runs.second, runs.two).until("answers")
    for node in run.nodes:
        node.restart()
        assert isinstance(node.state.plan, LloydExact)
        assert np.array_equal(node.state.plan.centroids, runs.two.release.centres)
    release = ended(run).release
    assert release.start == Beginning(release=runs.two.release.hash, changed=False)
    assert runs.one.release.start is None
    assert Release.from_bytes(release.to_bytes()) == release


def test_unchanged_customers_keep_their_segments_in_fewer_rounds(runs: Runs) -> None:
    assert np.array_equal(runs.two.release.centres, runs.one.release.centres)
    assert runs.two.release.rounds < runs.one.release.rounds


def test_a_run_that_follows_has_another_hash_than_one_that_starts_anew(runs: Runs) -> None:
    run = runs.after(runs.second, runs.two).until("readys")
    anew = runs.after(runs.second, None).until("readys")
    assert run.coordinator.request(0) != anew.coordinator.request(0)
    assert run.coordinator.run_hash != anew.coordinator.run_hash


@pytest.mark.parametrize("liar", [0, 1, 2])
def test_partners_that_are_told_of_different_releases_never_form_a_set(
    runs: Runs, liar: int
) -> None:
    """One that received neither the first nor the second release cannot know better."""
    held = dict.fromkeys(ALL - {liar}, runs.two.release)
    run = runs.after(runs.second, runs.two, held=held)
    hello = run.lie(liar, last=runs.one.to_bytes())
    assert run.coordinator.receive(hello) == liar
    run.until("readys")
    with run.refused(liar, "E-CHAIN-RUN"):
        run.nodes[liar].handle(run.coordinator.request(liar))


def refused(run: Any, code: str, **changes: Any) -> RemoteProtocolError:
    """What partner 0 says to an OPEN with some fields changed: it keeps nothing of the run."""
    with pytest.raises(ProtocolError) as caught:
        run.lie(0, **changes)
    assert caught.value.code == code
    assert run.nodes[0].state.state is None
    assert isinstance(caught.value, RemoteProtocolError)
    return caught.value


def test_a_partner_that_holds_a_release_starts_no_run_anew(runs: Runs) -> None:
    error = refused(runs.after(runs.second, runs.two), "E-RUN-START", last=b"")
    assert runs.two.release.hash.hex()[:16] in error.message
    assert "new version" in error.remedy


def test_a_partner_that_holds_a_release_starts_from_no_older_one(runs: Runs) -> None:
    run = runs.after(runs.second, runs.two)
    error = refused(run, "E-RUN-START", last=runs.one.to_bytes())
    for release in (runs.one.release, runs.two.release):
        assert release.hash.hex()[:16] in error.message


def test_a_partner_that_was_away_takes_the_release_that_it_never_received(runs: Runs) -> None:
    for held in ({0: runs.one.release}, {}):
        run = runs.after(runs.second, runs.two, held=held)
        release = ended(run).release
        assert release.start == Beginning(release=runs.two.release.hash)


def test_a_partner_whose_chain_ends_earlier_takes_a_release_of_a_run_without_it(
    lab: ModuleType,
) -> None:
    fed = lab.Federation(5, colluding=0)
    first = fed.run("first")
    one = ended(first)
    away = frozenset({0, 3, 4})
    second = fed.run("second", chain=first.coordinator.chain, last=one.to_bytes())
    two = ended(second)
    third = fed.run(
        "third",
        chain=second.coordinator.chain,
        chains=dict.fromkeys(away, first.coordinator.chain),
        last=two.to_bytes(),
        held=dict.fromkeys(away, one.release),
    )
    release = ended(third).release
    assert release.start == Beginning(release=two.release.hash)


def test_a_release_that_is_not_signed_by_all_of_its_participants_starts_no_run(
    runs: Runs,
) -> None:
    run = runs.after(runs.second, runs.two)
    envelope = runs.two.envelope
    fewer = dict(list(envelope.signatures.items())[1:])
    unsigned = dataclasses.replace(envelope, signatures=fewer)
    other = dataclasses.replace(runs.two.release, rounds=runs.two.release.rounds + 1)
    altered = dataclasses.replace(envelope, payload=other.to_bytes())
    for forged in (unsigned, altered):
        refused(run, "E-RELEASE", last=forged.to_bytes())
    refused(run, "E-MALFORMED", last=b"{}")


def test_a_release_under_another_agreement_starts_no_run(lab: ModuleType, runs: Runs) -> None:
    other = ended(lab.Federation(3, identity="other").run("other"))
    refused(runs.after(runs.second, None), "E-RELEASE", last=other.to_bytes())


def test_a_run_is_not_opened_again_with_another_release(runs: Runs) -> None:
    run = runs.after(runs.second, runs.two, held={})
    opening = run.open_request_for(0)
    hello = run.send(0, opening)
    assert run.send(0, opening) == hello
    for other in (b"", runs.one.to_bytes()):
        with pytest.raises(RemoteProtocolError, match="another last release") as caught:
            run.send(0, dataclasses.replace(opening, last=other))
        assert caught.value.code == "E-RUN-START"
    run.finish()


def test_where_runs_are_agreed_to_start_anew_no_release_is_named_or_taken(lab: ModuleType) -> None:
    runs = Runs(lab, start="anew")
    assert runs.two.release.start is None
    run = runs.after(runs.second, runs.two)
    assert run.open_request_for(0) == Open(
        agreement_hash=runs.fed.agreement.hash, run_id=run.run_id
    )
    refused(run, "E-RUN-START", last=runs.two.to_bytes())
    assert ended(run).release.start is None


def test_a_release_that_says_that_customers_changed_is_not_followed(runs: Runs) -> None:
    agreement, release = runs.fed.agreement, runs.two.release
    assert begins_at(agreement, None) is None
    followed = begins_at(agreement, release)
    assert followed is not None
    assert (followed.release, followed.sizes.tolist()) == (
        release.hash,
        [s.size for s in release.segments],
    )
    changed = dataclasses.replace(release, start=Beginning(release=bytes(32), changed=True))
    assert begins_at(agreement, changed) is None
    assert begins_at(agreement, dataclasses.replace(release, segments=())) is None


def test_a_run_that_an_earlier_version_stored_followed_no_release(runs: Runs) -> None:
    run = runs.after(runs.second, runs.two).until("readys")
    stored = json.loads(json.dumps(run.nodes[0].state.to_dict()))
    assert PartnerState.from_dict(stored).start == runs.two.release.to_bytes()
    del stored["start"]
    assert PartnerState.from_dict(stored).start == b""
