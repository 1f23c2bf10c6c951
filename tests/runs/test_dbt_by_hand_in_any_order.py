"""Tests that marts are correct after the job, single assets, dbt by hand, other versions, failures and kills in any order.

By default one short sequence runs, because a step costs up to eight CPU seconds. STARTS_TEST_SEQUENCES=25 draws that many sequences of up
to STARTS_TEST_STEPS (8) steps each, from an empty warehouse.
"""

import os
import shutil
import tempfile
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from hypothesis.strategies import booleans, integers, sampled_from

from orchestration.settings import DBT_PROJECT_DIR
from orchestration.transform.builds import next_is_increment
from tests.by_hand import (
    ENVIRONMENT,
    NO_UNIT_TESTS,
    NOTHING_LANDED,
    ODD,
    RAW_ASSETS,
    DbtRun,
    copy_of_the_project,
    dbt_by_hand,
    dbt_cut_short,
)
from tests.comparison import assert_marts_equal_the_reference
from tests.data.hostile_logs import hostile_records, write_files
from tests.pipeline import Pipeline

SEQUENCES = int(os.environ.get("STARTS_TEST_SEQUENCES", "0"))
STEPS = int(os.environ.get("STARTS_TEST_STEPS", "8"))
PARTS = 4
MODELS = (
    "int_sends_deduplicated",
    "int_inbound_messages_deduplicated",
    "int_statuses_merged",
    "int_message_recipients",
    "int_identifiers_linked",
    "int_messages_linked",
    "int_people_identified",
    "int_lines_seen",
    "int_lines_identified",
    "int_people_to_recompute",
    "int_sends_with_status",
    "int_activities_sessionized",
    "fct_session_starts",
    "fct_notifications",
    "funnel_session_starts",
)
OTHER_VARIABLES = ("--vars", "{session_timeout_hours: 1}")
# In no other record, so that the reference without this person is that of a zone without the person's file.
PERSON = "5547999990001"
PERSONS_FILE = "person.jsonl"
PERSONS_SEND = (
    b'{"message_id":"wamid.person","sent_at":1791000000,"channel_id":"lab-line-7","contact_id":"5547999990001","template_name":"t"}'
)


class AnyOrder(RuleBasedStateMachine):
    """One data folder; `landed` is a copy of the landing zone at the time when files last landed.

    `reasons` are the reasons for which a build by hand may be refused: `tables` of several versions or partially rebuilt ones, which a full
    rebuild by hand repairs, and a last finished `build` of another version, which only the job replaces.
    """

    @initialize(seed=integers(0, 1000))
    def start(self, seed: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="any_order_"))
        self.run = Pipeline(self.folder / "landing", self.folder / "data", dict(ENVIRONMENT))
        self.run.data.mkdir()
        sends, webhooks = hostile_records(seed, sends=60)
        self.files = {"sends": [line for line in sends if ODD not in line], "webhooks": webhooks}
        self.written: set[tuple[str, int]] = set()
        self.landed: Path | None = None
        self.reasons: set[str] = set()
        self.is_erased = self.is_complete = self.has_finished_build = False
        # The input for which the marts are correct: a copy of the landing zone and a time zone; None after a run without a guarantee.
        self.right_for: Pipeline | None = None
        self.copies = 0
        self.put("sends", 0)

    def teardown(self) -> None:
        self.job()
        shutil.rmtree(self.folder)

    # What lands

    @rule(feed=sampled_from(["sends", "webhooks", "webhooks"]), part=integers(0, PARTS - 1), lands=booleans())
    def put(self, feed: str, part: int, lands: bool = False) -> None:
        """Write a file into the landing zone."""
        if (feed, part) not in self.written:
            self.written.add((feed, part))
            write_files(self.run.landing, feed, f"{part}.jsonl", self.files[feed][part::PARTS])
        if lands:
            self.land()

    @rule()
    def put_the_person(self) -> None:
        write_files(self.run.landing, "sends", PERSONS_FILE, [PERSONS_SEND])

    def land(self) -> None:
        assert self.run.materialize(*RAW_ASSETS).success
        self.remember_what_landed()

    @precondition(lambda self: self.landed is not None)
    @rule()
    def erase(self) -> None:
        assert self.run.command("erase", PERSON).returncode == 0
        self.is_erased = True
        self.assert_the_job_succeeded()

    # The job

    @rule()
    def job(self) -> None:
        assert self.run.run().success
        self.assert_the_job_succeeded()

    @rule(models=integers(1, 45))
    def job_cut_short(self, models: int) -> None:
        with dbt_cut_short(models):
            success = self.run.run().success
        self.remember_what_landed()
        if success:
            self.assert_the_job_succeeded()
            return
        self.right_for = None
        if not self.has_finished_build:
            self.reasons.add("tables")

    @precondition(lambda self: self.landed is not None)
    @rule()
    def models_alone(self) -> None:
        assert self.run.materialize("marts/funnel_session_starts").success
        self.build_finished()

    @precondition(lambda self: self.landed is not None)
    @rule()
    def check_fails(self) -> None:
        """Insert a row that no build reads, because it has no new load id."""
        with duckdb.connect(str(self.run.settings.warehouse_path)) as warehouse:
            if not next_is_increment(warehouse, self.run.settings):
                return
            warehouse.execute("insert into raw.sends select * replace (0 as _load_id) from raw.sends limit 1")
        self.put("sends", 1)
        self.put("webhooks", 1)
        success = self.run.run().success
        with duckdb.connect(str(self.run.settings.warehouse_path)) as warehouse:
            deleted = warehouse.execute("delete from raw.sends where _load_id = 0").fetchone()
        before = self.landed
        self.remember_what_landed()
        # If nothing has landed since the last build, the job does not build.
        assert not success or before is not None
        assert deleted == (1,)
        if success:
            self.assert_marts_are_right()
        else:
            self.right_for = None

    @rule()
    def change_the_time_zone(self) -> None:
        """Change the time zone of the job, which rebuilds everything, and of dbt by hand."""
        if self.run.environment.pop("STARTS_REPORT_TIMEZONE", None) is None:
            self.run.environment["STARTS_REPORT_TIMEZONE"] = "UTC"
        if self.has_finished_build:
            self.reasons.add("build")
        elif self.landed is not None:
            self.reasons.add("tables")

    # dbt by hand

    @rule(command=sampled_from(["build", "build", "run"]), full_refresh=booleans())
    def build(self, command: str, full_refresh: bool) -> None:
        options = NO_UNIT_TESTS if command == "build" else ()
        run = self.dbt(command, *options, *self.full(full_refresh))
        if self.landed is None:
            assert NOTHING_LANDED in str(run.refusal)
        elif not run.success:
            # Only `build` includes the look-ups.
            may_be_refused = self.reasons and (command == "run" or not full_refresh)
            assert run.refusal is not None, run
            assert may_be_refused or (command == "run" and not self.has_finished_build), run
        else:
            self.is_complete = True
            if full_refresh:
                self.reasons.discard("tables")
            self.assert_marts_are_right()

    @rule(model=sampled_from(MODELS), before=sampled_from(["", "+"]), after=sampled_from(["", "+"]), full_refresh=booleans())
    def some_models(self, model: str, before: str, after: str, full_refresh: bool) -> None:
        run = self.dbt("run", "-s", f"{before}{model}{after}", *self.full(full_refresh))
        if self.landed is not None and full_refresh:
            self.reasons.add("tables")
        if run.success:
            self.assert_marts_are_right_for_before_or_now()
        else:
            assert run.refusal is not None, run

    @rule()
    def seed_and_test(self) -> None:
        assert self.dbt("seed").success or self.landed is None
        test = self.dbt("test", "-s", "unique_fct_session_starts_session_start_id")
        assert test.success or test.refusal is not None or self.reasons, test

    @rule()
    def empty(self) -> None:
        assert self.dbt("build", "--empty").refusal is not None or self.landed is None

    @rule(models=integers(1, 45), full_refresh=booleans())
    def build_cut_short(self, models: int, full_refresh: bool) -> None:
        with dbt_cut_short(models):
            run = self.dbt("build", *NO_UNIT_TESTS, *self.full(full_refresh))
        if run.refusal is None:
            self.right_for = None
            if full_refresh:
                self.reasons.add("tables")

    @rule(
        arguments=sampled_from(
            [("build", *NO_UNIT_TESTS), ("run", "-s", "int_sends_deduplicated"), ("build", "--full-refresh", *NO_UNIT_TESTS)]
        )
    )
    def build_with_other_variables(self, arguments: tuple[str, ...]) -> None:
        self.other_definition(self.dbt(*arguments, *OTHER_VARIABLES), arguments)

    @rule(arguments=sampled_from([("seed",), ("build", *NO_UNIT_TESTS), ("build", "--full-refresh", *NO_UNIT_TESTS)]))
    def build_with_another_version(self, arguments: tuple[str, ...]) -> None:
        project = self.folder / "edited" / "dbt_project"
        if not project.exists():
            copy_of_the_project(project)
        self.other_definition(self.dbt(*arguments, project=project), arguments)

    def other_definition(self, run: DbtRun, arguments: tuple[str, ...]) -> None:
        if run.refusal is None:
            self.reasons.add("tables")
            if arguments[0] == "build":
                self.right_for = None
        elif self.landed is not None:
            assert "--full-refresh" not in arguments

    def dbt(self, *arguments: str, project: Path = DBT_PROJECT_DIR) -> DbtRun:
        if "STARTS_REPORT_TIMEZONE" in self.run.environment and "--vars" not in arguments and arguments[0] != "test":
            arguments = (*arguments, "--vars", "{report_timezone: UTC}")
        return dbt_by_hand(self.run, *arguments, project=project)

    # What is checked

    def assert_the_job_succeeded(self) -> None:
        self.remember_what_landed()
        self.build_finished()
        assert_marts_equal_the_reference(self.landed_run(), published=True)

    def build_finished(self) -> None:
        self.reasons.clear()
        self.is_complete = self.has_finished_build = True
        self.assert_marts_are_right()

    def assert_marts_are_right(self) -> None:
        self.right_for = self.landed_run()
        assert_marts_equal_the_reference(self.right_for)

    def assert_marts_are_right_for_before_or_now(self) -> None:
        if self.right_for is not None:
            try:
                assert_marts_equal_the_reference(self.right_for)
            except AssertionError:
                self.assert_marts_are_right()

    def remember_what_landed(self) -> None:
        self.copies += 1
        self.landed = self.folder / f"landed_{self.copies}"
        left_out = shutil.ignore_patterns(*[PERSONS_FILE] * self.is_erased)
        shutil.copytree(self.run.landing, self.landed, ignore=left_out)

    def landed_run(self) -> Pipeline:
        assert self.landed is not None
        return Pipeline(self.landed, self.run.data, dict(self.run.environment))

    @staticmethod
    def full(full_refresh: bool) -> tuple[str, ...]:
        return ("--full-refresh",) if full_refresh else ()


@pytest.mark.thorough
def test_marts_are_correct_after_any_sequence_of_runs() -> None:
    run_state_machine_as_test(
        AnyOrder,
        settings=settings(
            max_examples=max(SEQUENCES, 1),
            stateful_step_count=STEPS if SEQUENCES else 4,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
            # Shrinking a sequence of runs takes an hour; the failed sequence is printed instead.
            phases=[Phase.explicit, Phase.generate],
            derandomize=not SEQUENCES,
        ),
    )
