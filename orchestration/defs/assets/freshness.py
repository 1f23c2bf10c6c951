"""How old what we show may be."""

from datetime import timedelta

from dagster import FreshnessPolicy

# Runs are hourly by default: three hours late is worth a look, and more than a day means that no one runs it.
FRESH = FreshnessPolicy.time_window(fail_window=timedelta(hours=26), warn_window=timedelta(hours=3))
