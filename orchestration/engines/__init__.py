"""The engines that hold the warehouse and build the marts: DuckDB on one machine, Spark on many (contract, section 8)."""
