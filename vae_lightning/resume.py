"""The config of a resumed run: what the run directory holds, changed only where the command line may change it."""

from typing import Any

from vae_lightning.errors import UserError
from vae_lightning.run_dir import RunDir

_PLACES = ("resume", "run_dir", "output_dir", "trust", "name")
_WHOLE = ("experiment", "debug")


def resumed_config(run: RunDir, composed: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """The stored config with what was typed put in, each key at a time.

    Args:
        run: the run to go on with.
        composed: the config that Hydra composed from the command line alone.
        overrides: what was typed.

    Raises:
        UserError: an override that would make another model of it.
    """
    stored = run.config()
    for override in overrides:
        key = override.partition("=")[0].lstrip("+~").partition("@")[0].replace("/", ".")
        if key in _PLACES:
            continue
        changed = key in _WHOLE or key.split(".")[0] in ("model", "seed")
        for path in stored if key in _WHOLE else [key]:
            if changed and path not in _PLACES and _get(stored, path) != _get(composed, path):
                raise UserError(
                    f"{override}: {path} was {_short(_get(stored, path))} in {run.path}, and a resumed run keeps it; "
                    "leave it out, or start a new run"
                )
        if not changed:
            _set(stored, key, _get(composed, key))
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


def _short(value: Any) -> str:
    if isinstance(value, dict):
        target = (value.get("encoder") or value).get("_target_", "another")
        return str(target).rpartition(".")[2]
    return str(value)
