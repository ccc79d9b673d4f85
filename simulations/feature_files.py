"""Feature tables of generated transactions, made by the code that makes them at a node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, Literal

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from partner_node.sources.duckdb.source import DuckDBSource
from partner_node.sources.source import numbers
from simulations.bounds import ColumnBounds, bounds_to_dict
from simulations.retail_features import FEATURE_QUERY, FEATURES

ID_COLUMN: Final = "customer_id"
_CHUNK_ROWS: Final = 65_536


def write_features(
    transactions: Path, out: Path, *, file_format: Literal["csv", "parquet"] = "csv"
) -> int:
    """Write one row a customer, with its id and the agreed features.

    Args:
        transactions: File of `simulations.retail`, in the same format as `out`.
        out: File to write: `ID_COLUMN`, then the columns of `FEATURES`.

    Returns:
        How many customers there are: those with an order before the observation date.

    Raises:
        SourceError: The transactions cannot be read.
    """
    source = DuckDBSource(
        kind=file_format, path=transactions, id_column=ID_COLUMN, query=FEATURE_QUERY
    )
    names = [feature.name for feature in FEATURES]
    schema = pa.schema([(ID_COLUMN, pa.string()), *((name, pa.float64()) for name in names)])
    tables = [
        pa.table([pa.array(chunk.ids.tolist(), pa.string()), *chunk.values.T], schema=schema)
        for chunk in source.chunks(numbers(*names), max_rows=_CHUNK_ROWS)
    ]
    table = pa.concat_tables([schema.empty_table(), *tables]).sort_by(ID_COLUMN)
    if file_format == "parquet":
        pa_parquet.write_table(table, out)
    else:
        pa_csv.write_csv(table, out)
    return int(table.num_rows)


def write_bounds(out: Path) -> None:
    """Write the agreed bounds of `FEATURES` as `simulations.bounds.read_bounds` reads them."""
    bounds = [
        ColumnBounds(min=f.minimum, max=f.maximum, transform=f.transform, weight=f.weight)
        for f in FEATURES
    ]
    text = json.dumps(bounds_to_dict(bounds, [f.name for f in FEATURES]), indent=2)
    out.write_text(text + "\n", encoding="utf-8")
