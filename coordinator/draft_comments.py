"""The comments of a new agreement's template, in the file of a next version too."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

_KEY: Final = re.compile(r"^(\w+):")
#: What may be left out stands in a comment alone, as `# key: …` at its end or in its first words.
_OPTION: Final = re.compile(r"^# (?:With )?(\w+): ")
#: A field within a key of the top level, with a comment behind it.
_WITHIN: Final = re.compile(r"^  (\w+):.*? (# .*)$", re.MULTILINE)


def with_comments(template: str, sections: Mapping[str, str]) -> str:
    """The text of `sections` in the template's order, with what the template says of each.

    Args:
        template: A template's text. Its first paragraph of comments, which is about the file, is
            left out.
        sections: YAML of each key of the top level, with the key itself.
    """
    left, ends = dict(sections), dict(_WITHIN.findall(template))
    text = ""
    for key, comment in _keys(template):
        section = _with_ends(left.pop(key, ""), ends)
        if section and comment:  # the field itself takes the place of the one in the comment
            comment = re.sub(rf"^# {key}: .*\n", "", comment, flags=re.MULTILINE)
        text += ("\n" + comment if comment else "") + section
    return text + "".join(left.values())


def _keys(template: str) -> Iterator[tuple[str, str]]:
    """Each key of the top level with the comment before it, also one that is in a comment alone."""
    comment: list[str] = []
    for line in template[template.index("\nschema:") + 1 :].splitlines():
        found = _KEY.match(line)
        if found:
            yield found[1], "".join(comment)
            comment = []
        elif line.startswith("#"):
            comment.append(f"{line}\n")
        elif not line and comment:
            options = [o[1] for o in map(_OPTION.match, (comment[-1], comment[0])) if o]
            yield options[0], "".join(comment)
            comment = []


def _with_ends(section: str, ends: Mapping[str, str]) -> str:
    """A section with the template's comments behind its fields."""
    lines = []
    for line in section.splitlines():
        field = re.match(r"^  (\w+): ", line)
        end = ends.get(field[1], "") if field else ""
        lines.append(f"{line}  {end}".rstrip() + "\n")
    return "".join(lines)
