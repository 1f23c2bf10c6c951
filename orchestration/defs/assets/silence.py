"""The warning check for the freshness of the data (contract, section 3)."""

from datetime import UTC, datetime

from dagster import AssetCheckResult, AssetCheckSeverity, AssetKey, asset_check

from orchestration.defs.resources import WarehouseResource
from orchestration.transform.freshness import silences


@asset_check(asset=AssetKey("published_marts"), description="Every feed and line has an event within the last `max_silence_hours`.")
def no_feed_or_line_is_silent(warehouse: WarehouseResource) -> AssetCheckResult:
    """Warn about feeds and lines without recent events; the check never stops a run."""
    with warehouse.open() as connection:
        found = silences(connection, datetime.now(UTC).replace(tzinfo=None))
    return AssetCheckResult(
        passed=not found,
        severity=AssetCheckSeverity.WARN,
        description="; ".join(map(str, found)) or "Every feed and line has a recent event.",
        metadata={"silent": len(found)},
    )
