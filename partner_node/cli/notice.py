"""Customers' notices: `notice render|words|publish|list|show|verify|centre`."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from machine.console import Format, FormatOption, Verbatim, output
from machine.delivering import write_new
from machine.files import write_file
from machine.named_files import read_named
from machine.text import how_many
from partner_node.cli.asked_agreement import AgreementFile, asked_of
from partner_node.cli.noting import noted
from partner_node.cli.options import HERE, Directory, Under
from partner_node.home import NodeHome
from partner_node.store.times import stamp
from protocol.agreement.document import Agreement
from protocol.agreement.parties import Party
from protocol.errors import UsageError

if TYPE_CHECKING:
    from partner_node.notices.notice import Notice
    from partner_node.notices.words import NodeTexts, OwnWords

app = typer.Typer(
    help="What customers are told: the notice of an agreement, and which ones were published.",
    no_args_is_help=True,
)

_MOST_BYTES: Final = 1 << 20
#: Languages of the privacy centre where none are named.
_USUAL: Final = ("en", "de")


class _Form(StrEnum):
    """How a notice is written."""

    MARKDOWN = "md"
    HTML = "html"
    JSON = "json"


def _set_form(form: _Form) -> _Form:
    output.format = Format.JSON if form is _Form.JSON else Format.TEXT
    return form


Language = Annotated[str, typer.Option(help="The language: en, de, or another with texts.")]
Words = Annotated[
    Path | None,
    typer.Option(help="Your own words for the agreement's texts, as `notice words` writes them."),
]


@app.command("render")
def render(
    language: Language = "en",
    words: Words = None,
    out: Annotated[Path | None, typer.Option(help="File to write: .html, .md or .json.")] = None,
    agreement: AgreementFile = None,
    under: Under = None,
    directory: Directory = HERE,
    format: Annotated[
        _Form, typer.Option(help="What to print: md, html or json.", callback=_set_form)
    ] = _Form.MARKDOWN,
) -> None:
    """The notice that tells customers of an agreement, in plain words, and how easily it reads."""
    from partner_node.notices import written

    form = _form_of(out) if out is not None else format
    notice = _rendered(*_asked(directory, under, agreement), language, words)
    values = written.to_dict(notice)
    if form is _Form.JSON:
        text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    else:
        text = written.as_html(notice) if form is _Form.HTML else written.as_markdown(notice)
    if out is not None:
        write_file(out, text)
    output.warn(_warnings(notice))
    output.tell(f"First screen: {notice.of_first.text}.")
    output.tell(f"Whole notice: {notice.of_all.text}.")
    said = Verbatim(text.rstrip("\n")) if out is None else f"Wrote {out}."
    output.result(values | {"file": None if out is None else str(out)}, said)


@app.command("words")
def own_words(
    out: Annotated[Path, typer.Option(help="File to write, .toml; one that is there is kept.")],
    words: Annotated[
        Path | None, typer.Option(help="An earlier such file, of which is kept what still holds.")
    ] = None,
    agreement: AgreementFile = None,
    under: Under = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """A file in which you say the agreement's texts again, plainly or in another language."""
    from partner_node.notices.words import OwnWords, template, texts_of

    _home, agreed, party, node = _asked(directory, under, agreement)
    texts = texts_of(agreed, party, node)
    before = OwnWords() if words is None else OwnWords.kept(_read(words), words.name, texts)
    write_new(out, template(texts, before))
    output.result(
        {"file": str(out), "texts": len(texts), "said": len(before.said)},
        f"Wrote {out}: {how_many(len(texts), 'text')}, {len(before.said)} of them said before.",
    )


@app.command("publish")
def publish(
    file: Annotated[Path, typer.Argument(help="The notice as customers read it.")],
    url: Annotated[str, typer.Option(help="Where it stands on your site.")] = "",
    version: Annotated[
        str | None, typer.Option(help="Its version; the one that the agreement names if left out.")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Its language; needed for a text of your own.")
    ] = None,
    own_text: Annotated[
        bool, typer.Option("--own-text", help="People wrote it: each fact has to be confirmed.")
    ] = False,
    confirm: Annotated[
        list[str] | None,
        typer.Option(help="A fact that your own text tells; repeat it for each that is asked for."),
    ] = None,
    agreement: AgreementFile = None,
    under: Under = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Put on record that a notice is published: from now on the node answers only as it tells."""
    from partner_node.notices.published import Publications
    from partner_node.notices.publishing import CONFIRMED, Offered, taken_own, taken_rendered

    confirmed = confirm or []
    for name in confirmed:
        if name not in CONFIRMED or not own_text:
            raise UsageError(
                f"--confirm {name} confirms nothing here",
                remedy=f"it goes with --own-text, and is one of {', '.join(CONFIRMED)}",
            )
    home, agreed, party, _node = _asked(directory, under, agreement)
    now = datetime.now(UTC)
    offered = Offered(name=file.name, data=_read(file), url=url, version=version, language=language)
    about, warnings = f"{file.name} for {agreed.id}", list[str]()
    with (
        noted(home, "notice publish", about, now) as noting,
        closing(home.store(home.keystore())) as store,
    ):
        how = {"at": stamp(now), "by": noting.who}
        if own_text:
            found, warnings = taken_own(offered, agreed, party, confirmed, **how)
        else:
            found = taken_rendered(offered, agreed, party, **how)
        with store.transaction():
            found = Publications(store).add(found, offered.data)
    if found.version not in home.config.consent.notices:
        warnings.append(
            f'add "{found.version}" to [consent] notices: no consent under this notice counts '
            "before that"
        )
    output.warn(warnings)
    output.result(
        found.to_dict() | {"warnings": warnings},
        f"Published: {found.name} for agreement {agreed.id}, SHA-256 {found.sha256}.",
        "From now on this node answers under this agreement only as its published notices tell.",
    )


@app.command("list")
def list_notices(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """Every notice that was published here, oldest first."""
    from partner_node.shown.notices import notices_shown

    home = NodeHome.load(directory)
    with closing(home.store(home.keystore())) as store:
        output.show(notices_shown(store))


@app.command("show")
def show(
    number: Annotated[int, typer.Argument(min=1, help="Its number in `notice list`.")],
    out: Annotated[Path | None, typer.Option(help="File for the notice as published.")] = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """One published notice: what it tells of which agreement, and its bytes."""
    from partner_node.notices.published import Publications
    from partner_node.shown.notices import notice_words

    home = NodeHome.load(directory)
    with closing(home.store(home.keystore())) as store:
        found, content = (records := Publications(store)).get(number), records.content(number)
    if out is not None:
        write_file(out, content)
    output.result(
        found.to_dict()
        | {"facts": found.facts.to_dict(), "file": None if out is None else str(out)},
        *notice_words(found),
        "" if out is None else f"Wrote {out}.",
    )


@app.command("verify")
def verify(
    url_file: Annotated[
        Path, typer.Option(help="A saved copy of the page on which the notice stands.")
    ],
    under: Under = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Whether what stands on your site is what was published, and what differs."""
    from partner_node.notices.published import Publications, newest
    from partner_node.notices.verifying import compared
    from partner_node.shown.notices import comparison_shown

    home = NodeHome.load(directory).chosen(under)
    agreement_id = home.signed_agreement().agreement.id
    data = _read(url_file)
    with closing(home.store(home.keystore())) as store:
        records = Publications(store)
        found = compared(data, url_file.name, newest(records.under(agreement_id)), records.content)
    output.show(comparison_shown(found))
    if not found.same_words:
        raise typer.Exit(3)


@app.command("centre")
def centre(
    out: Annotated[Path, typer.Option(help="Folder for the pages; those of before are replaced.")],
    language: Annotated[
        list[str] | None,
        typer.Option(help="A language; repeat it. English and German if left out."),
    ] = None,
    words: Annotated[
        list[str] | None,
        typer.Option(help="Your own words in a language, such as de=own-de.toml; repeat it."),
    ] = None,
    agreement: AgreementFile = None,
    under: Under = None,
    directory: Directory = HERE,
    format: Format = FormatOption,
) -> None:
    """Pages for your site: what is done, and a form that saves what `feedback import` reads."""
    from partner_node.notices.catalogue import catalogue_of
    from partner_node.notices.centre import Told, pages
    from partner_node.notices.loading import loaded_by
    from partner_node.notices.published import Publications

    asked = _asked(directory, under, agreement)
    home, agreed = asked[0], asked[1]
    own = _by_language(words or [])
    languages = list(dict.fromkeys(language or _USUAL))
    for name in own.keys() - set(languages):
        raise UsageError(f"--words {name}=… is for no page", remedy=f"add --language {name}")
    with closing(home.store(home.keystore())) as store:
        published = Publications(store).pages_of(agreed)
    told = [
        Told(
            texts=catalogue_of(name),
            notice=_rendered(*asked, name, own.get(name)),
            published=published.get(name),
        )
        for name in languages
    ]
    written = pages(told)
    for name, page in written.items():
        write_file(out / name, page)
    unpublished = [one.notice.language for one in told if one.published is None]
    warnings = [
        f"{out / f'notice-{name}.html'} is not published yet: fedseg-node notice publish"
        for name in unpublished
    ]
    warnings += [
        f"{out / f'notice-{one.notice.language}.html'} is the page that you published, which may "
        f"load, send or run something: {', '.join(loaded)}"
        for one in told
        if one.published is not None and (loaded := loaded_by(one.published))
    ]
    output.warn(warnings)
    output.result(
        {"folder": str(out), "pages": list(written), "unpublished": unpublished,
         "warnings": warnings},
        f"Wrote {how_many(len(written), 'page')} to {out}; they need no server, and send nothing.",
        "What customers send you: fedseg-node feedback import FILE, once you know who sent it.",
    )  # fmt: skip


def _by_language(words: list[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for one in words:
        language, equals, path = one.partition("=")
        if not equals or not path or language in found:
            raise UsageError(
                f"--words {one} does not say for which language, or twice for one",
                remedy="such as --words de=own-de.toml",
            )
        found[language] = Path(path)
    return found


def _asked(
    directory: Path, under: str | None, file: Path | None
) -> tuple[NodeHome, Agreement, Party, NodeTexts]:
    """The place of an agreement, the agreement, this partner in it, and what settings tell."""
    from partner_node.notices.words import NodeTexts

    home, agreement = asked_of(directory, under, file)
    rights = home.config.rights
    node = NodeTexts(authority=rights.authority, data_from=rights.data_from)
    return home, agreement, home.party(agreement), node


def _rendered(
    _home: NodeHome,
    agreement: Agreement,
    party: Party,
    node: NodeTexts,
    language: str,
    words: Path | None,
) -> Notice:
    from partner_node.notices.catalogue import catalogue_of
    from partner_node.notices.notice import render

    own = _own(words, agreement, party, node)
    texts = catalogue_of(language)
    return render(agreement, party, texts, node=node, own=own, day=datetime.now(UTC))


def _own(words: Path | None, agreement: Agreement, party: Party, node: NodeTexts) -> OwnWords:
    from partner_node.notices.words import OwnWords, texts_of

    if words is None:
        return OwnWords()
    return OwnWords.read(_read(words), words.name, texts_of(agreement, party, node))


def _warnings(notice: Notice) -> list[str]:
    found = []
    if notice.as_they_stand:
        found.append(
            f"{how_many(len(notice.as_they_stand), 'text')} of the agreement stand as they are: "
            f"{', '.join(notice.as_they_stand)}; say them for customers in a file: "
            "fedseg-node notice words"
        )
    found += [f"{name} is not set, and the notice says so" for name in notice.not_stated]
    return found


def _form_of(out: Path) -> _Form:
    try:
        return _Form(out.suffix.removeprefix("."))
    except ValueError:
        raise UsageError(
            f"{out} ends in none of .html, .md and .json", remedy="name one of these"
        ) from None


def _read(path: Path) -> bytes:
    return read_named(
        path,
        _MOST_BYTES,
        code="E-NOTICE-FILE",
        remedy="name the notice itself: a page without pictures in it",
    )
