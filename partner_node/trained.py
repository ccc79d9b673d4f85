"""Whether people have the training that an agreement demands (E-TRAINING)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from machine.accounts.acts import person_of
from partner_node.store.node_store import NodeStore
from partner_node.store.staff import Person, Staff
from protocol.agreement.document import Agreement
from protocol.errors import RuleError

_WAY_OUT = "put the training on record: fedseg-node staff add, fedseg-node staff train"


def check_trained(store: NodeStore, agreement: Agreement, who: str, now: datetime) -> None:
    """Refuse an act of somebody who is not trained as the agreement demands.

    Args:
        who: Who acts, as the log names them.

    Raises:
        RuleError: E-TRAINING, naming the person and each course that is missing or over.
    """
    if not agreement.training:
        return
    name = person_of(who)
    person = next((one for one in Staff(store).all() if person_of(one.name) == name), None)
    if person is None:
        raise _refused(
            f"agreement {agreement.id!r} demands training, and {name!r} is not on record as staff"
        )
    lacking = person.lacking(agreement.training, now.date())
    if lacking:
        raise _refused(
            f"agreement {agreement.id!r} demands training that {name!r} lacks or that is over: "
            f"{', '.join(_until(person, course) for course in lacking)}"
        )


def check_somebody_trained(people: Sequence[Person], agreement: Agreement, now: datetime) -> None:
    """Refuse to answer while nobody here is trained as the agreement demands.

    Raises:
        RuleError: E-TRAINING.
    """
    asked, today = agreement.training, now.date()
    if asked and all(one.lacking(asked, today) for one in people):
        raise _refused(
            f"agreement {agreement.id!r} demands training in {', '.join(asked)}, which nobody here "
            "has on record"
        )


def _until(person: Person, course: str) -> str:
    ends = [one.until for one in person.training if one.course == course]
    return f"{course} (held until {max(ends)})" if ends else course


def _refused(what: str) -> RuleError:
    return RuleError(what, code="E-TRAINING", remedy=_WAY_OUT)
