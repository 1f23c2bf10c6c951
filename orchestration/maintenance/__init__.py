"""What an operator does to a warehouse by hand: build it anew, replay rejected files, erase a person."""
