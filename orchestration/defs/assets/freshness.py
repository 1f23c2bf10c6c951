"""The freshness policy of assets."""

from datetime import timedelta

from dagster import FreshnessPolicy

# Runs are hourly by default. Three hours without a run cause a warning; more than a day means that the job no longer runs.
FRESH = FreshnessPolicy.time_window(fail_window=timedelta(hours=26), warn_window=timedelta(hours=3))
