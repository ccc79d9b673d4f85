"""Documents from facts: `evidence record|…`, and the questions in them that people answer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from machine.console import Format, FormatOption, output
from machine.delivering import OutOption, Written, WrittenOption, deliver, read_toml, write_new
from machine.text import shown
from partner_node.cli.asked_agreement import asked_signed
from partner_node.cli.attack_files import attacks as attacks_page
from partner_node.cli.attack_files import read_attacks
from partner_node.cli.options import HERE, Directory, Under
from partner_node.cli.packs import pack, verifier, verify
from partner_node.evidence.materials import materials_of
from protocol.evidence.answers import (
    BAD_ANSWERS,
    answers_template,
    check_complete,
    form_called,
    read_answers,
)
from protocol.evidence.document import Audience
from protocol.evidence.forms import Form
from protocol.evidence.forms_of import AT_NODE
from protocol.evidence.plain import as_lines
from protocol.evidence.writing import rendered

app = typer.Typer(
    help="Documents filled from facts, each with its source; people's judgements stay theirs.",
    no_args_is_help=True,
)

Answers = Annotated[
    Path | None,
    typer.Option(help="File with what people judged, as `evidence answers` begins one."),
]
AgreementFile = Annotated[
    Path | None,
    typer.Option(
        "--agreement",
        help="Of this agreement, signed or not, and not the installed one: before anybody signs.",
    ),
]
Attacks = Annotated[
    Path | None,
    typer.Option(help="What `fedseg-simulate attack` wrote on this build, to be cited."),
]
Complete = Annotated[
    bool,
    typer.Option("--complete", help="Refuse while anything is missing or not answered."),
]


#: Documents that say how well somebody is recognised, and cite attacks.
_CITING = ("dpia", "ccpa")


def _command(form: Form) -> Callable[..., None]:
    def citing(
        out: OutOption = None,
        answers: Answers = None,
        complete: Complete = False,
        attacks: Attacks = None,
        under: Under = None,
        agreement: AgreementFile = None,
        directory: Directory = HERE,
        format: Written = WrittenOption,
    ) -> None:
        _deliver(form, out, answers, complete, attacks, under, agreement, directory, format)

    def command(
        out: OutOption = None,
        answers: Answers = None,
        complete: Complete = False,
        under: Under = None,
        agreement: AgreementFile = None,
        directory: Directory = HERE,
        format: Written = WrittenOption,
    ) -> None:
        _deliver(form, out, answers, complete, None, under, agreement, directory, format)

    return citing if form.kind in _CITING else command


def _deliver(
    form: Form,
    out: Path | None,
    answers: Path | None,
    complete: bool,
    attacks: Path | None,
    under: str | None,
    agreement: Path | None,
    directory: Path,
    written: Written,
) -> None:
    now = datetime.now(UTC)
    kept = {} if answers is None else read_toml(answers, code=BAD_ANSWERS)
    said = read_answers(kept, form, now.date())
    home, signed, file = asked_signed(directory, under, agreement)
    found = () if attacks is None else read_attacks(attacks, now).words
    with closing(home.store(home.keystore())) as store:
        made = materials_of(home, signed, store, now, file=file, attacks=found)
    document = form.filled(made, said)
    if complete:
        check_complete(document)
    deliver(
        document.to_dict(),
        lambda written: rendered(document, written, shown),
        lines=lambda: as_lines(document, shown),
        words=document.share_words,
        written=written,
        out=out,
        is_public=document.audience is Audience.PUBLIC,
    )


for _kind, _form in AT_NODE.items():
    app.command(_kind, help=f"{_form.title}. {_form.audience_words}")(_command(_form))


@app.command("answers")
def answers_file(
    document: Annotated[str, typer.Argument(help=f"One of {', '.join(AT_NODE)}.")],
    out: Annotated[Path, typer.Option(help="File to write, .toml, which must not be there.")],
    format: Format = FormatOption,
) -> None:
    """Begin a file for people's judgements, with every question of a document in it."""
    form = form_called(document, AT_NODE)
    write_new(out, answers_template(form))
    output.result(
        {"file": str(out), "questions": len(form.questions)},
        f"Wrote {out} with {len(form.questions)} questions; give it with --answers.",
    )


app.command("attacks")(attacks_page)
app.command("pack")(pack)
app.command("verify")(verify)
app.command("verifier")(verifier)
