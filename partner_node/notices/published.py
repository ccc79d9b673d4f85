"""Which notices were published, on record: their bytes, words and facts; added, never changed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, LiteralString

from partner_node.notices.facts import NoticeFacts
from partner_node.store.node_store import NodeStore
from protocol.agreement.document import Agreement
from protocol.errors import UsageError
from protocol.log.entries import NOTICE
from protocol.strict import Fields

_SELECT: Final[LiteralString] = (
    "SELECT number, at, agreement_id, agreement_hash, version, language, url, facts, words_sha256,"
    " own_text, published_by, sha256 FROM notices"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One notice that was published.

    Attributes:
        agreement: The agreement's id; `agreement_hash` is of the version it was rendered for.
        version: The notice's.
        url: Where it stands; empty where that was not said.
        facts: What it tells of the agreement.
        words_sha256: Of the words that a reader sees, in hexadecimal.
        own_text: Whether people wrote it, and confirmed its facts, instead of rendering it.
        by: Who published it, as the log of people names them.
        sha256: Of the file's bytes, in hexadecimal.
        number: Its place on record; 0 before it has one.
    """

    at: str
    agreement: str
    agreement_hash: bytes
    version: str
    language: str
    url: str
    facts: NoticeFacts
    words_sha256: str
    own_text: bool
    by: str
    sha256: str
    number: int = 0

    @property
    def name(self) -> str:
        """How people name it."""
        return f"notice {self.version} ({self.language})"

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            "number": self.number,
            "at": self.at,
            "agreement": self.agreement,
            "agreement_hash": self.agreement_hash.hex(),
            "notice_version": self.version,
            "language": self.language,
            "url": self.url,
            "sha256": self.sha256,
            "words_sha256": self.words_sha256,
            "facts_sha256": self.facts.hash.hex(),
            "own_text": self.own_text,
            "published_by": self.by,
        }


class Publications:
    """The published notices in a node's state database."""

    def __init__(self, store: NodeStore) -> None:
        self._store = store

    def add(self, published: Publication, content: bytes) -> Publication:
        """Put one on record with the file's bytes, and in the audit log; inside a transaction.

        Returns:
            It with its number.

        Raises:
            UsageError: What was published under this version tells other facts
                (E-NOTICE-VERSION).
        """
        self._refuse_other_facts(published)
        ((number,),) = self._store.ask(
            "INSERT INTO notices (at, agreement_id, agreement_hash, version, language, url, facts,"
            " words_sha256, own_text, published_by, sha256, content) VALUES"
            " (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING number",
            published.at,
            published.agreement,
            published.agreement_hash,
            published.version,
            published.language,
            published.url,
            json.dumps(published.facts.to_dict(), ensure_ascii=False),
            published.words_sha256,
            int(published.own_text),
            published.by,
            published.sha256,
            content,
        )
        self._store.log.append(
            NOTICE,
            at=published.at,
            agreement=published.agreement,
            agreement_hash=published.agreement_hash.hex(),
            version=published.version,
            language=published.language,
            sha256=published.sha256,
            facts=published.facts.hash.hex(),
            own=published.own_text,
            by=published.by,
        )
        return self.get(number)

    def all(self) -> list[Publication]:
        """All of them, oldest first."""
        return [_read(row) for row in self._store.ask(_SELECT + " ORDER BY number")]

    def under(self, agreement_id: str) -> list[Publication]:
        """Those for an agreement, of any version of it, oldest first."""
        rows = self._store.ask(_SELECT + " WHERE agreement_id = ? ORDER BY number", agreement_id)
        return [_read(row) for row in rows]

    def get(self, number: int) -> Publication:
        """One of them; raises UsageError (E-NOTICE-UNKNOWN)."""
        row = self._store.one(_SELECT + " WHERE number = ?", number)
        if row is None:
            raise UsageError(
                f"no notice {number} was published here",
                code="E-NOTICE-UNKNOWN",
                remedy="`fedseg-node notice list` lists them",
            )
        return _read(row)

    def content(self, number: int) -> bytes:
        """The bytes of one that is on record."""
        ((content,),) = self._store.ask("SELECT content FROM notices WHERE number = ?", number)
        return bytes(content)

    def pages_of(self, agreement: Agreement) -> dict[str, str]:
        """Published pages of the notice that an agreement names, by language.

        Those that were published as Markdown or text are no pages.
        """
        current = newest(self.under(agreement.id))
        named = [one for one in current if one.version == agreement.purpose.notice_version]
        found = {one.language: self.content(one.number).decode("utf-8-sig") for one in named}
        return {language: text for language, text in found.items() if text.lstrip()[:1] == "<"}

    def _refuse_other_facts(self, published: Publication) -> None:
        for one in self.under(published.agreement):
            if one.version == published.version and one.facts != published.facts:
                untold = [
                    *published.facts.untold_by(one.facts),
                    *one.facts.untold_by(published.facts),
                ]
                raise UsageError(
                    f"notice {published.version} was published on {one.at[:10]} with other facts: "
                    f"{'; '.join(untold)}",
                    code="E-NOTICE-VERSION",
                    remedy="have the agreement name a new notice_version, and publish that: who "
                    "consented under this version was told of the facts that it had",
                )


def newest(published: Iterable[Publication]) -> list[Publication]:
    """Of each version and language the one that was published last."""
    found: dict[tuple[str, str], Publication] = {}
    for one in published:
        found[one.version, one.language] = one
    return list(found.values())


def _read(row: tuple[Any, ...]) -> Publication:
    number, at, agreement, agreement_hash, version, language, url, facts, words, own, by, sha = row
    return Publication(
        number=number,
        at=at,
        agreement=agreement,
        agreement_hash=bytes(agreement_hash),
        version=version,
        language=language,
        url=url,
        facts=NoticeFacts.read(Fields(json.loads(facts), "the facts of a published notice")),
        words_sha256=words,
        own_text=bool(own),
        by=by,
        sha256=sha,
    )
