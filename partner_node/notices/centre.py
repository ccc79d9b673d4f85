"""The privacy centre: pages for a partner's site, which need no server and send nothing.

A customer reads there what happens, and says no by a form that writes a file, or by a message. The
file is what `feedback import` reads. Whoever has scripts switched off finds a text to send.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from partner_node.notices.catalogue import Catalogue
from partner_node.notices.notice import Notice
from partner_node.notices.sections import Section
from partner_node.notices.written import asset, policy, templates

#: What the form saves; `feedback import` reads it.
FILE: Final = "my-choice.csv"
#: What a customer may say there, as feedback names it, by the name of its text.
KINDS: Final[Mapping[str, str]] = {
    "opt-out": "opt_out",
    "wrong-segment": "wrong",
    "preference": "preference",
    "complaint": "complaint",
}
_ADDRESS: Final = re.compile(r"[A-Za-z0-9.+_-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one language's pages are made of.

    Attributes:
        published: The notice's page as it was published; None where none was in this language.
    """

    texts: Catalogue
    notice: Notice
    published: str | None


def pages(told: Sequence[Told]) -> dict[str, str]:
    """The pages by their files' names; ``index.html`` is that of the first language."""
    names = [(one.notice.language, one.texts.text("form", "name")) for one in told]
    found: dict[str, str] = {}
    for one in told:
        language = one.notice.language
        others = [(other, name) for other, name in names if other != language]
        found[f"{language}.html"] = _page(one, others)
        found[f"notice-{language}.html"] = _notice_page(one)
    return {"index.html": found[f"{told[0].notice.language}.html"], **found}


def _notice_page(told: Told) -> str:
    from partner_node.notices.written import as_html

    return as_html(told.notice) if told.published is None else told.published


def _page(told: Told, others: Sequence[tuple[str, str]]) -> str:
    texts, notice = told.texts, told.notice
    contact = notice.facts.contact
    values = {"partner": notice.facts.controller, "contact": contact, "file": FILE}
    said = {key: texts.text("centre", key, **values) for key in texts.part("centre")}
    rights = next(one for one in notice.sections if one.key == "rights")
    style, script = asset("pages.css"), asset("centre.js")
    return (
        templates()
        .get_template("centre.html")
        .render(
            notice=notice,
            said=said,
            others=others,
            kinds=[(kind, said[key]) for kind, key in KINDS.items()],
            rights=_without_heading(rights, said["rights"]),
            file=FILE,
            contact=contact,
            address=contact if _ADDRESS.fullmatch(contact) else None,
            style=style,
            script=script,
            policy=policy(styles=(style,), scripts=(script,)),
        )
    )


def _without_heading(section: Section, title: str) -> Section:
    return Section(key=section.key, title=title, before=section.before, items=section.items)
