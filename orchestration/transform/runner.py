"""Run dbt for the job: the command lines of builds and checks, and the events that dbt reports."""

import ctypes
import sys
from collections.abc import Generator
from contextlib import nullcontext
from contextvars import copy_context
from queue import SimpleQueue
from threading import Condition, Thread
from threading import enumerate as enumerate_threads
from typing import Any

from orchestration.settings import Settings
from orchestration.transform.builds import Build
from orchestration.transform.invocation import DbtError, common_arguments, invoke
from orchestration.transform.macro_templates import cached_templates
from orchestration.transform.parsed import parsed_project

START_EVENTS = frozenset({"LogStartLine"})
RESULT_EVENTS = frozenset({"LogModelResult", "LogSeedResult", "LogTestResult", "LogSnapshotResult"})
DBT_THREAD = "dbt"
_SECONDS_BETWEEN_WAKINGS = 0.1


def build_arguments(settings: Settings, build: Build, *, with_all_checks: bool = False) -> list[str]:
    """Return dbt's command line for a build of the job; `dbt_project/selectors.yml` describes the selectors.

    A build that is not an increment starts from the raw tables: dbt by hand, or a failed attempt, may have left tables of another
    version behind. The checks of an increment cover only new data, unless `with_all_checks`.
    """
    increment = "increment_with_all_checks" if with_all_checks else "increment"
    selection = ["--selector", increment] if build.is_increment else ["--selector", "production", "--full-refresh"]
    # No results file: results are reported while dbt runs.
    return ["build", *selection, "--no-write-json", *common_arguments(settings)]


def check_arguments(settings: Settings) -> list[str]:
    """Return dbt's command line for every check of the data, on all rows."""
    return ["test", "--selector", "production", "--no-write-json", *common_arguments(settings)]


def build_people(settings: Settings, *, full_refresh: bool) -> None:
    """Update the table of people with everything that has landed, outside a build. Raises `DbtError`."""
    arguments = ["run", "--select", "+int_people_identified", "--no-write-json", *common_arguments(settings)]
    _, failure = run_dbt(settings, [*arguments, "--full-refresh"] if full_refresh else arguments)
    if failure is not None:
        raise failure


def run_dbt(settings: Settings, arguments: list[str]) -> tuple[list[dict[str, Any]], DbtError | None]:
    """Run a dbt command to its end; return the events of `stream_dbt`, and the error if it failed."""
    events: list[dict[str, Any]] = []
    try:
        events.extend(stream_dbt(settings, arguments))
    except DbtError as failure:
        return events, failure
    return events, None


def stream_dbt(settings: Settings, arguments: list[str]) -> Generator[dict[str, Any]]:
    """Run a dbt command on the parsed project; yield its `START_EVENTS` and `RESULT_EVENTS` in the form of dbt's JSON log.

    Raises `DbtError` after the last event if something failed. If it is closed early or interrupted, it returns when dbt has stopped.
    """
    project = parsed_project(settings)
    manifest = project.manifest()
    events: SimpleQueue[dict[str, Any] | BaseException | None] = SimpleQueue()

    def work() -> None:
        try:
            # Compiled macros are Python code, and other users may have write access to a data folder.
            with cached_templates(project.folder) if project.is_shared else nullcontext():
                invoke(settings, arguments, manifest, lambda event: _pass_on(event, events))
        except BaseException as error:
            events.put(error)
        else:
            events.put(None)

    # dbt returns only when everything is done, so it runs in its own thread. A daemon thread ends with the process.
    thread = Thread(target=copy_context().run, args=(work,), name=DBT_THREAD, daemon=True)
    thread.start()
    try:
        while isinstance(event := events.get(), dict):
            yield event
        thread.join()
        if event is not None:
            raise event
    finally:
        _stop(thread)


def stop_dbt() -> None:
    """Stop every dbt command of `stream_dbt` in this process: an interrupted run may leave its events unread, and dbt running."""
    for thread in enumerate_threads():
        if thread.name == DBT_THREAD:
            _stop(thread)


def _pass_on(event: Any, events: "SimpleQueue[dict[str, Any] | BaseException | None]") -> None:
    from google.protobuf.json_format import MessageToDict

    if event.info.name in START_EVENTS | RESULT_EVENTS:
        events.put(MessageToDict(event, preserving_proto_field_name=True))


def _stop(thread: Thread) -> None:
    """Interrupt dbt as Ctrl-C would, if it still runs: it starts no further node, and returns when the running nodes have finished."""
    if thread.is_alive():
        # Python has no other way to raise an exception in another thread.
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt))
    while thread.is_alive():
        _wake(thread)
        thread.join(_SECONDS_BETWEEN_WAKINGS)


def _wake(thread: Thread) -> None:
    """Wake a thread that waits on a condition, as dbt does for its nodes: a pending exception is raised only when the thread runs."""
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None and frame.f_code is not Condition.wait.__code__:
        frame = frame.f_back
    if frame is not None:
        condition = frame.f_locals["self"]
        with condition:
            condition.notify_all()
