"""Tests that the marts are the same, except `contact_id`, whatever the spelling of contacts and the arrival of files."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from orchestration.transform.builds import MARTS
from tests.metamorphic import Lines, hostile_zone, permuted, respelled, with_user_ids, write_zone
from tests.pipeline import Pipeline, comparable


def marts_of(run: Pipeline, zone: Lines, rnd: random.Random | None = None) -> dict[str, list[Any]]:
    """Run the job on a zone and return the rows of the marts without contacts."""
    write_zone(run.landing, zone, rnd)
    assert run.run().success
    rows = {mart: run.rows(mart) for mart in MARTS}
    # The statuses of a message that is not a known send refer to many people here, and the smallest of them counts.
    rows["fct_billed_messages"] = [row for row in rows["fct_billed_messages"] if row["message_id"] != "wamid.elsewhere"]
    # The market depends on the number in the statuses, and some of these people have numbers of several countries.
    return {mart: comparable([{**row, "contact_id": None, "market": None} for row in rows[mart]]) for mart in MARTS}


@pytest.mark.parametrize("seed", [1])
@pytest.mark.thorough
def test_other_identifiers_of_the_same_people_change_only_the_contact_id(pipeline: Callable[..., Pipeline], seed: int) -> None:
    zone, rnd = hostile_zone(seed, copies_differ=False), random.Random(seed)
    changed = permuted(with_user_ids(respelled(zone, rnd, 0.5), rnd, 0.3), rnd)
    plain, other = (
        marts_of(pipeline(name, STARTS_MAX_REJECTED_SHARE="1"), lines, chance)
        for name, lines, chance in (("plain", zone, None), ("changed", changed, rnd))
    )
    for mart in MARTS:
        assert other[mart] == plain[mart], mart
