"""Raw assets: the landing zone's files as typed, append-only tables."""

from collections.abc import Iterator
from datetime import UTC, datetime

import duckdb
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    AssetSpec,
    MaterializeResult,
    MetadataValue,
    asset,
    multi_asset,
)

from orchestration.defs.assets.freshness import FRESH
from orchestration.defs.assets.metadata import RAW_TEXTS, preview
from orchestration.defs.failures import fail_if_blocked
from orchestration.defs.resources import WarehouseResource
from orchestration.landing import ledger
from orchestration.landing.erased import ErasedPeople
from orchestration.landing.feeds import BOTMAKER_FEEDS, FEED_NAMES, FEEDS, RATES, READER_VERSION, SENDS, WEBHOOKS, Feed
from orchestration.landing.land import LandingReport
from orchestration.landing.rejections import new_rejections, unbalanced_files
from orchestration.landing.zone import LandingZone
from orchestration.settings import DBT_PROJECT_DIR
from orchestration.yaml_files import read_yaml

GROUP = "landing"
LEDGER_KEY = AssetKey(["raw", "landed_files"])

# A folder full of such files must not fill the run's log.
_MAX_LISTED_FILES = 50


def _descriptions() -> dict[str, str]:
    """Return the description of each raw table from dbt's sources."""
    sources = read_yaml(DBT_PROJECT_DIR / "models" / "staging" / "__sources.yml")["sources"]
    return {table["name"]: table["description"] for source in sources if source["name"] == "raw" for table in source["tables"]}


_DESCRIPTIONS = _descriptions()


def _specs(feed: Feed) -> list[AssetSpec]:
    # The asset that fetches a feed has the folder of the feed as its key. A job that does not fetch ignores this dependency.
    fetched_before = [AssetKey(feed.name.split("/"))] if feed in BOTMAKER_FEEDS else []
    return [
        AssetSpec(
            AssetKey(["raw", table]),
            deps=fetched_before,
            group_name=GROUP,
            description=_DESCRIPTIONS[table],
            kinds={"duckdb", "csv" if feed is RATES else "json"},
            freshness_policy=FRESH,
        )
        for table in feed.tables
    ]


def _land(context: AssetExecutionContext, warehouse: WarehouseResource, feed: Feed) -> Iterator[MaterializeResult]:
    with warehouse.open() as connection:
        zone = LandingZone(warehouse.settings.landing, FEED_NAMES)
        report = warehouse.engine.land(connection, zone, feed, ErasedPeople.load(warehouse.settings.data))
        ledger.write_skipped_entries(connection, feed.name, report.skipped_entries)
        _log(context, report)
        for table in feed.tables:
            yield MaterializeResult(asset_key=AssetKey(["raw", table]), metadata=_metadata(connection, warehouse, table, report))


def _log(context: AssetExecutionContext, report: LandingReport) -> None:
    context.log.info(
        f"{report.feed}: {report.files_landed} new files with {report.records} records, "
        f"{report.landed} landed, {report.rejected} rejected and {report.erased} of erased people; "
        f"{report.files_known} files already known, {report.files_reread} read again"
    )
    _warn(context, report.feed, "set aside until it can be read completely", report.files_set_aside)
    _warn(context, report.feed, "left for the next run", report.files_changed)
    _warn(context, report.feed, "not read", [f"{entry.name}: {entry.reason}" for entry in report.skipped_entries])
    if report.is_missing:
        context.log.warning(f"{report.feed}: the folder is missing. Data that has landed is kept.")


def _warn(context: AssetExecutionContext, where: str, what: str, files: list[str]) -> None:
    for file in files[:_MAX_LISTED_FILES]:
        context.log.warning(f"{where}: {what}: {file}")
    if len(files) > _MAX_LISTED_FILES:
        context.log.warning(f"{where}: {what}: {len(files) - _MAX_LISTED_FILES} more")


def _metadata(
    connection: duckdb.DuckDBPyConnection, warehouse: WarehouseResource, table: str, report: LandingReport
) -> dict[str, MetadataValue]:
    return {
        "dagster/row_count": MetadataValue.int(warehouse.engine.rows(connection, table)),
        "files_landed": MetadataValue.int(report.files_landed),
        "files_known": MetadataValue.int(report.files_known),
        "files_set_aside": MetadataValue.int(len(report.files_set_aside)),
        "files_not_read": MetadataValue.int(len(report.skipped_entries)),
        "records": MetadataValue.int(report.records),
        "records_rejected": MetadataValue.int(report.rejected),
        "records_erased": MetadataValue.int(report.erased),
        "preview": preview(
            connection, f"select * from raw.{table} where _load_id = (select max(_load_id) from raw.{table}) limit 5", RAW_TEXTS
        ),
    }


@multi_asset(specs=_specs(SENDS), name="land_sends")
def land_sends(context: AssetExecutionContext, warehouse: WarehouseResource) -> Iterator[MaterializeResult]:
    """Land the new files of `sends/`."""
    yield from _land(context, warehouse, SENDS)


# Rate cards price the messages of statuses, and arrive four times a year. A step of their own would take longer than looking for them.
@multi_asset(specs=[spec for feed in (WEBHOOKS, RATES) for spec in _specs(feed)], name="land_webhooks")
def land_webhooks(context: AssetExecutionContext, warehouse: WarehouseResource) -> Iterator[MaterializeResult]:
    """Land the new files of `webhooks/`, and the rate cards of `rates/`."""
    for feed in (WEBHOOKS, RATES):
        yield from _land(context, warehouse, feed)


# One step for all three feeds, because most warehouses have at most some of them, and every step takes time.
@multi_asset(specs=[spec for feed in BOTMAKER_FEEDS for spec in _specs(feed)], name="land_botmaker")
def land_botmaker(context: AssetExecutionContext, warehouse: WarehouseResource) -> Iterator[MaterializeResult]:
    """Land the new pages of `botmaker/sessions/`, `botmaker/sent_results/` and `botmaker/channels/`."""
    for feed in BOTMAKER_FEEDS:
        yield from _land(context, warehouse, feed)


@asset(
    key=LEDGER_KEY,
    group_name=GROUP,
    deps=[AssetKey(["raw", table]) for feed in FEEDS for table in feed.tables],
    kinds={"duckdb"},
    check_specs=[
        AssetCheckSpec(
            "few_records_rejected",
            asset=LEDGER_KEY,
            blocking=True,
            description="At most `max_rejected_share` of the new records were rejected.",
        ),
        AssetCheckSpec(
            "every_record_accounted_for",
            asset=LEDGER_KEY,
            blocking=True,
            description="In every file, records = landed + rejected + erased.",
        ),
        AssetCheckSpec("every_file_is_read", asset=LEDGER_KEY, description="Every entry in the landing zone that looks like data is read."),
        AssetCheckSpec(
            "no_file_is_left_to_an_older_reader",
            asset=LEDGER_KEY,
            description="Every landed file was read by the current reader, or is in the landing zone and can be read again.",
        ),
    ],
)
def landed_files(context: AssetExecutionContext, warehouse: WarehouseResource) -> Iterator[MaterializeResult]:
    """The ledger: one row per file content, with its counts. Its checks stop a run if too many records were rejected or any is missing."""
    with warehouse.open() as connection:
        warehouse.engine.delete_old_payloads(connection, warehouse.settings.first_day_kept(datetime.now(UTC)))
        rejections = new_rejections(connection)
        limit = warehouse.settings.max_rejected_share
        unbalanced = unbalanced_files(connection)
        misplaced = LandingZone(warehouse.settings.landing, FEED_NAMES).misplaced()
        _warn(context, "landing zone", "not read", [f"{entry.name}: {entry.reason}" for entry in misplaced])
        if not ledger.has_files(connection):
            # The folder of a disk that is not mounted looks like this.
            folders = ", ".join(f"{name}/" for name in FEED_NAMES)
            _warn(context, "landing zone", "empty", [f"{warehouse.settings.landing} has no file to read in any of {folders}"])
        ledger.write_skipped_entries(connection, "", misplaced)
        skipped_entries = ledger.read_skipped_entries(connection)
        left_to_older_readers = ledger.count_files_of_older_readers(connection, READER_VERSION)
        few_rejected = not rejections.are_too_many(limit)
        checks = [
            AssetCheckResult(
                check_name="few_records_rejected",
                passed=few_rejected,
                severity=AssetCheckSeverity.ERROR,
                description=f"{rejections.rejected} of {rejections.records} new records were rejected."
                if few_rejected
                else rejections.explain(limit),
                metadata={
                    "new_records": rejections.records,
                    "new_records_rejected": rejections.rejected,
                    "rejected_share": rejections.rejected / max(rejections.records, 1),
                    "max_rejected_share": limit,
                },
            ),
            AssetCheckResult(
                check_name="every_record_accounted_for",
                passed=not unbalanced,
                severity=AssetCheckSeverity.ERROR,
                description="records = landed + rejected + erased in every file."
                if not unbalanced
                else f"The counts of these files do not add up (file, records, landed, rejected, erased, in quarantine): {unbalanced[:5]}",
                metadata={"files_unbalanced": len(unbalanced)},
            ),
            AssetCheckResult(
                check_name="every_file_is_read",
                passed=not skipped_entries,
                severity=AssetCheckSeverity.WARN,
                description="Every entry in the landing zone that looks like data is read."
                if not skipped_entries
                else f"{len(skipped_entries)} not read: " + "; ".join(f"{entry.name} ({entry.reason})" for entry in skipped_entries[:20]),
                metadata={"not_read": len(skipped_entries)},
            ),
            AssetCheckResult(
                check_name="no_file_is_left_to_an_older_reader",
                passed=not left_to_older_readers,
                severity=AssetCheckSeverity.WARN,
                description=f"{left_to_older_readers} files that an older version read are no longer in the landing zone, "
                "so their rows stay as that version read them.",
                metadata={"files": left_to_older_readers},
            ),
        ]
        yield MaterializeResult(
            metadata={
                "new_records": rejections.records,
                "new_records_rejected": rejections.rejected,
                "preview": preview(
                    connection,
                    "select * rename (reason as set_aside_because) from raw.landed_files order by load_id desc, file_name limit 10",
                    RAW_TEXTS,
                ),
                "rejected": preview(
                    connection,
                    "select * rename (reason as rejected_because) from raw.rejected_records "
                    "order by landed_at desc, file_name, line_number limit 10",
                    RAW_TEXTS,
                ),
            },
            check_results=checks,
        )
    fail_if_blocked(checks)
