"""Who cosigned the audit log: `log witness`, `log accept`."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated

import typer

from machine.console import Format, FormatOption, output
from partner_node.cli.noting import noted
from partner_node.cli.options import HERE, Directory, Under
from partner_node.cosigning import Cosigning
from partner_node.home import NodeHome
from partner_node.shown.witness import fork_values, witness_shown


def witness(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """How far each partner cosigned this log, and this node the others', and which log forked."""
    home = NodeHome.load(directory)
    with closing(home.store(home.keystore())) as store:
        output.show(witness_shown(home, store))


def accept(
    party: Annotated[str, typer.Argument(help="The partner whose log forked.")],
    under: Under = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Go on from the newer of two states that a partner's log signed, once it said why.

    A partner that restored a backup, or began a new state, signs two; so does one that shows
    different logs to different partners. Both notes stay as evidence: `log witness --format json`.
    """
    home, now = NodeHome.load(directory), datetime.now(UTC)
    with noted(home, "log accept", party, now) as noting:
        place = home.chosen(under)
        agreement, keystore = place.signed_agreement().agreement, place.keystore()
        partner = agreement.index_of_key(keystore.identity_public)
        with closing(place.store(keystore)) as store, store.transaction():
            cosigning = Cosigning(agreement, partner, store, keystore.identity, now=now)
            fork = cosigning.accept(party, by=noting.who)
    output.result(
        {"agreement": agreement.id, **fork_values(fork)},
        f"This node goes on cosigning the log of {party} from the newer state. "
        "Both notes are kept.",
    )
