"""Cut a block of bytes at its newlines and between objects, with numpy operations on all of its bytes at once."""

from dataclasses import dataclass, fields

import numpy as np

from orchestration.landing.reading.damaged_lines import later_record_starts, without_escapes
from orchestration.landing.reading.streams import BYTE_ORDER_MARK

BLANK = b" \t\r\n"
NEWLINE, CARRIAGE_RETURN, _QUOTE, COMMA = b'\n\r",'
OPENING_BRACE, CLOSING_BRACE, _OPENING_BRACKET, CLOSING_BRACKET = b"{}[]"
_IS_SPACE = np.isin(np.arange(256), list(b" \t\r"))
IS_BLANK = np.isin(np.arange(256), list(BLANK))
# After these bytes, an object begins within another value or at the start of a line.
_IS_BEFORE_OBJECTS = np.isin(np.arange(256), list(b",:[\n"))
_IS_BEFORE_FIRST_OBJECTS = np.isin(np.arange(256), list(b":[\n"))
_MAY_FOLLOW_OBJECT = np.isin(np.arange(256), list(b",}]"))
# Only files crafted to be slow contain longer runs of whitespace.
_STEPS_OVER_SPACE = 64


@dataclass(frozen=True)
class Pieces:
    """A block cut at its newlines and between objects; pieces start after leading whitespace, and blank pieces are left out.

    `lines` counts from 0. `depth_changes` is how many more brackets a piece opens than it closes. `opens_string` is whether it ends within
    a string. `follows_object` is whether it begins an object after the end of another one, or after another piece on its line.
    `breaks_value` is whether a value that is open before it cannot continue with it: it begins an object where JSON allows none, or comes
    after a whole object without `,`, `}` or `]`.
    """

    starts: np.ndarray
    ends: np.ndarray
    lines: np.ndarray
    depth_changes: np.ndarray
    opens_string: np.ndarray
    begins_object: np.ndarray
    ends_object: np.ndarray
    follows_object: np.ndarray
    breaks_value: np.ndarray

    def starting_at(self, place: int) -> "Pieces":
        first = int(np.searchsorted(self.starts, place))
        return self if first == 0 else Pieces(*(getattr(self, item.name)[first:] for item in fields(self)))


@dataclass(frozen=True)
class SecondLookRange:
    """Which lines of a block may get a second look: those that begin within a range and are no longer than the limit."""

    start: int
    end: int
    limit: int


def pieces_of(block: bytes, length: int, second_look: SecondLookRange | None = None) -> Pieces:
    """Cut the first `length` bytes of a block; damaged lines in the range for a second look are cut by `damaged_lines`, too."""
    text = without_escapes(block[:length])
    bytes_ = np.frombuffer(text, dtype=np.uint8)
    newlines = np.flatnonzero(bytes_ == NEWLINE)
    line_starts = np.concatenate(([0], newlines + 1))
    line_starts = line_starts[line_starts < length]
    misplaced = misplaced_braces(bytes_)
    if second_look is not None:
        found = _starts_by_second_look(
            block[:length], line_starts[lines_that_may_be_damaged(bytes_, text, line_starts, misplaced)], second_look
        )
        # From these places on, strings begin and end as they do from the start of a line.
        line_starts = np.sort(np.concatenate((line_starts, found)), kind="stable")
    is_outside = is_outside_strings(bytes_, line_starts)
    # Both arrays are sorted already; numpy's union hashes them, which took ten times as long.
    starts = np.sort(np.concatenate((line_starts, adjacent_object_starts(text, line_starts, misplaced))), kind="stable")
    starts = starts[np.append(True, starts[1:] != starts[:-1])[: len(starts)]]
    ends = np.append(starts[1:], length)[: len(starts)]
    lines = np.searchsorted(newlines, starts)
    depth_changes_of_bytes = bracket_depth_changes(bytes_, is_outside)
    depth_changes = np.add.reduceat(depth_changes_of_bytes, starts, dtype=np.int32) if length else np.zeros(0, dtype=np.int32)
    is_within_line = (starts > 0) & (bytes_[starts - 1] != NEWLINE)
    starts, solid_ends = skip_space(bytes_, starts, 1, IS_BLANK), skip_space(bytes_, ends - 1, -1, IS_BLANK)
    if BYTE_ORDER_MARK in text:
        is_marked = np.array([text.startswith(BYTE_ORDER_MARK, start) for start in starts.tolist()], dtype=bool)
        starts = np.where(is_marked, skip_space(bytes_, starts + is_marked * len(BYTE_ORDER_MARK), 1, IS_BLANK), starts)
    is_solid = starts <= solid_ends
    starts, ends, solid_ends = starts[is_solid], ends[is_solid], solid_ends[is_solid]
    ends = ends - (bytes_[ends - 1] == NEWLINE)
    ends = ends - (bytes_[ends - 1] == CARRIAGE_RETURN)
    opens_string = ~is_outside[solid_ends]
    begins_object = bytes_[starts] == OPENING_BRACE
    ends_object = (bytes_[solid_ends] == CLOSING_BRACE) & ~opens_string
    follows_object = begins_object & (np.concatenate(([False], ends_object))[: len(starts)] | is_within_line[is_solid])
    depth_changes = depth_changes[is_solid]
    # For the first piece, the byte before is unknown.
    before = np.concatenate(([NEWLINE], bytes_[solid_ends]))[: len(starts)]
    follows_whole_object = np.concatenate(([False], begins_object & ends_object & (depth_changes == 0)))[: len(starts)]
    breaks_value = (
        follows_object | (begins_object & ~_IS_BEFORE_OBJECTS[before]) | (follows_whole_object & ~_MAY_FOLLOW_OBJECT[bytes_[starts]])
    )
    after_comma = np.flatnonzero(begins_object & (before == COMMA))
    breaks_value[after_comma] |= _are_within_objects(bytes_, depth_changes_of_bytes, starts[after_comma])
    return Pieces(starts, ends, lines[is_solid], depth_changes, opens_string, begins_object, ends_object, follows_object, breaks_value)


def is_outside_strings(bytes_: np.ndarray, line_starts: np.ndarray) -> np.ndarray:
    """Return for each byte whether it is outside strings (closing quotes are outside); each of the lines begins outside."""
    is_inside = np.bitwise_xor.accumulate((bytes_ == _QUOTE).view(np.uint8))
    at_line_starts = np.concatenate(([0], is_inside[line_starts[1:] - 1]))[: len(line_starts)].astype(np.uint8)
    if at_line_starts.any():
        is_inside ^= np.repeat(at_line_starts, np.diff(np.append(line_starts, len(bytes_))))
    return is_inside == 0


def bracket_depth_changes(bytes_: np.ndarray, is_outside: np.ndarray) -> np.ndarray:
    """Return for each byte outside strings 1 if it is an opening bracket and -1 if it is a closing one, otherwise 0; as int8."""
    opens = ((bytes_ == OPENING_BRACE) | (bytes_ == _OPENING_BRACKET)) & is_outside
    closes = ((bytes_ == CLOSING_BRACE) | (bytes_ == CLOSING_BRACKET)) & is_outside
    return opens.view(np.int8) - closes.view(np.int8)


def _are_within_objects(bytes_: np.ndarray, depth_changes: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return for each place whether the innermost bracket that is open there belongs to an object, and not to an array."""
    if not len(places):
        return np.zeros(0, dtype=bool)
    brackets = np.flatnonzero(depth_changes)
    depths = np.cumsum(depth_changes[brackets], dtype=np.int64)
    depths_at_places = np.append(0, depths)[np.searchsorted(brackets, places)]
    # The innermost open bracket is the last one that opened at the depth of the place.
    opens = depth_changes[brackets] > 0
    by_depth = np.argsort(depths[opens], kind="stable")
    opening, opened_depths = brackets[opens][by_depth], depths[opens][by_depth]
    scale = len(bytes_) + 1
    found = np.searchsorted(opened_depths * scale + opening, depths_at_places * scale + places) - 1
    return (found >= 0) & (opened_depths[found] == depths_at_places) & (bytes_[opening[found]] == OPENING_BRACE)


@dataclass(frozen=True)
class _MisplacedBraces:
    """Opening braces where JSON allows no object to begin, or only in some arrays.

    `follow_object` marks those after a closing brace, `follow_comma` those after a comma that follows no closing brace.
    """

    braces: np.ndarray
    follow_object: np.ndarray
    follow_comma: np.ndarray


def misplaced_braces(bytes_: np.ndarray) -> _MisplacedBraces:
    braces = np.flatnonzero(bytes_ == OPENING_BRACE)
    braces = braces[np.searchsorted(braces, 1) :]
    before, two_before = bytes_[braces - 1], bytes_[braces - 2]
    # Two bytes are checked first, because this runs for every file: after most commas in valid files, an object follows another one.
    is_first = _IS_BEFORE_FIRST_OBJECTS[before] | (_IS_SPACE[before] & _IS_BEFORE_FIRST_OBJECTS[two_before])
    braces = braces[~(is_first | ((before == COMMA) & (two_before == CLOSING_BRACE)))]
    before = skip_space(bytes_, braces - 1, -1, _IS_SPACE)
    bytes_before = np.where(before >= 0, bytes_[before], NEWLINE)
    follow_comma = bytes_before == COMMA
    before_comma = skip_space(bytes_, before[follow_comma] - 1, -1, _IS_SPACE)
    follow_comma[follow_comma] = (before_comma >= 0) & (bytes_[before_comma] != CLOSING_BRACE)
    is_misplaced = ~_IS_BEFORE_OBJECTS[bytes_before] | follow_comma
    return _MisplacedBraces(braces[is_misplaced], (bytes_before == CLOSING_BRACE)[is_misplaced], follow_comma[is_misplaced])


def adjacent_object_starts(text: bytes, line_starts: np.ndarray, misplaced: _MisplacedBraces) -> np.ndarray:
    """Return where an object begins after another one on the same line, outside strings."""
    braces = misplaced.braces[misplaced.follow_object]
    if not len(braces):
        return braces
    quotes = np.flatnonzero(np.frombuffer(without_escapes(text), dtype=np.uint8) == _QUOTE)
    lines = line_starts[np.searchsorted(line_starts, braces, side="right") - 1]
    return braces[(np.searchsorted(quotes, braces) - np.searchsorted(quotes, lines)) % 2 == 0]


def lines_that_may_be_damaged(bytes_: np.ndarray, text: bytes, line_starts: np.ndarray, misplaced: _MisplacedBraces) -> np.ndarray:
    """Return the lines that may need a second look: no lines of valid objects, and almost no undamaged lines."""
    is_candidate = np.zeros(len(misplaced.braces), dtype=bool)
    after = skip_space(bytes_, misplaced.braces + 1, 1, _IS_SPACE)
    is_in_block = after < len(bytes_)
    is_candidate[is_in_block] = bytes_[after[is_in_block]] == _QUOTE
    if not is_candidate.any():
        return np.zeros(0, dtype=np.int64)
    solid = np.frombuffer(without_escapes(text), dtype=np.uint8)
    is_outside = is_outside_strings(solid, line_starts)
    line_of = np.searchsorted(line_starts, misplaced.braces, side="right") - 1
    is_adjacent = misplaced.follow_object & is_outside[misplaced.braces]
    lines = np.unique(line_of[is_candidate])
    is_damaged = ~_are_complete_objects(
        solid, is_outside, line_starts, lines, np.bincount(line_of[is_adjacent], minlength=len(line_starts))[lines]
    )
    is_damaged |= np.isin(lines, line_of[is_candidate & ~is_adjacent & ~misplaced.follow_comma])
    return lines[is_damaged]


def _are_complete_objects(
    bytes_: np.ndarray, is_outside: np.ndarray, line_starts: np.ndarray, lines: np.ndarray, adjacent_counts: np.ndarray
) -> np.ndarray:
    """Return for each of these lines whether it closes its outermost brackets `adjacent_counts` + 1 times, and nothing follows."""
    depth_changes = bracket_depth_changes(bytes_, is_outside)
    # Only brackets are kept, because few bytes are brackets.
    brackets = np.flatnonzero(depth_changes)
    depth_changes = depth_changes[brackets]
    depths = np.append(0, np.cumsum(depth_changes, dtype=np.int32))
    ends = np.append(line_starts[1:], len(bytes_))
    firsts, afters = np.searchsorted(brackets, line_starts), np.searchsorted(brackets, ends)
    # Only whitespace precedes the first line.
    bases = np.repeat(depths[firsts], afters - firsts)
    is_out = np.append(0, np.cumsum((depth_changes < 0) & (depths[1:] <= bases), dtype=np.int32))
    closings_out = is_out[afters] - is_out[firsts]
    lasts = skip_space(bytes_, ends[lines] - 1, -1, IS_BLANK)
    is_closed = (bytes_[lasts] == CLOSING_BRACE) & is_outside[lasts] & (depths[afters] == depths[firsts])[lines]
    return is_closed & (closings_out[lines] == adjacent_counts + 1)


def _starts_by_second_look(block: bytes, line_starts: np.ndarray, second_look: SecondLookRange) -> np.ndarray:
    found: list[int] = []
    for start in line_starts[(line_starts >= second_look.start) & (line_starts < second_look.end)].tolist():
        newline = block.find(b"\n", start)
        line = block[start : len(block) if newline < 0 else newline]
        if not is_long(line, second_look.limit):
            found += [start + place for place in later_record_starts(line)]
    return np.array(found, dtype=np.int64)


def is_long(line: bytes, limit: int) -> bool:
    """Return whether a line is longer than the limit, not counting leading whitespace and a carriage return at its end."""
    return len(line.lstrip(BLANK)) - line.endswith(b"\r") > limit


def skip_space(bytes_: np.ndarray, places: np.ndarray, step: int, is_space: np.ndarray) -> np.ndarray:
    """Return the first place that is not whitespace from each place on, in steps of 1 or -1; -1 or the length if there is none."""
    places = places.copy()
    moving = np.flatnonzero((places >= 0) & (places < len(bytes_)))
    for _ in range(_STEPS_OVER_SPACE):
        moving = moving[is_space[bytes_[places[moving]]]]
        if not len(moving):
            return places
        places[moving] += step
        moving = moving[(places[moving] >= 0) & (places[moving] < len(bytes_))]
    solid = np.flatnonzero(~is_space[bytes_])
    found = np.searchsorted(solid, places[moving], side="left") if step > 0 else np.searchsorted(solid, places[moving], side="right") - 1
    places[moving] = np.concatenate(([-1], solid, [len(bytes_)]))[found + 1]
    return places
