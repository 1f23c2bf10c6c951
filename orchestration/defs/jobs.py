"""The jobs, which start by hand, by a schedule or by a sensor."""

from dagster import AssetSelection, Backoff, Jitter, RetryPolicy, define_asset_job, in_process_executor

from orchestration.defs.assets.analysis import template_comparison
from orchestration.defs.assets.botmaker import GROUP as BOTMAKER
from orchestration.defs.assets.outputs import postgres_marts, session_starts_selection_tsv, session_starts_tsv_of_days
from orchestration.settings import publishes_to_postgres

# Runs that write wait for each other in the queue (dagster.yaml), so that none of them fails at the lock.
WRITER_TAG = {"conversation_starts/writer": "warehouse"}

# Dagster ends other runs after the time in dagster.yaml. A fetch may take longer: Botmaker allows only three pages of a notification's
# results a minute.
NO_MAX_RUNTIME = {"dagster/max_runtime": "0"}

# For an object store or a network share that is briefly unreachable. Errors that the operator must fix are not retried.
RETRIES = RetryPolicy(max_retries=2, delay=5, backoff=Backoff.EXPONENTIAL, jitter=Jitter.PLUS_MINUS)

_ON_REQUEST = AssetSelection.assets(session_starts_selection_tsv, session_starts_tsv_of_days, template_comparison)
_POSTGRES = AssetSelection.assets(postgres_marts)
_REPORT = AssetSelection.all() - _ON_REQUEST if publishes_to_postgres() else AssetSelection.all() - _ON_REQUEST - _POSTGRES
_BOTMAKER = AssetSelection.groups(BOTMAKER)

# One process: there is one writer, and every further process would import everything again (4 to 5 s per step).
conversation_starts = define_asset_job(
    "conversation_starts",
    selection=_REPORT - _BOTMAKER,
    executor_def=in_process_executor,
    op_retry_policy=RETRIES,
    tags=WRITER_TAG,
    description="Land new files, build, check, publish, export.",
)

export_days = define_asset_job(
    "export_days",
    selection=AssetSelection.assets(session_starts_tsv_of_days),
    executor_def=in_process_executor,
    tags=WRITER_TAG,
    description="Rewrite the TSVs of selected report days. A backfill over the partitions covers any period.",
)

export_on_demand = define_asset_job(
    "export_on_demand",
    selection=AssetSelection.assets(session_starts_selection_tsv),
    executor_def=in_process_executor,
    description="Write a file of the published report, selected by its five filters.",
)

compare_templates = define_asset_job(
    "compare_templates",
    selection=AssetSelection.assets(template_comparison),
    executor_def=in_process_executor,
    description="Compare the templates of the published report with a baseline, selected by its five filters.",
)

publish_to_postgres = define_asset_job(
    "publish_to_postgres",
    selection=_POSTGRES,
    executor_def=in_process_executor,
    op_retry_policy=RETRIES,
    tags=WRITER_TAG,
    description="Update the PostgreSQL database of STARTS_POSTGRES_URL to the published data.",
)

# A separate job, so that `conversation_starts` works without a token, on the files in the landing zone.
botmaker_starts = define_asset_job(
    "botmaker_starts",
    selection=_REPORT,
    executor_def=in_process_executor,
    op_retry_policy=RETRIES,
    tags=WRITER_TAG,
    description="Fetch new data from Botmaker, then do the same as `conversation_starts`.",
)

botmaker_backfill = define_asset_job(
    "botmaker_backfill",
    selection=_BOTMAKER,
    executor_def=in_process_executor,
    tags=NO_MAX_RUNTIME,
    description="Only fetch from Botmaker: a past period, or new data. The next run of `conversation_starts` lands it.",
)
