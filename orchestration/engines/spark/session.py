"""The single Spark session of a process, with the lake's Iceberg catalog as its default.

This module sets the Spark settings that do not depend on the cluster, above all those that affect results. Master, memory, jars and any
other catalog come from STARTS_SPARK_MASTER and STARTS_SPARK_CONF.
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
# dbt-spark uses the session of the process, so there is only one.
_session: SparkSession | None = None

# Parts of the errors that Derby, and Iceberg on Derby, raise if a second process opens the catalog.
_SIGNS_OF_ANOTHER_PROCESS = ("XSDB6", "supports only one client at a time")

_ICEBERG_EXTENSIONS = "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions"


def spark_session(settings: SparkSettings) -> SparkSession:
    """Return the session of this process; the first call starts it. Raises `StartsError` if Spark or the cluster is missing."""
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
            # Set before Derby starts: its log and the catalog are in this folder. In a Spark setting, the path would need escaping.
            cast("Any", session)._jvm.java.lang.System.setProperty("derby.system.home", str(_catalog_folder(settings).parent))
        # The first statement opens the catalog.
        session.sql("show schemas").collect()
        if _is_embedded_catalog(settings):
            _prepare_embedded_catalog(session, settings)
    except (PySparkException, Py4JError, RuntimeError, OSError) as error:
        text = str(error)
        if any(sign in text for sign in _SIGNS_OF_ANOTHER_PROCESS):
            raise LockedError(f"Another process has the lake {settings.lake} open. Try again when it has finished.") from error
        raise StartsError(
            f"Spark at {settings.master} could not be started ({text.splitlines()[0]}). Is the master running, and is Java 17 installed?"
        ) from error
    _session = session
    atexit.register(stop_session)
    return session


def stop_session() -> None:
    """Stop the session of this process, if there is one, and its Java process."""
    global _session
    if _session is not None:
        _session.stop()
        _session = None


def session_conf(settings: SparkSettings) -> dict[str, str]:
    """Return the configuration of the session. Settings in STARTS_SPARK_CONF override the others."""
    lake = f"spark.sql.catalog.{CATALOG}"
    conf = {
        "spark.app.name": "conversation_starts",
        "spark.sql.extensions": _ICEBERG_EXTENSIONS,
        lake: "org.apache.iceberg.spark.SparkCatalog",
        f"{lake}.warehouse": location_of(settings.lake),
        "spark.sql.defaultCatalog": CATALOG,
        # Spark creates this folder for its own catalog, which is empty here; by default in the working directory.
        "spark.sql.warehouse.dir": location_of(settings.lake / ".spark"),
        # Timestamps are read and written as UTC, whatever the cluster's time zone.
        "spark.sql.session.timeZone": "UTC",
        # Overflows and failed casts are errors in ANSI mode and null without it. The models expect null.
        "spark.sql.ansi.enabled": "false",
        # DuckDB writes days before 1582 to Parquet without rebasing. With its default, Spark would refuse to read them.
        "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
        "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
        # Otherwise Iceberg receives a day in a condition in the calendar that Europe used before 1582, which lacks 10 days of that year.
        "spark.sql.datetime.java8API.enabled": "true",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "20000",
        # The query that finds connected identifiers is a long chain of expressions.
        "spark.sql.analyzer.maxIterations": "1000",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
        # The UI shows statements, and the names and numbers in them, to everyone who can reach the driver.
        "spark.ui.enabled": "false",
        # Two models that dbt builds at the same time share the cluster instead of queueing.
        "spark.scheduler.mode": "FAIR",
        # Executors import the landing and export code.
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
    """Return the Iceberg runtime of the extra `spark-test` if it is installed; a platform provides its own."""
    with suppress(ImportError):
        from snowpark_connect_deps_iceberg import get_jar_path  # pyright: ignore[reportMissingImports]

        return Path(get_jar_path("iceberg-spark-runtime-3.5_2.12-1.9.2.jar"))
    return None


# The default catalog: a Hive metastore inside the driver, on a Derby database in the lake. So the lake's folder contains everything, needs
# no server, shares nothing with other lakes, and can store views (Iceberg's folder catalog cannot). Derby admits one process at a time,
# like DuckDB for the warehouse file; readers use the published files.

_CATALOG_FOLDER = "catalog"
_DERBY = f"jdbc:derby:;databaseName={_CATALOG_FOLDER}"


def _is_embedded_catalog(settings: SparkSettings) -> bool:
    own = (f"spark.sql.catalog.{CATALOG}.", "spark.hadoop.hive.metastore.uris")
    return not any(name.startswith(own) for name in settings.conf)


def _catalog_folder(settings: SparkSettings) -> Path:
    if settings.is_connect:
        raise StartsError(
            f"STARTS_SPARK_MASTER is {settings.master}: with Spark Connect, set an Iceberg catalog in STARTS_SPARK_CONF, such as "
            f"spark.sql.catalog.{CATALOG}.type=rest and spark.sql.catalog.{CATALOG}.uri=…"
        )
    return settings.lake / _CATALOG_FOLDER


def _embedded_catalog_conf(settings: SparkSettings) -> dict[str, str]:
    folder = _catalog_folder(settings)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return {
        f"spark.sql.catalog.{CATALOG}.type": "hive",
        "spark.hadoop.javax.jdo.option.ConnectionURL": f"{_DERBY};create=true",
        # Looking for every table of the metastore takes 10 s, so it is done only once.
        "spark.hadoop.datanucleus.schema.autoCreateAll": str(not (folder / "ready").exists()).lower(),
        "spark.hadoop.hive.metastore.schema.verification": "false",
    }


def _prepare_embedded_catalog(session: SparkSession, settings: SparkSettings) -> None:
    """Create the lock tables of the metastore. It does not create them itself, and without them, one of two commits could be lost.

    If the tables exist, delete the locks of a killed process: the catalog admits one process, so no lock belongs to another one. The
    metastore would keep the locks for five minutes, but commits give up after three.
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
        # Drop the tables that an earlier process may have created before it was killed here.
        java.org.apache.hadoop.hive.metastore.txn.TxnDbUtil.cleanDb(conf)
    java.org.apache.hadoop.hive.metastore.txn.TxnDbUtil.prepDb(conf)
    ready.touch()
