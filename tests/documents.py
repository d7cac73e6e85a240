"""The commands in the documents' code blocks and sentences, read as a shell reads them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.M | re.S)
_INLINE = re.compile(r"`((?:smartcrm|docker compose) [^`]+)`")


@dataclass(frozen=True)
class Command:
    """One program's words, and the files that its input and output are redirected to."""

    words: tuple[str, ...]
    source: str | None = None
    target: str | None = None


def blocks(text: str, language: str = "console") -> list[str]:
    """The code blocks of one language, without the indentation of lists."""
    found = [match for match in _BLOCK.finditer(text) if match[2] == language]
    return [re.sub(rf"(?m)^{match[1]}", "", match[3]) for match in found]


def section(text: str, title: str) -> str:
    """The text below a heading of the second level."""
    return text.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def table(text: str) -> list[dict[str, str]]:
    """The rows of a text's first table, by the names of its columns; a `|` in a cell is written `\\|`."""
    rows = [
        [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in re.search(r"(?m)(^\|.*\n)+", text)[0].splitlines()  # type: ignore[index]
    ]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


def lines(block: str) -> list[str]:
    """The lines that a reader types, without the programs' output."""
    return [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]


def commands(line: str) -> Iterator[Command]:
    """The commands of a line, without its comment."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|<>;")
    lexer.whitespace_split, lexer.commenters = True, "#"
    words: list[str] = []
    led: dict[str, str] = {}
    tokens = iter([*lexer, ";"])
    for token in tokens:
        if token in ("<", ">"):
            led[token] = next(tokens)
        elif set(token) <= set("&|;"):
            if words:
                yield Command(tuple(words), led.get("<"), led.get(">"))
            words, led = [], {}
        else:
            words.append(token)


def named(text: str) -> list[str]:
    """Our commands in sentences and tables, with the bars of tables unescaped."""
    return [found.replace("\\|", "|") for found in _INLINE.findall(_BLOCK.sub("", text))]
