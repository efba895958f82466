"""The main text of HTML pages."""

import pytest

from ragline.documents import Heading
from ragline.errors import Unreadable
from ragline.loaders.html import load_html

LONG = "The master listens on port 8080 unless the configuration says otherwise. " * 4


def text_of(body: str) -> str:
    """Load a page with this body and return its text."""
    return load_html(f"<!doctype html><title>T</title><body>{body}".encode()).text


def test_structure_becomes_readable_text() -> None:
    """Headings, paragraphs, lists, tables and code come out in one dialect, with offsets."""
    loaded = load_html(
        b"<html lang=en><title>Ports | ACME Docs</title><h1>Ports</h1><p>One &amp; <b>two</b>\n three<br>four</p>"
        b"<ul><li>a<ul><li>b</ul><li><p>c</p></ul>"
        b"<table><tr><th>Key<th>Value<tr><td>x|y<td><code>1</code></table>"
        b"<pre><code class='language-sh'>ls\n  -l\n</code></pre><h2>Sub<a class=headerlink href=#s>\xc2\xb6</a></h2>end"
    )
    assert loaded.text == (
        "# Ports\n\nOne & two three\nfour\n\n- a\n  - b\n- c\n\n| Key | Value |\n| --- | --- |\n| x\\|y | 1 |\n\n"
        "```sh\nls\n  -l\n```\n\n## Sub\n\nend"
    )
    assert loaded.headings == (Heading(0, 1, "Ports"), Heading(loaded.text.index("## Sub"), 2, "Sub"))
    assert [loaded.text[start:end].split("\n")[0] for start, end in loaded.blocks] == ["| Key | Value |", "```sh"]
    assert (loaded.title, loaded.metadata) == ("Ports", {"language": "en"})


@pytest.mark.parametrize(
    "boilerplate",
    [
        "<nav>NOISE <a href=/>Home</a></nav>",
        "<header><h2>NOISE</h2></header>",
        "<footer>NOISE</footer>",
        "<aside>NOISE</aside>",
        "<form>NOISE <input></form>",
        "<script>NOISE()</script><style>.NOISE{}</style><noscript>NOISE</noscript><template>NOISE</template>",
        "<div role=navigation>NOISE</div>",
        "<div role=dialog>NOISE</div>",
        "<div id=cookie-banner>NOISE</div>",
        "<div class='md-sidebar md-sidebar--primary'>NOISE</div>",
        "<div class=sphinxsidebar>NOISE</div>",
        "<ul class=breadcrumbs><li>NOISE</ul>",
        "<div class=related><h3>NOISE</h3></div>",
        "<div class=nosearch>NOISE</div>",
        "<div class=cookieConsent>NOISE</div>",
        "<div style='color:red; display: none'>NOISE</div>",
        "<p hidden>NOISE</p>",
        "<span aria-hidden=true>NOISE</span>",
        "<ul><li><a href=#a>NOISE</a><li><a href=#b>B</a><li><a href=#c>C</a></ul>",
        "<select><option>NOISE</select><button>NOISE</button><svg><text>NOISE</text></svg>",
    ],
)
def test_boilerplate_is_left_out(boilerplate: str) -> None:
    """What frames a page is not its text, before or behind it, whichever way it is marked."""
    expected = f"# Title\n\n{LONG.strip()}"
    assert text_of(f"{boilerplate}<h1>Title</h1><p>{LONG}</p>") == expected
    assert text_of(f"<h1>Title</h1><p>{LONG}</p>{boilerplate}") == expected


@pytest.mark.parametrize(
    "footer",
    [
        "<p><small>This page last modified on <a href=x>2020-06-18</a> UTC</small></p>",
        "<p>© 2024 ACME",
        "<p>Copyright X",
    ],
)
def test_last_lines_about_the_page_are_left_out(footer: str) -> None:
    """A short last line about dates and rights is no text, even when it is not marked."""
    assert text_of(f"<p>{LONG}</p>{footer}") == LONG.strip()


def test_menus_without_marks_are_recognised_by_their_links() -> None:
    """Lists of links before the first heading or behind the last text are menus."""
    menu = "".join(f"<li><a href=/p{number}>Page {number}</a>" for number in range(6))
    assert text_of(f"<ul>{menu}</ul><h1>Title</h1><p>{LONG}</p><ul>{menu}</ul>") == f"# Title\n\n{LONG.strip()}"


def test_main_and_article_are_preferred_when_they_hold_the_text() -> None:
    """The main element wins if it holds most of the text, and is ignored if it is a stub."""
    assert text_of(f"<div>Around.</div><main><p>{LONG}</p></main>") == LONG.strip()
    assert LONG.strip() in text_of(f"<main>Loading</main><div>{LONG}</div>")


@pytest.mark.parametrize(
    "page",
    [
        f"<div class=menu><p>{LONG}</p></div>",
        f"<form><p>{LONG}</p></form>",
        f"<div id=sidebar-layout><h1>Title</h1><p>{LONG}</p></div>",
        f"<section id=cookies><h2>Cookies</h2><p>{LONG}</p></section><p>{LONG * 3}</p>",
        f"<div id=navigation><h2>Navigation</h2><p>{LONG}</p></div><p>{LONG * 3}</p>",
        f"<main><aside class='note'>{LONG}</aside><p>{LONG}</p></main>",
        f"<article><header><p>{LONG}</p></header><p>{LONG}</p></article>",
    ],
)
def test_main_text_is_never_thrown_away(page: str) -> None:
    """Text stays whatever its containers are called."""
    assert LONG.strip() in text_of(page)


def test_layout_tables_are_not_data() -> None:
    """A table that holds blocks of a page is read cell by cell."""
    text = f"<table><tr><td><h2>A</h2><p>{LONG}</p><td><p>Right</p></table>"
    assert text_of(text) == f"## A\n\n{LONG.strip()}\n\nRight"


def test_bad_markup_still_gives_text() -> None:
    """Unclosed tags, also an unclosed title, bad entities and stray tags cost nothing."""
    loaded = load_html(
        b"<html><head><title>Broken<body><p>First <b>bold <i>both</b> still</i><p>Second &amp x &#xZZ; <div>tail"
    )
    assert (loaded.title, loaded.text) == ("Broken", "First bold both still\n\nSecond & x &#xZZ;\n\ntail")


@pytest.mark.parametrize(
    ("head", "codec"),
    [
        ("<meta charset=iso-8859-1>", "cp1252"),
        ('<?xml version="1.0" encoding="ISO-8859-2"?>', "iso8859-2"),
        ("", "utf-8"),
    ],
)
def test_the_charset_is_that_of_the_page(head: str, codec: str) -> None:
    """The encoding comes from the page's own declaration."""
    page = f"{head}<title>Grüße</title><p>Straßenbahn fährt über die Brücke"
    loaded = load_html(page.encode(codec))
    assert (loaded.title, loaded.text, loaded.metadata) == ("Grüße", "Straßenbahn fährt über die Brücke", {})


def test_a_page_without_text_is_empty() -> None:
    """A page of scripts is reported."""
    with pytest.raises(Unreadable, match="empty"):
        load_html(b"<html><body><script>render()</script></body></html>")
