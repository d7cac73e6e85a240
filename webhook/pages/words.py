"""Texts, numbers, dates and money in the user's language: gettext catalogues and Babel, by `LOCALE` and `CURRENCY`.

The `.po` files are read directly, so that a translation needs no build step. The code has the English texts.
"""

from __future__ import annotations

import io
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from babel import Locale, dates, numbers
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations

from settings import Settings
from webhook.pages.names import EVENT_STATES, KINDS, MODEL_STATUSES, MODES, PHRASES, REASONS, STAGES, STATUSES

CATALOGUES = Path(__file__).parent / "locale"


class Words:
    """Texts and formats in the language, currency and time zone of the settings."""

    def __init__(self, settings: Settings) -> None:
        self.locale, self.currency, self.zone = Locale.parse(settings.locale), settings.currency, settings.zone
        self._name = str(self.locale)  # hashed in a tenth of the time of a Locale
        self.language = self._name.replace("_", "-")
        self.translations = catalogue(self.locale)

    def text(self, message: str, /, **values: object) -> str:
        """A message of the catalogue, with values for `%(name)s`."""
        found = self.translations.gettext(message) if message else ""
        return found % values if values else found

    def counted(self, one: str, many: str, number: int) -> str:
        """A message in the plural form for a number, which replaces `%(number)s`."""
        return self.translations.ngettext(one, many, number) % {"number": self.number(number)}

    def number(self, value: float | Decimal) -> str:
        """A number with at most two decimals."""
        return _decimal(value, "#,##0.##", self._name)

    def ratio(self, value: float) -> str:
        """A number with two decimals."""
        return _decimal(value, "#,##0.00", self._name)

    def share(self, value: float | None) -> str:
        """A fraction of one as a percentage with one decimal."""
        return "–" if value is None else _percent(value, "#,##0.0 %", self._name)

    def difference(self, value: int) -> str:
        """A whole number with its sign."""
        return _decimal(value, "+#,##0;−#,##0", self._name) if value else "0"

    def deviation(self, value: float) -> str:
        """A number with its sign and one decimal."""
        return _decimal(value, "+0.0;−0.0", self._name)

    def change(self, fraction: float | None) -> str:
        """A change as a fraction of one, with its sign."""
        return "–" if fraction is None else _percent(fraction, "+#,##0.0 %;−#,##0.0 %", self._name)

    def amount(self, value: float | Decimal | None, is_money: bool) -> str:
        """A number, or an amount of money; a dash where it is not known."""
        return "–" if value is None else self.money(value) if is_money else self.number(value)

    def whole(self, value: float, *, money: bool = False) -> str:
        """A number or an amount of money without decimals."""
        return self.money(value, whole=True) if money else _decimal(value, "#,##0", self._name)

    def money(self, value: float | Decimal | None, *, whole: bool = False) -> str:
        """An amount in the currency, or without a sign if none is set; `whole` omits the cents."""
        if value is None:
            return "–"
        if self.currency is None:
            return _decimal(value, "#,##0" if whole else "#,##0.00", self._name)
        return _currency(value, self.currency, whole, self._name)

    def moment(self, value: datetime) -> str:
        """A day and a time of day, in the restaurant's time zone."""
        return _moment(value, self.zone, self._name)

    def day(self, value: date) -> str:
        """A day."""
        return _date(value, self._name)

    def weekday_and_day(self, value: date) -> str:
        """A day with its weekday, without the year."""
        return str(dates.format_skeleton("MMMMEd", value, locale=self.locale))

    def day_and_month(self, value: date) -> str:
        """A day without the year."""
        return str(dates.format_skeleton("MMMMd", value, locale=self.locale))

    def short_day(self, value: date) -> str:
        """A day without the year, its month abbreviated."""
        return str(dates.format_skeleton("MMMd", value, locale=self.locale))

    def month(self, value: date) -> str:
        """A month with its year."""
        return str(dates.format_skeleton("yMMM", value, locale=self.locale))

    def short_weekday(self, value: date) -> str:
        """The abbreviated weekday of a day."""
        return str(dates.format_date(value, "EEE", locale=self.locale))

    def clock(self, value: datetime) -> str:
        """A time of day in the restaurant's time zone."""
        return str(dates.format_time(value, "short", tzinfo=self.zone, locale=self.locale))

    def weekday(self, number: int) -> str:
        """A weekday's name; 1 is Monday."""
        return str(dates.get_day_names("wide", locale=self.locale)[number - 1])

    def short_weekday_of(self, number: int) -> str:
        """A weekday's abbreviated name; 1 is Monday."""
        return str(dates.get_day_names("abbreviated", locale=self.locale)[number - 1])

    def age(self, since: datetime) -> str:
        """The time since then, as text."""
        passed = max(datetime.now(UTC) - since, timedelta())
        return str(dates.format_timedelta(-passed, add_direction=True, locale=self.locale))

    def duration(self, seconds: float) -> str:
        """A length of time: seconds with one decimal below a minute, else minutes and seconds."""
        if seconds < 60:
            return f"{numbers.format_decimal(seconds, '0.0', self._name)} s"
        minutes, rest = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"

    def own(self, name: str | None) -> str:
        """The name of a segment, daypart or item; default names are translated."""
        return self.text(name or "")

    def cluster(self, name: str) -> str:
        """The name of a cluster; a generated one is translated, in which every phrase is known."""
        whole, number = re.fullmatch(r"(.*?)( \(\d+\))?", name, re.DOTALL).groups("")  # type: ignore[union-attr]
        phrases = [self._phrase(phrase) for phrase in (whole[:1].lower() + whole[1:]).split(", ")]
        found = ", ".join(phrase or "" for phrase in phrases)
        return found[:1].upper() + found[1:] + number if all(phrases) else name

    def _phrase(self, phrase: str) -> str | None:
        if phrase in PHRASES:
            return self.text(phrase)
        compared = re.fullmatch(r"((?:a little |much )?(?:more|less)) (.+)", phrase, re.DOTALL)
        if compared is None:
            return None
        message = f"{compared[1]} %(name)s"
        return self.text(message, name=self.own(compared[2]))

    def reason(self, name: str) -> str:
        """Why a customer moved, in words."""
        return self.text(REASONS.get(name, name))

    def kind(self, name: str) -> str:
        """A kind of result in words."""
        return self.text(KINDS.get(name, name))

    def mode(self, name: str) -> str:
        """A run's mode in words."""
        return self.text(MODES.get(name, name))

    def status(self, name: str) -> str:
        """A run's status in words."""
        return self.text(STATUSES.get(name, name))

    def model_status(self, name: str) -> str:
        """A model version's status in words."""
        return self.text(MODEL_STATUSES.get(name, name))

    def event_state(self, name: str) -> str:
        """An outgoing event's state in words."""
        return self.text(EVENT_STATES.get(name, name))

    def stage(self, name: str) -> str:
        """A run's stage in words."""
        return self.text(STAGES[name]) if name in STAGES else name.replace("_", " ")


# A page has hundreds of numbers, and Babel takes some 50 µs for each. Most are the same until the next publish.
_remembered = lru_cache(maxsize=20_000)


@_remembered
def _decimal(value: float | Decimal, pattern: str, locale: str) -> str:
    return str(numbers.format_decimal(value, pattern, locale))


@_remembered
def _percent(value: float, pattern: str, locale: str) -> str:
    return str(numbers.format_percent(value, pattern, locale))


@_remembered
def _currency(value: float | Decimal, currency: str, whole: bool, locale: str) -> str:
    if not whole:
        return str(numbers.format_currency(value, currency, locale=locale))
    pattern = Locale.parse(locale).currency_formats["standard"].pattern.replace(".00", "")
    return str(numbers.format_currency(value, currency, pattern, locale, currency_digits=False))


@_remembered
def _moment(value: datetime, zone: ZoneInfo, locale: str) -> str:
    return str(dates.format_datetime(value, "medium", tzinfo=zone, locale=locale))


@_remembered
def _date(value: date, locale: str) -> str:
    return str(dates.format_date(value, "medium", locale=locale))


def catalogue(locale: Locale) -> NullTranslations:
    """The messages of a language; English ones if there is no catalogue."""
    path = CATALOGUES / locale.language / "LC_MESSAGES" / "messages.po"
    if not path.is_file():
        return NullTranslations()
    with path.open("rb") as file:
        found = read_po(file, locale=locale.language)
    compiled = io.BytesIO()
    write_mo(compiled, found)
    compiled.seek(0)
    return Translations(compiled)
