"""What the environment and `.env` may say: checked before anything is opened, told in a sentence."""

import pytest

from orchestration.settings import Settings, SettingsError


@pytest.mark.parametrize("name", ["America/SaoPaulo", "BRT", "America", "../etc/passwd", "América/São_Paulo"])
def test_a_name_of_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=r"STARTS_REPORT_TIMEZONE is .* which is no time zone"):
        Settings.from_environment({"STARTS_REPORT_TIMEZONE": name})
