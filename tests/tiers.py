"""What `make test` leaves to `make test-all`: more of the same, such as further seeds of a generator."""

from typing import Any

import pytest


def thorough(*values: Any) -> list[Any]:
    """Return parameters of a test that only `make test-all`, and so CI, runs; a tuple stands for several arguments."""
    return [pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.thorough) for value in values]
