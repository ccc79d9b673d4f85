"""Assignment of a partner's own customers to segments, which stays at the partner."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet

from partner_node.customers.answers import nearest
from partner_node.customers.source_customers import SourceCustomers
from partner_node.segments.known_releases import KnownRelease
from partner_node.segments.private_files import HeldFiles, digest, refuse_existing
from partner_node.segments.spreadsheets import escaped, refuse_formulas
from protocol.agreement.document import Agreement
from protocol.errors import UsageError
from protocol.queries import ClusterSumsQuery
from protocol.release.document import Release
from protocol.ring import IntVector
from protocol.scaling import FeatureScale, FloatMatrix

SUFFIXES: Final = (".csv", ".parquet")
_SCHEMA: Final = pa.schema(
    [
        ("customer_id", pa.string()),
        ("segment_id", pa.string()),
        ("segment_name", pa.string()),
        ("distance", pa.float64()),
        ("release", pa.string()),
    ]
)

Distances = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentSummary:
    """Summary of a written file.

    Attributes:
        customers: Number of customers in the file.
        by_segment: Own customers of each released segment, in the release's order.
        sha256: Of the file, in hexadecimal.
    """

    customers: int
    by_segment: tuple[int, ...]
    sha256: str


def placed(
    vectors: FloatMatrix, release: Release, agreement: Agreement
) -> tuple[IntVector, Distances]:
    """Index of each customer's nearest released segment, and the distance to its centre.

    Args:
        vectors: Of shape ``(n_rows, n_features + 2)``.

    Returns:
        Two arrays of shape ``(n_rows,)``; distances are in the scaled cube.
    """
    query = ClusterSumsQuery(
        centroids=release.centres, limit=FeatureScale.of(agreement.coordinates).limit
    )
    index = nearest(query, vectors)
    offset = vectors[:, : agreement.n_coordinates] - release.centres.astype(np.float64)[index]
    unit = float(1 << release.fraction_bits)
    return index, np.sqrt(np.einsum("ij,ij->i", offset, offset)) / unit


def reach(customers: SourceCustomers, known: KnownRelease) -> list[int]:
    """Own customers of each segment, in the release's order."""
    counts = np.zeros(len(known.ids), dtype=np.int64)
    for vectors in customers.vectors():
        index, _ = placed(vectors, known.release, known.agreement)
        counts += np.bincount(index, minlength=len(counts))
    return [int(count) for count in counts]


def check_file(path: Path, *, overwrite: bool) -> None:
    """Refuse another suffix than .csv and .parquet, and an existing file; raises UsageError."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path} ends in neither .csv nor .parquet")
    refuse_existing(path, overwrite=overwrite)


def write_assignments(
    customers: SourceCustomers,
    known: KnownRelease,
    path: Path,
    *,
    files: HeldFiles,
    overwrite: bool = True,
    only: int | None = None,
    escape: bool = False,
    record: Callable[[AssignmentSummary], None] = lambda _: None,
) -> AssignmentSummary:
    """Write ``customer_id, segment_id, segment_name, distance, release`` for every own customer.

    ``segment_id`` is the segment's stable id, ``distance`` the distance to its centre in the scaled
    cube. The file is written atomically.

    Args:
        path: Ends in ``.csv`` or ``.parquet``.
        files: Writes it.
        overwrite: Whether an existing file is replaced.
        only: The place of the only segment whose customers are written; all when left out.
        escape: Whether ids that a spreadsheet would work out are escaped in CSV, not refused.
        record: Called before the file appears.

        Raises:
            UsageError: Another suffix, the file exists, or it cannot be written.
        RuleError: The release has no segments (E-NO-SEGMENTS), or a customer's id would be a
            formula in a spreadsheet (E-CSV-FORMULA).
    """
    known.need_segments()
    check_file(path, overwrite=overwrite)
    counts = np.zeros(len(known.ids), dtype=np.int64)
    names = [called.name for called in known.calls]
    with files.replacing(path) as draft:
        with _csv(draft.path, escape) if path.suffix == ".csv" else _parquet(draft.path) as write:
            for ids, vectors in customers.identified():
                index, distance = placed(vectors, known.release, known.agreement)
                counts += np.bincount(index, minlength=len(counts))
                if only is not None:
                    chosen = index == only
                    ids, index, distance = ids[chosen], index[chosen], distance[chosen]
                write(_table(ids.tolist(), index.tolist(), distance, known, names))
        summary = AssignmentSummary(
            customers=int(counts.sum() if only is None else counts[only]),
            by_segment=tuple(counts.tolist()),
            sha256=digest(draft.path),
        )
        check_file(path, overwrite=overwrite)
        record(summary)
    return summary


def _table(
    ids: list[Any],
    places: list[int],
    distance: Distances,
    known: KnownRelease,
    names: Sequence[str],
) -> pa.Table:
    return pa.table(
        [
            pa.array(ids, pa.string()),
            pa.array([known.ids[i] for i in places], pa.string()),
            pa.array([names[i] for i in places], pa.string()),
            pa.array(distance),
            pa.array([known.short] * len(ids), pa.string()),
        ],
        schema=_SCHEMA,
    )


@contextmanager
def _parquet(path: Path) -> Iterator[Callable[[pa.Table], None]]:
    with pa.parquet.ParquetWriter(path, _SCHEMA) as writer:
        yield writer.write_table


@contextmanager
def _csv(path: Path, escape: bool) -> Iterator[Callable[[pa.Table], None]]:
    """Yield a writer of CSV by RFC 4180: a header, CRLF, quotes where needed; UTF-8."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_SCHEMA.names)

        def write(table: pa.Table) -> None:
            columns = [column.to_pylist() for column in table.columns]
            if escape:
                columns[0] = [escaped(identity) for identity in columns[0]]
            refuse_formulas(
                columns[0],
                what="a customer's id",
                named=True,
                remedy="write .parquet; or give --escape-formulas, which writes an apostrophe "
                "before such ids, so that they are no longer found letter by letter",
            )
            writer.writerows(zip(*columns, strict=True))

        yield write
