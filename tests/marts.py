"""A warehouse with only finished marts, built without dbt, for tests of the steps after the models."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from orchestration.landing.feeds import RAW_SCHEMA_SQL
from orchestration.publication.publish import Publication, publish
from orchestration.settings import Settings
from orchestration.transform.builds import UNDATED, FinishedBuild
from orchestration.warehouse import open_warehouse

# The columns in section 5 of the contract.
FACT_COLUMNS = {
    **dict.fromkeys(("session_start_id", "session_id"), "varchar"),
    **{"session_started_at": "timestamp", "session_start_date": "date", "origin": "varchar", "is_in_report": "boolean"},
    **dict.fromkeys(("channel_id", "channel_name", "line_number", "person_id", "contact_id", "customer_id", "user_type"), "varchar"),
    **dict.fromkeys(("message_id", "template_name", "template_language", "notification_name"), "varchar"),
    **dict.fromkeys(("sent_at", "delivered_at", "read_at", "replied_at", "first_reply_at"), "timestamp"),
    **{"reply_evidence": "varchar", "failed_at": "timestamp"},
    **dict.fromkeys(("is_not_sent", "is_sent", "is_delivered", "is_read", "is_replied"), "boolean"),
    **dict.fromkeys(("last_status", "failure_code", "failure_group", "failure_action", "failure_reason", "failure_detail"), "varchar"),
    **dict.fromkeys(("agent_groups", "chat_link", "source"), "varchar"),
}
_KEYS = "session_start_date, origin, channel_id, line_number, template_name, notification_name, user_type"
_STAGES = "(values (1, 'sent', 'is_sent'), (2, 'delivered', 'is_delivered'), (3, 'read', 'is_read'), (4, 'replied', 'is_replied'))"
_DAILY = {
    "funnel_session_starts": f"""
        select {_KEYS}, stage_order, stage,
            count(*) filter (case stage_order when 1 then is_sent when 2 then is_delivered when 3 then is_read else is_replied end)
            as notifications
        from marts.fct_session_starts cross join {_STAGES} as stages (stage_order, stage, flag)
        where is_in_report and is_sent
        group by all
    """,
    "status_session_starts": f"""
        select {_KEYS}, last_status, count(*) as notifications
        from marts.fct_session_starts where is_in_report group by all
    """,
    "session_starts_daily": f"""
        select {_KEYS}, count(*) as session_starts, count(*) as notifications,
            count(*) filter (is_replied) as replied, count(*) filter (not is_replied) as not_replied
        from marts.fct_session_starts where is_in_report group by all
    """,
    "sends_by_hour": f"""
        select {_KEYS}, isodow(sent_at)::integer as weekday, hour(sent_at)::integer as hour, count(*) as notifications
        from marts.fct_session_starts where is_in_report group by all
    """,
}


def start(number: int, day: date = date(2026, 10, 1), **fields: Any) -> dict[str, Any]:
    """Return a row of `fct_session_starts`: a delivered send of a report day; `fields` override its columns.

    Without a `message_id` it is a start without a notification; with `is_session_start=False` it is a notification that starts no session.
    """
    sent_at = datetime(day.year, day.month, day.day, 15) + timedelta(seconds=number % 3600)
    contact = f"55119{number:08d}"
    row = {
        "session_start_id": f"m-{number}",
        "session_id": f"m-{number}",
        "message_id": f"m-{number}",
        "session_started_at": sent_at,
        "session_start_date": day,
        "origin": "whatsapp_template",
        "is_in_report": True,
        "channel_id": "1",
        "line_number": "541152780101",
        "person_id": contact,
        "contact_id": contact,
        "user_type": "new",
        "template_name": "welcome",
        "sent_at": sent_at,
        "delivered_at": sent_at + timedelta(seconds=5),
        "is_not_sent": False,
        "is_sent": True,
        "is_delivered": True,
        "is_read": False,
        "is_replied": False,
        "last_status": "delivered",
        "source": "logs",
    }
    return row | fields


# Such a send is billed on its report day if it was delivered.
_BILLED = """
    select
        message_id, channel_id, line_number, person_id, 'BR' as market,
        case when is_delivered then session_start_date end as billed_date, 'PMP' as pricing_model, 'marketing' as pricing_category,
        'regular' as pricing_type, is_delivered, is_delivered as is_charged, 0.0625::decimal(18, 8) as rate, 'USD' as currency,
        0.0625::decimal(18, 8) as cost, 'rate_card' as cost_basis, template_name, notification_name, session_start_id
    from marts.fct_notifications
"""

_OTHER_STARTS = "intermediate.int_starts_without_notification_unioned"
_UNDATED_MESSAGES = "select * from marts.fct_billed_messages where billed_date is null order by all"


class Warehouse:
    """Marts that change by report day; `build` records the same state as a finished build of the models."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        if settings.warehouse_path.exists():
            return
        settings.data.mkdir(parents=True, exist_ok=True)
        columns = ", ".join(f"{name} {kind}" for name, kind in FACT_COLUMNS.items())
        with open_warehouse(settings) as connection:
            for schema in ("raw", "intermediate", "marts"):
                connection.execute(f"create schema if not exists {schema}")
            connection.execute(f"create table marts.fct_notifications ({columns}, is_session_start boolean)")
            connection.execute(f"create table {_OTHER_STARTS} ({columns})")
            connection.execute(
                "create view marts.fct_session_starts as "
                "select * exclude (is_session_start) from marts.fct_notifications where is_session_start "
                f"union all from {_OTHER_STARTS}"
            )
            connection.execute("comment on column marts.fct_notifications.person_id is 'Who it is, in the spelling of the report.'")
            for mart, query in {**_DAILY, "fct_billed_messages": _BILLED}.items():
                connection.execute(f"create table marts.{mart} as {query} limit 0")
            connection.execute(RAW_SCHEMA_SQL)
            connection.execute("create schema if not exists intermediate")
            connection.execute("create table intermediate.int_newest_events (feed varchar, newest_event_at timestamp)")

    def build(self, replaced: Mapping[date, Iterable[dict[str, Any]]], definition: str = "a definition") -> FinishedBuild:
        """Replace the starts of report days and everything derived from them; return the finished build."""
        with open_warehouse(self.settings) as connection:
            connection.execute("begin")
            for day, rows in replaced.items():
                for fact in ("marts.fct_notifications", _OTHER_STARTS):
                    connection.execute(f"delete from {fact} where session_start_date = $day", {"day": day})
                for row in rows:
                    is_notification = row["message_id"] is not None
                    fact = "marts.fct_notifications" if is_notification else _OTHER_STARTS
                    values = {"is_session_start": True, **row} if is_notification else row
                    placeholders = ", ".join(f"${name}" for name in values)
                    connection.execute(f"insert into {fact} ({', '.join(values)}) values ({placeholders})", values)
                for mart, query in _DAILY.items():
                    connection.execute(f"delete from marts.{mart} where session_start_date = $day", {"day": day})
                    connection.execute(f"insert into marts.{mart} select * from ({query}) where session_start_date = $day", {"day": day})
            undated = connection.execute(_UNDATED_MESSAGES).fetchall()
            connection.execute("delete from marts.fct_billed_messages")
            connection.execute(f"insert into marts.fct_billed_messages {_BILLED}")
            build = self.finish(connection, list(replaced), definition)
            if connection.execute(_UNDATED_MESSAGES).fetchall() != undated:
                connection.execute(
                    "insert into state.changed_days values ('fct_billed_messages', $day, $id)", {"day": UNDATED, "id": build.change_number}
                )
            connection.execute("commit")
            return build

    def publish(self, build: FinishedBuild) -> Publication:
        with open_warehouse(self.settings) as connection:
            return publish(connection, self.settings, build)

    def finish(self, connection: duckdb.DuckDBPyConnection, days: list[date], definition: str = "a definition") -> FinishedBuild:
        """Record a finished build that changed some report days."""
        row = connection.execute("select coalesce(max(build_id), 0) + 1 from state.builds").fetchone()
        assert row is not None
        build = FinishedBuild(row[0], row[0], definition, datetime(2026, 11, 1) + timedelta(hours=row[0]), row[0])
        connection.execute(
            "insert into state.builds values ($id, $at, $at, $id, $definition)",
            {"id": build.build_id, "at": build.started_at, "definition": definition},
        )
        for day in days:
            connection.execute(
                "insert into state.changed_days select unnest(['fct_notifications', 'fct_billed_messages']), $day, $id",
                {"day": day, "id": build.change_number},
            )
        return build


def settings_of(folder: Path, **fields: Any) -> Settings:
    return Settings(landing=str(folder / "landing"), data=folder / "data", **fields)
