"""Read WhatsApp's rate cards: CSV files of prices, tidy or as Meta publishes them (contract, section 5).

A tidy card has one price per line, under the header `effective_from, currency, market, category, rate`. A card from Meta has a few
lines of text, then a table with one market per line and one category per column. The text states the first day on which the prices
apply ("Cost per message in USD, effective July 1, 2025"); the file name may state it instead (`2025-07-01-usd.csv`). A column of a
card from Meta may contain something else, as `Meta Business Agent` has since July 2026 (a price of tokens, in words).

A record is a line of prices. Text above and below the table, the header and blank lines are not records. Cards are small, so each
is read whole.
"""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path, PurePosixPath

import pyarrow as pa

from orchestration.landing.reading.lines import LINES_SCHEMA, MAX_RECORD_BYTES, Reading
from orchestration.landing.reading.streams import DamagedFileError, HashedFile, chunks
from orchestration.texts import is_utf8

_TIDY_COLUMNS = ("effective_from", "currency", "market", "category", "rate")
# How Meta writes currencies other than as ISO codes. `$` alone may be any of twenty currencies.
_CURRENCY_SIGNS = {
    **{"$US": "USD", "US$": "USD", "A$": "AUD", "AU$": "AUD", "R$": "BRL", "MX$": "MXN", "$MX": "MXN", "S$": "SGD", "HK$": "HKD"},
    **{"CA$": "CAD", "C$": "CAD", "NZ$": "NZD", "RP": "IDR", "RS": "INR", "₹": "INR", "€": "EUR", "£": "GBP"},
}
_NO_RATE = {"", "n/a", "na", "-", "–", "—"}
# The category columns of Meta's cards, and the other values that WhatsApp posts as `pricing.category`:
# https://developers.facebook.com/docs/whatsapp/pricing
_KNOWN_CATEGORIES = {
    *("marketing", "utility", "authentication", "authentication-international", "service"),
    *("marketing_lite", "referral_conversion"),
}
_INTEGER_DIGITS, _DECIMALS = 10, 8
# Spreadsheets write 0.0008 as 8.0E-4.
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?(E[+-]?[0-9]{1,2})?|[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?")
_ISO_DAY = re.compile(r"(?<![0-9])([0-9]{4})-([0-9]{2})-([0-9]{2})(?![0-9])")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = f"({'|'.join(_MONTHS)})[a-z]*\\.?"
_MONTH_FIRST = re.compile(rf"\b{_MONTH} +([0-9]{{1,2}})(?:st|nd|rd|th)?,? +([0-9]{{4}})\b")
_DAY_FIRST = re.compile(rf"\b([0-9]{{1,2}})(?:st|nd|rd|th)?(?: of)? +{_MONTH},? +([0-9]{{4}})\b")
# Meta's header contains a newline; a row of more lines than this is not a header.
_MAX_LINES_OF_A_ROW = 20


@dataclass(frozen=True)
class Rate:
    """The price of one message, in `currency` (ISO 4217), as landed."""

    effective_from: str
    currency: str
    market: str
    category: str
    rate: str


@dataclass(frozen=True)
class CardLine:
    """A line of prices, with its text, rates and problems. `line_number` counts from 1."""

    line_number: int
    text: str
    rates: list[Rate]
    problems: list[str]


def read_rate_card(
    path: Path, file_name: str, file_index: int, reading: Reading | None = None, max_record_bytes: int = MAX_RECORD_BYTES
) -> Iterator[pa.RecordBatch]:
    """Yield a card's lines of prices as `LINES_SCHEMA`; each `line` is a JSON object with `record`, `problem` and `rates`.

    Raises the same errors as `lines.read_lines`; `DamagedFileError` also if the file is not a rate card or has no effective day.
    """
    reading = Reading() if reading is None else reading
    with HashedFile(path) as file:
        try:
            lines = card_lines(_text(file, file_name, max_record_bytes), file_name)
        finally:
            reading.sha256, reading.bytes = file.sha256(), file.bytes
    if lines:
        values = [
            {
                "record": line.text.encode(errors="surrogateescape").decode(errors="backslashreplace"),
                "problem": "; ".join(line.problems) or None,
                "rates": [vars(rate) for rate in line.rates],
            }
            for line in lines
        ]
        yield pa.record_batch(
            [
                pa.array([file_index] * len(lines), pa.int32()),
                pa.array(range(1, len(lines) + 1), pa.int64()),
                pa.array([line.line_number for line in lines], pa.int64()),
                pa.array([json.dumps(value) for value in values], pa.string_view()),
                pa.nulls(len(lines), pa.string()),
            ],
            schema=LINES_SCHEMA,
        )


def _text(file: HashedFile, file_name: str, max_bytes: int) -> str:
    """Return a card's text; bytes that are not UTF-8 become lone surrogates."""
    content = bytearray()
    for chunk in chunks(file, file_name):
        content += chunk
        if len(content) > max_bytes:
            raise DamagedFileError(f"it is longer than {max_bytes:,} bytes, too long for a rate card")
    return content.decode(errors="surrogateescape").replace("\r\n", "\n").replace("\r", "\n")


def card_lines(text: str, file_name: str) -> list[CardLine]:
    """Return the lines of prices of a card. Raises `DamagedFileError` if it has no header or no effective day."""
    lines = text.split("\n")
    preamble, header, first = _header(lines)
    if not all(map(is_utf8, header)):
        # The names of the categories come from the header.
        raise DamagedFileError(f"its header, which ends on line {first}, is not UTF-8: save it as UTF-8")
    names = [_header_name(cell) for cell in header]
    # A tidy card has the effective day on each line.
    is_tidy = set(_TIDY_COLUMNS) <= set(names)
    effective_from = "" if is_tidy else _effective_from(preamble, file_name)
    rows = [(number, line, *_cells(line)) for number, line in enumerate(lines[first:], first + 1)]
    if not is_tidy:
        names = _without_unpriced_columns(names, [cells for _, _, cells, _ in rows])
    found = []
    for number, line, cells, problem in rows:
        if problem is not None:
            found.append(CardLine(number, line, [], [problem]))
        elif any(cells) and (is_tidy or not _is_note(cells)):
            rates, problems = (_tidy_rates if is_tidy else _rates_by_category)(names, cells, effective_from)
            found.append(CardLine(number, line, rates, problems))
    return found


def _without_unpriced_columns(names: list[str], rows: list[list[str]]) -> list[str]:
    """Return the column names of a Meta card, with the name of each unknown column without a price on any line cleared."""
    is_priced = [any(place < len(cells) and _amount(cells[place], name)[0] for cells in rows) for place, name in enumerate(names)]
    known = {"market", "currency", *_KNOWN_CATEGORIES}
    return [name if name in known or priced else "" for name, priced in zip(names, is_priced, strict=True)]


def _is_note(cells: list[str]) -> bool:
    """Return whether only the first cell of a Meta card's line is filled: a note below the table, or a market without prices."""
    return bool(cells[0]) and not any(cells[1:])


def _header(lines: list[str]) -> tuple[list[str], list[str], int]:
    """Return the text above the header, the header's cells, and the number of lines up to its end."""
    preamble: list[str] = []
    place = 0
    while place < len(lines):
        reader = csv.reader(f"{line}\n" for line in lines[place : place + _MAX_LINES_OF_A_ROW])
        row = _next_row(reader)
        names = [_header_name(cell) for cell in row]
        if {"market", "currency"} <= set(names) and len(set(filter(None, names))) > 2:
            return preamble, row, place + reader.line_num
        preamble.append(lines[place])
        place += 1
    raise DamagedFileError(
        f"no header of a rate card: neither {', '.join(_TIDY_COLUMNS)} nor Market, Currency and a column for each category"
    )


def _next_row(rows: Iterator[list[str]]) -> list[str]:
    try:
        return next(rows, [])
    except csv.Error:
        return []


def _header_name(cell: str) -> str:
    """Return a column's name in comparable form; for a category, the category."""
    return category_of(cell).replace("effective-from", "effective_from")


def category_of(text: str) -> str:
    """Return a category in the one spelling that WhatsApp posts."""
    name = re.sub(r"\s*-\s*", "-", text.strip().lower())
    name = re.sub(r"\s+", "_", name)
    return "authentication-international" if name == "authentication_international" else name


def _cells(line: str) -> tuple[list[str], str | None]:
    """Return a line's cells without surrounding spaces, and the problem with the line or None."""
    if not is_utf8(line):
        return [], "not UTF-8"
    try:
        return [cell.strip() for row in csv.reader([line], strict=True) for cell in row], None
    except csv.Error:
        return [], "not CSV: a quotation mark is out of place"


def _tidy_rates(names: list[str], cells: list[str], _: str) -> tuple[list[Rate], list[str]]:
    values = dict(zip(names, cells, strict=False))
    effective_from, currency, market, category, rate = (values.get(name, "") for name in _TIDY_COLUMNS)
    problems = (
        [] if _is_day(effective_from) else ["effective_from: not a day as YYYY-MM-DD" if effective_from else "effective_from: missing"]
    )
    code, more = _currency_code(currency, market)
    problems += more + ([] if category else ["category: missing"])
    amount, problem = _amount(rate, "rate")
    problems += [problem] if problem else []
    if problems or amount is None:
        return [], problems
    return [Rate(effective_from, code, market, category_of(category), amount)], []


def _rates_by_category(names: list[str], cells: list[str], effective_from: str) -> tuple[list[Rate], list[str]]:
    values = [*zip(names, cells, strict=False)]
    by_name = dict(reversed(values))
    currency, problems = _currency_code(by_name.get("currency", ""), by_name.get("market", ""))
    if any(cells[len(names) :]):
        problems.append("more cells than the header")
    rates = []
    for name, cell in values:
        if name and name not in ("market", "currency"):
            amount, problem = _amount(cell, name)
            if problem is not None:
                problems.append(problem)
            elif amount is not None and currency and by_name.get("market"):
                rates.append(Rate(effective_from, currency, by_name["market"], name, amount))
    return rates, problems


def _currency_code(currency: str, market: str) -> tuple[str, list[str]]:
    """Return the ISO code of a currency, and the problems with currency and market."""
    code = _CURRENCY_SIGNS.get(currency.upper().rstrip("."), currency.upper())
    problems = [] if market else ["market: missing"]
    if not currency:
        return "", [*problems, "currency: missing"]
    if not re.fullmatch("[A-Z]{3}", code):
        return "", [*problems, "currency: neither a code such as USD nor a known sign"]
    return code, problems


def _amount(text: str, name: str) -> tuple[str | None, str | None]:
    """Return a price as a plain number (None if the card has none), and the problem with it or None."""
    bare = text.upper()
    if bare.lower() in _NO_RATE:
        return None, None
    for sign in sorted(_CURRENCY_SIGNS, key=len, reverse=True):
        bare = bare.removeprefix(sign).removesuffix(sign)
    bare = bare.strip("$ \u00a0")
    if not _NUMBER.fullmatch(bare):
        return None, f"{name}: not a number with a decimal point"
    try:
        amount = Decimal(bare.replace(",", "")).normalize()
    except InvalidOperation:
        return None, f"{name}: not a number with a decimal point"
    plain = f"{amount:f}"
    integer, _, decimals = plain.partition(".")
    if len(integer) > _INTEGER_DIGITS or len(decimals) > _DECIMALS:
        return None, f"{name}: more than {_INTEGER_DIGITS} digits before or {_DECIMALS} after the decimal point"
    return plain, None


def _effective_from(preamble: list[str], file_name: str) -> str:
    """Return the day from which a Meta card applies.

    It is the first day after "effective" in the text, else the first day in the file name, else the only day in the text.
    """
    text = " ".join(preamble).lower()
    _, word, after = text.partition("effective")
    candidates = [_days(after)[:1] if word else [], _days(PurePosixPath(file_name).name)[:1]]
    days = _days(text)
    candidates.append(days if len(set(days)) == 1 else [])
    for found in candidates:
        if found:
            return found[0]
    raise DamagedFileError("no effective day: neither its first lines nor its name (such as 2026-10-01.csv) states when its rates begin")


def _days(text: str) -> list[str]:
    """Return the days in a text, in order, in ISO format."""
    found = [(match.start(), match[1], match[2], match[3]) for match in _ISO_DAY.finditer(text)]
    found += [(match.start(), match[3], str(_MONTHS.index(match[1]) + 1), match[2]) for match in _MONTH_FIRST.finditer(text)]
    found += [(match.start(), match[3], str(_MONTHS.index(match[2]) + 1), match[1]) for match in _DAY_FIRST.finditer(text)]
    days = [f"{year}-{int(month):02}-{int(day):02}" for _, year, month, day in sorted(found)]
    return [day for day in days if _is_day(day)]


def _is_day(text: str) -> bool:
    try:
        return bool(_ISO_DAY.fullmatch(text)) and bool(date.fromisoformat(text))
    except ValueError:
        return False
