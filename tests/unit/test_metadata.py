"""Tests of what the Dagster UI shows: readable, and without a person's number."""

import re

import duckdb

from orchestration.defs.assets.checks import describe_check, explain_failure
from orchestration.defs.assets.metadata import HIDDEN, RAW_TEXTS, draw_funnel, preview, texts_of_mart
from orchestration.landing.feeds import RAW_SCHEMA_SQL
from orchestration.publication.person_columns import masks_of_marts
from orchestration.settings import Settings
from orchestration.transform.parsed import parsed_project


def test_funnel_has_a_bar_for_each_stage() -> None:
    lines = draw_funnel("2026-10-01", [("sent", 200), ("delivered", 100), ("read", 50), ("replied", 0)]).splitlines()
    assert lines[0].startswith("| 2026-10-01 |")
    assert [line.count("█") for line in lines[2:]] == [24, 12, 6, 0]
    assert "| 50% |" in lines[3]


def test_funnel_without_sends_is_empty() -> None:
    assert "█" not in draw_funnel("2026-10-01", [("sent", 0), ("delivered", 0)])


def test_preview_leaves_out_columns_that_identify_a_person() -> None:
    query = "select '5511900000001' as contact_id, 'wamid.NTUxMTk' as message_id, 'welcome' as template_name, 4 as messages"
    with duckdb.connect() as connection:
        table = preview(connection, query, RAW_TEXTS)
    assert [column.name for column in table.schema.columns] == ["template_name", "messages"]
    assert [record.data for record in table.records] == [{"template_name": "welcome", "messages": "4"}]


def test_preview_hides_numbers_in_texts_and_shows_those_of_lines() -> None:
    query = "select 'for 55 11 90000-0001' as template_name, '541152780101' as line_number, timestamp '2026-10-01 15:00:00' as sent_at"
    with duckdb.connect() as connection:
        [record] = preview(connection, query, RAW_TEXTS).records
    assert record.data == {"template_name": HIDDEN, "line_number": "541152780101", "sent_at": "2026-10-01 15:00:00"}


def test_preview_of_every_table_leaves_out_columns_that_identify_a_person() -> None:
    personal = re.compile(
        "contact|customer_id|recipient|sender_|person|user_id|wa_id|chat_id|chat_link|message_id|session_id|session_start_id|record$"
    )
    # A failure text from another system may contain the number.
    said = re.compile("error_(title|message|details)|failure_detail|^error$|^reason$")
    masks = masks_of_marts(parsed_project(Settings()).json)
    with duckdb.connect() as connection:
        connection.execute(RAW_SCHEMA_SQL)
        tables = [name for (name,) in connection.execute("select table_name from duckdb_tables() where schema_name = 'raw'").fetchall()]
        raw = {column.name for table in tables for column in preview(connection, f"select * from raw.{table}", RAW_TEXTS).schema.columns}
        marts = set()
        for of_mart in masks.values():
            query = "select " + ", ".join(f"'x' as {name}" for name in of_mart)
            marts |= {column.name for column in preview(connection, query, texts_of_mart(of_mart)).schema.columns}
    assert {"sent_at", "channel_id", "template_name", "_file_name"} <= raw
    assert {"sent_at", "channel_id", "template_name", "last_status", "failure_reason"} <= marts
    assert [name for name in sorted(raw | marts) if personal.search(name) or said.search(name)] == []


def test_failed_column_test_is_explained_in_a_sentence() -> None:
    test = {"name": "unique_a_id", "test_metadata": {"name": "unique"}, "column_name": "id", "attached_node": "model.p.a"}
    assert explain_failure(test, 2) == "Values of `id` in a that occur in several rows: 2 (unique_a_id)."
    assert describe_check(test) == "Finds values of `id` in a that occur in several rows."
    assert explain_failure({**test, "test_metadata": {"name": "new"}}, 1) == "Rows of a that break the rule `new`: 1 (unique_a_id)."


def test_every_kind_of_column_test_has_its_own_sentence() -> None:
    tests = [node for node in parsed_project(Settings()).json["nodes"].values() if node.get("test_metadata")]
    assert len(tests) > 50
    without = [test["name"] for test in tests if "break the rule" in explain_failure(test, 1) or "None" in describe_check(test)]
    assert without == []


def test_failed_singular_test_is_explained_by_its_own_comment() -> None:
    sql = "-- Sums hold. A row\n-- is a day on which they do not.\nselect 1\n-- not this"
    explained = explain_failure({"name": "assert_sums", "test_metadata": None, "raw_code": sql}, 1000)
    assert explained == "Rows found by assert_sums: 1,000. Sums hold. A row is a day on which they do not."


def test_rows_without_personal_data_are_listed_in_the_explanation() -> None:
    test = {"name": "warn_causes", "test_metadata": None, "raw_code": "-- A cause."}
    assert (
        explain_failure(test, 2, [("Some\nthing", 4), ("Other", None)]) == "Rows found by warn_causes: 2 (Some thing, 4; Other). A cause."
    )
    assert explain_failure(test, 9, [("A", 1), ("B", 1)]) == "Rows found by warn_causes: 9 (A, 1; B, 1; and 7 more). A cause."
