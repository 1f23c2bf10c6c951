"""The macros of identifiers outside dbt: what ids hold in base64, and what may be a number in any text."""

import base64
from collections.abc import Callable

import duckdb
import pytest

from orchestration.identifiers import create_identifier_macros, phone_punctuation
from orchestration.landing.erased import _candidates


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


def test_what_may_be_a_number_is_found_in_any_text() -> None:
    text = "to +55 (11) 98765-4321, 5511.8765.0001+5511987650002 and US.ENT.13491208x; not 123-456 and us.1"
    with duckdb.connect() as connection:
        found = connection.execute(f"select unnest(regexp_extract_all($text, '{_candidates()}'))", {"text": text}).fetchall()
    assert found == [("+55 (11) 98765-4321",), ("5511.8765.0001",), ("+5511987650002",), ("US.ENT.13491208x",)]


def test_every_character_between_digits_is_left_out_of_a_number() -> None:
    with duckdb.connect() as connection:
        create_identifier_macros(connection)
        row = connection.execute("select contact_id_shown($given)", {"given": f"5511{phone_punctuation()}987654321"}).fetchone()
    assert row == ("5511987654321",)
