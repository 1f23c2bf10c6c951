"""Keep dbt's macros, as compiled by Jinja, beside the parsed project.

In each process, dbt compiles every macro that it calls. In an increment of one send, this takes a quarter of dbt's Python time; loading
the compiled macros takes a hundredth of that. A compiled macro is looked up by its text, so it is never stale.
"""

import hashlib
import importlib.util
import marshal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import CodeType

from orchestration.files import atomic_write

_NAME = "macros.marshal"
_DIGEST_BYTES = hashlib.sha256().digest_size


@contextmanager
def cached_templates(folder: Path) -> Iterator[None]:
    """Offer dbt the compiled macros from a folder. After the `with` block, save there the macros that dbt called.

    The file contains Python code, so only users who may change the project may have write access to the folder.
    """
    from dbt_common.clients.jinja import get_environment, template_cache

    kept = _read(folder / _NAME)
    environment = get_environment()
    for text, code in kept.items():
        if text not in template_cache.file_cache:
            template = environment.template_class.from_code(environment, code, environment.make_globals(None))
            template_cache.file_cache[text] = template
    yield
    called = template_cache.file_cache.keys() - kept.keys()
    if called:
        # If the file cannot be written, dbt compiles these macros again next time.
        with suppress(OSError):
            _write(folder / _NAME, kept | {text: _compiled(text) for text in called})


@cache
def _compiled(text: str) -> CodeType:
    from dbt_common.clients.jinja import get_environment

    return get_environment().compile(text)


def _stamp() -> bytes:
    """Return what compiled code depends on besides its text: the versions of Python, Jinja, and dbt's extensions to Jinja."""
    return importlib.util.MAGIC_NUMBER + " ".join(version(package) for package in ("jinja2", "dbt-common")).encode()


def _read(path: Path) -> dict[str, CodeType]:
    """Return the kept macros, or none if the file is missing, damaged or from other versions."""
    try:
        content = path.read_bytes()
    except OSError:
        return {}
    stamp = _stamp()
    body = content[_DIGEST_BYTES:]
    if content[:_DIGEST_BYTES] != hashlib.sha256(body).digest() or not body.startswith(stamp):
        return {}
    return marshal.loads(body[len(stamp) :])


def _write(path: Path, templates: dict[str, CodeType]) -> None:
    body = _stamp() + marshal.dumps(templates)
    with atomic_write(path) as draft:
        draft.write_bytes(hashlib.sha256(body).digest() + body)
