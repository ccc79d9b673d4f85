"""What stands outside a state, and whose changes are in its audit log: settings, the signing key.

The state remembers what the log said of them last, in its table `outside_facts`, and the log gets
an entry when they differ: whoever changes the settings' file or restores a backup goes past every
room that could write one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from protocol.log import entries as kinds
from protocol.log.rows import Rows

_KEY: Final = "key"
_RESTORED: Final = "restored"
_SETTING: Final = "setting "
_MOST_NAMES: Final = 4096


class Appended(Protocol):
    """A log to which entries are added."""

    def append(self, kind: str, *, at: str, **about: Any) -> int:
        """Add an entry, inside a transaction; its number."""
        ...


class OutsideFacts:
    """What the log last said of facts outside of a state.

    Args:
        rows: The state.
        log: Its audit log.
    """

    def __init__(self, rows: Rows, log: Appended) -> None:
        self._rows = rows
        self._log = log

    def note_settings(self, settings: Mapping[str, Any], *, now: str) -> None:
        """Have the log say which settings changed, by their names; values are not in it.

        Inside a transaction.

        Args:
            settings: The configuration as it was read, tables in tables.
        """
        found = {f"{_SETTING}{name}": _digest(value) for name, value in _flat(settings, prefix="")}
        before = self._remembered(_SETTING)
        changed = sorted(k for k in before.keys() | found.keys() if before.get(k) != found.get(k))
        if not changed:
            return
        names = ", ".join(name.removeprefix(_SETTING) for name in changed) if before else ""
        self._log.append(
            kinds.SETTINGS, at=now, sha256=_digest(settings), changed=names[:_MOST_NAMES]
        )
        for name in changed:
            self._remember(name, found.get(name))

    def note_key(self, key_id: str, *, now: str) -> None:
        """Have the log say which key signs here, where it is another; inside a transaction."""
        if self._remembered(_KEY).get(_KEY) != key_id:
            self._log.append(kinds.SIGNING_KEY, at=now, key=key_id)
            self._remember(_KEY, key_id)

    def note_restored(self, *, now: str) -> None:
        """Have the log say that the state was put back since; inside a transaction."""
        made_at = self._remembered(_RESTORED).get(_RESTORED)
        if made_at is not None:
            self._log.append(kinds.RESTORED, at=now, made_at=made_at)
            self._remember(_RESTORED, None)

    def _remembered(self, beginning: str) -> dict[str, str]:
        rows = self._rows.ask("SELECT what, value FROM outside_facts")
        return {what: value for what, value in rows if what.startswith(beginning)}

    def _remember(self, what: str, value: str | None) -> None:
        if value is None:
            self._rows.ask("DELETE FROM outside_facts WHERE what = ?", what)
        else:
            _put(self._rows, what, value)


def mark_restored(rows: Rows, *, made_at: str) -> None:
    """Have a state that is about to be put back say so in its log when it is next served.

    Args:
        rows: The state, of the newest schema, not in use; inside a transaction.
        made_at: When the backup was made; empty for a state that begins anew.
    """
    _put(rows, _RESTORED, made_at)


def _put(rows: Rows, what: str, value: str) -> None:
    rows.ask(
        "INSERT INTO outside_facts VALUES (?, ?)"
        " ON CONFLICT (what) DO UPDATE SET value = excluded.value",
        what,
        value,
    )


def _flat(values: Mapping[str, Any], *, prefix: str) -> Iterator[tuple[str, Any]]:
    """Each value of tables in tables with its name, such as ``consent.sources.0.path``."""
    for name, value in values.items():
        whole = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _flat(value, prefix=f"{whole}.")
        elif isinstance(value, list) and any(isinstance(one, Mapping) for one in value):
            items = {str(number): one for number, one in enumerate(value)}
            yield from _flat(items, prefix=f"{whole}.")
        else:
            yield whole, value


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
