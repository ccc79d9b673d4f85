"""A deployment whose partners joined by invitation and signed online: both ports are in use."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.end_to_end import deployment as deploy
from tests.end_to_end.command_line import command
from tests.end_to_end.deployment import NAMES, Deployment


@contextmanager
def joined_deployment(
    directory: Path,
    *,
    names: Sequence[str] = NAMES,
    each: int | None = 60,
    grace_s: int = 30,
    resend_s: int = 5,
    **agreement: Any,
) -> Iterator[Deployment]:
    """A serving coordinator and serving nodes, under an agreement that all have signed.

    Args:
        each: How many customers a partner has; None where ``NAME.csv`` is there already.
        grace_s: How long a partner that is missing is waited for.
        resend_s: After how long a question is asked again.
        agreement: For `draft_agreement`.
    """
    folder = deploy.make_coordinator(directory, control=True, grace_s=grace_s, resend_s=resend_s)
    for number, name in enumerate(names if each is not None else ()):
        deploy.write_customers(directory / f"{name}.csv", deploy.customers(number, each))
    deployment = Deployment(
        directory=directory,
        names=tuple(names),
        coordinator=deploy.serving("coordinator", folder),
        nodes={name: deploy.serving("node", directory / name) for name in names},
    )
    try:
        deployment.start_coordinator()
        _join(deployment)
        _sign(deployment, agreement)
        for name in names:
            deployment.await_connected(name)
        yield deployment
    finally:
        deployment.stop()


def _join(deployment: Deployment) -> None:
    at = ("--dir", deployment.operator_folder)
    made = _said("coordinator", "partner", "invite", *deployment.names, *at)["invitations"]
    codes: list[str] = []
    for invitation in made:
        name = invitation["partner"]
        folder, consents = deployment.folder(name), deployment.directory / f"{name}-consents.csv"
        with deploy.cheap_key_stores():
            joined = _said(
                "node", "join", invitation["invitation"], "--dir", folder,
                "--legal-name", f"Shop {name}", "--contact", f"office@{name}.example",
                "--jurisdiction", "DE", "--data", deployment.directory / f"{name}.csv",
                "--id-column", "customer_id", "--consents", consents, "--youngest-customer", 18,
            )  # fmt: skip
        deploy.grant(folder, consents)
        codes += ["--code", joined["code"]]
    _said("coordinator", "partner", "admit", *codes, *at)


def _sign(deployment: Deployment, agreement: dict[str, Any]) -> None:
    agreement.setdefault("features", deploy.plain_features())
    draft = deploy.draft_agreement(
        deployment.directory, deployment.names, joined=True, **({"max_rounds": 3} | agreement)
    )
    at = ("--dir", deployment.operator_folder)
    hash = _said("coordinator", "agreement", "propose", draft, *at)["agreement_hash"]
    for name in deployment.names:
        to = ("--dir", deployment.folder(name))
        _said("node", "agreement", "sign", "--proposed", hash[:16], *to)
        deployment.nodes[name].start()


def _said(side: str, *words: object) -> dict[str, Any]:
    """The data of a command that succeeds."""
    done = command(side, *words, "--format", "json")
    if done.returncode != 0:
        raise RuntimeError(f"{words}: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)["data"]
    return found
