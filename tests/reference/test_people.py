"""Tests of the reference: identifiers, people and lines, with results derived by hand."""

import pytest

from tests.reference.contract import identifier
from tests.reference.people import Lines, People, compared


@pytest.mark.parametrize(
    ("given", "shown", "as_compared"),
    [
        ("551187650001", "551187650001", "5511987650001"),
        ("5511987650001", "5511987650001", "5511987650001"),
        ("+55 (11) 98765-0001", "5511987650001", "5511987650001"),
        ("551162345678", "551162345678", "5511962345678"),
        ("551152345678", "551152345678", "551152345678"),
        ("551130000002", "551130000002", "551130000002"),
        ("541123450001", "541123450001", "5491123450001"),
        ("5491123450001", "5491123450001", "5491123450001"),
        ("54112345000", "54112345000", "54112345000"),
        ("5215512340001", "5215512340001", "525512340001"),
        ("525512340001", "525512340001", "525512340001"),
        ("52155123400", "52155123400", "52155123400"),
        ("551187650001@s.whatsapp.net", "551187650001", "5511987650001"),
        ("551187650001:12@S.WhatsApp.net", "551187650001", "5511987650001"),
        ("551187650001@C.US", "551187650001", "5511987650001"),
        ("WhatsApp:+55 11 8765-0001", "551187650001", "5511987650001"),
        ("120363000000000000@g.us", "120363000000000000@g.us", "120363000000000000@g.us"),
        ("US.13491208655302741918", "US.13491208655302741918", "US.13491208655302741918"),
        ("US.551187650001", "US.551187650001", "US.551187650001"),
        ("@c.us", "@c.us", "@c.us"),
        ("+", "+", "+"),
        ("+551187650001\n", "+551187650001\n", "+551187650001\n"),
    ],
)
def test_identifier_is_shown_and_compared_as_expected(given: str, shown: str, as_compared: str) -> None:
    assert (identifier(given), compared(given), compared(compared(given))) == (shown, as_compared, as_compared)


def test_connected_identifiers_are_one_person() -> None:
    people = People()
    people.link("551187650001", "BR.1")
    people.link("BR.2", "BR.1", None)
    people.link("BR.2", "web-1")
    people.link("5511987650001")
    assert {people.person(given) for given in ("+55 11 98765-0001", "BR.1", "BR.2", "web-1")} == {"5511987650001"}
    assert people.person("5511987650002") == "5511987650002"


@pytest.mark.parametrize(
    ("identifiers", "person_id"),
    [
        (("10", "9", "US.1"), "10"),
        (("web-1", "US.2", "US.10"), "US.10"),
        (("web-2", "web-10"), "web-10"),
        (("Z", "usa.1"), "Z"),
        (("5215512340001", "US.1"), "525512340001"),
    ],
)
def test_person_id_is_the_smallest_identifier(identifiers: tuple[str, ...], person_id: str) -> None:
    people = People()
    people.link(*identifiers)
    assert {people.person(given) for given in identifiers} == {person_id}


def test_more_than_twenty_identifiers_are_not_one_person() -> None:
    people = People()
    for number in range(19):
        people.link("5511987650001", f"BR.{number:02d}")
    # Another spelling does not count as another identifier.
    people.link("551187650001", "BR.00")
    assert {people.person(given) for given in ("BR.00", "BR.18")} == {"5511987650001"}
    assert people.too_connected() == []
    people = People()
    for number in range(20):
        people.link("5511987650001", f"BR.{number:02d}")
    assert [people.person(given) for given in ("BR.00", "551187650001")] == ["BR.00", "5511987650001"]
    assert [len(identifiers) for identifiers in people.too_connected()] == [21]


def lines(*seen: tuple[str | None, str | None]) -> Lines:
    known = Lines()
    for channel_id, number in seen:
        known.see(channel_id, number)
    return known


SEED, SEED_NUMBER, SEED_2, SEED_2_NUMBER = "108234567890101", "551140028922", "108234567890202", "541152780101"


def test_line_in_the_look_up_is_found_by_channel_id_and_number() -> None:
    known = lines(("+55 11 4002-8922", None), ("other", SEED_NUMBER), ("another", "99"), ("other", "99"))
    assert [known.of(channel_id, None) for channel_id in (SEED, "+55 11 4002-8922", "other", "another")] == [SEED] * 4
    assert known.of(None, "99") == SEED
    # Argentine numbers compare equal with and without the 9.
    assert known.of(None, SEED_2_NUMBER) == SEED_2
    assert lines((None, "5491152780101")).of(None, "5491152780101") == SEED_2
    assert known.describe(SEED) == {"channel_id": SEED, "channel_name": "Loja Brasil", "line_number": SEED_NUMBER}


def test_identifier_linked_to_two_listed_lines_belongs_to_the_smaller() -> None:
    known = lines((SEED_2, "99"), ("bridge", "99"), ("bridge", SEED_NUMBER))
    assert [known.of(channel_id, None) for channel_id in (SEED, SEED_2, "bridge")] == [SEED, SEED_2, SEED]
    assert [known.of(None, number) for number in (SEED_NUMBER, SEED_2_NUMBER, "99")] == [SEED, SEED_2, SEED]


@pytest.mark.parametrize(
    ("seen", "channel_id", "line_number"),
    [
        ([("b", None)], "b", None),
        ([("b", "20"), ("a", "20")], "a", "20"),
        ([("b", "20"), ("b", "100")], "b", "100"),
        # A channel id that is the number of the line does not count as a channel id.
        ([("+20 1", None), ("b", "201")], "b", "201"),
        ([("+20 1", None), (None, "201")], "201", "201"),
        # A formatted number in the field for channel ids, and in no number field; digits alone may be an id.
        ([("+20 1", None)], "201", "201"),
        ([("201", None), ("+20 1", None)], "201", "201"),
        ([("201", None)], "201", None),
        # A Brazilian number is shown in the spelling of the record.
        ([("b", "551187650001"), ("a", "5511987650001")], "a", "551187650001"),
    ],
)
def test_unlisted_line_gets_its_channel_id_and_number(
    seen: list[tuple[str | None, str | None]], channel_id: str, line_number: str | None
) -> None:
    known = lines(*seen)
    shown = {known.of(*names) for names in seen}
    assert shown == {channel_id}
    assert known.describe(channel_id) == {"channel_id": channel_id, "channel_name": None, "line_number": line_number}
