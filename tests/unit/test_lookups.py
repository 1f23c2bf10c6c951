"""Tests of the look-ups as files: complete, in three languages, safe to load, and in the documented order."""

import csv
import re
from typing import Any

import duckdb
import pytest
import yaml

from orchestration.settings import PROJECT_ROOT

LOOKUPS = PROJECT_ROOT / "seeds" / "lookups"
LABELS = ("label_en", "label_pt", "label_es")

# Contract, section 4.8.
GROUPS = {"recipient", "meta_limit", "opt_out", "quality", "template", "rate", "billing", "account", "technical", "unknown"}
ACTIONS = {"retry", "wait_24h", "never", "fix_template", "fix_account", "none"}

# The action must fit the kind of problem: `never` after an opt-out, `fix_account` for a missing payment method.
ACTIONS_OF_GROUP = {
    "recipient": {"never", "none", "fix_template", "fix_account"},
    "meta_limit": {"wait_24h", "none"},
    "opt_out": {"never"},
    "quality": {"fix_template", "fix_account"},
    "template": {"fix_template", "fix_account", "retry"},
    "rate": {"retry"},
    "billing": {"fix_account"},
    "account": {"fix_account", "retry", "none"},
    "technical": {"retry", "fix_template", "none"},
    "unknown": {"none"},
}

# The codes on Meta's list as of September 2026, by the headings of that page:
# https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes
CODES_OF_META = {
    "authorization": [0, 3, 10, 190, *range(200, 300)],
    "integrity": [368, 130497, 131031],
    "template creation": [2388039, 2388040, 2388047, 2388072, 2388073, 2388293, 2388299],
    "send template": [2388019],
    "phone migration": [2388012, 2388091, 2388093, 2388103, 2494100],
    "template insights": [200005, 200006, 200007],
    "synchronization": [2593107, 2593108],
    "throttling": [4, 80007, 130429, 131048, 131056, 133016, 131064],
    "other": [
        *(1, 2, 33, 100, 130403, 130472, 131000, 131005, 131008, 131009, 131016, 131021, 131026, 131037, 131042, 131045, 131047),
        *(131049, 131050, 131051, 131052, 131053, 131057, 131063, 132000, 132001, 132005, 132007, 132012, 132015, 132016, 132068),
        *(132069, 133000, 133004, 133005, 133006, 133008, 133009, 133010, 133015, 134011, 135000),
    ],
    "marketing messages": [131055, 132018, 134100, 134101, 134102, 1752041],
    # On the list until late 2025.
    "earlier": [2388001, 2593079, 2593085],
    # On other pages of Meta: user ids, maximum price, identity check, call permissions, lists, test numbers, coexistence.
    "other pages": [104, 131030, 131044, 131058, 131059, 131060, 131061, 131062, 132008, 134103, 137000],
    "calls": [138000, 138009, 138013, 138014, 138017],
}


def _rows(name: str) -> list[dict[str, str]]:
    with (LOOKUPS / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def _by_code() -> dict[str, dict[str, str]]:
    return {row["failure_code"]: row for row in _rows("failure_reasons")}


SEEDS: dict[str, dict[str, Any]] = {
    seed["name"]: seed for seed in yaml.safe_load((LOOKUPS / "lookups.yml").read_text(encoding="utf-8"))["seeds"]
}


def _accepted_values(seed: str, column: str) -> set[str]:
    described = next(one for one in SEEDS[seed]["columns"] if one["name"] == column)
    accepted = [test["accepted_values"] for test in described["data_tests"] if "accepted_values" in test]
    return set(accepted[0]["arguments"]["values"])


def test_every_lookup_is_described() -> None:
    assert set(SEEDS) == {path.stem for path in LOOKUPS.glob("*.csv")}


@pytest.mark.parametrize("name", SEEDS)
def test_columns_have_a_description_and_a_type(name: str) -> None:
    header = (LOOKUPS / f"{name}.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    assert [column["name"] for column in SEEDS[name]["columns"]] == header
    assert all(column["description"].strip() for column in SEEDS[name]["columns"])
    assert list(SEEDS[name]["config"]["column_types"]) == header


@pytest.mark.parametrize("name", SEEDS)
def test_cells_are_safe_to_load(name: str) -> None:
    content = (LOOKUPS / f"{name}.csv").read_bytes()
    assert b"\r" not in content
    assert content.endswith(b"\n")
    assert not content.startswith(b"\xef\xbb\xbf")
    for row in _rows(name):
        assert None not in row, f"too many cells: {row}"
        for cell in row.values():
            assert cell is not None, f"too few cells: {row}"
            # Some dbt adapters put a cell between quotation marks without escaping it, and dbt reads `null` as no value.
            assert not re.search(r"""['’‘`´"\\]""", cell), cell
            assert cell == " ".join(cell.split()), cell
            assert cell.lower() != "null", row


def test_failure_codes_are_sorted_by_number_and_unique() -> None:
    *codes, last = [row["failure_code"] for row in _rows("failure_reasons")]
    assert last == "unknown"
    assert codes == [str(number) for number in sorted({int(code) for code in codes})]


@pytest.mark.parametrize(("name", "column"), [("inbound_message_types", "message_type"), ("starting_causes", "starting_cause")])
def test_keys_are_sorted_and_unique_whatever_their_case(name: str, column: str) -> None:
    keys = [row[column] for row in _rows(name)]
    assert keys == sorted(keys, key=str.lower)
    assert len({key.lower() for key in keys}) == len(keys)


@pytest.mark.parametrize("heading", CODES_OF_META)
def test_every_code_of_meta_is_listed(heading: str) -> None:
    assert {str(code) for code in CODES_OF_META[heading]} - set(_by_code()) == set()


def test_every_listed_code_has_a_source() -> None:
    sourced = {str(code) for codes in CODES_OF_META.values() for code in codes}
    assert set(_by_code()) - sourced == {"unknown"}


def test_groups_and_actions_are_those_of_the_contract() -> None:
    assert _accepted_values("failure_reasons", "failure_group") == GROUPS
    assert _accepted_values("failure_reasons", "failure_action") == ACTIONS
    rows = _rows("failure_reasons")
    assert {row["failure_group"] for row in rows} == GROUPS
    assert {row["failure_action"] for row in rows} == ACTIONS


@pytest.mark.parametrize(("column", "values"), [("failure_group", GROUPS), ("failure_action", ACTIONS)])
def test_groups_and_actions_are_documented(column: str, values: set[str]) -> None:
    described = next(one for one in SEEDS["failure_reasons"]["columns"] if one["name"] == column)
    assert {value for value in values if f"`{value}`: " in described["description"]} == values


def test_every_action_fits_its_group() -> None:
    found: dict[str, set[str]] = {}
    for row in _rows("failure_reasons"):
        found.setdefault(row["failure_group"], set()).add(row["failure_action"])
    assert found == ACTIONS_OF_GROUP


@pytest.mark.parametrize(
    ("code", "group", "action"),
    [
        ("131049", "meta_limit", "wait_24h"),  # A retry before then also fails and harms the account.
        ("131050", "opt_out", "never"),
        ("130403", "recipient", "never"),
        ("131026", "recipient", "never"),
        ("131056", "rate", "retry"),
        ("131000", "technical", "retry"),
        ("131042", "billing", "fix_account"),
        ("132015", "quality", "fix_template"),
        ("134101", "template", "retry"),
        ("unknown", "unknown", "none"),
    ],
)
def test_common_codes_have_the_group_and_action_of_metas_documentation(code: str, group: str, action: str) -> None:
    row = _by_code()[code]
    assert (row["failure_group"], row["failure_action"]) == (group, action)


# All codes but those for which the account must be fixed, as Meta's page describes each.
CODES_BY_MEANING = {
    ("account", "none"): {138013, 200005, 200006, 1752041},
    ("account", "retry"): {133015},
    ("billing", "fix_account"): {131042, 131044},
    ("meta_limit", "none"): {130472},
    ("meta_limit", "wait_24h"): {131049, 138009},
    ("opt_out", "never"): {131050},
    ("quality", "fix_account"): {368, 131048, 138014},
    ("quality", "fix_template"): {131064, 132015, 132016},
    ("rate", "retry"): {4, 80007, 130429, 131056, 133008, 133009, 133016},
    ("recipient", "fix_account"): {131030},
    ("recipient", "fix_template"): {131047},
    ("recipient", "never"): {130403, 131021, 131026, 137000},
    ("recipient", "none"): {131052, 138017},
    ("technical", "fix_template"): {100, 131008, 131009, 131051, 131053, 135000},
    ("technical", "none"): {131060},
    ("technical", "retry"): {1, 2, 131000, 131016, 131057, 131059, 133004, 2494100},
    ("template", "fix_account"): {134102},
    ("template", "fix_template"): {
        *(131055, 131058, 131061, 131062, 132000, 132001, 132005, 132007, 132008, 132012, 132018, 132068, 132069, 134100, 134103),
        *(2388019, 2388040, 2388047, 2388072, 2388073, 2388293, 2388299),
    },
    ("template", "retry"): {134101, 2388039},
}


def test_every_code_has_the_group_and_action_that_its_description_suggests() -> None:
    found: dict[tuple[str, str], set[int]] = {}
    for code, row in _by_code().items():
        if code != "unknown":
            found.setdefault((row["failure_group"], row["failure_action"]), set()).add(int(code))
    del found["account", "fix_account"]
    assert found == CODES_BY_MEANING


def test_labels_are_short_texts_in_three_languages() -> None:
    for row in _rows("failure_reasons"):
        texts = [row[label] for label in LABELS]
        assert len(set(texts)) == len(LABELS), row
        for text in texts:
            assert 10 <= len(text) <= 80, text
            assert text[0].isupper(), text
            assert text[-1] not in ".!:;,", text
            assert row["failure_code"] not in text.split(), row


def test_rows_with_the_same_label_have_the_same_meaning() -> None:
    for label in LABELS:
        meanings: dict[str, set[tuple[str, ...]]] = {}
        for row in _rows("failure_reasons"):
            meanings.setdefault(row[label], set()).add(tuple(row[column] for column in ("failure_group", "failure_action", *LABELS)))
        assert {text: found for text, found in meanings.items() if len(found) > 1} == {}


def test_inbound_message_types_count_as_activity_and_answer_as_in_the_contract() -> None:
    # Contract, section 4.3.
    found = {row["message_type"]: (row["activity"], row["answer"]) for row in _rows("inbound_message_types")}
    assert {kind: use for kind, use in found.items() if use != ("always", "always")} == {
        "edit": ("never", "never"),
        "reaction": ("with_emoji", "with_emoji"),
        "request_welcome": ("with_referral", "never"),
        "revoke": ("never", "never"),
        "system": ("never", "never"),
    }
    assert set(found) >= {
        *(
            "audio",
            "button",
            "contacts",
            "document",
            "image",
            "interactive",
            "location",
            "order",
            "sticker",
            "text",
            "unsupported",
            "video",
        ),
    }
    for column in ("activity", "answer"):
        assert _accepted_values("inbound_message_types", column) == {"always", "never", "with_referral", "with_emoji"}


@pytest.mark.parametrize(
    ("activity", "answer", "is_accepted"),
    [
        ("always", "always", True),
        ("always", "with_emoji", True),
        ("with_referral", "never", True),
        ("with_emoji", "with_emoji", True),
        ("never", "always", False),
        ("with_referral", "always", False),
        ("with_referral", "with_emoji", False),
    ],
)
def test_message_type_that_is_an_answer_must_be_an_activity(activity: str, answer: str, is_accepted: bool) -> None:
    (check,) = (test["accepted_values"]["arguments"] for test in SEEDS["inbound_message_types"]["data_tests"])
    (found,) = duckdb.execute(f"select {check['column_name']} from (select ? as activity, ? as answer)", [activity, answer]).fetchall()
    assert (found[0] in (None, *check["values"])) == is_accepted


def test_stages_of_the_funnel_are_in_the_order_in_which_a_send_reaches_them() -> None:
    assert [(row["stage_order"], row["stage"]) for row in _rows("funnel_stages")] == [
        *(("1", "sent"), ("2", "delivered"), ("3", "read"), ("4", "replied")),
    ]


def test_starting_causes_map_to_the_origins_of_the_contract() -> None:
    # Contract, section 4.4: the first four are in the report, and every origin has a cause.
    causes = {row["starting_cause"]: row["origin"] for row in _rows("starting_causes")}
    assert causes == {
        "MassNotification": "mass_notification",
        "Organic": "organic",
        "Other": "other",
        "Referral": "referred_campaign",
        "ReferredCampaign": "referred_campaign",
        "ReferredWebchat": "referred_webchat",
        "WhatsAppTemplate": "whatsapp_template",
    }
    assert set(causes.values()) == _accepted_values("starting_causes", "origin")


# Countries of numbers


NUMBERS = {
    # North America shares +1: the area code decides.
    "US": ("12125550100", "18085550100", "19075550100"),
    "CA": ("14165550100", "16045550100", "15145550100"),
    "DO": ("18095550100", "18295550100", "18495550100"),
    "PR": ("17875550100", "19395550100"),
    "JM": ("18765550100", "16585550100"),
    "TT": ("18685550100",),
    "BS": ("12425550100",),
    "RU": ("79161234567", "74951234567"),
    "KZ": ("77011234567", "77172123456"),
    "GB": ("447400123456", "442071234567"),
    "JE": ("441534123456", "447797123456"),
    "GG": ("441481123456", "447781123456"),
    "IM": ("441624123456", "447624123456"),
    "NO": ("4740612345",),
    "SJ": ("4779123456",),
    "AU": ("61412345678",),
    "MA": ("212650123456",),
    "RE": ("262692123456",),
    "YT": ("262639012345",),
    "CW": ("59995181234",),
    "BQ": ("5993181234",),
    "VA": ("390669812345",),
    "IT": ("393123456789",),
    "BR": ("5511987654321", "551140028922"),
    "AR": ("5491152780101",),
    "MX": ("525512345678", "5215512345678"),
    "PY": ("595961456789",),
    "UY": ("59894231234",),
    "IN": ("919876543210",),
    "XK": ("38343123456",),
}


@pytest.mark.parametrize(("country", "numbers"), NUMBERS.items(), ids=NUMBERS)
def test_number_belongs_to_the_expected_country(country: str, numbers: tuple[str, ...]) -> None:
    codes = {row["prefix"]: row["country"] for row in _rows("calling_codes")}
    for number in numbers:
        prefix = max((prefix for prefix in codes if number.startswith(prefix)), key=len)
        assert codes[prefix] == country, number


# The ITU's list of country codes (E.164), each with its country; shared codes with the country that has most numbers.
COUNTRY_CODES = """
    1US 20EG 211SS 212MA 213DZ 216TN 218LY 220GM 221SN 222MR 223ML 224GN 225CI 226BF 227NE 228TG 229BJ 230MU 231LR 232SL 233GH 234NG
    235TD 236CF 237CM 238CV 239ST 240GQ 241GA 242CG 243CD 244AO 245GW 246IO 247AC 248SC 249SD 250RW 251ET 252SO 253DJ 254KE 255TZ
    256UG 257BI 258MZ 260ZM 261MG 262RE 263ZW 264NA 265MW 266LS 267BW 268SZ 269KM 27ZA 290SH 291ER 297AW 298FO 299GL 30GR 31NL 32BE
    33FR 34ES 350GI 351PT 352LU 353IE 354IS 355AL 356MT 357CY 358FI 359BG 36HU 370LT 371LV 372EE 373MD 374AM 375BY 376AD 377MC 378SM
    380UA 381RS 382ME 383XK 385HR 386SI 387BA 389MK 39IT 40RO 41CH 420CZ 421SK 423LI 43AT 44GB 45DK 46SE 47NO 48PL 49DE 500FK 501BZ
    502GT 503SV 504HN 505NI 506CR 507PA 508PM 509HT 51PE 52MX 53CU 54AR 55BR 56CL 57CO 58VE 590GP 591BO 592GY 593EC 594GF 595PY 596MQ
    597SR 598UY 599CW 60MY 61AU 62ID 63PH 64NZ 65SG 66TH 670TL 672NF 673BN 674NR 675PG 676TO 677SB 678VU 679FJ 680PW 681WF 682CK 683NU
    685WS 686KI 687NC 688TV 689PF 690TK 691FM 692MH 7RU 76KZ 77KZ 81JP 82KR 84VN 850KP 852HK 853MO 855KH 856LA 86CN 880BD 886TW 90TR
    91IN 92PK 93AF 94LK 95MM 960MV 961LB 962JO 963SY 964IQ 965KW 966SA 967YE 968OM 970PS 971AE 972IL 973BH 974QA 975BT 976MN 977NP
    98IR 992TJ 993TM 994AZ 995GE 996KG 998UZ
"""


def test_country_codes_are_those_of_the_itu() -> None:
    codes = {row["prefix"]: row["country"] for row in _rows("calling_codes") if len(row["prefix"]) <= 3}
    assert codes == {word[:-2]: word[-2:] for word in COUNTRY_CODES.split()}


# Meta's groups of countries for prices; all other countries are in the group `Other`. A country with its own price keeps its group, which
# applies to cards from before it had one: https://developers.facebook.com/docs/whatsapp/pricing
MARKET_GROUPS = {
    "North America": "CA US",
    "Rest of Africa": "AO BF BI BJ BW CG CI CM DZ EG ER ET GA GH GM GW KE LR LS LY MA MG "
    "ML MR MW MZ NA NE NG RW SD SL SN SO SS SZ TD TG TN TZ UG ZA ZM",
    "Rest of Asia Pacific": "AF AU BD CN HK ID IN JP KH LA LK MN MY NP NZ PG PH PK SG TH TJ TM TW UZ VN",
    "Rest of Central & Eastern Europe": "AL AM AZ BG BY CZ GE GR HR HU LT LV MD MK PL RO RS RU SI SK UA",
    "Rest of Latin America": "AR BO BR CL CO CR DO EC GT HN HT JM MX NI PA PE PR PY SV UY VE",
    "Rest of Middle East": "AE BH IL IQ JO KW LB OM QA SA YE",
    "Rest of Western Europe": "AT BE CH DE DK ES FI FR GB IE IT NL NO PT SE TR",
}


def test_every_country_is_in_the_price_group_of_meta() -> None:
    found: dict[str, list[str]] = {}
    for row in _rows("markets"):
        found.setdefault(row["market_group"], []).append(row["country"])
    del found["Other"]
    assert found == {group: countries.split() for group, countries in MARKET_GROUPS.items()}


def test_calling_codes_and_markets_are_complete_and_sorted() -> None:
    codes, markets = _rows("calling_codes"), _rows("markets")
    prefixes, countries = [row["prefix"] for row in codes], [row["country"] for row in markets]
    assert prefixes == sorted(set(prefixes))
    assert countries == sorted(set(countries))
    assert {row["country"] for row in codes} <= set(countries)
    # Every seven-digit prefix of a country's numbers has an entry: the bill looks at no more digits.
    assert max(map(len, prefixes)) == 7
    assert len(countries) > 240
    # Names of countries and groups are compared by their letters alone, which must therefore differ.
    names = [*{row["market_group"] for row in markets}, *(row["market_name"] for row in markets), *countries]
    assert len({re.sub("[^a-z]", "", name.lower().replace("&", "and")) for name in names}) == len(names)


def test_countries_with_their_own_price_are_found_by_metas_names() -> None:
    names = {row["market_name"] for row in _rows("markets")}
    assert names >= {
        *("Argentina", "Brazil", "Chile", "Colombia", "Egypt", "France", "Germany", "India", "Indonesia", "Israel", "Italy", "Malaysia"),
        *("Mexico", "Netherlands", "Nigeria", "Pakistan", "Peru", "Russia", "Saudi Arabia", "South Africa", "Spain", "Turkey"),
        *("United Arab Emirates", "United Kingdom"),
    }
