"""Import the dashboard in this folder into a running Superset, through its REST API.

    SUPERSET_USERNAME=… SUPERSET_PASSWORD=… python bi/superset/import_dashboard.py [published file] [--language pt]

The import creates the database, datasets, charts and dashboard, or overwrites them if they were imported before. It needs only the
standard library, so it works with any Python; a language other than English also needs PyYAML.

The files in this folder are the bundle in English. `pack` translates titles, labels, descriptions and the words in charts with
`translations.csv`; names of columns, metrics and templates stay the same.
"""

import argparse
import csv
import io
import json
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

BUNDLE = Path(__file__).resolve().parent
BUNDLE_FOLDERS = ("databases", "datasets", "charts", "dashboards")
PLACEHOLDER = "duckdb:///PUBLISHED_FILE"
FIRST_CHART = "Session starts"
DASHBOARD_SLUG = "conversation-starts"
TIMEOUT_SECONDS = 120
LANGUAGES = ("en", "pt", "es")
# Keys of the bundle whose values are texts that users read. The names of filters are also such texts.
TEXT_KEYS = frozenset(
    (
        *("slice_name", "sliceName", "dashboard_title", "description", "verbose_name", "subtitle", "x_axis_title", "y_axis_title"),
        *("text", "code", "customColumnName"),
    )
)


class ImportFailedError(Exception):
    """Raised if Superset or an argument does not allow the import. The message contains the reason."""


class SupersetClient:
    """The calls of Superset's REST API that an import needs."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        self._headers = {"Referer": self.url, "Accept": "application/json"}

    def log_in(self, username: str, password: str, provider: str) -> None:
        """Get the tokens that all later calls send."""
        answer = self.call("/api/v1/security/login", {"username": username, "password": password, "provider": provider, "refresh": False})
        self._headers["Authorization"] = f"Bearer {answer['access_token']}"
        self._headers["X-CSRFToken"] = self.call("/api/v1/security/csrf_token/")["result"]

    def call(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a GET request, or POST a body as JSON; return the JSON response."""
        if body is None:
            return self._send(urllib.request.Request(self.url + path))
        headers = {"Content-Type": "application/json"}
        return self._send(urllib.request.Request(self.url + path, data=json.dumps(body).encode(), headers=headers))

    def upload(self, path: str, name: str, file_name: str, content: bytes) -> dict[str, Any]:
        """POST one file as multipart/form-data."""
        boundary = os.urandom(16).hex()
        disposition = f'Content-Disposition: form-data; name="{name}"; filename="{file_name}"'
        head = f"--{boundary}\r\n{disposition}\r\nContent-Type: application/zip\r\n\r\n"
        body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return self._send(urllib.request.Request(self.url + path, data=body, headers=headers))

    def _send(self, request: urllib.request.Request) -> dict[str, Any]:
        for name, value in self._headers.items():
            request.add_header(name, value)
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise ImportFailedError(
                f"Superset answered {error.code} to {urllib.parse.urlsplit(request.full_url).path}: {_reason(error)}"
            ) from error
        except (OSError, ValueError) as error:
            raise ImportFailedError(f"no response from Superset at {self.url}: {error}") from error


def _reason(error: urllib.error.HTTPError) -> str:
    text = error.read().decode(errors="replace")
    try:
        answer = json.loads(text)
    except ValueError:
        return text[:500]
    return json.dumps(answer.get("errors") or answer.get("message") or answer)[:2000]


def translations(language: str) -> dict[str, str]:
    """Return the translations of the bundle's texts, by English text."""
    with (BUNDLE / "translations.csv").open(encoding="utf-8", newline="") as file:
        return {row["en"]: row[language] for row in csv.DictReader(file)}


def translated(part: Any, texts: dict[str, str], key: str = "") -> Any:
    """Return a part of the bundle with its texts translated; `key` is the key of the part.

    Raises `ImportFailedError` for a text that has no translation.
    """
    if isinstance(part, dict):
        if key == "label_colors":
            return {texts.get(label, label): colour for label, colour in part.items()}
        return {name: translated(value, texts, name) for name, value in part.items()}
    if isinstance(part, list):
        filters = key == "native_filter_configuration"
        return [translated(one | {"name": _text(one["name"], texts)} if filters else one, texts, "" if filters else key) for one in part]
    if isinstance(part, str) and key in TEXT_KEYS:
        return "\n".join(_text(line, texts) if line else line for line in part.split("\n"))
    if isinstance(part, str) and key == "expression":
        return _words_translated(part, texts)
    return part


def _text(text: str, texts: dict[str, str]) -> str:
    try:
        return texts[text]
    except KeyError as missing:
        raise ImportFailedError(f"translations.csv has no translation of {text!r}") from missing


def _words_translated(expression: str, texts: dict[str, str]) -> str:
    """Translate the words that an expression shows instead of codes. Codes are in lower case, so none is mistaken for a word."""
    expression = expression.replace(">Open chat<", f">{texts['Open chat']}<")
    return re.sub("'([^']+)'", lambda word: "'" + texts.get(word[1], word[1]).replace("'", "''") + "'", expression)


def _in_language(text: str, language: str) -> str:
    if language == "en":
        return text
    try:
        import yaml
    except ImportError as error:
        raise ImportFailedError("a language other than English needs PyYAML: run this with the project's .venv/bin/python") from error
    part = translated(yaml.safe_load(text), translations(language))
    return yaml.safe_dump(part, sort_keys=False, allow_unicode=True)


def pack(published_file: str, language: str = "en") -> bytes:
    """Return the bundle as a zip for Superset's import, with a connection to the published file."""
    if not published_file.startswith("/") or "?" in published_file:
        raise ImportFailedError(f"the published file needs an absolute path without a question mark, not {published_file}")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bundle/metadata.yaml", (BUNDLE / "metadata.yaml").read_text(encoding="utf-8"))
        for file in (file for folder in BUNDLE_FOLDERS for file in sorted((BUNDLE / folder).rglob("*.yaml"))):
            text = file.read_text(encoding="utf-8")
            if file.parent.name == "databases":
                # A JSON string is valid YAML, whatever characters the path contains.
                text = text.replace(PLACEHOLDER, json.dumps(f"duckdb:///{published_file}"))
            else:
                text = _in_language(text, language)
            archive.writestr(f"bundle/{file.relative_to(BUNDLE).as_posix()}", text)
    return content.getvalue()


def import_dashboard(client: SupersetClient, published_file: str, language: str = "en") -> str:
    """Import the bundle; return the number in the first chart, which Superset reads from the published file."""
    client.upload("/api/v1/assets/import/", "bundle", "bundle.zip", pack(published_file, language))
    first_chart = FIRST_CHART if language == "en" else translations(language)[FIRST_CHART]
    charts = client.call(f"/api/v1/dashboard/{DASHBOARD_SLUG}/charts")["result"]
    chart_id = next(chart["id"] for chart in charts if chart["slice_name"] == first_chart)
    rows = client.call(f"/api/v1/chart/{chart_id}/data/")["result"][0]["data"]
    return f"{next(iter(rows[0].values())):,}"


def _arguments() -> argparse.Namespace:
    data = BUNDLE.parent.parent / Path(os.environ.get("STARTS_DATA") or "data").expanduser()
    parser = argparse.ArgumentParser(
        description="Import the conversation starts dashboard into a running Superset.",
        epilog="Set SUPERSET_USERNAME and SUPERSET_PASSWORD to those of an admin; SUPERSET_PROVIDER is db unless you use ldap.",
    )
    parser.add_argument("published_file", nargs="?", default=str(data / "published" / "conversation_starts.duckdb"))
    parser.add_argument(
        "--url",
        default=os.environ.get("SUPERSET_URL", "http://127.0.0.1:8088"),
        help="URL of Superset; SUPERSET_URL if it is set (default: %(default)s)",
    )
    parser.add_argument("--elsewhere", action="store_true", help="the path is on Superset's machine, not on this one")
    parser.add_argument(
        "--language", choices=LANGUAGES, default="en", help="of titles, labels and descriptions; a later import can change it"
    )
    return parser.parse_args()


def published_path(given: str, elsewhere: bool) -> str:
    """Return the path for the connection. Raises `ImportFailedError` if the file must be on this machine and does not exist."""
    if elsewhere:
        return given
    # The published file is a link to the newest version. A resolved path would keep the connection at today's version.
    path = Path(given).absolute()
    if not path.is_file():
        raise ImportFailedError(f"there is no {path}; run `make run` first, or pass the path of the published file")
    return str(path)


def main() -> int:
    """Import the dashboard, and print its URL."""
    arguments = _arguments()
    try:
        username, password = os.environ["SUPERSET_USERNAME"], os.environ["SUPERSET_PASSWORD"]
    except KeyError as missing:
        print(f"Set {missing.args[0]} in the environment.", file=sys.stderr)
        return 2
    client = SupersetClient(arguments.url)
    try:
        published_file = published_path(arguments.published_file, arguments.elsewhere)
        client.log_in(username, password, os.environ.get("SUPERSET_PROVIDER", "db"))
        starts = import_dashboard(client, published_file, arguments.language)
    except ImportFailedError as error:
        print(f"Not imported: {error}", file=sys.stderr)
        return 1
    print(f"Imported. Superset reads {starts} session starts: {client.url}/superset/dashboard/{DASHBOARD_SLUG}/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
