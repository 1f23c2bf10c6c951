"""Find a person in files, including their compressed contents."""

import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from orchestration.maintenance.erasure import files_containing


def files_with(folder: Path, identifiers: list[str], scratch: Path) -> list[Path]:
    """Return the files in a folder that contain an identifier: as plain bytes, in a Parquet cell, or in an Avro block (a manifest).

    An incomplete file that a killed task left cannot be read: it is returned as well, unless it is empty.
    """
    found = set(files_containing(folder, identifiers))
    scratch.mkdir()
    readable = {}
    for number, path in enumerate(sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)):
        if path.suffix not in _READERS:
            continue
        try:
            content = _READERS[path.suffix](path)
        except (pa.ArrowInvalid, zlib.error, IndexError):
            found.add(path)
            continue
        copy = scratch / f"{number:06}"
        copy.write_bytes(content)
        readable[copy] = path
    return sorted(found | {readable[copy] for copy in files_containing(scratch, identifiers)})


def _cells(path: Path) -> bytes:
    rows = pq.ParquetFile(path).read().to_pylist()
    return "\n".join(str(value) for row in rows for value in row.values() if value is not None).encode()


def _blocks(path: Path) -> bytes:
    """Return the content of an Avro file: blocks with a count, a size and deflated bytes, each followed by the header's sync marker."""
    content = path.read_bytes()
    inflated = []
    for block in content.split(content[-16:])[1:-1]:
        at = 0
        for _ in range(2):
            # The last byte of a number has its highest bit unset.
            while block[at] & 0x80:
                at += 1
            at += 1
        inflated.append(zlib.decompress(block[at:], -zlib.MAX_WBITS))
    return b"".join(inflated)


_READERS = {".parquet": _cells, ".avro": _blocks}
