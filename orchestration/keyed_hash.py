"""HMAC-SHA256 in SQL: whole columns are hashed in one scan, and the key never appears in a statement."""

import hashlib
import hmac

import duckdb

_BLOCK_BYTES = 64


def create_keyed_hash_macro(connection: duckdb.DuckDBPyConnection, name: str, key: bytes) -> None:
    """Create the macro `name(text)`, which returns the HMAC-SHA256 of a text as 64 hexadecimal digits (RFC 2104).

    The key is bound into a temporary table. `name` is an identifier from our code, never data.
    """
    inner, outer = hmac_pads(key)
    connection.execute(
        f"create or replace temp table {name}_key as select $inner::blob as inner_pad, $outer::blob as outer_pad",
        {"inner": inner, "outer": outer},
    )
    connection.execute(
        f"""
        create or replace temp macro {name}(text) as sha256(
            (select outer_pad from {name}_key) || unhex(sha256((select inner_pad from {name}_key) || encode(text)))
        )
        """
    )


def keyed_hash(key: bytes, text: str) -> str:
    """Return the HMAC-SHA256 of a text as 64 hexadecimal digits, like the macro."""
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def hmac_pads(key: bytes) -> tuple[bytes, bytes]:
    """Return the inner and outer pad of a key (RFC 2104)."""
    block = (hashlib.sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(_BLOCK_BYTES, b"\0")
    return bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)
