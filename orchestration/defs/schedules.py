"""Schedules, in the report's time zone."""

from datetime import timedelta
from zoneinfo import ZoneInfo

from dagster import DefaultScheduleStatus, RunConfig, RunRequest, ScheduleDefinition, ScheduleEvaluationContext, schedule

from orchestration.defs.assets.botmaker import BotmakerFetchConfig
from orchestration.defs.assets.dbt import ModelsConfig
from orchestration.defs.assets.outputs import CheckConfig
from orchestration.defs.jobs import botmaker_backfill, botmaker_starts, conversation_starts, export_days
from orchestration.settings import Settings

_TIME_ZONE = Settings.from_environment().report_timezone

hourly = ScheduleDefinition(
    name="hourly",
    job=conversation_starts,
    # At a quarter past, when the logs of the past hour are usually in place.
    cron_schedule="15 * * * *",
    execution_timezone=_TIME_ZONE,
    default_status=DefaultScheduleStatus.RUNNING,
    description="Land, build, publish and export new data. On by default.",
)

nightly_check = ScheduleDefinition(
    name="nightly_check",
    job=conversation_starts,
    cron_schedule="45 3 * * *",
    execution_timezone=_TIME_ZONE,
    default_status=DefaultScheduleStatus.RUNNING,
    run_config=RunConfig(
        ops={
            "build_models": ModelsConfig(thorough=True),
            "published_marts": CheckConfig(thorough=True),
            "session_starts_tsv": CheckConfig(thorough=True),
        }
    ),
    description="The hourly run, but it checks every row, published row and exported byte, not only new data. On by default.",
)


@schedule(job=export_days, cron_schedule="0 6 * * *", execution_timezone=_TIME_ZONE, default_status=DefaultScheduleStatus.STOPPED)
def daily_export(context: ScheduleEvaluationContext) -> RunRequest:
    """Rewrite yesterday's TSV at six, for users who collect the files at a fixed hour."""
    now = context.scheduled_execution_time.astimezone(ZoneInfo(_TIME_ZONE))
    yesterday = f"{now - timedelta(days=1):%Y-%m-%d}"
    return RunRequest(run_key=yesterday, partition_key=yesterday)


botmaker_daily = ScheduleDefinition(
    name="botmaker_daily",
    job=botmaker_starts,
    cron_schedule="0 5 * * *",
    execution_timezone=_TIME_ZONE,
    description="Fetch and build every morning. It needs BOTMAKER_ACCESS_TOKEN, so turn it on by hand.",
)

botmaker_weekly_sweep = ScheduleDefinition(
    name="botmaker_weekly_sweep",
    # It only fetches: that may take hours, and the hourly job lands its pages meanwhile.
    job=botmaker_backfill,
    cron_schedule="0 1 * * 0",
    execution_timezone=_TIME_ZONE,
    run_config=RunConfig(ops={"fetch_botmaker": BotmakerFetchConfig(sweep=True)}),
    description="Fetch the last 30 days again: WhatsApp may change a status for that long. Botmaker bills searches beyond 7 days.",
)
