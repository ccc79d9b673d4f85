"""The duty of training: somebody here has it, and it does not end soon."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from machine.duties.duty import Duty, State, dated
from machine.text import how_many
from partner_node.store.node_store import NodeStore
from partner_node.store.staff import Person, Staff
from protocol.agreement.document import Agreement


def training_duty(store: NodeStore, agreement: Agreement, now: datetime) -> Duty:
    """Whether those on record have the training that the agreement demands.

    Overdue while nobody has it, as the node answers nothing then; soon where one of them lacks it
    or it ends within 30 days.
    """
    asked, today = agreement.training, now.date()
    source = f"agreement {agreement.id} v{agreement.version}, training"
    if not asked:
        return Duty(
            name="training", about=agreement.id, state=State.NOT_ASKED, source=source,
            found="the agreement demands none",
        )  # fmt: skip
    people = Staff(store).all()
    trained = [one for one in people if not one.lacking(asked, today)]
    duty = Duty(
        name="training",
        about=agreement.id,
        state=State.OVERDUE,
        found=f"{len(trained)} of {how_many(len(people), 'person')} on record trained in "
        f"{', '.join(asked)}",
        way_out="fedseg-node staff train NAME",
        source=source,
    )
    if not trained:
        return duty
    first = min(_until(one, asked, now) for one in trained)
    found = dated(duty, first, now)
    if found.state is State.OVERDUE or len(trained) == len(people):
        return found
    return Duty(
        name="training", about=agreement.id, state=State.SOON, next=first, found=duty.found,
        way_out=duty.way_out, source=source,
    )  # fmt: skip


def _until(person: Person, asked: tuple[str, ...], now: datetime) -> datetime:
    """The moment after the last day on which somebody's training holds in every course."""
    holding = [person.holding(course, now.date()) for course in asked]
    last = min(one.until for one in holding if one is not None)
    return datetime.combine(last + timedelta(days=1), time(), UTC)
