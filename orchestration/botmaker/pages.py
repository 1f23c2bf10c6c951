"""Name and store pages in the landing zone; their names contain everything that a later run needs to know.

    botmaker/sessions/<period>/<kind>-<time of the fetch>/<window>/page-00001.json.zst
    botmaker/sent_results_lists/<period>/<kind>-<time of the fetch>/page-00001.json.zst
    botmaker/sent_results/<notification instance>/<time of the fetch>/page-00001.json.zst
    botmaker/channels/<time of the fetch>/page-00001.json.zst, botmaker/whatsapp_templates/…

Pages that belong together are a *page set*, in a folder of its own. The name of its last page ends in `.last.json.zst`, so a
listing shows what is complete without reading a page. A restarted page set is in `<page set>_2`; an empty `page-00000.json.zst` in
it means that it must be fetched from the first page.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from orchestration.errors import StartsError
from orchestration.landing.zone import LandingZone

SESSIONS_FOLDER = "botmaker/sessions"
# Beside sent_results/, not in it, because that folder is a feed whose records are customers.
SENT_RESULTS_LISTS_FOLDER = "botmaker/sent_results_lists"
SENT_RESULTS_FOLDER = "botmaker/sent_results"
CHANNELS_FOLDER = "botmaker/channels"
WHATSAPP_TEMPLATES_FOLDER = "botmaker/whatsapp_templates"

_PAGE = re.compile(r"(?P<page_set>.+?)(?:_(?P<attempt>\d+))?/page-(?P<number>\d{5,})(?P<last>\.last)?\.json\.zst")
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,99}")


@dataclass(frozen=True)
class PageSet:
    """The progress of a page set: its latest attempt, the number of pages of that attempt, and whether the last one is there."""

    name: str
    attempt: int = 1
    pages: int = 0
    is_complete: bool = False

    def page_name(self, number: int, *, is_last: bool) -> str:
        folder = self.name if self.attempt == 1 else f"{self.name}_{self.attempt}"
        return f"{folder}/page-{number:05}{'.last' if is_last else ''}.json.zst"

    @property
    def newest_page_name(self) -> str:
        return self.page_name(self.pages, is_last=self.is_complete)

    @property
    def page_names(self) -> list[str]:
        """Return the names of all pages of a complete page set."""
        return [self.page_name(number, is_last=number == self.pages) for number in range(1, self.pages + 1)]

    def restarted(self) -> "PageSet":
        return PageSet(self.name, self.attempt + 1)


class PageStore:
    """The page sets of a landing zone."""

    def __init__(self, zone: LandingZone) -> None:
        zone.refuse_bundled_files()
        self._zone = zone

    def page_sets(self, folder: str) -> dict[str, PageSet]:
        """Return the page sets below a folder by name."""
        return page_sets_of(file.name for file in self._zone.files(folder))

    def write(self, name: str, body: bytes) -> None:
        self._zone.write(name, pa.compress(body, codec="zstd", asbytes=True))

    def read(self, name: str) -> bytes:
        """Return a page's decompressed body. Raises `StartsError` if the file cannot be read completely."""
        packed = self._zone.read(name)
        try:
            return pa.CompressedInputStream(pa.BufferReader(packed), "zstd").read()
        except OSError as error:
            raise StartsError(f"{name} in the landing zone is damaged ({error}). Remove its folder and run again.") from error


def page_sets_of(names: Iterable[str]) -> dict[str, PageSet]:
    page_sets: dict[str, PageSet] = {}
    for match in filter(None, map(_PAGE.fullmatch, names)):
        found = PageSet(match["page_set"], int(match["attempt"] or 1), int(match["number"]), match["last"] is not None)
        known = page_sets.get(found.name)
        if known is None or (found.attempt, found.is_complete, found.pages) > (known.attempt, known.is_complete, known.pages):
            page_sets[found.name] = found
    return page_sets


def folder_name(identifier: str) -> str:
    """Return a name for a folder: the identifier itself, or its hash if the identifier could mean another place."""
    if _SAFE_NAME.fullmatch(identifier):
        return identifier
    return "sha256-" + hashlib.sha256(identifier.encode(errors="surrogatepass")).hexdigest()
