"""What an operator does to a warehouse by hand: rebuild it, replay rejected files, erase a person."""
