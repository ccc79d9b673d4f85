"""People who use the coordinator's dashboard: `user …`."""

from __future__ import annotations

from pathlib import Path

from coordinator.cli.options import HERE
from coordinator.config import CoordinatorConfig
from machine.accounts.accounts import Accounts
from machine.accounts.commands import user_commands


def _opened(directory: Path) -> Accounts:
    return CoordinatorConfig.load(directory).open_accounts()


def _issuer(directory: Path) -> str | None:
    oidc = CoordinatorConfig.load(directory).oidc
    return None if oidc is None else oidc.issuer


app = user_commands(
    _opened, here=HERE, variable="FEDSEG_COORDINATOR_DIR", side="coordinator", issuer=_issuer
)
