"""From files in the landing zone to the raw tables."""
