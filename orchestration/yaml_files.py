"""YAML files of the project."""

from pathlib import Path
from typing import Any

import yaml

# A tenth of the time; a PyYAML that was built without libyaml has no such loader.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds. Raises `OSError` and `yaml.YAMLError`."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
