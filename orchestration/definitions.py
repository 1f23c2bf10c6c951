"""The Dagster definitions of this project."""

from dagster import Definitions, in_process_executor, map_asset_specs

from orchestration.defs.assets.analysis import template_comparison
from orchestration.defs.assets.botmaker import fetch_botmaker
from orchestration.defs.assets.dbt import models
from orchestration.defs.assets.landing import land_botmaker, land_sends, land_webhooks, landed_files
from orchestration.defs.assets.outputs import (
    postgres_marts,
    published_marts,
    session_starts_selection_tsv,
    session_starts_tsv,
    session_starts_tsv_of_days,
)
from orchestration.defs.assets.silence import no_feed_or_line_is_silent
from orchestration.defs.catalog import with_owner_and_layer
from orchestration.defs.jobs import (
    botmaker_backfill,
    botmaker_starts,
    compare_templates,
    conversation_starts,
    export_days,
    export_on_demand,
    publish_to_postgres,
)
from orchestration.defs.resources import WarehouseResource
from orchestration.defs.schedules import botmaker_daily, botmaker_weekly_sweep, daily_export, hourly, nightly_check
from orchestration.defs.sensors import new_files, notify_on_run_failure
from orchestration.file_rights import restrict_new_files

# Dagster's daemon and webserver import this module in the processes that execute runs.
restrict_new_files()

defs = Definitions(
    assets=map_asset_specs(
        with_owner_and_layer,
        [
            fetch_botmaker,
            land_sends,
            land_webhooks,
            land_botmaker,
            landed_files,
            models,
            published_marts,
            postgres_marts,
            session_starts_tsv,
            session_starts_tsv_of_days,
            session_starts_selection_tsv,
            template_comparison,
        ],
    ),
    asset_checks=[no_feed_or_line_is_silent],
    jobs=[conversation_starts, export_days, export_on_demand, compare_templates, publish_to_postgres, botmaker_starts, botmaker_backfill],
    schedules=[hourly, nightly_check, daily_export, botmaker_daily, botmaker_weekly_sweep],
    sensors=[new_files, notify_on_run_failure],
    resources={"warehouse": WarehouseResource()},
    executor=in_process_executor,
)
