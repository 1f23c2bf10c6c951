"""What leaves the warehouse for BI: the published file, Parquet and PostgreSQL, with contacts plain or masked."""
