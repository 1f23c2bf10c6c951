"""YAML files of the project."""

from pathlib import Path
from typing import Any

import yaml

# It takes a tenth of the time; a PyYAML built without libyaml does not have it.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file. Raises `OSError` and `yaml.YAMLError`."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
