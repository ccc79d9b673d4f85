"""Receipts of being counted: `rights receipt`, and `rights check-receipt`, which needs no node."""

from __future__ import annotations

from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from machine.console import Format, FormatOption, output
from machine.named_files import read_of_log
from machine.tables import filled_table
from machine.text import how_many, shown
from partner_node.cli.log_witness import Agreed, Quorum, Witnesses
from partner_node.cli.options import HERE, Directory, Subject, Under
from partner_node.cli.rights.options import Overwrite, check_files
from partner_node.cli.rights.settling import case_under, write
from partner_node.home import NodeHome
from protocol.errors import UsageError
from protocol.messages import round_number

if TYPE_CHECKING:
    from protocol.receipts.checking import Checked
    from protocol.receipts.document import Told


class _Form(StrEnum):
    JSON = ".json"
    TEXT = ".txt"
    HTML = ".html"


_HEADERS: Final = ("run", "round", "was", "answer", "written down at")


def receipt(
    subject: Subject,
    out: Annotated[
        Path | None,
        typer.Option(
            help="File for the receipt (.json), or for the letter about it (.txt, .html); mode "
            "0600. Repeat the command for both."
        ),
    ] = None,
    run: Annotated[
        str | None, typer.Option(help="The first digits of one run; all of them when left out.")
    ] = None,
    cosigned: Annotated[
        bool,
        typer.Option(
            "--cosigned",
            help="Of the newest state of the log that other partners cosigned, with their words; "
            "later answers are not in it.",
        ),
    ] = False,
    overwrite: Overwrite = False,
    under: Under = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Show and prove in which answers a customer was counted, and in which not."""
    from partner_node.rights.counted import receipt_of  # Arrow takes long to import
    from partner_node.rights.counted_letter import as_html, as_text, seen_words

    if out is not None and out.suffix not in set(_Form):
        raise UsageError(f"{out} ends in none of {', '.join(_Form)}", remedy="name one of these")
    check_files(out, overwrite=overwrite)
    case = case_under(directory, under, subject)
    given = receipt_of(case, run, cosigned=cosigned)
    if out is not None:
        form = _Form(out.suffix)
        letter = as_html if form is _Form.HTML else as_text
        data = given.data if form is _Form.JSON else letter(case, given).encode("utf-8")
        write(case, out, data, overwrite=overwrite)
    output.warn(
        [
            f"of run {one.run.hex()[:8]} nothing is proved: the files of its handles are gone, as "
            "after a restored backup"
            for one in given.runs
            if one.lost
        ]
    )
    told = [one for each in given.runs for one in each.told]
    output.result(
        {
            "answers": [_told_values(one) for one in told],
            "key": str(given.key),
            "log_size": given.checkpoint.size,
            "cosigned_by": list(given.cosigned),
            "later": given.later,
            "file": None if out is None else str(out),
            "receipt": given.data.decode("utf-8"),
        },
        _table(told),
        "" if out is None else f"Wrote {out}.",
        *seen_words(given),
        f"The log's key, for whoever checks the receipt: {given.key}",
    )


def receipt_key(
    run: Annotated[str, typer.Argument(help="The first digits of the run.")],
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Show an auditor a run's key, by which receipts are held against customers' ids."""
    from partner_node.rights.counted import key_of_run  # Arrow takes long to import

    home = NodeHome.load(directory)
    with closing(home.store(home.keystore())) as store:
        run_id, key = key_of_run(store, run)
    output.result(
        {"run": run_id.hex(), "run_key": key.hex()},
        f"The key of run {run_id.hex()}, to which the log is committed: {key.hex()}",
        "Whoever has it can tell, for every id that he knows, whether that customer was counted "
        "there: for auditors alone.",
    )


def check_receipt(
    files: Annotated[
        list[Path],
        typer.Argument(help="Receipts of one log; several are held against each other, too."),
    ],
    key: Annotated[str, typer.Option(help="The log's verifier key, from a way that you trust.")],
    witness: Witnesses = None,
    agreement: Agreed = None,
    quorum: Quorum = None,
    run_key: Annotated[
        str | None,
        typer.Option(help="For auditors: the key of one of its runs, from `receipt-key`."),
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="With --run-key: the id of the customer it is said to be of.")
    ] = None,
    format: Format = FormatOption,
) -> None:
    """Check receipts offline: no node is needed."""
    from partner_node.shown.sealed import time_words, witnesses_of
    from protocol.log.notes import VerifierKey
    from protocol.receipts import checking
    from protocol.receipts.document import MAX_RECEIPT_BYTES
    from protocol.receipts.handles import KEY_BYTES
    from protocol.strict import Fields

    if (run_key is None) != (subject is None):
        raise UsageError("--run-key and --subject belong together", remedy="give both, or neither")
    log = VerifierKey.parse(key)
    others = witnesses_of(witness or (), agreement, [log])
    asked = int(bool(others)) if quorum is None else quorum
    found = [
        checking.check_receipt(
            read_of_log(one, MAX_RECEIPT_BYTES), log=log, witnesses=others, quorum=asked
        )
        for one in files
    ]
    checking.check_together(found)
    if run_key is not None and subject is not None:
        opened = Fields({"run_key": run_key}, "option").hex("run_key", size=KEY_BYTES)
        for checked in found:
            checking.check_opened(checked, opened, subject)
    told = [one for checked in found for run in checked.runs for one in run.told]
    output.result(
        {
            "receipts": [
                {
                    "file": str(file),
                    "origin": checked.checkpoint.origin,
                    "log_size": checked.checkpoint.size,
                    "cosigned": {name: time_words(at) for name, at in checked.cosigned.items()},
                    "principal": checked.receipt.principal,
                    "answers": [_told_values(one) for run in checked.runs for one in run.told],
                }
                for file, checked in zip(files, found, strict=True)
            ]
        },
        _table(told),
        f"{how_many(len(files), 'receipt')} of {found[0].checkpoint.origin}: all that "
        f"{'it says is' if len(files) == 1 else 'they say is'} proved.",
        *(
            f"{name} cosigned a seal of that log at {time_words(at)}."
            for name, at in _seen_of_all(found).items()
        ),
        f"About customer {found[0].receipt.principal}, as the partner calls it."
        if len({one.receipt.principal for one in found}) == 1
        else "",
        f"By the run's key it is that of {shown(subject)}." if subject is not None else "",
    )


def _seen_of_all(found: list[Checked]) -> dict[str, int]:
    """Of who cosigned a seal of every one of some receipts: the last time by each one's clock."""
    names = set.intersection(*(set(one.cosigned) for one in found))
    return {name: max(one.cosigned[name] for one in found) for name in sorted(names)}


def _table(told: list[Told]) -> Any:
    from partner_node.rights.counted_letter import STATES

    return filled_table(
        "Answers",
        _HEADERS,
        [
            (
                one.run.hex()[:8],
                str(round_number(one.round)),
                STATES[one.state],
                "left" if one.left else "never left",
                one.at,
            )
            for one in told
        ],
        whole=_HEADERS,
    )


def _told_values(one: Told) -> dict[str, Any]:
    return {
        "run": one.run.hex(),
        "round": round_number(one.round),
        "state": one.state.removeprefix("fedseg:"),
        "left": one.left,
        "at": one.at,
    }
