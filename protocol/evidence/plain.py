"""A document as lines for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from protocol.evidence.document import NO_ADVICE, Document, Field, State


def as_lines(document: Document, shown: Callable[[str], str]) -> list[str]:
    """The document, a paragraph a line.

    Args:
        shown: Escapes invisible characters.
    """
    return [shown(line) for line in _lines(document)]


def _lines(document: Document) -> Iterator[str]:
    yield from (document.title, document.audience_words, document.about_words)
    for section in document.sections:
        yield f"\n{section.title}"
        for field in section.fields:
            yield from _field(field, document)
    yield f"\n{document.share_words}"
    yield f"{document.follows} {NO_ADVICE}"


def _field(field: Field, document: Document) -> Iterator[str]:
    yield f"  {field.label} ({field.hook})"
    if field.asks:
        yield f"    FOR A PERSON: {field.asks}"
        if field.answer is not None:
            yield f"    “{field.answer.text}”, {field.answer.words(document.made_at.date())}"
    if field.lacks:
        yield f"    MISSING: {'; '.join(field.lacks)}"
    if field.asks and field.state is not State.MISSING and field.value.paragraphs:
        yield "    Facts that bear on it:"
    for paragraph in field.value.paragraphs:
        yield f"    {paragraph}"
    if field.value.grid is not None:
        for row in field.value.grid.rows:
            cells = zip(field.value.grid.headers, row, strict=True)
            yield "    - " + "; ".join(f"{header}: {cell}" for header, cell in cells)
    if field.sources:
        yield "    from: " + "; ".join(words for words, _ in document.source_lines(field))
