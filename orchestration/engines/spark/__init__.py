"""The warehouse as Iceberg tables in a lake, written by a Spark cluster. Needs the extra `spark`; imported only for this engine."""
