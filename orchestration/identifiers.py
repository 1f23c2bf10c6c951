"""The spelling rules of people and lines (contract, section 2.1), for what works outside dbt: masking, erasure, landing.

The rules stand in `dbt_project/macros/identifiers.sql` alone; this module makes DuckDB macros of them.
"""

from functools import cache

import duckdb
import jinja2

from orchestration.settings import DBT_PROJECT_DIR


@cache
def _macros() -> str:
    source = (DBT_PROJECT_DIR / "macros" / "identifiers.sql").read_text(encoding="utf-8")
    rules = vars(jinja2.Environment(autoescape=False).from_string(source).module)
    shown, compared = rules["contact_id_shown"]("given"), rules["comparable_identifier"]("shown")
    number, user_id = rules["is_number"]("identifier"), rules["is_user_id"]("identifier")
    return f"""
        create or replace temp macro contact_id_shown(given) as ({shown});
        create or replace temp macro comparable_shown(shown) as ({compared});
        create or replace temp macro comparable_identifier(given) as comparable_shown(contact_id_shown(given));
        create or replace temp macro is_number(identifier) as ({number});
        create or replace temp macro is_user_id(identifier) as ({user_id});
    """


def create_identifier_macros(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the macros `contact_id_shown`, `comparable_identifier`, `is_number` and `is_user_id`, each of one text as it was given."""
    connection.execute(_macros())


def comparable_identifier(given: str) -> str:
    """Return an identifier in the spelling in which it is compared: `+55 11 8765-0001` gives `5511987650001`."""
    with duckdb.connect() as connection:
        create_identifier_macros(connection)
        row = connection.execute("select comparable_identifier($given)", {"given": given}).fetchone()
    assert row is not None
    return row[0]
