"""What leaves the warehouse: the published marts for BI and the TSVs."""
