"""Build hook: add the files of the clone that runs need to a wheel, below `orchestration/bundled`."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Listed one by one, because dbt writes into folders of its project.
_BUNDLED = (
    "dagster.yaml",
    "dbt_project/dbt_project.yml",
    "dbt_project/profiles.yml",
    "dbt_project/selectors.yml",
    "dbt_project/macros",
    "dbt_project/models",
    "dbt_project/seeds",
    "dbt_project/tests",
    "seeds/sample_logs",
)


class BundleHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        # An editable installation runs from the clone.
        if version == "standard":
            build_data["force_include"].update({path: f"orchestration/bundled/{path}" for path in _BUNDLED})
