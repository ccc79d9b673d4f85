"""Under differential privacy a customer's row must depend on that customer's own rows alone.

A feature query that ranks customers, divides by their maximum or selects the first hundred makes
every row depend on everybody: one more customer would change a total by more than its noise hides.
The query's syntax tree is searched for such constructs; what a partner computes before the node
reads it is not seen (docs/privacy.md).
"""

from __future__ import annotations

from typing import Any, Final

from partner_node.sources.syntax import functions_where, nodes_of, parser, syntax_tree
from protocol.errors import SourceError

#: Aggregates of SQLite and PostgreSQL that DuckDB does not have, in lower case.
_OF_OTHERS: Final = frozenset(
    {
        "total", "json_group_array", "json_group_object", "jsonb_group_array",
        "jsonb_group_object", "percentile", "every", "xmlagg", "range_agg", "range_intersect_agg",
        "json_agg", "json_agg_strict", "json_arrayagg", "json_object_agg",
        "json_object_agg_strict", "json_object_agg_unique", "json_object_agg_unique_strict",
        "json_objectagg", "jsonb_agg", "jsonb_agg_strict", "jsonb_object_agg",
        "jsonb_object_agg_strict", "jsonb_object_agg_unique", "jsonb_object_agg_unique_strict",
    }
)  # fmt: skip


def check_own_rows(query: str, id_column: str) -> None:
    """Refuse a query whose rows may depend on other customers' rows.

    Args:
        query: One SELECT in DuckDB's dialect, already checked by `feature_query`.
        id_column: Column of its result with the customers' ids.

    Raises:
        SourceError: E-SOURCE-SQL, naming what is not allowed and what to write instead.
    """
    with parser() as connection:
        tree = syntax_tree(connection, query)
    aggregates = _OF_OTHERS | functions_where("function_type = 'aggregate'")
    _Check(tree, id_column, aggregates).run()


class _Check:
    def __init__(self, tree: Any, id_column: str, aggregates: frozenset[str]) -> None:
        self._tree = tree
        self._id = id_column
        self._aggregates = aggregates
        self._selects = [n for n in nodes_of(tree) if n.get("type") == "SELECT_NODE"]
        self._ids = self._names_of_the_id()

    def run(self) -> None:
        for node in nodes_of(self._tree):
            if node.get("class") == "WINDOW" and not self._has_id(node.get("partitions", [])):
                raise self._refusal(
                    "a window function over all customers",
                    f"write OVER (PARTITION BY {self._id} …), or compare with a fixed number",
                )
            if node.get("class") == "SUBQUERY":
                raise self._refusal(
                    "a subquery inside an expression",
                    "join it by the customer's id, or write the number itself; as an observation "
                    'date write a date, not "latest"',
                )
            if str(node.get("type")) in ("LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER"):
                raise self._refusal("LIMIT", "choose customers by their own values (WHERE)")
            if node.get("type") == "DISTINCT_MODIFIER":
                self._check_distinct(node)
            if node.get("type") == "JOIN":
                self._check_join(node)
        for select in self._selects:
            self._check_groups(select)

    def _names_of_the_id(self) -> frozenset[str]:
        """Columns with the id, here or in a query that this one reads from."""
        names = {self._id.casefold()}
        while True:
            before = len(names)
            for select in self._selects:
                for item in select.get("select_list", []):
                    if str(item.get("alias", "")).casefold() not in names:
                        continue
                    found = {_last_name(c) for c in _columns(item)}
                    if len(found) > 1:
                        raise self._refusal(
                            f"an id made of {len(found)} columns",
                            "take the customers' id from one column",
                        )
                    names |= found
            if len(names) == before:
                return frozenset(names)

    def _has_id(self, expressions: list[dict[str, Any]]) -> bool:
        return any(_last_name(c) in self._ids for e in expressions for c in _columns(e))

    def _check_distinct(self, node: dict[str, Any]) -> None:
        targets = node.get("distinct_on_targets") or []
        if targets and not self._has_id(targets):
            raise self._refusal("DISTINCT ON other columns", f"add {self._id} to its columns")

    def _check_join(self, node: dict[str, Any]) -> None:
        sides = (node.get("left") or {}, node.get("right") or {})
        if any(side.get("type") in ("TABLE_FUNCTION", "EXPRESSION_LIST") for side in sides):
            return  # rows of constants, which belong to nobody
        if any(str(c).casefold() in self._ids for c in node.get("using_columns") or []):
            return
        for part in nodes_of(node.get("condition")):
            left, right = part.get("left"), part.get("right")
            if part.get("type") == "COMPARE_EQUAL" and left and right:
                both = [_last_name(s) for s in (left, right) if s.get("class") == "COLUMN_REF"]
                if len(both) == 2 and all(name in self._ids for name in both):
                    return
        raise self._refusal("a join of customers with each other", f"join USING ({self._id})")

    def _check_groups(self, select: dict[str, Any]) -> None:
        items = select.get("select_list", [])
        own = [*items, select.get("having"), select.get("qualify")]
        if not any(self._aggregated(part) for part in own if part):
            return
        groups = select.get("group_expressions", [])
        for group in groups:
            literal = group.get("literal") or {}
            if literal.get("kind") == "INTEGER":  # GROUP BY 1
                place = int(literal["text"]) - 1
                group = items[place] if 0 <= place < len(items) else group
            if str(group.get("alias", "")).casefold() in self._ids or self._has_id([group]):
                return
        everything = select.get("aggregate_handling") == "FORCE_AGGREGATES"  # GROUP BY ALL
        if everything and any(not self._aggregated(i) and self._has_id([i]) for i in items):
            return
        raise self._refusal(
            "an aggregate over all customers",
            f"write GROUP BY {self._id}; a fixed number instead of a maximum, a date or a mean of "
            "the data",
        )

    def _aggregated(self, expression: dict[str, Any]) -> bool:
        """Whether an expression aggregates by itself, not in a window or a subquery."""
        pending: list[Any] = [expression]
        while pending:
            part = pending.pop()
            if isinstance(part, list):
                pending.extend(part)
            elif isinstance(part, dict):
                if part.get("class") in ("WINDOW", "SUBQUERY"):
                    continue
                name = str(part.get("function_name", "")).casefold()
                if part.get("class") == "FUNCTION" and name in self._aggregates:
                    return True
                pending.extend(part.values())
        return False

    def _refusal(self, what: str, remedy: str) -> SourceError:
        return SourceError(
            f"the feature query contains {what}: rows would depend on other customers, and the "
            "agreed noise hides one customer's own row only",
            code="E-SOURCE-SQL",
            remedy=remedy,
        )


def _columns(expression: Any) -> list[dict[str, Any]]:
    return [node for node in nodes_of(expression) if node.get("class") == "COLUMN_REF"]


def _last_name(column: dict[str, Any]) -> str:
    return str((column.get("column_names") or [""])[-1]).casefold()
