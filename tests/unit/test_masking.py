"""Tests of masked contacts: no exported value reveals a number, in any spelling (contract, section 6)."""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from orchestration.errors import StartsError
from orchestration.exports.daily import export_days
from orchestration.publication.marts import PUBLISHED_TABLES
from orchestration.publication.masking import masking_fingerprint, may_hold_number, prepare_masking, published_rows
from orchestration.publication.person_columns import Mask, masks_of_marts
from orchestration.publication.publish import publish
from orchestration.settings import Contacts, Settings
from orchestration.transform.builds import MARTS
from orchestration.transform.parsed import parsed_project
from orchestration.warehouse import open_warehouse
from tests.marts import Warehouse, settings_of, start
from tests.pipeline import query

KEY = "a secret"
PEOPLE = ["5511987654321", "551187654321", "5491145678901", "447700900123", "12025550143"]
# Strict enough for a reader who removes everything except digits: any eight consecutive digits of a number reveal it.
PIECES = {number[at : at + 8] for number in PEOPLE for at in range(len(number) - 7)}


@pytest.fixture
def masking() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        prepare_masking(connection, Settings(contacts=Contacts.MASKED, mask_key=KEY))
        yield connection


def masked(connection: duckdb.DuckDBPyConnection, kind: str, text: str | None) -> Any:
    row = connection.execute(f"select masked_{kind}($text)", {"text": text}).fetchone()
    assert row is not None
    return row[0]


def all_masked(connection: duckdb.DuckDBPyConnection, kind: str, texts: list[str]) -> list[str]:
    return [mask for (mask,) in connection.execute(f"select masked_{kind}(unnest($texts))", {"texts": texts}).fetchall()]


def spellings(number: str) -> list[str]:
    """Return the spellings of a number that people and programs use."""
    area, rest = number[2:4], number[4:]
    return [
        number,
        f"+{number[:2]} ({area}) {rest[:5]}-{rest[5:]}",
        ".".join((number[:2], area, rest[:4], rest[4:])),
        "-".join(number),
        number[:6] + "\u00a0" + number[6:],
        number[:4] + " - " + number[4:],
        number[:5] + "\u200b\u2011" + number[5:],
        "".join(chr(ord(digit) - ord("0") + ord("０")) for digit in number),
    ]


def encodings(number: str) -> list[str]:
    """Return texts that contain a number in base64, as the ids of several senders do, and in hexadecimal."""
    texts = []
    for spelled in spellings(number)[:7]:
        for before in (b"", b"\x1d\x0c", b"abc", b"x" * 7):
            for after in (b"", b"\x15\x02\x00\x11\x18\x12ABCDEF\x00", b"!"):
                for encode in (base64.b64encode, base64.urlsafe_b64encode):
                    text = encode(before + spelled.encode() + after).decode()
                    texts += [text, text.rstrip("=")]
    texts += [base64.b64encode(number.encode(code)).decode() for code in ("utf-16", "utf-16-le", "utf-16-be")]
    texts += [number.encode().hex(), number.encode().hex(" "), "".join(f"%{byte:02x}" for byte in number.encode())]
    return texts


def ids(number: str) -> list[str]:
    texts = [*spellings(number), *encodings(number)]
    wrapped = [text[:20] + "\r\n" + text[20:] for text in encodings(number)[::17]]
    return [before + text for text in [*texts, *wrapped] for before in ("", "wamid.", "id_", "ab", "a-b:")]


def readings(cell: str) -> Iterator[str]:
    """Yield every reading of a published value in which a number might be found."""
    yield cell
    for text in {cell, re.sub(r"[^A-Za-z0-9+/_-]", "", cell), cell.removeprefix("wamid.")}:
        letters = text.translate(str.maketrans("-_", "+/"))
        for run in re.findall(r"[A-Za-z0-9+/]{8,}", letters):
            for start_at in range(4):
                piece = run[start_at:]
                piece = piece[: len(piece) - (len(piece) % 4 == 1)]
                decoded = base64.b64decode(piece + "=" * (-len(piece) % 4))
                yield decoded.decode("latin-1")
                yield decoded.replace(b"\0", b"").decode("utf-8", errors="replace")
    plain = re.sub(r"\W", "", cell)
    for start_at in range(2):
        for run in re.findall(r"(?:[0-9a-fA-F]{2}){8,}", plain[start_at:] if start_at else plain.removeprefix("wamid")):
            yield bytes.fromhex(run).decode("latin-1")
            yield bytes.fromhex(run[1:-1]).decode("latin-1")


def gives_away(cell: str) -> bool:
    for reading in readings(cell):
        digits = "".join(str(int(character)) for character in reading if character.isdecimal())
        if any(piece in digits for piece in PIECES):
            return True
    return False


def test_readings_of_this_test_find_every_spelling() -> None:
    missed = [text for number in PEOPLE for text in ids(number) if not gives_away(text)]
    assert missed == []


def test_id_with_a_number_in_any_spelling_is_masked_completely(masking: duckdb.DuckDBPyConnection) -> None:
    texts = [text for number in PEOPLE for text in ids(number)]
    found = all_masked(masking, "id", texts)
    left = [
        (text, mask) for text, mask in zip(texts, found, strict=True) if gives_away(mask) or not re.fullmatch("(wamid[.])?[a-p]{24}", mask)
    ]
    assert left == []
    assert len(set(found)) == len(set(texts))


@pytest.mark.parametrize(
    "text",
    [
        *("m-1", "wamid.001", "in.1234567", "7f3a-Kq", "wamid.HBgN", "", "unter.Straße", "refused-2026-1", "abcdefgh-ijkl-mnop-qrst"),
        *("wamid." + base64.b64encode(b"no number 123-4567").decode(), "conversation_start_without_number"),
    ],
)
def test_id_without_a_number_is_not_masked(masking: duckdb.DuckDBPyConnection, text: str) -> None:
    assert masked(masking, "id", text) == text


def test_session_id_of_botmaker_does_not_reveal_its_chat(masking: duckdb.DuckDBPyConnection) -> None:
    for time in ("2026-10-05T10:00:00Z", "2026-10-05T10:00:00.000Z"):
        assert re.fullmatch("[a-p]{24}", masked(masking, "id", f"CHAT-ABC_{time}"))


@pytest.mark.parametrize(
    ("identifier", "last"),
    [("5511987654321", "-4321"), ("+55 11 98765-4321", "-4321"), ("US.13491208655302741918", "-1918"), ("C-17", ""), ("1234567", "")],
)
def test_masked_contact_is_its_hmac_and_its_last_four_digits(masking: duckdb.DuckDBPyConnection, identifier: str, last: str) -> None:
    digest = hmac.new(KEY.encode(), identifier.encode(), hashlib.sha256).hexdigest()[:16]
    assert masked(masking, "identifier", identifier) == digest.translate(str.maketrans("0123456789", "ghijklmnop")) + last


@pytest.mark.parametrize("key", ["k", "a key of more than one block of the hash, which is what HMAC hashes first " * 2, "clé"])
def test_mask_is_the_hmac_under_any_key(key: str) -> None:
    with duckdb.connect() as connection:
        prepare_masking(connection, Settings(contacts=Contacts.MASKED, mask_key=key))
        digest = hmac.new(key.encode(), b"5511987654321", hashlib.sha256).hexdigest()[:16]
        assert masked(connection, "identifier", "5511987654321")[:16] == digest.translate(str.maketrans("0123456789", "ghijklmnop"))


def test_numbers_in_a_text_are_masked_and_its_words_are_kept(masking: duckdb.DuckDBPyConnection) -> None:
    mask = masked(masking, "identifier", "5511987654321")
    assert masked(masking, "text", "Blocked for 5511987654321") == f"Blocked for {mask}"
    assert masked(masking, "text", "Blocked for +55 (11) 98765-4321, see code 131026") == f"Blocked for +{mask}, see code 131026"
    for text in ("Message undeliverable", "131026", "Recipient is not a valid WhatsApp user", "Équipe nº 7", "", None):
        assert masked(masking, "text", text) == text
    texts = [f"Not sent to {text} today" for number in PEOPLE for text in [*spellings(number), *encodings(number)]]
    assert [mask for mask in all_masked(masking, "text", texts) if gives_away(mask)] == []


def test_masked_link_keeps_only_its_server(masking: duckdb.DuckDBPyConnection) -> None:
    assert re.fullmatch("https://go.botmaker.com/[a-p]{16}", masked(masking, "link", "https://go.botmaker.com/#/chats/ABCDEF"))
    assert re.fullmatch("https://wa.me/[a-p]{16}-4321", masked(masking, "link", "https://wa.me/5511987654321?text=hi"))
    texts = [text for number in PEOPLE for text in ids(number)][::11]
    for form in ("https://wa.me/{0}", "https://x.example/?q={0}#{0}", "{0}", "https://{0}.example/", "tel:{0}"):
        links = [form.format(text) for text in texts]
        assert [mask for mask in all_masked(masking, "link", links) if gives_away(mask)] == []


def manifest_of(**columns: tuple[str, str | None]) -> dict[str, Any]:
    """Return a manifest with a mart `x` that has these columns, each with its type and its meta `person`."""
    described = {
        name: {"data_type": data_type, "config": {"meta": {"person": person} if person else {}}}
        for name, (data_type, person) in columns.items()
    }
    return {"nodes": {"model.p.x": {"resource_type": "model", "schema": "marts", "name": "x", "columns": described}}}


def test_marts_that_share_a_published_table_have_the_same_masks() -> None:
    masks = masks_of_marts(parsed_project(Settings()).json)
    for table in PUBLISHED_TABLES:
        for mart, _ in table.shown_by:
            assert masks[mart.name].items() <= masks[table.mart.name].items(), f"{mart.name} shows {table.name}"


def test_masks_come_from_the_meta_of_columns() -> None:
    columns = {mask: ("varchar", mask) for mask in Mask}
    others = {name: (name, None) for name in ("date", "timestamp", "bigint", "boolean")}
    found = masks_of_marts(manifest_of(**columns, **others, rate=("decimal(18, 8)", None)))["x"]
    assert found == {**{mask: mask for mask in Mask}, **dict.fromkeys([*others, "rate"], Mask.NONE)}


@pytest.mark.parametrize("data_type", ["varchar", "varchar[]", "json", "hugeint"])
def test_column_without_a_meta_has_no_mask_if_its_type_may_name_a_person(data_type: str) -> None:
    assert masks_of_marts(manifest_of(nickname=(data_type, None))) == {"x": {}}


def test_unknown_mask_is_refused() -> None:
    with pytest.raises(StartsError, match=r"The meta `person` of x\.nickname is 'contact': write one of identifier, id, link, text, none"):
        masks_of_marts(manifest_of(nickname=("varchar", "contact")))


def test_column_without_a_mask_is_refused_if_contacts_are_masked() -> None:
    masked_settings, masks = Settings(contacts=Contacts.MASKED, mask_key=KEY), {"contact_id": Mask.IDENTIFIER, "origin": Mask.NONE}
    with pytest.raises(StartsError, match=r"marts\.x has columns without a rule for masking \(nickname\): give each a meta `person`"):
        published_rows(["contact_id", "nickname"], "marts.x", masked_settings, masks)
    assert "masked_identifier(contact_id)" in published_rows(["contact_id", "origin"], "marts.x", masked_settings, masks)
    assert published_rows(["contact_id", "nickname"], "marts.x", Settings(), {}) == "select contact_id, nickname from marts.x where true"


def test_fingerprint_differs_by_key_and_does_not_reveal_it() -> None:
    prints = {masking_fingerprint(Settings(contacts=Contacts.MASKED, mask_key=key)) for key in ("1", "2", "a secret")}
    assert len(prints) == 3
    assert not any("a secret" in each for each in prints)
    assert masking_fingerprint(Settings()) == "plain"


def test_eight_digits_in_a_name_are_treated_as_a_number() -> None:
    assert all(may_hold_number(f"campaign {text}") for number in PEOPLE for text in spellings(number))
    assert not any(may_hold_number(text) for text in ("welcome", "promo_2026", "1234567", "24/7 offer 11.10"))


def test_masked_publication_reveals_no_number(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, contacts=Contacts.MASKED, mask_key=KEY)
    warehouse = Warehouse(settings)
    hostile = [text for number in PEOPLE for text in ids(number)][::41]
    rows = [_leaking_start(number, text, PEOPLE[number % len(PEOPLE)]) for number, text in enumerate(hostile)]
    first = warehouse.build({date(2026, 10, 1): rows[::2]})
    with open_warehouse(settings) as connection:
        publish(connection, settings, first)
        export_days(connection, settings)
    second = warehouse.build({date(2026, 10, 2): [row | {"session_start_date": date(2026, 10, 2)} for row in rows[1::2]]})
    with open_warehouse(settings) as connection:
        publish(connection, settings, second)
        export_days(connection, settings)

    cells = set()
    for mart in (*MARTS, "publish_info"):
        published = query(settings.published_database, f"select * from {mart}")
        cells |= {str(value) for row in published for name, value in row.items() if not name.endswith(("_at", "line_number"))}
        files = sorted((settings.published_dir / "parquet" / mart).glob("*.parquet"))
        in_parquet = [row for path in files for row in pq.read_table(path).to_pylist()]
        assert mart == "publish_info" or len(in_parquet) == len(published)
        assert {row["session_start_id"] for row in in_parquet if "session_start_id" in row} <= cells
    comments = query(settings.published_database, "select comment from duckdb_columns() where comment is not null")
    cells |= {row["comment"] for row in comments}
    for path in settings.exports_dir.glob("*.tsv"):
        times = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
        cells |= {cell for cell in re.split("[\t\n]", path.read_text(encoding="utf-8")) if not times.fullmatch(cell)}
    assert len(cells) > len(hostile)
    assert [cell for cell in cells if gives_away(cell)] == []
    for path in [*settings.published_dir.rglob("*"), *settings.exports_dir.rglob("*")]:
        if path.is_file():
            content = path.read_bytes()
            assert not [piece for piece in [*PIECES, KEY] if piece.encode() in content], path


def _leaking_start(number: int, text: str, person: str) -> dict[str, Any]:
    row = start(
        number, person_id=person, contact_id=text, customer_id=text, chat_link=f"https://wa.me/{text}", agent_groups=f"Sales {text}"
    )
    row |= {"session_start_id": f"{text}/{number}", "message_id": f"{number}/{text}", "session_id": text}
    return row | {"failure_detail": f"Blocked for {text}", "failure_code": text}


def test_value_has_the_same_mask_everywhere(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, contacts=Contacts.MASKED, mask_key=KEY)
    wamid = "wamid." + base64.b64encode(b"\x1d\x0c5511987654321\x15\x02").decode()
    same = start(1, session_start_id=wamid, session_id=wamid, message_id=wamid, person_id="5511987654321", contact_id="5511987654321")
    other = start(2, session_start_id="m-2", session_id=None, message_id=wamid, person_id="5511987654321", contact_id="551187654321")
    warehouse = Warehouse(settings)
    warehouse.publish(warehouse.build({date(2026, 10, 1): [same, other]}))
    first, second = query(settings.published_database, "select * from fct_session_starts order by session_start_id desc")
    assert first["session_start_id"] == first["session_id"] == first["message_id"] == second["message_id"] != wamid
    assert first["message_id"].startswith("wamid.")
    assert (second["session_start_id"], second["session_id"]) == ("m-2", None)
    assert first["person_id"] == first["contact_id"] == second["person_id"] != second["contact_id"]
    joined = "select count(*) as pairs from fct_session_starts inner join fct_notifications using (session_start_id, message_id, person_id)"
    assert query(settings.published_database, joined) == [{"pairs": 2}]
