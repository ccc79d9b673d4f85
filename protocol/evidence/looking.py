"""How facts are read: through one object that notes where each comes from.

A text of a document cannot be made without the note, so none is without its source; and what is
not there cannot be read, so a field that needs it is missing and says what would fill it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from protocol.evidence.document import Audience, Source

NODE: Final = "node"
_STEP: Final = re.compile(r"([a-z0-9_]+)((?:\[\d+\])*)")
_INDEX: Final = re.compile(r"\[\d+\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """The entries of one kind in an audit log, or some of them.

    Attributes:
        first, last: Number, time, leaf hash in hexadecimal, and fields of the outer ones.
    """

    count: int
    first: Entry
    last: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry, as a document names it."""

    number: int
    at: str
    leaf: str
    about: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Materials:
    """Everything that documents are made of; nothing is read for them anywhere else.

    Attributes:
        side: ``node`` or ``coordinator``.
        party: Id of the node's partner in the agreement; empty at the coordinator.
        now: When the document is made.
        agreement: The agreement as it is signed, as JSON values.
        about: Its id, version and hash.
        settings: What the configuration says, by its keys.
        log: Entries of the audit log by their kind; empty where there is no log.
        records: What the side has on record, by names.
        measured: What was looked at now, by names.
        program: The program: ``version`` and ``sha256`` of its code.
        home: Counts of this partner's customers; documents for others cannot read them.
        shows: The command that shows a source, by its kind, or by kind and place.
        fills: What would put something there, in the same way, where `_FILLS` says too little.
    """

    side: str
    party: str
    now: datetime
    agreement: Mapping[str, Any]
    about: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    log: Mapping[str, Entries] = field(default_factory=dict)
    records: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)
    program: Mapping[str, Any] = field(default_factory=dict)
    home: Mapping[str, Any] = field(default_factory=dict)
    shows: Mapping[str, str] = field(default_factory=dict)
    fills: Mapping[str, str] = field(default_factory=dict)

    @property
    def program_name(self) -> str:
        """The program with its version."""
        return f"fedseg {self.program.get('version', '(version unknown)')}"


class Missing(Exception):  # no error: the document says it
    """A fact is not there.

    Attributes:
        source: Where it would be.
    """

    def __init__(self, source: Source) -> None:
        super().__init__(source.fills)
        self.source = source


class Look:
    """Reads materials for one field, and notes what was read.

    Attributes:
        sources: What was read so far, each place as it was named.
        optional: Those that the field does without.
    """

    def __init__(self, materials: Materials, audience: Audience) -> None:
        self._materials = materials
        self._audience = audience
        self.sources: list[Source] = []
        self.optional: list[Source] = []

    @property
    def side(self) -> str:
        """``node`` or ``coordinator``."""
        return self._materials.side

    @property
    def now(self) -> datetime:
        """When the document is made."""
        return self._materials.now

    @property
    def own(self) -> int:
        """The number of this node's party in the agreement; raises Missing."""
        for number, party in enumerate(self.clause("parties")):
            if party.get("id") == self._materials.party:
                self.clause(f"parties[{number}].id")
                return number
        raise Missing(
            Source("agreement", "parties", "", fills="this partner among the agreement's parties")
        )

    # --- the agreement -------------------------------------------------------------------------

    def clause(self, path: str) -> Any:
        """What a clause of the agreement says; raises Missing where it says nothing.

        Args:
            path: Such as ``parties[0].dpo``.
        """
        return self._needed("agreement", path, _at(self._materials.agreement, path))

    def maybe(self, path: str) -> Any:
        """The same, None where the agreement may leave it out and does."""
        found = _at(self._materials.agreement, path)
        if not _is_empty(found):
            self._note("agreement", path, optional=True)
        return found

    def each(self, path: str) -> Iterator[str]:
        """The paths of a list's entries; raises Missing where it has none."""
        entries = self.clause(path)
        for number in range(len(entries)):
            yield f"{path}[{number}]"

    # --- everything else -----------------------------------------------------------------------

    def entries(self, kind: str) -> Entries:
        """Entries of one kind; raises Missing where there is none."""
        found: Entries = self._needed("log", kind, self._materials.log.get(kind))
        return found

    def entries_if_any(self, kind: str) -> Entries | None:
        """The same, None where there is none."""
        found = self._materials.log.get(kind)
        if found is not None:
            self._note("log", kind, optional=True)
        return found

    def setting(self, key: str) -> Any:
        """What the configuration says; raises Missing."""
        return self._needed("setting", key, self._materials.settings.get(key))

    def setting_if_any(self, key: str) -> Any:
        """The same, None where it says nothing."""
        found = self._materials.settings.get(key)
        if not _is_empty(found):
            self._note("setting", key, optional=True)
        return found

    def record(self, name: str) -> Any:
        """What is on record; raises Missing."""
        return self._needed("record", name, self._materials.records.get(name))

    def record_if_any(self, name: str) -> Any:
        """The same, None where nothing is."""
        found = self._materials.records.get(name)
        if not _is_empty(found):
            self._note("record", name, optional=True)
        return found

    def measured(self, name: str) -> Any:
        """What was looked at; raises Missing."""
        return self._needed("measured", name, self._materials.measured.get(name))

    def measured_if_any(self, name: str) -> Any:
        """The same, None where nobody looked."""
        found = self._materials.measured.get(name)
        if not _is_empty(found):
            self._note("measured", name, optional=True)
        return found

    def program(self) -> str:
        """The program that does what is said, by its version and code; raises Missing."""
        version = self._needed("program", "version", self._materials.program.get("version"))
        code = self._needed("program", "sha256", self._materials.program.get("sha256"))
        whose = "code" if self.side == NODE else "code of nodes"
        return f"fedseg {version}, {whose} {code}"

    def home(self, name: str) -> Any:
        """A count of this partner's customers, for documents that stay at home; raises Missing.

        Raises:
            ValueError: The document is for others.
        """
        if self._audience is not Audience.HOME:
            raise ValueError(f"{name} is of this partner's customers, and the document for others")
        return self._needed("home", name, self._materials.home.get(name))

    def _needed(self, kind: str, where: str, found: Any) -> Any:
        source = self._source(kind, where)
        if _is_empty(found):
            raise Missing(source)
        self.sources.append(source)
        return found

    def _note(self, kind: str, where: str, *, optional: bool) -> None:
        source = self._source(kind, where)
        self.sources.append(source)
        if optional:
            self.optional.append(source)

    def _source(self, kind: str, where: str) -> Source:
        made = self._materials
        check = made.shows.get(f"{kind}:{where}", made.shows.get(kind, ""))
        names = {
            "where": where,
            "side": made.side,
            "agreement": f"{made.about['agreement']} v{made.about['version']}",
        }
        words = _WORDS[kind].format(**names)
        fills = made.fills.get(f"{kind}:{where}", _FILLS[kind].format(**names))
        if kind == "program":
            said = made.program.get(where)
            words = f"code with SHA-256 {said}" if where == "sha256" else f"program fedseg {said}"
        if kind == "log" and (found := made.log.get(where)) is not None:
            words = f"log entry {found.last.number} ({where}), leaf {found.last.leaf}"
            check = check.format(number=found.last.number)
        return Source(kind, where, words, "" if "{" in check else check, fills)


#: How each kind of source is named.
_WORDS: Final = {
    "agreement": "agreement {agreement}, {where}",
    "log": "an entry {where} in the audit log",
    "setting": "{side}.toml, {where}",
    "record": "on record here, {where}",
    "measured": "looked at when this was made, {where}",
    "program": "the program's {where}",
    "home": "counted at this node, {where}",
}


#: What would put something where nothing is.
_FILLS: Final = {
    "agreement": "a clause of the agreement that says it: {where}",
    "log": "an entry {where} in the audit log, which has none",
    "setting": "{where} in {side}.toml",
    "record": "something on record: {where}",
    "measured": "something to look at: {where}",
    "program": "the installed program's {where}",
    "home": "an answer to a question, from which {where} are known",
}


def told(sources: Sequence[Source]) -> tuple[Source, ...]:
    """Sources for a reader: places of a list as one, and no list beside what is in it.

    >>> [source.where for source in told([Source("agreement", w, w) for w in
    ...     ("p", "p[0].id", "p[1].id")])]
    ['p[].id']
    """
    short = [
        replace(s, where=_INDEX.sub("[]", s.where), words=_INDEX.sub("[]", s.words))
        for s in sources
    ]
    once = {(s.kind, s.where): s for s in reversed(short)}
    inner = {where for _, where in once}
    return tuple(
        s
        for s in reversed(once.values())
        if not any(w.startswith((f"{s.where}[", f"{s.where}.")) for w in inner)
    )


def _at(values: Any, path: str) -> Any:
    for step in path.split("."):
        matched = _STEP.fullmatch(step)
        if matched is None:
            raise ValueError(f"no path: {path}")
        name, indices = matched.groups()
        values = values.get(name) if isinstance(values, Mapping) else None
        for index in re.findall(r"\d+", indices):
            place = int(index)
            values = values[place] if isinstance(values, list) and place < len(values) else None
    return values


def _is_empty(found: Any) -> bool:
    return found is None or found in ("", [], {}, ())
