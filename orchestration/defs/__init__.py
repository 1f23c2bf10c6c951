"""All code that uses Dagster: assets, jobs, schedules, sensors and resources. Otherwise only `definitions` and `cli.run` import Dagster."""
