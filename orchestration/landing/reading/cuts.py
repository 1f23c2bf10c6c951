"""Records that were cut from a block of bytes."""

from dataclasses import dataclass

import numpy as np

_MAX_BEGINNING_BYTES = 1024


@dataclass(frozen=True)
class Cut:
    """Records in a block, from `starts` to `ends`. With `is_beginning`, the block is the beginning of a record that is too long."""

    block: bytes
    starts: np.ndarray
    ends: np.ndarray
    lines: np.ndarray
    is_beginning: bool = False


@dataclass(frozen=True)
class SkippedRecord:
    """A record that is too long; only its beginning is kept."""

    line: int
    beginning: bytes
    spans_lines: bool

    def cut(self) -> Cut:
        return Cut(self.beginning, np.array([0]), np.array([len(self.beginning)]), np.array([self.line]), is_beginning=True)


def beginning_length(limit: int) -> int:
    """Return how many bytes of a long record are kept: at most the limit, because no more of a skipped record is certain to be read yet."""
    return min(limit, _MAX_BEGINNING_BYTES)
