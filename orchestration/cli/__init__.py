"""The commands of `python -m orchestration`, one module each: `add_to` defines the arguments, the command returns an exit code.

A `StartsError` that a command does not handle means that it could not start: `main` prints the error and returns the exit code.
"""
