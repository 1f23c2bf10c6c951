"""Tests that dbt is imported only by its callers, and that Dagster's definitions are the same without it."""

import json
import subprocess
import sys
from typing import Any

import pytest

# In a separate process, because dbt is already imported in that of the tests.
DEFINITIONS = """
import json, logging, sys
if {dbt_first}:
    import dbt.version
from orchestration.definitions import defs
modules = [name for name in sys.modules if name.partition(".")[0] == "dbt"]
graph = defs.resolve_asset_graph()
assets = {{
    node.key.to_user_string(): [node.group_name, node.description, sorted(map(str, node.parent_keys)), sorted(map(str, node.check_keys))]
    for node in graph.asset_nodes
}}
from orchestration.transform.dbt_import import import_dbt
before = [*logging.getLogger().handlers]
import_dbt()
print(json.dumps({{
    "modules": modules,
    "assets": assets,
    "is_imported": "dbt.cli.main" in sys.modules,
    "leaves_the_root_logger": logging.getLogger().handlers == before,
}}))
"""


@pytest.mark.thorough
def test_assets_are_the_same_whether_dbt_is_imported_or_not() -> None:
    assert _definitions(dbt_first=True)["assets"] == _definitions(dbt_first=False)["assets"]


def test_definitions_load_without_dbt_and_keep_the_root_logger() -> None:
    found = _definitions(dbt_first=False)
    assert found["modules"] == []
    assert len(found["assets"]) > 30
    assert found["is_imported"]
    assert found["leaves_the_root_logger"]


def _definitions(*, dbt_first: bool) -> dict[str, Any]:
    run = subprocess.run([sys.executable, "-c", DEFINITIONS.format(dbt_first=dbt_first)], capture_output=True, text=True, check=False)
    # Not even a warning of Dagster about a beta feature.
    assert (run.returncode, run.stderr) == (0, "")
    return json.loads(run.stdout)
