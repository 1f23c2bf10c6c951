"""The warehouse as Iceberg tables of a lake, written by a Spark cluster. Needs the extra `spark`; nothing else imports it."""
