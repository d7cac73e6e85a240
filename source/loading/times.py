"""Times in files, rewritten as ISO 8601, which PostgreSQL reads the same with every DateStyle.

Only ISO 8601 is accepted without an option. Other dates need --date-order; words and bare numbers are refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from source.loading.options import DateOrder

# Values that need no rewriting: a day that exists in every year, and a minute that exists on every day except when
# clocks change.
_DAY = (
    r"(?:19|20|21)\d\d-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)"
    r"|02-(?:0[1-9]|1\d|2[0-8]))"
)
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?"
_OFFSET = r"(?:Z|[+-](?:0\d|1[0-4])(?::?[0-5]\d)?)"
PLAIN = rf"^{_DAY}[ T]{_CLOCK} ?{_OFFSET}?$"
WITH_OFFSET = rf"{_OFFSET}$"

ISO = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?:(?:[Tt]|[ ,]+)(.+))?")
COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})[Tt](\d{2})(\d{2})(\d{2})?(?:\.\d+)?(.*)")
ORDERED = re.compile(r"(\d{1,4})([./ -])(\d{1,2})\2(\d{1,4})(?:(?:[Tt]|,? +)(.+))?")
DAY_MONTH = re.compile(r"(\d{1,2})\.?[ -](?:de )?([^\W\d_]{3,10})\.?,?[ -](?:del? )?(\d{4}|\d{2})(?:,? +(.+))?")
MONTH_DAY = re.compile(r"([^\W\d_]{3,10})\.? (\d{1,2}),? (\d{4})(?:,? +(.+))?")
CLOCK = re.compile(r"(\d{1,2})(?::(\d{2}))?(?::(\d{2})(?:[.,](\d{1,9}))?)? ?([AaPp]\.?[Mm]\.?)? ?(.*)")
MIDNIGHT = re.compile(r"[ T]00:00(?::00(?:\.0+)?)? (?=\d{1,2}:)")  # a spreadsheet's day, joined with a time of day
OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})?")
# The first letters of months in English, German, Spanish and French, without accents.
MONTHS = {
    letters: number
    for number, names in enumerate(
        (
            *("jan ene", "feb fev", "mar mrz", "apr abr avr", "may mai", "jun juin", "jul juil", "aug ago aou", "sep"),
            *("oct okt", "nov", "dec dez dic"),
        ),
        1,
    )
    for letters in names.split()
}
NOON = time(12)
FIRST_YEAR = 1900
ADVICE = "give the order of its dates: --date-order dmy, mdy or ymd"

DATE_ONLY = "dates without a time, read as local noon; rankings by daypart are meaningless for them"
TWICE = "local times in the hour that is repeated when clocks go back; the first one was used"
NEVER = "local times in the hour that is skipped when clocks go forward; an hour later was used"
Remark = Callable[[str], None]


def instant(text: str, order: DateOrder | None, zone: ZoneInfo, remark: Remark) -> str:
    """The instant in ISO 8601 with its offset; assumptions are passed to `remark`.

    Raises
    ------
    ValueError
        With the reason, when it is not a time or is ambiguous.
    """
    stripped = MIDNIGHT.sub(" ", text.replace("\u202f", " ").replace("\u00a0", " ").strip())
    day, rest = _day(stripped, order)
    if not FIRST_YEAR <= day.year <= 9998:
        raise ValueError(f'"{text}" is not between the years {FIRST_YEAR} and 9998')
    if not rest:
        remark(DATE_ONLY)
        return _resolved(datetime.combine(day, NOON), zone, lambda _: None)
    since_midnight, offset = _clock(rest, text, order)
    local = datetime.combine(day, time()) + since_midnight
    if offset is None:
        return _resolved(local, zone, remark)
    return (local - offset).replace(tzinfo=UTC).isoformat()


def _day(text: str, order: DateOrder | None) -> tuple[date, str]:
    """The date, and the text after it."""
    if found := ISO.fullmatch(text):
        year, month, day, rest = found.groups()
    elif found := COMPACT.fullmatch(text):
        year, month, day, hour, minute, second, offset = found.groups()
        rest = f"{hour}:{minute}:{second or '00'}{offset}"
    elif re.fullmatch(r"[+-]?\d+(?:[.,]\d+)?", text):
        raise ValueError(f'"{text}" is a number, not a time such as 2024-06-05 13:00')
    else:
        year, month, day, rest = _ordered(text, order)
    try:
        return date(int(year), int(month), int(day)), (rest or "").strip()
    except ValueError:
        raise ValueError(f'"{text}" is not a day of the calendar') from None


def _ordered(text: str, order: DateOrder | None) -> tuple[str, str, str, str]:
    """Year, month, day and the rest of a date that is not ISO 8601."""
    numbers, words = ORDERED.fullmatch(text), DAY_MONTH.fullmatch(text) or MONTH_DAY.fullmatch(text)
    if (numbers or words) is None:
        raise ValueError(f'"{text}" is not a time such as 2024-06-05 13:00')
    if order is None:
        raise ValueError(f'"{text}" is not ISO 8601; {ADVICE}')
    if words is not None:
        one, two, year, rest = words.groups()
        day, name = (one, two) if one.isdigit() else (two, one)
        letters = "".join(each for each in unicodedata.normalize("NFKD", name.lower()) if each.isascii())
        month = MONTHS.get(letters[:4]) or MONTHS.get(letters[:3])
        if month is None:
            raise ValueError(f'"{text}" names no month')
        return _four_digits(year), str(month), day, rest
    assert numbers is not None
    one, _, two, three, rest = numbers.groups()
    parts = dict(zip(order, (one, two, three), strict=True))
    if any(len(parts[which]) > 2 for which in "dm"):
        raise ValueError(f'"{text}" is not in the order {order}')
    return _four_digits(parts["y"]), parts["m"], parts["d"], rest


def _four_digits(year: str) -> str:
    if len(year) != 2:
        return year
    return f"20{year}" if int(year) < 69 else f"19{year}"


def _clock(rest: str, text: str, order: DateOrder | None) -> tuple[timedelta, timedelta | None]:
    """The time since midnight, and the offset from UTC, if there is one."""
    found = CLOCK.fullmatch(rest.removesuffix(" Uhr"))
    if found is None or (found[2] is None and found[5] is None):
        raise ValueError(f'"{text}" is not a time such as 2024-06-05 13:00')
    hour, minute, second = (int(found[place] or 0) for place in (1, 2, 3))
    if half := found[5]:
        if order is None:
            raise ValueError(f'"{text}" is not ISO 8601 with its AM or PM; {ADVICE}')
        if not 1 <= hour <= 12:
            raise ValueError(f'"{text}" has no such hour')
        hour = hour % 12 + (12 if half[0] in "Pp" else 0)
    micro = int((found[4] or "0").ljust(6, "0")[:6])
    if hour > 24 or minute > 59 or second > 60 or (hour == 24 and (minute, second, micro) != (0, 0, 0)):
        raise ValueError(f'"{text}" has no such hour, minute or second')
    return timedelta(hours=hour, minutes=minute, seconds=second, microseconds=micro), _offset(found[6], text)


def _offset(zone: str, text: str) -> timedelta | None:
    if not zone:
        return None
    if zone in ("Z", "z", "UTC"):
        return timedelta()
    found = OFFSET.fullmatch(zone)
    if found is None and zone.replace(" ", "").isalpha():
        raise ValueError(f'"{text}" has an ambiguous time zone abbreviation; write an offset such as +01:00')
    if found is None or int(found[2]) > 14 or int(found[3] or 0) > 59:
        raise ValueError(f'"{text}" is not a time such as 2024-06-05 13:00')
    offset = timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
    return -offset if found[1] == "-" else offset


def _resolved(local: datetime, zone: ZoneInfo, remark: Remark) -> str:
    """The first instant of a local time; a time that was skipped is moved forward by as much as the clocks were."""
    first, second = local.replace(tzinfo=zone), local.replace(tzinfo=zone, fold=1)
    before, after = first.utcoffset() or timedelta(), second.utcoffset() or timedelta()
    if before != after:
        remark(TWICE if before > after else NEVER)
    return first.astimezone(UTC).isoformat()


@lru_cache(maxsize=512)
def days_of_change(zone: ZoneInfo, year: int) -> frozenset[str]:
    """The days of a year on which local times may be repeated or skipped, in ISO 8601."""
    found = set()
    for number in range(-1, 367):
        day = datetime(year, 1, 1) + timedelta(days=number)
        if day.replace(tzinfo=zone).utcoffset() != (day + timedelta(days=1)).replace(tzinfo=zone).utcoffset():
            # A change close to midnight affects the neighbouring day.
            found |= {(day + timedelta(days=beside)).date().isoformat() for beside in (-1, 0, 1)}
    return frozenset(found)


def clock(text: str) -> str:
    """A time of day as HH:MM:SS.

    Raises
    ------
    ValueError
        With the reason, when it is not one.
    """
    found = re.fullmatch(r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?", text.strip())
    if found is None or int(found[1]) > 24 or int(found[2]) > 59 or int(found[3] or 0) > 59:
        raise ValueError(f'"{text}" is not a time of day such as 12:30')
    return text.strip()
