"""A look-up that users edit: a mistake in the CSV file is reported with its file and line, before dbt loads it."""

import shutil
from pathlib import Path

import pytest

from orchestration.errors import BlockedError, ExitCode
from orchestration.transform.lookups import SEEDS, refuse_unreadable_lookups

HEADER = "channel_id,line_number,channel_name,platform\n"
WHOLE = {
    "as it is": HEADER + "1,551140028922,Loja,whatsapp\n",
    "only the header": HEADER,
    "byte order mark": "\ufeff" + HEADER + "1,551140028922,Loja,whatsapp\n",
    "Windows line ends": (HEADER + "1,551140028922,Loja,whatsapp\n").replace("\n", "\r\n"),
    "blank lines": HEADER + "\n1,551140028922,Loja,whatsapp\n\n",
    "quotes": HEADER + '1,551140028922,"Loja ""A"",\ncentro",whatsapp\n',
    "another order, and a column of the user's own": "owner,platform,channel_id,channel_name,line_number\nme,whatsapp,1,Loja,55114\n",
}
MISTAKES = {
    "too few values": (HEADER + "1,5511,Loja,whatsapp\n2,5512,Praia\n", "line 3: 3 values, but line 1 has 4 columns."),
    "a comma too many": (HEADER + "1,5511,Loja, centro,whatsapp\n", "line 2: 5 values, but line 1 has 4 columns."),
    "after a value of two lines": (HEADER + '1,5511,"a\nb",whatsapp\n2\n', "line 4: 1 values, but"),
    "quotation mark left open": (HEADER + '1,5511,"Loja,whatsapp\n2,5512,Praia,whatsapp\n', "line 2: a quotation mark is not closed"),
    "text after a quotation mark": (HEADER + '1,5511,"Loja" 2,whatsapp\n', "line 2: a quotation mark is not closed, or text follows one."),
    "quotation mark left open in the header": ('"' + HEADER, "line 1: a quotation mark is not closed"),
    "a column missing": ("channel_id,line_number,channel_name\n1,5511,Loja\n", "line 1: it must list the columns platform, too."),
    "semicolons": (HEADER.replace(",", ";") + "1;5511;Loja;whatsapp\n", "line 1: the values are separated by semicolons."),
    "tabs": (HEADER.replace(",", "\t"), "line 1: the values are separated by tabs."),
    "empty file": ("", "line 1: it must list the columns channel_id, line_number, channel_name, platform, too."),
}


@pytest.fixture
def lookups(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SEEDS, tmp_path / "seeds"))


def test_bundled_lookups_can_be_read() -> None:
    refuse_unreadable_lookups()


@pytest.mark.parametrize("text", WHOLE.values(), ids=WHOLE)
def test_usual_csv_files_are_accepted(lookups: Path, text: str) -> None:
    (lookups / "channels.csv").write_bytes(text.encode())
    refuse_unreadable_lookups(lookups)


@pytest.mark.parametrize(("text", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistake_is_reported_with_file_and_line(lookups: Path, text: str, message: str) -> None:
    (lookups / "channels.csv").write_bytes(text.encode())
    with pytest.raises(BlockedError) as raised:
        refuse_unreadable_lookups(lookups)
    assert f"{lookups / 'channels.csv'}, {message}" in str(raised.value)
    assert raised.value.exit_code == ExitCode.BLOCKED


def test_file_in_another_encoding_is_reported_with_its_line(lookups: Path) -> None:
    (lookups / "channels.csv").write_bytes((HEADER + "1,5511,Loja São Paulo,whatsapp\n").encode("cp1252"))
    with pytest.raises(BlockedError, match=r"channels\.csv, line 2: not UTF-8\. Save the file as `CSV UTF-8`\."):
        refuse_unreadable_lookups(lookups)


def test_missing_file_is_reported_with_its_header(lookups: Path) -> None:
    (lookups / "channels.csv").unlink()
    with pytest.raises(BlockedError, match=r"channels\.csv is missing: .* `channel_id,line_number,channel_name,platform`"):
        refuse_unreadable_lookups(lookups)


def test_mistakes_of_all_lookups_are_reported_together_and_only_the_first_are_listed(lookups: Path) -> None:
    (lookups / "channels.csv").write_text(HEADER + "1\n" * 4)
    (lookups / "markets.csv").write_text("country\nBR\n")
    with pytest.raises(BlockedError) as raised:
        refuse_unreadable_lookups(lookups)
    assert str(raised.value).count(".csv") == 5
    assert "more" not in str(raised.value)
    (lookups / "starting_causes.csv").unlink()
    with pytest.raises(BlockedError) as raised:
        refuse_unreadable_lookups(lookups)
    assert str(raised.value).count(".csv") == 5
    assert str(raised.value).endswith("… and 1 more.")
