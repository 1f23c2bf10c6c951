"""A Spark cluster on this machine: a master and two workers, each in its own process, only on the loopback address.

`python deploy/spark/local_cluster.py start FOLDER` starts the cluster and prints the variables to set; `… stop FOLDER` stops it.
The cluster is for trying and testing STARTS_ENGINE=spark: the jars come from the `pyspark` wheel, the Iceberg runtime from the extra
`spark-test`.
"""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

HOST = "127.0.0.1"
WORKERS = 2
# The driver, two workers and their executors fit into 4 GB.
WORKER_MEMORY, EXECUTOR_MEMORY, DRIVER_MEMORY = "1400m", "1200m", "1200m"
_OPENS = ("lang", "lang.reflect", "io", "net", "nio", "util", "util.concurrent", "util.concurrent.atomic")
_OPENED = [f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in _OPENS] + [
    f"--add-opens=java.base/sun.{name}=ALL-UNNAMED" for name in ("nio.ch", "nio.cs", "security.action", "util.calendar")
]
_SECONDS_TO_START = 120


def main() -> int:
    command, folder = sys.argv[1], Path(sys.argv[2]).resolve()
    if command == "stop":
        return stop(folder)
    if _pids(folder):
        print(f"There is already a cluster in {folder}: stop it first.", file=sys.stderr)
        return 2
    try:
        variables = start(folder)
    except (OSError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def start(folder: Path) -> dict[str, str]:
    """Start the processes, wait until the master has both workers, and return the variables to set. Raises `RuntimeError`."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    port, web_port = _free_port(), _free_port()
    master = f"spark://{HOST}:{port}"
    processes = [
        _java(folder, "master", "org.apache.spark.deploy.master.Master", "--host", HOST, "--port", str(port), "--webui-port", str(web_port))
    ]
    _record(folder, processes)
    for number in range(WORKERS):
        processes.append(
            _java(
                folder, f"worker{number + 1}", "org.apache.spark.deploy.worker.Worker", "--host", HOST, "--cores", "1",
                "--memory", WORKER_MEMORY, "--work-dir", str(folder / "work"), "--webui-port", "0", master,
            )
        )  # fmt: skip
        _record(folder, processes)
    _wait_for_workers(folder, web_port, processes)
    conf = {
        "spark.executor.memory": EXECUTOR_MEMORY,
        "spark.driver.memory": DRIVER_MEMORY,
        "spark.driver.host": HOST,
        "spark.driver.bindAddress": HOST,
        "spark.ui.enabled": "false",
        "spark.log.level": "ERROR",
        # The data is small and there are two cores: more partitions would be empty tasks.
        "spark.sql.shuffle.partitions": str(WORKERS),
    }
    return {
        "STARTS_ENGINE": "spark",
        "STARTS_SPARK_MASTER": master,
        "STARTS_SPARK_CONF": ";".join(f"{name}={value}" for name, value in conf.items()),
        "STARTS_LAKE": str(folder / "lake"),
    }


def stop(folder: Path) -> int:
    """Stop the processes of a cluster, the workers before the master. Do nothing if there is no cluster."""
    for pid in filter(_is_alive, reversed(_pids(folder))):
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGTERM)
    give_up_at = time.monotonic() + 20
    while any(map(_is_alive, _pids(folder))) and time.monotonic() < give_up_at:
        time.sleep(0.2)
    for pid in filter(_is_alive, _pids(folder)):
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    (folder / "pids.json").unlink(missing_ok=True)
    return 0


def _java(folder: Path, name: str, main_class: str, *arguments: str) -> "subprocess.Popen[bytes]":
    from pyspark.find_spark_home import _find_spark_home  # pyright: ignore[reportMissingImports]

    home = _find_spark_home()
    environment = {
        **os.environ,
        "SPARK_HOME": home,
        "SPARK_LOCAL_IP": HOST,
        "SPARK_LOCAL_DIRS": str(folder / "local"),
        "SPARK_SCALA_VERSION": "2.12",
        "PYSPARK_PYTHON": sys.executable,
    }
    java = str(Path(os.environ["JAVA_HOME"]) / "bin" / "java") if "JAVA_HOME" in os.environ else "java"
    with (folder / f"{name}.log").open("wb") as log:
        # In its own session, so that Ctrl-C in the shell that started it does not stop the cluster.
        return subprocess.Popen(
            [java, *_OPENED, "-Xmx256m", "-cp", f"{home}/conf:{home}/jars/*", main_class, *arguments],
            env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, cwd=folder,
        )  # fmt: skip


def _wait_for_workers(folder: Path, web_port: int, processes: "list[subprocess.Popen[bytes]]") -> None:
    # A proxy from the environment cannot reach this machine's loopback address.
    opener = build_opener(ProxyHandler({}))
    give_up_at = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < give_up_at:
        if any(process.poll() is not None for process in processes):
            break
        with suppress(OSError, ValueError), opener.open(f"http://{HOST}:{web_port}/json/", timeout=5) as answer:
            if json.load(answer)["aliveworkers"] == WORKERS:
                return
        time.sleep(0.3)
    stop(folder)
    raise RuntimeError(f"The cluster did not start: see the logs in {folder}. Spark 3.5 needs Java 8, 11 or 17.")


def _record(folder: Path, processes: "list[subprocess.Popen[bytes]]") -> None:
    (folder / "pids.json").write_text(json.dumps([process.pid for process in processes]), encoding="utf-8")


def _pids(folder: Path) -> list[int]:
    try:
        return json.loads((folder / "pids.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []


def _is_alive(pid: int) -> bool:
    """Return whether a process is alive and belongs to the cluster: the system may have reused its id."""
    try:
        return b"org.apache.spark.deploy" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    sys.exit(main())
