"""The tests that only `make test-all` runs: for example further seeds of a generator."""

from typing import Any

import pytest


def thorough(*values: Any) -> list[Any]:
    """Return parameters that only `make test-all`, and therefore CI, runs; a tuple stands for several arguments."""
    return [pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.thorough) for value in values]
