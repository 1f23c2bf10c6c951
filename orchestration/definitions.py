"""Everything Dagster knows of this project."""

from dagster import AssetSelection, Definitions, RunConfig, ScheduleDefinition, define_asset_job, in_process_executor

from orchestration.assets.botmaker import GROUP as BOTMAKER
from orchestration.assets.botmaker import BotmakerFetchConfig, fetch_botmaker
from orchestration.assets.delivery import published_marts, session_starts_selection_tsv, session_starts_tsv
from orchestration.assets.landing import land_sends, land_webhooks, landed_files
from orchestration.assets.models import models
from orchestration.resources import WarehouseResource
from orchestration.settings import Settings

_ON_DEMAND = AssetSelection.assets(session_starts_selection_tsv)

# One process: there is one writer, and every further process would import all of this again (4 to 5 s a step).
conversation_starts = define_asset_job(
    "conversation_starts",
    selection=AssetSelection.all() - _ON_DEMAND - AssetSelection.groups(BOTMAKER),
    executor_def=in_process_executor,
    description="Land what is new, build, check, publish, export.",
)

export_on_demand = define_asset_job(
    "export_on_demand",
    selection=_ON_DEMAND,
    executor_def=in_process_executor,
    description="Write a TSV of the published report for any of its five filters.",
)

# A job of its own: without a token, `conversation_starts` works on the logs alone.
botmaker_starts = define_asset_job(
    "botmaker_starts",
    selection=AssetSelection.all() - _ON_DEMAND,
    executor_def=in_process_executor,
    description="Fetch what is new from Botmaker, then all that `conversation_starts` does.",
)

botmaker_backfill = define_asset_job(
    "botmaker_backfill",
    selection=AssetSelection.groups(BOTMAKER),
    executor_def=in_process_executor,
    description="Only fetch from Botmaker: a period of the past, or what is new. The next run of the report lands it.",
)

_REPORT_TIMEZONE = Settings.from_environment().report_timezone

botmaker_daily = ScheduleDefinition(
    name="botmaker_daily",
    job=botmaker_starts,
    cron_schedule="0 5 * * *",
    execution_timezone=_REPORT_TIMEZONE,
    description="Fetch and build every morning. Needs BOTMAKER_ACCESS_TOKEN, so it is started by hand.",
)

botmaker_weekly_sweep = ScheduleDefinition(
    name="botmaker_weekly_sweep",
    job=botmaker_starts,
    cron_schedule="0 1 * * 0",
    execution_timezone=_REPORT_TIMEZONE,
    run_config=RunConfig(ops={"fetch_botmaker": BotmakerFetchConfig(sweep=True)}),
    description="Read the last 30 days again, in which WhatsApp may still change its mind. Botmaker bills searches beyond 7 days.",
)

defs = Definitions(
    assets=[
        fetch_botmaker,
        land_sends,
        land_webhooks,
        landed_files,
        models,
        published_marts,
        session_starts_tsv,
        session_starts_selection_tsv,
    ],
    jobs=[conversation_starts, export_on_demand, botmaker_starts, botmaker_backfill],
    schedules=[botmaker_daily, botmaker_weekly_sweep],
    resources={"warehouse": WarehouseResource()},
    executor=in_process_executor,
)
