"""The owner and the stage of every asset, which Dagster's catalog shows besides the asset's description."""

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


def with_owner_and_stage(spec: AssetSpec) -> AssetSpec:
    """Return the asset with its owner and its stage. Raises `ValueError` if its group has no stage."""
    if spec.group_name not in _STAGES:
        raise ValueError(f"The group {spec.group_name} of {spec.key.to_user_string()} has no stage in {__name__}.")
    return spec.replace_attributes(owners=_OWNERS, tags={**spec.tags, STAGE_TAG: _STAGES[spec.group_name]})
