"""The commands of `python -m orchestration`, a module each: `add_to` says what it takes, the command returns an exit code."""
