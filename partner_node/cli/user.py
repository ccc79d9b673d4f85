"""People who use this node's console: `user …`."""

from __future__ import annotations

from pathlib import Path

from machine.accounts.accounts import Accounts
from machine.accounts.commands import user_commands
from partner_node.cli.options import HERE
from partner_node.home import NodeHome


def _opened(directory: Path) -> Accounts:
    return NodeHome.load(directory).accounts()


def _issuer(directory: Path) -> str | None:
    oidc = NodeHome.load(directory).config.oidc
    return None if oidc is None else oidc.issuer


app = user_commands(_opened, here=HERE, variable="FEDSEG_NODE_DIR", side="node", issuer=_issuer)
