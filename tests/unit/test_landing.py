"""Tests of landing: every way in which a file can arrive, from a folder and from an object store."""

import gzip
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from fsspec import AbstractFileSystem

from orchestration.errors import StartsError
from orchestration.landing.feeds import FEED_NAMES, SENDS, WEBHOOKS
from orchestration.landing.land import LandingReport, land_feed
from orchestration.landing.reading.lines import DamagedFileError, read_lines
from orchestration.landing.reading.streams import ChangedFileError
from orchestration.landing.zone import LandingZone
from tests.pipeline import Pipeline

RECORD: dict[str, object] = {
    "message_id": "wamid.1",
    "sent_at": "2026-10-01T10:00:00-03:00",
    "channel_id": "c",
    "contact_id": "+5511900000001",
    "template_name": "t",
}


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        made.execute("set timezone = 'UTC'")
        yield made


def land(connection: duckdb.DuckDBPyConnection, folder: Path, name: str, content: bytes) -> LandingReport:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    feed = WEBHOOKS if name.startswith("webhooks/") else SENDS
    return land_feed(connection, LandingZone(str(folder), FEED_NAMES), feed)


def lines(*records: dict[str, object]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("sends/a.jsonl", lambda text: text),
        ("sends/deep/er/a.ndjson", lambda text: b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n")),
        ("sends/a.jsonl.gz", gzip.compress),
        ("sends/a.jsonl.gz", lambda text: gzip.compress(text[: len(text) // 2]) + gzip.compress(text[len(text) // 2 :])),
        ("sends/a.jsonl.zst", lambda text: pa.compress(text, codec="zstd", asbytes=True)),
        ("sends/a.json", lambda text: text),
        ("sends/a.json", lambda text: json.dumps([json.loads(line) for line in text.splitlines()], indent=1).encode()),
        ("sends/a.json.gz", lambda text: gzip.compress(b"[" + b",".join(text.splitlines()) + b"]")),
        ("sends/a.json", lambda text: b"\n\n" + b"\n".join(json.dumps(json.loads(line), indent=2).encode() for line in text.splitlines())),
    ],
)
def test_file_lands_in_every_packing(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    report = land(connection, tmp_path, name, pack(lines(RECORD, RECORD | {"message_id": "wamid.2"})))
    assert (report.records, report.landed, report.rejected) == (2, 2, 0)
    assert connection.execute("select message_id, sent_at::varchar from raw.sends order by all").fetchall() == [
        ("wamid.1", "2026-10-01 13:00:00"),
        ("wamid.2", "2026-10-01 13:00:00"),
    ]


def test_files_that_are_not_data_are_ignored(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    for name in ("sends/.hidden.jsonl", "sends/_tmp/a.jsonl", "sends/a.csv", "sends/a.jsonl.part"):
        land(connection, tmp_path, name, lines(RECORD))
    assert connection.execute("select count(*) from raw.landed_files").fetchone() == (0,)


def test_same_content_lands_once_under_any_name_and_a_changed_file_again(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    assert land(connection, tmp_path, "sends/a.jsonl", lines(RECORD)).files_landed == 1
    assert land(connection, tmp_path, "sends/b.jsonl", lines(RECORD)).files_landed == 0
    assert land(connection, tmp_path, "sends/a.jsonl", lines(RECORD, RECORD | {"message_id": "wamid.2"})).files_landed == 1
    assert connection.execute("select count(*) from raw.sends").fetchone() == (3,)


def test_blank_lines_are_counted_as_lines_but_not_as_records(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    report = land(connection, tmp_path, "sends/a.jsonl", b"  \n\t\r\n\r\n" + b" " * 20 + b"\n \t" + lines(RECORD) + b"  ")
    assert (report.records, report.rejected) == (1, 0)
    assert connection.execute("select _line_number from raw.sends").fetchall() == [(5,)]


def test_invalid_byte_in_an_array_rejects_only_its_element(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    bad = json.dumps(RECORD).encode().replace(b"wamid.1", b"wamid.\xff")
    report = land(connection, tmp_path, "sends/a.json", b"[" + json.dumps(RECORD).encode() + b",\n" + bad + b"]")
    assert (report.landed, report.rejected) == (1, 1)
    ((line_number, reason, record),) = connection.execute("select line_number, reason, record from raw.rejected_records").fetchall()
    assert (line_number, reason, "wamid.\\xff" in record) == (2, "not UTF-8", True)


@pytest.mark.parametrize("names", [("a.jsonl.gz", "b.jsonl"), ("b.jsonl.gz", "a.jsonl")])
@pytest.mark.parametrize("together", [True, False])
def test_content_set_aside_because_of_its_name_lands_under_another(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, names: tuple[str, str], together: bool
) -> None:
    misnamed, well_named = names
    if together:
        (tmp_path / "sends").mkdir()
        (tmp_path / "sends" / misnamed).write_bytes(lines(RECORD))
    else:
        assert land(connection, tmp_path, f"sends/{misnamed}", lines(RECORD)).files_set_aside
    assert land(connection, tmp_path, f"sends/{well_named}", lines(RECORD)).files_set_aside == []
    assert connection.execute("select message_id from raw.sends").fetchall() == [("wamid.1",)]
    assert connection.execute("select file_name, status, records from raw.landed_files").fetchall() == [
        (f"sends/{well_named}", "landed", 1)
    ]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"message_id": None}, "message_id: missing"),
        ({"message_id": 1}, "message_id: not a string"),
        ({"contact_id": {"id": 1}}, "contact_id: not a string"),
        ({"sent_at": "2026-10-01T10:00:00"}, "sent_at: neither ISO 8601 with an offset nor Unix seconds or milliseconds"),
        ({"sent_at": 1e15}, "sent_at: neither ISO 8601 with an offset nor Unix seconds or milliseconds"),
        ({"sent_at": -1}, "sent_at: neither ISO 8601 with an offset nor Unix seconds or milliseconds"),
        ({"sent_at": "0000-01-01T00:00:00Z"}, "sent_at: neither ISO 8601 with an offset nor Unix seconds or milliseconds"),
        ({"sent_at": "2026-10-01T10:00:00+99:00"}, "sent_at: neither ISO 8601 with an offset nor Unix seconds or milliseconds"),
        ({"sent_at": "9999-12-31T23:59:59-03:00"}, "sent_at: neither ISO 8601 with an offset nor Unix seconds or milliseconds"),
        ({"sent_at": [1]}, "sent_at: neither ISO 8601 with an offset nor Unix seconds or milliseconds"),
        ({"template_name": 5}, "template_name: not a string"),
        ({"error": []}, "error: not an object"),
        ({"template_language": 5}, "template_language: not a string"),
        ({"chat_link": ["x"]}, "chat_link: not a string"),
        ({"customer_created_at": "soon"}, "customer_created_at: neither ISO 8601 with an offset nor Unix seconds or milliseconds"),
    ],
)
def test_unreadable_send_is_rejected_with_reason_and_line(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    land(connection, tmp_path, "sends/a.jsonl", b"\n" + lines(RECORD | change, RECORD))
    rows = connection.execute("select feed, file_name, line_number, reason, record from raw.rejected_records").fetchall()
    assert rows == [("sends", "sends/a.jsonl", 2, reason, json.dumps(RECORD | change))]
    assert connection.execute("select count(*) from raw.sends").fetchone() == (1,)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (1790859600, "2026-10-01 13:00:00"),
        (1790859600123, "2026-10-01 13:00:00.123"),
        (1790859600.5, "2026-10-01 13:00:00.5"),
        ("1790859600", "2026-10-01 13:00:00"),
        ("2026-10-01T13:00:00Z", "2026-10-01 13:00:00"),
        ("2026-10-01 10:00:00.123456-0300", "2026-10-01 13:00:00.123456"),
        ("2026-10-01T10:00-03", "2026-10-01 13:00:00"),
        ("20261001T130000Z", "2026-10-01 13:00:00"),
        ("2026-10-01T13:00:00,25+00:00", "2026-10-01 13:00:00.25"),
        (1790859600123.5, "2026-10-01 13:00:00.1235"),
        ("1790859600.5", "2026-10-01 13:00:00.5"),
        (100_000_000_000, "5138-11-16 09:46:40"),
        (100_000_000_001, "1973-03-03 09:46:40.001"),
        ("2026-10-01t13:00:00z", "2026-10-01 13:00:00"),
        ("2026-10-01 13:00:00 Z", "2026-10-01 13:00:00"),
        ("2026-10-01T18:30+05:30", "2026-10-01 13:00:00"),
    ],
)
def test_times_are_read_in_every_spelling_of_the_contract(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, written: object, meant: str
) -> None:
    land(connection, tmp_path, "sends/a.jsonl", lines(RECORD | {"sent_at": written}))
    assert connection.execute("select sent_at::varchar from raw.sends").fetchall() == [(meant,)]


def test_items_of_a_body_land_and_unused_ones_are_counted(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    metadata = {"phone_number_id": "c", "display_phone_number": "+55 11"}
    body = {
        "object": "whatsapp_business_account",
        "entry": [
            {
                "changes": [
                    {
                        "field": "messages",
                        "value": {
                            "metadata": metadata,
                            "contacts": [{"user_id": "BR.1"}],
                            "messages": [{"id": "m1", "timestamp": "1790859600", "type": "text"}],
                        },
                    },
                    {
                        "field": "messages",
                        "value": {
                            "metadata": metadata,
                            "statuses": [{"id": "s1", "status": "sent", "timestamp": 1790859600}, {"id": "s2"}],
                        },
                    },
                ]
            },
            {
                "changes": [
                    {"field": "account_update", "value": {}},
                    {"field": "messages", "value": {"metadata": metadata, "errors": [{"code": 1}]}},
                ]
            },
            {"changes": []},
        ],
    }
    report = land(connection, tmp_path, "webhooks/a.jsonl", lines(body))
    assert (report.records, report.landed, report.rejected) == (1, 0, 1)
    assert connection.execute("select message_id, sender_id from raw.webhook_messages").fetchall() == [("m1", "BR.1")]
    assert connection.execute("select message_id, happened_at::varchar from raw.webhook_statuses").fetchall() == [
        ("s1", "2026-10-01 13:00:00")
    ]
    kinds = connection.execute("select kind from raw.webhook_other_kinds order by kind").fetchall()
    assert kinds == [("account_update",), ("messages",), ("nothing inside",)]
    assert connection.execute("select reason from raw.rejected_records").fetchall() == [("statuses[].status: missing",)]


STATUS = {"id": "s1", "status": "sent", "timestamp": "1790859600"}
MESSAGE = {"id": "m1", "type": "text", "timestamp": "1790859600", "from": "5511900000001"}


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("value", "reason", "landed"),
    [
        ({"statuses": "none", "messages": [MESSAGE]}, "statuses: not a list", ["m1"]),
        ({"statuses": [STATUS], "messages": {"0": MESSAGE}}, "messages: not a list", ["s1"]),
        ({"statuses": ["sent", STATUS]}, "statuses[].id: missing", ["s1"]),
        ({"statuses": [STATUS, STATUS | {"id": {}}]}, "statuses[].id: not a string", ["s1"]),
        ({"statuses": [STATUS, STATUS | {"status": ["read"]}]}, "statuses[].status: not a string", ["s1"]),
        ({"messages": [MESSAGE, MESSAGE | {"id": []}]}, "messages[].id: not a string", ["m1"]),
        ({"messages": [MESSAGE, MESSAGE | {"type": {}}]}, "messages[].type: not a string", ["m1"]),
        ({"messages": [MESSAGE, MESSAGE | {"from": [1]}]}, "messages[].from: not a string", ["m1"]),
        ({"messages": [MESSAGE, MESSAGE | {"context": {"id": {}}}]}, "messages[].context.id: not a string", ["m1"]),
        ({"messages": [MESSAGE], "metadata": {"phone_number_id": {}}}, "metadata.phone_number_id: not a string", []),
        ({"statuses": [STATUS], "metadata": {"phone_number_id": {}}}, "metadata.phone_number_id: not a string", []),
    ],
)
def test_wrong_type_in_a_body_rejects_it_and_its_good_items_land(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, value: dict[str, object], reason: str, landed: list[str]
) -> None:
    body: dict[str, object] = {"entry": [{"changes": [{"field": "messages", "value": {"metadata": {"phone_number_id": "c"}} | value}]}]}
    land(connection, tmp_path, "webhooks/a.jsonl", lines(body))
    items = connection.execute("select message_id from raw.webhook_statuses union all select message_id from raw.webhook_messages")
    assert [message_id for (message_id,) in items.fetchall()] == landed
    assert connection.execute("select reason, record from raw.rejected_records").fetchall() == [(reason, json.dumps(body))]
    assert connection.execute("select count(*) from raw.webhook_other_kinds").fetchone() == (0,)


@pytest.mark.thorough
def test_landing_zone_can_be_in_an_object_store(pipeline: Callable[..., Pipeline], s3: AbstractFileSystem) -> None:
    s3.mkdir("logs")
    s3.pipe("logs/whatsapp/sends/1.jsonl.gz", gzip.compress(lines(RECORD)))
    run = pipeline()
    run.environment["STARTS_LANDING"] = "s3://logs/whatsapp"
    assert run.run().success
    assert len(run.rows("fct_notifications")) == 1
    s3.pipe("logs/whatsapp/sends/2.jsonl", lines(RECORD | {"message_id": "wamid.2"}))
    assert run.run().success
    assert len(run.rows("fct_notifications")) == 2
    assert run.rows("raw.landed_files", published=False)[0]["file_name"].startswith("sends/")


def test_missing_bucket_or_folder_is_not_an_empty_landing_zone(s3: AbstractFileSystem, tmp_path: Path) -> None:
    with pytest.raises(StartsError, match="does not exist"):
        LandingZone(f"file://{tmp_path}/nowhere", FEED_NAMES)
    with pytest.raises(StartsError, match="no-such-bucket does not exist"):
        LandingZone("s3://no-such-bucket/logs", FEED_NAMES)
    s3.mkdir("empty-bucket")
    assert LandingZone("s3://empty-bucket/logs/not/yet", FEED_NAMES).files("sends") == []
    # A folder with other folders of Botmaker is a landing zone, too.
    (tmp_path / "zone" / "botmaker" / "sent_results_lists").mkdir(parents=True)
    assert LandingZone(str(tmp_path / "zone"), FEED_NAMES).files("sends") == []


def test_objects_that_others_replace_are_noticed(connection: duckdb.DuckDBPyConnection, s3: AbstractFileSystem) -> None:
    """Use one zone throughout: its driver remembers what it has listed."""
    others = type(s3)(skip_instance_cache=True)
    s3.mkdir("logs")
    zone = LandingZone("s3://logs/whatsapp", FEED_NAMES)

    def put(name: str, message_id: str) -> None:
        others.pipe(f"logs/whatsapp/sends/{name}.jsonl", lines(RECORD | {"message_id": message_id}))

    put("a", "wamid.1")
    assert land_feed(connection, zone, SENDS).landed == 1
    put("b", "wamid.2")
    assert land_feed(connection, zone, SENDS).landed == 1
    # Another content of the same size.
    put("a", "wamid.3")
    assert land_feed(connection, zone, SENDS).landed == 1
    (file, _) = zone.files("sends")
    fetch = zone._filesystem.get_file

    def replaced_meanwhile(*arguments: str) -> None:
        fetch(*arguments)
        put("a", "wamid.4")

    with pytest.MonkeyPatch.context() as patch, zone.local_copies([file]) as copies:
        assert [copy.error for copy in copies] == [None]
        patch.setattr(zone._filesystem, "get_file", replaced_meanwhile)
        with zone.local_copies([file]) as (copy,):
            assert isinstance(copy.error, ChangedFileError)


@pytest.mark.parametrize(
    ("referral", "is_one"),
    [({"source_type": "ad", "source_id": "1"}, True), ({"headline": "Home"}, True), ({}, True), (None, False)],
)
def test_referral_is_recognised_whatever_it_contains(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, referral: object, is_one: bool
) -> None:
    value = {"metadata": {"phone_number_id": "c"}, "messages": [MESSAGE | {"referral": referral}]}
    land(connection, tmp_path, "webhooks/a.jsonl", lines({"entry": [{"changes": [{"field": "messages", "value": value}]}]}))
    assert connection.execute("select has_referral from raw.webhook_messages").fetchall() == [(is_one,)]


def test_scheme_without_a_driver_gives_the_install_command() -> None:
    with pytest.raises(StartsError, match=r"Install one: .*--extra gcs`"):
        LandingZone("gs://bucket/logs", FEED_NAMES)


def test_web_address_is_refused_as_landing_zone() -> None:
    with pytest.raises(StartsError, match="files cannot be listed at a web address"):
        LandingZone("https://example.com/logs", ("sends",))


def test_line_longer_than_a_chunk_is_read_as_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestration.landing.reading.streams.CHUNK_BYTES", 7)
    path = tmp_path / "a.jsonl"
    texts = ["short", "x" * 100, "é" * 20, "", "last line, no newline"]
    path.write_text("\n".join(texts), encoding="utf-8")
    read = [
        (number, line)
        for batch in read_lines(path, path.name, 0)
        for number, line in zip(batch["line_number"].to_pylist(), batch["line"].to_pylist(), strict=True)
    ]
    assert read == [(number, text) for number, text in enumerate(texts, 1) if text]


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: data[:-6] + b"x" + data[-5:], lambda data: data + b"trailing"])
def test_damaged_archive_is_detected(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(damage(gzip.compress(lines(RECORD) * 1000)))
    with pytest.raises(DamagedFileError):
        list(read_lines(path, path.name, 0))


def test_bundled_logs_match_their_generator(tmp_path: Path) -> None:
    from orchestration.settings import SAMPLE_LOGS
    from tests.data.generate_logs import generate

    generate(tmp_path, sends=4400, days=46, blemishes=True)
    made = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    bundled = {path.relative_to(SAMPLE_LOGS): path.read_bytes() for path in SAMPLE_LOGS.rglob("*") if path.is_file()}
    assert made == bundled
    assert sum(len(content) for content in bundled.values()) < 3_000_000


@pytest.mark.thorough
def test_definitions_are_imported_without_any_configured_path(tmp_path: Path) -> None:
    import sys

    environment = {name: value for name, value in os.environ.items() if not name.startswith("STARTS_")} | {
        "STARTS_DATA": str(tmp_path / "fresh")
    }
    result = subprocess.run([sys.executable, "-c", "import orchestration.definitions"], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
