"""`python -m orchestration compare-templates --outcome read`: compare templates of the published report."""

from argparse import ArgumentTypeError, Namespace
from pathlib import Path
from typing import Any

from orchestration.cli.filters import FILTERS, Options, add_options, chosen_options, file_path
from orchestration.files import check_output_path
from orchestration.settings import Settings

_OPTIONS: Options = {
    **FILTERS,
    "by": ("--by", {"help": "template (default), or notification for names of bulk sends"}),
    "outcome": ("--outcome", {"help": "delivered, read, or replied (default)"}),
    "window": ("--window", {"help": "replies within 1h, 24h (default), 72h or 7d; younger sends are left out"}),
    "baseline": (
        "--baseline",
        {"metavar": "NAME", "help": "the name to compare all others with (default: the one with the most mature sends)"},
    ),
}


def add_to(commands: Any) -> None:
    parser = commands.add_parser("compare-templates", help="compare templates: funnels, differences from a baseline, verdicts")
    parser.set_defaults(command=compare_templates_command, runs_job=False)
    add_options(parser, _OPTIONS)
    parser.add_argument("--picture", type=_svg_path, metavar="FILE.svg", help="draw the differences as SVG")


def _svg_path(value: str) -> Path:
    path = file_path(value)
    if path.suffix.lower() != ".svg":
        raise ArgumentTypeError(f"the picture is SVG: name a file that ends with .svg, not {path.name!r}")
    return path


def compare_templates_command(chosen: Namespace) -> int:
    """Print the comparison, and draw it if `--picture` is set."""
    settings = Settings.from_environment()
    # Imported late: these take seconds to load, and a wrong setting should be reported at once.
    from orchestration.analysis.counts import TemplateQuestion, compare_published
    from orchestration.analysis.picture import draw
    from orchestration.analysis.words import as_text, format_outcome, tables

    question = chosen_options(TemplateQuestion, _OPTIONS, chosen)
    if chosen.picture is not None:
        check_output_path(chosen.picture)
    comparison = compare_published(settings, question)
    for table in tables(comparison, question):
        print(*as_text(table), "", sep="\n")
    if chosen.picture is not None:
        chosen.picture.write_text(draw(comparison, format_outcome(question)), encoding="utf-8")
        print(f"drawn in {chosen.picture}")
    return 0
