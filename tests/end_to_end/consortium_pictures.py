"""What people of a consortium see in their consoles once it has its first release."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from coordinator.config import CoordinatorConfig
from coordinator.console.site import coordinator_site
from machine.accounts.roles import Role
from machine.web.site import Site
from partner_node.console.site import node_site
from partner_node.home import NodeHome
from tests.end_to_end.consortium import Consortium
from tests.end_to_end.pictures import SUFFIX, Camera
from tests.machine.people import accounts_at

#: The partner whose console is shown.
SHOWN: Final = "south"


@dataclass(frozen=True, slots=True)
class Picture:
    """A page of a console.

    Attributes:
        name: The picture's; it begins with the side.
        path: The page's, where ``{run}``, ``{hash}`` and ``{id}`` stand for the run, and for the
            agreement's hash and id.
        press: What stands on the button that is pressed there, if any, with the same.
        part: A selector of the part of the page where the picture begins.
        words: What is on it, for whoever does not see it.
    """

    name: str
    role: Role
    path: str
    words: str
    press: str = ""
    part: str = "body"


_PICTURES: Final = (
    Picture(
        "coordinator-agreement", Role.OPERATOR, "/agreements/{hash}",
        "The coordinator's console: who signed the agreement, and the agreement in plain words",
    ),
    Picture(
        "coordinator-run", Role.OPERATOR, "/runs/{run}",
        "The coordinator's console: a run that ended with a release, its partners and its rounds",
    ),
    Picture(
        "coordinator-release", Role.OPERATOR, "/releases/{run}",
        "The coordinator's console: a release's segments with their names, sizes and centres",
        part=".cards",
    ),
    Picture(
        "node-egress", Role.DATA_PROTECTION_OFFICER, "/egress",
        "A node's console: every message that left it, with how many customers were counted",
    ),
    Picture(
        "node-budget", Role.DATA_PROTECTION_OFFICER, "/budget/{id}",
        "A node's console: what each question cost of the privacy budget, and how many runs are "
        "left",
    ),
    Picture(
        "node-segments", Role.MARKETER, "/segments",
        "A node's console: the cards of segments, with own customers in ranges",
        press="Count own customers of {id}",
    ),
)  # fmt: skip
_PEOPLE: Final = {
    Role.OPERATOR: "oscar.lind",
    Role.DATA_PROTECTION_OFFICER: "dora.falk",
    Role.MARKETER: "mia.sand",
}


def show_consoles(
    lives: Consortium, run_id: bytes, photographer: Camera | None, *, beside: str
) -> None:
    """Tell of the consoles with pictures, which are taken where there is a camera.

    Args:
        run_id: The run that has ended with a release.
        beside: The folder with pictures, beside the page.
    """
    lives.story.tell(
        f"""
The same as pages: `fedseg-coordinator console` and `fedseg-node console`, for people with accounts
and roles ([the consoles](console.md)). Here the operator looks at the agreement, at the run and at
its release; at {SHOWN} the data protection officer looks at what left the node and at what that
cost, and a marketer at the segments.
"""
    )
    agreement = lives.deployment.agreement
    about = {"run": run_id.hex(), "hash": agreement.hash.hex(), "id": agreement.id}
    for one in _PICTURES:
        lives.story.show(f"{beside}/{one.name}{SUFFIX}", one.words)
        if photographer is None:
            continue
        with lives.deployment.store() as store:
            site: Site
            if one.name.startswith("coordinator-"):
                config = CoordinatorConfig.load(lives.folder / "coordinator")
                site = coordinator_site(config, store, hosts=frozenset(), accounts=accounts_at())
            else:
                home = NodeHome.load(lives.folder / SHOWN)
                site = node_site(home, hosts=frozenset(), accounts=accounts_at())
            photographer.take(
                one.name,
                site,
                one.role,
                _PEOPLE[one.role],
                one.path.format(**about),
                press=one.press.format(**about),
                part=one.part,
            )
