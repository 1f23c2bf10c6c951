"""Tests of the outputs: the TSV as spreadsheets and pandas read it, its languages, masks and filters."""

import csv
import hashlib
import hmac
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from orchestration.cli.main import main
from orchestration.errors import StartsError
from orchestration.exports.daily import export_days
from orchestration.exports.filters import ExportSelection
from orchestration.exports.on_demand import export_selection
from orchestration.exports.tsv import TSV_COLUMNS
from orchestration.transform.builds import MARTS
from orchestration.warehouse import open_warehouse
from tests.data.hostile_logs import write_files
from tests.pipeline import Pipeline, comparable, query

HEADERS_OF_THE_ORIGINAL = [
    *("Id Usuario", "Id Contacto/Número", "Fecha/tiempo Inicio Sesión", "Id canal", "Usuario Nuevo", "Nombre Plantilla/Notificación"),
    *("No Enviado", "Enviado", "Entregado", "Leída", "Respondida", "Razón Falla Envío", "Detalle Falla Envío"),
    *("Fecha/tiempo Envío", "Fecha/tiempo Entrega", "Fecha/hora de lectura", "Fecha/tiempo Respuesta", "Grupos Agente"),
]


def send(**fields: Any) -> bytes:
    return json.dumps(
        {"message_id": "wamid.1", "sent_at": 1791000000, "channel_id": "c", "contact_id": "5511900000001", "template_name": "t"} | fields
    ).encode()


def test_bundled_logs_contain_every_kind_of_start(sample: Pipeline) -> None:
    starts = pd.DataFrame(sample.rows("fct_session_starts"))
    assert set(starts["origin"]) == {"mass_notification", "whatsapp_template", "referred_campaign", "organic", "other"}
    assert set(starts["last_status"].dropna()) == {"not_sent", "pending", "sent", "delivered", "read", "replied"}
    assert len(set(starts["template_name"].dropna())) == 12
    assert len(set(starts["notification_name"].dropna())) == 4
    assert len(set(starts["channel_id"])) == 3
    assert set(starts["failure_group"].dropna()) >= {"recipient", "meta_limit", "opt_out", "template", "unknown"}
    ledger = sample.rows("raw.landed_files", published=False)
    assert {row["status"] for row in ledger} == {"landed", "set_aside"}
    assert all(row["records"] == row["landed"] + row["rejected"] for row in ledger)


def test_pandas_reads_a_daily_tsv_without_arguments(sample: Pipeline) -> None:
    total = 0
    manifest = {entry["file"]: entry for entry in json.loads((sample.settings.exports_dir / "manifest.json").read_text())["files"]}
    for path in sample.settings.exports_dir.glob("*.tsv"):
        frame = pd.read_csv(path, sep="\t")
        assert list(frame.columns) == [column.name for column in TSV_COLUMNS]
        assert manifest[path.name]["rows"] == len(frame)
        assert manifest[path.name]["bytes"] == path.stat().st_size
        assert manifest[path.name]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert manifest[path.name]["time_zone"] == "America/Sao_Paulo"
        total += len(frame)
    assert total == sum(row["is_in_report"] for row in sample.rows("fct_session_starts"))


def test_hostile_text_stays_in_its_cell(warm: Callable[..., Pipeline]) -> None:
    texts = [
        *(
            '"',
            '""',
            '"a',
            'a"b',
            "a\tb",
            "a\nb",
            "a\r\nb",
            "a\u0085b",
            "a\u2028b",
            "a\u2029b",
            "a\x00b",
            "a\x1bb",
            "'a",
            "a,b",
            "a;b",
            " a ",
            "\u00a0=1",
        ),
        *("=1+1", "+1", "+55 11", "-1", "-a", "@a", " =1", "＝1", "\t=1", "1e5", "+5511,5", "=", "NULL", "nan", "é🌵", "\\", "\\N", "#"),
    ]
    run = warm()
    sends = [
        send(message_id=f"m{n:03d}", sent_at=1791000000 + n, contact_id=f"c{n}", template_name=text, agent_groups=text)
        for n, text in enumerate(texts)
    ]
    write_files(run.landing, "sends", "1.jsonl", sends)
    assert run.run().success
    (path,) = run.settings.exports_dir.glob("*.tsv")
    lines = path.read_text(encoding="utf-8").split("\n")
    assert len(lines) == len(texts) + 2
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", strict=True))
    cells = {row["session_start_id"]: row["agent_groups"] for row in rows}
    assert len(cells) == len(texts)
    for n, text in enumerate(texts):
        cell = cells[f"m{n:03d}"]
        assert not any(character in cell for character in "\t\n\r\x00\x1b\u0085\u2028\u2029")
        starts_like_formula = cell.strip("\u00a0 ")[:1] in tuple("=+-@＝")
        assert not starts_like_formula or cell.removeprefix("+").replace(",", "").replace("-", "").isdigit(), repr(text)
    assert cells[f"m{texts.index('+1'):03d}"] == "+1"
    assert cells[f"m{texts.index('=1+1'):03d}"] == "'=1+1"
    # Cells that need no quotes have none, for readers that split lines at tabs.
    quoted = [cell for line in lines for cell in line.split("\t") if cell[:1] == '"']
    assert quoted
    assert all('""' in cell[1:-1] for cell in quoted)
    assert pd.read_csv(path, sep="\t").shape == (len(texts), 27)


@pytest.mark.thorough
def test_headers_and_reasons_are_available_in_three_languages(warm: Callable[..., Pipeline]) -> None:
    run, texts = warm(), {}
    write_files(run.landing, "sends", "1.jsonl", [send(error={"code": 131050})])
    for language in ("en", "pt", "es"):
        run.environment["STARTS_LANGUAGE"] = language
        assert run.run().success
        (path,) = run.settings.exports_dir.glob("*.tsv")
        header, row = path.read_text(encoding="utf-8").splitlines()
        texts[language] = (header.split("\t"), row.split("\t")[11])
    assert texts["en"][1] == "The recipient opted out of marketing messages"
    assert texts["pt"][1] == "O destinatário não quer mensagens de marketing"
    assert texts["es"][1] == "El destinatario no quiere mensajes de marketing"
    assert texts["es"][0][:18] == HEADERS_OF_THE_ORIGINAL
    assert len(set(texts["pt"][0])) == 27


@pytest.mark.thorough
def test_new_language_or_time_zone_rewrites_the_existing_files(pipeline: Callable[..., Pipeline]) -> None:
    run = pipeline()
    write_files(run.landing, "sends", "1.jsonl", [send(sent_at="2026-10-05T01:30:00Z")])
    assert run.run().success
    assert list(run.tsv_bytes()) == ["sessionStartingCauses-2026-10-04.tsv"]
    run.environment = {"STARTS_REPORT_TIMEZONE": "Asia/Tokyo", "STARTS_LANGUAGE": "pt"}
    assert run.run().success
    assert list(run.tsv_bytes()) == ["sessionStartingCauses-2026-10-05.tsv"]
    assert b"2026-10-05 10:30:00" in run.tsv_bytes()["sessionStartingCauses-2026-10-05.tsv"]
    assert [str(row["session_start_date"]) for row in run.rows("session_starts_daily")] == ["2026-10-05"]


@pytest.mark.thorough
def test_invalid_manifest_is_rewritten(warm: Callable[..., Pipeline]) -> None:
    run = warm()
    write_files(run.landing, "sends", "1.jsonl", [send()])
    assert run.run().success
    path, tsvs = run.settings.exports_dir / "manifest.json", run.tsv_bytes()
    ours = json.loads(path.read_text())

    def without_times(manifest: dict[str, Any]) -> dict[str, Any]:
        return manifest | {"made_at": None, "files": [entry | {"made_at": None} for entry in manifest["files"]]}

    foreign: list[Any] = [[], None, {}, ours | {"publication": {}}, ours | {"publication": None}, ours | {"files": {}}]
    foreign += [ours | {"files": [{"file": "x.tsv"}]}, ours | {"files": ["x.tsv"]}]
    for content in foreign:
        path.write_text(json.dumps(content))
        with open_warehouse(run.settings) as warehouse:
            export_days(warehouse, run.settings)
        assert without_times(json.loads(path.read_text())) == without_times(ours)
        assert run.tsv_bytes() == tsvs


@pytest.mark.thorough
def test_masked_contacts_leave_no_number_in_the_outputs(warm: Callable[..., Pipeline]) -> None:
    contact, key = "5511987654321", "a secret"
    wamid = "wamid.HBgNNTUxMTk4NzY1NDMyMRUCABEYEjI0NjVGNEVCQUQ3MjIzMkIyNQA="  # contains the number in base64
    run = warm(STARTS_CONTACTS="masked", STARTS_MASK_KEY=key)
    leaks = {
        "chat_link": f"https://wa.me/{contact}",
        "customer_id": f"chat-{contact}",
        "error": {"code": 131026, "details": f"Blocked for +55 (11) 98765-4321; {contact}."},
    }
    write_files(run.landing, "sends", "1.jsonl", [send(message_id=wamid, contact_id=f"+{contact}", **leaks)])
    assert run.run().success
    # Letters in place of digits, so that no mask looks like a number.
    letters = str.maketrans("0123456789", "ghijklmnop")
    masked = hmac.new(key.encode(), contact.encode(), hashlib.sha256).hexdigest()[:16].translate(letters) + "-4321"
    (row,) = run.rows("fct_session_starts")
    assert row["contact_id"] == masked
    assert row["message_id"] == row["session_start_id"] != wamid
    for path in [*run.settings.published_dir.rglob("*"), *run.settings.exports_dir.rglob("*")]:
        if path.is_file():
            content = path.read_bytes()
            assert contact.encode() not in content, path
            assert wamid.encode() not in content, path
            assert key.encode() not in content, path
    assert masked in next(iter(run.tsv_bytes().values())).decode()
    # After the change back to plain contacts, everything is rewritten.
    run.environment = {}
    assert run.run().success
    assert run.rows("fct_session_starts")[0]["contact_id"] == contact


def test_masking_requires_a_key(pipeline: Callable[..., Pipeline]) -> None:
    with pytest.raises(StartsError, match="STARTS_MASK_KEY"):
        _ = pipeline(STARTS_CONTACTS="masked").settings


def test_parquet_and_database_contain_the_same_marts(sample: Pipeline) -> None:
    for mart in MARTS:
        parquet = [
            row
            for path in sorted((sample.settings.published_dir / "parquet" / mart).glob("*.parquet"))
            for row in pq.read_table(path).to_pylist()
        ]
        assert comparable(parquet) == comparable(sample.rows(mart))


def test_every_published_table_and_column_has_a_comment(sample: Pipeline) -> None:
    rows = query(
        sample.settings.published_database,
        """
        select table_name, '' as column_name, comment from duckdb_tables() where schema_name = 'main'
        union all
        select view_name, '', comment from duckdb_views() where schema_name = 'main' and not internal
        union all
        select table_name, column_name, comment from duckdb_columns() where schema_name = 'main' and not internal
        """,
    )
    assert {row["table_name"] for row in rows} == {*MARTS, "publish_info"}
    assert [(row["table_name"], row["column_name"]) for row in rows if not row["comment"]] == []


@pytest.mark.parametrize(
    ("selection", "condition"),
    [
        ({}, "true"),
        ({"period_from": "2026-10-10", "period_to": "2026-10-12"}, "session_start_date between '2026-10-10' and '2026-10-12'"),
        ({"origins": ["referred_campaign"]}, "origin = 'referred_campaign'"),
        ({"lines": ["108234567890101"]}, "channel_id = '108234567890101'"),
        ({"lines": ["+54 11 5278-0101"]}, "line_number = '541152780101'"),
        (
            {"templates": ["oferta_relampago", "Primavera 2026"]},
            "template_name = 'oferta_relampago' or notification_name = 'Primavera 2026'",
        ),
        ({"user_types": ["new"]}, "user_type = 'new'"),
        (
            {"user_types": ["new"], "origins": ["whatsapp_template"], "period_from": "2026-11-01"},
            "user_type = 'new' and origin = 'whatsapp_template' and session_start_date >= '2026-11-01'",
        ),
    ],
)
def test_export_on_demand_contains_the_rows_of_its_filters(sample: Pipeline, selection: dict[str, Any], condition: str) -> None:
    path, rows = export_selection(sample.settings, ExportSelection(**selection, file_name="selection.tsv"))
    expected = query(
        sample.settings.published_database,
        f"select session_start_id from fct_session_starts where is_in_report and ({condition}) "
        "order by sent_at nulls last, session_start_id",
    )
    frame = pd.read_csv(path, sep="\t")
    assert rows == len(frame) == len(expected) > 0
    assert list(frame["session_start_id"]) == [row["session_start_id"] for row in expected]


@pytest.mark.parametrize(
    "selection",
    [
        {"period_from": "01/10/2026"},
        {"period_from": "2026-13-01"},
        {"period_from": "2026-10-02", "period_to": "2026-10-01"},
        {"origins": ["organic"]},
        {"user_types": ["old"]},
        {"language": "fr"},
        {"file_name": "../escape.tsv"},
        {"file_name": "x.exe"},
    ],
)
def test_invalid_filter_is_refused(selection: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ExportSelection(**selection)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--origins", "whatsapp_templates"],
            "--origins: 'whatsapp_templates' is not one of mass_notification, whatsapp_template, referred_c",
        ),
        (["--user-types", "old"], "--user-types: 'old' is not one of new, returning."),
        (["--layout", "x"], "--layout: 'x' is not one of standard, botmaker."),
        (["--language", "fr"], "--language: 'fr' is not one of en, pt, es."),
        (["--from", "2026-13-01"], "--from: '2026-13-01' is not a day: write it like 2026-10-01."),
        (["--from", "2026-10-02", "--to", "2026-10-01"], "export could not start: the period ends (2026-10-01) before it starts"),
        (["--lines", "unknown"], "There is no line 'unknown' in the report."),
    ],
)
def test_export_command_lists_the_existing_values(
    sample: Pipeline, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    monkeypatch.setenv("STARTS_DATA", str(sample.data))
    assert main(["export", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("option", ["--from", "--lines", "--file-name"])
def test_option_with_an_empty_value_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An unset shell variable gives an empty value, and without this check everything would be exported."""
    with pytest.raises(SystemExit):
        main(["export", option, ""])
    assert f"argument {option}: is empty: give it a value, or leave it out" in capsys.readouterr().err


def test_export_command_writes_the_rows_of_its_selection(
    sample: Pipeline, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STARTS_DATA", str(sample.data))
    asked = {
        "period_from": ["--from", "2026-10-05"],
        "period_to": ["--to", "2026-10-20"],
        "origins": ["--origins", "mass_notification", "whatsapp_template"],
        "user_types": ["--user-types", "new"],
        "lines": ["--lines", "+54 11 5278-0101"],
        "templates": ["--templates", "oferta_relampago", "--templates", "Primavera 2026"],
        "language": ["--language", "pt"],
        "layout": ["--layout", "standard"],
        "format": ["--format", "tsv"],
        "bom": ["--bom"],
        "file_name": ["--file-name", "command.tsv"],
    }
    assert set(asked) == set(ExportSelection.model_fields)
    assert main(["export", *(word for words in asked.values() for word in words)]) == 0
    lists = {"origins", "user_types", "lines", "templates"}
    selection: dict[str, Any] = {
        field: [word for word in words if not word.startswith("--")] if field in lists else words[-1] for field, words in asked.items()
    }
    selection["bom"] = True
    path, rows = export_selection(sample.settings, ExportSelection(**{**selection, "file_name": "same.tsv"}))
    assert capsys.readouterr().out == f"{rows} rows in {path.with_name('command.tsv')}\n"
    assert rows > 0
    assert path.with_name("command.tsv").read_bytes() == path.read_bytes()


def test_unknown_line_or_template_is_reported(sample: Pipeline) -> None:
    with pytest.raises(StartsError, match="no line 'unknown'"):
        export_selection(sample.settings, ExportSelection(lines=["unknown"]))
    with pytest.raises(StartsError, match=r"no template or notification .x.*drop"):
        export_selection(sample.settings, ExportSelection(templates=["x'; drop table fct_session_starts; --"]))


def test_export_job_takes_its_filters_from_the_run_config(sample: Pipeline) -> None:
    from orchestration.definitions import defs

    config = {
        "ops": {
            "session_starts_selection_tsv": {"config": {"origins": ["mass_notification"], "language": "es", "file_name": "from_job.tsv"}}
        }
    }
    with patch.dict(os.environ, {"STARTS_LANDING": str(sample.landing), "STARTS_DATA": str(sample.data)}):
        assert defs.resolve_job_def("export_on_demand").execute_in_process(run_config=config).success
    frame = pd.read_csv(sample.settings.exports_dir / "on_demand" / "from_job.tsv", sep="\t")
    assert set(frame["Origen"]) == {"mass_notification"}


def test_concurrent_exports_with_the_same_name_are_complete(sample: Pipeline) -> None:
    selection = ExportSelection(file_name="same.tsv")
    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(lambda _: export_selection(sample.settings, selection), range(8)))
    (path,) = {path for path, _ in written}
    assert {rows for _, rows in written} == {len(pd.read_csv(path, sep="\t"))}
    assert list(path.parent.glob(".*")) == []


@pytest.mark.thorough
def test_reader_of_the_old_file_does_not_block_the_next_publication(pipeline: Callable[..., Pipeline]) -> None:
    import duckdb

    run = pipeline()
    write_files(run.landing, "sends", "1.jsonl", [send()])
    assert run.run().success
    copy = Path(os.path.realpath(run.settings.published_database))
    with duckdb.connect(str(copy), read_only=True) as reader:
        write_files(run.landing, "sends", "2.jsonl", [send(message_id="wamid.2", contact_id="5511900000002")])
        assert run.run().success
        assert reader.execute("select count(*) from fct_session_starts").fetchone() == (1,)
    assert len(run.rows("fct_session_starts")) == 2


@pytest.mark.thorough
def test_backfill_rewrites_lost_and_damaged_days(warm: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestration.definitions import defs

    run = warm()
    for name, value in run.variables.items():
        monkeypatch.setenv(name, value)
    write_files(run.landing, "sends", "1.jsonl", [send(sent_at="2026-10-01T12:00:00Z")])
    assert run.run().success
    (tsv,) = run.tsv_bytes().values()
    path = next(run.settings.exports_dir.glob("*.tsv"))
    path.write_bytes(b"damaged")
    job = defs.resolve_job_def("export_days")
    days = {"dagster/asset_partition_range_start": "2026-09-30", "dagster/asset_partition_range_end": "2026-10-02"}
    assert job.execute_in_process(tags=days).success
    assert path.read_bytes() == tsv
    path.unlink()
    assert job.execute_in_process(partition_key="2026-10-01").success
    assert path.read_bytes() == tsv
