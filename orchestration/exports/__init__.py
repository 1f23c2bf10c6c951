"""Export the report: one TSV file per report day, and any selection on demand."""
