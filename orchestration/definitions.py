"""Everything Dagster knows of this project."""

from dagster import Definitions, in_process_executor

from orchestration.assets.delivery import published_marts, session_starts_selection_tsv, session_starts_tsv, session_starts_tsv_of_days
from orchestration.assets.landing import land_botmaker, land_sends, land_webhooks, landed_files
from orchestration.assets.models import models
from orchestration.automation.schedules import daily_export, hourly
from orchestration.automation.sensors import new_files, tell_of_failures
from orchestration.jobs import conversation_starts, export_days, export_on_demand
from orchestration.resources import WarehouseResource

defs = Definitions(
    assets=[
        land_sends,
        land_webhooks,
        land_botmaker,
        landed_files,
        models,
        published_marts,
        session_starts_tsv,
        session_starts_tsv_of_days,
        session_starts_selection_tsv,
    ],
    jobs=[conversation_starts, export_days, export_on_demand],
    schedules=[hourly, daily_export],
    sensors=[new_files, tell_of_failures],
    resources={"warehouse": WarehouseResource()},
    executor=in_process_executor,
)
