"""Wait for a condition that another process fulfils."""

import time
from collections.abc import Callable


def wait_for(is_so: Callable[[], object], seconds: float) -> None:
    give_up_at = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < give_up_at, "timed out"
        time.sleep(0.1)
