"""People and lines as connected components of the identifiers in records (contract, sections 2.1 and 2.2)."""

import re
from collections import defaultdict
from functools import cache
from typing import Any

from tests.reference.contract import digits_of, identifier, seed

MAX_IDENTIFIERS = 20


@cache
def compared(text: str) -> str:
    """Return an identifier in the spelling used for comparison: all spellings of one number become the same."""
    shown = identifier(text)
    if re.fullmatch(r"55[0-9]{2}[6-9][0-9]{7}", shown):  # Brazil: today's mobile numbers have a 9 after the area code
        return f"{shown[:4]}9{shown[4:]}"
    if re.fullmatch(r"54[0-9]{10}", shown):  # Argentina: mobile numbers have a 9 after the country code
        return f"549{shown[2:]}"
    if re.fullmatch(r"521[0-9]{10}", shown):  # Mexico: numbers have had no 1 since 2019
        return f"52{shown[3:]}"
    return shown


class Components:
    """Names that are connected directly or through other names."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def link(self, *names: str) -> None:
        """Connect names, or add a single one."""
        for name in names:
            one, other = self.root(names[0]), self.root(name)
            self._parents[max(one, other)] = min(one, other)

    def root(self, name: str) -> str:
        """Return the representative of a name's component."""
        self._parents.setdefault(name, name)
        while self._parents[name] != name:
            self._parents[name] = self._parents[self._parents[name]]
            name = self._parents[name]
        return name

    def members(self) -> dict[str, set[str]]:
        """Return the members of each component by its representative."""
        members: dict[str, set[str]] = defaultdict(set)
        for name in list(self._parents):
            members[self.root(name)].add(name)
        return members


class People:
    """Resolves identifiers to people: first add every record's links, then call `person`."""

    def __init__(self) -> None:
        self._components = Components()
        self._names: dict[str, str] | None = None

    def link(self, *identifiers: str | None) -> None:
        """Record that identifiers, in any spelling, belong to one person."""
        known = [compared(given) for given in identifiers if given]
        if known:
            self._components.link(*known)

    def person(self, given: str) -> str:
        """Return the person_id of an identifier, once every record has been read."""
        if self._names is None:
            self._names = {
                name: _smallest(members) if len(members) <= MAX_IDENTIFIERS else name
                for members in self._components.members().values()
                for name in members
            }
        return self._names.get(compared(given), compared(given))

    def too_connected(self) -> list[list[str]]:
        """Return the identifiers of each component that is too large to be one person."""
        return sorted(sorted(members) for members in self._components.members().values() if len(members) > MAX_IDENTIFIERS)


def _smallest(members: set[str]) -> str:
    def rank(name: str) -> int:
        return 0 if re.fullmatch("[0-9]+", name) else 1 if re.match(r"[A-Z]{2}\.", name) else 2

    return min(members, key=lambda name: (rank(name), name))


class Lines:
    """Resolves channel ids and numbers to lines: first pass every record to `see`, then call `of` and `describe`."""

    def __init__(self) -> None:
        self._components = Components()
        self._channel_ids: set[str] = set()
        self._numbers: set[str] = set()
        self._seeds = {row["channel_id"]: row for row in reversed(seed("channels"))}
        self._seed_of: dict[str, str] = {}
        for channel_id in sorted(self._seeds, reverse=True):
            number = digits_of(self._seeds[channel_id]["line_number"])
            self.see(channel_id, number)
            for name in (number, channel_id):
                if name:
                    self._seed_of[compared(name)] = channel_id
        for channel_id in self._seeds:
            self._seed_of[compared(channel_id)] = channel_id
        self._webchats: set[str] = set()
        self._resolved: dict[str, tuple[str, str | None]] | None = None

    def see(self, channel_id: str | None, number: str | None) -> None:
        """Record the line identifiers of a record: a channel id as written, the digits of a number, or both."""
        if channel_id:
            self._channel_ids.add(channel_id)
            if not channel_id.isdecimal() and identifier(channel_id).isdecimal():  # in the format of a phone number, it is one
                self._numbers.add(identifier(channel_id))
        if number:
            self._numbers.add(number)
        names = [compared(name) for name in (channel_id, number) if name]
        if names:
            self._components.link(*names)

    def of(self, channel_id: str | None, number: str | None) -> str:
        """Return the channel_id that is shown for a record's line."""
        return self._line(compared(channel_id or number or ""))[0]

    def describe(self, shown: str) -> dict[str, Any]:
        """Return the columns of a line by the channel_id that `of` returned."""
        return {
            "channel_id": shown,
            "channel_name": self._seeds.get(shown, {}).get("channel_name") or None,
            "line_number": self._line(compared(shown))[1],
        }

    def mark_webchat(self, channel_id: str) -> None:
        """Record that Botmaker describes a channel as a web chat."""
        self._webchats.add(channel_id)

    def is_webchat(self, shown: str) -> bool:
        """Return whether a line is a web chat according to the look-up of channels or, for a line not in it, to Botmaker."""
        if shown in self._seeds:
            return self._seeds[shown]["platform"] == "webchat"
        return any(self._line(compared(channel_id))[0] == shown for channel_id in self._webchats)

    def _line(self, name: str) -> tuple[str, str | None]:
        if self._resolved is None:
            self._resolved = self._resolve()
        return self._resolved[name]

    def _resolve(self) -> dict[str, tuple[str, str | None]]:
        """Return the channel_id and the number of the line for every name."""
        lines: dict[str, set[str]] = defaultdict(set)
        for root, members in self._components.members().items():
            seeds = sorted(self._seed_of[name] for name in members if name in self._seed_of)
            for name in members:
                lines[self._seed_of.get(name) or (seeds[0] if seeds else f"\0{root}")].add(name)
        resolved = {}
        for line, members in lines.items():
            numbers = sorted(number for number in self._numbers if compared(number) in members)
            channel_ids = sorted(given for given in self._channel_ids if compared(given) in members)
            of_no_number = [given for given in channel_ids if compared(given) not in {compared(number) for number in numbers}]
            if line in self._seeds:
                shown, number = line, digits_of(self._seeds[line]["line_number"]) or min(numbers, default=None)
            else:
                shown, number = min(of_no_number or numbers or channel_ids), min(numbers, default=None)
            resolved |= dict.fromkeys(members, (shown, number))
        return resolved
