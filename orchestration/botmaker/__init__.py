"""Fetch the pages of Botmaker's API, unchanged, into the landing zone."""
