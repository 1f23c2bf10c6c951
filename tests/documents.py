"""The commands, queries and snippets in README and docs: code blocks, and inline code that is a command."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestration.settings import PROJECT_ROOT

# Languages of blocks that contain no commands: output, data and configuration.
OTHER_LANGUAGES = frozenset({"", "json", "mermaid", "sql", "python", "text", "yaml"})

_BLOCK = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_CRON = re.compile(r"^(?:[\d*/,-]+\s+){5}(.*)$")
# Inline code is a command if it begins with a program, or with the `…` that abbreviates the command line before it.
_COMMAND = re.compile(
    r"(?:\.venv/bin/\S|make [a-z]|python3? -?\w|conversation-starts$|dbt (?:build|run|seed|test)\b|uv |pip |dagster |docker )"
    r"|… (?:-m orchestration$|[a-z][a-z-]*(?: |$))"
)
_PYTHON_M = ".venv/bin/python -m orchestration"


@dataclass(frozen=True)
class Documented:
    """A piece of code from a document; a command is one line."""

    text: str
    document: str
    language: str = "sh"


def documents() -> list[Path]:
    """Return the documents for users and contributors; the changelog is left out because it is history."""
    named = [PROJECT_ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "tests/README.md")]
    return [*named, *sorted((PROJECT_ROOT / "docs").rglob("*.md")), *sorted((PROJECT_ROOT / "deploy").rglob("*.md"))]


def blocks() -> Iterator[Documented]:
    """Yield every code block."""
    for path in documents():
        for block in _BLOCK.finditer(path.read_text(encoding="utf-8")):
            lines = [line.removeprefix(block["indent"]) for line in block["text"].splitlines()]
            yield Documented("\n".join(lines), _name(path), block["language"])


def words_in_code() -> Iterator[Documented]:
    """Yield every piece of inline code."""
    for path in documents():
        for found in _CODE.finditer(_BLOCK.sub("", path.read_text(encoding="utf-8"))):
            yield Documented(found[1], _name(path), "")


def commands() -> list[Documented]:
    """Return every command once, in document order: environment variables first, then words separated by one space.

    `cd FOLDER &&` and the schedule of a cron line are left out; `a && b` counts as two commands.
    """
    found: dict[str, Documented] = {}
    for block in blocks():
        for line in _lines_of(block):
            for command in _parts(line):
                found.setdefault(command, Documented(command, block.document))
    for word in words_in_code():
        if _COMMAND.match(word.text):
            command = _written_out(word.text)
            found.setdefault(command, Documented(command, word.document))
    return list(found.values())


def queries() -> list[Documented]:
    """Return the SQL of code blocks and the queries in inline code."""
    of_words = [Documented(word.text, word.document, "sql") for word in words_in_code() if word.text.startswith("select ")]
    return [block for block in blocks() if block.language == "sql"] + of_words


def _lines_of(block: Documented) -> Iterator[str]:
    if block.language not in OTHER_LANGUAGES | {"sh"}:
        raise AssertionError(
            f"{block.document} has a `{block.language}` block: add the language to {Path(__file__).name} if it contains no commands."
        )
    if block.language == "":
        yield from (found[1] for line in block.text.splitlines() if (found := _CRON.match(line)))
    if block.language != "sh":
        return
    line = ""
    for part in block.text.replace("\\\n", " ").splitlines():
        line += f"\n{part}" if line else part
        try:
            shlex.split(line, comments=True)
        except ValueError:
            # The quote continues on the next line.
            continue
        yield line
        line = ""
    assert not line.strip(), f"{block.document}: incomplete command: {line}"


def _parts(line: str) -> Iterator[str]:
    for part in line.split(" && "):
        bare = _without_comment(part).strip()
        if bare and not bare.startswith("cd "):
            yield _written_out(bare)


def _without_comment(line: str) -> str:
    """Remove a comment: everything after a `#` outside of quotes."""
    cut = re.match(r"""(?:[^'"#]|(?<=\S)#|'[^']*'|"[^"]*")*""", line)
    return cut[0] if cut else line


def _written_out(command: str) -> str:
    """Expand `…` and optional parts: `… export [--bom]` becomes `.venv/bin/python -m orchestration export --bom`."""
    text = re.sub(r"\[(-[^]]*)\]", r"\1", command)
    text = re.sub(r"^… -m orchestration", _PYTHON_M, re.sub(r"^… (?!-m )", f"{_PYTHON_M} ", text))
    text = re.sub(r"^python -m orchestration", _PYTHON_M, text)
    # Spaces and newlines inside quotes stay.
    pieces = re.split(r"""('[^']*'|"[^"]*")""", text.removesuffix(" …"))
    return "".join(piece if piece[:1] in ("'", '"') else re.sub(r"\s+", " ", piece) for piece in pieces).strip()


def _name(path: Path) -> str:
    return path.relative_to(PROJECT_ROOT).as_posix()
