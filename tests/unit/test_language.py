"""Tests that retired words are not used in code, comments, models, documents and tests: plain, current technical English."""

import re
from pathlib import Path

from orchestration.settings import PROJECT_ROOT

# Each with its replacement.
RETIRED = {
    "tell, tells, told, telling": "say, report, show, explain",
    "nobody": "no one, no reader, no program",
    "anew": "again",
    "mend, mends, mended, mending": "fix, repair",
    "whoever": "a user who, anyone who",
    "stranger, strangers": "what it is: unknown, unlisted",
    "speaks for": "is used for",
    "disown, disowns, disowned": "invalidate",
    "rows_come, rows_gone": "rows_to_insert, rows_to_delete",
    "statused, judged": "with_status, checked or classified",
    "conversation_key": "thread_key",
    "hardly": "rarely, almost never",
}
EXCEPTIONS = {
    # The method of file objects.
    ("orchestration/publication/parquet_footer.py", "tell"),
    # A text in the bundled logs, whose bytes must stay the same.
    ("tests/data/generate_logs.py", "nobody"),
}

_PATTERN = re.compile(
    rf"(?<![a-z])({'|'.join(word.replace(' ', '[ _]') for words in RETIRED for word in words.split(', '))})(?![a-z])", re.I
)
_FOLDERS = ("orchestration", "dbt_project", "docs", "tests", "bi", "deploy")
_FILES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "Makefile", "pyproject.toml", "dagster.yaml", "hatch_build.py")
_EXTENSIONS = {".py", ".sql", ".yml", ".yaml", ".md", ".toml", ".csv", ".sh", ".txt", ".service", ".timer"}
_MADE = {"target", "__pycache__", "dbt_packages", "logs"}


def _paths() -> list[Path]:
    below = [path for folder in _FOLDERS for path in (PROJECT_ROOT / folder).rglob("*") if path.suffix in _EXTENSIONS]
    written = [path for path in below if path.is_file() and not _MADE.intersection(path.parts)]
    return [path for path in [*written, *(PROJECT_ROOT / name for name in _FILES)] if path != Path(__file__)]


def test_retired_words_are_not_used() -> None:
    found = {
        (path.relative_to(PROJECT_ROOT).as_posix(), number, match[0].lower())
        for path in _paths()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for match in _PATTERN.finditer(f"{path.stem} {line}" if number == 1 else line)
    }
    assert sorted(entry for entry in found if (entry[0], entry[2]) not in EXCEPTIONS) == []
    assert {(name, word) for name, _, word in found} >= EXCEPTIONS


def test_pattern_matches_words_in_names_but_not_parts_of_words() -> None:
    assert [match[0] for match in _PATTERN.finditer("test_it_is_told, Nobody_knows; what speaks for it (mended)")] == [
        *("told", "Nobody", "speaks for", "mended")
    ]
    assert _PATTERN.search("recommend, amendment, intelligent, untold, strangely, a new") is None
