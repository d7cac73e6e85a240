"""All pages in one HTML file that loads nothing: no script, no picture and no link to a server."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from reports.markup import document, standalone
from reports.pages import Page, Pages
from settings import Settings
from webhook.pages.frame import STATIC

STYLES = (STATIC / "page.css", Path(__file__).parent / "report.css")


def built(settings: Settings) -> tuple[str, int]:
    """The document, and the number of its pages."""
    pages = Pages(settings)
    found = pages.every()
    return _joined(found, pages), len(found)


def _joined(found: Sequence[Page], pages: Pages) -> str:
    anchors = {page.path: f"#page-{place}" for place, page in enumerate(found)}
    links = "".join(f'<a href="{anchors[page.path]}">{escape(page.name)}</a>' for page in found)
    sections = "\n".join(
        f'<section class="page" id="page-{place}">\n{standalone(page.html, f"p{place}-", anchors)}\n</section>'
        for place, page in enumerate(found)
    )
    made = escape(pages.words.moment(datetime.now(UTC)))
    header = f'<header><span class="brand">SmartCRM Analytics</span><nav>{links}</nav><span>{made}</span></header>'
    styles = [path.read_text() for path in STYLES]
    return document(
        f"SmartCRM Analytics · {pages.words.moment(datetime.now(UTC))}",
        pages.words.language,
        styles,
        _policy(styles),
        f"{header}\n<main>\n{sections}\n</main>",
    )


def _policy(styles: list[str]) -> str:
    """A policy that lets browsers apply these styles and do nothing else."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()}'" for each in styles
    )
    return (
        '<meta http-equiv="Content-Security-Policy"'
        f" content=\"default-src 'none'; style-src {hashes}; base-uri 'none'; form-action 'none'\">\n"
    )
