"""Tests that the lineage picture of the docs matches the asset graph."""

from itertools import pairwise
from xml.etree import ElementTree

from tests.lineage import PICTURE, Group, lineage, picture


def test_picture_of_the_docs_is_up_to_date() -> None:
    assert PICTURE.read_text(encoding="utf-8") == picture(), "run `make lineage`"


def test_picture_shows_every_stage_and_its_connections() -> None:
    groups, arrows = lineage()
    assert {group.column for group in groups} == {
        *("landing zone", "raw", "staging", "intermediate", "facts", "daily marts", "published", "for people")
    }
    way = [("landing zone", "sends/"), ("raw", "sends"), ("staging", "send_log"), ("intermediate", "logs"), ("facts", "fct_notifications")]
    way += [("published", "DuckDB file, Parquet"), ("for people", "daily TSVs")]
    steps = [Group(*step) for step in way]
    assert set(pairwise(steps)) <= arrows
    texts = [element.text for element in ElementTree.fromstring(picture()).iter("{http://www.w3.org/2000/svg}text")]
    assert {group.name for group in groups} <= set(texts)
