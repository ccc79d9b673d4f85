"""``agreement draft``: a new agreement, the next version of one, and the file to be signed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from importlib import metadata, resources
from pathlib import Path
from typing import Annotated, Any

import typer

from coordinator import config as settings
from coordinator.agreement_file import (
    agreement_template,
    load_yaml,
    privacy_template,
    save_signed,
)
from coordinator.cli.cards import load_cards
from coordinator.cli.options import HERE, Directory
from coordinator.cli.parties import (
    admitted_cards,
    are_joined,
    refuse_few,
    refuse_nobody,
    warn_of_waiting,
)
from coordinator.config import CoordinatorConfig
from coordinator.new_draft import secure_sum_for
from coordinator.next_version import as_yaml, next_version
from machine.console import Format, FormatOption, diagnostics, output
from machine.files import write_file
from machine.tables import changes_view
from protocol.agreement.changes import Differences
from protocol.agreement.document import ANEW, Agreement, time_text
from protocol.agreement.governance import COURSE, EGRESS, EXPORT, SEGMENTATION, SIGNING
from protocol.agreement.partner_card import PartnerCard
from protocol.agreement.software import Software
from protocol.errors import UsageError, naming_file
from protocol.release.document import EXACT_WORDS
from protocol.signed_agreement import SignedAgreement
from protocol.signing import public_bytes

EXACT_WARNING = (
    f"{EXACT_WORDS}, from the difference of two rounds; an epsilon of 8 to 10 under privacy costs "
    "little accuracy (docs/measurements.md) and shows nobody's row"
)
#: Validity of a new agreement, after which it must be reviewed.
_REVIEW_DAYS = 182
_PURPOSE = "Common customer segments for the partners' own marketing."


class Start(StrEnum):
    """What a run starts from."""

    RELEASE = "release"
    ANEW = ANEW


class FourEyes(StrEnum):
    """What two people have to do."""

    AGREEMENT = SIGNING
    EGRESS = EGRESS
    EXPORT = EXPORT


def draft(
    out: Annotated[Path, typer.Option(help="File to write.")],
    source: Annotated[
        Path | None,
        typer.Argument(help="Agreement in YAML; when left out, a YAML to be edited is written."),
    ] = None,
    card: Annotated[
        list[Path] | None, typer.Option(help="A partner's card (from `fedseg-node init`).")
    ] = None,
    joined: Annotated[
        bool,
        typer.Option("--joined", help="Every admitted partner that joined by invitation too."),
    ] = False,
    next: Annotated[
        bool,
        typer.Option(
            "--next",
            help="Write the next version of the agreement that was published last: all as it is, "
            "but version, supersedes, days and software; --card joins a partner or states its "
            "facts anew, --without takes one out.",
        ),
    ] = False,
    without: Annotated[
        list[str] | None, typer.Option(help="With --next: a party that leaves, by its id.")
    ] = None,
    id: Annotated[
        str | None,
        typer.Option(
            help="Short name of a new agreement, our-segments when left out; with --next of the "
            "one that goes on, where there are several."
        ),
    ] = None,
    purpose: Annotated[
        str | None, typer.Option(help="What the segments are for.", show_default=_PURPOSE)
    ] = None,
    purpose_term: Annotated[
        str | None,
        typer.Option(
            help="The purpose as consents and notices name it.", show_default=SEGMENTATION
        ),
    ] = None,
    notice_version: Annotated[
        str | None,
        typer.Option(
            help="Version of the notice that tells customers of the purpose.", show_default="1"
        ),
    ] = None,
    epsilon: Annotated[
        str | None,
        typer.Option(
            help="Differential privacy: what one run means for one customer; 1 when left out."
        ),
    ] = None,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact",
            help="Exact totals instead, without any noise: not anonymous, rows of single customers "
            "can be computed.",
        ),
    ] = False,
    start: Annotated[
        Start | None,
        typer.Option(
            help="What a run starts from: the last signed release, so that unchanged customers "
            "keep their segments; or anew every time.",
            show_default=Start.RELEASE.value,
        ),
    ] = None,
    four_eyes: Annotated[
        list[FourEyes] | None,
        typer.Option(
            help="What two different people have to do at every node: sign a version, let a held "
            "message leave, write a file of customers' segments. May be given several times."
        ),
    ] = None,
    training: Annotated[
        list[str] | None,
        typer.Option(
            help="A course that whoever signs, approves or writes files at a node has to have, "
            "such as fedseg-basics. May be given several times."
        ),
    ] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Write a new agreement in YAML from partners' cards; or, from YAML, the file to be signed."""
    if out.exists():
        raise UsageError(
            f"--out {out} exists already",
            remedy=f"name another file with --out, or delete {out} if it is not needed any more",
        )
    of_a_new_one: dict[str, object] = {
        "--purpose": purpose, "--purpose-term": purpose_term, "--notice-version": notice_version,
        "--epsilon": epsilon, "--exact": exact or None, "--start": start,
        "--four-eyes": four_eyes, "--training": training,
    }  # fmt: skip
    if source is not None:
        given: dict[str, object] = {
            "--next": next or None,
            "--without": without,
            "--card": card,
            "--id": id,
        }
        _refuse(of_a_new_one | given, beside=f"{source}, which is written already")
        _draft_signed(source, out, directory)
        return
    if next:
        _refuse(of_a_new_one, beside="--next, which takes that from the version before")
        _draft_next(out, directory, id, cards=card or [], joined=joined, without=without or [])
        return
    _refuse({"--without": without}, beside="a new agreement, whose parties are those of --card")
    if exact and epsilon is not None:
        raise UsageError("--exact and --epsilon exclude each other", remedy="leave one of them out")
    config = CoordinatorConfig.load(directory)
    cards = load_cards(card or [])
    if joined:
        cards += admitted_cards(config, besides={one.id for one in cards})
        if not cards:
            refuse_nobody(config)
        needed = secure_sum_for(len(cards), exact=exact).min_partners
        if len(cards) < needed:
            refuse_few(config, cards, needed)
    parties = [_party_values(read) for read in cards]
    now = _today()
    text = agreement_template(
        id=settings.quoted(id or "our-segments"),
        purpose=settings.quoted(purpose or _PURPOSE),
        purpose_term=settings.quoted(purpose_term or SEGMENTATION),
        notice_version=settings.quoted(notice_version or "1"),
        effective=time_text(now),
        review_by=time_text(now + timedelta(days=_REVIEW_DAYS)),
        expires=time_text(now + timedelta(days=365)),
        parties=parties,
        privacy=privacy_template(
            None if exact else _epsilon(epsilon or "1"),
            customers=max(1, sum(party["max_customers"] for party in parties)),
            n_partners=len(parties),
            anew=start is Start.ANEW,
        ),
        legal_name=settings.quoted(config.legal_name),
        contact=settings.quoted(config.contact),
        public_key=public_bytes(config.signing_key()).hex(),
        software=Software.installed(metadata.version, resources.files),
        four_eyes=sorted({act.value for act in four_eyes or ()}),
        training=_courses(training),
    )
    write_file(out, text)
    if exact:
        diagnostics.print(f"warning: {EXACT_WARNING}", style="yellow")
    waiting = warn_of_waiting(config) if joined else []
    output.result(
        {"file": str(out), "waiting": waiting},
        f"Wrote {out}. Edit it, then {_next(out, joined=joined)}.",
    )


def _refuse(options: Mapping[str, object], *, beside: str) -> None:
    """Refuse options that do not go with what else was given; raises UsageError."""
    given = [name for name, value in options.items() if value]
    if given:
        raise UsageError(
            f"{', '.join(given)} cannot be given beside {beside}",
            remedy="leave it out, and change the file",
        )


def _today() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _draft_signed(source: Path, out: Path, directory: Path) -> None:
    """Write the file to be signed from YAML."""
    written = load_yaml(source)
    with naming_file(source):
        signed = SignedAgreement.draft(written)
    save_signed(out, signed)
    differing = since_version_before(written, directory)
    output.result(
        {
            **signed.agreement.named(),
            "file": str(out),
            "changes": None if differing is None else differing.to_dict(),
        },
        *changed_words(differing),
        f"Wrote {out}, agreement {signed.agreement.hash.hex()[:16]}…. "
        "Send it to every partner: `fedseg-node agreement sign`.",
    )


def _draft_next(
    out: Path,
    directory: Path,
    id: str | None,
    *,
    cards: list[Path],
    joined: bool,
    without: list[str],
) -> None:
    """Write the YAML of the version after the one that was published last."""
    config = CoordinatorConfig.load(directory)
    before = _newest(config.open_store().agreements(), id)
    stated = load_cards(cards)
    if joined:
        known = {party.id for party in before.parties} | {card.id for card in stated}
        stated += admitted_cards(config, besides=known | set(without))
    written = next_version(
        before,
        cards=stated,
        without=without,
        software=Software.installed(metadata.version, resources.files),
        now=_today(),
    )
    write_file(out, as_yaml(written))
    waiting = warn_of_waiting(config) if joined else []
    differing = Differences.between(before, written)
    output.result(
        {
            "file": str(out),
            "version": written.version,
            "changes": differing.to_dict(),
            "waiting": waiting,
        },
        *changed_words(differing),
        f"Wrote {out}, version {written.version} of {written.id}. Edit it, then "
        f"{_next(out, joined=joined or are_joined(config, written), directory=directory)}.",
    )


def _next(out: Path, *, joined: bool, directory: Path = HERE) -> str:
    """What is done with a draft: it is proposed online, or goes as a file to be signed.

    Args:
        directory: The coordinator's folder, which is named where it is not the usual one.
    """
    where = "" if directory == HERE else f" --dir {directory}"
    then = f"agreement propose {out}" if joined else f"agreement draft {out} --out …"
    return f"`agreement lint {out}{where}` and `{then}{where}`"


def _newest(published: Sequence[SignedAgreement], id: str | None) -> Agreement:
    """The version that was published last; raises UsageError."""
    ids = sorted({signed.agreement.id for signed in published})
    if not ids:
        raise UsageError(
            "no agreement was published here yet",
            remedy="write a first one without --next, from partners' cards",
        )
    if id is None and len(ids) > 1:
        raise UsageError(
            f"several agreements were published here: {', '.join(ids)}",
            remedy="name one of them with --id",
        )
    found = [signed.agreement for signed in published if id in (None, signed.agreement.id)]
    if not found:
        raise UsageError(
            f"no agreement {id} was published here", remedy=f"there is {', '.join(ids)}"
        )
    return max(found, key=lambda agreement: agreement.version)


def _epsilon(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite():
        raise UsageError(f"--epsilon {text!r} is no number", remedy="for instance 1")
    if number != round(number, 3):
        raise UsageError(f"--epsilon {text!r}: at most three decimals", remedy="for instance 0.125")
    return number


def since_version_before(agreement: Agreement, directory: Path) -> Differences | None:
    """What differs from the version that it supersedes; None where that is not known here."""
    if agreement.supersedes is None or not (directory / settings.FILE_NAME).exists():
        return None
    for signed in CoordinatorConfig.load(directory).open_store().agreements():
        if signed.agreement.hash == agreement.supersedes:
            return Differences.between(signed.agreement, agreement)
    return None


def not_compared(agreement: Agreement, directory: Path) -> list[str]:
    """What could not be looked at beside the version that it supersedes, and why, in words."""
    if agreement.supersedes is None or since_version_before(agreement, directory) is not None:
        return []
    if not (directory / settings.FILE_NAME).exists():
        return [
            f"{directory} is no coordinator's folder: neither what differs from the version before "
            "nor row caps beside the last release were looked at; name the folder with --dir"
        ]
    return ["the version that it supersedes is not kept here: what differs was not looked at"]


def changed_words(differing: Differences | None) -> list[object]:
    """What differs, for people; nothing where it is not known."""
    if differing is None:
        return []
    return changes_view(differing.rows, title=differing.title)


def _courses(named: list[str] | None) -> list[str]:
    """The courses, each once; raises UsageError for what is no name of one."""
    for course in named or ():
        if not re.fullmatch(COURSE, course):
            raise UsageError(
                f"--training {course!r} is no name of a course",
                remedy="small letters and digits, with - between: fedseg-basics",
            )
    return list(dict.fromkeys(named or ()))


def _party_values(card: PartnerCard) -> dict[str, Any]:
    return {
        "id": card.id,
        "legal_name": settings.quoted(card.legal_name),
        "contact": settings.quoted(card.contact),
        "dpo": settings.quoted(card.dpo),
        "public_key": card.public_key.hex(),
        "jurisdictions": ", ".join(settings.quoted(name) for name in card.jurisdictions),
        "max_customers": card.max_customers,
    }
