"""All of Dagster: assets, jobs, schedules, sensors and resources. Nothing else imports Dagster but `definitions` and `cli.run`."""
