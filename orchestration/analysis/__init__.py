"""Comparisons of templates: pure statistics, how the published report is counted for them, and their picture."""
