"""Draw the lineage picture of the docs from the asset graph: `python -m tests.lineage`, or `make lineage`.

Assets are drawn in groups: the tables of a feed, the models of a folder, each mart, each output. An arrow between two groups means that an
asset in the second is built from an asset in the first. The graph is Dagster's; its models come from dbt's manifest.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from dagster import AssetKey

from orchestration.definitions import defs
from orchestration.defs.assets.dbt import MANIFEST
from orchestration.landing.feeds import FEEDS
from orchestration.settings import PROJECT_ROOT

PICTURE = PROJECT_ROOT / "docs" / "images" / "lineage.svg"

# Every step reads or writes these, so their arrows would carry no information.
_LEFT_OUT = {AssetKey(["raw", "landed_files"]), AssetKey(["state", "builds"]), AssetKey(["intermediate", "metricflow_time_spine"])}
_COLUMNS = ("landing zone", "raw", "staging", "intermediate", "facts", "daily marts", "published", "for people")
_COLOURS = ("#eceff1", "#e3f2fd", "#e0f2f1", "#e8f5e9", "#fff8e1", "#fff3e0", "#fbe9e7", "#f3e5f5")
_OUTPUTS = {
    "published_marts": ("published", "DuckDB file, Parquet"),
    "postgres_marts": ("for people", "PostgreSQL"),
    "session_starts_tsv": ("for people", "daily TSVs"),
    "session_starts_tsv_of_days": ("for people", "daily TSVs"),
    "session_starts_selection_tsv": ("for people", "exports on demand"),
    "template_comparison": ("for people", "comparison of templates"),
}
_WIDTH, _HEIGHT, _GAP, _ROW, _TOP = 160, 34, 44, 54, 46


@dataclass(frozen=True, order=True)
class Group:
    """A box of the picture."""

    column: str
    name: str


def lineage() -> tuple[dict[Group, int], set[tuple[Group, Group]]]:
    """Return the groups with the number of assets in each, and the arrows between them."""
    graph = defs.resolve_asset_graph()
    models = {AssetKey([node["schema"], node["name"]]): node for node in MANIFEST["nodes"].values()}
    feed_of = {AssetKey(["raw", table]): _feed(feed.name) for feed in FEEDS for table in feed.tables}

    def group_of(key: AssetKey) -> Group:
        name = key.path[-1]
        match key.path[0]:
            case "botmaker":
                return Group("landing zone", "botmaker/")
            case "raw":
                return Group("raw", feed_of[key])
            case "marts":
                return Group("facts" if name.startswith("fct_") else "daily marts", name)
            case "staging" | "intermediate":
                # models/<room>/<folder>/<model>, or a seed.
                folders = models[key]["fqn"][2:-1] if models[key]["resource_type"] == "model" else ["look-ups"]
                return Group(key.path[0], folders[0] if folders else "other starts")
        return Group(*_OUTPUTS[name])

    keys = [key for key in graph.get_all_asset_keys() if key not in _LEFT_OUT]
    groups = Counter(group_of(key) for key in keys)
    arrows = {(group_of(parent), group_of(key)) for key in keys for parent in graph.get(key).parent_keys if parent not in _LEFT_OUT}
    for raw, feed in feed_of.items():
        files = Group("landing zone", f"{feed}/")
        groups.setdefault(files, 0)
        arrows.add((files, group_of(raw)))
    return dict(groups), {(start, end) for start, end in arrows if start != end}


def draw(groups: Iterable[Group], counts: dict[Group, int], arrows: set[tuple[Group, Group]]) -> str:
    """Return the picture as SVG: one column per stage, with the boxes of a column in the order of their parents."""
    place = _places(groups, arrows)
    width = len(_COLUMNS) * (_WIDTH + _GAP) + _GAP
    height = max(y for _, y in place.values()) + _HEIGHT + 24
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="Helvetica, Arial, sans-serif">',
        "<title>From the landing zone to what people get</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for number, column in enumerate(_COLUMNS):
        x = _GAP + number * (_WIDTH + _GAP) + _WIDTH / 2
        lines.append(f'<text x="{x:g}" y="26" font-size="14" font-weight="bold" text-anchor="middle" fill="#37474f">{column}</text>')
    lines += [_arrow(place[start], place[end]) for start, end in sorted(arrows)]
    for group, (x, y) in sorted(place.items()):
        colour = _COLOURS[_COLUMNS.index(group.column)]
        of = counts[group]
        label = escape(group.name) + (f'<tspan fill="#78909c"> · {of}</tspan>' if of > 1 and group.column in _COLUMNS[1:4] else "")
        lines.append(f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="{colour}" stroke="#90a4ae"/>')
        lines.append(f'<text x="{x + _WIDTH / 2:g}" y="{y + 21}" font-size="12" text-anchor="middle" fill="#263238">{label}</text>')
    return "\n".join([*lines, "</svg>", ""])


def _places(groups: Iterable[Group], arrows: set[tuple[Group, Group]]) -> dict[Group, tuple[int, int]]:
    """Place each box at the average height of its parents, column by column."""
    place: dict[Group, tuple[int, int]] = {}
    groups = list(groups)
    most = max(Counter(group.column for group in groups).values())
    for number, column in enumerate(_COLUMNS):
        boxes = sorted(group for group in groups if group.column == column)

        def height(box: Group) -> tuple[float, str]:
            above = [place[start][1] for start, end in arrows if end == box and start in place]
            return (sum(above) / len(above) if above else 1e6, box.name)

        offset = (most - len(boxes)) * _ROW // 2
        for row, box in enumerate(sorted(boxes, key=height)):
            place[box] = (_GAP + number * (_WIDTH + _GAP), _TOP + offset + row * _ROW)
    return place


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    (x1, y1), (x2, y2) = start, end
    style = 'fill="none" stroke="#b0bec5" stroke-width="1.2"'
    if x1 == x2:
        # An arrow within a column goes around its right side.
        x, y1, y2 = x1 + _WIDTH, y1 + _HEIGHT // 2, y2 + _HEIGHT // 2 + 6
        return f'<path d="M{x},{y1} C{x + 26},{y1} {x + 26},{y2} {x + 4},{y2}" {style}/><path d="M{x},{y2} l7,-3 v6 z" fill="#90a4ae"/>'
    x1, y1, y2 = x1 + _WIDTH, y1 + _HEIGHT // 2, y2 + _HEIGHT // 2
    bend = max((x2 - x1) // 2, 20)
    return (
        f'<path d="M{x1},{y1} C{x1 + bend},{y1} {x2 - bend},{y2} {x2 - 6},{y2}" {style}/><path d="M{x2},{y2} l-7,-3 v6 z" fill="#90a4ae"/>'
    )


def _feed(name: str) -> str:
    # The three Botmaker feeds share one box.
    return name.partition("/")[0]


def picture() -> str:
    groups, arrows = lineage()
    return draw(groups, groups, arrows)


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture(), encoding="utf-8")
    print(PICTURE)
