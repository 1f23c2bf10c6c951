"""What WhatsApp bills: rate cards, and every message with a status (contract, section 5)."""

import csv
import re
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from tests.reference.contract import Expected, day_of, nulls_last, seed
from tests.reference.files import Content, Zone
from tests.reference.logs import Records, kept_sends
from tests.reference.people import Lines, People, compared

Row = dict[str, Any]
Price = tuple[str | None, str | None, str | None]
_SIGNS = {"$US": "USD", "A$": "AUD", "RP": "IDR", "R$": "BRL"}
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"]
_CENTS = Decimal("1.00000000")


@dataclass
class Cards:
    """Rates by (market, category, currency) and first day; a market is an ISO code or a group."""

    rates: dict[tuple[str, str, str], dict[date, set[Decimal]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(set)))

    def add(self, effective_from: str, currency: str, market: str, category: str, rate: Decimal) -> None:
        known = _markets().get(_letters(market))
        if known:
            self.rates[known, _category(category), currency][date.fromisoformat(effective_from)].add(rate)

    def find(self, market: str | None, category: str | None, day: date) -> tuple[Decimal, str] | None:
        """Return the rate and currency on a day: the later of the country's and its group's rate; on the same day the country's."""
        currencies = {currency for _, _, currency in self.rates}
        groups = {row["country"]: row["market_group"] for row in seed("markets")}
        if len(currencies) != 1 or market not in groups or category is None:
            return None
        (currency,) = currencies
        found = []
        for name in (market, groups[market]):
            days = self.rates.get((name, category, currency), {})
            begun = [first for first in days if first <= day]
            if begun:
                found.append((max(begun), name == market, min(days[max(begun)]).quantize(_CENTS)))
        return (max(found)[2], currency) if found else None


# Cards


def read_cards(landing: Zone, expected: Expected) -> Cards:
    """Read the rate cards of a landing zone, and record their rejected lines and their ledger entries."""
    cards = Cards()
    for content in landing.contents("rates"):
        lines = [(number, text.decode(errors="replace")) for number, text in content.records]
        header = next(((place, cells) for place, (_, text) in enumerate(lines) if "currency" in (cells := _header(text))), None)
        if header is None:
            content.is_damaged, content.size = True, 0
        else:
            preamble, prices = lines[: header[0]], lines[header[0] + 1 :]
            _read_prices(content, cards, header[1], " ".join(text for _, text in preamble), prices)
        content.count(expected)
    return cards


def _read_prices(content: Content, cards: Cards, header: list[str], preamble: str, lines: list[tuple[int, str]]) -> None:
    rows = [(number, text) for number, text in lines if text.strip(", ")]
    content.size = len(rows)
    day = _effective_day(preamble, content.name) if "rate" not in header else None
    if "rate" not in header and day is None:
        content.is_damaged, content.size = True, 0
        return
    for number, text in rows:
        cells = next(csv.reader([text]))
        if day is not None and cells[0].strip() and not "".join(cells[1:]).strip():
            # This line is a note below the table.
            content.size -= 1
            continue
        row = {name: cell.strip() for name, cell in zip(header, cells, strict=False)}
        prices = {row.get("category", ""): row.get("rate", "")} if day is None else {k: row.get(k, "") for k in header[2:] if k}
        first = day or row.get("effective_from", "")
        currency = _SIGNS.get(row.get("currency", "").upper(), row.get("currency", "").upper())
        is_good = _is_day(first) and re.fullmatch("[A-Z]{3}", currency) and row.get("market") and "\ufffd" not in text and all(prices)
        for category, price in prices.items():
            is_number = re.fullmatch(r"[0-9]+(\.[0-9]{1,8})?", price)
            if is_number and _is_day(first) and re.fullmatch("[A-Z]{3}", currency) and row.get("market") and category:
                cards.add(first, currency, row["market"], category, Decimal(price))
            elif not is_number and price.lower() not in ("", "n/a"):
                is_good = False
        if not is_good:
            content.reject(number)


def _header(text: str) -> list[str]:
    names = [cell.strip().lower() for cell in next(csv.reader([text]), [])]
    return names if {"market", "currency"} <= set(names) else []


def _effective_day(preamble: str, name: str) -> str | None:
    match = re.search(r"effective ([A-Z][a-z]+) ([0-9]{1,2}), ([0-9]{4})", preamble)
    if match:
        return f"{match[3]}-{_MONTHS.index(match[1]) + 1:02}-{int(match[2]):02}"
    named = _DAY.search(name)
    return named[0] if named else None


def _is_day(text: str) -> bool:
    try:
        return bool(_DAY.fullmatch(text) and date.fromisoformat(text))
    except ValueError:
        return False


def _category(text: str) -> str:
    return "authentication-international" if text.lower() == "authentication_international" else text.lower()


def _letters(text: str) -> str:
    return re.sub("[^a-z]", "", text.lower().replace("&", "and"))


@cache
def _markets() -> dict[str, str]:
    """Map every name that a card may use for a market to its ISO code or group."""
    names = {}
    for row in seed("markets"):
        names |= {_letters(row["market_group"]): row["market_group"], _letters(row["market_name"]): row["country"]}
        names[_letters(row["country"])] = row["country"]
    return names


# Messages


def bill(records: Records, lines: Lines, people: People, zone: ZoneInfo, cards: Cards, expected: Expected) -> None:
    """Add a row for each message with a status."""
    sends = kept_sends(records)
    starts = {row["message_id"] for row in expected.session_starts if row["source"] == "logs"}
    statuses_of: dict[str, list[Row]] = defaultdict(list)
    for status in records.statuses:
        statuses_of[status["id"]].append(status)
    for message_id, statuses in statuses_of.items():
        send = sends.get(message_id)
        numbers, users = _recipients(statuses)
        recipient = next(iter((*numbers, *users)), None)
        contact = send["contact"] if send else recipient
        person = people.person(contact) if contact else None
        shown = lines.describe(_line(send, statuses, lines))
        at = _first_time(statuses, "delivered") or _first_time(statuses, "read", "played")
        model, category, type_ = _price(statuses)
        market = _market([*numbers[:1], person]) or _letters_of_user_id([*users[:1], person])
        is_charged = at is not None and type_ == "regular"
        is_free = at is None or (type_ or "").startswith("free_")
        found = cards.find(market, category, day_of(at, zone)) if is_charged and at else None
        rate, currency = found or (None, None)
        expected.billed_messages.append(
            {
                "message_id": message_id,
                "channel_id": shown["channel_id"],
                "line_number": shown["line_number"],
                "person_id": person,
                "market": market,
                "billed_date": day_of(at, zone) if at else None,
                "pricing_model": model,
                "pricing_category": category,
                "pricing_type": type_,
                "is_delivered": at is not None,
                "is_charged": is_charged,
                "rate": rate,
                "currency": currency,
                "cost": Decimal(0).quantize(_CENTS) if is_free else rate,
                "cost_basis": "free" if is_free else "rate_card" if rate is not None else "unpriced",
                "template_name": send["template_name"] if send else None,
                "notification_name": send["notification_name"] if send else None,
                "session_start_id": message_id if message_id in starts else None,
            }
        )


def _recipients(statuses: list[Row]) -> tuple[list[str], list[str]]:
    """Return the numbers and the user ids in the statuses, in the compared spelling, smallest first."""
    numbers = {compared(status["recipients"][0]) for status in statuses if status["recipients"][0]}
    users = {status["recipients"][1] or status["recipients"][2] for status in statuses}
    return sorted(numbers), sorted(user for user in users if user)


def _line(send: Row | None, statuses: list[Row], lines: Lines) -> str:
    if send:
        return lines.of(send["channel"], send["number"])
    channels = sorted(status["channel"] for status in statuses if status["channel"])
    numbers = sorted(status["display"] for status in statuses if not status["channel"] and status["number"])
    return lines.of(channels[0], None) if channels else lines.of(None, re.sub("[^0-9]", "", numbers[0]))


def _first_time(statuses: list[Row], *names: str) -> datetime | None:
    return min((status["at"] for status in statuses if status["status"] in names), default=None)


def _price(statuses: list[Row]) -> Price:
    """Return model, category and type of the latest `delivered` or `read` that has any of them, or else of the latest `sent`."""
    first: dict[str, tuple[Any, ...]] = {}
    for status in statuses:
        stage = "read" if status["status"] == "played" else status["status"]
        model, category, type_ = status["price"]
        if (model or category or type_) and stage in ("sent", "delivered", "read"):
            key = (status["at"], nulls_last(category, model, type_), stage, (model, category, type_))
            first[stage] = min(first.get(stage, key), key)
    named = [first[stage] for stage in ("delivered", "read") if stage in first] or [first[stage] for stage in ("sent",) if stage in first]
    # At the same time, `read` comes after `delivered`.
    return max(named, key=lambda key: (key[0], key[2]))[3] if named else (None, None, None)


def _market(names: list[str | None]) -> str | None:
    """Return the country of the first name that is a number."""
    number = next((name for name in names if name and re.fullmatch("[0-9]+", name)), "")
    codes = {row["prefix"]: row["country"] for row in seed("calling_codes")}
    return next((codes[number[:length]] for length in range(7, 0, -1) if number[:length] in codes), None)


def _letters_of_user_id(names: list[str | None]) -> str | None:
    return next((name[:2] for name in names if name and re.match(r"[A-Z]{2}\.", name)), None)
