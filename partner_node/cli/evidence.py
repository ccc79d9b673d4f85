"""Documents from facts: `evidence record|…`, and the questions in them that people answer."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from machine.console import Format, FormatOption, output
from machine.delivering import Written, WrittenOption, deliver
from machine.files import create_file, open_regular
from machine.text import shown
from partner_node.cli.options import HERE, Directory, Under
from partner_node.evidence.materials import materials_of
from partner_node.home import NodeHome
from protocol.errors import RuleError, UsageError
from protocol.evidence.answers import answers_template, read_answers
from protocol.evidence.document import Answer, Document, State
from protocol.evidence.forms import Form
from protocol.evidence.forms_of import AT_NODE
from protocol.evidence.plain import as_lines
from protocol.evidence.writing import rendered

app = typer.Typer(
    help="Documents filled from facts, each with its source; people's judgements stay theirs.",
    no_args_is_help=True,
)
_MOST_BYTES = 1 << 20

Out = Annotated[
    Path | None,
    typer.Option(help="File to write instead of the terminal: .md, .html, .jsonld or .json."),
]
Answers = Annotated[
    Path | None,
    typer.Option(help="File with what people judged, as `evidence answers` begins one."),
]
Complete = Annotated[
    bool,
    typer.Option("--complete", help="Refuse while anything is missing or not answered."),
]


def _command(form: Form) -> Callable[..., None]:
    def command(
        out: Out = None,
        answers: Answers = None,
        complete: Complete = False,
        under: Under = None,
        directory: Directory = HERE,
        format: Written = WrittenOption,
    ) -> None:
        now = datetime.now(UTC)
        said = _answers(answers, form, now.date())
        home = NodeHome.load(directory).chosen(under)
        with closing(home.store(home.keystore())) as store:
            made = materials_of(home, home.signed_agreement(), store, now)
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
        )

    return command


for _kind, _form in AT_NODE.items():
    app.command(_kind, help=f"{_form.title}. {_form.audience_words}")(_command(_form))


@app.command("answers")
def answers_file(
    document: Annotated[str, typer.Argument(help=f"One of {', '.join(AT_NODE)}.")],
    out: Annotated[Path, typer.Option(help="File to write, which must not be there, .toml.")],
    format: Format = FormatOption,
) -> None:
    """Begin a file for people's judgements, with every question of a document in it."""
    if document not in AT_NODE:
        raise UsageError(
            f"there is no document {document!r}", remedy=f"choose one of {', '.join(AT_NODE)}"
        )
    form = AT_NODE[document]
    create_file(out, answers_template(form).encode(), mode=0o600)
    asks = sum(1 for one in form.asked if one.judge)
    output.result(
        {"file": str(out), "questions": asks},
        f"Wrote {out} with {asks} questions; give it with --answers.",
    )


def check_complete(document: Document) -> None:
    """Refuse a document with blanks; raises RuleError (E-EVIDENCE-BLANK)."""
    blank = [*document.of(State.MISSING), *document.of(State.JUDGEMENT)]
    if blank:
        raise RuleError(
            f"evidence {document.kind} has {len(blank)} blanks: "
            + "; ".join(f"{field.key} ({field.state})" for field in blank),
            code="E-EVIDENCE-BLANK",
            remedy="what is missing says what fills it; judgements go into --answers",
        )


def _answers(file: Path | None, form: Form, today: date) -> Mapping[str, Answer]:
    return {} if file is None else read_answers(_read_toml(file), form, today)


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        with open_regular(file) as opened:
            return tomllib.loads(opened.read(_MOST_BYTES).decode("utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}", remedy="correct the path") from error
    except ValueError as error:
        raise UsageError(
            f"{file} is not TOML: {error}", code="E-EVIDENCE-ANSWERS", remedy="correct that place"
        ) from error
