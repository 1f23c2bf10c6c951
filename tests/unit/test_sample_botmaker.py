"""Tests of the bundled Botmaker pages: their generator gives the same bytes, and they contain every kind of start."""

from collections import Counter
from pathlib import Path

from orchestration.settings import PROJECT_ROOT
from tests import reference
from tests.data.generate_botmaker import generate

SAMPLE = PROJECT_ROOT / "seeds" / "sample_botmaker"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_pages_match_their_generator(tmp_path: Path) -> None:
    generate(tmp_path)
    assert contents(tmp_path) == contents(SAMPLE)


def test_pages_are_small() -> None:
    assert sum(len(content) for content in contents(SAMPLE).values()) < 300_000


def test_pages_contain_every_kind_of_start() -> None:
    expected = reference.compute(SAMPLE)
    starts = expected.session_starts
    assert expected.rejected == []
    assert 550 < len(starts) < 650
    assert len({row["session_start_date"] for row in starts}) == 20
    assert {row["line_number"] for row in starts} == {"551140027701", "541152780155"}
    assert Counter(row["origin"] for row in starts).keys() == {
        *("mass_notification", "whatsapp_template", "referred_campaign", "organic", "other")
    }
    assert {row["last_status"] for row in starts} == {None, "not_sent", "sent", "delivered", "read", "replied"}
    assert len({row["notification_name"] for row in starts} - {None}) == 6
    assert len({row["template_name"] for row in starts} - {None}) == 14
    assert {row["failure_group"] for row in starts} >= {None, "recipient", "meta_limit", "opt_out", "quality", "billing", "unknown"}
    assert {row["user_type"] for row in starts} == {"new", "returning"}
    # Templates in sessions that were already open, and testers.
    assert any(not row["is_session_start"] for row in expected.notifications)
    assert len(reference.compute(SAMPLE, include_testers=True).session_starts) > len(starts)
    # Windows overlap: most sessions appear twice.
    assert sum(records for records, *_ in expected.ledger.values()) > 2 * len(starts)
