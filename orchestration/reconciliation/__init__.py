"""Comparison of the published report with a download from Botmaker."""
