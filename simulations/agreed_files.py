"""Partners' files, read as their nodes would read them under an agreement.

The same code reads the rows, refuses what it refuses, takes levels and treats missing values.
Consents and a node's own settings are not simulated: everybody in a file is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from partner_node.columns.agreed import check_features
from partner_node.customers.source_customers import column_of
from partner_node.register.scores import SATISFACTION
from partner_node.segments.feedback_file import read_feedback
from partner_node.sources.duckdb.source import DuckDBSource
from partner_node.sources.files import read_csv_header
from partner_node.sources.settings import DEFAULT_CHUNK_ROWS
from protocol.agreement.document import Agreement
from protocol.agreement.features import Feature, coordinates_of
from protocol.agreement.satisfaction import SatisfactionTerms
from protocol.clustering.portable import FloatVector
from protocol.errors import SourceError
from protocol.feature_values import coordinate_values
from protocol.scaling import FloatMatrix

_PARQUET_MAGIC: Final = b"PAR1"
_DELIMITERS: Final = (",", ";", "\t", "|")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreedTable:
    """The customers of one partner that are counted.

    Attributes:
        ids: Shape ``(n_samples,)``.
        values: Coordinates in input units, shape ``(n_samples, n_coordinates)``.
        left_out: How many more are left out for a missing value, as agreed.
    """

    ids: NDArray[np.object_]
    values: FloatMatrix
    left_out: int


def read_agreed(
    paths: Sequence[Path], agreement: Agreement, *, id_column: str
) -> list[AgreedTable]:
    """Read files, one row a customer, with the agreed features as columns.

    Raises:
        RuleError: A feature is named like something that is excluded (E-SPECIAL, E-CHILD).
        SourceError: As a node refuses a file; or no file has a customer (E-SOURCE-EMPTY).
    """
    check_features(agreement, columns={}, units={f.name: f.unit for f in agreement.features})
    return read_tables(paths, agreement.features, id_column=id_column)


def read_tables(
    paths: Sequence[Path], features: Sequence[Feature], *, id_column: str
) -> list[AgreedTable]:
    """Read files, one row a customer, with these features as columns; as `read_agreed`."""
    try:
        tables = [_read(path, features, id_column) for path in paths]
    except SourceError as error:  # a node is told by its configuration what is an option here
        error.remedy = error.remedy.replace("[data] id_column", "--id-column")
        raise
    if not any(table.values.shape[0] for table in tables):
        raise SourceError(
            f"{', '.join(map(str, paths))}: nobody is counted",
            code="E-SOURCE-EMPTY",
            remedy="give files with at least one customer who has every value that is needed",
        )
    return tables


def read_scores(path: Path, terms: SatisfactionTerms, ids: NDArray[np.object_]) -> FloatVector:
    """What each customer last answered, NaN for who gave no answer; shape ``(n_samples,)``.

    Args:
        path: As `fedseg-node feedback import` takes it.
        ids: The partner's customers.

    Raises:
        SourceError: The file cannot be read (E-FEEDBACK).
    """
    said = read_feedback(path, now=datetime.now(UTC), terms=terms)
    newest = {
        f.subject: f.score for f in sorted(said, key=lambda f: f.at) if f.kind == SATISFACTION
    }
    return np.array([newest.get(str(id), np.nan) for id in ids.tolist()], dtype=np.float64)


def _read(path: Path, features: Sequence[Feature], id_column: str) -> AgreedTable:
    source = _source(path, id_column)
    columns = [column_of(feature, feature.name) for feature in features]
    ids, values, rows = [np.empty(0, object)], [np.empty((0, len(coordinates_of(features))))], 0
    for chunk in source.chunks(columns, max_rows=DEFAULT_CHUNK_ROWS):
        counted, found = coordinate_values(chunk.values, features)
        ids.append(chunk.ids[counted])
        values.append(found)
        rows += chunk.n_rows
    table = np.vstack(values)
    return AgreedTable(ids=np.concatenate(ids), values=table, left_out=rows - table.shape[0])


def _source(path: Path, id_column: str) -> DuckDBSource:
    try:
        with path.open("rb") as file:
            parquet = file.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read: {error.strerror}",
            code="E-SOURCE-FILE",
            remedy="check the path and the permissions",
        ) from error
    if parquet:
        return DuckDBSource(kind="parquet", path=path, id_column=id_column)
    return DuckDBSource(kind="csv", path=path, id_column=id_column, delimiter=_delimiter(path))


def _delimiter(path: Path) -> str:
    """What stands between a file's values, which a node is told by ``[data] delimiter``."""
    names = read_csv_header(str(path), ",")
    if len(names) > 1:
        return ","
    return next((mark for mark in _DELIMITERS if mark in names[0]), ",")
