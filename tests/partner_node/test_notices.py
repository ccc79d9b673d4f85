"""A notice tells all of an agreement, in plain words, and is known wherever it stands."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from time import process_time
from typing import Any

import pytest

from partner_node.notices import verifying, visible, written
from partner_node.notices.catalogue import catalogue_of, languages
from partner_node.notices.facts import NoticeFacts
from partner_node.notices.loading import loaded_by
from partner_node.notices.notice import Notice, render
from partner_node.notices.words import NodeTexts, OwnWords, template, texts_of
from protocol.agreement.document import Agreement
from protocol.errors import FedsegError, RuleError, UsageError
from protocol.signing import public_bytes
from protocol.strict import Fields
from tests.agreed_terms import agreed_feature, agreed_party, agreed_values
from tests.partner_node.nodes import COORDINATOR, OTHERS

NODE = NodeTexts(authority="State Office, Castle Street 1", data_from="your orders in our shop")
NOTHING = OwnWords()
DAY = datetime(2026, 12, 1, tzinfo=UTC)
PRIVACY = {
    "epsilon": "1", "delta": "0.00001", "rho": "0.02", "runs": 4, "spare_rounds": 2,
    "max_partners_per_customer": 1,
}  # fmt: skip
#: Easily read: https://en.wikipedia.org/wiki/Flesch-Kincaid_readability_tests (60: plain English);
#: Amstad's scale for German is the same, in which laws have 20 and newspapers 50.
EASE = {"en": (60, 60), "de": (50, 50)}
LONGEST = (25, 32)


def agreed(party: dict[str, Any] | None = None, **terms: Any) -> Agreement:
    keys = [public_bytes(key) for key in (*OTHERS, COORDINATOR)]
    values = {
        "parties": [
            agreed_party("north", keys[0], legal_name="North Stores", **(party or {})),
            agreed_party("south", keys[1], legal_name="South Bank", jurisdictions=["FR"]),
            agreed_party("west", b"\7" * 32, legal_name="West Loyalty", jurisdictions=["US-CA"]),
        ],
        "features": [
            agreed_feature("visits", category="user.behavior.purchase_history"),
            agreed_feature("net_spend", unit="EUR", necessity="It tells small buyers apart."),
        ],
        "coordinator_key": keys[2],
        "purpose": {"text": "We want to send you offers that fit you."},
        "min_segment_size": 50,
    }  # fmt: skip
    return Agreement.from_dict(agreed_values(**(values | terms)))


def noised(**terms: Any) -> Agreement:
    """With noise; plan and arithmetic as a simulation has them."""
    from simulations.agreement import changed

    exact = agreed().to_dict()
    plan = {"name": "lloyd-dp"}
    return Agreement.from_dict(changed(exact, {"privacy": PRIVACY, "plan": plan} | terms))


def notice(agreement: Agreement, language: str = "en", **how: Any) -> Notice:
    settings: dict[str, Any] = {"node": NODE, "own": NOTHING, "day": DAY} | how
    return render(agreement, agreement.parties[0], catalogue_of(language), **settings)


def lines_of(found: Notice) -> str:
    return written.as_markdown(found).replace("\\", "")


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("basis", ["consent", "interest"])
def test_a_notice_says_all_that_customers_have_to_be_told(language: str, basis: str) -> None:
    interest = {"legal_basis": {"basis": "eu-gdpr:A6-1-f", "reference": "ab" * 32}}
    agreement = agreed(interest if basis == "interest" else None)
    found = notice(agreement, language)
    text = lines_of(found)
    party = agreement.parties[0]
    named = [
        agreement.purpose.text, party.legal_name, party.contact, party.dpo, "South Bank",
        "West Loyalty", "Operator Ltd", "ops@operator.example", "Visits", "Net spend", "Euro",
        "It tells small buyers apart", "the partners", "90", "730", NODE.authority, NODE.data_from,
        "50", "16", *(str(number) for number in (15, 16, 17, 18, 20, 21, 22)),
    ]  # fmt: skip
    for what in named:
        assert str(what).rstrip(".").casefold() in text.casefold(), what
    article = {"consent": "a", "interest": "f"}[basis]
    assert re.search(rf"6\(1\)\({article}\)|Absatz\s1\sBuchstabe\s{article}\)", text)
    assert [one.key for one in found.sections] == [
        "who", "why", "used", "logic", "receivers", "noise", "kept", "countries", "rights",
        "changes",
    ]  # fmt: skip
    assert not found.not_stated


def test_what_the_settings_do_not_say_is_said_to_be_missing() -> None:
    found = notice(agreed(), node=NodeTexts())
    assert found.not_stated == ("[rights] authority", "[rights] data_from")
    assert "Where we have the data from is not stated here" in lines_of(found)


def test_customers_in_the_united_states_are_told_their_rights_there() -> None:
    found = notice(agreed({"jurisdictions": ["DE", "US-CA"]}))
    (section,) = [one for one in found.sections if one.key == "united-states"]
    assert "Global Privacy Control" in " ".join(section.lines)
    assert "purchase history" in " ".join(section.lines)


def test_countries_outside_the_economic_area_are_named() -> None:
    (section,) = [one for one in notice(agreed()).sections if one.key == "countries"]
    assert "outside the European Economic Area: California" in section.before[0]
    at_home = {
        "parties": [one | {"jurisdictions": ["DE"]} for one in agreed().to_dict()["parties"]]
    }
    (section,) = [
        one
        for one in notice(Agreement.from_dict(agreed().to_dict() | at_home)).sections
        if one.key == "countries"
    ]
    assert section.before[0].startswith("The partners are in: Germany.")


def test_uses_that_weigh_heavily_are_named_as_such() -> None:
    heavy = agreed(
        results_use={
            "allowed": ["credit-decisions"], "forbidden": [], "recipients": ["the partners"],
        }
    )  # fmt: skip
    assert "weigh heavily on you: decisions on credit" in lines_of(notice(heavy))
    assert "weigh heavily on you: " not in lines_of(notice(agreed()))


def test_what_noise_promises_is_told_in_numbers_and_exact_totals_are_told_as_that() -> None:
    exact, blurred = lines_of(notice(agreed())), lines_of(notice(noised()))
    assert "may work out the data of single persons" in exact
    assert "right in at most" not in exact
    assert re.search(r"in at most \d\d of 100, after all 4 runs in at most \d\d of 100", blurred)
    assert "1 in 99,000" in blurred or "1 in 100,000" in blurred
    assert "may work out" not in blurred


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("made", [agreed, noised], ids=["exact", "noised"])
def test_a_notice_is_easily_read(language: str, made: Callable[[], Agreement]) -> None:
    translated = {
        "purpose.text": "Wir möchten Ihnen Angebote senden, die zu Ihnen passen.",
        "features.visits": "Besuche", "features.net_spend": "was Sie bei uns ausgeben",
        "features.visits.necessity": "Das trennt Stammkunden von Gästen.",
        "features.net_spend.necessity": "Das trennt große von kleinen Einkäufen.",
        "population.subject": "Kunden der Partner", "population.inclusion": "alle in den Daten",
        "responsibilities": "Jeder steht für seine eigenen Kunden ein.",
        "legal_basis.reference": "Ihre Karte", "results_use.recipients.0": "die Partner",
        "rights.data_from": "Ihre Einkäufe", "rights.authority": "Landesamt, Schlossweg 1",
    }  # fmt: skip
    found = notice(made(), language, own=OwnWords(translated) if language == "de" else NOTHING)
    least_first, least_all = EASE[language]
    assert found.of_first.ease >= least_first
    assert found.of_all.ease >= least_all
    assert found.of_first.longest <= LONGEST[0]
    assert found.of_all.longest <= LONGEST[1]
    assert found.of_first.words <= 160, "one screen"


@pytest.mark.parametrize(
    ("clause", "changes"),
    [
        ("purpose.text", {"purpose": {"text": " . "}}),
        ("parties.north.contact", {"party": {"contact": "TODO"}}),
        ("parties.north.dpo", {"party": {"dpo": "<your officer>"}}),
        ("results_use.recipients", {"results_use": {
            "allowed": ["own-marketing"], "forbidden": [], "recipients": ["partners", "tbd"]}}),
        ("features.visits.necessity", {"features": [agreed_feature("visits", necessity="...")]}),
    ],
)  # fmt: skip
def test_an_agreement_that_does_not_say_what_has_to_be_told_gets_no_notice(
    clause: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(RuleError) as refused:
        notice(agreed(**changes))
    assert refused.value.code == "E-NOTICE-FACTS"
    assert f": {clause}" in refused.value.message


# --- own words -----------------------------------------------------------------------------------


def test_own_words_stand_in_the_place_of_the_agreements() -> None:
    agreement = agreed()
    texts = texts_of(agreement, agreement.parties[0], NODE)
    filled = template(texts, OwnWords({"features.net_spend": "What you “spend” \\ with us"}))
    own = OwnWords.read(filled.encode(), "own.toml", texts)
    found = notice(agreement, own=own)
    assert "What you “spend” \\ with us" in written.as_html(found)
    assert "features.net_spend" not in found.as_they_stand
    assert "features.visits" in found.as_they_stand


def test_own_words_for_what_an_agreement_said_once_are_refused_and_can_be_sorted_out(
) -> None:  # fmt: skip
    agreement = agreed()
    texts = texts_of(agreement, agreement.parties[0], NODE)
    said = OwnWords({"purpose.text": "Old", "features.visits": "How often you come"})
    file = template(texts, said).encode()
    later = texts | {"purpose.text": "Another purpose."}
    with pytest.raises(UsageError, match=r"purpose.text: the agreement says something else"):
        OwnWords.read(file, "own.toml", later)
    assert OwnWords.kept(file, "own.toml", later).said == {"features.visits": "How often you come"}


@pytest.mark.parametrize(
    "data",
    [b"\xff", b"a = [", b"a = 1", b"text = 1", b"text = [1]", b'[[text]]\nkey = "purpose.text"',
     b'[[text]]\nkey = "x"\nsays = ""\nown = ""'],
)  # fmt: skip
def test_what_is_no_file_of_own_words_is_refused(data: bytes) -> None:
    agreement = agreed()
    with pytest.raises(UsageError) as refused:
        OwnWords.read(data, "own.toml", texts_of(agreement, agreement.parties[0], NODE))
    assert refused.value.code == "E-NOTICE-WORDS"


# --- facts ---------------------------------------------------------------------------------------


def facts() -> NoticeFacts:
    agreement = agreed()
    return NoticeFacts.of(agreement, agreement.parties[0])


def test_facts_are_read_as_they_were_written() -> None:
    values = json.loads(json.dumps(facts().to_dict()))
    assert NoticeFacts.read(Fields(values, "facts")) == facts()


def test_facts_name_everybody_who_receives_anything() -> None:
    assert facts().recipients == ("the partners", "South Bank", "West Loyalty", "Operator Ltd")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"purpose": "dpv:Marketing"}, "the purpose dpv:Marketing"),
        ({"purpose_text": "Else."}, "the purpose in the words of the agreement"),
        ({"basis": "eu-gdpr:A6-1-f"}, "the legal basis legitimate interest (told: consent)"),
        ({"features": ("visits", "net_spend", "age")}, "the feature 'age'"),
        ({"uses": ("own-marketing", "pricing")}, "the use 'pricing'"),
        ({"recipients": ("the partners", "East")}, "the recipient 'East'"),
        ({"assignments_days": 91}, "that files of segments are kept 91 days (told: 90)"),
        ({"records_days": 731}, "that records are kept 731 days (told: 730)"),
        ({"contact": "b@north.example"}, "the contact 'b@north.example'"),
        ({"officer": "b"}, "the data protection officer 'b'"),
        ({"controller": "N"}, "this partner's name 'N'"),
    ],
)
def test_each_fact_that_a_notice_does_not_tell_is_named(change: dict[str, Any], said: str) -> None:
    (found,) = replace(facts(), **change).untold_by(facts())
    assert found.startswith(said)


def test_a_notice_that_tells_of_more_tells_of_less_too() -> None:
    told = facts()
    fewer = replace(told, features=("visits",), recipients=("South Bank",), assignments_days=9)
    assert fewer.untold_by(told) == []


def test_exact_totals_are_told_by_no_notice_of_noise() -> None:
    with_noise = replace(facts(), totals="noised")
    assert facts().untold_by(with_noise) == ["that totals leave without noise"]
    assert with_noise.untold_by(facts()) == []


# --- marks ---------------------------------------------------------------------------------------


def marked(data: str, name: str = "page.html") -> tuple[visible.Mark, list[str]]:
    found = visible.marked_in(visible.seen_in(data.encode(), name=name))
    assert found is not None
    return found


@pytest.mark.parametrize("language", languages())
def test_a_notice_has_the_same_words_in_every_form_and_its_mark_is_for_them(language: str) -> None:
    odd = agreed(purpose={"text": "A <b>purpose</b> & more: *50 %* of\n_all_ € [x](y) | ~ # 1."})
    found = notice(odd, language)
    in_html, in_markdown = (
        marked(written.as_html(found)),
        marked(written.as_markdown(found), "n.md"),
    )
    assert in_html == in_markdown
    assert in_html[0] == found.mark
    assert visible.is_whole(*in_html)
    assert visible.says(found.mark, found.facts.hash)
    assert json.loads(json.dumps(written.to_dict(found)))["mark"] == str(found.mark)


def put_on_a_site(page: str) -> str:
    """As content systems do: another head, curly quotes, no attributes, no lines, hyphenation."""
    body = page.partition("<main>")[2].partition("</main>")[0]
    body = re.sub(r' (class|id|aria-labelledby)="[^"]*"', "", body).replace("'", "’")
    body = re.sub(r"</?section>", "", body).replace("\n", "").replace("segment", "seg&shy;ment")
    menu = "<head><title>North</title><script>var a = 1</script><body><nav>Home Shop</nav>"
    return f"<!doctype html>{menu}<article>{body}</article><footer>Imprint 2026</footer>"


def test_a_notice_is_known_on_a_site_that_changed_all_but_its_words() -> None:
    found = notice(agreed())
    mark, words = marked(put_on_a_site(written.as_html(found)))
    assert mark == found.mark
    assert visible.is_whole(mark, words)


@pytest.mark.parametrize(
    ("was", "reads"),
    [
        ("Net spend", "Net worth"),
        ("<li>South Bank", "<li>"),
        ("90 days", "900 days"),
        ("no others", "others"),
        ("In detail", "In detail we may do more."),
    ],
)
def test_a_notice_with_another_word_is_not_whole(was: str, reads: str) -> None:
    page = written.as_html(notice(agreed()))
    assert page.count(was) >= 1
    assert not visible.is_whole(*marked(page.replace(was, reads, 1)))


def test_a_head_that_is_not_closed_hides_no_text() -> None:
    assert visible.seen_in(b"<head><title>a</title><body>b</body>", name="x.html").split() == ["b"]


@pytest.mark.parametrize(
    "part", ["<!--", "<![CDATA[", "<?", "<a ", '<a "', "</a ", "<svg>", "<svg></title>", "the "]
)
def test_no_page_takes_long_to_read_or_compare(part: str) -> None:
    page = "<p>seen " + part * (visible.MAX_BYTES // len(part) - 4)
    if part == "<svg></title>":
        page = "<svg>" * 90_000 + "</title>" * 70_000
    own = ("the cat sat on the mat and " * 170).split()
    began = process_time()
    text = visible.seen_in(page.encode(), name="x.html")
    verifying._within(own, visible.words_of(text))
    verifying._differences(own, visible.words_of(text))
    assert process_time() - began < 15


def test_what_nothing_ends_is_not_seen_and_the_text_at_the_end_is() -> None:
    for page in (b"<p>a</p><!-- b", b"<p>a</p><b c", b"<p>a <b c='d>e", b"<p>a<![CDATA[b"):
        assert visible.seen_in(page, name="x.html").split() == ["a"]
    assert visible.seen_in(b"<p>a &amp", name="x.html").split() == ["a", "&"]


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ("<script src=x></script>", ["script", "src"]),
        ("<p><img alt=x>", ["img"]),
        ("<p onclick='x'>", ["onclick"]),
        ("<style>p { background: url(//x) }</style>", ["style"]),
        ("<p style='background:URL(x)'>", ["style"]),
        ("<a href='javascript:x'>", ["href"]),
        ("<meta http-equiv=refresh content=0>", ["http-equiv"]),
        ("<p>url( <a href='https://x.example'>x</a>", []),
    ],
)
def test_what_a_page_loads_sends_or_runs_is_found(page: str, found: list[str]) -> None:
    assert loaded_by(page) == found


@pytest.mark.parametrize("data", [b"\xff", b"x" * (visible.MAX_BYTES + 1), b"<![a<![a"])
def test_what_is_no_page_is_refused(data: bytes) -> None:
    with pytest.raises(FedsegError) as refused:
        visible.seen_in(data, name="x.html")
    assert refused.value.code == "E-NOTICE-FILE"


def test_the_page_runs_and_loads_nothing() -> None:
    page = written.as_html(notice(agreed(purpose={"text": "Offers <script>alert(1)</script>"})))
    assert "<script" not in page
    assert "default-src 'none'" in html.unescape(page)
    assert not re.search(r"(src|href)=", page)
