"""All code that uses Dagster: assets, jobs, schedules, sensors and resources. Otherwise only `definitions` and `cli.run` import Dagster."""

import warnings

from dagster import BetaWarning

# A beta feature of Dagster. Daily exports need it, so that a backfill of many days is one run.
warnings.filterwarnings("ignore", "Parameter `backfill_policy`", BetaWarning)
