"""The same report in pandas, as an analyst would write it: one machine, one script, everything in memory."""

# The pandas stubs are incomplete.
# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false, reportArgumentType=false, reportCallIssue=false

import io
import json
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa

TIMEOUT = pd.Timedelta(hours=24)


def _lines(folder: Path) -> list[str]:
    lines: list[str] = []
    for path in sorted(folder.glob("*.zst")):
        with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
            lines += stream.read().decode().splitlines()
    return lines


def _utc(values: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(values, errors="coerce")
    from_text = pd.to_datetime(values.where(numbers.isna()), utc=True, format="ISO8601")
    milliseconds = numbers.where(numbers > 1e11, numbers * 1000)
    return from_text.fillna(pd.to_datetime(milliseconds, unit="ms", utc=True)).dt.tz_localize(None)


def main(landing: Path, tsv: Path) -> None:
    sends = pd.read_json(io.StringIO("\n".join(_lines(landing / "sends"))), lines=True, dtype=False, convert_dates=False)
    sends["sent_at"] = _utc(sends["sent_at"])
    sends["contact_id"] = sends["contact_id"].astype(str).str.replace("+", "", regex=False)
    sends = sends.sort_values("sent_at").drop_duplicates("message_id")
    statuses, messages = [], []
    for line in _lines(landing / "webhooks"):
        for entry in json.loads(line)["entry"]:
            for change in entry["changes"]:
                value = change["value"]
                channel = value["metadata"]["phone_number_id"]
                for status in value.get("statuses", ()):
                    error = (status.get("errors") or [{}])[0]
                    statuses.append((status["id"], status["status"], int(status["timestamp"]), error.get("code"), error.get("title")))
                for message in value.get("messages", ()):
                    sender = message.get("from") or message.get("from_user_id")
                    context, referral = message.get("context", {}).get("id"), message.get("referral", {}).get("source_type")
                    messages.append((message["id"], channel, sender, int(message["timestamp"]), message["type"], context, referral))
    status = pd.DataFrame(statuses, columns=["message_id", "status", "at", "code", "title"])
    times = status.pivot_table(index="message_id", columns="status", values="at", aggfunc="min")
    for column in times:
        times[column] = pd.to_datetime(times[column], unit="s")
    failures = status[status["status"] == "failed"].drop_duplicates("message_id").set_index("message_id")[["code", "title"]]
    inbound = pd.DataFrame(
        messages, columns=["message_id", "channel_id", "contact_id", "at", "type", "context", "referral"]
    ).drop_duplicates("message_id")
    inbound["at"] = pd.to_datetime(inbound["at"], unit="s")
    answers = inbound[inbound["type"] != "system"]

    sends = sends.join(times.add_suffix("_at"), on="message_id", rsuffix="_status").join(failures, on="message_id")
    quoted = answers.dropna(subset=["context"]).groupby("context")["at"].min()
    sends["quoted_at"] = sends["message_id"].map(quoted)
    went_wrong = sends["error"].notna() | sends["failed_at"].notna()
    sends["is_not_sent"] = went_wrong & sends["delivered_at"].isna() & sends["read_at"].isna() & sends["quoted_at"].isna()
    sends["is_notification"] = sends["template_name"].notna() | sends["notification_name"].notna()

    keys = ["channel_id", "contact_id"]
    sends["channel_id"] = sends["channel_id"].astype(str)
    live = sends[~sends["is_not_sent"]].rename(columns={"sent_at": "at"})
    activity = pd.concat([live[[*keys, "at", "message_id"]], inbound[[*keys, "at", "message_id", "referral"]]])
    activity = activity.sort_values([*keys, "at"])
    gap = activity["at"] - activity.groupby(keys)["at"].shift()
    starts = activity[gap.isna() | (gap > TIMEOUT)]
    unquoting = answers[answers["context"].isna()].sort_values("at")
    matched = pd.merge_asof(
        unquoting,
        live[live["is_notification"]].sort_values("at")[[*keys, "at", "message_id"]],
        on="at",
        by=keys,
        tolerance=TIMEOUT,
        suffixes=("", "_send"),
    )
    replied = matched.groupby("message_id_send")["at"].min()
    sends["replied_at"] = pd.concat([sends["quoted_at"], sends["message_id"].map(replied)], axis=1).min(axis=1)

    report = sends[sends["is_notification"] & (sends["message_id"].isin(starts["message_id"]) | sends["is_not_sent"])].copy()
    for column in ("sent_at", "delivered_at", "read_at", "replied_at"):
        report[column] = report[column].dt.tz_localize("UTC").dt.tz_convert("America/Sao_Paulo").dt.strftime("%Y-%m-%d %H:%M:%S")
    report.sort_values("sent_at").to_csv(tsv, sep="\t", index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
