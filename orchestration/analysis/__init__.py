"""Comparison of templates: the counts from the published report, the statistics, and the tables and the picture of the result."""
