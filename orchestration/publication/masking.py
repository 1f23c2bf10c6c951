"""Mask contacts as a keyed hash with their last four digits, and ids that contain a number as a keyed hash (contract, section 6).

A mask depends only on the value and the key, so the same value has the same mask in every mart, file and database, and joins keep
working.

HMAC-SHA256 is computed in SQL from two pads that are bound as variables, so that the key never appears in a statement, a log or a file.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping

import duckdb

from orchestration.base64_macros import BASE64_MACROS
from orchestration.errors import StartsError
from orchestration.keyed_hash import hmac_pads
from orchestration.publication.person_columns import Mask
from orchestration.settings import Contacts, Settings

_KEY_VARIABLES = ("mask_inner_pad", "mask_outer_pad")
# Part of the fingerprint. Change it with the masking rules, so that everything masked is rewritten.
_RULES = 2

# At least eight digits, with up to three characters between two of them that are neither letters nor digits.
_GROUPED_NUMBER = "[0-9](?:[^0-9A-Za-z]{0,3}[0-9]){7,}"
# The same for digits of any script. It is 50 times slower, so it is used only for texts that are not ASCII.
_GROUPED_NUMBER_OF_ANY_SCRIPT = r"\p{Nd}(?:[^\p{L}\p{N}]{0,3}\p{Nd}){7,}"
_EIGHT_DIGITS = re.compile(r"\d(?:[\W_]{0,3}\d){7}")
# Eight ASCII digits in a row, encoded in base64. A digit is 0011xxxx in binary, so three aligned digits are always four characters from
# these classes. Eight digits contain two such groups; the other two digits come after them, before them, or one on each side.
_THREE_DIGITS = "[MNO][DTjz][AEIMQUYcgk][w-z0-5]"
_BASE64_NUMBER = "|".join(
    (
        f"(?:{_THREE_DIGITS}){{2}}[MNO][DTjz][A-Za-n]",
        f"[DTjz][AEIMQUYcgk][w-z0-5](?:{_THREE_DIGITS}){{2}}",
        f"[AEIMQUYcgkosw048][w-z0-5](?:{_THREE_DIGITS}){{2}}[MNO]",
    )
)
# The same as `_GROUPED_NUMBER`, for decoded bytes in hexadecimal: up to nine bytes, three characters of three bytes in UTF-8, between
# two digits.
_HEX_NUMBER = "3[0-9](?:(?:[0-289A-F][0-9A-F]|3[A-F]|40|5[B-F]|60|7[B-F]){0,9}3[0-9]){7}"
# The length of eight digits in base64.
_SHORTEST_BASE64 = 11

_MACROS = rf"""
{BASE64_MACROS}
-- Letters only: in one of ten cases, a hash in hexadecimal would itself contain eight digits in a row.
create or replace temp macro keyed_hash(text, size) as translate(
    left(sha256(getvariable('{_KEY_VARIABLES[1]}') || unhex(sha256(getvariable('{_KEY_VARIABLES[0]}') || encode(text)))), size),
    '0123456789', 'ghijklmnop'
);
create or replace temp macro last_four(digits) as case when length(digits) >= 8 then '-' || right(digits, 4) else '' end;
create or replace temp macro masked_identifier(text) as keyed_hash(text, 16) || case
    when regexp_full_match(text, '[0-9]+') then last_four(text)
    else last_four(regexp_replace(text, '[^0-9]+', '', 'g'))
end;

create or replace temp macro base64_letters(text) as standard_base64(regexp_replace(text, '[^A-Za-z0-9+/_-]+', '', 'g'));
create or replace temp macro decoded_hex(letters, start) as hex(base64_bytes(substr(letters, start)));
-- Text before the base64 shifts where its groups of four begin, so all four offsets are tried. 41 is a letter that separates numbers.
create or replace temp macro decoded_has_number(letters) as regexp_matches(
    concat_ws('41', decoded_hex(letters, 1), decoded_hex(letters, 2), decoded_hex(letters, 3), decoded_hex(letters, 4)),
    '{_HEX_NUMBER}'
);
-- The first condition is true for nearly every WhatsApp id.
create or replace temp macro shows_number(text) as case
    when regexp_matches(text, '{_BASE64_NUMBER}') then true
    when regexp_matches(text, '{_GROUPED_NUMBER}') then true
    when length(text) < strlen(text) then regexp_matches(text, '{_GROUPED_NUMBER_OF_ANY_SCRIPT}')
    else false
end;
create or replace temp macro has_number(text) as case
    when shows_number(text) then true
    when length(text) >= {_SHORTEST_BASE64} then decoded_has_number(base64_letters(text))
    else false
end;

create or replace temp macro masked_id(text) as case
    when not has_number(text) then text
    when starts_with(text, 'wamid.') then 'wamid.' || keyed_hash(text, 24)
    else keyed_hash(text, 24)
end;
-- Only lower case, as in server names: every four characters of base64-encoded digits include a capital letter.
create or replace temp macro server_of(link) as regexp_extract(link, '^[a-z]+://[a-z0-9.:-]+/');
create or replace temp macro masked_link(text) as
    case when shows_number(server_of(text)) then '' else server_of(text) end || masked_identifier(text);
create or replace temp macro without_grouped_numbers(text) as list_reduce(
    list_prepend(text, regexp_extract_all(text, '{_GROUPED_NUMBER}')),
    lambda masked, number: replace(masked, number, masked_identifier(regexp_replace(number, '[^0-9]+', '', 'g')))
);
create or replace temp macro masked_text(text) as case
    when not has_number(text) then text
    when has_number(without_grouped_numbers(text)) then masked_identifier(text)
    else without_grouped_numbers(text)
end;
"""


def prepare_masking(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Create the macros that `published_rows` uses. For plain contacts, it needs none."""
    if settings.contacts is Contacts.PLAIN:
        return
    assert settings.mask_key is not None
    for name, pad in zip(_KEY_VARIABLES, hmac_pads(settings.mask_key.encode()), strict=True):
        connection.execute(f"set variable {name} = $pad::blob", {"pad": pad})
    connection.execute(_MACROS)


def published_rows(
    columns: list[str], relation: str, settings: Settings, masks: Mapping[str, Mask], where: str = "true", *, with_row_id: bool = False
) -> str:
    """Return the query for a mart's rows as they may leave the warehouse; `masks` are the masks of its columns, if contacts are masked.

    `with_row_id` adds the column `row_id`, the row id in the relation, which must then be a table. Raises `StartsError` if contacts are
    masked and a column has no mask.
    """
    row_id = "rowid as row_id, " * with_row_id
    if settings.contacts is Contacts.PLAIN:
        return f"select {row_id}{', '.join(columns)} from {relation} where {where}"
    unknown = [column for column in columns if column not in masks]
    if unknown:
        raise StartsError(
            f"{relation} has columns without a rule for masking ({', '.join(unknown)}): give each a meta `person` in the YAML of the mart."
        )
    # Most rows contain the same id three times and the same identifier twice, so each mask is computed only once.
    first = {mask: next((column for column in columns if masks[column] is mask), None) for mask in (Mask.ID, Mask.IDENTIFIER)}
    firsts = ", ".join(f"masked_{mask}({column}) as first_{mask}" for mask, column in first.items() if column is not None)
    masked = ["row_id"] * with_row_id + [_masked(column, masks[column], first) for column in columns]
    return f"select {', '.join(masked)} from (select {row_id}*{', ' * bool(firsts)}{firsts} from {relation} where {where})"


def _masked(column: str, mask: Mask, first: Mapping[Mask, str | None]) -> str:
    if mask is Mask.NONE:
        return column
    if mask not in first:
        return f"masked_{mask}({column}) as {column}"
    if column == first[mask]:
        return f"first_{mask} as {column}"
    return f"case when {column} = {first[mask]} then first_{mask} else masked_{mask}({column}) end as {column}"


def may_hold_number(text: str) -> bool:
    """Return whether a text contains eight digits, in a row or in groups; for texts that operators see and Dagster stores."""
    return bool(_EIGHT_DIGITS.search(text))


def masking_fingerprint(settings: Settings) -> str:
    """Return the mask of written files without revealing the key: `plain`, or `masked/` and a hash under the key."""
    if settings.mask_key is None or settings.contacts is Contacts.PLAIN:
        return settings.contacts
    digest = hmac.new(settings.mask_key.encode(), b"conversation-starts mask fingerprint %d" % _RULES, hashlib.sha256).hexdigest()
    return f"{settings.contacts}/{digest[:16]}"
