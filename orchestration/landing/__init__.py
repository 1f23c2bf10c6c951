"""Load files from the landing zone into the raw tables."""
