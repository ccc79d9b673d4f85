"""``[agreements.ID]`` of ``node.toml``: agreements in force beside that of ``[node]``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from partner_node.config.consent import CONSENT_KEYS, read_consent
from partner_node.config.data import DATA_KEYS, read_data
from partner_node.config.egress import EGRESS_KEYS, read_egress
from partner_node.config_section import ConfigSection
from partner_node.consent.settings import ConsentSection
from partner_node.egress.settings import EgressSection
from partner_node.sources.settings import DataSection
from protocol.agreement.document import AGREEMENT_ID
from protocol.errors import ConfigError

_SECTION: Final = "agreements"
_KEYS: Final = ("file", "data", "consent", "egress")
_FOLDER: Final = "agreements"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementSection:
    """``[agreements.ID]``: where one more agreement is, and what is particular to it.

    Attributes:
        id: The agreement's id; empty for that of ``[node]``, whatever its id is.
        file: The signed agreement.
        data, consent, egress: As in the sections of that name, which hold where nothing is said.
    """

    id: str
    file: Path
    data: DataSection
    consent: ConsentSection
    egress: EgressSection


def read_agreements(
    file: Path, values: object, *, first: AgreementSection
) -> Mapping[str, AgreementSection]:
    """Read and check the sections of all agreements beside the first, by id.

    Args:
        values: What the file has under ``agreements``.
        first: What the file's own sections say.

    Raises:
        ConfigError: E-CONFIG, naming the section, the key, its value and the way out.
    """
    if not isinstance(values, dict):
        raise ConfigError(
            f"{file}: {_SECTION} must be sections",
            remedy=f"write [{_SECTION}.ID] for each agreement, with its id",
        )
    found: dict[str, AgreementSection] = {}
    taken = {first.file: "[node]"}
    for identity, own in values.items():
        if not re.fullmatch(AGREEMENT_ID, identity):
            raise ConfigError(
                f"{file}: [{_SECTION}.{identity}] is no agreement's id",
                remedy=f"write the id as the agreement has it, such as [{_SECTION}.loyalty-2026]",
            )
        section = ConfigSection(file, f"{_SECTION}.{identity}", own, _KEYS)
        found[identity] = one = _read(identity, section, first)
        if one.file in taken:
            raise section.problem(
                "file",
                f"is {one.file}, as in {taken[one.file]}",
                "give each agreement a file of its own",
            )
        taken[one.file] = f"[{_SECTION}.{identity}]"
    return found


def _read(identity: str, section: ConfigSection, first: AgreementSection) -> AgreementSection:
    data, consent, egress = first.data, first.consent, first.egress
    if section.sets("data"):
        data = read_data(section.section("data", DATA_KEYS))
    if section.sets("consent"):
        own = section.section("consent", CONSENT_KEYS)
        consent = read_consent(own, id_column=data.id_column)
    if section.sets("egress"):
        egress = read_egress(section.section("egress", EGRESS_KEYS))
    return AgreementSection(
        id=identity,
        file=section.path("file", default=f"{_FOLDER}/{identity}.json"),
        data=data,
        consent=consent,
        egress=egress,
    )


#: The lines of ``node.toml`` that explain the sections.
AGREEMENTS_TEMPLATE: Final = """\
# Another agreement in force beside the one above, with other partners, purposes or features: a
# section under its id, as agreements have it. Without sections of its own it has those above; one
# that is there takes the place of the whole section above. See docs/several-agreements.md.
# [agreements.loyalty-2026]
#   file = "agreements/loyalty-2026.json"
# [agreements.loyalty-2026.data]
#   kind = "csv"
#   path = "members.csv"
#   id_column = "member"
"""
