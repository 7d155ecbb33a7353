"""What of a config can be refused at once, before PyTorch is imported, which takes seconds.

It is refused in the words in which it would be refused later, when the objects are built; what passes is checked then.
"""

from typing import Any

from vae_lightning.building.arguments import below, check_value, construction_message
from vae_lightning.building.declared import declared
from vae_lightning.building.table import MOVED
from vae_lightning.errors import UserError

_PLANE = "Manifold"


def check_early(node: Any, key: str = "") -> None:
    """Walk a plain config that its user has typed, and hold each `_target_` node against what its class declares.

    Args:
        node: the config, or a part of it.
        key: its place in the config, for the messages; empty for the top level.

    Raises:
        UserError: a value of the wrong type, or out of its range.
    """
    if isinstance(node, list):
        for index, item in enumerate(node):
            check_early(item, f"{key}[{index}]")
    if not isinstance(node, dict):
        return
    _check_target(node, key)
    for name, value in node.items():
        check_early(value, below(key, str(name)))


def check_plane(node: dict[str, Any], mode: str, model: Any) -> None:
    """Refuse the picture of a latent plane of a run whose record tells another number of latent dimensions.

    Args:
        node: the mode's part of the config.
        mode: its name.
        model: the model's part of the run's config.

    Raises:
        UserError: it has not two; what it has else, the model itself is asked.
    """
    latent_dim = model.get("latent_dim") if isinstance(model, dict) else None
    is_plane = str(node.get("_target_")).rpartition(".")[2] == _PLANE
    if is_plane and type(latent_dim) is int and latent_dim != 2:
        raise UserError(f"mode={mode} is for two latent dimensions, and this run has {latent_dim}")


def _check_target(node: dict[Any, Any], key: str) -> None:
    target = node.get("_target_")
    found = declared(MOVED.get(target, target)) if isinstance(target, str) else None
    if found is None:
        return
    given = {name: value for name, value in node.items() if name in found.parameters}
    for name, value in given.items():
        check_value(found.parameters[name], value, key)
    for limit in found.limits:
        try:
            limit(given.get(limit.argument))
        except ValueError as error:
            raise UserError(construction_message(error, key)) from error
