"""Tests of the comparison of templates over a published report: counted sends and people, texts and picture, command and job."""

import re
from base64 import b64decode
from dataclasses import replace
from datetime import date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from dagster import DagsterInstance

from orchestration.analysis import counts
from orchestration.analysis.counts import TemplateQuestion, compare_published
from orchestration.analysis.picture import MAX_ROWS, _Scale, draw
from orchestration.analysis.templates import Cell, FunnelCounts, compare_templates
from orchestration.analysis.words import as_markdown, as_text, tables
from orchestration.cli.main import main
from orchestration.errors import StartsError
from orchestration.publication.publish import publish
from orchestration.publication.published import open_published
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse
from tests.marts import Warehouse, settings_of, start
from tests.pipeline import query

if find_spec("statsmodels") is None:
    pytest.skip("need statsmodels (.venv/bin/uv sync --inexact --extra stats)", allow_module_level=True)

# This is a Monday.
DAY = date(2026, 10, 5)
NOON = datetime(2026, 10, 5, 12)
WEBHOOKS_UNTIL, BOTMAKER_UNTIL = NOON + timedelta(hours=100), NOON + timedelta(hours=10)
NUMBER = "promo 5511987654321"


def sent(number: int, person: str, template: str, hours: float = 0, reply_hours: float | None = None, **fields: Any) -> dict[str, Any]:
    at = NOON + timedelta(hours=hours)
    reply = None if reply_hours is None else at + timedelta(hours=reply_hours)
    return start(number, DAY, person_id=person, template_name=template, sent_at=at, first_reply_at=reply, **fields)


ROWS = [
    # The first send to a person decides for the template: this one got no reply, the second one did.
    sent(1, "ana", "a"),
    sent(2, "ana", "a", 20, 1, is_read=True),
    # Late replies.
    sent(3, "bea", "a", 0, 24),
    sent(4, "caio", "a", 0, 24.5),
    # A send that is exactly 24 h old is not older than that, and a reply to a younger send does not count.
    sent(5, "davi", "a", 76, 0.5),
    sent(6, "eva", "a", 99, 0.5),
    sent(7, "fabio", "a", is_sent=False, is_delivered=False, is_not_sent=True, last_status="not_sent"),
    sent(8, "gil", "a", is_sent=False, is_delivered=False, last_status="pending"),
    sent(9, "ana", "b", 1, 2, channel_id="2"),
    sent(10, "hugo", "b", -13, 0, source="botmaker"),
    sent(11, "iris", "b", -14, 0, source="botmaker"),
    sent(12, "joao", "b", -15, 0, source="botmaker", is_in_report=False),
    sent(13, "kai", "b", 0, 1, user_type="returning", notification_name="october"),
    sent(14, "leo", NUMBER, 0, 1),
    # No send started this session.
    sent(15, "mia", "a", 0, 1, message_id=None),
]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return published(settings_of(tmp_path_factory.mktemp("site")), WEBHOOKS_UNTIL)


def published(settings: Settings, webhooks_until: datetime) -> Settings:
    build = Warehouse(settings).build({DAY: ROWS})
    with open_warehouse(settings) as connection:
        connection.execute("insert into intermediate.int_newest_events values ('sends', timestamp '2030-01-01')")
        connection.execute(
            "insert into intermediate.int_newest_events values ('webhooks', $at), ('webhooks', '2000-01-01')", {"at": webhooks_until}
        )
        connection.execute("insert into intermediate.int_newest_events values ('botmaker', $at)", {"at": BOTMAKER_UNTIL})
        publish(connection, settings, build)
    return settings


def funnels(settings: Settings, **question: Any) -> dict[str, tuple[int, ...]]:
    found = compare_published(settings, TemplateQuestion(**question)).funnels
    return {one.counts.name: tuple(vars(one.counts).values())[1:] for one in found}


def people(settings: Settings, **question: Any) -> dict[str, tuple[int, int]]:
    found = compare_published(settings, TemplateQuestion(**question))
    rates = {found.baseline: found.baseline_rate} | {one.name: one.rate for one in found.comparisons}
    return {name: (rate.count, rate.of) for name, rate in rates.items()}


def test_funnel_counts_sends_and_its_rates_only_mature_ones(settings: Settings) -> None:
    # Sends, not sent, sent, mature, delivered, read, replied within the window.
    assert funnels(settings) == {"a": (8, 1, 6, 4, 4, 1, 2), "b": (4, 0, 4, 2, 2, 0, 2), NUMBER: (1, 0, 1, 1, 1, 0, 1)}
    assert funnels(settings, window="1h")["a"] == (8, 1, 6, 5, 5, 1, 2)
    assert funnels(settings, window="72h")["a"] == (8, 1, 6, 4, 4, 1, 3)
    assert funnels(settings, by="notification", window="1h") == {"october": (1, 0, 1, 1, 1, 0, 1)}


def test_people_count_once_by_their_first_mature_send(settings: Settings) -> None:
    # Botmaker's newest event is 24 h after one send and 23 h after another.
    assert people(settings) == {"a": (1, 3), "b": (2, 2), NUMBER: (1, 1)}
    assert people(settings, window="72h")["a"] == (2, 3)
    assert people(settings, window="1h") == {"a": (1, 4), "b": (3, 4), NUMBER: (1, 1)}
    assert people(settings, outcome="delivered")["a"] == (3, 3)
    assert people(settings, outcome="read", period_from="2026-10-05")["a"] == (0, 3)


def test_strata_are_line_user_type_and_week(settings: Settings) -> None:
    with open_published(settings) as connection:
        cells = counts._counted(connection, TemplateQuestion(window="1h")).cells
    strata: set[Any] = {cell.stratum for cell in cells if cell.name == "b"}
    days = {(line, user_type, str(week)[:10]) for line, user_type, week in strata}
    assert days == {("1", "new", "2026-10-05"), ("1", "returning", "2026-10-05"), ("2", "new", "2026-10-05")}


def test_windows_are_hours() -> None:
    assert {window.value: window.hours for window in counts.Window} == {"1h": 1, "24h": 24, "72h": 72, "7d": 7 * 24}


def test_filters_select_the_sends(settings: Settings) -> None:
    assert people(settings, lines=["2"]) == {"b": (1, 1)}
    assert people(settings, user_types=["returning"]) == {"b": (1, 1)}
    assert people(settings, templates=["a"]) == {"a": (1, 3)}
    with pytest.raises(StartsError, match="No send with a template name that passes the filters went out more than 7d ago"):
        people(settings, window="7d")
    with pytest.raises(StartsError, match="There is no line '9'"):
        people(settings, lines=["9"])
    with pytest.raises(StartsError, match=r"There is no template 'c' .* Known: a, b\.$"):
        people(settings, baseline="c")
    assert compare_published(settings, TemplateQuestion(baseline="b")).baseline == "b"


def test_clock_that_is_ahead_does_not_make_sends_mature(tmp_path: Path) -> None:
    settings = published(settings_of(tmp_path), datetime(2900, 1, 1))
    (info,) = query(settings.published_database, "select * from publish_info")
    assert info["newest_webhook_event_at"] == info["published_at"] > info["newest_botmaker_event_at"] == BOTMAKER_UNTIL


def test_report_without_webhooks_has_no_mature_send(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    build = Warehouse(settings).build({DAY: [sent(1, "ana", "a")]})
    with open_warehouse(settings) as connection:
        connection.execute("insert into intermediate.int_newest_events values ('sends', timestamp '2030-01-01')")
        publish(connection, settings, build)
    with pytest.raises(StartsError, match="No send"):
        people(settings)


def test_missing_library_is_reported(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "find_spec", lambda _: None)
    with pytest.raises(StartsError, match="--extra stats"):
        people(settings)


def answer(names: list[str]) -> Any:
    cells = [Cell(name, 1, 300, 30 if n == 0 else 90) for n, name in enumerate(names)]
    return compare_templates([FunnelCounts(name, 300, 0, 300 - n, 300, 300, 200, 30) for n, name in enumerate(names)], cells)


def test_picture_is_valid_and_escapes_every_name() -> None:
    names = ["base", "<script>alert(1)</script>", "bell\x07 & \ud83d", "a name that goes on for longer than there is room"]
    svg = draw(answer(names), "read")
    root = ElementTree.fromstring(svg.encode())
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"base", "<script>alert(1)</script>", "bell  &  "} < set(texts)
    assert any(text and text.startswith("a name that goes on") and text.endswith("…") for text in texts)
    # An interval and a point for each rate, and two of each for each difference.
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 4 + 2 * 3
    assert "+20.0  better" in texts
    many = ElementTree.fromstring(draw(answer([f"t{n}" for n in range(100)]), "read"))
    assert len(list(many.iter("{http://www.w3.org/2000/svg}circle"))) == MAX_ROWS + 2 * (MAX_ROWS - 1)


def test_positions_in_the_picture_follow_the_numbers() -> None:
    root = ElementTree.fromstring(draw(answer(["base", "other"]), "read"))
    base, other, crude, stratified = (float(one.attrib["cx"]) for one in root.iter("{http://www.w3.org/2000/svg}circle"))
    zero = float(next(line for line in root.iter("{http://www.w3.org/2000/svg}line")).attrib["x1"])
    assert base < other
    assert zero < crude == stratified
    assert [one.attrib["fill"] for one in root.iter("{http://www.w3.org/2000/svg}circle")][2:] == ["#0b7a4b", "#9aa5b1"]


def test_picture_without_a_common_stratum_has_no_stratified_interval() -> None:
    funnels = [FunnelCounts(name, 300, 0, 300, 300, 300, 200, 30) for name in ("base", "other")]
    found = compare_templates(funnels, [Cell("base", "old", 300, 30), Cell("other", "new", 300, 90)])
    svg = draw(found, "read")
    assert svg.count("<circle") == 3
    assert "nan" not in svg
    *_, row = as_text(tables(found, TemplateQuestion())[1])
    assert re.search(r"\) +< 0\.001 +- +1\.000 +no verdict: never sent on the same line", row)


@pytest.mark.parametrize(("low", "high"), [(0.3, 0.302), (0.3, 0.31), (0.0, 1.0)])
def test_labels_of_an_axis_differ(low: float, high: float) -> None:
    labels = [text.partition(">")[2].partition("<")[0] for text in _Scale([low, high], 0).axis(0)]
    assert len(set(labels)) == len(labels) >= 2


@pytest.mark.parametrize(("p", "shown"), [(0.0009, "< 0.001"), (0.001, "0.001"), (0.0049, "0.005"), (1.0, "1.000")])
def test_p_value_has_three_decimals(p: float, shown: str) -> None:
    found = answer(["base", "other"])
    changed = replace(found, comparisons=[replace(found.comparisons[0], p=p)])
    *_, row = as_text(tables(changed, TemplateQuestion())[1])
    assert f")  {shown} " in row


@pytest.mark.parametrize(
    ("people", "said"),
    [((1500, 0), "1,500 for this one"), ((0, 7), "7 for the baseline"), ((8, 7), "8 for this one and 7 for the baseline")],
)
def test_missing_people_are_given_for_each_side(people: tuple[int, int], said: str) -> None:
    found = answer(["base", "other"])
    changed = replace(found, comparisons=[replace(found.comparisons[0], additional_people=people)])
    *_, row = as_text(tables(changed, TemplateQuestion())[1])
    assert row.endswith(f"; missing people: {said}")


def test_template_without_mature_sends_has_no_rates_in_the_table() -> None:
    found = compare_templates([FunnelCounts("a", 10, 1, 9, 8, 7, 6, 5), FunnelCounts("b", 3, 0, 3, 0, 0, 0, 0)], [Cell("a", 1, 8, 5)])
    *_, row = as_text(tables(found, TemplateQuestion())[0])
    assert re.fullmatch(r"  b +3 +0 +3 +0 +- +- +-", row)


def test_text_is_aligned_and_markdown_is_escaped() -> None:
    funnels, differences = tables(answer(["base", "a|b\n*c*"]), TemplateQuestion(outcome="read"))
    header, *rows = list(as_text(differences))[1:]
    (*_, first) = (row for row in as_text(funnels) if row.startswith("  base"))
    assert re.search(r"^  base +300 +0 +300 +300 +100\.0% \([^)]*\) +66\.7% \([^)]*\) +10\.0% ", first)
    assert rows[0].startswith("  a|b *c*   300")
    assert header.index("people") == rows[0].index("300")
    assert "+20.0 (" in rows[0]
    assert rows[0].endswith("better")
    assert "| a\\|b \\*c\\* | 300 |" in "\n".join(as_markdown(differences))
    assert all(line.count(" | ") == len(funnels.header) - 1 for line in list(as_markdown(funnels))[3:])


def test_single_template_has_nothing_to_compare_with() -> None:
    alone = answer(["*base*"])
    funnels, differences = tables(alone, TemplateQuestion(by="notification"))
    assert len(funnels.rows) == 1
    assert list(as_text(differences)) == ["Nothing to compare: *base* is the only notification with a send that is old enough"]
    assert list(as_markdown(differences)) == ["Nothing to compare: \\*base\\* is the only notification with a send that is old enough\n"]
    ElementTree.fromstring(draw(alone, "read"))


def test_command_prints_tables_and_draws_the_picture(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STARTS_DATA", str(settings.data))
    picture = tmp_path / "picture.svg"
    assert main(["compare-templates", "--window", "72h", "--baseline", "b", "--picture", str(picture)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^  a +8 +1 +6 +4 +100\.0%", out, re.MULTILINE)
    assert "Rate: replied within 72h. Difference to b," in out
    ElementTree.parse(picture)
    for arguments, said in (
        (["--outcome", "opened"], "--outcome: 'opened' is not one of delivered, read, replied"),
        (["--from", "2026-10-09", "--to", "2026-10-01"], "the period ends"),
        (["--baseline", "c"], "There is no template 'c'"),
        (["--picture", str(tmp_path / "nowhere" / "p.svg")], "There is no folder"),
    ):
        assert main(["compare-templates", *arguments]) == 2
        assert said in capsys.readouterr().err


def test_job_stores_a_picture_and_no_personal_number(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestration.definitions import defs

    monkeypatch.setenv("STARTS_DATA", str(settings.data))
    job = defs.resolve_job_def("compare_templates")
    assert {key.to_user_string() for key in job.asset_layer.selected_asset_keys} == {"template_comparison"}
    result = job.execute_in_process(
        instance=DagsterInstance.ephemeral(), run_config={"ops": {"template_comparison": {"config": {"window": "72h"}}}}
    )
    (materialization,) = result.asset_materializations_for_node("template_comparison")
    metadata = materialization.metadata
    picture = re.fullmatch(r"!\[[^]]*\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", str(metadata["picture"].value))
    assert picture is not None
    svg = b64decode(picture[1]).decode()
    ElementTree.fromstring(svg)
    for text in (svg, str(metadata["funnels"].value), str(metadata["differences"].value)):
        assert "5511987654321" not in text
        assert "hidden" in text
    assert metadata["compared"].value == 2
    nightly = {key.to_user_string() for key in defs.resolve_job_def("conversation_starts").asset_layer.selected_asset_keys}
    assert "template_comparison" not in nightly
