"""New and returning users (contract, section 4.7), across the sessions of the logs and of Botmaker."""

from datetime import datetime, timedelta

from tests.reference.contract import Expected

_NEW_USER_TOLERANCE = timedelta(seconds=60)


def add_user_types(expected: Expected) -> None:
    """Add `user_type` to every fact row and remove `customer_created_at`."""
    first_session_at: dict[tuple[str, str], datetime] = {}
    for row in expected.session_starts:
        if row["session_id"] is not None:
            thread = row["channel_id"], row["person_id"]
            first_session_at[thread] = min(first_session_at.get(thread, datetime.max), row["session_started_at"])
    for row in (*expected.session_starts, *expected.notifications):
        started_at, created_at = row["session_started_at"], row.pop("customer_created_at")
        has_been_here = first_session_at.get((row["channel_id"], row["person_id"]), datetime.max) < started_at
        is_known = created_at is not None and started_at - created_at > _NEW_USER_TOLERANCE
        row["user_type"] = "returning" if has_been_here or is_known else "new"
