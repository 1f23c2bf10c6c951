"""Manual operations on a warehouse: rebuild it, replay rejected files, erase a person."""
