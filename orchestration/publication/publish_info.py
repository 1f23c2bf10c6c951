"""The table `publish_info` of a published file: one row about its source, its time and how recent its data is."""

from datetime import UTC, datetime

import duckdb

from orchestration.publication.draft import write_comments
from orchestration.publication.source import Source
from orchestration.settings import Settings
from orchestration.transform.builds import FinishedBuild

_TABLE = "publish_info"
_DESCRIPTION = "One row about the publication: which build it shows, when it was published, and how recent its data is."
_COLUMNS = {
    "published_at": "When the marts were published, UTC.",
    "build_id": "The build of the marts, a number that grows with every run.",
    "build_started_at": "When that build started, UTC.",
    "through_load_id": "The newest load of log files that the build contains.",
    "change_number": "The number of the newest change of a report day that the marts contain.",
    "newest_event_at": "The time of the newest event in any log, UTC. It shows how recent the data is.",
    "newest_webhook_event_at": "The time through which replies to sends of the logs are known, UTC. Null without webhooks.",
    "newest_botmaker_event_at": "The time through which replies to sends of Botmaker are known, UTC. Null without Botmaker.",
    "report_timezone": "The IANA name of the time zone whose midnight starts a report day.",
    "contacts": "Whether contacts are shown: `plain` or `masked`.",
    "masking_fingerprint": "How contacts are masked: `plain`, or `masked/` and a hash under the key, which changes if masks change.",
    "definition_sha256": "A hash of the models and their settings: another hash means that all rows were computed again.",
}


def write_publish_info(warehouse: duckdb.DuckDBPyConnection, settings: Settings, build: FinishedBuild, source: Source) -> None:
    """Write the table into the draft, with its comments."""
    warehouse.execute(
        """
        create or replace table draft.main.publish_info as
        select
            $published_at::timestamp as published_at,
            $build_id::bigint as build_id,
            $build_started_at::timestamp as build_started_at,
            $through_load_id::bigint as through_load_id,
            $change_number::bigint as change_number,
            -- How recent the data is; the time of the publication does not show it.
            (select max(newest_event_at) from intermediate.int_newest_events) as newest_event_at,
            -- The time through which replies are known, by the source of a send. A clock that is ahead must not make sends look older.
            -- Without an event the time is null: `least` would ignore the null and return the time of the publication.
            (
                select least(max(newest_event_at), $published_at::timestamp)
                from intermediate.int_newest_events where feed = 'webhooks' having count(*) > 0
            ) as newest_webhook_event_at,
            (
                select least(max(newest_event_at), $published_at::timestamp)
                from intermediate.int_newest_events where feed = 'botmaker' having count(*) > 0
            ) as newest_botmaker_event_at,
            $report_timezone as report_timezone,
            $contacts as contacts,
            $masking_fingerprint as masking_fingerprint,
            $definition_sha256 as definition_sha256
        """,
        {
            **source.model_dump(exclude={"build_started_at"}),
            "build_started_at": source.build_started_at.replace(tzinfo=None),
            "published_at": datetime.now(UTC).replace(tzinfo=None),
            "through_load_id": build.through_load_id,
            "contacts": settings.contacts.value,
        },
    )
    columns = [("column", f"{_TABLE}.{name}", description) for name, description in _COLUMNS.items()]
    write_comments(warehouse, [("table", _TABLE, _DESCRIPTION), *columns])
