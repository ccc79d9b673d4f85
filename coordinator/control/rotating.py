"""Replacing the coordinator's signing key by a new one.

A machine may be switched off after any step. The next key is drawn into a file beside the first;
the hand-over that both sign is written beside them; the next key takes the first one's place, which
erases that; the hand-over goes into the database, from where nodes get it. Until the third step the
old key is in force, and what was begun is thrown away by the next attempt: no other has seen that
key, and the coordinator may have served since. After it whoever serves or calls the command again
ends what was begun.
"""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import Final

from coordinator.config import KEY_FILE, CoordinatorConfig
from coordinator.control.changing_keys import changing_keys
from coordinator.control.taking_hand_overs import check_hand_over, keep_hand_over
from coordinator.keystore import create_key
from coordinator.runs.standstill import nobody_serves
from coordinator.store.coordinator_store import CoordinatorStore
from coordinator.store.hand_overs import KeptHandOvers
from machine.private_files import (
    read_private_file,
    remove_private_file,
    replace_private_file,
    write_private_file,
)
from protocol.agreement.document import time_text
from protocol.agreement.hand_over import HandOver
from protocol.errors import KeystoreError, UsageError
from protocol.signing import public_bytes

NEXT_FILE: Final = "keys/coordinator-next.pem"
HAND_OVER_FILE: Final = "keys/hand-over.json"


def rotate(config: CoordinatorConfig, *, now: datetime) -> HandOver:
    """Replace the signing key; go on where an earlier attempt was switched off.

    Raises:
        UsageError: A process serves the folder, another one changes the keys, or a run has not
            ended (E-RUN-ACTIVE).
        KeystoreError: The key was handed over elsewhere (E-KEY-ROTATED).
        AgreementError: The key was handed over too often (E-KEY-FULL), or the hand-over would not
            be taken (E-KEY-…); the key is as before.
        FedsegError: Keys or state cannot be read or written.
    """
    with (
        nobody_serves(config, then="replace the key and serve again"),
        changing_keys(config),
        closing(config.open_store()) as store,
    ):
        ended = finish(config, store, now=now)
        if ended is not None:
            return ended
        check_in_force(config, store)
        _check_no_run(store)
        old, next_file = config.signing_key(), config.directory / NEXT_FILE
        number = KeptHandOvers(store).load().number_after(public_bytes(old))
        for left in (config.directory / HAND_OVER_FILE, next_file):  # by an earlier attempt
            remove_private_file(left)
        new = create_key(next_file, config.passphrase())
        one = HandOver.make(old, new, partner="", number=number, at=time_text(now))
        check_hand_over(store, one, own_key=one.old_key)
        write_private_file(config.directory / HAND_OVER_FILE, one.to_bytes())
        replace_private_file(config.directory / KEY_FILE, read_private_file(next_file))
        made = finish(config, store, now=now)
        if made is None:
            raise UsageError("the key was replaced by another process meanwhile")
        return made


def finish(
    config: CoordinatorConfig, store: CoordinatorStore, *, now: datetime | None = None
) -> HandOver | None:
    """End a replacement of the key that was switched off once the new key was in its place.

    Returns:
        Its hand-over; None where there is nothing to end.
    """
    pending, next_file = config.directory / HAND_OVER_FILE, config.directory / NEXT_FILE
    if not pending.exists():
        return None
    one = HandOver.from_bytes(read_private_file(pending))
    if one.new_key != public_bytes(config.signing_key()):
        return None
    keep_hand_over(store, one, own_key=one.old_key, now=now or datetime.now(UTC))
    remove_private_file(next_file)
    remove_private_file(pending)
    return one


def check_in_force(config: CoordinatorConfig, store: CoordinatorStore) -> None:
    """Refuse to go on with a key that was handed over, as a second machine may still have.

    Raises:
        KeystoreError: E-KEY-ROTATED.
    """
    own = public_bytes(config.signing_key())
    found = next((one for one in KeptHandOvers(store).load() if one.old_key == own), None)
    if found is not None:
        raise KeystoreError(
            f"{config.directory / KEY_FILE} is a key that was handed over: {found.words}",
            code="E-KEY-ROTATED",
            remedy="put the file there that the machine has where the key was replaced, or the "
            "folder back from the newest backup",
        )


def _check_no_run(store: CoordinatorStore) -> None:
    going = store.open_runs()
    if going:
        raise UsageError(
            f"run {going[0].run_id.hex()[:8]} has not ended, and goes on under the key that is to "
            "be replaced",
            code="E-RUN-ACTIVE",
            remedy="wait for its end, or end it: `fedseg-coordinator run stop`",
        )
