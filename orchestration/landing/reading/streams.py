"""Read the bytes of one file: hash them while they are read, decompress them, and ensure that the file does not change meanwhile.

A file of the landing zone may grow or be overwritten while a run reads it. The hash of exactly those bytes that were parsed
identifies the content, so hash and rows always match. A file that changed meanwhile is not registered at all.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pyarrow as pa

# 2 to 16 MiB were equally fast on 400 MB of webhooks and sends; files that are not plain lines need ten times as much memory.
CHUNK_BYTES = 4 << 20

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_CODECS = {".gz": "gzip", ".zst": "zstd"}
_UTF16_AND_32_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")
# Without a byte order mark, the first character of the JSON shows the encoding: `{` and `[` are one byte in UTF-8.
_UTF16_WITHOUT_MARK = (b"{\0", b"[\0", b"\0{", b"\0[")


class DamagedFileError(Exception):
    """The file cannot be read completely: its archive is truncated or damaged, or its JSON does not end."""


class UnreadableFileError(Exception):
    """The file cannot be opened or read at all, so its content is unknown."""


class ChangedFileError(Exception):
    """The file changed while it was being read."""


class HashedFile:
    """A regular file that hashes what is read from it; a `with` block closes it. Raises `UnreadableFileError`.

    It has the methods that Arrow's decompressors need.
    """

    closed = False

    def __init__(self, path: Path) -> None:
        with _convert_os_errors():
            # Without O_NONBLOCK, opening a named pipe that has taken the file's place would wait for a writer.
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._state = self._fstat()
        self._hash = hashlib.sha256()
        self.bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most `size`, or none at the end. Raises `ChangedFileError` if the file has grown."""
        if not stat.S_ISREG(self._state.st_mode):
            raise UnreadableFileError("it is not a regular file")
        with _convert_os_errors():
            piece = os.read(self._descriptor, size)
        self._hash.update(piece)
        self.bytes += len(piece)
        if self.bytes > self._state.st_size:
            # A file that grows as fast as it is read has no end.
            raise ChangedFileError("it changed while it was being read")
        return piece

    def sha256(self) -> str:
        """Read the rest, and return the hash of the whole file. Raises `ChangedFileError`."""
        while self.read(CHUNK_BYTES):
            pass
        before, now = self._state, self._fstat()
        if self.bytes != before.st_size or _file_state(before) != _file_state(now):
            raise ChangedFileError("it changed while it was being read")
        return self._hash.hexdigest()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        """Do nothing: Arrow closes the file that it decompresses, but the bytes after damage must still be hashed."""

    def _fstat(self) -> os.stat_result:
        return os.fstat(self._descriptor)


def _file_state(state: os.stat_result) -> tuple[int, int, int]:
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns


@contextmanager
def _convert_os_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnreadableFileError(f"it cannot be read ({error.strerror})") from error


def chunks(file: HashedFile, file_name: str) -> Iterator[bytes]:
    """Yield the decompressed bytes of a file, at most `CHUNK_BYTES` at a time, without a byte order mark.

    The extension of `file_name` shows how the file is compressed. Raises `DamagedFileError`, also for text in UTF-16 or UTF-32.
    """
    codec = _CODECS.get(Path(file_name).suffix)
    stream = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), codec) if codec else file
    is_first = True
    while piece := _read(stream):
        if is_first and _is_utf16_or_32(piece):
            raise DamagedFileError("its text is UTF-16 or UTF-32: save it as UTF-8")
        yield piece.removeprefix(BYTE_ORDER_MARK) if is_first else piece
        is_first = False


def _is_utf16_or_32(start: bytes) -> bool:
    # A mark alone may be bytes of a damaged line. In both encodings, each character of JSON's grammar has a zero byte.
    return start.startswith(_UTF16_WITHOUT_MARK) or (start.startswith(_UTF16_AND_32_MARKS) and b"\0" in start[:1024])


def _read(stream: "HashedFile | pa.CompressedInputStream") -> bytes:
    try:
        return stream.read(CHUNK_BYTES)
    except OSError as error:
        raise DamagedFileError(f"the archive is cut short or damaged ({error})") from error
