"""The asset that compares templates on request."""

from dagster import AssetExecutionContext, Config, MaterializeResult, MetadataValue, asset

from orchestration.analysis.counts import TemplateQuestion, compare_published
from orchestration.analysis.picture import data_uri, draw
from orchestration.analysis.words import as_markdown, format_outcome, tables
from orchestration.defs.assets.metadata import HIDDEN
from orchestration.defs.assets.outputs import published_marts
from orchestration.defs.resources import operator_failures
from orchestration.publication.masking import may_hold_number
from orchestration.settings import Settings


class TemplateConfig(TemplateQuestion, Config):
    """The question as run config, which the UI shows as a form."""


@asset(group_name="analysis", deps=[published_marts], kinds={"python"})
def template_comparison(context: AssetExecutionContext, config: TemplateConfig) -> MaterializeResult:
    """A comparison of templates with a baseline: funnels, differences with intervals, verdicts (docs/analysis.md). Needs no lock."""
    with operator_failures():
        comparison = compare_published(Settings.from_environment(), config)
    funnels, differences = tables(comparison, config, _shown)
    picture = data_uri(draw(comparison, format_outcome(config), _shown))
    verdicts = [one for one in comparison.comparisons if one.verdict.is_found]
    context.log.info(f"{len(comparison.comparisons)} comparisons with the baseline, {len(verdicts)} with a verdict.")
    return MaterializeResult(
        metadata={
            "picture": MetadataValue.md(f"![Rates and differences]({picture})"),
            "differences": MetadataValue.md("\n".join(as_markdown(differences))),
            "funnels": MetadataValue.md("\n".join(as_markdown(funnels))),
            "compared": len(comparison.comparisons),
            "verdicts": len(verdicts),
        }
    )


def _shown(name: str) -> str:
    # An erasure cannot reach metadata in Dagster, and other people choose these names.
    return HIDDEN if may_hold_number(name) else name
