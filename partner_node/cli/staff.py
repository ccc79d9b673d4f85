"""People who may act here, and their training: `staff add|train|remove|list`."""

from __future__ import annotations

import hashlib
import re
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from machine.console import Format, FormatOption, output
from machine.named_files import read_named
from machine.text import shown
from partner_node.cli.noting import noted
from partner_node.cli.options import HERE, Directory
from partner_node.home import NodeHome
from partner_node.shown.staff import staff_shown
from partner_node.store.staff import Staff, Training
from partner_node.store.times import stamp
from protocol.agreement.governance import COURSE
from protocol.errors import UsageError

app = typer.Typer(
    help="People who may act here, their roles, and the training that each has.",
    no_args_is_help=True,
)

Name = Annotated[
    str, typer.Argument(help="The name of the account, at the machine or in the console.")
]
_NAME: Final = r"[a-z_][a-z0-9._-]{0,39}"
_MOST_ROLE: Final = 100
_MOST_EVIDENCE: Final = 100 << 20


@app.command("add")
def add(
    name: Name,
    role: Annotated[str, typer.Option(help="In your words: data protection officer, marketer …")],
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Put somebody on record who may sign, approve or write files here."""
    if not re.fullmatch(_NAME, name):
        raise UsageError(
            f"{name!r} is no name of an account",
            remedy="as `user list` or the machine has it: small letters, digits, '.', '_', '-'",
        )
    if not role.strip() or len(role) > _MOST_ROLE or not role.isprintable():
        raise UsageError("--role is empty, too long or no line", remedy="a few words")
    home, now = NodeHome.load(directory), datetime.now(UTC)
    with (
        noted(home, "staff add", name, now) as noting,
        closing(home.store(home.keystore())) as store,
        store.transaction(),
    ):
        Staff(store).add(name, role, by=noting.who, at=stamp(now))
    output.result(
        {"name": name, "role": role},
        f"{name} is on record as {shown(role)}; training: fedseg-node staff train {name}.",
    )


@app.command("train")
def train(
    name: Name,
    course: Annotated[str, typer.Option(help="As the agreement names it, like fedseg-basics.")],
    on: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="The day of it.")],
    valid_until: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], help="The last day on which it holds.")
    ],
    evidence: Annotated[
        Path | None,
        typer.Option(help="A file that shows it; its SHA-256 is kept, the file stays where it is."),
    ] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Put on record that somebody was trained."""
    home, now = NodeHome.load(directory), datetime.now(UTC)
    if not re.fullmatch(COURSE, course):
        raise UsageError(
            f"--course {course!r} is no name of a course",
            remedy="small letters and digits, with - between: fedseg-basics",
        )
    _check_days(on.date(), valid_until.date(), now.date())
    digest = ""
    if evidence is not None:
        data = read_named(evidence, _MOST_EVIDENCE, code="E-STAFF-FILE")
        digest = hashlib.sha256(data).hexdigest()
    one = Training(
        name=name, course=course, on=on.date(), until=valid_until.date(), evidence=digest
    )
    with (
        noted(home, "staff train", f"{name}, {course}", now) as noting,
        closing(home.store(home.keystore())) as store,
        store.transaction(),
    ):
        Staff(store).train(one, by=noting.who, at=stamp(now))
    output.result(
        {"name": name, **one.to_dict()},
        f"{name} is trained in {course} from {one.on} to {one.until}.",
    )


@app.command("remove")
def remove(name: Name, directory: Directory = HERE, format: Format = FormatOption) -> None:
    """Forget somebody who left, with all training; the audit log keeps what was on record."""
    home, now = NodeHome.load(directory), datetime.now(UTC)
    with (
        noted(home, "staff remove", name, now) as noting,
        closing(home.store(home.keystore())) as store,
        store.transaction(),
    ):
        Staff(store).remove(name, by=noting.who, at=stamp(now))
    output.result({"name": name}, f"{name} is not on record any more.")


@app.command("list")
def listed(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """Everybody on record, with training, and who lacks what an agreement demands."""
    home = NodeHome.load(directory)
    with closing(home.store(home.keystore())) as store:
        output.show(
            staff_shown(Staff(store).all(), home.agreements_in_force(), datetime.now(UTC).date())
        )


def _check_days(on: date, until: date, today: date) -> None:
    if on > today:
        raise UsageError(f"--on {on} lies ahead", remedy="record training once it took place")
    if until < on:
        raise UsageError(f"--valid-until {until} is before --on {on}", remedy="correct a day")
