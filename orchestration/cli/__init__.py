"""The commands of `python -m orchestration`, a module each: `add_to` says what it takes, the command returns an exit code.

A `StartsError` that a command does not handle means that it could not start: `main` prints it and returns the code.
"""
