"""The report as TSV: a file per report day, and any selection on demand."""
