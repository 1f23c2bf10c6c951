"""Small landing zones in `tests/data/cases`, each with its expected result: one case for each situation found in practice.

`check_case` compares a run, or the reference, with a case. `merge_cases` writes many cases into one landing zone, each with its own people
and ids.
"""

import gzip
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

CASES_FOLDER = Path(__file__).parent / "data" / "cases"
NOON = datetime(2026, 11, 3, 12)
Columns = dict[str, Any]


class Tables(Protocol):
    """A finished run, or another object that returns the rows of a table."""

    def rows(self, table: str, *, published: bool = True) -> list[Columns]: ...


@dataclass(frozen=True, eq=False)
class OtherThan:
    """Equals every value except one and null."""

    value: str

    def __eq__(self, other: object) -> bool:
        return other is not None and other != self.value


@dataclass(frozen=True)
class Row:
    """Expected columns of one row of the facts: a start has a `start_id`, a notification a `message_id`, a starting one both."""

    start_id: str | None
    message_id: str | None
    columns: Columns


@dataclass(frozen=True)
class Case:
    """The expected result of a landing zone.

    `rows` are all rows of the facts; `persons` is the number of distinct person_ids in them. `rejected` is None if records may be either
    rejected or read. `unread` are the files and folders that a warning must name. `note` explains where the expectation differs from the
    one with which the case was collected.
    """

    name: str
    rows: tuple[Row, ...]
    persons: int = 1
    rejected: int | None = 0
    other_kinds: int = 0
    unread: tuple[str, ...] = ()
    note: str = ""

    @property
    def landing(self) -> Path:
        return CASES_FOLDER / self.name / "landing"


def at(seconds: float) -> datetime:
    """Return the time this many seconds after noon of the day that most cases use."""
    return NOON + timedelta(seconds=seconds)


def pushed(id_: str, last_status: str, **columns: Any) -> Row:
    """Return the row of a template that started a session, or tried to."""
    expected = {"origin": "whatsapp_template", "is_in_report": True, "is_session_start": True, "last_status": last_status}
    return Row(id_, id_, {**expected, "is_replied": last_status == "replied", **columns})


def within(id_: str, last_status: str, **columns: Any) -> Row:
    """Return the row of a template in a session that was already open."""
    return Row(None, id_, {"is_session_start": False, "is_in_report": False, "last_status": last_status, **columns})


def written(id_: str, origin: str, **columns: Any) -> Row:
    """Return the row of a session that a person started."""
    in_report = origin in ("referred_campaign", "referred_webchat")
    return Row(id_, None, {"origin": origin, "is_in_report": in_report, "message_id": None, "is_replied": None, **columns})


def session(start_id: str, message_id: str, last_status: str, **columns: Any) -> Row:
    """Return the row of a Botmaker session that a template started."""
    return Row(start_id, message_id, {**pushed("", last_status).columns, "source": "botmaker", "session_id": start_id, **columns})


def window(seconds: float, **columns: Any) -> Columns:
    """Return the columns of an answer without a quote, this many seconds after noon."""
    return {"replied_at": at(seconds), "first_reply_at": at(seconds), "reply_evidence": "window", **columns}


def quoted(seconds: float, **columns: Any) -> Columns:
    """Return the columns of an answer that quotes its send, this many seconds after noon."""
    return {**window(seconds), "reply_evidence": "quoted", **columns}


def ordinary_sessions(*numbers: int) -> tuple[Row, ...]:
    """Return the rows of ordinary Botmaker sessions next to the odd one, so that the report has more than that one."""
    return tuple(
        session(f"CHATN{n:02d}_2026-11-03T12:{n:02d}:00Z", f"MSGN{n:02d}", "delivered", person_id=f"5511987650{800 + n}") for n in numbers
    )


BR, BR_SHORT, BR_2, USER, PARENT = (
    "5511987650001",
    "551187650001",
    "5511987650002",
    "BR.90000000000000000001",
    "BR.ENT.90000000000000000009",
)
LINE = {"channel_id": "108234567890101", "line_number": "551140028922", "channel_name": "Loja Brasil"}
HALF_HOUR, HOUR = 1800, 3600
NOT_REPLIED = {"replied_at": None, "first_reply_at": None, "reply_evidence": None}


def _failed(id_: str, code: str, detail: str, **columns: Any) -> Row:
    return pushed(id_, "not_sent", is_not_sent=True, is_sent=False, failure_code=code, failure_detail=detail, **columns)


_ALL = (
    # A: identities of people
    Case("A01_br_ninth_digit", (pushed("wamid.A01", "replied", person_id=BR, contact_id=BR, **LINE, **window(HALF_HOUR)),)),
    Case("A02_mx_521", (pushed("wamid.A02", "replied", person_id="525512340001", contact_id="525512340001", **window(HALF_HOUR)),)),
    Case("A03_ar_549", (pushed("wamid.A03", "replied", person_id="5491123450001", contact_id="541123450001", **window(HALF_HOUR)),)),
    Case(
        "A04_both_spellings_two_campaigns",
        (
            pushed("wamid.A04a", "delivered", person_id=BR, contact_id=BR, user_type="new"),
            pushed("wamid.A04b", "delivered", person_id=BR, contact_id=BR_SHORT, user_type="returning"),
        ),
    ),
    Case("A05_bsuid_reply_without_phone", (pushed("wamid.A05", "replied", person_id=BR, contact_id=BR, **window(HALF_HOUR)),)),
    Case("A06_bsuid_send_phone_reply", (pushed("wamid.A06", "replied", person_id=BR, contact_id=USER, **window(HALF_HOUR)),)),
    Case("A07_parent_bsuid", (pushed("wamid.A07", "replied", person_id=USER, contact_id=PARENT, **window(HALF_HOUR)),)),
    Case("A08_number_changed", (pushed("wamid.A08", "replied", person_id=BR, contact_id=BR, **window(2400)),)),
    Case(
        "A09_jid_in_send_log",
        (
            pushed("wamid.A09a", "replied", person_id=BR, contact_id=BR, **window(HALF_HOUR)),
            pushed("wamid.A09b", "replied", person_id=BR_2, contact_id=BR_2, **window(HALF_HOUR)),
        ),
        persons=2,
    ),
    Case("A10_quote_from_other_spelling", (pushed("wamid.A10", "replied", person_id=BR, contact_id=BR, **quoted(HALF_HOUR)),)),
    Case(
        "A11_returning_by_bsuid",
        (
            pushed("wamid.A11a", "delivered", person_id=BR, contact_id=BR, user_type="new"),
            pushed("wamid.A11b", "delivered", person_id=BR, contact_id=USER, user_type="returning"),
        ),
    ),
    # B: which inbound records count as a person writing
    Case("B01_system_before_template", (pushed("wamid.B01", "delivered", user_type="new", **NOT_REPLIED),)),
    Case("B02_request_welcome_after", (pushed("wamid.B02", "delivered", **NOT_REPLIED),)),
    Case("B03_request_welcome_then_ad", (written("wamid.B03in", "referred_campaign", session_started_at=at(20)),)),
    Case(
        "B04_reaction_old_template",
        (
            pushed("wamid.B04", "replied", **quoted(30 * HOUR)),
            written("wamid.B04re", "organic", user_type="returning"),
        ),
    ),
    Case(
        "B05_reaction_wrong_template",
        (pushed("wamid.B05a", "replied", **quoted(3 * HOUR)), within("wamid.B05b", "delivered", **NOT_REPLIED)),
    ),
    Case("B06_reaction_removed", (pushed("wamid.B06", "delivered", **NOT_REPLIED),)),
    Case("B07_edit_after_template", (written("wamid.B07in", "organic"), within("wamid.B07", "delivered", **NOT_REPLIED))),
    Case(
        "B08_revoke_after_template",
        (written("wamid.B08in", "organic"), pushed("wamid.B08", "delivered", user_type="returning", **NOT_REPLIED)),
    ),
    Case(
        "B09_unsupported_is_edit",
        (pushed("wamid.B09", "replied", **window(300)),),
        note="4.3 lists the kinds that are not an answer. `unsupported`, a message that a client cannot show, is not in that list.",
    ),
    Case("B10_group_message", (pushed("wamid.B10", "delivered", **NOT_REPLIED),)),
    Case("B11_group_message_before", (pushed("wamid.B11", "delivered", session_started_at=at(0), **NOT_REPLIED),)),
    Case(
        "B12_call_permission_automatic",
        (pushed("wamid.B12", "replied", **window(600)),),
        note="4.3 decides by the kind: an `interactive` message is an answer, whatever its response_source.",
    ),
    Case(
        "B13_ordinary_answers",
        (
            pushed("wamid.B130", "replied", **quoted(300)),
            pushed("wamid.B131", "replied", **quoted(40 * HOUR)),
            written("wamid.B13r1", "organic", user_type="returning", session_started_at=at(40 * HOUR)),
            *(pushed(f"wamid.B13{number}", "replied", **window(300)) for number in (2, 3, 4, 5)),
        ),
        persons=6,
    ),
    Case("B14_request_welcome_with_referral", (written("wamid.B14", "referred_campaign", session_started_at=at(0)),)),
    # C: other fields and kinds of webhooks
    Case(
        "C01_standby",
        (
            pushed("wamid.C01a", "replied", delivered_at=at(4), read_at=at(60), **window(600)),
            _failed("wamid.C01b", "131026", "Message Undeliverable.", failed_at=at(5)),
        ),
        persons=2,
    ),
    Case("C02_history_media_from_user", (pushed("wamid.C02", "delivered", user_type="new"),), other_kinds=1),
    Case("C03_history_media_from_business", (pushed("wamid.C03", "delivered", user_type="new"),), other_kinds=1),
    Case("C04_history_threads", (pushed("wamid.C04", "delivered", user_type="new"),), other_kinds=1),
    Case(
        "C05_smb_echo",
        (
            Row("wamid.C05ec", None, {"origin": "other", "is_in_report": False, "message_id": "wamid.C05ec", "last_status": "pending"}),
            within("wamid.C05", "delivered", session_start_id="wamid.C05ec"),
        ),
        note="4.3: a message that the business writes on its phone is a session message and keeps a session open.",
    ),
    Case("C06_payment_failed", (pushed("wamid.C06", "sent", failed_at=None),), other_kinds=1),
    Case("C07_payment_failed_delivered", (pushed("wamid.C07", "delivered", failed_at=None),), other_kinds=1),
    Case("C08_other_fields", (pushed("wamid.C08", "delivered", delivered_at=at(4)),), other_kinds=8),
    Case("C09_dashboard_sample", (pushed("wamid.C09", "delivered"),), rejected=1),
    Case(
        "C10_user_call_before_template",
        (pushed("wamid.C10", "delivered", session_started_at=at(0)),),
        other_kinds=1,
        note="2: all fields except the three that are read are other kinds, including `calls`.",
    ),
    # D: statuses and errors
    Case(
        "D01_order_and_repeats",
        (
            pushed("wamid.D01a", "read", delivered_at=at(9), read_at=at(60)),
            pushed("wamid.D01b", "delivered", is_not_sent=False, failed_at=at(3), failure_code=None, failure_group=None),
            pushed("wamid.D01c", "read", is_delivered=True, delivered_at=None),
            pushed("wamid.D01d", "delivered", failed_at=at(540), failure_code=None, failure_action=None),
        ),
        persons=4,
    ),
    Case(
        "D02_timestamps",
        (
            pushed("wamid.D02a", "delivered", delivered_at=at(4)),
            pushed("wamid.D02b", "delivered", delivered_at=at(4)),
            pushed("wamid.D02c", "pending", sent_at=at(0.25)),
            pushed("wamid.D02d", "pending", sent_at=at(0)),
        ),
        persons=4,
        rejected=1,
    ),
    Case(
        "D03_codes_meta_documents",
        tuple(
            _failed(f"wamid.D03{number}", code, "d", failure_group=OtherThan("unknown"), failure_action=OtherThan("none"))
            for number, code in enumerate(
                ("130497", "130403", "131037", "131055", "131062", "131063", "131064", "132018", "134011"),
            )
        ),
        persons=9,
    ),
    Case("D04_error_data_string", (_failed("wamid.D04", "131000", "Something went wrong"),)),
    Case("D05_contacts_lean", (_failed("wamid.D05", "131026", "Message Undeliverable."),)),
    # E: events within one second
    Case("E01_same_second_autoreply", (pushed("wamid.E01", "replied", sent_at=at(0.7), **window(0)),)),
    Case("E02_logged_after_the_call", (pushed("wamid.E02", "replied", sent_at=at(3.2), session_started_at=at(3.2), **quoted(2)),)),
    Case(
        "E03_same_whole_second",
        (pushed("wamid.E03", "replied", session_started_at=at(0), **quoted(0)),),
        note="The rule for ties has changed: since version 2, notifications come first within a second.",
    ),
    # F: lines
    Case("F01_line_not_in_seed", (pushed("wamid.F01", "replied", channel_id="208000000000001", line_number="551130000101"),)),
    Case("F02_line_number_field", (pushed("wamid.F02", "replied", channel_id="208000000000002", line_number="551130000102"),)),
    Case(
        "F03_number_migrated",
        (
            pushed("wamid.F03a", "replied", channel_id="208000000000003", line_number="551130000103", user_type="new"),
            within("wamid.F03b", "delivered", channel_id="208000000000003", user_type="new", session_start_id="wamid.F03a"),
        ),
    ),
    # G: files
    Case("G01_firehose_concatenated", (pushed("wamid.G", "replied", **window(HALF_HOUR)),)),
    Case(
        "G02_other_extensions",
        (pushed("wamid.G", "pending"),),
        unread=tuple(f"webhooks/{name}" for name in ("2026-11-03-part-0001", "w.txt", "x.log", "y.JSONL", "z.json.bz2")),
    ),
    Case("G03_n8n_export", (pushed("wamid.G", "pending"),), rejected=2),
    Case("G04_double_encoded", (pushed("wamid.G", "pending"),), rejected=1),
    Case("G05_utf16", (pushed("wamid.G", "pending"),), rejected=None),
    # The job reads values that span several lines in files of any extension; the reference reads them only in `.json` files.
    Case("G06_pretty_in_jsonl", (pushed("wamid.G", "replied", **window(HALF_HOUR)),), rejected=None),
    Case("G07_gz_members", (pushed("wamid.G", "replied", **window(HALF_HOUR)),)),
    Case("G08_firehose_in_jsonl", (pushed("wamid.G", "replied", **window(HALF_HOUR)),)),
    Case(
        "G09_half_emoji_in_name",
        (pushed("wamid.G", "replied", delivered_at=at(4)), *(pushed(f"wamid.G{number}", "delivered") for number in range(40))),
        persons=41,
    ),
    Case("G10_folder_names", (pushed("wamid.G", "pending"),), unread=("Webhooks2/", "webhook/")),
    # I: Botmaker
    Case(
        "I01_no_contact_id",
        (
            *ordinary_sessions(0, 1, 2),
            session("CHATX1_2026-11-03T12:10:00Z", "MSGX1", "delivered", contact_id="CHATX1", person_id="CHATX1"),
            session("CHATX2_2026-11-03T12:11:00Z", "MSGX2", "delivered", contact_id="CHATX2", person_id="CHATX2"),
        ),
        persons=5,
    ),
    Case(
        "I02_agent_sent_template",
        (*ordinary_sessions(0, 1, 2), session("CHATA1_2026-11-03T12:10:00Z", "MSGA1", "pending", template_name="promo_a", sent_at=at(600))),
        persons=4,
    ),
    Case(
        "I03_error_code_bare",
        (
            *ordinary_sessions(0, 1, 2),
            session(
                "CHATE1_2026-11-03T12:10:00Z", "MSGE1", "not_sent", failure_code="131049", failure_group="meta_limit", failed_at=at(605)
            ),
        ),
        persons=4,
    ),
    Case("I04_unknown_cause", (*ordinary_sessions(0, 1, 2), written("CHATC1_2026-11-03T12:10:00Z", "other")), persons=4),
    Case(
        "I05_nine_digit_two_chats",
        (
            session("CHATD1_2026-11-03T12:00:00Z", "MSGD1", "delivered", person_id=BR, contact_id=BR_SHORT, customer_id="CHATD1"),
            session(
                "CHATD2_2026-11-06T12:00:00Z",
                "MSGD2",
                "delivered",
                person_id=BR,
                contact_id=BR,
                customer_id="CHATD2",
                user_type="returning",
            ),
        ),
    ),
    Case("I06_web_chat", (*ordinary_sessions(0, 1, 2), written("CHATW1_2026-11-03T12:10:00Z", "referred_webchat")), persons=4),
    Case("I07_no_creation_cause", (*ordinary_sessions(0, 1, 2), written("CHATQ1_2026-11-03T12:10:00Z", "other")), persons=4),
    # J: send logs as companies write them
    Case("J01_metas_error_object", (_failed("prov-J01", "131026", "Receiver is incapable of receiving this message"),)),
    Case("J02_empty_error", (pushed("wamid.J02", "sent", is_not_sent=False, failure_group=None),)),
    Case("J03_no_offset", (), persons=0, rejected=1),
    Case("J04_message_id_null", (pushed("wamid.J04", "pending"),), rejected=1),
    Case(
        "J05_two_refusals_same_provider_id",
        (_failed("err-131026", "131026", "x", contact_id=BR, sent_at=at(0)),),
        note="4.1: sends are unique by message_id. The removed one shows in: landed = kept in staging + duplicates.",
    ),
    Case("J06_zero_zero_prefix", (pushed("wamid.J06", "replied", contact_id="005511987650001", **window(HALF_HOUR)),)),
    Case("J07_national_number", (pushed("wamid.J07", "replied", contact_id="11987650001", **window(HALF_HOUR)),)),
    # L: advertisements
    Case(
        "L01_unavailable_then_ad",
        (written("wamid.L01u", "referred_campaign", session_started_at=at(0)),),
        note="4.3 counts it as a person writing. By 4.4, the referral is that of the first message that WhatsApp shows.",
    ),
    Case("L02_ad_into_open_session", (pushed("wamid.L02", "replied", **window(HALF_HOUR)),)),
    Case("L03_ad_by_bsuid", (written("wamid.L03", "referred_campaign", person_id=USER, contact_id=USER),)),
)
CASES = {case.name: case for case in _ALL}


def check_case(name: str, run: Tables, *, is_merged: bool = False) -> None:
    """Compare a run over the landing zone of a case, or over that of `merge_cases`, with the expected result."""
    case = _renamed(CASES[name]) if is_merged else CASES[name]
    starts = {row["session_start_id"]: row for row in run.rows("fct_session_starts") if not is_merged or _is_of(case, row)}
    notifications = {row["message_id"]: row for row in run.rows("fct_notifications") if not is_merged or _is_of(case, row)}
    assert sorted(starts) == sorted(row.start_id for row in case.rows if row.start_id), name
    assert sorted(notifications) == sorted(row.message_id for row in case.rows if row.message_id), name
    for row in case.rows:
        for found in (starts.get(row.start_id or ""), notifications.get(row.message_id or "")):
            if found is not None:
                columns = row.columns.keys() - ({"is_session_start"} - found.keys())
                assert {column: found[column] for column in columns} == {column: row.columns[column] for column in columns}, name
    assert len({row["person_id"] for row in (*starts.values(), *notifications.values())}) == case.persons, name
    _check_files(case, run, is_merged=is_merged)


def _check_files(case: Case, run: Tables, *, is_merged: bool) -> None:
    rejected, other_kinds = (run.rows(table, published=False) for table in ("raw.rejected_records", "raw.webhook_other_kinds"))
    if is_merged:
        rejected = [row for row in rejected if f"/{case.name}/" in row["file_name"]]
        other_kinds = [row for row in other_kinds if f"/{case.name}/" in row["_file_name"]]
    assert case.rejected is None or len(rejected) == case.rejected, case.name
    assert len(other_kinds) == case.other_kinds, case.name


# Many cases in one landing zone

_IDS = re.compile(r"\b(wamid\.|prov-|err-|CHAT|MSG)(?=[A-Z0-9])")
_FEEDS = re.compile("(sends|webhooks|botmaker/sessions)/")


def merge_cases(folder: Path, names: Iterable[str] = CASES) -> None:
    """Write the landing zones of cases into one: each in a folder with its name, with its own people and ids."""
    for name in names:
        for path in sorted(CASES[name].landing.rglob("*")):
            if path.is_file():
                inside = path.relative_to(CASES[name].landing).as_posix()
                target = folder / _FEEDS.sub(rf"\1/{name}/", inside, count=1)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
                target.write_bytes(_renamed_bytes(path, _number(name)))


def _renamed_bytes(path: Path, number: int) -> bytes:
    if path.suffix == ".gz":
        lines = gzip.decompress(path.read_bytes()).decode().splitlines(keepends=True)
        return b"".join(gzip.compress(_rename(line, number).encode(), mtime=0) for line in lines)
    try:
        return _rename(path.read_bytes().decode(), number).encode()
    except UnicodeDecodeError:
        return path.read_bytes()


def _number(name: str) -> int:
    return list(CASES).index(name)


def _rename(text: str, number: int) -> str:
    """Put the number of the case into the Brazilian numbers, user ids and message ids of a text."""
    text = text.replace("87650", f"8{number:02d}50")
    text = text.replace("BR.9", f"BR.{number:02d}9").replace("BR.ENT.9", f"BR.ENT.{number:02d}9")
    return _IDS.sub(rf"\g<1>{number:02d}", text)


def _renamed(case: Case) -> Case:
    number = _number(case.name)

    def renamed(value: Any) -> Any:
        return _rename(value, number) if isinstance(value, str) else value

    rows = (
        Row(renamed(row.start_id), renamed(row.message_id), {column: renamed(value) for column, value in row.columns.items()})
        for row in case.rows
    )
    return replace(case, rows=tuple(rows))


def _is_of(case: Case, row: Columns) -> bool:
    number = f"{_number(case.name):02d}"
    return bool(re.match(rf"(wamid\.|prov-|err-|CHAT){number}", row["session_start_id"]))
