"""Each partner's own assignments: its customers and their segments, which stay at the partner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from partner_node.answers import nearest
from partner_node.features import SourceCustomers
from partner_node.home import replacing
from protocol.agreement import Agreement
from protocol.clustering.release import Release
from protocol.errors import RuleError, UsageError
from protocol.queries import ClusterSumsQuery
from protocol.scaling import FeatureScale


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentSummary:
    """What was written.

    Attributes:
        customers: How many customers have a segment.
        by_segment: Own customers of each released segment, in the release's order.
    """

    customers: int
    by_segment: tuple[int, ...]


def write_assignments(
    customers: SourceCustomers,
    release: Release,
    agreement: Agreement,
    path: Path,
    *,
    names: Sequence[str],
) -> AssignmentSummary:
    """Write ``customer_id, segment_id, segment_name, distance, release`` for every own customer.

    ``distance`` is the distance to the segment's centre in the scaled cube. The file appears
    whole or not at all.

    Args:
        path: Ends in ``.csv`` or ``.parquet``.
        names: The segments' names, in the release's order.

    Raises:
        UsageError: Another ending, or the file cannot be written.
        RuleError: The release has no segments (E-NO-SEGMENTS).
    """
    if not release.segments:
        raise RuleError(
            "the release has no segments to assign to",
            code="E-NO-SEGMENTS",
            remedy="`fedseg-node segments list` says why they are withheld",
        )
    if path.suffix not in (".csv", ".parquet"):
        raise UsageError(f"{path} ends in neither .csv nor .parquet")
    counts = np.zeros(len(release.segments), dtype=np.int64)
    with replacing(path, mode=0o600) as temporary, _writer(temporary, path.suffix) as writer:
        for table, found in _tables(customers, release, agreement, names):
            writer.write_table(table)
            counts += found
    return AssignmentSummary(customers=int(counts.sum()), by_segment=tuple(counts.tolist()))


_SCHEMA = pa.schema(
    [
        ("customer_id", pa.string()),
        ("segment_id", pa.int32()),
        ("segment_name", pa.string()),
        ("distance", pa.float64()),
        ("release", pa.string()),
    ]
)


def _writer(path: Path, suffix: str) -> pa.csv.CSVWriter | pa.parquet.ParquetWriter:
    if suffix == ".csv":
        return pa.csv.CSVWriter(path, _SCHEMA)
    return pa.parquet.ParquetWriter(path, _SCHEMA)


def _tables(
    customers: SourceCustomers, release: Release, agreement: Agreement, names: Sequence[str]
) -> Iterator[tuple[pa.Table, np.ndarray[tuple[int], np.dtype[np.int64]]]]:
    query = ClusterSumsQuery(
        centroids=release.centres, limit=FeatureScale.of(agreement.features).limit
    )
    numbers = np.array([segment.segment for segment in release.segments], dtype=np.int32)
    centres = release.centres.astype(np.float64)
    unit = float(1 << release.fraction_bits)
    release_id = release.hash.hex()[:16]
    for ids, vectors in customers.identified():
        index = nearest(query, vectors)
        offset = vectors[:, : agreement.n_features] - centres[index]
        distance = np.sqrt(np.einsum("ij,ij->i", offset, offset)) / unit
        table = pa.table(
            [
                pa.array(ids, pa.string()),
                pa.array(numbers[index]),
                pa.array([names[i] for i in index.tolist()], pa.string()),
                pa.array(distance),
                pa.array([release_id] * len(ids), pa.string()),
            ],
            schema=_SCHEMA,
        )
        yield table, np.bincount(index, minlength=len(numbers)).astype(np.int64)
