"""What a failed run says, and to whom."""

import httpx
from dagster import get_dagster_logger

from orchestration.settings import environment

_TIMEOUT_SECONDS = 10


def alert_address() -> str | None:
    """Return STARTS_ALERT_URL; it may hold a chat's secret, so it is never logged."""
    return environment().get("STARTS_ALERT_URL")


def alert_of_failure(job_name: str, run_id: str, reasons: list[str]) -> dict[str, str]:
    """Return the message as JSON with the key `text`, which Slack, Mattermost and Google Chat show."""
    return {"text": f"{job_name} failed (run {run_id}):\n" + "\n".join(reasons or ["See the run's page."])}


def send_alert(address: str, alert: dict[str, str]) -> None:
    """Post the alert; an address that does not answer is told in the log and fails nothing else."""
    try:
        httpx.post(address, json=alert, timeout=_TIMEOUT_SECONDS).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        # The exception's text holds the address.
        get_dagster_logger().error(f"The alert could not be sent to STARTS_ALERT_URL: {type(error).__name__}")
