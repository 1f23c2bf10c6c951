"""Fixtures for whole runs."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fsspec import AbstractFileSystem
from moto.server import ThreadedMotoServer

from tests.pipeline import Pipeline

for name in [name for name in os.environ if name.startswith(("STARTS_", "BOTMAKER_")) and not name.startswith("STARTS_TEST_")]:
    del os.environ[name]


@pytest.fixture(scope="session", autouse=True)
def dagster_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what Dagster writes of its own out of the tree: instances made in tests do not read our dagster.yaml."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(tmp_path_factory.mktemp("dagster_home")))
        yield


@pytest.fixture
def pipeline(tmp_path: Path) -> Callable[..., Pipeline]:
    """Return a maker of pipelines below the test's own folder; settings by environment variable."""

    def make(name: str = "run", landing: Path | None = None, **environment: str) -> Pipeline:
        zone = landing or tmp_path / name / "landing"
        zone.mkdir(parents=True, exist_ok=True)
        return Pipeline(zone, tmp_path / name / "data", environment)

    return make


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[AbstractFileSystem]:
    """An object store without buckets; the environment says how to reach it."""
    import s3fs

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
