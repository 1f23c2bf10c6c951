"""Tests of rate cards, tidy and in Meta's format: landed, rejected or set aside (contract, section 5)."""

import gzip
import random
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration.landing.erased import ErasedPeople
from orchestration.landing.feeds import FEED_NAMES, RATES
from orchestration.landing.land import LandingReport, land_feed
from orchestration.landing.listing import SkippedEntry
from orchestration.landing.rate_cards import card_lines
from orchestration.landing.reading.streams import DamagedFileError
from orchestration.landing.rejections import unbalanced_files
from orchestration.landing.zone import LandingZone

TIDY = "effective_from,currency,market,category,rate\n"
# Five rows above the header, as on Meta's cards; the header has a newline in a cell.
OF_META = """\
"Cost per message in USD, effective July 1, 2025",,,,,,
Note: Authentication templates have other rates in India as of August 1, 2025.,,,,,,
"Note: the rates of ""service"" messages
are not shown",,,,,,
,,,,,,
Market,Currency,Marketing,Utility,Authentication,"Authentication-
International",Service
Argentina,$US,0.0618,0.0260,0.0260,n/a,n/a
India,$US,0.0118,0.0014,0.0014,0.0304,n/a
Rest of Latin America,$US,0.0740,0.0113,0.0113,n/a,n/a
"""


class Landing:
    """A landing zone in a folder, and a warehouse in memory."""

    def __init__(self, folder: Path, connection: duckdb.DuckDBPyConnection) -> None:
        self.folder = folder
        self.connection = connection

    def land(self, name: str, content: str | bytes) -> LandingReport:
        path = self.folder / "rates" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return self.land_again()

    def land_again(self) -> LandingReport:
        erased = ErasedPeople.load(self.folder)
        erased.add("2026-01-01", ["5511987654321"])
        report = land_feed(self.connection, LandingZone(str(self.folder), FEED_NAMES), RATES, erased)
        assert unbalanced_files(self.connection) == []
        return report

    def rates(self) -> list[tuple[Any, ...]]:
        return self.connection.execute("select * exclude (_file_name, _landed_at, _load_id) from raw.rates order by all").fetchall()

    def rejected(self) -> list[tuple[Any, ...]]:
        return self.connection.execute(
            "select file_name, line_number, reason, record from raw.rejected_records where feed = 'rates' order by all"
        ).fetchall()


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    connection = duckdb.connect()
    connection.execute("set timezone = 'America/Sao_Paulo'")
    return Landing(tmp_path, connection)


def rates_of(text: str, name: str = "rates/2026-01-01.csv") -> list[tuple[str, ...]]:
    return [tuple(vars(rate).values()) for line in card_lines(text, name) for rate in line.rates]


def problems_of(text: str, name: str = "rates/2026-01-01.csv") -> dict[int, list[str]]:
    return {line.line_number: line.problems for line in card_lines(text, name) if line.problems}


def test_tidy_card_lands_like_any_feed(landing: Landing) -> None:
    report = landing.land("own.csv", TIDY + "2026-10-01,USD,BR,marketing,0.0625\n\n2026-10-01,usd,Brazil,Utility,n/a\n")
    # A market without a price counts as a record but has no rate.
    assert (report.records, report.landed, report.rejected) == (2, 2, 0)
    assert landing.rates() == [(date(2026, 10, 1), "USD", "BR", "marketing", Decimal("0.06250000"), 2)]
    assert landing.land_again().files_known == 1
    assert landing.land("mac.csv", f"{TIDY}2026-10-01,USD,AR,marketing,0.0618\n".replace("\n", "\r")).landed == 1


def test_meta_card_has_a_rate_for_each_market_and_category(landing: Landing) -> None:
    landing.land("card.csv.gz", gzip.compress(b"\xef\xbb\xbf" + OF_META.replace("\n", "\r\n").encode()))
    assert landing.rates() == [
        (date(2025, 7, 1), "USD", market, category, Decimal(rate), line)
        for market, category, rate, line in [
            ("Argentina", "authentication", "0.026", 8),
            ("Argentina", "marketing", "0.0618", 8),
            ("Argentina", "utility", "0.026", 8),
            ("India", "authentication", "0.0014", 9),
            ("India", "authentication-international", "0.0304", 9),
            ("India", "marketing", "0.0118", 9),
            ("India", "utility", "0.0014", 9),
            ("Rest of Latin America", "authentication", "0.0113", 10),
            ("Rest of Latin America", "marketing", "0.074", 10),
            ("Rest of Latin America", "utility", "0.0113", 10),
        ]
    ]


def test_only_bad_lines_are_rejected_with_file_line_and_reason(landing: Landing) -> None:
    content = (
        TIDY + "2026-13-01,USD,BR,marketing,1\n" + '2026-10-01,USD,BR,"marketing,1\n'
    ).encode() + b"2026-10-01,USD,BR,\xff,1\n2026-10-01,USD,BR,utility,2\n"
    report = landing.land("a.csv", content)
    assert (report.records, report.landed, report.rejected) == (4, 1, 3)
    assert landing.rejected() == [
        ("rates/a.csv", 2, "effective_from: not a day as YYYY-MM-DD", "2026-13-01,USD,BR,marketing,1"),
        ("rates/a.csv", 3, "not CSV: a quotation mark is out of place", '2026-10-01,USD,BR,"marketing,1'),
        ("rates/a.csv", 4, "not UTF-8", "2026-10-01,USD,BR,\\xff,1"),
    ]
    assert len(landing.rates()) == 1


def test_good_rates_of_a_line_land_beside_a_bad_one(landing: Landing) -> None:
    landing.land("2026-01-01.csv", "Market,Currency,Marketing,Utility\nBrazil,USD,0.06,six\n")
    assert [(category, rate) for _, _, _, category, rate, _ in landing.rates()] == [("marketing", Decimal("0.06"))]
    assert landing.rejected() == [("rates/2026-01-01.csv", 2, "utility: not a number with a decimal point", "Brazil,USD,0.06,six")]


def test_column_without_any_price_is_not_a_category() -> None:
    # Meta's list of October 2026 has such a column.
    card = (
        'Market,Currency,Marketing,"Authentication-\nInternational",Meta Business Agent,Notes,New Category\n'
        "Brazil,$US,0.0610,n/a,$2.00 USD / 1 M (million) tokens,changed,n/a\n"
        "India,$US,0.0118,0.0304,$2.00 USD / 1 M (million) tokens,,0.5\n"
    )
    assert [rate[2:] for rate in rates_of(card)] == [
        ("Brazil", "marketing", "0.061"),
        ("India", "marketing", "0.0118"),
        ("India", "authentication-international", "0.0304"),
        ("India", "new_category", "0.5"),
    ]
    assert problems_of(card) == {}


def test_known_category_without_a_price_and_new_category_with_a_bad_price_are_rejected() -> None:
    card = "Market,Currency,Marketing,New Category\nBrazil,USD,six,0.5\nIndia,USD,seven,many\n"
    reason = "not a number with a decimal point"
    assert problems_of(card) == {2: [f"marketing: {reason}"], 3: [f"marketing: {reason}", f"new_category: {reason}"]}


@pytest.mark.parametrize(
    "category",
    [
        *("marketing", "utility", "authentication", "authentication-international", "service"),
        *("marketing_lite", "referral_conversion"),
    ],
)
def test_known_category_with_only_bad_prices_is_rejected(category: str) -> None:
    card = f"Market,Currency,{category},New Category\nBrazil,USD,six,1\n"
    assert problems_of(card) == {2: [f"{category}: not a number with a decimal point"]}


def test_market_and_currency_are_those_of_the_first_column_of_the_name() -> None:
    card = "Market,Currency,Marketing,Currency,Market\nBrazil,USD,0.06,EUR,Peru\n"
    assert rates_of(card) == [("2026-01-01", "USD", "Brazil", "marketing", "0.06")]


def test_line_above_the_table_that_names_no_category_is_not_its_header() -> None:
    assert len(rates_of("Market,Currency,,\nMarket,Currency,Marketing\nBrazil,USD,0.06\n")) == 1


def test_notes_below_the_table_of_a_meta_card_are_not_records(landing: Landing) -> None:
    table = "Market,Currency,Marketing\nBrazil,USD,0.06\n"
    report = landing.land("2026-01-01.csv", f'{table},,\n"Taxes are not included, and fees",,\nSee our site\n,USD,\n')
    assert (report.records, report.landed) == (2, 1)
    assert landing.rejected() == [("rates/2026-01-01.csv", 6, "market: missing", ",USD,")]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "no header"),
        ("Market;Currency;Marketing\nBrazil;USD;0,06\n", "no header"),
        ("Market,Currency,Marketing\nBrazil,USD,0.06\n", "no effective day"),
        ("effective someday\nMarket,Currency,Marketing\nBrazil,USD,0.06\n", "no effective day"),
        (TIDY.encode("utf-16"), "UTF-16"),
        ("effective someday\nMarket,Currency,Authentificación\nBrazil,USD,0.06\n".encode("latin-1"), "ends on line 2, is not UTF-8"),
        (b"\xff" + TIDY.encode().replace(b"rate", b"rate,\xff"), "ends on line 1, is not UTF-8"),
    ],
)
def test_invalid_rate_card_is_set_aside_and_lands_under_a_name_with_its_day(landing: Landing, content: str | bytes, reason: str) -> None:
    report = landing.land("card.csv", content)
    assert (report.records, len(report.files_set_aside)) == (0, 1)
    assert reason in report.files_set_aside[0]
    landing.land("card-2026-04-01.csv", content)
    assert [day for day, *_ in landing.rates()] == ([date(2026, 4, 1)] if reason == "no effective day" else [])


_PIECES = (
    b"\0",
    b"\r",
    b'"',
    b'""',
    b",,,,",
    b"\n\n",
    b"\xff",
    b"\xef\xbb\xbf",
    b"9" * 400,
    b"1e400",
    b"NaN",
    b"-5",
    b"2026-02-30",
    b";",
    b"x",
)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.sampled(4)
def test_damaged_card_does_not_keep_others_from_landing(landing: Landing, seed: int) -> None:
    rnd = random.Random(seed)
    for number in range(12):
        card = bytearray(rnd.choice([TIDY + "2026-01-01,USD,BR,marketing,0.06\n2026-01-01,USD,BR,utility,n/a\n", OF_META]).encode())
        for _ in range(rnd.randint(1, 4)):
            place = rnd.randrange(len(card))
            card[place : place + rnd.choice([0, 0, 1, 5, 30])] = rnd.choice(_PIECES)
        (landing.folder / "rates").mkdir(exist_ok=True)
        (landing.folder / "rates" / f"{number}{rnd.choice(['', ' 2026-03-01'])}.csv").write_bytes(card)
    landing.land("good.csv", TIDY + "2026-02-02,USD,XX,marketing,1\n")
    assert (date(2026, 2, 2), "USD", "XX", "marketing", Decimal(1), 2) in landing.rates()
    assert landing.land_again().files_landed == 0


def test_changed_card_lands_beside_the_old_one(landing: Landing) -> None:
    landing.land("a.csv", TIDY + "2026-10-01,USD,BR,marketing,1\n")
    landing.land("a.csv", TIDY + "2026-10-01,USD,BR,marketing,2\n")
    assert [rate for *_, rate, _ in landing.rates()] == [1, 2]


def test_files_with_other_extensions_and_folders_with_close_names_are_listed(landing: Landing) -> None:
    (landing.folder / "rate").mkdir()
    (landing.folder / "card.csv").touch()
    landing.land("card.jsonl", "{}\n")
    report = landing.land("CARD.CSV", TIDY)
    assert report.skipped_entries == [
        SkippedEntry("rates/CARD.CSV", "its extension is not in lower case"),
        SkippedEntry("rates/card.jsonl", "its extension is not one of .csv, alone or with .gz or .zst"),
    ]
    assert [passed.name for passed in LandingZone(str(landing.folder), FEED_NAMES).misplaced()] == ["card.csv", "rate/"]


@pytest.mark.parametrize(
    ("preamble", "name", "day"),
    [
        ("Rates effective October 1, 2026", "x.csv", "2026-10-01"),
        ("RATES EFFECTIVE FROM 1st of Oct. 2026", "x.csv", "2026-10-01"),
        ("Updated 2026-08-01, effective 2026-10-01, later 2027-01-01", "2020-01-01.csv", "2026-10-01"),
        ("Updated 2026-08-01", "usd-2026-10-01.csv", "2026-10-01"),
        ("As of January 1, 2026", "x.csv", "2026-01-01"),
        ("As of January 1, 2026 (2026-01-01)", "x.csv", "2026-01-01"),
        ("Effective January 1, 2026, until 2026-12-31", "x.csv", "2026-01-01"),
        # Ambiguous: nothing shows which of the two it is.
        ("From January 1, 2026 to March 31, 2026", "x.csv", None),
        ("Effective 2026-02-30", "x.csv", None),
        ("Rates", "x20261001.csv", None),
    ],
)
def test_effective_day_is_read_from_the_preamble_or_the_name(preamble: str, name: str, day: str | None) -> None:
    text = f'"{preamble}",,\nMarket,Currency,Marketing\nBrazil,USD,0.06\n'
    if day is None:
        with pytest.raises(DamagedFileError, match="no effective day"):
            card_lines(text, name)
    else:
        assert rates_of(text, name) == [(day, "USD", "Brazil", "marketing", "0.06")]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        *(("$US", "USD"), ("US$", "USD"), ("A$", "AUD"), ("RP", "IDR"), ("Rp.", "IDR"), ("€", "EUR"), ("£", "GBP"), ("₹", "INR")),
        *(("AU$", "AUD"), ("MX$", "MXN"), ("$MX", "MXN"), ("S$", "SGD"), ("HK$", "HKD"), ("CA$", "CAD"), ("C$", "CAD"), ("NZ$", "NZD")),
        ("Rs.", "INR"),
        *((" brl ", "BRL"), ("R$", "BRL"), ("$", None), ("dollars", None), ("", None)),
    ],
)
def test_currency_is_read_as_its_code(given: str, code: str | None) -> None:
    text = TIDY + f"2026-10-01,{given},BR,marketing,1\n"
    assert [rate[1] for rate in rates_of(text)] == ([code] if code else [])
    assert len(problems_of(text)) == (code is None)


@pytest.mark.parametrize(
    ("given", "rate"),
    [
        *(
            ("0.0625", "0.0625"),
            ("$0.0625", "0.0625"),
            ("RP 586.33", "586.33"),
            ('"1,600.50"', "1600.5"),
            ("0", "0"),
            ("0.062500000000", "0.0625"),
            ("8.0E-4", "0.0008"),
            ("1e-2", "0.01"),
            ("0.12345678", "0.12345678"),
            ("1234567890", "1234567890"),
            ("0.0625 €", "0.0625"),
            ("586.33 rp", "586.33"),
        ),
        *((empty, None) for empty in ("n/a", "N/A", "NA", "", "-", "–", "—")),
        *(
            ('"0,0625"', "bad"),
            ("-0.1", "bad"),
            ("1e-9", "bad"),
            ("1e99", "bad"),
            ("six", "bad"),
            ("0.123456789", "bad"),
            ("12345678901", "bad"),
            ("NaN", "bad"),
        ),
    ],
)
def test_rate_is_read_as_a_decimal(given: str, rate: str | None) -> None:
    text = TIDY + f"2026-10-01,USD,BR,marketing,{given}\n"
    assert [found[4] for found in rates_of(text)] == ([rate] if rate not in (None, "bad") else [])
    assert len(problems_of(text)) == (rate == "bad")


def test_lines_with_missing_or_extra_cells_are_rejected() -> None:
    assert problems_of(TIDY + ",,,,1\n") == {2: ["effective_from: missing", "market: missing", "currency: missing", "category: missing"]}
    assert problems_of("Market,Currency,Marketing\nBrazil,USD,1,2\nPeru,,1\n") == {
        2: ["more cells than the header"],
        3: ["currency: missing"],
    }
    # Empty cells at the end, as spreadsheets write them, are none too many. A price without a market is no rate.
    card = "Market,Currency,Marketing\nBrazil,USD,1,,\n,USD,2\n"
    assert problems_of(card) == {3: ["market: missing"]}
    assert [rate[2] for rate in rates_of(card)] == ["Brazil"]


def test_columns_are_read_in_any_order_and_beside_others() -> None:
    assert rates_of("note,Rate,Category,Market,Currency,Effective_From\nx,1,Authentication_International,BR,USD,2026-10-01\n") == [
        ("2026-10-01", "USD", "BR", "authentication-international", "1")
    ]


def test_file_too_long_for_a_card_is_set_aside(landing: Landing) -> None:
    (landing.folder / "rates").mkdir()
    (landing.folder / "rates" / "a.csv").write_text(TIDY + "2026-10-01,USD,BR,marketing,1\n" * 100)
    report = land_feed(landing.connection, LandingZone(str(landing.folder), FEED_NAMES), RATES, max_record_bytes=1024)
    assert report.files_set_aside == ["rates/a.csv: it is longer than 1,024 bytes, too long for a rate card"]
    (landing.folder / "rates" / "a.csv").write_text(f"{TIDY}2026-10-01,USD,BR,marketing,1\n".ljust(1024))
    assert land_feed(landing.connection, LandingZone(str(landing.folder), FEED_NAMES), RATES, max_record_bytes=1024).landed == 1
