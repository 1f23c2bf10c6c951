"""The jobs: what can be run, by hand, by a schedule or by a sensor."""

from dagster import AssetSelection, Backoff, Jitter, RetryPolicy, define_asset_job, in_process_executor

from orchestration.assets.delivery import session_starts_selection_tsv, session_starts_tsv_of_days

# Two runs that write wait for each other (dagster.yaml) instead of one of them failing at the lock.
WRITER_TAG = {"conversation_starts/writer": "warehouse"}

# An object store or a network share that is away for a moment. What the operator must mend is not tried again.
RETRIES = RetryPolicy(max_retries=2, delay=5, backoff=Backoff.EXPONENTIAL, jitter=Jitter.PLUS_MINUS)

_ON_REQUEST = AssetSelection.assets(session_starts_selection_tsv, session_starts_tsv_of_days)

# One process: there is one writer, and every further process would import all of this again (4 to 5 s a step).
conversation_starts = define_asset_job(
    "conversation_starts",
    selection=AssetSelection.all() - _ON_REQUEST,
    executor_def=in_process_executor,
    op_retry_policy=RETRIES,
    tags=WRITER_TAG,
    description="Land what is new, build, check, publish, export.",
)

export_days = define_asset_job(
    "export_days",
    selection=AssetSelection.assets(session_starts_tsv_of_days),
    executor_def=in_process_executor,
    tags=WRITER_TAG,
    description="Write the TSVs of chosen report days again; a backfill over its partitions does any period.",
)

export_on_demand = define_asset_job(
    "export_on_demand",
    selection=AssetSelection.assets(session_starts_selection_tsv),
    executor_def=in_process_executor,
    description="Write a TSV of the published report for any of its five filters.",
)
