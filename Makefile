# Everything runs in .venv, which is created from uv.lock with the system's Python; uv itself is installed there, too.
PYTHON ?= python3
UV_VERSION := 0.13.9
UV := .venv/bin/uv
# Compiled modules start in a fraction of the time; some machines forbid writing them.
unexport PYTHONDONTWRITEBYTECODE
export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := .venv
# tests/conftest.py sets the number of workers for `auto`. Tests of one xdist_group share expensive fixtures, so they run on one worker.
IN_PARALLEL := -n auto --dist loadgroup

# The installation takes from ten seconds to minutes; on a terminal, a dot per second shows that it is active.
define INSTALL
test -x $(UV) || { $(PYTHON) -m venv .venv && .venv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"; } \
    && $(UV) sync --locked --quiet --inexact --compile-bytecode --python .venv/bin/python $(UV_SYNC_FLAGS)
endef

.DEFAULT_GOAL := help
.PHONY: help run test test-all test-fast test-lowest superset-test spark-test spark-cluster spark-cluster-stop dev lint docs site lineage bench sample-logs sample-botmaker clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

.venv/.synced: pyproject.toml uv.lock
	@printf "Installing into .venv …"; [ ! -t 1 ] || while sleep 1 && kill -0 $$$$ 2>/dev/null; do printf .; done & \
	points=$$!; $(INSTALL); code=$$?; kill -KILL $$points 2>/dev/null; wait $$points 2>/dev/null; echo; exit $$code
	@touch $@

run: .venv/.synced ## Land, build, check, publish and export once
	@.venv/bin/python -m orchestration

dev: .venv/.synced ## Open the Dagster UI on http://localhost:3000
	@.venv/bin/python -m orchestration dg dev

test: .venv/.synced ## Run the tests (five minutes)
	.venv/bin/python -m pytest $(IN_PARALLEL) $(PYTEST_FLAGS)

test-all: .venv/.synced ## Run the tests with every seed, as CI does
	.venv/bin/python -m pytest $(IN_PARALLEL) -m "" --ignore tests/spark $(PYTEST_FLAGS)

test-fast: .venv/.synced ## Run the tests that build no models, or only empty ones
	.venv/bin/python -m pytest $(IN_PARALLEL) tests/unit tests/models tests/reference $(PYTEST_FLAGS)

# The lock file holds newer versions than the oldest that pyproject.toml allows, which `pip install` may leave in an environment.
test-lowest: .venv/.synced ## Run the fast tests with the oldest versions that pyproject.toml allows, installed into .lowest
	@$(UV) venv --quiet --clear --python .venv/bin/python .lowest
	@$(UV) pip install --quiet --python .lowest/bin/python --resolution lowest-direct -e ".[metrics,postgres,production,stats,xlsx]"
	@$(UV) pip install --quiet --python .lowest/bin/python --group dev
	.lowest/bin/python -m pytest $(IN_PARALLEL) tests/unit tests/models $(PYTEST_FLAGS)

superset-test: .venv/.synced ## Test the dashboard in a real Superset: set SUPERSET_PYTHON=/path/to/python or STARTS_TEST_SUPERSET=1
	@test -n "$(SUPERSET_PYTHON)$(STARTS_TEST_SUPERSET)" || { echo "Set SUPERSET_PYTHON to the Python of an environment with Superset, or STARTS_TEST_SUPERSET=1 to create one."; exit 2; }
	.venv/bin/python -m pytest tests/bi $(PYTEST_FLAGS)

# The folder to which the processes of a local cluster write, including its lake.
SPARK_CLUSTER := $(CURDIR)/.spark_cluster

.venv/.synced-spark: .venv/.synced
	@$(UV) sync --locked --quiet --inexact --extra spark --extra spark-test --python .venv/bin/python $(UV_SYNC_FLAGS)
	@touch $@

spark-test: .venv/.synced-spark ## Test the Spark engine on a local cluster: needs Java 17
	.venv/bin/python -m pytest tests/spark -n 2 --dist loadgroup -m "" $(PYTEST_FLAGS)

spark-cluster: .venv/.synced-spark ## Start a local Spark cluster and print the variables to set: needs Java 17
	@.venv/bin/python deploy/spark/local_cluster.py start $(SPARK_CLUSTER)

spark-cluster-stop: ## Stop the local Spark cluster
	@test ! -x .venv/bin/python || .venv/bin/python deploy/spark/local_cluster.py stop $(SPARK_CLUSTER)

lint: .venv/.synced ## Check style, types and the rules of the dbt project
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/pyright
	.venv/bin/python -m tests.lint_artifacts .lint
	.venv/bin/dbt-bouncer run --config-file dbt_project/dbt-bouncer.yml
	STARTS_WAREHOUSE=.lint/warehouse.duckdb .venv/bin/sqlfluff lint dbt_project/models dbt_project/tests/singular

docs: .venv/.synced ## Build the documentation of every model and column, after a run
	@.venv/bin/python -m orchestration docs

site: .venv/.synced ## Build the docs as a site, in .site/html
	@$(UV) sync --locked --quiet --inexact --group site --python .venv/bin/python
	@rm -rf .site && mkdir -p .site/pages/bi/superset
	@cp -r README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md docs .site/pages
	@cp bi/*.png .site/pages/bi && cp bi/superset/*.png .site/pages/bi/superset
	@NO_MKDOCS_2_WARNING=true .venv/bin/mkdocs build --strict > .site/log 2>&1 || { cat .site/log; exit 1; }
	@echo .site/html/index.html

lineage: .venv/.synced ## Redraw the lineage picture of the docs
	@.venv/bin/python -m tests.lineage

bench: .venv/.synced ## Compare the job with the floor, pandas and a usual stack: BENCH_FLAGS="--sends 1000000 5000000"
	.venv/bin/python -m tests.benchmarks.compare $(BENCH_FLAGS)

sample-logs: .venv/.synced ## Regenerate the bundled logs, byte for byte
	rm -rf seeds/sample_logs
	.venv/bin/python -m tests.data.generate_logs --out seeds/sample_logs --sends 4400 --days 46 --blemishes

sample-botmaker: .venv/.synced ## Regenerate the bundled Botmaker pages, byte for byte
	rm -rf seeds/sample_botmaker
	.venv/bin/python -m tests.data.generate_botmaker --out seeds/sample_botmaker

clean: ## Remove all generated files and .venv; asks before it deletes the data folder (YES=1: does not ask)
	@if [ -e data ] && [ -z "$(YES)" ]; then \
	    [ -t 0 ] || { echo "make clean would delete the folder data, with the warehouse and all exports: set YES=1 to allow it without a terminal." >&2; exit 2; }; \
	    printf 'Delete the folder data, with the warehouse and all exports? [y/N] '; \
	    read answer; [ "$$answer" = y ] || { echo "Nothing was deleted."; exit 2; }; \
	fi
	rm -rf data dbt_project/target dbt_project/logs .dagster .lint .lowest .site .spark_cluster .logs_queue logs .venv .pytest_cache .ruff_cache
