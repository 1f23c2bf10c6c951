"""Fixtures for whole runs, and the summary line about skipped tests. `tests/README.md` lists which fixture to use."""

import gc
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from fsspec import AbstractFileSystem

from orchestration.settings import PROJECT_ROOT, SAMPLE_LOGS
from tests.pipeline import Pipeline

for name in [name for name in os.environ if name.startswith(("STARTS_", "BOTMAKER_")) and not name.startswith("STARTS_TEST_")]:
    del os.environ[name]


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes after their argument: an archive's bytes contain its creation time, and all workers must collect the same names."""
    return argname if isinstance(val, bytes) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all but every n-th case of a test marked `sampled(n)` as `thorough`, so that only `make test-all` runs them."""
    seen: Counter[str] = Counter()
    for item in items:
        mark = item.get_closest_marker("sampled")
        if mark is not None:
            name = item.nodeid.partition("[")[0]
            if seen[name] % mark.args[0]:
                item.add_marker("thorough")
            seen[name] += 1


def pytest_collection_finish() -> None:
    """Exclude the objects that exist by now from garbage collection, which would scan them again and again."""
    gc.freeze()


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """Reset the umask before every test: the entry points, which tests call in this process, set a stricter one."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture(scope="session", autouse=True)
def dagster_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep Dagster's own files out of the tree; instances created in tests do not read the repository's dagster.yaml."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(tmp_path_factory.mktemp("dagster_home")))
        yield


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Return a function that creates a folder once for all workers. Copy a folder before you change it."""
    # The base folder of a worker is inside that of the session.
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "made_once"
    shared.mkdir(exist_ok=True)

    def make(name: str, fill: Callable[[Path], object]) -> Path:
        folder, finished = shared / name, shared / f"{name}.finished"
        with FileLock(shared / f"{name}.lock"):
            if not finished.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                finished.touch()
        return folder

    return make


@pytest.fixture
def pipeline(tmp_path: Path) -> Callable[..., Pipeline]:
    """Return a function that creates pipelines in the test's own folder, without a data folder; settings are environment variables."""

    def make(name: str = "run", landing: Path | None = None, **environment: str) -> Pipeline:
        zone = landing or tmp_path / name / "landing"
        zone.mkdir(parents=True, exist_ok=True)
        return Pipeline(zone, tmp_path / name / "data", environment)

    return make


@pytest.fixture(scope="session")
def empty_build(made_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """Return the data folder of a finished build of an empty landing zone."""

    def build(folder: Path) -> None:
        (folder / "landing").mkdir()
        assert Pipeline(folder / "landing", folder / "data", {}).run().success

    return made_once("empty_build", build) / "data"


@pytest.fixture
def warm(pipeline: Callable[..., Pipeline], empty_build: Path) -> Callable[..., Pipeline]:
    """Return a function like `pipeline`, but the first run is an increment: it takes a second less than a first build."""

    def make(name: str = "run", landing: Path | None = None, **environment: str) -> Pipeline:
        made = pipeline(name, landing, **environment)
        shutil.copytree(empty_build, made.data, symlinks=True, ignore=shutil.ignore_patterns(".dbt"))
        return made

    return make


def make_run(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `make run` in a separate process, without the variables that an outer `make` sets."""
    # The tests themselves may run under `make test`.
    of_make = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "DAGSTER_HOME"}
    kept = {name: value for name, value in os.environ.items() if name not in of_make}
    return subprocess.run(["make", "run"], cwd=PROJECT_ROOT, env=kept | environment, capture_output=True, text=True)


@pytest.fixture(scope="session")
def made_by_make_run(made_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """Return a folder with the bundled logs, published by `make run` in `data`, and its output in `stdout`."""

    def build(folder: Path) -> None:
        done = make_run({"STARTS_DATA": str(folder / "data")})
        assert done.returncode == 0, done.stdout + done.stderr
        (folder / "stdout").write_text(done.stdout, encoding="utf-8")

    return made_once("made_by_make_run", build)


@pytest.fixture(scope="session")
def sample(made_by_make_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """Return a copy of the bundled logs, run once for all workers. Export from it and read it, but land nothing."""
    data = tmp_path_factory.mktemp("sample") / "data"
    shutil.copytree(made_by_make_run / "data", data, symlinks=True)
    return Pipeline(SAMPLE_LOGS, data, {})


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[AbstractFileSystem]:
    """Start an object store without buckets, and set the environment variables that address it."""
    # Imported here because every worker imports this module, and moto takes half a second.
    import httpx
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        }.items():
            monkeypatch.setenv(name, value)
        # Moto keeps its buckets for all servers of a process.
        httpx.post(f"http://{host}:{port}/moto-api/reset").raise_for_status()
        # fsspec caches one file system per set of arguments, and the endpoint is not an argument.
        s3fs.S3FileSystem.clear_instance_cache()
        yield s3fs.S3FileSystem()
    finally:
        server.stop()
        s3fs.S3FileSystem.clear_instance_cache()


def pytest_xdist_auto_num_workers() -> int:
    """Return one worker more than there are cores: tests spend an eighth of their time waiting for the disk and for processes."""
    return (os.cpu_count() or 1) + 1


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fail-on-skip", action="store_true", help="fail the session if a test was skipped")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """With `--fail-on-skip`, fail a session in which a test was skipped."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.getoption("--fail-on-skip") and reporter and reporter.getreports("skipped") and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one line that lists the skipped tests and what to install for them, so that a skip does not look like a pass."""
    reasons = [report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.getreports("skipped")]
    if reasons:
        each = "; ".join(f"{reasons.count(reason)} {reason}" for reason in dict.fromkeys(reasons))
        terminalreporter.write_line(f"Not tested here: {each}.", yellow=True)
