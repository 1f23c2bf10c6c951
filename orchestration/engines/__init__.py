"""The engines that hold the warehouse and build the marts: DuckDB on one machine, Spark on a cluster (contract, section 8)."""
