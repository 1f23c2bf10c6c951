"""Requirements of the tests of the second engine that the project itself does not install."""

import shutil
from importlib.util import find_spec

import pytest

_HAS_PACKAGES = all(find_spec(name) for name in ("pyspark", "snowpark_connect_deps_iceberg")) and find_spec("dbt.adapters.spark")

NEEDS_SPARK = pytest.mark.skipif(
    not (_HAS_PACKAGES and shutil.which("java")),
    reason="need Spark (apt-get install openjdk-17-jre-headless; .venv/bin/uv sync --inexact --extra spark --extra spark-test)",
)

# A test's Java processes live for a minute or two: the second compiler and multi-threaded collectors cost more than they save. With the
# first compiler alone, Java reserves 48 MB for compiled code; when these are full, it sometimes fails with an InternalError.
_SHORT_LIVED = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC"
SHORT_LIVED_CONF = {"spark.driver.extraJavaOptions": _SHORT_LIVED, "spark.executor.extraJavaOptions": _SHORT_LIVED}
