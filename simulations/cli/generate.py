"""`generate`: data to try a federation with."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from machine.console import Format, FormatOption, output
from protocol import limits


class Kind(StrEnum):
    """File formats of generated data."""

    CSV = "csv"
    PARQUET = "parquet"


def generate(
    out: Annotated[Path, typer.Option(help="Folder to write to; made when missing.")],
    partners: Annotated[
        int, typer.Option(min=1, max=limits.MAX_PARTNERS, help="How many partners.")
    ] = 3,
    customers: Annotated[int, typer.Option(min=1, help="Customers of all partners together.")] = (
        3_000
    ),
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same data.")] = 0,
    kind: Annotated[Kind, typer.Option(help="File format.")] = Kind.CSV,
    format: Format = FormatOption,
) -> None:
    """Generate a year of retail transactions for partners of unequal size.

    Writes one file of invoice lines a partner and, in ground-truth/, its customers' kinds. Also
    writes features.sql, which turns transactions into features at a node; what it makes of each
    partner's transactions, features-<partner>; and the features' agreed bounds, bounds.json. The
    last two are what `cluster` takes. consents-<partner>.csv and objections-<partner>.csv are what
    a node needs to know whom it may count; feedback-<partner>.csv is what customers said, for
    `fedseg-node feedback import` where the agreement asks how satisfied they are, from 1 to 5.
    """
    from simulations.feature_files import ID_COLUMN, write_bounds, write_features
    from simulations.retail import generate as transactions
    from simulations.retail import partner_profiles, write
    from simulations.retail_consents import write_consents
    from simulations.retail_features import FEATURE_QUERY
    from simulations.retail_feedback import write_feedback

    made = transactions(n_customers=customers, seed=seed, profiles=partner_profiles(partners))
    out.mkdir(parents=True, exist_ok=True)
    query = out / "features.sql"
    query.write_text(FEATURE_QUERY, encoding="utf-8")
    bounds = out / "bounds.json"
    write_bounds(bounds)
    entries = []
    for partner in made:
        files = write(partner, out, file_format=kind.value)
        features = out / f"features-{partner.profile.id}.{kind.value}"
        write_features(files.transactions, features, file_format=kind.value)
        ids = partner.truth.column(ID_COLUMN).to_pylist()
        wishes = write_consents(ids, out, partner.profile.id, seed=seed)
        said = write_feedback(partner.truth, out, partner.profile.id, seed=seed)
        entries.append(
            {
                "id": partner.profile.id,
                "name": partner.profile.name,
                "customers": partner.truth.num_rows,
                "lines": partner.transactions.num_rows,
                "transactions": str(files.transactions),
                "features": str(features),
                "consents": str(wishes.consents),
                "objections": str(wishes.objections),
                "feedback": str(said),
                "ground_truth": str(files.truth),
            }
        )
    from machine.tables import Table

    table = Table("partner", "customers", "invoice lines")
    table.add_column("file", overflow="fold")
    for entry in entries:
        table.add_row(
            entry["name"],
            f"{entry['customers']:,}",
            f"{entry['lines']:,}",
            entry["transactions"],
        )
    output.result(
        {
            "seed": seed,
            "feature_query": str(query),
            "bounds": str(bounds),
            "id_column": ID_COLUMN,
            "partners": entries,
        },
        table,
        f"The kinds of the customers are in {out}/ground-truth; features for a node: {query}",
        f"For a node: --consents {out}/consents-ID.csv --objections {out}/objections-ID.csv",
        f"To be clustered: {out}/features-*.{kind.value} with --bounds {bounds} "
        f"--id-column {ID_COLUMN}",
    )
