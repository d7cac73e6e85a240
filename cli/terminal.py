"""Output to the terminal, where data is never interpreted as markup or control characters."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import click
from rich.console import Console
from rich.text import Text

WIDTH_WITHOUT_TERMINAL = 118

# Control characters are shown as their Unicode pictures; C1, line separators and bidirectional controls as U+FFFD.
_PICTURES = {code: 0x2400 + code for code in range(0x20)} | {0x7F: 0x2421}
_PICTURES |= dict.fromkeys([*range(0x80, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD)


def shown(text: object) -> str:
    """The text on one line, without control characters."""
    return str(text).translate(_PICTURES)


def styled(*pieces: str | tuple[str, str]) -> Text:
    """Pieces of text, each plain or with a style, as one; the piece "\\n" is a line break."""
    text = Text()
    for piece in pieces:
        words, style = (piece, "") if isinstance(piece, str) else piece
        text.append(words if words == "\n" else shown(words), style)
    return text


class Screen(Console):
    """A console that prints strings, also in tables, without markup; only `styled` text has styles."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)
        if not self.is_terminal:
            self.width = WIDTH_WITHOUT_TERMINAL

    def render_str(self, text: str, **options: Any) -> Text:
        """A string as text; `rich` calls this for every string."""
        return super().render_str(shown(text), **options | {"markup": False, "emoji": False})


json_option: Callable[..., Any] = click.option("--json", "as_json", is_flag=True, help="Print JSON instead.")


def print_json(value: Any) -> None:
    """Print JSON in ASCII, so that it has no control characters."""
    click.echo(json.dumps(value, default=_plain, indent=2))


def _plain(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID | Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} can't be converted to JSON")
