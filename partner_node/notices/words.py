"""A partner's own words for what the agreement says: plain names of features, translations.

The agreement is written in one language and for its parties. For customers its texts are said again
in a file; each stands beside what the agreement says, so that none outlives a change of it.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from machine.text import feature_label
from protocol.agreement.document import Agreement
from protocol.agreement.governance import CONSENT
from protocol.agreement.parties import Party
from protocol.errors import UsageError

_KEYS: Final = {"key", "says", "own"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTexts:
    """What the node's own settings tell customers.

    Attributes:
        authority: The authority for complaints; None where it is not stated.
        data_from: Where the data come from; None where it is not stated.
    """

    authority: str | None = None
    data_from: str | None = None


def texts_of(agreement: Agreement, party: Party, node: NodeTexts) -> dict[str, str]:
    """The texts that people wrote in the agreement and the settings, by the name of their place."""
    found = {"purpose.text": agreement.purpose.text}
    for feature in agreement.features:
        found[f"features.{feature.name}"] = feature_label(feature.name, feature.unit)
        found[f"features.{feature.name}.unit"] = feature.unit
        found[f"features.{feature.name}.necessity"] = feature.necessity
    found["population.subject"] = agreement.population.subject
    found["population.inclusion"] = agreement.population.inclusion
    for use in (*agreement.results_use.allowed, *agreement.results_use.forbidden):
        found[f"results_use.{use}"] = use.replace("-", " ")
    for number, name in enumerate(agreement.results_use.recipients):
        found[f"results_use.recipients.{number}"] = name
    if party.role == "joint-controller":
        found["responsibilities"] = agreement.duties.responsibilities
    if party.legal_basis.basis == CONSENT:
        found["legal_basis.reference"] = party.legal_basis.reference
    if node.data_from is not None:
        found["rights.data_from"] = node.data_from
    if node.authority is not None:
        found["rights.authority"] = node.authority
    return found


@dataclass(frozen=True, slots=True)
class OwnWords:
    """What a partner says in place of the agreement's texts, by the name of their place."""

    said: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def read(data: bytes, name: str, texts: Mapping[str, str]) -> OwnWords:
        """Read a file of own words.

        Args:
            name: The file's, for messages.
            texts: As `texts_of` has them now.

        Raises:
            UsageError: It is no such file, or the agreement says something else by now
                (E-NOTICE-WORDS).
        """
        entries = _entries(data, name)
        for key, (says, _) in entries.items():
            if key not in texts:
                raise _problem(name, f"has {key!r}, which is no text of this agreement")
            if says != texts[key]:
                raise _problem(name, f"has {key}: the agreement says something else by now")
        return OwnWords({key: own for key, (_, own) in entries.items() if own.strip()})

    @staticmethod
    def kept(data: bytes, name: str, texts: Mapping[str, str]) -> OwnWords:
        """What still holds of a file of own words; raises UsageError where it is none."""
        return OwnWords(
            {
                key: own
                for key, (says, own) in _entries(data, name).items()
                if own.strip() and texts.get(key) == says
            }
        )

    def of(self, key: str) -> str | None:
        """What is said in place of a text; None for nothing else than the text."""
        return self.said.get(key)


def _entries(data: bytes, name: str) -> dict[str, tuple[str, str]]:
    """What a file says: by the name of each place what the agreement said, and the own words."""
    try:
        found = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _problem(name, f"is no TOML in UTF-8: {error}") from error
    tables: Any = found.pop("text", [])
    if found or not isinstance(tables, list):
        raise _problem(name, "has something else than tables [[text]]")
    entries: dict[str, tuple[str, str]] = {}
    for number, table in enumerate(tables, 1):
        if (
            not isinstance(table, dict)
            or table.keys() != _KEYS
            or not all(isinstance(one, str) for one in table.values())
        ):
            raise _problem(name, f"has in [[text]] {number} not the texts key, says and own alone")
        if table["key"] in entries:
            raise _problem(name, f"has {table['key']!r} twice")
        entries[table["key"]] = table["says"], table["own"]
    return entries


def template(texts: Mapping[str, str], before: OwnWords) -> str:
    """A file of own words to fill in: each text of the agreement, and what was said before."""
    lines = [
        "# What customers read in place of the agreement's texts. Fill in `own`; where it is empty",
        "# the notice has the text as it is. `says` stays as it is: it shows what was meant.",
        "",
    ]
    for key, says in texts.items():
        lines += [
            "[[text]]",
            f"key = {_quoted(key)}",
            f"says = {_quoted(says)}",
            f"own = {_quoted(before.of(key) or '')}",
            "",
        ]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    # What JSON escapes TOML escapes alike, but for surrogates, which an agreement has none of.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _problem(name: str, what: str) -> UsageError:
    return UsageError(
        f"{name} {what}",
        code="E-NOTICE-WORDS",
        remedy="`fedseg-node notice words --out FILE` writes one for the agreement as it is now; "
        "with `--words` what still holds is in it",
    )
