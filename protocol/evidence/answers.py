"""What people said to a document's questions: kept in a file beside it, never mixed with facts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from protocol.errors import MalformedError, RuleError, UsageError
from protocol.evidence.document import Answer, Document, State
from protocol.evidence.forms import Form
from protocol.evidence.forms_of import DOCUMENTS
from protocol.strict import Fields, near

_MOST: Final = 20_000
#: The code of a file of answers that is not right.
BAD_ANSWERS: Final = "E-EVIDENCE-ANSWERS"


def read_answers(values: Mapping[str, Any], form: Form, today: date) -> dict[str, Answer]:
    """The answers to one document's questions, by the keys of its fields.

    Args:
        values: A file's content: a table for each document, in it one for each field.

    Raises:
        UsageError: A document or a field is unknown, a field asks nothing, or an answer has not
            what it needs (E-EVIDENCE-ANSWERS).
    """
    found = {}
    for name in values:
        if name not in DOCUMENTS:
            raise _refused(
                f"there is no document {name!r}{near(name, DOCUMENTS)}; there are "
                + ", ".join(DOCUMENTS)
            )
    known = [one.key for one in form.asked if one.judge]
    said = values.get(form.kind, {})
    if not isinstance(said, Mapping):
        raise _refused(f"{form.kind} is no table")
    for key, answer in said.items():
        if key not in known:
            raise _refused(
                f"{form.kind} asks no person for {key!r}{near(key, known)}; it asks for "
                + ", ".join(known)
            )
        found[key] = _answer(answer, f"{form.kind}.{key}", today)
    return found


def check_complete(document: Document) -> None:
    """Refuse a document in which anything is missing or not answered.

    Raises:
        RuleError: Something is (E-EVIDENCE-BLANK); it names each field.
    """
    blank = [*document.of(State.MISSING), *document.of(State.JUDGEMENT)]
    if blank:
        raise RuleError(
            f"evidence {document.kind} has {len(blank)} blanks: "
            + "; ".join(f"{field.key} ({field.state})" for field in blank),
            code="E-EVIDENCE-BLANK",
            remedy="what is missing says what fills it; judgements go into --answers",
        )


def form_called(name: str, forms: Mapping[str, Form]) -> Form:
    """One of some forms; raises UsageError."""
    if name not in forms:
        raise UsageError(
            f"there is no document {name!r}{near(name, tuple(forms))}",
            remedy=f"choose one of {', '.join(forms)}",
        )
    return forms[name]


def answers_template(form: Form) -> str:
    """A file of answers to fill in, every question in it as a comment."""
    lines = [
        f"# Answers to the questions of `evidence {form.kind}` that people have to judge.",
        "# Take the # away from the four lines of each that you answer.",
    ]
    for one in form.asked:
        if one.judge:
            lines += [
                "",
                f"# {one.label} ({one.hook})",
                f"# {one.judge}",
                f'# [{form.kind}."{one.key}"]',
                '# text = ""',
                '# by = ""',
                "# on = 2026-01-31",
            ]
    return "\n".join([*lines, ""])


def _answer(values: Any, where: str, today: date) -> Answer:
    if not isinstance(values, Mapping) or values.keys() != {"text", "by", "on"}:
        raise _refused(f"{where} needs text, by and on, and nothing else")
    on = values["on"]
    if type(on) is not date or on > today:
        raise _refused(f"{where}.on is {on!r}, expected a day that is not ahead, like 2026-01-31")
    fields = Fields({"text": values["text"], "by": values["by"]}, where)
    try:
        text, by = fields.text("text", max_length=_MOST), fields.line("by", max_length=200)
    except MalformedError as error:
        raise _refused(error.message) from error
    return Answer(text=text, by=by, on=on)


def _refused(what: str) -> UsageError:
    return UsageError(
        what,
        code=BAD_ANSWERS,
        remedy="correct the file; `evidence answers DOCUMENT` writes one to fill",
    )
