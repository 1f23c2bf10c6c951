"""The assets that users receive: the published marts and the TSV exports."""

from datetime import date

from dagster import (
    AssetExecutionContext,
    AssetKey,
    BackfillPolicy,
    Config,
    DailyPartitionsDefinition,
    MaterializeResult,
    MetadataValue,
    asset,
)
from pydantic import Field

from orchestration.defs.assets.dbt import MANIFEST
from orchestration.defs.assets.freshness import FRESH
from orchestration.defs.assets.metadata import latest_funnel, preview, texts_of_mart
from orchestration.defs.partitions import show_existing_days
from orchestration.defs.resources import WarehouseResource, operator_failures
from orchestration.errors import StartsError
from orchestration.exports.filters import ExportSelection
from orchestration.exports.on_demand import export_selection
from orchestration.publication.person_columns import masks_of_marts
from orchestration.publication.postgres import publish_to_postgres
from orchestration.settings import PostgresSettings, Settings
from orchestration.transform.builds import MARTS, last_finished_build

# Earlier than any log, because Meta opened the Cloud API in 2022. A partition without rows costs nothing.
REPORT_DAYS = DailyPartitionsDefinition("2022-01-01", timezone=Settings.from_environment().report_timezone, end_offset=1)

# Read from the mart, not from the file: a file that another program damaged must not stop the run that replaces it.
_FIRST_ROWS_OF_LAST_DAY = """
select * from marts.fct_session_starts
where is_in_report and session_start_date = (select max(session_start_date) from marts.fct_session_starts where is_in_report)
order by sent_at nulls last, session_start_id
limit 5
"""

_MASKS = masks_of_marts(MANIFEST)
_TSV_OF_DAYS = AssetKey("session_starts_tsv_of_days")
_MART_KEYS = [AssetKey(["marts", mart]) for mart in MARTS]


class CheckConfig(Config):
    """How thoroughly the files of earlier runs are checked. Files that are missing or modified are rewritten."""

    thorough: bool = Field(default=False, description="Check every row and byte. Otherwise, check only sizes and modification times.")


@asset(group_name="publication", deps=_MART_KEYS, kinds={"duckdb", "parquet"}, freshness_policy=FRESH)
def published_marts(context: AssetExecutionContext, config: CheckConfig, warehouse: WarehouseResource) -> MaterializeResult:
    """The marts for BI tools, as one DuckDB file and as Parquet. They are replaced as a whole, after every check has passed."""
    settings = warehouse.settings
    with warehouse.open() as connection:
        build = last_finished_build(connection)
        if build is None:
            raise StartsError("The last build did not pass its checks, so there is nothing to publish. Run the whole job.")
        publication = warehouse.engine.publish(connection, build, thorough=config.thorough)
        _warn_of_damage(context, publication.damaged)
        context.log.info("Published." if publication.changed else "Nothing changed: the published files stay as they are.")
        return MaterializeResult(
            metadata={
                "dagster/row_count": publication.rows["fct_session_starts"],
                "changed": publication.changed,
                "session_starts_more_than_before": publication.net_rows_added.get("fct_session_starts", 0),
                "report_days_replaced": "all" if publication.days_replaced is None else len(publication.days_replaced),
                "funnel": latest_funnel(connection),
                "path": MetadataValue.path(str(settings.published_database)),
                "bytes": settings.published_database.stat().st_size,
                "rows": MetadataValue.json(publication.rows),
                "rows_written": MetadataValue.json(publication.rows_written),
                "rows_more_than_before": MetadataValue.json(publication.net_rows_added),
                "damaged": MetadataValue.json(publication.damaged),
                "preview": preview(
                    connection,
                    "select * from marts.session_starts_daily order by session_start_date desc, notifications desc limit 10",
                    texts_of_mart(_MASKS["session_starts_daily"]),
                ),
            }
        )


@asset(group_name="publication", deps=[published_marts], kinds={"postgres"})
def postgres_marts(context: AssetExecutionContext, warehouse: WarehouseResource) -> MaterializeResult:
    """The published marts in a PostgreSQL database, replaced in one transaction. Part of the job if STARTS_POSTGRES_URL is set."""
    with warehouse.open() as connection:
        target = PostgresSettings.from_environment()
        publication = publish_to_postgres(connection, warehouse.settings, target)
    context.log.info("Published." if publication.changed else "Nothing changed: the tables stay as they are.")
    return MaterializeResult(
        metadata={
            "dagster/row_count": publication.rows["fct_session_starts"],
            "changed": publication.changed,
            "schema": target.schema,
            "days_replaced": "all" if publication.days_replaced is None else len(publication.days_replaced),
            "rows": MetadataValue.json(publication.rows),
        }
    )


@asset(group_name="export", deps=[published_marts], kinds={"csv"}, freshness_policy=FRESH)
def session_starts_tsv(context: AssetExecutionContext, config: CheckConfig, warehouse: WarehouseResource) -> MaterializeResult:
    """The report's download: one TSV per report day, rewritten only if its day changed."""
    settings = warehouse.settings
    with warehouse.open() as connection:
        exports = warehouse.engine.export(connection, thorough=config.thorough)
        _warn_of_damage(context, exports.damaged)
        show_existing_days(context.instance, _TSV_OF_DAYS, exports.rows_of_days, exports.days_written)
        context.log.info(f"{len(exports.written)} daily TSVs written, {len(exports.removed)} removed, {exports.files} in total.")
        return MaterializeResult(
            metadata={
                "dagster/row_count": exports.rows,
                "files": exports.files,
                "files_written": len(exports.written),
                "files_removed": len(exports.removed),
                "path": MetadataValue.path(str(exports.latest or settings.exports_dir)),
                "bytes": exports.latest.stat().st_size if exports.latest else 0,
                "written": MetadataValue.json(exports.written[:100]),
                "damaged": MetadataValue.json(exports.damaged[:100]),
                "first_rows": preview(connection, _FIRST_ROWS_OF_LAST_DAY, texts_of_mart(_MASKS["fct_session_starts"])),
            }
        )


@asset(
    key=_TSV_OF_DAYS,
    group_name="export",
    deps=[published_marts],
    kinds={"csv"},
    partitions_def=REPORT_DAYS,
    backfill_policy=BackfillPolicy.single_run(),
)
def session_starts_tsv_of_days(context: AssetExecutionContext, warehouse: WarehouseResource) -> MaterializeResult:
    """The TSVs of selected report days, exported again from the published marts: for a backfill, or to restore a lost file.

    The partitions show which days have a file. `session_starts_tsv` updates them in every run.
    """
    days = [date.fromisoformat(day) for day in context.partition_keys]
    with warehouse.open() as connection:
        exports = warehouse.engine.export(connection, days)
        context.log.info(f"{len(days)} report days checked, {len(exports.written)} TSVs written. The others were already correct.")
        return MaterializeResult(metadata={"days": len(days), "files_written": len(exports.written), "files": exports.files})


def _warn_of_damage(context: AssetExecutionContext, names: list[str]) -> None:
    if names:
        context.log.warning(
            f"{len(names)} files were missing or modified, and were rewritten: {', '.join(names[:10])}. "
            "Another program changed them, or the disk damaged them."
        )


class ExportConfig(ExportSelection, Config):
    """The selection as run config, which the UI shows as a form."""


@asset(group_name="export", deps=[published_marts], kinds={"csv"})
def session_starts_selection_tsv(context: AssetExecutionContext, config: ExportConfig) -> MaterializeResult:
    """An export on demand: the report's five filters on the published marts. Needs no lock and changes nothing else."""
    with operator_failures():
        path, rows = export_selection(Settings.from_environment(), config)
    context.log.info(f"{rows} rows written to {path}")
    return MaterializeResult(metadata={"dagster/row_count": rows, "path": MetadataValue.path(str(path)), "bytes": path.stat().st_size})
