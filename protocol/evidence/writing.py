"""A document in each of the forms in which it is handed over."""

from __future__ import annotations

import json
from collections.abc import Callable

from protocol.errors import UsageError
from protocol.evidence import registry
from protocol.evidence.document import Document
from protocol.evidence.html import as_html
from protocol.evidence.jsonld import as_jsonld
from protocol.evidence.markdown import as_markdown


def rendered(document: Document, form: str, shown: Callable[[str], str]) -> str:
    """The document as a text.

    Args:
        form: ``md``, ``html``, ``jsonld`` or ``json``; of an entry for the registry also ``yaml``,
            the entry alone.
        shown: Escapes invisible characters.

    Raises:
        UsageError: It has no such form.
    """
    match form:
        case "md":
            return as_markdown(document, shown)
        case "html":
            return as_html(document, shown)
        case "jsonld" if "agreement" in document.about:
            return _json(as_jsonld(document))
        case "json":
            return _json(document.to_dict())
        case "yaml" if document.kind == registry.FORM.kind:
            return registry.as_entry(document)
    raise UsageError(
        f"evidence {document.kind} is not written as {form}", remedy="choose md, html, jsonld, json"
    )


def _json(values: object) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"
