"""Under differential privacy a row follows from its own customer's rows alone."""

from __future__ import annotations

import dataclasses
from datetime import date

import pytest

from partner_node.sources.feature_query import check_feature_query
from partner_node.sources.kinds import KINDS
from partner_node.sources.own_rows import check_own_rows
from partner_node.sources.transactions import LineSQL, Transactions, transactions_query
from protocol.errors import SourceError
from simulations.retail_features import FEATURE_QUERY, ONLINE_RETAIL_QUERY

GOOD = [
    "SELECT customer_id, a FROM input",
    "SELECT * FROM input WHERE a > 3",
    "SELECT DISTINCT customer_id, a FROM input ORDER BY a",
    "SELECT customer_id, sum(a) AS a FROM input GROUP BY customer_id",
    "SELECT customer_id, sum(a) AS a FROM input GROUP BY 1 HAVING count(*) > 2",
    "SELECT customer_id, sum(a) AS a FROM input GROUP BY ALL",
    "SELECT NULLIF(CAST(\"Customer ID\" AS VARCHAR), '-') AS customer_id, max(d) AS d "
    'FROM input GROUP BY "Customer ID"',
    "WITH o AS (SELECT customer_id, invoice, sum(x) AS x FROM input GROUP BY customer_id, invoice)"
    " SELECT customer_id, avg(x) AS x FROM o GROUP BY customer_id",
    "SELECT customer_id, a FROM (SELECT *, row_number() OVER (PARTITION BY customer_id ORDER BY d) "
    "AS r FROM input) WHERE r = 1",
    "SELECT i.customer_id, f.first FROM input i JOIN (SELECT customer_id, min(d) AS first FROM "
    "input GROUP BY customer_id) f ON i.customer_id = f.customer_id",
    "SELECT customer_id, a FROM input JOIN (SELECT customer_id FROM input) USING (customer_id)",
    "SELECT DISTINCT ON (customer_id) customer_id, a FROM input ORDER BY d",
    "SELECT c AS customer_id, a FROM (SELECT cid AS c, sum(a) AS a FROM input GROUP BY cid)",
    "SELECT customer_id, greatest(a, 3) AS a, list_sum([a, b]) AS b FROM input",
    FEATURE_QUERY,
    ONLINE_RETAIL_QUERY,
]
BAD = [
    ("SELECT customer_id, a / max(a) OVER () AS a FROM input", "window"),
    ("SELECT customer_id, percent_rank() OVER (ORDER BY a) AS a FROM input", "window"),
    ("SELECT customer_id, a - avg(a) OVER (PARTITION BY shop) AS a FROM input", "window"),
    ("SELECT customer_id, a - (SELECT avg(a) FROM input) AS a FROM input", "subquery"),
    ("SELECT customer_id, a FROM input WHERE a IN (SELECT b FROM input)", "subquery"),
    ("SELECT customer_id, a FROM input i WHERE EXISTS (SELECT 1 FROM input j WHERE j.a > i.a)",
     "subquery"),
    ("SELECT customer_id, a FROM input ORDER BY a LIMIT 50", "LIMIT"),
    ("SELECT customer_id, a FROM input LIMIT 5 %", "LIMIT"),
    ("SELECT customer_id, a FROM (SELECT * FROM input LIMIT 5)", "LIMIT"),
    ("SELECT i.customer_id, i.a / m.a AS a FROM input i, (SELECT max(a) AS a FROM input) m",
     "join"),
    ("SELECT i.customer_id, j.a FROM input i JOIN input j ON i.shop = j.shop", "join"),
    ("SELECT i.customer_id, j.a FROM input i JOIN input j ON i.customer_id < j.customer_id",
     "join"),
    ("WITH m AS (SELECT max(d) AS d FROM input) SELECT customer_id, a FROM m CROSS JOIN input",
     "join"),
    ("SELECT shop AS customer_id, a FROM input JOIN input USING (a)", "join"),
    ("SELECT customer_id || '-' || r AS customer_id, a FROM input, range(50) t(r)", "2 columns"),
    ("SELECT any_value(customer_id) AS customer_id, sum(a) AS a FROM input GROUP BY shop",
     "aggregate"),
    ("SELECT customer_id, a FROM (SELECT customer_id, a, sum(a) AS s FROM input GROUP BY a, "
     "shop, b)", "aggregate"),
    ("SELECT DISTINCT ON (a) customer_id, a FROM input", "DISTINCT ON"),
    *(
        (f"SELECT customer_id, a FROM input JOIN (SELECT customer_id, {name}(a) AS s FROM input "
         "GROUP BY shop) AS t USING (customer_id)", "aggregate")
        for name in ("total", "json_group_array", "every", "JSONB_AGG", "xmlagg")
    ),
]  # fmt: skip


@pytest.mark.parametrize("query", GOOD)
def test_a_query_over_each_customers_own_rows_is_fine(query: str) -> None:
    check_feature_query(query)
    check_own_rows(query, "customer_id")


@pytest.mark.parametrize(("query", "what"), BAD)
def test_a_query_whose_rows_depend_on_others_is_refused(query: str, what: str) -> None:
    check_feature_query(query)  # repeatable it is
    with pytest.raises(SourceError, match="other customers") as caught:
        check_own_rows(query, "customer_id")
    assert what in caught.value.message
    assert caught.value.code == "E-SOURCE-SQL"
    assert caught.value.remedy


@pytest.mark.parametrize("kind", KINDS)
def test_features_of_transactions_need_a_date_that_is_written_down(kind: str) -> None:
    lines = Transactions(
        customer="who", date="day", order="invoice", amount=None, quantity="n", price="p",
        cancelled="C", no_customer=None, observed=date(2026, 1, 1), window_days=365,
        date_format=None,
    )  # fmt: skip
    check_own_rows(transactions_query(LineSQL(lines, KINDS[kind].lines), '"input"'), "customer_id")
    latest = transactions_query(
        LineSQL(dataclasses.replace(lines, observed=None), KINDS[kind].lines), '"input"'
    )
    with pytest.raises(SourceError, match="other customers") as caught:
        check_own_rows(latest, "customer_id")
    assert 'a date, not "latest"' in caught.value.remedy
