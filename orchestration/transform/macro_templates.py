"""dbt's macros as Jinja has compiled them, kept beside the parsed project.

In each process dbt compiles every macro that it calls from its text: of an increment of one send a quarter of dbt's Python time. Reading
what Jinja has compiled takes a hundredth of that. A kept macro is found by its text, so it is never out of date.
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

from orchestration.files import whole_file

_NAME = "macros.marshal"
_DIGEST_BYTES = hashlib.sha256().digest_size


@contextmanager
def kept_templates(folder: Path) -> Iterator[None]:
    """Offer dbt the macros that are kept in a folder; after the `with` block those that it called are kept there, too.

    What is kept is Python code, so the folder must be one that only those can write to who may change the project.
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
        # Where nothing can be written, dbt compiles them the next time as well.
        with suppress(OSError):
            _write(folder / _NAME, kept | {text: _compiled(text) for text in called})


@cache
def _compiled(text: str) -> CodeType:
    from dbt_common.clients.jinja import get_environment

    return get_environment().compile(text)


def _stamp() -> bytes:
    """Return what compiled code depends on beside its text: Python, Jinja, and dbt's extensions of it."""
    return importlib.util.MAGIC_NUMBER + " ".join(version(package) for package in ("jinja2", "dbt-common")).encode()


def _read(path: Path) -> dict[str, CodeType]:
    """Return the kept macros; none where the file is damaged, or of other versions."""
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
    with whole_file(path) as draft:
        draft.write_bytes(hashlib.sha256(body).digest() + body)
