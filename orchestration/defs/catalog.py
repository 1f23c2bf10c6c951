"""The owner and the layer of every asset, which Dagster's catalog shows besides the asset's description."""

from dagster import AssetSpec

from orchestration.settings import Settings

LAYER_TAG = "conversation_starts/layer"

_LAYERS = {
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


def with_owner_and_layer(spec: AssetSpec) -> AssetSpec:
    """Return the asset with its owner and its layer. Raises `ValueError` if its group has no layer."""
    if spec.group_name not in _LAYERS:
        raise ValueError(f"The group {spec.group_name} of {spec.key.to_user_string()} has no layer in {__name__}.")
    return spec.replace_attributes(owners=_OWNERS, tags={**spec.tags, LAYER_TAG: _LAYERS[spec.group_name]})
