"""What the Dagster UI shows: readable, and without anybody's number."""

import duckdb

from orchestration.assets.metadata import draw_funnel, preview


def test_a_funnel_is_a_bar_for_each_stage() -> None:
    lines = draw_funnel("2026-10-01", [("sent", 200), ("delivered", 100), ("read", 50), ("replied", 0)]).splitlines()
    assert lines[0].startswith("| 2026-10-01 |")
    assert [line.count("█") for line in lines[2:]] == [24, 12, 6, 0]
    assert "| 50% |" in lines[3]


def test_a_funnel_without_sends_is_empty() -> None:
    assert "█" not in draw_funnel("2026-10-01", [("sent", 0), ("delivered", 0)])


def test_a_preview_leaves_out_who_it_was() -> None:
    with duckdb.connect() as connection:
        table = preview(connection, "select '5511900000001' as contact_id, 'wamid.NTUxMTk' as message_id, 'welcome' as template_name")
    assert [column.name for column in table.schema.columns] == ["template_name"]
    assert [record.data for record in table.records] == [{"template_name": "welcome"}]
