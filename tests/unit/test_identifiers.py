"""The macros of identifiers outside dbt: what ids hold in base64, and what may be an identifier in any text."""

import base64
from collections.abc import Callable

import duckdb
import pytest

from orchestration.identifiers import all_spellings, create_identifier_macros
from orchestration.landing.erased import CANDIDATES_SQL


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("is_padded", [True, False])
def test_the_text_in_an_id_is_found_whatever_its_length(encode: Callable[[bytes], bytes], is_padded: bool) -> None:
    texts = [b"\xfb\xff" + b"x" * more + b"5511987654321" for more in range(4)]
    ids = ["wamid." + encode(text).decode() for text in texts]
    ids = ids if is_padded else [id_.rstrip("=") for id_ in ids]
    # Cut within a group of four: what is whole in it is still read.
    ids.append(encode(b"xxxxx5511987654321xxx").decode()[:25])
    with duckdb.connect() as connection:
        create_identifier_macros(connection)
        found = connection.execute("select number_in_id(unnest($ids))", {"ids": ids}).fetchall()
    assert found == [("5511987654321",)] * len(ids)


def test_what_may_be_an_identifier_is_found_in_any_text() -> None:
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


def test_a_long_text_of_digits_takes_no_more_memory_than_its_length() -> None:
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
def test_every_spelling_of_a_number_is_known(identifier: str, other: list[str]) -> None:
    assert all_spellings([identifier]) == [identifier, *other]


def test_every_character_between_digits_is_left_out_of_a_number() -> None:
    with duckdb.connect() as connection:
        create_identifier_macros(connection)
        row = connection.execute("select contact_id_shown($given)", {"given": "5511+ ().-987654321"}).fetchone()
    assert row == ("5511987654321",)
