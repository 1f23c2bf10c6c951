"""Everything Dagster knows of this project."""

from dagster import Definitions, in_process_executor

from orchestration.assets.botmaker import fetch_botmaker
from orchestration.assets.delivery import (
    postgres_marts,
    published_marts,
    session_starts_selection_tsv,
    session_starts_tsv,
    session_starts_tsv_of_days,
)
from orchestration.assets.landing import land_botmaker, land_sends, land_webhooks, landed_files
from orchestration.assets.models import models
from orchestration.automation.schedules import botmaker_daily, botmaker_weekly_sweep, daily_export, hourly
from orchestration.automation.sensors import new_files, tell_of_failures
from orchestration.jobs import botmaker_backfill, botmaker_starts, conversation_starts, export_days, export_on_demand, publish_to_postgres
from orchestration.resources import WarehouseResource

defs = Definitions(
    assets=[
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
    ],
    jobs=[conversation_starts, export_days, export_on_demand, publish_to_postgres, botmaker_starts, botmaker_backfill],
    schedules=[hourly, daily_export, botmaker_daily, botmaker_weekly_sweep],
    sensors=[new_files, tell_of_failures],
    resources={"warehouse": WarehouseResource()},
    executor=in_process_executor,
)
