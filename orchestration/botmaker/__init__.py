"""Botmaker as a source: its API's pages, as they come, into the landing zone."""
