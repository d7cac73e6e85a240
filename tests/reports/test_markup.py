"""What is kept of a page in a file and in a mail, and its text."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.markup import mailed, navigation, standalone
from reports.plain import text_of

PAGE = """<!doctype html><html><head><script src="/static/page.js"></script><link href="/static/page.css"></head><body>
<header><nav><a href="/" aria-current="page">Mor<b></b>ning</a><a href="/menu">Menu &amp; more</a></nav></header>
<main id="main"><h1>M&amp;M &lt;b&gt;</h1>{}</main><footer>no</footer></body></html>"""


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ('<p id="x">a<br>b</p><a href="#x">c</a>', '<p id="p0-x">a<br>b</p><a href="#p0-x">c</a>'),
        ('<a href="/menu">m</a><a href="/menu?a=1">n</a>', '<a href="#page-1">m</a><a>n</a>'),
        ('<a href="//evil">o</a>', "<a>o</a>"),
        ('<p aria-labelledby="a b">t</p>', '<p aria-labelledby="p0-a p0-b">t</p>'),
        ("<form><p>gone<input><button>x</button></p></form><p>stays</p>", "<p>stays</p>"),
        ('<nav><a href="/menu">tab</a></nav><p onclick="x()" data-live="1" style="a">c</p>', "<p>c</p>"),
        ('<svg viewBox="0 0"><rect fill="url(#g)"/></svg>', '<svg viewbox="0 0"><rect fill="url(#p0-g)"></rect></svg>'),
        ('<p title="&quot;>&lt;script>">&lt;script&gt;</p>', '<p title="&quot;&gt;&lt;script&gt;">&lt;script&gt;</p>'),
        ("<ul><li>one<li>two</ul><p>three", "<ul><li>one<li>two</li></li></ul><p>three</p>"),
    ],
)
def test_the_main_part_stands_alone(given: str, kept: str) -> None:
    whole = standalone(PAGE.format(given), "p0-", {"/": "#page-0", "/menu": "#page-1"})
    assert whole == "<h1>M&amp;M &lt;b&gt;</h1>" + kept


def test_a_mail_has_no_pictures_and_no_links() -> None:
    page = PAGE.format(
        '<figure><svg><title>t</title></svg><figcaption>c</figcaption></figure><details><p>d</p></details><p id="i">'
        '<a class="k" href="/x">e</a><svg class="bar"/></p>'
    )
    assert mailed(page) == '<h1>M&amp;M &lt;b&gt;</h1><p><a class="k">e</a></p>'
    assert navigation(page) == [("/", "Morning"), ("/menu", "Menu & more")]


FRAGMENTS = st.lists(
    st.sampled_from(
        [
            *("<p>", "</p>", "<a href='https://x/'>", "</a>", "<form>", "</form>", "<script>", "</script>", "<svg>"),
            *(
                "</svg>",
                "<img src='/x'>",
                "<main>",
                "</main>",
                "<nav>",
                "</nav>",
                "<td background='x' id='y'>",
                "</td>",
            ),
            *("<use href='/y'/>", "<image xlink:href='/z'/>", "text & <", "&lt;script&gt;", "<input>", "<br/>"),
        ]
    ),
    max_size=30,
)


class _Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.targets += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href", "action")]


@given(FRAGMENTS)
def test_whatever_a_page_has_nothing_is_loaded(fragments: list[str]) -> None:
    for kept in (standalone(PAGE.format("".join(fragments)), "p-", {}), mailed(PAGE.format("".join(fragments)))):
        seen = _Seen()
        seen.feed(kept)
        assert not seen.tags & {"script", "form", "img", "nav", "input", "link"}
        assert all(target.startswith("#") for target in seen.targets)


def test_the_text_has_headings_lists_and_columns() -> None:
    html = (
        "<h1>Morning</h1><p>As of\n  now</p><ul><li>one <b>two</b></li><li><h3>Orders</h3><p>12</p>"
        "<dl><div><dt>Last week</dt><dd>+5 %</dd></div></dl></li></ul><p>end</p>"
        "<table><thead><tr><th>Day</th><th>Orders</th></tr></thead><tbody><tr><th>Friday</th><td>7</td></tr></tbody></table>"
    )
    assert text_of(html) == (
        "Morning\n=======\nAs of now\n- one two\n- Orders\n  12\n  Last week: +5 %\nend\n"
        "\nDay     Orders\nFriday       7\n"
    )
