"""Tests of the reference: results do not depend on the spelling of contacts or on how files arrive."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import reference
from tests.metamorphic import Lines, hostile_zone, permuted, respelled, with_user_ids, write_zone
from tests.pipeline import comparable

SHARES = (0.3, 1.0)


def computed(folder: Path, zone: Lines, rnd: random.Random | None = None) -> reference.Expected:
    write_zone(folder, zone, rnd)
    return reference.compute(folder)


def but_contacts(rows: list[dict[str, Any]]) -> list[Any]:
    return comparable([{name: value for name, value in row.items() if name != "contact_id"} for row in rows])


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("change", [respelled, with_user_ids])
def test_other_identifiers_of_the_same_people_change_only_the_contact_id(
    tmp_path: Path, change: Callable[[Lines, random.Random, float], Lines], share: float, seed: int
) -> None:
    zone = hostile_zone(seed, copies_differ=False)
    changed = change(zone, random.Random(seed), share)
    assert sum(line not in zone["sends"] for line in changed["sends"]) > 20
    one, other = computed(tmp_path / "one", zone), computed(tmp_path / "other", changed)
    assert but_contacts(other.session_starts) == but_contacts(one.session_starts)
    assert but_contacts(other.notifications) == but_contacts(one.notifications)
    assert comparable(other.session_starts) != comparable(one.session_starts)


@pytest.mark.parametrize("seed", range(5))
def test_order_repetition_and_form_of_files_change_nothing(tmp_path: Path, seed: int) -> None:
    zone, rnd = hostile_zone(seed, copies_differ=True), random.Random(seed)
    one, other = computed(tmp_path / "one", zone), computed(tmp_path / "other", permuted(zone, rnd), rnd)
    assert comparable(other.session_starts) == comparable(one.session_starts)
    assert comparable(other.notifications) == comparable(one.notifications)
    assert reference.tsv_rows(other.session_starts) == reference.tsv_rows(one.session_starts)
