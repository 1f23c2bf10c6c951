"""Tests of our YAML against dbt's own JSON schemas, which dbt applies strictly only for other adapters."""

from pathlib import Path
from typing import Any

import pytest
from dbt.jsonschemas.jsonschemas import project_schema, resources_schema
from jsonschema import Draft7Validator

from orchestration.settings import DBT_PROJECT_DIR
from orchestration.yaml_files import read_yaml

# Metrics use the syntax of dbt 1.11; the schemas have only that of 1.12.
RESOURCE_FILES = sorted(
    path
    for path in [*(DBT_PROJECT_DIR / "models").rglob("*.yml"), *(DBT_PROJECT_DIR / "seeds").rglob("*.yml")]
    if path.parent.name != "metrics" or path.stem == "metricflow_time_spine"
)


def _complaints(path: Path, schema: dict[str, Any]) -> list[str]:
    document = read_yaml(path)
    errors = Draft7Validator(schema).iter_errors(document)
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in errors]


@pytest.mark.parametrize("path", RESOURCE_FILES, ids=lambda path: path.stem)
def test_keys_of_models_and_seeds_are_valid(path: Path) -> None:
    assert _complaints(path, resources_schema()) == []


def test_keys_of_the_project_are_valid() -> None:
    assert _complaints(DBT_PROJECT_DIR / "dbt_project.yml", project_schema()) == []
