"""Facts of safeguards: what the program does, what is agreed, and what was looked at just now."""

from __future__ import annotations

from protocol.evidence.document import Value
from protocol.evidence.forms import by_program, text
from protocol.evidence.looking import NODE, Look
from protocol.evidence.sums import NO_ROW, noise, small_groups

_FOUR_EYES = {
    "agreement": "to sign a version",
    "egress": "to let a held message leave",
    "export": "to write a file of customers' segments",
}


_HELD = {
    "none": "Every message is checked against the agreement and written down before it leaves; "
    "none waits for a person.",
    "answers": "Each answer to a question waits for a person's approval before it leaves.",
    "signed": "Each answer to a question, and the signature on a release, wait for a person's "
    "approval before they leave.",
}


def in_transit(look: Look) -> Value:
    """Encryption on the way."""
    if look.side == NODE:
        return by_program(
            look,
            "TLS to the coordinator, outbound only; the node trusts one authority: "
            f"{look.measured('authority')}. Every message is signed (Ed25519) besides.",
        )
    return by_program(
        look,
        f"TLS on the public ports; certificate: {look.measured('certificate')}. Every message is "
        "signed (Ed25519) besides.",
    )


def at_rest(look: Look) -> Value:
    """Encryption where it lies."""
    found = look.measured("key_store")
    secrets = (
        "States of runs, wishes of customers and names of unfinished files lie sealed under it. "
        "Customers' rows stay in the partner's own source and are not copied."
        if look.side == NODE
        else "The coordinator holds masked vectors, totals and releases, no customer's row."
    )
    return text(f"Private keys: {found}.", secrets)


def file_modes(look: Look) -> Value:
    """Who may read the files, as they are now."""
    return text(str(look.measured("modes")))


def pseudonyms(look: Look) -> Value:
    """How customers are named in registers."""
    return by_program(
        look,
        "Registers and the audit log name customers by keyed hashes (HMAC-SHA-256) under a key of "
        "the node alone; ids never leave, and columns that look like e-mail addresses or telephone "
        "numbers are refused as features.",
    )


def masks(look: Look) -> Value:
    """The secure sum."""
    few = small_groups(look)
    return by_program(look, NO_ROW, *few.paragraphs)


def added_noise(look: Look) -> Value:
    """Differential privacy, beside the program that adds it."""
    said = noise(look)
    return by_program(look, *said.paragraphs)


def approval(look: Look) -> Value:
    """What people approve before it leaves."""
    hold = look.setting("egress.hold")
    two = look.maybe("four_eyes")
    held = _HELD.get(str(hold), str(hold))
    return text(held, *([f"Two people are needed {_acts(two)}."] if two else []))


def refuses_code(look: Look) -> Value:
    """That only agreed code runs."""
    agreed, code = look.clause("software.version"), look.clause("software.sha256")
    installed = look.program()
    return text(
        f"Agreed: fedseg {agreed}, code {code}. Installed here: {installed}. A node that runs "
        "other code refuses every question, and runs none that the coordinator sends."
    )


def kept_log(look: Look) -> Value:
    """The audit log."""
    size = look.record("log")
    return text(
        f"Append-only, hashed as a Merkle tree (RFC 9162): {size['entries']} entries, root "
        f"{size['root']}. Whoever keeps a signed checkpoint notices any change before it."
    )


def backups(look: Look) -> Value:
    """Whether there is a backup, and of when."""
    return text(f"The last backup was written on {look.measured('backup')}.")


def gate(look: Look) -> Value:
    """Which tables of wishes the gate reads."""
    rows = [
        f"{source['name']}: {source['holds']} ({source['kind']})"
        for source in look.setting("consent.sources")
    ]
    hours = look.clause("consent.max_age_hours")
    return text(
        f"Read anew before each question, refused when older than {hours} hours: "
        + "; ".join(rows)
        + ". Where two sources disagree, the most restrictive one holds."
    )


def signals(look: Look) -> Value:
    """Opt-out preference signals among the sources of objections."""
    told = [
        f"{one['name']} ({', '.join(one['flags']) or 'everybody in it'})"
        for one in look.setting("consent.objections")
    ]
    return text(
        f"Tables of objections that the gate honours, with their columns: {'; '.join(told)}. "
        "Whoever is marked there is not counted from the next question on. A signal counts where "
        "your site writes it into one of them."
    )


def opt_outs(look: Look) -> Value:
    """How an opt-out takes effect."""
    return by_program(
        look,
        "Objections and opt-outs are asked before every question, also within a run; `fedseg-node "
        "rights object` and `fedseg-node feedback import` take them at the node itself.",
    )


def explained(look: Look) -> Value:
    """That a segment can be explained, exactly."""
    return by_program(
        look,
        "`fedseg-node rights explain` says of any customer the nearest segment, the runner-up, the "
        "features that decide, and at which value of each the segment would change; it follows "
        "from the released centres exactly.",
    )


def _acts(names: list[str]) -> str:
    return "; ".join(_FOUR_EYES.get(name, name) for name in names)
