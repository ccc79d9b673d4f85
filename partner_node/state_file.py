"""The database of a node's state, which must not vanish: objections and the ledger are in it alone.

A mark beside the keys says that there was one. A database that is missing or empty where there is a
mark was lost: a node that went on with a new one would forget who objected, and what was spent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from machine.database import LostDatabaseError
from machine.files import make_folder_for_owner
from machine.private_files import write_private_file
from machine.text import shown
from partner_node.keystore import Keystore
from partner_node.store.node_store import NodeStore
from protocol.errors import FedsegError, StoreError

MARK: Final = "state-made"
#: What a new database knows nothing of, for the person who decides.
FORGOTTEN: Final = (
    "objections, opt-outs, restrictions and erasures that were made here: those customers are "
    "counted again, unless your own tables say otherwise",
    "customers' requests with their deadlines and receipts",
    "the register of files of segments: none is deleted after its retention or written again "
    "without a customer",
    "feedback of customers",
    "the ledger of what was spent: runs that the signed chain of participant sets names are "
    "charged anew, each with the most that it may have cost",
    "runs, releases and their segments, stops of partners, and the records of what left",
    "the cap on what a customer may spend, where people set one",
    "the audit log, its seals and what others cosigned of it: a checkpoint of it that somebody "
    "keeps shows that it was there, and the others find that this node's log forked",
    "what was cosigned of the other parties' logs",
    "staff and their training: where an agreement demands it nothing is answered until it is on "
    "record again",
    "who was counted in which answer: no receipts of earlier runs can be made",
    "notices that were published here: their versions hold again as node.toml lists them",
    "versions that wait, builds that were added, and what the first of two people said",
    "which authorities of its certificate the coordinator stated last: whoever has the key of an "
    "earlier certificate can show this node an earlier statement again, until the coordinator's "
    "own is taken",
)


def open_state(
    path: Path, keys_folder: Path, keystore: Keystore, *, folder: Path, party: str
) -> NodeStore:
    """Open the state, or make it where there never was one.

    Args:
        party: Whose node it is; the audit log begins with it.

    Raises:
        StoreError: It was lost (E-STATE-LOST), or it cannot be opened.
    """
    mark = keys_folder / MARK
    marked = mark.exists()
    if not marked:
        make_folder_for_owner(path.parent)
    try:
        store = NodeStore(path, keystore, folder=folder, made_before=marked, party=party)
    except LostDatabaseError as error:
        raise LostDatabaseError(
            f"{shown(str(path))}, the state of this node, is "
            f"{'empty' if path.exists() else 'missing'}, and its keys were used before",
            remedy="restore it from a backup; or `fedseg-node state reset --yes`, which says what "
            "is forgotten then",
        ) from error
    if not marked:
        _make(mark)
    return store


def is_lost(path: Path, keystore: Keystore) -> bool:
    """Whether a database is missing, or has no tables of a node."""
    try:
        NodeStore(path, keystore, made_before=True).close()
    except LostDatabaseError:
        return True
    except StoreError:
        return False  # damaged, or of a newer version: it is there
    return False


def _make(mark: Path) -> None:
    try:
        write_private_file(mark, b"A node's state was made with these keys.\n")
    except FedsegError:
        return  # nobody may write beside these keys: then a lost state is not noticed
