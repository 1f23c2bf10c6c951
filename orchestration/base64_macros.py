"""DuckDB macros that decode base64 in ids, for masking and erasure.

`standard_base64` converts letters of either alphabet to the standard one. `base64_bytes` decodes any number of such letters: it
expects no padding, and drops a last letter that is too short for a byte.
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
