"""The gate before every local computation: which customers are eligible, that is, may be counted.

All tables are looked at anew for every pass over the customers, so a customer who withdraws is out
of the next round; they are parsed again unless every byte of them is the same (`last_snapshot`).
With several tables, each of them must permit a customer.
"""
# The names of tables are made here:
# ruff: noqa: S608

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from partner_node.consent.database_tables import DatabaseTable, make_table
from partner_node.consent.id_set import Halves, IdHash, IdHasher, IdSet, InClear, halves
from partner_node.consent.last_snapshot import NEVER, LastSnapshot, TablesState
from partner_node.consent.settings import ConsentSource, Holds
from partner_node.consent.tables import ConsentTable
from partner_node.consent.verdicts import Reason, Wanted, births_hold_until
from partner_node.consent.workspace import Workspace
from partner_node.kept_room import KEPT_PART, KeptRoom
from partner_node.sources.duckdb.errors import READ_ERRORS
from partner_node.sources.duckdb.sandbox import Sandbox
from protocol.agreement.document import CLOCK_SKEW
from protocol.agreement.governance import CONSENT
from protocol.errors import RuleError, SourceError

_T = TypeVar("_T")

#: Ids fetched from a query at once.
_BATCH_ROWS: Final = 65_536
#: How many times tables that change while they are read are read.
_READINGS: Final = 3
#: Reasons that keep a customer out although no consent is needed: the latest event is a refusal, or
#: may be one.
_DENIES: Final = ", ".join(
    str(int(reason)) for reason in (Reason.UNREADABLE_TIME, Reason.FUTURE_TIME, Reason.WITHDRAWN)
)


@dataclass(frozen=True, slots=True, weakref_slot=True, kw_only=True)
class Snapshot:
    """Eligible customers by the tables at one moment.

    Attributes:
        named: Ids of the eligible customers; on legitimate interest alone, of those who are not.
        permits: Whether `named` lists the eligible ones.
        taken_at: The moment.
    """

    named: IdSet
    permits: bool
    taken_at: datetime

    def allowed(self, ids: NDArray[np.object_]) -> NDArray[np.bool_]:
        """Whether each customer is eligible, shape ``(n_rows,)``."""
        return self.allowed_hashed(self.hashed(ids))

    @property
    def hashing(self) -> IdHash:
        """The hash of `hashed`; snapshots of one gate have the same."""
        return self.named.hashing

    def hashed(self, ids: NDArray[np.object_]) -> Halves:
        """Customers' hashes, each of shape ``(n_rows,)``, for `allowed_hashed`."""
        return self.named.hashed(ids)

    def allowed_hashed(self, hashes: Halves) -> NDArray[np.bool_]:
        """Whether each customer is eligible, by its hash, shape ``(n_rows,)``."""
        held = self.named.holds_hashed(hashes)
        return held if self.permits else ~held


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Eligibility of some customers now, in numbers.

    Attributes:
        counted: Number of customers that each rule keeps out; under None, of eligible ones.
        listed: For each table the number of different ids in it (of objections: who object),
            and how many of these are among the customers.
        updated: When each table was last updated.
        register: Likewise of the ids that this node's own register leaves out.
    """

    counted: Counter[Reason | None]
    listed: tuple[tuple[int, int], ...]
    updated: tuple[datetime, ...]
    register: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Entry of one customer in one table.

    Attributes:
        table: The table's name.
        rows: Its rows about the customer, as text.
        reason: Why this table does not permit; None where it does, or has no say.
    """

    table: str
    rows: tuple[dict[str, Any], ...]
    reason: Reason | None


class ConsentGate:
    """Decides which customers are eligible.

    Args:
        sources: Tables of consents, objections and births.
        basis: The agreed legal basis: with consent, unknown customers are not eligible; with
            legitimate interest, those who object or have withdrawn are not.
        purpose: The agreed purpose, as a prefixed name.
        notices: Versions of the partner's notice that inform customers of it.
        max_age: Largest age of a table.
        children_under: Customers younger than this, in years, are not eligible, nor those whose
            age is unknown.
        youngest_customer: Least age of this partner's customers, in years; None where tables of
            births have each one's.
        left_out: Returns the ids of customers who told this node itself that they are not to be
            counted; called anew for every pass.
        limits: Resources of this machine that reading may use.
        room: For its last answer; a room of its own when left out.
    """

    def __init__(
        self,
        sources: Sequence[ConsentSource],
        *,
        basis: str,
        purpose: str,
        notices: Sequence[str],
        max_age: timedelta,
        children_under: int,
        youngest_customer: int | None,
        left_out: Callable[[], Collection[str]],
        limits: Sandbox | None = None,
        room: KeptRoom | None = None,
    ) -> None:
        self._by_consent = basis == CONSENT
        self._purpose = purpose
        self._notices = tuple(notices)
        self._max_age = max_age
        self._children_under = children_under
        self._youngest = youngest_customer
        self._left_out = left_out
        limits = limits or Sandbox()
        self._tables = tuple(make_table(source, limits) for source in sources)
        self._workspace, self._hasher = Workspace(limits), IdHasher(limits)
        self._hashing = IdHash.drawn()
        self._last = LastSnapshot(room or KeptRoom(limits.memory_bytes // KEPT_PART))

    @property
    def tables(self) -> tuple[ConsentTable, ...]:
        """Tables of consents, objections and births."""
        return self._tables

    @property
    def purpose(self) -> str:
        """The agreed purpose, as tables have to name it."""
        return self._purpose

    @property
    def notices(self) -> tuple[str, ...]:
        """Versions of the partner's notice that inform customers of it."""
        return self._notices

    def check_complete(self) -> None:
        """Refuse a gate without the tables that it needs.

        Raises:
            RuleError: None of the kind that the legal basis needs (E-BASIS), or customers' ages are
                unknown (E-CHILD).
        """
        basis, needed = _CONSENT if self._by_consent else _INTEREST
        if not self._holding(needed):
            raise RuleError(
                f"the agreed legal basis of this partner is {basis}, and no source of {needed} is "
                "set",
                code="E-BASIS",
                remedy=f'add a section [[consent.sources]] with holds = "{needed}" to node.toml',
            )
        youngest = -1 if self._youngest is None else self._youngest
        if youngest < self._children_under and not self._holding("births"):
            known = "" if self._youngest is None else f"; yours may be {self._youngest}"
            raise RuleError(
                f"customers younger than {self._children_under} are never counted, and nothing "
                f"says how old yours are{known}",
                code="E-CHILD",
                remedy='add a section [[consent.sources]] with holds = "births" to node.toml; or, '
                f"where your contracts allow no younger customers, youngest_customer = "
                f"{self._children_under} in [consent]",
            )

    def _holding(self, holds: Holds) -> list[str]:
        """Names of the views of all tables that hold `holds`."""
        return [view for view, table in self._views() if table.holds == holds]

    def check_fresh(self, now: datetime) -> None:
        """Refuse tables that are missing or too old; reads no row.

        The age of a table in a database may follow from its rows alone: it is checked when they are
        read, by `snapshot` and `standing`, or by `check_rows_fresh`.

        Raises:
            SourceError: A table cannot be found (E-CONSENT-SOURCE).
            RuleError: A table is older than agreed, or from the future (E-CONSENT-STALE).
        """
        self._check_times(now)
        for table in self._tables:
            table.check_reachable()

    def check_rows_fresh(self, now: datetime) -> None:
        """Refuse tables that are too old by their rows.

        Raises:
            SourceError: E-CONSENT-STALE or E-CONSENT-SOURCE.
        """
        with self._workspace.session(()) as connection:
            for table in self._tables:
                if isinstance(table, DatabaseTable):
                    self._check_row(table, table.newest_row(connection, now), now)

    def _check_times(self, now: datetime) -> None:
        for table in self._tables:
            changed = table.changed_at()
            if changed is None:
                continue
            if changed - CLOCK_SKEW > now:
                raise RuleError(
                    f"consent source {table.name!r} is from {changed:%Y-%m-%d %H:%M} UTC, which is "
                    "in the future",
                    code="E-CONSENT-STALE",
                    remedy="set the clocks of this machine and of the one that writes the source",
                )
            if now - changed > self._max_age:
                raise RuleError(
                    self._too_old(table, changed),
                    code="E-CONSENT-STALE",
                    remedy="export it again; where an event log is simply quiet, name a heartbeat "
                    "file that its export touches",
                )

    def _check_row(self, table: ConsentTable, newest: datetime | None, now: datetime) -> None:
        """Refuse a table that is too old by its rows.

        This may depend on a single customer's row, so it is a SourceError: with noise, what leaves
        the node is the one code for everything that does.
        """
        if newest is not None and now - newest > self._max_age:
            raise SourceError(
                self._too_old(table, newest),
                code="E-CONSENT-STALE",
                remedy="bring the table up to date; where nothing happened, name a column with the "
                "time when it was checked as columns.updated, or a heartbeat file",
            )

    def _too_old(self, table: ConsentTable, changed: datetime) -> str:
        hours = int(self._max_age.total_seconds() // 3600)
        return (
            f"consent source {table.name!r} was last brought up to date at "
            f"{changed:%Y-%m-%d %H:%M} UTC, more than the agreed {hours} hours ago"
        )

    def snapshot(self, now: datetime) -> Snapshot:
        """Take a snapshot of the eligible customers now.

        Raises:
            RuleError: A table is missing (E-BASIS), or too old (E-CONSENT-STALE).
            SourceError: A table cannot be read (E-CONSENT-SOURCE), or is too old by what its rows
                say (E-CONSENT-STALE).
        """
        self.check_complete()
        self._check_times(now)
        wished = sorted(self._left_out())
        state = TablesState.of(self._tables, wished)
        known = self._last.again(state, now)
        if known is not None:
            return known
        found, until = self._taken(now, wished)
        if TablesState.of(self._tables, wished) == state:
            self._last.keep(state, found, until=until)
        return found

    def _taken(self, now: datetime, wished: Sequence[str]) -> tuple[Snapshot, datetime]:
        """A snapshot, and the first moment at which the same tables may be judged differently."""
        consents, births = self._holding("consents"), self._holding("births")
        denied = [f"FROM {view}" for view in (_WISHES, *self._holding("objections"))]
        permitting = [*births, *consents] if self._by_consent else births
        if not self._by_consent:
            denied += [f"FROM {view} WHERE reason IN ({_DENIES})" for view in consents]
        named = " UNION ALL ".join(f"SELECT subject {rows}" for rows in denied)
        if permitting:
            # Each view lists a customer at most once.
            others = [f"(FROM {view} WHERE reason IS NULL)" for view in permitting]
            joined = " SEMI JOIN ".join([others[0], *(f"{o} USING (subject)" for o in others[1:])])
            named = f"SELECT subject FROM {joined} ANTI JOIN ({named}) USING (subject)"
        hashing = self._hashing
        with self._judged(now, hashing, wished) as (connection, _):
            found = _asked(lambda: IdSet(_batches(connection, named), hashing, self._hasher))
            until = min(_asked(lambda: [_holds_until(connection, view) for view in consents]),
                        default=NEVER)  # fmt: skip
        if births:
            until = min(until, births_hold_until(now))
        return Snapshot(named=found, permits=bool(permitting), taken_at=now), until

    def forget(self) -> None:
        """Forget the last snapshot."""
        self._last.forget()

    def standing(self, ids: Iterator[NDArray[np.object_]], now: datetime) -> Standing:
        """Count customers by eligibility now, ids given in chunks; raises as `snapshot` does."""
        self.check_complete()
        self._check_times(now)
        counted: Counter[Reason | None] = Counter()
        views = [*(view for view, _ in self._views()), _WISHES]
        found = np.zeros(len(views), dtype=np.int64)
        hashing = IdHash.drawn()
        with self._judged(now, hashing) as (connection, updated):
            for chunk in ids:
                reasons, among = _asked(partial(self._standing, connection, views, chunk, hashing))
                for reason, count in reasons:
                    counted[_reason(reason)] += count
                found += among
            named = _asked(lambda: [_count(connection, view) for view in views])
        *listed, register = zip(named, found.tolist(), strict=True)
        return Standing(counted=counted, listed=tuple(listed), updated=updated, register=register)

    def _standing(
        self,
        connection: duckdb.DuckDBPyConnection,
        views: Sequence[str],
        ids: NDArray[np.object_],
        hashing: IdHash,
    ) -> tuple[list[tuple[int | None, int]], list[int]]:
        _register(connection, "ids", ids, hashing)
        reasons = connection.execute(
            f"SELECT {self._reason_of('ids')} AS reason, count(*) FROM ids GROUP BY 1"
        ).fetchall()
        return reasons, [_count(connection, f"{view} JOIN ids USING (subject)") for view in views]

    def unmatched(
        self, ids: Iterator[NDArray[np.object_]], now: datetime
    ) -> dict[str, tuple[str, ...]]:
        """The ids in each list that the data lack, in order, by the list's name.

        Args:
            ids: Of all customers in the data, in chunks.

        Raises:
            RuleError, SourceError: As `snapshot` does.
        """
        in_clear = InClear()
        named = [*((view, table.name) for view, table in self._views()), (_WISHES, REGISTER)]
        with self._judged(now, in_clear) as (connection, _):
            for view, _ in named:
                sql = f"CREATE TEMP TABLE {view}_left AS SELECT DISTINCT subject FROM {view}"
                _asked(partial(connection.execute, sql))
            for chunk in ids:
                _register(connection, "ids", chunk, in_clear)
                for view, _ in named:
                    sql = f"DELETE FROM {view}_left WHERE subject IN (SELECT subject FROM ids)"
                    _asked(partial(connection.execute, sql))
            return {
                name: tuple(
                    subject
                    for (subject,) in connection.execute(
                        f"SELECT subject FROM {view}_left ORDER BY subject"
                    ).fetchall()
                )
                for view, name in named
            }

    def explain(self, subject: str, now: datetime) -> tuple[Reason | None, list[Entry]]:
        """Why one customer is not eligible, if so, and its entry in every table.

        Returns:
            The rule that keeps the customer out (None when none does), and an entry a table.
        """
        self.check_complete()
        with self._judged(now, subject) as (connection, _):
            return _asked(lambda: self._explained(connection, subject))

    def _explained(
        self, connection: duckdb.DuckDBPyConnection, subject: str
    ) -> tuple[Reason | None, list[Entry]]:
        entries = []
        for view, table in self._views():
            found = connection.execute(f"SELECT * FROM {view}_rows")
            names = [column[0] for column in found.description or ()]
            rows = tuple(dict(zip(names, row, strict=True)) for row in found.fetchall())
            own = connection.execute(f"SELECT reason FROM {view}").fetchall()
            reason = _reason(own[0][0]) if own else None
            entries.append(Entry(table=table.name, rows=rows, reason=reason))
        wished = f"SELECT subject FROM {_WISHES} WHERE subject = $1"
        if connection.execute(wished, [subject]).fetchall():
            entries.append(Entry(table=REGISTER, rows=(), reason=Reason.OBJECTION))
        asked = f"SELECT {self._reason_of('asked')} FROM (SELECT $1 AS subject) asked"
        ((decided,),) = connection.execute(asked, [subject]).fetchall()
        return _reason(decided), entries

    def _views(self) -> list[tuple[str, ConsentTable]]:
        return [(f"verdict_{i}", table) for i, table in enumerate(self._tables)]

    def _reason_of(self, asked: str) -> str:
        """SQL: the first reason against a subject of `asked`, over all tables; NULL when none."""
        wished = f"EXISTS (SELECT 1 FROM {_WISHES} v WHERE v.subject = {asked}.subject)"
        found = [f"CASE WHEN {wished} THEN {int(Reason.OBJECTION)} END"]
        for view, table in self._views():
            own = f"(SELECT any_value(reason) FROM {view} v WHERE v.subject = {asked}.subject)"
            known = f"EXISTS (SELECT 1 FROM {view} v WHERE v.subject = {asked}.subject)"
            if table.holds == "objections":
                found.append(own)
            elif table.holds == "births":
                found.append(f"CASE WHEN {known} THEN {own} ELSE {int(Reason.AGE_UNKNOWN)} END")
            elif self._by_consent:
                found.append(f"CASE WHEN {known} THEN {own} ELSE {int(Reason.UNKNOWN)} END")
            else:
                found.append(f"CASE WHEN {own} IN ({_DENIES}) THEN {own} END")
        return f"least({', '.join(found)})"

    @contextmanager
    def _judged(
        self, now: datetime, ids: IdHash | str, wished: Sequence[str] | None = None
    ) -> Iterator[tuple[duckdb.DuckDBPyConnection, tuple[datetime, ...]]]:
        """Yield a connection with a table ``verdict_i`` of ``subject, reason`` for each table.

        Args:
            ids: The hash of customers' ids that ``subject`` holds. Or one customer's id: then
                ``subject`` is the id, and its rows are in ``verdict_i_rows`` too.
            wished: The customers left out by their own wishes, where they are known already.

        Yields:
            The connection, and when each table was last updated, where that is known.
        """
        wanted = Wanted(
            purpose=self._purpose, notices=self._notices, now=now, least_age=self._children_under
        )
        with ExitStack() as stack:
            for _ in range(_READINGS):
                stack.close()
                files = [table.files() for table in self._tables]
                connection = stack.enter_context(
                    self._workspace.session(tuple(file.path for some in files for file in some))
                )
                named = sorted(self._left_out()) if wished is None else wished
                _register(connection, _WISHES, named, ids)
                problem = None
                updated: list[datetime] = []
                try:
                    for (view, table), own in zip(self._views(), files, strict=True):
                        newest = table.judge(connection, own, view, wanted, ids=ids)
                        self._check_row(table, newest, now)
                        updated += [t for t in (newest or table.changed_at(),) if t is not None]
                except SourceError as error:
                    problem = error
                changed = next((t for t, f in zip(self._tables, files, strict=True)
                                if t.files() != f), None)  # fmt: skip
                if changed is None:
                    break
            if changed is not None:
                raise changed.changing()
            if problem is not None:
                raise problem
            yield connection, tuple(updated)


#: The table of customers left out by their own wishes to this node, and its name for people.
_WISHES: Final = "wishes"
REGISTER: Final = "this node's register of rights"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CONSENT: Final[tuple[str, Holds]] = ("consent", "consents")
_INTEREST: Final[tuple[str, Holds]] = ("legitimate interest", "objections")


def _reason(code: int | None) -> Reason | None:
    return Reason(code) if code else None


def _count(connection: duckdb.DuckDBPyConnection, relation: str) -> int:
    ((count,),) = connection.execute(f"SELECT count(*) FROM {relation}").fetchall()
    return int(count)


def _holds_until(connection: duckdb.DuckDBPyConnection, consents: str) -> datetime:
    """The first moment at which a judged table of consents may be judged differently."""
    ((at,),) = connection.execute(f"SELECT min(changes) FROM {consents}").fetchall()
    return NEVER if at is None else _EPOCH + min(timedelta(microseconds=at), NEVER - _EPOCH)


def _register(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    ids: Sequence[str] | NDArray[np.object_],
    hashing: IdHash | str,
) -> None:
    """Make a table of ``subject`` from ids, hashed unless `hashing` is one customer's id."""
    if not len(ids):
        kind = "VARCHAR" if isinstance(hashing, str) else hashing.sql_type
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} (subject {kind})")
        return
    connection.register("told", pa.table({"subject": pa.array(ids, pa.string())}))
    subject = "subject" if isinstance(hashing, str) else hashing.of("subject")
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT {subject} AS subject FROM told"
    )
    connection.unregister("told")


def _batches(connection: duckdb.DuckDBPyConnection, sql: str) -> Iterator[Halves]:
    """The hashed ids in the only column of a query's result, in parts."""
    parts = connection.sql(f"SELECT {halves('subject')} FROM ({sql})")
    for batch in parts.to_arrow_reader(_BATCH_ROWS):
        first, second = (column.to_numpy() for column in batch.columns)
        yield first, second


def _asked(action: Callable[[], _T]) -> _T:
    """Run `action` on several tables together, with DuckDB's errors turned into ours."""
    try:
        return action()
    except READ_ERRORS as error:
        kind = type(error).__name__
    raise SourceError(
        f"the consent sources cannot be compared ({kind})",
        code="E-CONSENT-SOURCE",
        remedy="raise [data] memory_limit, or free space in [data] temp_folder",
    )
