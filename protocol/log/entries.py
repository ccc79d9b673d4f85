"""What an entry of the audit log says: a kind, a time, and the fields of that kind. No person.

An entry is RFC 8785 JSON of at most 65,535 bytes. Kinds that are known are read strictly; one of a
later version is kept as it is, so that an older reader still checks the whole log.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from protocol.canonical import canonical_form, canonical_json, parse_json
from protocol.errors import MalformedError
from protocol.log.text import malformed
from protocol.log.tiles import MAX_ENTRY_BYTES

Check = Callable[[object], bool]

BEGUN: Final = "log-begun"
AGREEMENT_KEPT: Final = "agreement-kept"
AGREEMENT_SIGNED: Final = "agreement-signed"
STOP: Final = "stop"
QUESTION: Final = "question"
LEFT: Final = "left"
REFUSED: Final = "refused"
REFUSALS_LEFT_OUT: Final = "refusals-left-out"
DECISION: Final = "decision"
RELEASE: Final = "release"
RUN_ENDED: Final = "run-ended"
EXPORT: Final = "export"
REQUEST: Final = "request"
BUILD: Final = "build"
ROSTER: Final = "roster"
FIRST_WORD: Final = "first-word"
CAP: Final = "cap"
AUTHORITY: Final = "authority"
EXPORT_ENDED: Final = "export-ended"
EXPORT_REWRITTEN: Final = "export-rewritten"
SETTINGS: Final = "settings"
SIGNING_KEY: Final = "signing-key"
KEY_FORKED: Final = "key-forked"
RESTORED: Final = "restored"
LOG_FORKED: Final = "log-forked"
LOG_ACCEPTED: Final = "log-accepted"
PACK: Final = "pack"
COUNTED: Final = "counted"
RECEIPTS: Final = "receipts"
NOTICE: Final = "notice"
STAFF: Final = "staff"
TRAINING: Final = "training"
# Of the coordinator alone.
RUN_REQUESTED: Final = "run-requested"
RELEASED: Final = "released"
ADMITTED: Final = "partner-admitted"
PARTNER_REMOVED: Final = "partner-removed"
INVITED: Final = "partner-invited"
JOINED: Final = "partner-joined"
PROPOSED: Final = "agreement-proposed"
ANSWERED: Final = "proposal-answered"
DILIGENCE: Final = "due-diligence"
HAND_OVER: Final = "key-handed-over"
SCHEDULED: Final = "run-scheduled"
SCHEDULE_PAUSED: Final = "schedule-paused"

_MOST_TEXT: Final = 4096
_CODE: Final = re.compile(r"E(-[A-Z0-9]+)+")
_KIND: Final = re.compile(r"[a-z]+(-[a-z]+)*")


def _text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _MOST_TEXT


def _hex(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"([0-9a-f]{2}){0,64}", value) is not None


def _number(value: object) -> bool:
    return type(value) is int and -1 <= value < 1 << 53


def _number_or_nothing(value: object) -> bool:
    return value is None or _number(value)


def _digits(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"0|[1-9][0-9]{0,40}", value) is not None


def _yes_or_no(value: object) -> bool:
    return isinstance(value, bool)


#: The fields of each kind, beside `at` and `kind`. Runs, hashes and keys are hexadecimal.
KINDS: Final[Mapping[str, Mapping[str, Check]]] = {
    # The first of every log. `earlier`: the folder has records of before, which are not in it.
    BEGUN: {"party": _text, "program": _text, "schema": _number, "earlier": _yes_or_no},
    AGREEMENT_KEPT: {"agreement": _text, "version": _number, "agreement_hash": _hex},
    AGREEMENT_SIGNED: {"agreement_hash": _hex, "by": _text},
    STOP: {"agreement_hash": _hex, "partner": _text},
    # `cost` is what was charged, in units of 2^-60 of rho; `context` names the question.
    QUESTION: {
        "agreement": _text, "run": _hex, "round": _number, "asked": _text, "cost": _digits,
        "context": _hex,
    },
    # `message` is the number of the manifest; null for what has none.
    LEFT: {
        "run": _hex, "round": _number, "what": _text, "bytes": _number, "sha256": _hex,
        "message": _number_or_nothing,
    },
    REFUSED: {"run": _hex, "code": _text},
    REFUSALS_LEFT_OUT: {"day": _text},
    DECISION: {"message": _number, "run": _hex, "sha256": _hex, "decision": _text, "by": _text},
    RELEASE: {"run_hash": _hex, "agreement_hash": _hex, "sha256": _hex},
    RUN_ENDED: {"run": _hex, "run_hash": _hex, "phase": _text, "code": _text},
    EXPORT: {"release": _hex, "use": _text, "sha256": _hex, "by": _text},
    # `subject` is the keyed hash under which the register has the customer.
    REQUEST: {"right": _text, "subject": _text, "step": _text},
    BUILD: {"agreement_hash": _hex, "build": _hex},
    # A link of the chain of participant sets: `head` is the chain's, with it.
    ROSTER: {"agreement_hash": _hex, "run_hash": _hex, "partners": _number, "head": _hex},
    # The first of two people who have to do something; `about` is the hash of what.
    FIRST_WORD: {"act": _text, "about": _hex, "by": _text},
    CAP: {"epsilon": _text, "delta": _text},  # `epsilon` is empty where the cap was lifted
    AUTHORITY: {"number": _number, "sha256": _hex},
    EXPORT_ENDED: {"release": _hex, "sha256": _hex, "ending": _text},
    EXPORT_REWRITTEN: {"release": _hex, "sha256": _hex},
    # Names of settings that changed, no values; none where the log has them for the first time.
    SETTINGS: {"sha256": _hex, "changed": _text},
    SIGNING_KEY: {"key": _hex},
    # A second hand-over from one key, which both of its keys signed; the first one holds.
    KEY_FORKED: {"old_key": _hex, "new_key": _hex},
    # A backup of that time was put back; empty for a state that began anew.
    RESTORED: {"made_at": _text},
    # Another party signed two states of its seals that do not go together: of one size, two roots.
    LOG_FORKED: {
        "agreement": _text, "party": _text, "size": _number, "known": _hex, "other": _hex,
    },
    PACK: {"sha256": _hex, "by": _text},  # an evidence pack: the hash of its manifest
    LOG_ACCEPTED: {
        "agreement": _text, "party": _text, "size": _number, "known": _hex, "other": _hex,
        "by": _text,
    },
    # The set of customers that the answer to `context` counted: `number` of its run, from 0; `key`
    # commits to the run's key of receipts, `bits` says how many buckets the tree of `root` has.
    COUNTED: {
        "agreement": _text, "run": _hex, "round": _number, "number": _number, "context": _hex,
        "key": _hex, "bits": _number, "root": _hex,
    },
    # Whether sets are kept from here on; without one, they are.
    RECEIPTS: {"kept": _yes_or_no},
    # A customers' notice; `facts` is the hash of what it tells, `own`: people wrote it.
    NOTICE: {
        "agreement": _text, "agreement_hash": _hex, "version": _text, "language": _text,
        "sha256": _hex, "facts": _hex, "own": _yes_or_no, "by": _text,
    },
    # Somebody who may act here, by the name of the account; `step` is added or removed.
    STAFF: {"name": _text, "step": _text, "by": _text},
    # `on` and `until` are days; `evidence` is the SHA-256 of a file, or empty.
    TRAINING: {
        "name": _text, "course": _text, "on": _text, "until": _text, "evidence": _hex, "by": _text,
    },
    # Of the coordinator; `by` is empty where its schedule or a partner's node did it.
    RUN_REQUESTED: {"run": _hex, "agreement_hash": _hex, "without": _text, "by": _text},
    RELEASED: {"run": _hex, "agreement_hash": _hex, "sha256": _hex},
    # `key` is the SHA-256 of the node's key.
    ADMITTED: {"partner": _text, "key": _hex, "by": _text},
    PARTNER_REMOVED: {"partner": _text, "by": _text},
    INVITED: {"partner": _text, "expires": _text, "by": _text},
    JOINED: {"partner": _text, "key": _hex},
    PROPOSED: {"agreement": _text, "version": _number, "agreement_hash": _hex, "by": _text},
    ANSWERED: {"agreement_hash": _hex, "partner": _text, "signed": _yes_or_no},
    DILIGENCE: {"partner": _text, "sha256": _hex, "by": _text},
    HAND_OVER: {"old_key": _hex, "new_key": _hex},
    # `code` says why there is no run.
    SCHEDULED: {"agreement": _text, "moment": _text, "run": _hex, "code": _text},
    SCHEDULE_PAUSED: {"agreement": _text, "paused": _yes_or_no, "by": _text},
}  # fmt: skip


def code_in_log(reason: str) -> str:
    """An error's code as it is; words of people, which may name anybody, as ``other``."""
    return reason if not reason or _CODE.fullmatch(reason) else "other"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry.

    Attributes:
        at: When, as its writer's clock has it; nobody vouches for it.
        kind: A key of `KINDS`, or a kind of a later version.
        about: Its fields.
    """

    at: str
    kind: str
    about: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not _text(self.at):
            raise malformed("an entry's time is no text")
        if not _KIND.fullmatch(self.kind):
            raise malformed(f"no kind of an entry: {self.kind[:40]!r}")
        if {"at", "kind"} & self.about.keys():
            raise malformed("an entry says `at` or `kind` twice")
        checks = KINDS.get(self.kind)
        if checks is None:
            return
        if checks.keys() != self.about.keys():
            other = sorted(checks.keys() ^ self.about.keys())
            raise malformed(f"an entry of kind {self.kind} lacks or has too many fields: {other}")
        for name, holds in checks.items():
            if not holds(self.about[name]):
                raise malformed(f"{name} of an entry of kind {self.kind} is {self.about[name]!r}")

    @property
    def is_known(self) -> bool:
        """Whether this version knows the kind."""
        return self.kind in KINDS

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {"at": self.at, "kind": self.kind, **self.about}

    def to_bytes(self) -> bytes:
        """The bytes of which the log has the hash; raises MalformedError when they are too many."""
        data = canonical_json(self.to_dict())
        if len(data) > MAX_ENTRY_BYTES:
            raise malformed(f"an entry has at most {MAX_ENTRY_BYTES} bytes, not {len(data)}")
        return data

    @staticmethod
    def from_bytes(data: bytes) -> Entry:
        """Read an entry; raises MalformedError, also when it is not written as `to_bytes` does."""
        try:
            values = parse_json(data, max_bytes=MAX_ENTRY_BYTES, what="an entry")
        except MalformedError as error:
            raise malformed(error.message) from error
        at, kind = values.pop("at", None), values.pop("kind", None)
        if not isinstance(at, str) or not isinstance(kind, str):
            raise malformed("an entry has no `at` or no `kind`")
        found = Entry(at, kind, values)
        try:
            again = canonical_form(found.to_dict(), what="an entry")
        except MalformedError as error:
            raise malformed(error.message) from error
        if again != data:
            raise malformed("an entry is not written in the one form of RFC 8785")
        return found


#: JSON of values that a check takes, in the one form of RFC 8785, as patterns; not all such JSON.
_PLAIN_TEXT: Final = rb'"[ !#-\[\]-~]{0,4096}"'
_PLAIN_NUMBER: Final = rb"(?:-1|0|[1-9][0-9]{0,14})"
_PLAIN: Final[Mapping[Check, bytes]] = {
    _text: _PLAIN_TEXT,
    _hex: rb'"(?:[0-9a-f]{64}|[0-9a-f]{32})?"',
    _number: _PLAIN_NUMBER,
    _number_or_nothing: rb"(?:null|" + _PLAIN_NUMBER + rb")",
    _digits: rb'"(?:0|[1-9][0-9]{0,40})"',
    _yes_or_no: rb"(?:true|false)",
}


def check_entry(data: bytes) -> None:
    """Check that bytes are an entry as `Entry.from_bytes` reads it, most of them much sooner.

    Raises:
        MalformedError: They are none.
    """
    if len(data) > MAX_ENTRY_BYTES or _plain_entry().fullmatch(data) is None:
        Entry.from_bytes(data)


@lru_cache(maxsize=1)
def _plain_entry() -> re.Pattern[bytes]:
    """Of each kind the entries of ASCII alone, which nearly all are."""
    return re.compile(b"|".join(_plain_form(kind) for kind in KINDS))


def _plain_form(kind: str) -> bytes:
    fields = {"at": _PLAIN_TEXT, "kind": re.escape(f'"{kind}"'.encode())}
    for name, check in KINDS[kind].items():
        fields[name] = _PLAIN[check]
    written = (f'"{name}":'.encode() + fields[name] for name in sorted(fields))
    return rb"\{" + b",".join(written) + rb"\}"
