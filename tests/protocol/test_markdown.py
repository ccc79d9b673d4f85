"""Texts of people in Markdown, as a reader of CommonMark with tables sees them."""

from __future__ import annotations

from html import unescape

import pytest
from markdown_it import MarkdownIt

from protocol.markdown import plain


@pytest.mark.parametrize(
    "text",
    ["- a", "+ a", "* a", "1. a", "12) a", "---", "- - -", "===", "# a", "> a", "&lt;b&gt; a",
     "<b>a</b>", "[a](b)", "![a](b)", "`a`", "~~a~~", "a|b", "_a_ __b__", "a\\", "-", "1.",
     "25.9 %", "-5 a", "a  \n b"],
)  # fmt: skip
def test_no_text_means_anything(text: str) -> None:
    seen = " ".join(text.split())
    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    for before in ("", "a\n\n", "- ", "> "):
        found = reader.render(f"{before}{plain(text)}\n")
        assert unescape(found).count(seen) == 1, found
        assert found.count("<") == reader.render(f"{before}plain\n").count("<")
