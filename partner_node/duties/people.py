"""Duties of people: two where two have to decide, and messages that wait for one."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from typing import Final

from machine.accounts.roles import may
from machine.duties.duty import Duty, State, dated
from machine.text import how_many
from partner_node.egress.records import WAITING, Manifests
from partner_node.four_eyes import NEEDED
from partner_node.home import NodeHome
from partner_node.store.node_store import NodeStore
from partner_node.store.times import moment, stamp
from protocol.agreement.document import Agreement

_TWO: Final = 2


def two_people_duty(home: NodeHome, agreement: Agreement) -> Duty:
    """Whether there are two who may do what takes two."""
    source = f"agreement {agreement.id} v{agreement.version}, four_eyes"
    if not agreement.four_eyes:
        return Duty(
            name="two-people", about=agreement.id, state=State.NOT_ASKED, source=source,
            found="nothing takes two people",
        )  # fmt: skip
    with closing(home.roles_and_log()) as accounts:
        known = accounts.all()
    able = {
        act: sum(may(account.role, NEEDED[act]) for account in known) for act in agreement.four_eyes
    }
    fewest = min(able.values())
    found = ", ".join(f"{act}: {how_many(count, 'account')}" for act, count in able.items())
    state = State.OK if fewest >= _TWO else State.SOON if fewest else State.OVERDUE
    return Duty(
        name="two-people",
        about=agreement.id,
        state=state,
        found=f"{found}, beside whoever is at the machine",
        way_out="" if state is State.OK else "fedseg-node user add NAME --role ROLE",
        source=source,
    )


def held_duty(store: NodeStore, now: datetime) -> Duty:
    """Messages that wait for somebody's approval before they leave."""
    waiting = [one for one in Manifests(store).held() if one.state(stamp(now)) == WAITING]
    duty = Duty(
        name="approvals",
        state=State.SOON if waiting else State.OK,
        found=f"{how_many(len(waiting), 'message')} wait for approval",
        way_out="fedseg-node egress list" if waiting else "",
        source="[egress] hold",
    )
    ends = [moment(one.expires_at) for one in waiting if one.expires_at is not None]
    return duty if not ends else dated(duty, min(ends), now)
