"""Tests that links of README and docs lead to an existing file and heading, and that every page is in the menu of the site."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from orchestration.settings import PROJECT_ROOT
from tests.documents import documents

_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)]*))?\)")


def _headings(page: Path) -> set[str]:
    """Return the anchors of a page, as GitHub derives them from its headings."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    titles = re.findall(r"(?m)^#+ (.*)$", text)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [*documents(), PROJECT_ROOT / "CHANGELOG.md"], ids=lambda page: page.relative_to(PROJECT_ROOT).as_posix())
def test_links_lead_to_existing_files_and_headings(page: Path) -> None:
    for file, heading in _LINK.findall(page.read_text(encoding="utf-8")):
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{file} does not exist"
        assert not heading or heading in _headings(target), f"{file} has no heading {heading}"


def test_files_listed_in_the_extending_guide_exist() -> None:
    page = (PROJECT_ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:dbt_project|orchestration|tests|bi|docs)/[\w/.-]+)`", page))
    assert len(named) > 30
    assert [path for path in sorted(named) if not (PROJECT_ROOT / path).exists()] == []


def test_every_page_is_in_the_menu() -> None:
    def pages(part: object) -> set[str]:
        if isinstance(part, str):
            return {part}
        return {page for each in (part.values() if isinstance(part, dict) else part) for page in pages(each)}  # pyright: ignore

    menu = pages(yaml.safe_load((PROJECT_ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    in_docs = {path.relative_to(PROJECT_ROOT).as_posix() for path in (PROJECT_ROOT / "docs").rglob("*.md")}
    assert menu == in_docs | {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"}


@pytest.mark.thorough
def test_site_is_built_without_a_warning() -> None:
    # The build is strict: it fails for a broken link or a page outside the menu.
    done = subprocess.run(["make", "site"], cwd=PROJECT_ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    html = PROJECT_ROOT / ".site" / "html"
    assert 'id="45-replies"' in (html / "docs" / "contract.html").read_text(encoding="utf-8")
    assert (html / "docs" / "images" / "lineage.svg").exists()
