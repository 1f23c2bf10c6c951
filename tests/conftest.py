"""Fixtures for whole runs, and one line at the end that says what was not tested here. `tests/README.md` says which to use."""

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
    """Name bytes after their argument: an archive's bytes carry the time of their making, and workers must collect the same names."""
    return argname if isinstance(val, bytes) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave all but every n-th case of a test with the mark `sampled(n)` to `make test-all`."""
    seen: Counter[str] = Counter()
    for item in items:
        mark = item.get_closest_marker("sampled")
        if mark is not None:
            name = item.nodeid.partition("[")[0]
            if seen[name] % mark.args[0]:
                item.add_marker("thorough")
            seen[name] += 1


def pytest_collection_finish() -> None:
    """Leave what is in memory by now out of Python's searches for garbage, which would go through it all again and again."""
    gc.freeze()


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """Start every test with the usual rights of files: the entry points, which run in this process here, set stricter ones."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture(scope="session", autouse=True)
def dagster_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what Dagster writes of its own out of the tree: instances made in tests do not read our dagster.yaml."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(tmp_path_factory.mktemp("dagster_home")))
        yield


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Return a maker of folders that are made once for all workers. Copy what you change: others read it, too."""
    # The base folder of a worker lies in that of the session.
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
    """Return a maker of pipelines below the test's own folder, without a data folder yet; settings by environment variable."""

    def make(name: str = "run", landing: Path | None = None, **environment: str) -> Pipeline:
        zone = landing or tmp_path / name / "landing"
        zone.mkdir(parents=True, exist_ok=True)
        return Pipeline(zone, tmp_path / name / "data", environment)

    return make


@pytest.fixture(scope="session")
def empty_build(made_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """The data folder of a finished build of an empty landing zone."""

    def build(folder: Path) -> None:
        (folder / "landing").mkdir()
        assert Pipeline(folder / "landing", folder / "data", {}).run().success

    return made_once("empty_build", build) / "data"


@pytest.fixture
def warm(pipeline: Callable[..., Pipeline], empty_build: Path) -> Callable[..., Pipeline]:
    """Return a maker of pipelines like `pipeline`, whose first run is an increment: it takes a second less than a first build."""

    def make(name: str = "run", landing: Path | None = None, **environment: str) -> Pipeline:
        made = pipeline(name, landing, **environment)
        shutil.copytree(empty_build, made.data, symlinks=True, ignore=shutil.ignore_patterns(".dbt"))
        return made

    return make


def make_run(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `make run` in a process of its own, as if nothing else were set."""
    # This may run below `make test`.
    of_make = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "DAGSTER_HOME"}
    kept = {name: value for name, value in os.environ.items() if name not in of_make}
    return subprocess.run(["make", "run"], cwd=PROJECT_ROOT, env=kept | environment, capture_output=True, text=True)


@pytest.fixture(scope="session")
def made_by_make_run(made_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """The bundled logs, published by `make run` below `data`; what it printed is beside it in `stdout`."""

    def build(folder: Path) -> None:
        done = make_run({"STARTS_DATA": str(folder / "data")})
        assert done.returncode == 0, done.stdout + done.stderr
        (folder / "stdout").write_text(done.stdout, encoding="utf-8")

    return made_once("made_by_make_run", build)


@pytest.fixture(scope="session")
def sample(made_by_make_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """The bundled logs, run once for all workers; each has a copy of its own. Export from it and read it, but land nothing."""
    data = tmp_path_factory.mktemp("sample") / "data"
    shutil.copytree(made_by_make_run / "data", data, symlinks=True)
    return Pipeline(SAMPLE_LOGS, data, {})


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[AbstractFileSystem]:
    """An object store without buckets; the environment says how to reach it."""
    # Here, because each worker imports this module: moto takes half a second.
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
        # fsspec keeps one for each set of arguments, and the address is none.
        s3fs.S3FileSystem.clear_instance_cache()
        yield s3fs.S3FileSystem()
    finally:
        server.stop()
        s3fs.S3FileSystem.clear_instance_cache()


def pytest_xdist_auto_num_workers() -> int:
    """Return one worker more than there are cores: tests wait for the disk and for processes an eighth of their time."""
    return (os.cpu_count() or 1) + 1


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fail-on-skip", action="store_true", help="let the session fail where a test was skipped")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """With `--fail-on-skip`, turn a session in which a test was skipped into a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.getoption("--fail-on-skip") and reporter and reporter.getreports("skipped") and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line which tests were skipped, and what to install for them: a skip without a word looks like a test that passed."""
    reasons = [report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.getreports("skipped")]
    if reasons:
        each = "; ".join(f"{reasons.count(reason)} {reason}" for reason in dict.fromkeys(reasons))
        terminalreporter.write_line(f"Not tested here: {each}.", yellow=True)
