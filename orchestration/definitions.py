"""Everything Dagster knows of this project."""

from dagster import AssetSelection, Definitions, define_asset_job, in_process_executor

from orchestration.assets.delivery import postgres_marts, published_marts, session_starts_selection_tsv, session_starts_tsv
from orchestration.assets.landing import land_sends, land_webhooks, landed_files
from orchestration.assets.models import models
from orchestration.resources import WarehouseResource
from orchestration.settings import publishes_to_postgres

_on_demand = AssetSelection.assets(session_starts_selection_tsv)
if not publishes_to_postgres():
    _on_demand |= AssetSelection.assets(postgres_marts)

# One process: there is one writer, and every further process would import all of this again (4 to 5 s a step).
conversation_starts = define_asset_job(
    "conversation_starts",
    selection=AssetSelection.all() - _on_demand,
    executor_def=in_process_executor,
    description="Land what is new, build, check, publish, export.",
)

export_on_demand = define_asset_job(
    "export_on_demand",
    selection=AssetSelection.assets(session_starts_selection_tsv),
    executor_def=in_process_executor,
    description="Write a TSV of the published report for any of its five filters.",
)

publish_to_postgres = define_asset_job(
    "publish_to_postgres",
    selection=AssetSelection.assets(postgres_marts),
    executor_def=in_process_executor,
    description="Bring the PostgreSQL database of STARTS_POSTGRES_URL up to what is published.",
)

defs = Definitions(
    assets=[
        *(land_sends, land_webhooks, landed_files),
        models,
        *(published_marts, postgres_marts),
        *(session_starts_tsv, session_starts_selection_tsv),
    ],
    jobs=[conversation_starts, export_on_demand, publish_to_postgres],
    resources={"warehouse": WarehouseResource()},
    executor=in_process_executor,
)
