"""The dbt models as assets and their data tests as asset checks."""

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from dagster import (
    AssetCheckKey,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetSpec,
    Config,
    MaterializeResult,
    Output,
)
from pydantic import Field

from orchestration.defs.assets.checks import FAILED_ROWS, LISTS_ROWS, MAX_LISTED_ROWS, compiled_sql, describe_check, explain_failure
from orchestration.defs.assets.freshness import FRESH
from orchestration.defs.assets.landing import LEDGER_KEY
from orchestration.defs.failures import failure
from orchestration.defs.resources import WarehouseResource
from orchestration.defs.retention import NOTHING_NEW
from orchestration.errors import ExitCode
from orchestration.landing.migrations import prepare_raw_schema
from orchestration.landing.rejections import refuse_too_many_rejections
from orchestration.progress import report_progress
from orchestration.run_report import counted
from orchestration.settings import DBT_PROJECT_DIR, Settings
from orchestration.transform.builds import (
    Build,
    FinishedBuild,
    current_build,
    drop_orphaned_tables,
    finish_build,
    invalidate_builds,
    start_build,
)
from orchestration.transform.dbt_import import without_dbt
from orchestration.transform.invocation import DbtError
from orchestration.transform.lookups import refuse_unreadable_lookups
from orchestration.transform.parsed import parsed_project
from orchestration.transform.runner import RESULT_EVENTS, build_arguments, check_arguments, stream_dbt
from orchestration.transform.time_zones import warnings_of_other_rules
from orchestration.warehouse import explain_warehouse_error

with without_dbt():
    from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtProject, dbt_assets
    from dagster_dbt.core.dbt_cli_event import DbtCoreCliEventMessage


class ReportTranslator(DagsterDbtTranslator):
    """Assign groups and freshness policies, and make staging depend on the ledger, so that it waits for the ledger's checks."""

    def __init__(self) -> None:
        super().__init__(
            DagsterDbtTranslatorSettings(enable_asset_checks=True, enable_source_tests_as_checks=True, enable_source_metadata=True)
        )

    def get_asset_spec(self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None) -> AssetSpec:
        spec = super().get_asset_spec(manifest, unique_id, project)
        if self.get_resource_props(manifest, unique_id)["resource_type"] == "model" and spec.key.path[0] == "staging":
            spec = spec.merge_attributes(deps=[LEDGER_KEY])
        return spec.replace_attributes(freshness_policy=FRESH) if spec.key.path[0] == "marts" else spec

    def get_asset_check_spec(
        self, asset_spec: AssetSpec, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> AssetCheckSpec | None:
        spec = super().get_asset_check_spec(asset_spec, manifest, unique_id, project)
        return spec and spec._replace(description=describe_check(manifest["nodes"][unique_id]))

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        # The calendar of the metrics is a look-up, too.
        if dbt_resource_props["resource_type"] == "seed" or dbt_resource_props["fqn"][1] == "metrics":
            return "lookups"
        if dbt_resource_props["resource_type"] == "source":
            return "landing"
        return dbt_resource_props["fqn"][1]


TRANSLATOR = ReportTranslator()
MANIFEST = parsed_project(Settings.from_environment()).json


class ModelsConfig(Config):
    """How much data the checks cover."""

    thorough: bool = Field(default=False, description="Check all rows, even if nothing has landed. Otherwise, checks cover only new data.")


@dbt_assets(manifest=MANIFEST, project=DbtProject(DBT_PROJECT_DIR), dagster_dbt_translator=TRANSLATOR, name="build_models")
def models(context: AssetExecutionContext, config: ModelsConfig, warehouse: WarehouseResource) -> Iterator[Any]:
    """Build what the new loads affect, or everything if the definition changed; any error blocks publication."""
    build = _current_or_new_build(context, warehouse)
    if isinstance(build, FinishedBuild):
        context.log.info("Nothing has landed since the last build, so the marts are unchanged.")
        yield from _report_unchanged(context, config, warehouse, build)
    else:
        yield from _build(context, config, warehouse, build)


def _current_or_new_build(context: AssetExecutionContext, warehouse: WarehouseResource) -> FinishedBuild | Build:
    with warehouse.open() as connection:
        # Landing does this, too. But if only the models are materialised, maybe nothing has landed yet, or another version landed it.
        prepare_raw_schema(connection)
        if rows := warehouse.engine.erase_late_rows(connection):
            context.log.warning(f"Deleted {counted(rows, 'row')} of erased people that had landed before their identifiers were known.")
        current = current_build(connection, warehouse.settings)
        if current is not None:
            return current
        refuse_unreadable_lookups()
        for warning in warnings_of_other_rules(connection, warehouse.settings.time_zones, datetime.now(UTC)):
            context.log.warning(warning)
        # The ledger's check does the same, but it does not run if only the models are materialised.
        refuse_too_many_rejections(connection, warehouse.settings.max_rejected_share)
        return start_build(connection, warehouse.settings)


def _build(context: AssetExecutionContext, config: ModelsConfig, warehouse: WarehouseResource, build: Build) -> Iterator[Any]:
    if not build.is_increment:
        context.log.info(
            "Rebuilding everything: the tables are not all from a finished build of these models, checks, look-ups, variables and version "
            "of DuckDB."
        )
    arguments = build_arguments(warehouse.settings, build, with_all_checks=config.thorough)
    yield from _run(context, warehouse, arguments, of_all_rows=config.thorough)
    if build.is_increment:
        yield from _report_unchanged_lookups(context)
    with warehouse.open() as connection:
        warehouse.engine.refresh_after_build(connection)
        finish_build(connection, build)
        if not build.is_increment:
            drop_orphaned_tables(connection, MANIFEST)


def _report_unchanged(
    context: AssetExecutionContext, config: ModelsConfig, warehouse: WarehouseResource, build: FinishedBuild
) -> Iterator[Any]:
    """Report all marts and checks as unchanged since a finished build, which dbt would take seconds to find; or check all rows again.

    Of the models, only the marts are reported, because publication waits for no others, and each event costs 20 ms and 8 kB.
    """
    for key in context.job_def.asset_layer.asset_graph.toposorted_asset_keys:
        if key in context.selected_asset_keys and key.path[0] == "marts":
            yield MaterializeResult(asset_key=key, metadata={"unchanged_since_build": build.build_id})
    if config.thorough:
        yield from _run(context, warehouse, check_arguments(warehouse.settings), of_all_rows=True)
    else:
        context.instance.add_run_tags(context.run_id, NOTHING_NEW)
        yield from _as_passed(context.selected_asset_check_keys, f"Passed in build {build.build_id}. Nothing has landed since.")


def _run(context: AssetExecutionContext, warehouse: WarehouseResource, arguments: list[str], *, of_all_rows: bool) -> Iterator[Any]:
    """Run a dbt command; yield the events of its models and checks. Raises a failure of the step if anything failed.

    After a failed check of all rows, the next run rebuilds everything: its checks of new rows alone would not find the fault again.
    """
    settings = warehouse.settings
    explanations: dict[str, str] = {}
    try:
        for event in _with_progress(stream_dbt(settings, arguments)):
            message = DbtCoreCliEventMessage(raw_event=event, event_history_metadata={})
            for result in message.to_default_asset_events(manifest=MANIFEST, dagster_dbt_translator=TRANSLATOR, context=context):
                if isinstance(result, AssetCheckResult):
                    yield _with_explanation(context, warehouse, result, event, explanations)
                # dbt builds everything, but Dagster gets only the events of the assets selected for the run.
                elif isinstance(result, Output) and result.output_name in context.selected_output_names:
                    yield result
    except DbtError as error:
        explanation = explain_warehouse_error(settings, error)
        if explanation is not None:
            raise failure(str(explanation), explanation.exit_code) from None
        sentences = _explain_failures(error, explanations)
        # Explanations of checks that only warn are never among the sentences.
        of_checks = set(explanations.values())
        only_checks = of_checks.issuperset(sentences)
        if of_all_rows and not of_checks.isdisjoint(sentences):
            with warehouse.open() as connection:
                invalidate_builds(connection)
            sentences.append("The next run rebuilds everything from the raw tables.")
        description = "\n".join(["The models or their checks failed, so nothing is published:", *sentences])
        raise failure(description, ExitCode.BLOCKED if only_checks else None) from None


def _with_progress(events: Generator[dict[str, Any]]) -> Generator[dict[str, Any]]:
    """Report how many nodes dbt has finished, and yield their results."""
    done = 0
    with closing(events):
        for event in events:
            is_result = event["info"]["name"] in RESULT_EVENTS
            done += is_result
            data = event["data"]
            total = data.get("total", data.get("num_models"))
            report_progress(done, total, "models, look-ups and checks", "" if is_result else data["node_info"]["node_name"])
            if is_result:
                yield event


def _with_explanation(
    context: AssetExecutionContext,
    warehouse: WarehouseResource,
    result: AssetCheckResult,
    event: Mapping[str, Any],
    explanations: dict[str, str],
) -> AssetCheckResult:
    """Add to a check's result the number of rows found and, if it failed, an explanation, which is also stored in `explanations`."""
    test, rows = MANIFEST["nodes"][event["data"]["node_info"]["unique_id"]], int(event["data"].get("num_failures", 0))
    result = result._replace(metadata={**(result.metadata or {}), FAILED_ROWS: rows})
    if result.passed:
        return result
    listed = []
    if test["config"]["meta"].get(LISTS_ROWS) and rows:
        listed = warehouse.engine.query_models(compiled_sql(test, warehouse.settings.dbt_target_dir), MAX_LISTED_ROWS)
    explanations[test["name"]] = explain_failure(test, rows, listed)
    if result.severity is AssetCheckSeverity.WARN:
        context.log.warning(explanations[test["name"]])
    return result._replace(description=explanations[test["name"]])


def _explain_failures(error: DbtError, explanations: Mapping[str, str]) -> list[str]:
    """Return dbt's list of failures, with the explanation of each failed test in place of dbt's line."""
    return [explanations.get(line.partition(":")[0], line) for line in str(error).splitlines()]


def _report_unchanged_lookups(context: AssetExecutionContext) -> Iterator[AssetCheckResult]:
    """Report the checks of look-ups as passed. An increment skips them, because it builds on look-ups that passed."""
    of_lookups = [
        check for check in context.selected_asset_check_keys if context.assets_def.group_names_by_key[check.asset_key] == "lookups"
    ]
    yield from _as_passed(of_lookups, "Passed in the last rebuild. The look-up has not changed since.")


def _as_passed(checks: Iterable[AssetCheckKey], description: str) -> Iterator[AssetCheckResult]:
    for check in checks:
        yield AssetCheckResult(
            asset_key=check.asset_key, check_name=check.name, passed=True, description=description, metadata={FAILED_ROWS: 0}
        )
