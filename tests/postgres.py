"""A PostgreSQL server for the tests, started on a free port and stopped after them."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PASSWORD = "s3cret-of-the-owner"


def server_programs() -> Path | None:
    """Return the folder with `initdb` and `pg_ctl` of the newest installed version, if any."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name), reverse=True)
    return next((folder for folder in folders if (folder / "pg_ctl").exists()), None)


@dataclass(frozen=True)
class Server:
    port: int

    def url(self, database: str, user: str = "postgres", password: str = PASSWORD) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def rows(self, database: str, query: str, **login: str) -> list[tuple[Any, ...]]:
        from adbc_driver_postgresql import dbapi

        with dbapi.connect(self.url(database, **login), autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall() if cursor.description else []

    def execute(self, database: str, *statements: str, **login: str) -> None:
        from adbc_driver_postgresql import dbapi

        with dbapi.connect(self.url(database, **login), autocommit=True) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


@contextmanager
def running_server(programs: Path) -> Iterator[Server]:
    """Start a server that requires passwords; as root it is started as the user `postgres`, because PostgreSQL refuses to run as root."""
    # In /tmp: other users cannot read the folders of pytest, and the path of a socket must be short.
    folder = Path(tempfile.mkdtemp(prefix="starts-postgres-"))
    as_owner: list[str] = []
    if os.getuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
        as_owner = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    data, port = folder / "data", _free_port()
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off -c shared_buffers=16MB"

    def run(*command: str) -> None:
        subprocess.run([*as_owner, *command], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)

    try:
        run(str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C",
            "--no-sync", "--pwfile", str(folder / "password"))  # fmt: skip
        run(str(programs / "pg_ctl"), "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield Server(port)
        finally:
            run(str(programs / "pg_ctl"), "-D", str(data), "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
