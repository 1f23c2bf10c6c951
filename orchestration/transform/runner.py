"""The production build: which nodes dbt runs, and what they report."""

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
from orchestration.transform.macro_templates import kept_templates
from orchestration.transform.parsed import parsed_project

STARTS = frozenset({"LogStartLine"})
RESULTS = frozenset({"LogModelResult", "LogSeedResult", "LogTestResult", "LogSnapshotResult"})
DBT_THREAD = "dbt"
_SECONDS_BETWEEN_WAKINGS = 0.1


def build_arguments(settings: Settings, build: Build, *, with_all_checks: bool = False) -> list[str]:
    """Return dbt's command line for a build of the job; `dbt_project/selectors.yml` says what each of them does.

    What is not an increment is made from the raw tables: dbt by hand, or an attempt that failed, may have left tables of another
    version behind. The checks of an increment look at what is new, unless `with_all_checks`.
    """
    increment = "increment_with_all_checks" if with_all_checks else "increment"
    selection = ["--selector", increment] if build.is_increment else ["--selector", "production", "--full-refresh"]
    # No file of results: they are reported as dbt runs.
    return ["build", *selection, "--no-write-json", *common_arguments(settings)]


def check_arguments(settings: Settings) -> list[str]:
    """Return dbt's command line for every check of the data, on all rows."""
    return ["test", "--selector", "production", "--no-write-json", *common_arguments(settings)]


def build_people(settings: Settings, *, full_refresh: bool) -> None:
    """Bring the table of people up to what has landed, outside a build. Raises `DbtError`."""
    arguments = ["run", "--select", "+int_people_identified", "--no-write-json", *common_arguments(settings)]
    _, failure = run_dbt(settings, [*arguments, "--full-refresh"] if full_refresh else arguments)
    if failure is not None:
        raise failure


def run_dbt(settings: Settings, arguments: list[str]) -> tuple[list[dict[str, Any]], DbtError | None]:
    """Run a dbt command to its end; return the events of `stream_dbt`, and what went wrong if anything did."""
    events: list[dict[str, Any]] = []
    try:
        events.extend(stream_dbt(settings, arguments))
    except DbtError as failure:
        return events, failure
    return events, None


def stream_dbt(settings: Settings, arguments: list[str]) -> Generator[dict[str, Any]]:
    """Run a dbt command on the parsed project; yield its events (`STARTS`, `RESULTS`) as they come, as dbt's JSON log would show them.

    Raises `DbtError` after the last one where something failed. Closed before, or interrupted, it returns when dbt has stopped.
    """
    project = parsed_project(settings)
    manifest = project.manifest()
    events: SimpleQueue[dict[str, Any] | BaseException | None] = SimpleQueue()

    def work() -> None:
        try:
            # A data folder may be one that others write to as well.
            with kept_templates(project.folder) if project.is_shared else nullcontext():
                invoke(settings, arguments, manifest, lambda event: _pass_on(event, events))
        except BaseException as error:
            events.put(error)
        else:
            events.put(None)

    # dbt returns only when all is done, so it works in a thread of its own; as a daemon, it ends with the process.
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
    """Stop what `stream_dbt` has begun in this process: an interrupted run may leave its events unread, and dbt at work."""
    for thread in enumerate_threads():
        if thread.name == DBT_THREAD:
            _stop(thread)


def _pass_on(event: Any, events: "SimpleQueue[dict[str, Any] | BaseException | None]") -> None:
    from google.protobuf.json_format import MessageToDict

    if event.info.name in STARTS | RESULTS:
        events.put(MessageToDict(event, preserving_proto_field_name=True))


def _stop(thread: Thread) -> None:
    """Interrupt dbt as Ctrl-C would, if it still works: it starts no further node, and returns when those under way are finished."""
    if thread.is_alive():
        # Python has no other way to raise something in another thread.
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt))
    while thread.is_alive():
        _wake(thread)
        thread.join(_SECONDS_BETWEEN_WAKINGS)


def _wake(thread: Thread) -> None:
    """Let a thread go on that waits for a condition, as dbt does for its nodes: what is raised in it is raised only then."""
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None and frame.f_code is not Condition.wait.__code__:
        frame = frame.f_back
    if frame is not None:
        condition = frame.f_locals["self"]
        with condition:
            condition.notify_all()
