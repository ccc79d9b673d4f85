"""A document as JSON-LD with terms of the W3C Data Privacy Vocabulary (DPV) 2.

The context stands in it, so nothing is fetched. What DPV has no term for is named in ``fedseg:``.
"""

from __future__ import annotations

from typing import Any, Final

from protocol.evidence.document import NO_ADVICE, Document, Field, State

DPV: Final = "https://w3id.org/dpv#"
GDPR: Final = "https://w3id.org/dpv/legal/eu/gdpr#"
DCT: Final = "http://purl.org/dc/terms/"
OWN: Final = "urn:x-fedseg:"
CONTEXT: Final = {
    "dpv": DPV,
    "eu-gdpr": GDPR,
    "dct": DCT,
    "fedseg": OWN,
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "dct:created": {"@type": "xsd:dateTime"},
    "dct:date": {"@type": "xsd:date"},
    "fedseg:field": {"@container": "@list"},
    "fedseg:share": {"@type": "xsd:decimal"},
}


def as_jsonld(document: Document) -> dict[str, Any]:
    """The document; a field that nothing fills says ``dpv:NotAvailable``."""
    name = f"{OWN}{document.kind}:{document.about['agreement_hash']}"
    process: dict[str, Any] = {
        "@id": f"{OWN}agreement:{document.about['agreement_hash']}",
        "@type": "dpv:Process",
        "dpv:hasIdentifier": document.about["agreement"],
    }
    for field in document.fields:
        if field.term and field.state is State.FACT:
            process.setdefault(field.term, [])
            if isinstance(process[field.term], list):
                process[field.term] += _values(field)
    return {
        "@context": CONTEXT,
        "@id": name,
        "@type": document.term,
        "dct:title": document.title,
        "dct:created": document.to_dict()["made_at"],
        "dct:description": f"{document.follows} {NO_ADVICE}",
        "dct:audience": document.audience_words,
        "fedseg:share": f"{document.share:.4f}",
        "dpv:hasProcess": process,
        "fedseg:field": [_field(field) for field in document.fields],
    }


def _values(field: Field) -> list[Any]:
    if field.value.terms:
        return [{"@id": term} for term in field.value.terms]
    grid = field.value.grid
    rows = [] if grid is None else [" · ".join(row) for row in grid.rows]
    return [*field.value.paragraphs, *rows]


def _field(field: Field) -> dict[str, Any]:
    found: dict[str, Any] = {
        "@type": "fedseg:Field",
        "dct:identifier": field.key,
        "dct:title": field.label,
        "dct:conformsTo": field.hook,
        "fedseg:state": str(field.state),
    }
    if field.value.paragraphs or field.value.grid:
        found["fedseg:value"] = _values(field)
    if field.sources:
        found["dct:source"] = [source.words for source in field.sources]
    if field.lacks:
        found["dpv:hasApplicability"] = {"@id": "dpv:NotAvailable"}
        found["fedseg:lacks"] = list(field.lacks)
    if field.asks:
        found["fedseg:asks"] = field.asks
    if field.answer is not None:
        found["dpv:hasJustification"] = field.answer.text
        found["dct:contributor"] = field.answer.by
        found["dct:date"] = field.answer.on.isoformat()
    return found
