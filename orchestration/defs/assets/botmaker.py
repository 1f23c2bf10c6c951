"""The assets of Botmaker's pages, which are fetched into the landing zone before they are landed."""

from collections.abc import Iterator

from dagster import AssetExecutionContext, AssetKey, AssetSpec, Config, MaterializeResult, multi_asset
from pydantic import Field

from orchestration.botmaker.fetch import FETCHES, FetchReport, fetch, open_source, parse_request
from orchestration.botmaker.settings import BotmakerSettings
from orchestration.defs.resources import operator_failures
from orchestration.settings import Settings

GROUP = "botmaker"

_DESCRIPTIONS = {
    "sessions": "Sessions with their messages and events, including open sessions: unmodified pages of `GET /sessions`.",
    "sent_results": "The results of bulk notifications by customer: pages of `GET /notifications/sent-results/{id}`.",
    "channels": "The lines, without the tokens of other services. Stored only if something changed.",
    "whatsapp_templates": "The templates and WhatsApp's decisions about them. Stored only if something changed.",
}


class BotmakerFetchConfig(Config):
    """What to fetch. By default: everything new since the last fetch, and the days before it that may have changed."""

    period_from: str | None = Field(default=None, description="A backfill's first day (in the report's time zone), or a UTC time.")
    period_to: str | None = Field(default=None, description="A backfill's last day, or its end as a UTC time. Default: now.")
    sweep: bool = Field(default=False, description="Fetch the last BOTMAKER_SWEEP_DAYS days again.")


# A single step, so that the period is set only once, and one client limits the rate of all requests.
@multi_asset(
    name="fetch_botmaker",
    specs=[AssetSpec(AssetKey([GROUP, feed]), group_name=GROUP, description=_DESCRIPTIONS[feed], kinds={"json"}) for feed in FETCHES],
    can_subset=True,
)
def fetch_botmaker(context: AssetExecutionContext, config: BotmakerFetchConfig) -> Iterator[MaterializeResult]:
    """Fetch from Botmaker into the landing zone, and continue where the last run stopped."""
    with operator_failures():
        settings = Settings.from_environment()
        request = parse_request(settings, config.period_from, config.period_to, sweep=config.sweep)
        with open_source(settings, BotmakerSettings.from_environment(), log=context.log.info, warn=context.log.warning) as source:
            for feed in FETCHES:
                key = AssetKey([GROUP, feed])
                if key in context.selected_asset_keys:
                    yield MaterializeResult(asset_key=key, metadata=_metadata(fetch(source, feed, request)))


def _metadata(report: FetchReport) -> dict[str, int]:
    return {
        "windows": report.windows,
        "pages": report.pages,
        "items": report.items,
        "bytes": report.bytes,
        "requests": report.requests,
        "retries": report.retries,
    }
