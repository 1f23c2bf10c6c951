"""Draw a comparison as a forest plot in SVG: each template's rate and its difference to the baseline, with intervals."""

import math
from base64 import b64encode
from collections.abc import Callable
from xml.sax.saxutils import escape

from orchestration.analysis.templates import Comparison, Rate, TemplateComparison, Verdict
from orchestration.texts import printable

MAX_ROWS = 30
_ROW, _TOP, _NAME, _PANEL, _GAP, _VALUES = 26, 56, 190, 230, 30, 150
_WIDTH = _NAME + 2 * _PANEL + _GAP + _VALUES + 20
_INK, _PALE, _GOOD, _BAD = "#1f2933", "#9aa5b1", "#0b7a4b", "#b42318"
_NAME_CHARACTERS = 26


def draw(comparison: TemplateComparison, outcome: str, shown: Callable[[str], str] = str) -> str:
    """Return the plot of up to `MAX_ROWS` templates, the baseline first.

    `outcome` is the title of the rates. `shown` replaces names that must not be shown.
    """
    drawn = comparison.comparisons[: MAX_ROWS - 1]
    rates = _Scale([bound for rate in (comparison.baseline_rate, *(one.rate for one in drawn)) for bound in (rate.low, rate.high)], _NAME)
    bounds = [bound for one in drawn for bound in (one.low, one.high, one.stratified_low, one.stratified_high)]
    differences = _Scale([0.0, *bounds], _NAME + _PANEL + _GAP)
    height = _TOP + _ROW * (len(drawn) + 1) + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'font-family="sans-serif" font-size="12" fill="{_INK}">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        _text(_NAME, 20, f"Rate: {outcome}, in %", "bold"),
        _text(differences.left, 20, f"Difference to {_short(shown(comparison.baseline))}, in points", "bold"),
        _text(_NAME, 38, "95 % interval (Wilson)", colour=_PALE),
        _text(differences.left, 38, "dark: crude (Newcombe); pale: within strata", colour=_PALE),
        f'<line x1="{differences(0):.1f}" y1="{_TOP - 8}" x2="{differences(0):.1f}" y2="{height - 34}" stroke="{_PALE}"/>',
    ]
    parts += _rate_row(0, shown(comparison.baseline), comparison.baseline_rate, rates)
    for row, one in enumerate(drawn, 1):
        parts += _rate_row(row, shown(one.name), one.rate, rates)
        parts += _difference_row(row, one, differences)
    parts += [*rates.axis(height - 14), *differences.axis(height - 14), "</svg>"]
    return "\n".join(parts)


def data_uri(svg: str) -> str:
    return f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"


class _Scale:
    """Maps shares to x-coordinates in a panel that begins at `left`."""

    def __init__(self, bounds: list[float], left: int) -> None:
        finite = [bound for bound in bounds if math.isfinite(bound)] or [0.0]
        low, high = min(finite), max(finite)
        margin = max((high - low) * 0.05, 0.005)
        self.low, self.high, self.left = low - margin, high + margin, left

    def __call__(self, share: float) -> float:
        return self.left + (share - self.low) / (self.high - self.low) * _PANEL

    def axis(self, y: int) -> list[str]:
        step = _step((self.high - self.low) / 4)
        ticks = [step * n for n in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        digits = max(0, -math.floor(math.log10(step * 100)))
        return [f'<text x="{self(tick):.1f}" y="{y}" text-anchor="middle" fill="{_PALE}">{tick * 100:.{digits}f}</text>' for tick in ticks]


def _step(rough: float) -> float:
    """Return the smallest 1, 2 or 5 times a power of ten that is at least `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)


def _middle(row: int) -> float:
    return _TOP + _ROW * row + 6


def _rate_row(row: int, name: str, rate: Rate, scale: _Scale) -> list[str]:
    y = _middle(row)
    return [_text(8, y + 4, _short(name)), *_interval(scale, y, rate.share, rate.low, rate.high, _INK)]


def _difference_row(row: int, one: Comparison, scale: _Scale) -> list[str]:
    y = _middle(row)
    colour = {Verdict.BETTER: _GOOD, Verdict.WORSE: _BAD}.get(one.verdict, _INK)
    parts = _interval(scale, y - 4, one.difference, one.low, one.high, colour)
    if math.isfinite(one.stratified_difference):
        parts += _interval(scale, y + 4, one.stratified_difference, one.stratified_low, one.stratified_high, _PALE)
    word = one.verdict.value if one.verdict.is_found else "no verdict"
    return [*parts, _text(scale.left + _PANEL + 14, y + 4, f"{one.difference * 100:+.1f}  {word}", colour=colour)]


def _interval(scale: _Scale, y: float, middle: float, low: float, high: float, colour: str) -> list[str]:
    return [
        f'<line x1="{scale(low):.1f}" y1="{y:.1f}" x2="{scale(high):.1f}" y2="{y:.1f}" stroke="{colour}" stroke-width="2"/>',
        f'<circle cx="{scale(middle):.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>',
    ]


def _text(x: float, y: float, text: str, weight: str = "normal", colour: str = _INK) -> str:
    return f'<text x="{x}" y="{y}" font-weight="{weight}" fill="{colour}">{escape(printable(text))}</text>'


def _short(name: str) -> str:
    return name if len(name) <= _NAME_CHARACTERS else f"{name[: _NAME_CHARACTERS - 1]}…"
