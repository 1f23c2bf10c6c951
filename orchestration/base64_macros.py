"""Base64 in ids, as DuckDB reads it: the macros that masking and erasure decode with.

`standard_base64` takes the letters of either alphabet into the standard one. `base64_bytes` decodes such letters, however many
of them: padding is not expected, and a last letter that is too few for a byte is left out.
"""

BASE64_MACROS = """
create or replace temp macro standard_base64(letters) as translate(letters, '-_', '+/');
create or replace temp macro base64_bytes(letters) as from_base64(case length(letters) % 4
    when 0 then letters
    when 1 then left(letters, length(letters) - 1)
    when 2 then letters || '=='
    else letters || '='
end);
"""
