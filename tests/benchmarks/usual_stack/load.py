"""Load the landing zone into DuckDB with dlt, in the fastest way that we know.

DuckDB reads the files with declared types and unnests the lists of the webhooks; dlt receives Arrow batches, which it stores as
Parquet and copies into DuckDB. This takes 4.8 s for 100,000 sends. Loading bodies as JSON text, to be unnested by dbt, takes
7.1 s before dbt.
"""

# dlt is in a separate dependency group.
# pyright: reportMissingImports=false

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import duckdb
from dlt.sources.filesystem import filesystem

BATCH_ROWS = 100_000
SENDS = """
select * exclude (error), error.code as error_code, error.title as error_title, error.details as error_details
from read_json($paths, format = 'newline_delimited', columns = {
    message_id: 'VARCHAR', sent_at: 'VARCHAR', channel_id: 'VARCHAR', contact_id: 'VARCHAR', line_number: 'VARCHAR',
    template_name: 'VARCHAR', template_language: 'VARCHAR', notification_name: 'VARCHAR', customer_id: 'VARCHAR',
    customer_created_at: 'VARCHAR', agent_groups: 'VARCHAR', chat_link: 'VARCHAR',
    error: 'STRUCT(code BIGINT, title VARCHAR, details VARCHAR)'
})
"""
CHANGES = """
create temp table changes as
select unnest(entry.changes).value as change
from (
    select unnest(entry) as entry
    from read_json($paths, format = 'newline_delimited', columns = {entry: '
        STRUCT(changes STRUCT("value" STRUCT(
            metadata STRUCT(phone_number_id VARCHAR, display_phone_number VARCHAR),
            statuses STRUCT(
                id VARCHAR, status VARCHAR, "timestamp" VARCHAR,
                errors STRUCT(code BIGINT, title VARCHAR, error_data STRUCT(details VARCHAR))[]
            )[],
            messages STRUCT(
                "from" VARCHAR, from_user_id VARCHAR, id VARCHAR, "timestamp" VARCHAR, "type" VARCHAR, context STRUCT(id VARCHAR),
                reaction STRUCT(message_id VARCHAR, emoji VARCHAR), referral STRUCT(source_type VARCHAR)
            )[]
        ))[])[]
    '})
)
"""
OF_CHANGES = {
    "statuses": """
        select
            phone_number_id, item.id as message_id, item.status, item.timestamp,
            item.errors[1].code as error_code, item.errors[1].title as error_title, item.errors[1].error_data.details as error_details
        from (select change.metadata.phone_number_id, unnest(change.statuses) as item from changes)
    """,
    "messages": """
        select
            phone_number_id, display_phone_number, item.id as message_id, item.timestamp, item.type,
            coalesce(item."from", item.from_user_id) as sender,
            coalesce(item.reaction.message_id, item.context.id) as quoted_message_id, item.reaction.emoji as emoji,
            item.referral.source_type as referral_source_type
        from (select unnest(change.metadata), unnest(change.messages) as item from changes)
    """,
}


def _paths(files: list[Any]) -> dict[str, list[str]]:
    return {"paths": [file["file_url"].removeprefix("file://") for file in files]}


@dlt.transformer(name="sends")
def sends(files: list[Any]) -> Iterator[Any]:
    with duckdb.connect() as connection:
        yield from connection.execute(SENDS, _paths(files)).to_arrow_reader(BATCH_ROWS)


@dlt.transformer(name="webhooks")
def webhooks(files: list[Any]) -> Iterator[Any]:
    with duckdb.connect() as connection:
        connection.execute(CHANGES, _paths(files))
        for table, query in OF_CHANGES.items():
            for batch in connection.execute(query).to_arrow_reader(BATCH_ROWS):
                yield dlt.mark.with_table_name(batch, table)


def load(landing: Path, warehouse: Path, state: Path) -> None:
    """Load new files from `landing` into the schema `raw` of the warehouse; dlt stores its own files in `state`."""
    os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"}

    def files(feed: str) -> Any:
        # One page: DuckDB reads many files faster together than one after another.
        found = filesystem(f"file://{landing / feed}", file_glob="*.zst", files_per_page=100_000)
        found.apply_hints(incremental=dlt.sources.incremental("modification_date"))
        return found

    pipeline = dlt.pipeline(
        "usual_stack", pipelines_dir=str(state), destination=dlt.destinations.duckdb(str(warehouse)), dataset_name="raw"
    )
    pipeline.run([files("sends") | sends, files("webhooks") | webhooks])
