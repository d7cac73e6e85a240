"""A first map for a flat export, guessed from its header and its first rows, with notes to check."""

from __future__ import annotations

import json
import re
import tomllib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from errors import LoadError
from source.loading.columns import SALES, normal
from source.loading.files import SourceFile, open_file
from source.loading.maps import SHIPPED, Map, read_map
from source.loading.options import DateOrder, Decimal, Options
from source.loading.sniff import delimiter_of, encoding_of, rows_of

# Names of our columns in exports, as `normal` returns them.
NAMES = {
    name: words.split() for name, words in tomllib.loads(Path(__file__).with_name("names.toml").read_text()).items()
}
# The first letters of statuses of unpaid orders, and of refunded ones, in English, German, Spanish and French.
LEFT_OUT = (
    *("cancel", "void", "unpaid", "pending", "fail", "declin", "expire", "open", "abandon", "reject"),
    *(
        "storn",
        "unbezahlt",
        "offen",
        "abgebrochen",
        "abgelehnt",
        "fehlgeschlagen",
        "anul",
        "pendient",
        "impag",
        "rechaz",
    ),
    *("fallid", "abiert", "annul", "impay", "en attente", "refus"),
)
REFUNDED = ("refunded", "erstattet", "rückerstattet", "reembols", "devuelt", "rembours")
NOT_SAID = ("false", "no", "0", "nein", "non", "n", "f")  # of a column such as Void?
SAID = ("true", "yes", "1", "ja", "si", "sí", "oui", "y", "j", "t")
NO_VALUES = ("error", "unknown", "null", "none", "n/a", "na", "nan", "-")
NEGATIVE = re.compile(r"[-−(]|.*-\D*$")
DATE = re.compile(r"(\d{1,4})[./ -](\d{1,2})[./ -](\d{1,4})\b")


@dataclass
class Guess:
    """A guessed map, and notes for the user who checks it."""

    columns: dict[str, list[str]]
    options: Options
    leave_out: list[str] = field(default_factory=list)
    source: str = "the names of its columns"
    unused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def toml(self) -> str:
        """The map file's text."""
        lines = [
            "# Our columns and the export's columns. Check each line, then load with --map.",
            "[columns]",
        ]
        for name, names in self.columns.items():
            lines.append(f"{name} = {_toml(names[0] if len(names) == 1 else names)}")
        lines += [f"# not used: {_toml(self.unused)}"] if self.unused else []
        if "status" in self.columns:
            lines += ["", "[status]", f"leave_out = {_toml(self.leave_out)}"]
        file = {
            "delimiter": self.options.delimiter,
            "decimal": self.options.decimal,
            "encoding": self.options.encoding,
            "date_order": self.options.date_order,
            "empty": sorted(self.options.empty) or None,
        }
        given = [f"{name} = {_toml(value)}" for name, value in file.items() if value]
        lines += ["", "[file]", *given] if given else []
        lines += [f"# {note}" for note in self.notes]
        return "\n".join(lines) + "\n"


def guess(path: Path, options: Options) -> Guess:
    """Guess a map for the export.

    Raises
    ------
    LoadError
        When the file can't be read, or no column looks like a time or an amount.
    """
    options = replace(options, encoding=options.encoding or encoding_of(path))
    options = replace(options, delimiter=options.delimiter or delimiter_of(path, options))
    file = open_file(path, options)
    rows = rows_of(file)
    shipped = _shipped(file)
    if shipped is not None:
        found = Guess(*shipped)
    else:
        found = Guess(_by_name(file), Options())
        _distinguish_totals(found, file, rows)
    if "created_at" not in found.columns or not {"total_amount", "price", "line_total"} & set(found.columns):
        raise LoadError(
            f"{path}: no map can be guessed, since no column looks like a {_lacking(found)};"
            f" it has {', '.join(file.columns)}. docs/loading.md explains how to write a map."
        )
    used = {normal(each) for names in found.columns.values() for each in names}
    found.unused = [name for name in file.columns if name and normal(name) not in used]
    found.options = _format(found, file, rows, options)
    _statuses(found, file, rows)
    if "transaction_id" not in found.columns:
        found.notes.append("No column has the order's id, so each row is an order.")
    if "line_total" in found.columns and "total_amount" not in found.columns:
        found.notes.append("The orders' totals are the sums of their lines, without tax and tips.")
    if not {"item_id", "menu_item_name"} & set(found.columns):
        found.notes.append("No column has the item, so no lines are loaded and there are no menu rankings.")
    tips = [name for name in found.unused if _bare(name) in NAMES["gratuity"]]
    if tips and "total_amount" in found.columns:
        total = found.columns["total_amount"][0]
        found.notes.append(f"If {total!r} includes {tips[0]!r}, add tip = {_toml(tips[0])} to [columns].")
    if "mobile_id" not in found.columns:
        found.notes.append("No column has the customer's id, so all orders are guests' and there are no segments.")
    return found


def _bare(name: str) -> str:
    """A header's name as in NAMES: normal, and without accents."""
    letters = unicodedata.normalize("NFKD", name)
    return normal("".join(letter for letter in letters if not unicodedata.combining(letter)))


def _toml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _lacking(found: Guess) -> str:
    return "price or an amount" if "created_at" in found.columns else "time"


def _shipped(file: SourceFile) -> tuple[dict[str, list[str]], Options, list[str], str] | None:
    """The built-in map for this export, without columns that this file does not have."""
    names = {normal(name) for name in file.columns}
    for path in sorted(SHIPPED.glob("*.toml")):
        known: Map = read_map(path.stem)
        required = [each for name in ("transaction_id", "menu_item_name", "quantity") for each in known.columns[name]]
        # Its header has the columns that are typical for this program, such as Lineitem name.
        if all(normal(each) in names for each in required) and path.stem != "till":
            columns = {
                name: [each for each in mapped if normal(each) in names] for name, mapped in known.columns.items()
            }
            columns = {name: mapped for name, mapped in columns.items() if mapped}
            return columns, known.options, sorted(known.leave_out), f"the built-in map {path.stem}"
    return None


def _by_name(file: SourceFile) -> dict[str, list[str]]:
    headers: dict[str, str] = {}
    for name in file.columns:
        headers.setdefault(_bare(name), name)
    columns: dict[str, list[str]] = {}
    for column in SALES:
        known = next((name for name in NAMES.get(column.name, ()) if name in headers), None)
        if known is not None:
            columns[column.name] = [headers.pop(known)]
    if "created_at" in columns and not re.search("time|zeit|hora|heure", _bare(columns["created_at"][0])):
        clock = next((name for name in NAMES["clock"] if name in headers), None)
        if clock is not None:
            columns["created_at"].append(headers.pop(clock))
    return columns


def _distinguish_totals(found: Guess, file: SourceFile, rows: Sequence[Sequence[str]]) -> None:
    """Decide whether a column called total is the order's or the line's: it is the line's if an order's rows differ."""
    if "line_total" in found.columns:
        found.columns.pop("discount", None)  # the line's total includes it
    if "total_amount" not in found.columns:
        return
    total = file.columns.index(found.columns["total_amount"][0])
    seen: dict[str, str] = {}
    differ = "transaction_id" not in found.columns
    if not differ:
        order = file.columns.index(found.columns["transaction_id"][0])
        differ = any(
            row[total] and row[order] and seen.setdefault(row[order], row[total]) != row[total] for row in rows
        )
    if differ and "line_total" in found.columns:
        del found.columns["total_amount"]
    elif differ:
        found.columns["line_total"] = found.columns.pop("total_amount")
        found.notes.append(
            f"{found.columns['line_total'][0]!r} differs between an order's rows: it is the line's total."
        )


def _values(found: Guess, file: SourceFile, rows: Sequence[Sequence[str]], names: Sequence[str]) -> list[str]:
    headers = [each for name in names for each in found.columns.get(name, [])[:1]]
    places = [file.columns.index(each) for each in headers if each in file.columns]
    return [row[place].strip() for place in places for row in rows if row[place].strip()]


def _format(found: Guess, file: SourceFile, rows: Sequence[Sequence[str]], options: Options) -> Options:
    amounts = _values(found, file, rows, ("total_amount", "price", "line_total", "refund", "discount", "tip", "tax"))
    numbers = amounts + _values(found, file, rows, ("quantity",))
    times = _values(found, file, rows, ("created_at",))
    decimal: Decimal | None = options.decimal
    fractions = any(re.fullmatch(r"\D*0,\d+\D*", each) for each in numbers)  # no thousands begin with a zero
    if decimal is None and (fractions or any(re.search(r"\d,\d{1,2}\D*$", each) for each in amounts)):
        decimal = ","
    elif decimal is None and any("," in each for each in numbers):
        pointed = any(re.search(r"\.\d{1,2}\D*$", each) for each in amounts)
        decimal = "." if pointed else None
        if not pointed:
            found.notes.append('Are the commas in its amounts decimal? Set decimal = "," or decimal = "." in [file].')
    empty = frozenset(each for each in set(numbers + times) if each.lower() in NO_VALUES)
    return Options(
        delimiter=options.delimiter,
        decimal=decimal,
        encoding=options.encoding,
        date_order=options.date_order or _date_order(found, times),
        empty=empty or options.empty,
    )


def _date_order(found: Guess, times: Sequence[str]) -> DateOrder | None:
    dates = [match.groups() for match in map(DATE.match, times) if match is not None]
    if times and not dates:  # the order of a date with the month's name is certain, but it is not ISO 8601
        return "mdy" if times[0][:1].isalpha() else "dmy" if re.match(r"\d{1,2}\D", times[0]) else None
    if any(len(one) == 4 for one, _, _ in dates):
        slashes = any(DATE.match(each) and not re.match(r"\d{4}-", each) for each in times)
        return "ymd" if slashes else None
    first, second = any(int(one) > 12 for one, _, _ in dates), any(int(two) > 12 for _, two, _ in dates)
    if dates and first != second:
        return "dmy" if first else "mdy"
    if dates:
        found.notes.append(
            f'Is {times[0]} day first or month first? Set date_order = "dmy" or date_order = "mdy" in [file].'
        )
    return None


def _statuses(found: Guess, file: SourceFile, rows: Sequence[Sequence[str]]) -> None:
    """Leave out the statuses that look like unpaid orders."""
    if "status" not in found.columns:
        return
    name = found.columns["status"][0]
    seen = sorted({each.lower() for each in _values(found, file, rows, ("status",))})
    if len(seen) > 50:
        del found.columns["status"]
        found.unused.append(name)
        return
    if re.match("(is_)?(void|cancel|storn|anul|annul)", _bare(name)):
        found.leave_out = sorted({*seen, "true", "yes", "1"} - set(NOT_SAID))
    elif set(seen) <= {*SAID, *NOT_SAID}:
        found.leave_out = sorted({"false", "no", "0", *(each for each in seen if each in NOT_SAID)})
    else:
        negative = _negative_statuses(found, file, rows)
        words = LEFT_OUT if "refund" in found.columns else (*LEFT_OUT, *REFUNDED)
        guessed = {each for each in seen if each.startswith(words) and each not in negative}
        found.leave_out = sorted({*found.leave_out, *guessed})
    found.notes.append(f"Statuses seen: {', '.join(seen)}.")


def _negative_statuses(found: Guess, file: SourceFile, rows: Sequence[Sequence[str]]) -> set[str]:
    """The statuses of rows with a negative amount or quantity: these are refunds of other orders, which count."""
    names = [
        found.columns[name][0] for name in ("total_amount", "line_total", "price", "quantity") if name in found.columns
    ]
    places = [file.columns.index(name) for name in names]
    status = file.columns.index(found.columns["status"][0])
    return {row[status].strip().lower() for row in rows if any(NEGATIVE.match(row[place].strip()) for place in places)}
