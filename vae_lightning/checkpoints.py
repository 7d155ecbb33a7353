"""How checkpoints reach the disk: whole or not at all, and readable wherever their run directory is moved."""

import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from vae_lightning.errors import UserError
from vae_lightning.files import replacing

_OLD_BEST = "ModelCheckpoint{'monitor': 'val/elbo', 'mode': 'max', "
_OLD_LAST = "ModelCheckpoint{'monitor': None, 'mode': 'min', "


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target and renames, so that a run killed meanwhile keeps its last checkpoint.

    Lightning itself writes to memory and to the system's temporary folder first, which may be another disk.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        file = Path(path)
        file.parent.mkdir(exist_ok=True)  # but not the run directory, which may have been removed
        try:
            with replacing(file, durable=True) as stream:
                torch.save(checkpoint, stream)
        except RuntimeError as error:  # PyTorch's, in place of the one that writing met with
            if isinstance(error.__context__, OSError):
                raise error.__context__ from error
            raise

    def load_checkpoint(self, path: str | Path, *args: Any, **kwargs: Any) -> dict[str, Any]:
        checkpoint = super().load_checkpoint(path, *args, **kwargs)
        _take_over_best(checkpoint.get("callbacks", {}))
        for state in checkpoint.get("callbacks", {}).values():
            if "best_k_models" in state:
                _move(state, Path(os.path.realpath(path)).parent)  # as ModelCheckpoint has its own
        return checkpoint


def current_node(node: dict[str, Any] | None) -> dict[str, Any] | None:
    """The config of `Checkpoints`, also for a run of an earlier version, whose `best` and `last` were Lightning's.

    Raises:
        UserError: keys of an earlier version beside those of this one.
    """
    if not node:
        return node
    old = [name for name in ("best", "last") if name in node]
    if "_target_" not in node:
        steps = (node.get("last") or {}).get("every_n_train_steps")
        return {"_target_": "vae_lightning.callbacks.checkpoints.Checkpoints", "every_steps": steps or None}
    if old:
        raise UserError(
            f"checkpoint.{old[0]}: no such key any more; checkpoint.every_steps and checkpoint.every_minutes say how "
            "often last.ckpt is saved"
        )
    return node


def _take_over_best(states: dict[str, Any]) -> None:
    """Replace the states of the two ModelCheckpoints of earlier versions by that of `Checkpoints`: a score, no path."""
    if "Checkpoints" in states:
        return
    best: dict[str, Any] = next((states.pop(key) for key in list(states) if key.startswith(_OLD_BEST)), {})
    for key in [key for key in states if key.startswith(_OLD_LAST)]:
        del states[key]
    score = best.get("best_model_score")
    states["Checkpoints"] = {"best_score": None if score is None else float(score)}


def _move(state: dict[str, Any], folder: Path) -> None:
    """Make a ModelCheckpoint's state speak of `folder`; it would forget the best score of a moved run otherwise."""

    def moved(path: str) -> str:
        return str(folder / Path(path).name) if path else path

    state["dirpath"] = str(folder)
    state["best_k_models"] = {moved(path): score for path, score in state["best_k_models"].items()}
    for name in ("best_model_path", "last_model_path", "kth_best_model_path"):
        state[name] = moved(state[name])
