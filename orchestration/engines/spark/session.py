"""The one Spark session of a process, with the lake's Iceberg catalog as its default.

Of Spark's own settings only those are fixed here on which results depend; master, memory, jars and another catalog come from
STARTS_SPARK_MASTER and STARTS_SPARK_CONF.
"""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from orchestration.engines.spark.locations import location_of
from orchestration.errors import LockedError, StartsError
from orchestration.installation import PROJECT_ROOT, how_to_install
from orchestration.settings import SparkSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession  # pyright: ignore[reportMissingImports]

CATALOG = "lake"
# dbt-spark takes the session of the process, so there is one.
_session: SparkSession | None = None

# How Derby, and Iceberg for it, say that a second process wants to open the catalog.
_SIGNS_OF_ANOTHER_PROCESS = ("XSDB6", "supports only one client at a time")

_ICEBERG_EXTENSIONS = "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions"


def spark_session(settings: SparkSettings) -> SparkSession:
    """Return the session of this process; the first call makes it. Raises `StartsError` where Spark or a cluster is missing."""
    if find_spec("pyspark") is None or find_spec("dbt.adapters.spark") is None:
        raise StartsError(f"STARTS_ENGINE is spark, but PySpark and dbt-spark are not installed: run {how_to_install('spark')}.")
    from py4j.protocol import Py4JError  # pyright: ignore[reportMissingImports]
    from pyspark.errors import PySparkException  # pyright: ignore[reportMissingImports]
    from pyspark.sql import SparkSession  # pyright: ignore[reportMissingImports]

    global _session
    if _session is not None:
        return _session
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder: Any = SparkSession.builder
    builder = builder.remote(settings.master) if settings.is_connect else builder.master(settings.master)
    for name, value in session_conf(settings).items():
        builder = builder.config(name, value)
    try:
        session = builder.getOrCreate()
        if _is_embedded_catalog(settings):
            # Before Derby starts: it writes its log there, and finds the catalog there. In a setting, a path would have to be escaped.
            cast("Any", session)._jvm.java.lang.System.setProperty("derby.system.home", str(_catalog_folder(settings).parent))
        # The first statement opens the catalog.
        session.sql("show schemas").collect()
        if _is_embedded_catalog(settings):
            _prepare_embedded_catalog(session, settings)
    except (PySparkException, Py4JError, RuntimeError, OSError) as error:
        text = str(error)
        if any(sign in text for sign in _SIGNS_OF_ANOTHER_PROCESS):
            raise LockedError(f"Another process holds the lake {settings.lake} open: try again when it has finished.") from error
        raise StartsError(
            f"Spark at {settings.master} could not be started ({text.splitlines()[0]}). Is the master running, and is Java 17 installed?"
        ) from error
    _session = session
    atexit.register(stop_session)
    return session


def stop_session() -> None:
    """Stop the session of this process, if it has one, and with it the Java process that it talks to."""
    global _session
    if _session is not None:
        _session.stop()
        _session = None


def session_conf(settings: SparkSettings) -> dict[str, str]:
    """Return what the session is configured with; what STARTS_SPARK_CONF names comes last."""
    lake = f"spark.sql.catalog.{CATALOG}"
    conf = {
        "spark.app.name": "conversation_starts",
        "spark.sql.extensions": _ICEBERG_EXTENSIONS,
        lake: "org.apache.iceberg.spark.SparkCatalog",
        f"{lake}.warehouse": location_of(settings.lake),
        "spark.sql.defaultCatalog": CATALOG,
        # Spark makes this folder for a catalog of its own, which holds nothing here; by default where the process was started.
        "spark.sql.warehouse.dir": location_of(settings.lake / ".spark"),
        # Time stamps are UTC on the way in and out, wherever the cluster stands.
        "spark.sql.session.timeZone": "UTC",
        # What overflows or cannot be cast is null in one mode and an error in the other: the models are written for this one.
        "spark.sql.ansi.enabled": "false",
        # Parquet of DuckDB has days before 1582 as they are; Spark would refuse to read them.
        "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
        "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "20000",
        # The search for connected identifiers is a long chain of expressions.
        "spark.sql.analyzer.maxIterations": "1000",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
        # It shows statements, and with them names and numbers, to everyone who reaches the driver.
        "spark.ui.enabled": "false",
        # Two models that dbt builds at once share the cluster, rather than queue.
        "spark.scheduler.mode": "FAIR",
        # Executors import the landing and the exporter.
        "spark.executorEnv.PYTHONPATH": str(PROJECT_ROOT),
    }
    if settings.master.startswith("local"):
        conf |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    jar = _iceberg_jar_for_tests()
    if jar is not None and "spark.jars.packages" not in settings.conf:
        conf["spark.jars"] = str(jar)
    if _is_embedded_catalog(settings):
        conf |= _embedded_catalog_conf(settings)
    return conf | dict(settings.conf)


def _iceberg_jar_for_tests() -> Path | None:
    """Return the Iceberg runtime of the extra `spark-test`, where that is installed; a platform brings its own."""
    with suppress(ImportError):
        from snowpark_connect_deps_iceberg import get_jar_path  # pyright: ignore[reportMissingImports]

        return Path(get_jar_path("iceberg-spark-runtime-3.5_2.12-1.9.2.jar"))
    return None


# The catalog of a lake in a folder: a Hive metastore inside the driver, over a Derby database in the lake itself. So the folder holds
# all there is, no process serves it, two lakes never meet, and views are kept (Iceberg's folder catalog has none). Derby admits one
# process at a time, as DuckDB's working file does; readers take what is published.

_CATALOG_FOLDER = "catalog"
_DERBY = f"jdbc:derby:;databaseName={_CATALOG_FOLDER}"


def _is_embedded_catalog(settings: SparkSettings) -> bool:
    own = (f"spark.sql.catalog.{CATALOG}.", "spark.hadoop.hive.metastore.uris")
    return not any(name.startswith(own) for name in settings.conf)


def _catalog_folder(settings: SparkSettings) -> Path:
    if settings.is_connect:
        raise StartsError(
            f"STARTS_SPARK_MASTER is {settings.master}: with Spark Connect, name an Iceberg catalog in STARTS_SPARK_CONF, such as "
            f"spark.sql.catalog.{CATALOG}.type=rest and spark.sql.catalog.{CATALOG}.uri=…"
        )
    return settings.lake / _CATALOG_FOLDER


def _embedded_catalog_conf(settings: SparkSettings) -> dict[str, str]:
    folder = _catalog_folder(settings)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return {
        f"spark.sql.catalog.{CATALOG}.type": "hive",
        "spark.hadoop.javax.jdo.option.ConnectionURL": f"{_DERBY};create=true",
        # To look for every table of the metastore takes 10 s: once is enough.
        "spark.hadoop.datanucleus.schema.autoCreateAll": str(not (folder / "ready").exists()).lower(),
        "spark.hadoop.hive.metastore.schema.verification": "false",
    }


def _prepare_embedded_catalog(session: SparkSession, settings: SparkSettings) -> None:
    """Make the metastore's tables of locks, which it does not make itself and without which two commits could lose one.

    Where they are there already, remove what a killed process has left in them: the catalog admits one process, so no lock is another's.
    The metastore would keep them for five minutes, and commits give up after three.
    """
    folder = _catalog_folder(settings)
    ready = folder / "ready"
    java: Any = session._jvm
    if ready.exists():
        connection = java.java.sql.DriverManager.getConnection(_DERBY)
        connection.createStatement().executeUpdate("delete from HIVE_LOCKS")
        connection.close()
        return
    conf_class = java.java.lang.Class.forName("org.apache.hadoop.hive.conf.HiveConf")
    conf = java.org.apache.hadoop.hive.conf.HiveConf(cast("Any", session)._jsc.hadoopConfiguration(), conf_class)
    with suppress(Exception):
        # A process that was killed here before has made them.
        java.org.apache.hadoop.hive.metastore.txn.TxnDbUtil.cleanDb(conf)
    java.org.apache.hadoop.hive.metastore.txn.TxnDbUtil.prepDb(conf)
    ready.touch()
