"""A Superset for the tests: installed on demand, with its metadata in the test's folder."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bi.superset.import_dashboard import ImportFailedError, SupersetClient

REQUIREMENTS = ("apache-superset[duckdb]==6.1.0", "duckdb<2", "gunicorn", "rich", "cachetools", "flask-caching==2.3.1")
START_SECONDS = 180


@dataclass(frozen=True)
class SupersetServer:
    """A running Superset and its only user."""

    url: str
    username: str
    password: str

    def client(self) -> SupersetClient:
        client = SupersetClient(self.url)
        client.log_in(self.username, self.password, "db")
        return client


def install_superset(folder: Path) -> Path:
    """Install Superset into a separate environment and return its Python."""
    uv = Path(sys.executable).with_name("uv")
    environment = os.environ | {"UV_PYTHON_DOWNLOADS": "never", "UV_SYSTEM_CERTS": "true"}
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], env=environment, check=True)
    python = folder / "bin" / "python"
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *REQUIREMENTS], env=environment, check=True)
    return python


@contextmanager
def running_superset(python: Path, home: Path) -> Iterator[SupersetServer]:
    """Start a Superset with empty metadata, and stop it with all its processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = SupersetServer(f"http://127.0.0.1:{port}", "tester", secrets.token_hex(16))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SUPERSET", "FLASK", "PYTHON", "DAGSTER"))}
    environment |= {"SUPERSET_HOME": str(home), "SUPERSET_SECRET_KEY": secrets.token_hex(32), "FLASK_APP": "superset.app:create_app()"}
    home.mkdir(parents=True, exist_ok=True)
    with (home / "superset.log").open("wb") as log:
        person = ["--username", server.username, "--firstname", "Test", "--lastname", "Test", "--email", "test@example.com"]
        for command in (["db", "upgrade"], ["fab", "create-admin", *person, "--password", server.password], ["init"]):
            subprocess.run([python.with_name("superset"), *command], env=environment, cwd=home, stdout=log, stderr=log, check=True)
        process = subprocess.Popen(
            [python, "-m", "gunicorn", "--worker-class=gthread", "--threads=8", f"--bind=127.0.0.1:{port}", environment["FLASK_APP"]],
            env=environment,
            cwd=home,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            _wait_for(server, process, home / "superset.log")
            yield server
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=60)


def _wait_for(server: SupersetServer, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            server.client()
            return
        except ImportFailedError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Superset did not start:\n{log.read_text(errors='replace')[-3000:]}") from None
            time.sleep(1)
