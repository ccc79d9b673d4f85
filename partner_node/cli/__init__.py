"""fedseg-node: the command line of a partner's node, a file for each noun."""

from __future__ import annotations

from typing import Final

from machine import console
from machine.commands import Place, program

COMMANDS: Final = {
    "init": Place(
        module="partner_node.cli.setup",
        name="init",
        help="Make the node's folder: keys, configuration, and the card for the coordinator.",
    ),
    "join": Place(
        module="partner_node.cli.joining",
        name="join",
        help="Make a node by an invitation: all of `init`, and the coordinator has its card.",
    ),
    "check": Place(
        module="partner_node.cli.setup",
        name="check",
        help="Preflight: everything that a run needs, or each problem with its way out.",
    ),
    "serve": Place(
        module="partner_node.cli.service",
        name="serve",
        help="Connect to the coordinator and answer until stopped (Ctrl-C or SIGTERM).",
    ),
    "status": Place(
        module="partner_node.cli.service",
        name="status",
        help="What goes on now; runs that this node took part in, what it refused, and what waits.",
    ),
    "data": Place(
        module="partner_node.cli.data",
        help="How the customers' data look beside the agreement; nothing leaves.",
    ),
    "key": Place(
        module="partner_node.cli.keys",
        help="This node's signing key and its passphrase, and keys that partners replaced.",
    ),
    "agreement": Place(
        module="partner_node.cli.agreement", help="Read, sign and install the agreement."
    ),
    "segments": Place(
        module="partner_node.cli.exports", help="Shared segments and own assignments."
    ),
    "egress": Place(
        module="partner_node.cli.egress",
        help="What left this node, and what waits for approval.",
    ),
    "log": Place(
        module="partner_node.cli.log",
        help="The audit log: what happened here, whether it is whole, proofs and copies of it.",
    ),
    "staff": Place(
        module="partner_node.cli.staff",
        help="People who may act here, their roles, and the training that each has.",
    ),
    "compliance": Place(
        module="partner_node.cli.compliance",
        help="Every duty with how it stands, since when, and its next date; and changes at once.",
    ),
    "evidence": Place(
        module="partner_node.cli.evidence",
        help="Documents filled from facts, each with its source; people's judgements stay theirs.",
    ),
    "budget": Place(
        module="partner_node.cli.budget", help="What this node's customers have spent."
    ),
    "consent": Place(module="partner_node.cli.consent", help="Which customers may be counted."),
    "notice": Place(
        module="partner_node.cli.notice",
        help="What customers are told: the notice of an agreement, and which ones were published.",
    ),
    "rights": Place(
        module="partner_node.cli.rights",
        help="Answer customers: access, objections, erasure and more; receipts and deadlines.",
    ),
    "retention": Place(
        module="partner_node.cli.retention",
        help="Delete files of segments after their agreed time, and show what was deleted when.",
    ),
    "state": Place(
        module="partner_node.cli.state",
        help="This node's state: whether it is sound, backups, and starting anew.",
    ),
    "feedback": Place(
        module="partner_node.cli.feedback",
        help="What customers say; it stays here, opt-outs take effect, and scores leave as noised "
        "sums alone, where that is agreed.",
    ),
    "console": Place(
        module="partner_node.cli.service",
        name="console",
        help="Serve the console of this node on this machine until stopped (Ctrl-C or SIGTERM).",
    ),
    "user": Place(
        module="partner_node.cli.user",
        help="People who use the console: their accounts and roles, and what they did.",
    ),
}

app = program(
    "fedseg-node",
    help="Run a partner's node: it answers sum queries on its own customers; no row leaves it.",
    commands=COMMANDS,
)


def main() -> None:
    """Entry point of ``fedseg-node``."""
    console.run(app)
