"""What Dagster's catalog shows of every asset beside its own description: who owns it, and which stage of the report it belongs to."""

from dagster import AssetSpec

from orchestration.settings import Settings

STAGE_TAG = "conversation_starts/stage"

_STAGES = {
    "botmaker": "fetch",
    "landing": "raw",
    "lookups": "lookups",
    "staging": "staging",
    "intermediate": "intermediate",
    "marts": "marts",
    "publication": "outputs",
    "export": "outputs",
    "analysis": "outputs",
}
_OWNERS = [Settings.from_environment().owner]


def in_catalog(spec: AssetSpec) -> AssetSpec:
    """Return the asset with its owner and its stage; every group has one."""
    if spec.group_name not in _STAGES:
        raise ValueError(f"The group {spec.group_name} of {spec.key.to_user_string()} has no stage in {__name__}.")
    return spec.replace_attributes(owners=_OWNERS, tags={**spec.tags, STAGE_TAG: _STAGES[spec.group_name]})
