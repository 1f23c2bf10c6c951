"""Settings from environment variables, checked once, before anything is opened or compiled.

Every value that reaches SQL, dbt or a path is checked here, so the code downstream can rely on it. Names and defaults are in the
contract, section 7; the README lists them for users.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from difflib import get_close_matches
from enum import StrEnum
from functools import cache, cached_property
from io import StringIO
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import duckdb
from dotenv.parser import Binding, parse_stream

from orchestration.errors import StartsError
from orchestration.installation import BASE_FOLDER, PROJECT_ROOT
from orchestration.memory import available_bytes, bytes_of

DBT_PROJECT_DIR = PROJECT_ROOT / "dbt_project"
SAMPLE_LOGS = PROJECT_ROOT / "seeds" / "sample_logs"
ENV_FILE = BASE_FOLDER / ".env"

_URI = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_ZONE_NAME = re.compile(r"^[A-Za-z0-9_+/-]{1,64}$")
# Strict, because half of a password with an unescaped `/` or `@` could be taken for a host, and messages show hosts.
_POSTGRES_URL = re.compile(
    r"postgres(?:ql)?://(?:[^:@/?#]+(?::[^:@/?#]*)?@)?(?P<host>[A-Za-z0-9.,_:\[\]-]*)/(?P<database>[^@/?#]*)(?:\?[^@#]*)?"
)
_POSTGRES_PORT = re.compile(r"^(?:(?:\[[0-9A-Fa-f:]+\]|[^:\[\],]*)(?::\d+)?(?:,|$))*$")
_ALERT_URL = re.compile(r"https?://[^/?#\s]", re.IGNORECASE)
# A hundred years: Python's dates begin in the year 1, so a much longer period has no first day to keep.
_MAX_RETENTION_DAYS = 36_500
# DuckDB allows texts of up to 4 GiB; a record is in memory several times while it is parsed.
_MAX_RECORD_BYTES = 1024 * 1024 * 1024
# A run on the smallest logs needs half of it.
_MIN_MEMORY_BYTES = 256 * 10**6
_CURRENCY = re.compile("[A-Z]{3}")
# Dagster accepts the name of a team or an e-mail address.
_OWNER = re.compile(r"team:[A-Za-z0-9_-]+|[^@\s]+@[^@\s]+\.[^@\s]+")
_IDENTIFIER = re.compile(r"^(?!pg_)[a-z_][a-z0-9_]{0,62}$")


# Every variable that the project reads, here or elsewhere; used to detect misspelt names.
KNOWN_NAMES = (
    *("STARTS_LANDING", "STARTS_DATA", "STARTS_REPORT_TIMEZONE", "STARTS_LANGUAGE", "STARTS_CONTACTS", "STARTS_MASK_KEY"),
    *("STARTS_BILLING_TIMEZONE", "STARTS_BILLING_CURRENCY"),
    *("STARTS_MAX_REJECTED_SHARE", "STARTS_MAX_RECORD_BYTES", "STARTS_RETENTION_DAYS", "STARTS_KEEP_RUNS_DAYS"),
    *("STARTS_MEMORY", "STARTS_FILE_MODE", "STARTS_REREAD", "STARTS_ALERT_URL", "STARTS_OWNER"),
    *("STARTS_ENGINE", "STARTS_SPARK_MASTER", "STARTS_SPARK_CONF", "STARTS_LAKE"),
    *("STARTS_POSTGRES_URL", "STARTS_POSTGRES_SCHEMA", "STARTS_POSTGRES_READER"),
    *("STARTS_WAREHOUSE", "STARTS_PUBLISHED", "STARTS_DBT_TARGET", "STARTS_TEST_SUPERSET", "STARTS_TEST_KILLS"),
    *("STARTS_TEST_SEQUENCES", "STARTS_TEST_STEPS", "STARTS_TEST_RUN_KILLS", "STARTS_TEST_RUN_SEED", "STARTS_TEST_MAINTENANCE_KILLS"),
    "STARTS_TEST_SPARK_UNIT_TESTS",
    *("BOTMAKER_ACCESS_TOKEN", "BOTMAKER_BASE_URL", "BOTMAKER_OVERLAP_DAYS", "BOTMAKER_SWEEP_DAYS", "BOTMAKER_START"),
)

Choice = TypeVar("Choice", bound=StrEnum)


class SettingsError(StartsError):
    """A setting is not valid; the message names the variable and says what to write instead."""


class Language(StrEnum):
    EN = "en"
    PT = "pt"
    ES = "es"


class Contacts(StrEnum):
    PLAIN = "plain"
    MASKED = "masked"


class Engine(StrEnum):
    """The engine that holds the warehouse and builds the marts; also the name of the target in dbt's profile."""

    DUCKDB = "duckdb"
    SPARK = "spark"


class FileMode(StrEnum):
    """Who may read published and exported files: only this user, or also its group. No one else ever may."""

    PRIVATE = "private"
    GROUP = "group"

    @property
    def umask(self) -> int:
        return 0o077 if self is FileMode.PRIVATE else 0o027


@dataclass(frozen=True)
class SparkSettings:
    """The cluster and the lake of STARTS_ENGINE=spark (contract, section 8).

    `master` is a Spark master or a Spark Connect address. `conf` contains Spark's own settings, which may include keys of an object
    store, so they are left out of the representation. `lake` is the folder of all tables and published files; every machine of the
    cluster reaches it under this path.
    """

    lake: Path
    master: str = "local[*]"
    conf: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def is_connect(self) -> bool:
        return self.master.startswith("sc://")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> "SparkSettings":
        """Read STARTS_SPARK_MASTER, STARTS_SPARK_CONF and STARTS_LAKE. Raises `SettingsError`."""
        env = without_empty(environ) if environ is not None else environment()
        lake = env.get("STARTS_LAKE", "")
        if lake.startswith("file://"):
            lake = unquote(urlsplit(lake).path)
        if is_uri(lake):
            raise SettingsError(
                f"STARTS_LAKE is {lake}: mount that store, and write the folder at which all machines of the cluster see it."
            )
        if not lake:
            raise SettingsError(
                "STARTS_ENGINE is spark, but STARTS_LAKE is not set: write a folder that every machine of the cluster can reach."
            )
        return cls(
            _absolute(lake),
            env.get("STARTS_SPARK_MASTER", cls.master).strip(),
            _spark_conf(env.get("STARTS_SPARK_CONF", "")),
        )


@dataclass(frozen=True)
class Settings:
    """Where the logs are, where results go, and how the report is built.

    `mask_key` is a secret: it is left out of the representation and never stored.
    """

    landing: str = str(SAMPLE_LOGS)
    data: Path = BASE_FOLDER / "data"
    report_timezone: str = "America/Sao_Paulo"
    billing_timezone: str | None = None
    billing_currency: str | None = None
    language: Language = Language.EN
    contacts: Contacts = Contacts.PLAIN
    max_rejected_share: float = 0.05
    max_record_bytes: int = 16 * 1024 * 1024
    retention_days: int | None = None
    keep_runs_days: int = 30
    memory: str | None = None
    files_mode: FileMode = FileMode.PRIVATE
    owner: str = "team:conversation-starts"
    reread: bool = False
    mask_key: str | None = field(default=None, repr=False)
    spark: SparkSettings | None = None

    def __post_init__(self) -> None:
        _check_zone("STARTS_REPORT_TIMEZONE", self.report_timezone)
        if self.billing_timezone is not None:
            _check_zone("STARTS_BILLING_TIMEZONE", self.billing_timezone)
        if self.billing_currency is not None and not _CURRENCY.fullmatch(self.billing_currency):
            raise SettingsError(f"STARTS_BILLING_CURRENCY is {self.billing_currency!r}: write an ISO code such as USD.")
        if not 0 <= self.max_rejected_share <= 1:
            raise SettingsError(f"STARTS_MAX_REJECTED_SHARE is {self.max_rejected_share}: write a share from 0 to 1, such as 0.05.")
        if not 1024 <= self.max_record_bytes <= _MAX_RECORD_BYTES:
            raise SettingsError(
                f"STARTS_MAX_RECORD_BYTES is {self.max_record_bytes}: write a number of bytes from 1024 to {_MAX_RECORD_BYTES}, "
                "such as 16777216."
            )
        if self.memory is not None and (bytes_of(self.memory, available_bytes()) or 0) < _MIN_MEMORY_BYTES:
            raise SettingsError(
                f"STARTS_MEMORY is {self.memory!r}: write how much memory DuckDB may take, such as 4GB or 60%, and no less than 256MB."
            )
        if not 1 <= self.keep_runs_days <= _MAX_RETENTION_DAYS:
            raise SettingsError(
                f"STARTS_KEEP_RUNS_DAYS is {self.keep_runs_days}: write for how many days Dagster keeps its runs, "
                f"from 1 to {_MAX_RETENTION_DAYS}."
            )
        if not _OWNER.fullmatch(self.owner):
            raise SettingsError(f"STARTS_OWNER is {self.owner!r}: write team:NAME, or an e-mail address.")
        if self.retention_days is not None and not 1 <= self.retention_days <= _MAX_RETENTION_DAYS:
            raise SettingsError(
                f"STARTS_RETENTION_DAYS is {self.retention_days}: write how many days to keep, from 1 to {_MAX_RETENTION_DAYS}, "
                "or leave it out to keep all."
            )
        if self.contacts is Contacts.MASKED and not self.mask_key:
            raise SettingsError(
                "STARTS_CONTACTS is 'masked' but STARTS_MASK_KEY is empty: set it to a secret of your own, "
                "and keep it: with another key, the same contact gets another mask."
            )

    @property
    def engine(self) -> Engine:
        return Engine.SPARK if self.spark is not None else Engine.DUCKDB

    @property
    def warehouse_path(self) -> Path:
        return self.data / "warehouse.duckdb"

    @property
    def published_dir(self) -> Path:
        return (self.data if self.spark is None else self.spark.lake) / "published"

    @property
    def published_database(self) -> Path:
        return self.published_dir / "conversation_starts.duckdb"

    @property
    def exports_dir(self) -> Path:
        return self.data / "exports"

    @property
    def lock_path(self) -> Path:
        return self.data / ".writer.lock"

    @property
    def spill_dir(self) -> Path:
        """The folder to which DuckDB spills what does not fit into memory."""
        return self.data / ".spill"

    @property
    def memory_bytes(self) -> int | None:
        """DuckDB's memory limit; None if it is not set (`orchestration.memory.default_bytes`)."""
        return None if self.memory is None else bytes_of(self.memory, available_bytes())

    @property
    def dbt_target_dir(self) -> Path:
        """The folder of dbt's artifacts, one per data folder, so that two folders with different settings never mix."""
        return self.data / ".dbt"

    @property
    def dagster_home(self) -> Path:
        """The folder of Dagster's runs, unless DAGSTER_HOME is set. One per data folder, so that checks of two folders never mix."""
        return self.data / ".dagster"

    @property
    def time_zones(self) -> set[str]:
        """The time zones of the report and of the bill."""
        return {self.report_timezone, self.billing_timezone or self.report_timezone}

    @cached_property
    def dbt_vars(self) -> dict[str, str]:
        return {
            "report_timezone": self.report_timezone,
            # If it is not set, dbt uses its own default, as it does when it is run by hand.
            **({"billing_timezone": self.billing_timezone} if self.billing_timezone else {}),
            **({"billing_currency": self.billing_currency} if self.billing_currency else {}),
        }

    def first_day_kept(self, now: datetime) -> date:
        """Return the first report day whose exports are kept."""
        if self.retention_days is None:
            return date.min
        return now.astimezone(ZoneInfo(self.report_timezone)).date() - timedelta(days=self.retention_days)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Read the `STARTS_*` variables; an empty one counts as unset. Raises `SettingsError`."""
        env = environment() if environ is None else without_empty(environ)
        return cls(
            landing=_landing(env.get("STARTS_LANDING")),
            data=_data_folder(env.get("STARTS_DATA", "data")),
            report_timezone=env.get("STARTS_REPORT_TIMEZONE", "America/Sao_Paulo"),
            billing_timezone=env.get("STARTS_BILLING_TIMEZONE"),
            billing_currency=env.get("STARTS_BILLING_CURRENCY"),
            language=_choice(Language, "STARTS_LANGUAGE", env.get("STARTS_LANGUAGE", "en")),
            contacts=_choice(Contacts, "STARTS_CONTACTS", env.get("STARTS_CONTACTS", "plain")),
            max_rejected_share=_share("STARTS_MAX_REJECTED_SHARE", env.get("STARTS_MAX_REJECTED_SHARE", "0.05")),
            max_record_bytes=_whole_number("STARTS_MAX_RECORD_BYTES", env.get("STARTS_MAX_RECORD_BYTES", "16777216"), "bytes", 16777216),
            retention_days=_days("STARTS_RETENTION_DAYS", env.get("STARTS_RETENTION_DAYS")),
            keep_runs_days=_whole_number("STARTS_KEEP_RUNS_DAYS", env.get("STARTS_KEEP_RUNS_DAYS", "30"), "days", 30),
            memory=env.get("STARTS_MEMORY"),
            files_mode=_files_mode(env),
            owner=env.get("STARTS_OWNER", cls.owner),
            reread=_yes_or_no("STARTS_REREAD", env.get("STARTS_REREAD", "no")),
            mask_key=env.get("STARTS_MASK_KEY"),
            spark=SparkSettings.from_environment(env) if _engine(env) is Engine.SPARK else None,
        )


@dataclass(frozen=True)
class PostgresSettings:
    """Where the marts are published in PostgreSQL, and who may read them there.

    `url` contains a password: it is left out of the representation, and no message quotes it.
    """

    url: str = field(repr=False)
    schema: str = "conversation_starts"
    reader: str | None = None

    def __post_init__(self) -> None:
        match = _POSTGRES_URL.fullmatch(self.url)
        if match is None or not _POSTGRES_PORT.fullmatch(match["host"]):
            raise SettingsError(
                "STARTS_POSTGRES_URL is not a URL like postgresql://user:password@host:5432/database. "
                "Write characters such as @ : / ? # in the password as %40 %3A %2F %3F %23."
            )
        _check_identifier("STARTS_POSTGRES_SCHEMA", self.schema)
        if self.reader is not None:
            _check_identifier("STARTS_POSTGRES_READER", self.reader)

    @property
    def address(self) -> str:
        """The server and the database, for messages."""
        match = _POSTGRES_URL.fullmatch(self.url)
        assert match is not None
        return f"{match['host'] or 'the local server'}/{match['database']}"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> "PostgresSettings":
        """Read the `STARTS_POSTGRES_*` variables. Raises `SettingsError`."""
        env = without_empty(environ) if environ is not None else environment()
        if "STARTS_POSTGRES_URL" not in env:
            raise SettingsError("STARTS_POSTGRES_URL is not set: write postgresql://user:password@host:5432/database.")
        return cls(env["STARTS_POSTGRES_URL"].strip(), env.get("STARTS_POSTGRES_SCHEMA", cls.schema), env.get("STARTS_POSTGRES_READER"))


def _spark_conf(text: str) -> dict[str, str]:
    """Read `name=value` pairs separated by `;`, or a file in the format of spark-defaults.conf. No message quotes a value."""
    is_pairs = "=" in text or not text.strip()
    try:
        lines = text.split(";") if is_pairs else _absolute(text.strip()).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"STARTS_SPARK_CONF: the file cannot be read ({type(error).__name__}). Write name=value;name=value, or the path of a file."
        ) from error
    conf = {}
    for line in map(str.strip, lines):
        if not line or line.startswith("#"):
            continue
        # spark-defaults.conf separates name and value by white space or `=`.
        name, *value = re.split(r"\s*=\s*" if is_pairs else r"\s*=\s*|\s+", line, maxsplit=1)
        if not name.startswith("spark.") or not value:
            raise SettingsError(
                "STARTS_SPARK_CONF: write name=value;name=value with names that begin with spark., or the path of a file of such pairs."
            )
        conf[name] = value[0]
    return conf


def publishes_to_postgres() -> bool:
    """Return whether the job `conversation_starts` also publishes to a PostgreSQL database."""
    return "STARTS_POSTGRES_URL" in environment()


def dagster_home_set() -> Path | None:
    """Return the folder in DAGSTER_HOME, or None if it is not set. Raises `SettingsError` if Dagster could not use it."""
    given = environment().get("DAGSTER_HOME")
    if given is None:
        return None
    home = Path(given).expanduser()
    if not home.is_absolute() or not home.is_dir():
        raise SettingsError(f"DAGSTER_HOME is {given}: write an existing folder as an absolute path, or unset it to use the data folder.")
    return home


def environment() -> dict[str, str]:
    """Return the variables of the environment and, if not set there, of the project's `.env`. Raises `SettingsError`."""
    return without_empty({**_env_file(), **os.environ})


def warnings_of_variables() -> Iterator[str]:
    """Yield a warning for each of our variables that has no effect. Raises `SettingsError`.

    No warning contains a value. A wrong name that resembles one of ours comes with that name. A wrong STARTS_ALERT_URL is no error,
    because an alert must not stop a run; without a warning, it would be noticed only when an alert is missing.
    """
    variables = environment()
    alert_url = variables.get("STARTS_ALERT_URL")
    if alert_url is not None and not _ALERT_URL.match(alert_url):
        yield "STARTS_ALERT_URL is not an address such as https://chat.example.com/hook, so failed runs are not posted."
    for name in sorted(variables):
        if name.startswith(("STARTS_", "BOTMAKER_")) and name not in KNOWN_NAMES:
            # The common prefix makes all names look more similar than they are.
            meant = get_close_matches(name, KNOWN_NAMES, n=1, cutoff=0.8)
            yield f"{name} is set, but nothing reads it." + (f" Did you mean {meant[0]}?" if meant else "")


def _env_file() -> dict[str, str]:
    """Read `.env`. A line that python-dotenv would skip is an error; the message omits its content, which may be a secret."""
    try:
        text = ENV_FILE.read_bytes().decode("utf-8-sig")
    except (FileNotFoundError, IsADirectoryError):
        return {}
    except OSError as error:
        raise SettingsError(f"{ENV_FILE} cannot be read ({error.strerror}). Give this user the right to read it.") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{ENV_FILE}, line {line}, is not UTF-8: save the file in that encoding.") from None
    values = {}
    for binding in parse_stream(StringIO(text)):
        if binding.error or (binding.key is not None and binding.value is None):
            raise SettingsError(f"{ENV_FILE}, line {_line_of(binding)}, cannot be read: write NAME=value, and close every quote.")
        if binding.key is not None and binding.value is not None:
            if "${" in binding.value:
                raise SettingsError(
                    f"{ENV_FILE}, line {_line_of(binding)}, contains ${{…}}, which Dagster's own commands would expand but this command "
                    "does not: write the value itself."
                )
            values[binding.key] = binding.value
    return values


def _line_of(binding: Binding) -> int:
    # The parser counts the blank lines above a binding as part of it.
    text = binding.original.string
    return binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")


def without_empty(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if value.strip()}


def is_uri(location: str) -> bool:
    return bool(_URI.match(location))


def _landing(location: str | None) -> str:
    if location is None:
        return str(SAMPLE_LOGS)
    return location.rstrip("/") if is_uri(location) else str(_absolute(location))


def _absolute(path: str) -> Path:
    """Resolve a path; a relative one starts at the clone, wherever the process was started, or at the current folder for a package."""
    return (BASE_FOLDER / Path(path).expanduser()).resolve()


def _data_folder(path: str) -> Path:
    if is_uri(path):
        raise SettingsError(f"STARTS_DATA is {path}: write a folder of this machine, because the files in it must be locked.")
    return _absolute(path)


def _check_zone(setting: str, name: str) -> None:
    if not _is_zone(name):
        raise SettingsError(f"{setting} is {name!r}, which is not a time zone: write an IANA name such as America/Sao_Paulo.")


def _is_zone(name: str) -> bool:
    """Return whether Python, which computes the days to keep and schedules, and DuckDB, which computes all other times, know a zone.

    Each accepts names that the other does not: `posix/America/Sao_Paulo` and `localtime`, or `PST`. Both accept `Factory`, the
    zone of a machine without a configured zone, which this function rejects.
    """
    if not _ZONE_NAME.match(name) or name == "Factory":
        return False
    try:
        ZoneInfo(name)
    except (OSError, ValueError, ZoneInfoNotFoundError):
        return False
    return name in _zones_of_duckdb()


@cache
def _zones_of_duckdb() -> frozenset[str]:
    with duckdb.connect() as connection:
        return frozenset(name for (name,) in connection.execute("select name from pg_timezone_names()").fetchall())


def _check_identifier(name: str, value: str) -> None:
    if not _IDENTIFIER.fullmatch(value):
        raise SettingsError(f"{name} is {value!r}: write lower-case letters, digits and '_', such as conversation_starts.")


def _choice(kind: type[Choice], name: str, value: str) -> Choice:
    try:
        return kind(value)
    except ValueError:
        raise SettingsError(f"{name} is {value!r}: write one of {', '.join(kind)}.") from None


def _engine(env: Mapping[str, str]) -> Engine:
    return _choice(Engine, "STARTS_ENGINE", env.get("STARTS_ENGINE", "duckdb"))


def _files_mode(env: Mapping[str, str]) -> FileMode:
    return _choice(FileMode, "STARTS_FILE_MODE", env.get("STARTS_FILE_MODE", "private"))


def _yes_or_no(name: str, value: str) -> bool:
    answer = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}.get(value.strip().lower())
    if answer is None:
        raise SettingsError(f"{name} is {value!r}: write yes or no.")
    return answer


def _whole_number(name: str, value: str, unit: str, example: int) -> int:
    try:
        return int(value)
    except ValueError:
        raise SettingsError(f"{name} is {value!r}: write a whole number of {unit}, such as {example}.") from None


def _days(name: str, value: str | None) -> int | None:
    try:
        return int(value) if value is not None else None
    except ValueError:
        raise SettingsError(f"{name} is {value!r}: write a whole number of days, such as 400, or leave it out.") from None


def _share(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise SettingsError(f"{name} is {value!r}: write a number from 0 to 1, such as 0.05.") from None
