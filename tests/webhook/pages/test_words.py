"""Words: whole catalogues, and numbers, money and times as each language writes them."""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from jinja2 import Environment

import webhook.pages
from analytics import cluster_names
from tests.system import make_settings
from webhook.pages import names
from webhook.pages.periods import PERIODS
from webhook.pages.words import CATALOGUES, Words

FOLDER = Path(webhook.pages.__file__).parent


def messages() -> set[str]:
    """Every text of templates, code and names that is looked up in a catalogue."""
    found: set[str] = set()
    environment = Environment(extensions=["jinja2.ext.i18n"])
    for path in (FOLDER / "templates").glob("*.html"):
        text = path.read_text()
        for _, _, message in environment.extract_translations(text):  # type: ignore[attr-defined]
            found.add(message if isinstance(message, str) else str(message[0]))
        found |= set(re.findall(r"words\.counted\('([^']*)'", text))
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("text", "counted")
            ):
                found |= {
                    each.value for each in ast.walk(node.args[0]) if isinstance(each, ast.Constant) and each.value
                }
    tables = (names.KINDS, names.MODES, names.STATUSES, names.STAGES, names.REASONS, names.METRICS)
    for table in (*tables, names.FEATURES, names.MODEL_STATUSES, names.EVENT_STATES):
        found |= set(table.values())
    found |= {period.name for period in PERIODS} | {text for texts in names.MATRIX.values() for text in texts}
    return found | {*names.SEGMENTS, *names.DAYPARTS, *names.BESIDE, *names.PHRASES, *names.COMPARED}


@pytest.mark.parametrize("language", ["de", "es"])
def test_a_catalogue_has_every_message_with_the_same_places_for_values(language: str) -> None:
    with (CATALOGUES / language / "LC_MESSAGES" / "messages.po").open("rb") as file:
        catalogue = read_po(file, locale=language)
    missing = sorted(message for message in messages() if message not in catalogue)
    assert not missing
    for message in catalogue:
        for source, translated in zip(
            [message.id] if isinstance(message.id, str) else message.id,
            [message.string] if isinstance(message.string, str) else message.string,
            strict=True,
        ):
            assert translated or not source
            if source:
                assert set(re.findall(r"%\(\w+\)s", source)) == set(re.findall(r"%\(\w+\)s", translated)), source


def test_generated_names_of_clusters_are_translated_and_given_ones_are_not(tmp_path: Path) -> None:
    german, spanish = words(tmp_path, LOCALE="de"), words(tmp_path, LOCALE="es")
    made = {phrase for phrases in cluster_names.PHRASES.values() for phrase in phrases}
    assert made <= {*names.PHRASES}
    assert german.cluster("Very small baskets, a little more Lunch") == "Sehr wenige Artikel, etwas mehr Mittagessen"
    assert spanish.cluster("Large bills, the usual (2)") == "Importes altos, lo de siempre (2)"
    for name in ("Team lunch, large bills", "Regulars", "100% more, or less"):
        assert german.cluster(name) == words(tmp_path).cluster(name) == name
    assert words(tmp_path).cluster("Large bills, more Pizza (2)") == "Large bills, more Pizza (2)"


def words(tmp_path: Path, **env: str) -> Words:
    return Words(make_settings("postgresql://none/", tmp_path, TIMEZONE="Europe/Berlin", **env))


@pytest.mark.parametrize(
    ("locale", "currency", "money", "whole", "share", "number"),
    [
        ("en", "", "1,234.50", "1,234", "12.3 %", "1,234,567"),
        ("en", "USD", "$1,234.50", "$1,234", "12.3 %", "1,234,567"),
        ("de", "EUR", "1.234,50 €", "1.234 €", "12,3 %", "1.234.567"),
        ("es-ES", "EUR", "1.234,50 €", "1.234 €", "12,3 %", "1.234.567"),
        ("en", "JPY", "¥1,234", "¥1,234", "12.3 %", "1,234,567"),
    ],
)
def test_values_are_written_as_the_language_does(
    tmp_path: Path, locale: str, currency: str, money: str, whole: str, share: str, number: str
) -> None:
    write = words(tmp_path, LOCALE=locale, CURRENCY=currency)

    def plain(text: str) -> str:
        return re.sub(r"[\u00a0\u202f]", " ", text)

    assert plain(write.money(Decimal("1234.50"))) == money
    assert plain(write.money(Decimal("1234.50"), whole=True)) == whole
    assert plain(write.share(0.1234)) == share
    assert plain(write.number(1234567)) == number


def test_texts_times_and_counts_are_in_the_language_and_the_restaurants_time_zone(tmp_path: Path) -> None:
    german, french = words(tmp_path, LOCALE="de_AT"), words(tmp_path, LOCALE="fr")
    assert german.text("Customers") == "Kunden"
    assert french.text("Customers") == "Customers"
    assert german.moment(datetime(2026, 7, 1, 22, 30, tzinfo=UTC)) == "02.07.2026, 00:30:00"
    assert german.counted("%(number)s customer", "%(number)s customers", 1) == "1 Kunde"
    assert german.counted("%(number)s customer", "%(number)s customers", 1200) == "1200 Kunden".replace(
        "1200", german.number(1200)
    )
    assert german.own("At Risk") == "Gefährdet"
    assert german.own("100% mine") == "100% mine"
    assert [german.duration(seconds) for seconds in (0.94, 61.4, 3700)] == ["0,9 s", "1 min 01 s", "1 h 01 min"]
