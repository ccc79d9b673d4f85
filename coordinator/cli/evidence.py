"""Documents from facts: `evidence record|…`, and the questions in them that people answer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from coordinator.cli.options import HERE, Directory
from coordinator.config import CoordinatorConfig
from coordinator.evidence.materials import materials_of
from coordinator.runs.in_force import chosen_in_force
from machine.console import Format, FormatOption, output
from machine.delivering import OutOption, Written, WrittenOption, deliver, read_toml, write_new
from machine.text import shown
from protocol.evidence.answers import (
    BAD_ANSWERS,
    answers_template,
    check_complete,
    form_called,
    read_answers,
)
from protocol.evidence.document import Audience
from protocol.evidence.forms import Form
from protocol.evidence.forms_of import AT_COORDINATOR
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
Agreement = Annotated[
    str, typer.Option(help="The agreement's id, where several are in force here.")
]
Complete = Annotated[
    bool,
    typer.Option("--complete", help="Refuse while anything is missing or not answered."),
]


def _command(form: Form) -> Callable[..., None]:
    def command(
        out: OutOption = None,
        answers: Answers = None,
        complete: Complete = False,
        agreement: Agreement = "",
        directory: Directory = HERE,
        format: Written = WrittenOption,
    ) -> None:
        now = datetime.now(UTC)
        kept = {} if answers is None else read_toml(answers, code=BAD_ANSWERS)
        said = read_answers(kept, form, now.date())
        config = CoordinatorConfig.load(directory)
        with closing(config.open_store()) as store:
            chosen = chosen_in_force(store, agreement, now)
            made = materials_of(config, store, chosen, now)
        document = form.filled(made, said)
        if complete:
            check_complete(document)
        deliver(
            document.to_dict(),
            lambda written: rendered(document, written, shown),
            lines=lambda: as_lines(document, shown),
            words=document.share_words,
            written=format,
            out=out,
            is_public=document.audience is Audience.PUBLIC,
        )

    return command


for _kind, _form in AT_COORDINATOR.items():
    app.command(_kind, help=f"{_form.title}. {_form.audience_words}")(_command(_form))


@app.command("answers")
def answers_file(
    document: Annotated[str, typer.Argument(help=f"One of {', '.join(AT_COORDINATOR)}.")],
    out: Annotated[Path, typer.Option(help="File to write, .toml, which must not be there.")],
    format: Format = FormatOption,
) -> None:
    """Begin a file for people's judgements, with every question of a document in it."""
    form = form_called(document, AT_COORDINATOR)
    write_new(out, answers_template(form))
    output.result(
        {"file": str(out), "questions": len(form.questions)},
        f"Wrote {out} with {len(form.questions)} questions; give it with --answers.",
    )
