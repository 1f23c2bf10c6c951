"""Contacts as a keyed hash and their last four digits (contract, section 6).

HMAC-SHA256 in SQL over two pads that are bound into a temporary table, so that the key itself never
stands in a statement, a log or a file.
"""

import hashlib
import hmac

import duckdb

from orchestration.settings import Contacts, Settings

_BLOCK_BYTES = 64
_HASH_DIGITS = 16

# A wamid is base64 around the contact's own number, so a masked row must not carry one as it is.
_MASKED_EXPRESSIONS = {
    "contact_id": "masked_contact(contact_id)",
    "customer_id": "replace(customer_id, contact_id, masked_contact(contact_id))",
    "session_start_id": "masked_id(session_start_id, contact_id)",
    "session_id": "masked_id(session_id, contact_id)",
    "message_id": "masked_id(message_id, contact_id)",
    "chat_link": "replace(chat_link, contact_id, masked_contact(contact_id))",
    "failure_detail": "masked_text(failure_detail, contact_id)",
}

_MACROS = f"""
create or replace temp macro keyed_hash(text) as left(
    sha256((select outer_pad from mask_key) || unhex(sha256((select inner_pad from mask_key) || encode(text)))),
    {_HASH_DIGITS}
);
create or replace temp macro masked_contact(contact) as keyed_hash(contact) || '-' || right(contact, 4);
create or replace temp macro masked_id(id, contact) as case
    when contains(cast(try(from_base64(substr(id, 7))) as varchar), contact) then 'wamid.' || keyed_hash(id)
    else replace(id, contact, masked_contact(contact))
end;
create or replace temp macro number_in_groups(digits) as
    left(digits, 1) || regexp_replace(substr(digits, 2), '(.)', '[^0-9]{{0,2}}\\1', 'g');
create or replace temp macro masked_text(text, contact) as case
    -- In words a number is often written in groups, with a space, a hyphen or brackets between its digits.
    when regexp_full_match(contact, '[0-9]+') then regexp_replace(text, number_in_groups(contact), masked_contact(contact), 'g')
    else replace(text, contact, masked_contact(contact))
end;
"""


def prepare_masking(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Make the macros of `published_columns` known to the connection; nothing for plain contacts."""
    if settings.contacts is Contacts.PLAIN:
        return
    assert settings.mask_key is not None
    inner, outer = _hmac_pads(settings.mask_key.encode())
    connection.execute(
        "create or replace temp table mask_key as select $inner::blob as inner_pad, $outer::blob as outer_pad",
        {"inner": inner, "outer": outer},
    )
    connection.execute(_MACROS)


def published_columns(columns: list[str], settings: Settings) -> str:
    """Return the select list of a mart's columns as they may leave the warehouse."""
    if settings.contacts is Contacts.PLAIN:
        return ", ".join(columns)
    return ", ".join(f"{_MASKED_EXPRESSIONS[column]} as {column}" if column in _MASKED_EXPRESSIONS else column for column in columns)


def mask_fingerprint(settings: Settings) -> str:
    """Say which mask a file was written with, without giving the key away."""
    if settings.mask_key is None or settings.contacts is Contacts.PLAIN:
        return settings.contacts
    digest = hmac.new(settings.mask_key.encode(), b"conversation-starts mask fingerprint", hashlib.sha256).hexdigest()
    return f"{settings.contacts}/{digest[:_HASH_DIGITS]}"


def _hmac_pads(key: bytes) -> tuple[bytes, bytes]:
    """Return RFC 2104's inner and outer pad of a key."""
    block = (hashlib.sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(_BLOCK_BYTES, b"\0")
    return bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)
