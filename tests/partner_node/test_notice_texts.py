"""The texts of notices: every language has the same ones, and all of them are easily read."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import partner_node.notices
from partner_node.notices.catalogue import catalogue_of, languages
from protocol.agreement.duties import SPECIAL_CATEGORIES
from protocol.errors import UsageError

FOLDER = Path(partner_node.notices.__file__).parent
PARTS = sorted(
    {m for p in FOLDER.glob("*.py") for m in re.findall(r'"([a-z_]+)", "[a-z_]+"', p.read_text())}
)
#: Parts whose words are looked up, and not all by a name in the code.
TABLES = {"form", "months", "units", "uses", "special", "countries"}


def names_in(text: str) -> list[str]:
    """The names in braces of a text."""
    return sorted({name for _, name, _, _ in string.Formatter().parse(text) if name is not None})


def parts(language: str) -> Mapping[str, Mapping[str, str]]:
    return catalogue_of(language)._texts


def keys(language: str) -> set[tuple[str, str]]:
    return {(part, key) for part, texts in parts(language).items() for key in texts}


def test_there_are_texts_in_english_and_german() -> None:
    assert languages() == ("de", "en")


@pytest.mark.parametrize("language", languages())
def test_every_language_has_the_same_texts_with_the_same_names_in_them(language: str) -> None:
    assert keys(language) == keys("en")
    for part, key in keys("en"):
        own, english = parts(language)[part][key], parts("en")[part][key]
        assert own.strip(), (part, key)
        assert names_in(own) == names_in(english), (part, key)


@pytest.mark.parametrize("language", languages())
def test_no_text_calls_anything_anonymous(language: str) -> None:
    texts = " ".join(text for part in parts(language).values() for text in part.values())
    assert not re.search("anonym", texts, re.IGNORECASE)


def test_every_text_has_a_place_and_every_place_a_text() -> None:
    """No text that nobody reads, and no name in the code that no language has."""
    code = "\n".join(p.read_text() for p in FOLDER.rglob("*") if p.suffix in (".py", ".html"))
    used = set(re.findall(r'"([a-z_]+)"', code)) | set(
        re.findall(r"(?:texts|said)\.([a-z_]+)", code)
    )
    for part, key in keys("en"):
        assert part in TABLES or key in used, (part, key)


def test_every_special_category_of_agreements_has_a_word() -> None:
    assert set(parts("en")["special"]) == set(SPECIAL_CATEGORIES)


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", ["1 December 2026", "1,234,567", "a", "a and b", "a, b and c", "730 days (2 years)",
                "365 days (one year)", "90 days", "1 in 99,000"]),
        ("de", ["1. Dezember 2026", "1.234.567", "a", "a und b", "a, b und c",
                "730 Tage (2 Jahre)", "365 Tage (ein Jahr)", "90 Tage", "1 zu 99.000"]),
    ],
)  # fmt: skip
def test_dates_numbers_and_lists_are_written_as_the_language_does(
    language: str, said: list[Any]
) -> None:
    texts = catalogue_of(language)
    assert said == [
        texts.date(datetime(2026, 12, 1, tzinfo=UTC)),
        texts.number(1_234_567),
        *(texts.listed(some) for some in (["a"], ["a", "b"], ["a", "b", "c"])),
        *(texts.days(count) for count in (730, 365, 90)),
        texts.chance(0.00001009),
    ]


@pytest.mark.parametrize("language", ["fr", "../en", "", "EN"])
def test_a_language_without_texts_is_refused_and_those_that_there_are_are_named(
    language: str,
) -> None:
    with pytest.raises(UsageError) as refused:
        catalogue_of(language)
    assert refused.value.code == "E-NOTICE-LANGUAGE"
    assert "de, en" in str(refused.value.remedy)
