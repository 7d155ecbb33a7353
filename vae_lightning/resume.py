"""The config of a resumed run: what the run directory holds, changed only where the command line may change it."""

from typing import Any

from vae_lightning.errors import UserError
from vae_lightning.run_dir import RunDir

PLACES = ("resume", "run_dir", "output_dir", "sweep", "sweep_dir", "trust", "name")  # change nothing that is trained
_REPLACEABLE = ("callbacks", "logger")


def resumed_config(run: RunDir, composed: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """The stored config with the keys that were typed put in; what was typed when the run began may be repeated.

    Args:
        run: the run to go on with.
        composed: the config that Hydra composed from the command line alone.
        overrides: what was typed.

    Raises:
        UserError: an override that would make another model or another setting of it.
    """
    stored, known = run.config(), run.overrides()
    for override in overrides:
        key = override.partition("=")[0].lstrip("+~").partition("@")[0]
        if key in PLACES or override in known:
            continue
        path = key.replace("/", ".")
        value, group = _get(composed, path), path.split(".")[0]
        if group in ("model", "seed") and value != _get(stored, path):
            raise UserError(f"{override}: {run.path} was trained with another, which a resumed run keeps")
        if path not in _REPLACEABLE and (path in ("experiment", "debug") or isinstance(_get(stored, path), dict)):
            raise UserError(
                f"{override}: a resumed run keeps its {path}; give single keys, such as trainer.max_epochs=40"
            )
        _set(stored, path, value)
    return stored


def _get(config: dict[str, Any], path: str) -> Any:
    node: Any = config
    for name in path.split("."):
        node = node.get(name) if isinstance(node, dict) else None
    return node


def _set(config: dict[str, Any], path: str, value: Any) -> None:
    *parents, name = path.split(".")
    node = config
    for parent in parents:
        node = node.setdefault(parent, {})
    node[name] = value
