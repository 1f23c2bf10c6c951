"""Tests of the identifier macros outside dbt: numbers in base64 ids, and possible identifiers in any text."""

import base64
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from orchestration.identifiers import all_spellings, create_identifier_macros
from orchestration.landing.erased import CANDIDATES_SQL
from orchestration.maintenance.erasure import files_containing
from orchestration.maintenance.person_rows import create_holds_person


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("is_padded", [True, False])
def test_number_in_a_base64_id_is_found_at_any_length(encode: Callable[[bytes], bytes], is_padded: bool) -> None:
    texts = [b"\xfb\xff" + b"x" * more + b"5511987654321" for more in range(4)]
    ids = ["wamid." + encode(text).decode() for text in texts]
    ids = ids if is_padded else [id_.rstrip("=") for id_ in ids]
    # Cut within a group of four: its complete bytes are still decoded.
    ids.append(encode(b"xxxxx5511987654321xxx").decode()[:25])
    with duckdb.connect() as connection:
        create_identifier_macros(connection)
        found = connection.execute("select number_in_id(unnest($ids))", {"ids": ids}).fetchall()
    assert found == [("5511987654321",)] * len(ids)


def test_possible_identifiers_are_found_in_any_text() -> None:
    text = "27 to +55 (11) 98765-4321, 5511.8765.0001+5511987650002/US.ENT.13491208x;+33 6 12 34 56 78;chats/web-9f2c wamid."
    text += base64.b64encode(b"\x1d\x0c5511987650009\x15\x02").decode()
    expected = {"5511987654321", "551187650001", "5511987650002", "US.ENT.13491208x", "33612345678", "web-9f2c", "5511987650009"}
    with duckdb.connect() as connection:
        create_identifier_macros(connection)
        connection.execute(
            "create temp table texts as select unnest([1, 2, 3]) as text_number, unnest([$text, 'to', '']) as text", {"text": text}
        )
        found = connection.execute(CANDIDATES_SQL).fetchall()
    assert expected <= {candidate for number, candidate in found if number == 1}
    assert {candidate for number, candidate in found if number != 1} <= {None}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


NUMBER, USER, WEB = "5511987654327", "US.13491208655302", "webchat-9f2c77aa"
NAMES_OF_A_PERSON = [
    *(
        f"{before}{name}"
        for before in ("", "ref-", "ref_", "x.", "1-", "1.", "ref--", "ref-1-", "%20", "%3D", "to%2F")
        for name in (USER, WEB)
    ),
    *(f"{before}{NUMBER}{after}" for before in ("", "ref-", "ref", "%2B", "?text=%20", "x") for after in ("", "/z", "%20", "x")),
    "5 5 1 1 9 8 7 6 5 4 3 2 7",
    "+55 11 98765 - 4327",
    "to=%2B55%20%2811%29%2098765-4327",
    "%35511987654327",
    "".join(f"%{ord(digit):02X}" for digit in NUMBER),
    "caf%E9 5511987654327",
    "５５１１９８７６５４３２７",
    "٥٥١١٩٨٧٦٥٤٣٢٧",
    "%EF%BC%955511987654327"[9:],
    *(f"id {encoded('x' * offset + ' ' + name)} end" for offset in range(4) for name in (NUMBER, USER)),
    *(f"https://x/{encoded('x' * offset + ' ' + name).rstrip('=')}/z" for offset in range(4) for name in (NUMBER, USER)),
    f"ab{encoded(NUMBER)}",
    # The last base64 letter is not one that a text uses here.
    encoded(f" {NUMBER}“"),
    "wamid." + encoded(f"\x1d\x0c{NUMBER}\x15\x02"),
]
NO_NAMES_OF_THAT_PERSON = [
    "55119876543270",
    "5511987654322",
    "US.134912086553020",
    "AUS.13491208655302",
    "webchat-9f2c77aab",
    encoded("5511987654322"),
    "%",
    "",
]


@pytest.fixture(scope="module")
def texts() -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection with numbered texts and the macros that search for a person; texts that name the person have odd numbers."""
    with duckdb.connect() as connection:
        create_identifier_macros(connection)
        create_holds_person(connection, [NUMBER, USER, WEB])
        given = [
            *((2 * at + 1, text) for at, text in enumerate(NAMES_OF_A_PERSON)),
            *((2 * at, text) for at, text in enumerate(NO_NAMES_OF_THAT_PERSON)),
        ]
        connection.execute("create table texts (text_number integer, text varchar)")
        connection.executemany("insert into texts values (?, ?)", given)
        yield connection


def test_person_to_erase_is_found_in_any_spelling(texts: duckdb.DuckDBPyConnection) -> None:
    found = texts.execute("select text from texts where holds_person(text) <> (text_number % 2 = 1)").fetchall()
    assert found == []


def test_erased_person_is_found_in_any_spelling_that_lands_later(texts: duckdb.DuckDBPyConnection) -> None:
    people = f"'{NUMBER}', '{USER}', '{WEB}'"
    named = f"select text_number from ({CANDIDATES_SQL}) where comparable_identifier(candidate) in ({people})"
    found = texts.execute(f"select text from texts where (text_number in ({named})) <> (text_number % 2 = 1)").fetchall()
    assert found == []


def test_files_with_the_person_are_listed_and_those_with_similar_numbers_are_not(tmp_path: Path) -> None:
    for offset in range(4):
        for after in ("", " end", "\x15\x02\x00"):
            for name, text in (
                ("own", NUMBER),
                ("own-user", USER),
                ("next", "5511987654322"),
                ("more", f"1{NUMBER}"),
                ("longer", f"{NUMBER}7"),
            ):
                content = encoded("x" * offset + " " * (name != "own") + text + after)
                (tmp_path / f"{name}-{offset}-{len(after)}").write_text(f"id,{content},z")
    (tmp_path / "own-readable").write_text("to +55 11 98765-4327.")
    found = {path.name for path in files_containing(tmp_path, [NUMBER, USER])}
    assert found == {path.name for path in tmp_path.iterdir() if path.name.startswith("own")}


def test_memory_for_a_long_text_of_digits_is_linear() -> None:
    with duckdb.connect(config={"memory_limit": "400MB", "max_temp_directory_size": "0B"}) as connection:
        create_identifier_macros(connection)
        connection.execute("create temp table texts as select 1 as text_number, repeat('1 ', 300_000) as text")
        assert connection.execute(f"select count(*) from ({CANDIDATES_SQL}) where length(candidate) = 6").fetchone() == (299_995,)


@pytest.mark.parametrize(
    ("identifier", "other"),
    [
        ("5511987654321", ["551187654321"]),
        ("5491123456789", ["541123456789"]),
        ("525512340003", ["5215512340003"]),
        ("551130000002", []),
        ("14155550100", []),
        ("BR.551187654321", []),
    ],
)
def test_every_spelling_of_a_number_is_recognised(identifier: str, other: list[str]) -> None:
    assert all_spellings([identifier]) == [identifier, *other]


def test_separators_between_digits_are_removed_from_a_number() -> None:
    with duckdb.connect() as connection:
        create_identifier_macros(connection)
        row = connection.execute("select display_identifier($given)", {"given": "5511+ ().-987654321"}).fetchone()
    assert row == ("5511987654321",)


@pytest.mark.parametrize("digits", ["0123456789", "０１２３４５６７８９", "٠١٢٣٤٥٦٧٨٩", "۰۱۲۳۴۵۶۷۸۹", "०१२३४५६७८९"])
def test_digits_of_other_scripts_are_read_as_ascii(digits: str) -> None:
    with duckdb.connect() as connection:
        create_identifier_macros(connection)
        assert connection.execute("select readable_text($text)", {"text": f"<{digits}>"}).fetchone() == ("<0123456789>",)
