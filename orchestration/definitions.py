"""Everything Dagster knows of this project."""

from dagster import AssetSelection, Definitions, define_asset_job, in_process_executor

from orchestration.assets.delivery import published_marts, session_starts_selection_tsv, session_starts_tsv
from orchestration.assets.landing import land_botmaker, land_sends, land_webhooks, landed_files
from orchestration.assets.models import models
from orchestration.resources import WarehouseResource

# One process: there is one writer, and every further process would import all of this again (4 to 5 s a step).
conversation_starts = define_asset_job(
    "conversation_starts",
    selection=AssetSelection.all() - AssetSelection.assets(session_starts_selection_tsv),
    executor_def=in_process_executor,
    description="Land what is new, build, check, publish, export.",
)

export_on_demand = define_asset_job(
    "export_on_demand",
    selection=AssetSelection.assets(session_starts_selection_tsv),
    executor_def=in_process_executor,
    description="Write a TSV of the published report for any of its five filters.",
)

defs = Definitions(
    assets=[
        land_sends,
        land_webhooks,
        land_botmaker,
        landed_files,
        models,
        published_marts,
        session_starts_tsv,
        session_starts_selection_tsv,
    ],
    jobs=[conversation_starts, export_on_demand],
    resources={"warehouse": WarehouseResource()},
    executor=in_process_executor,
)
