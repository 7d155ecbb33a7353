"""How checkpoints reach the disk: whole or not at all, and readable wherever their run directory is moved."""

import os
from pathlib import Path
from typing import Any

from lightning.pytorch.plugins.io import TorchCheckpointIO


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target and renames, so that a run killed meanwhile keeps its last checkpoint.

    Lightning itself writes to the system's temporary folder first, which may be another disk.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        temporary = f"{path}.part"
        try:
            super().save_checkpoint(checkpoint, temporary)
            os.replace(temporary, path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise

    def load_checkpoint(self, path: str | Path, *args: Any, **kwargs: Any) -> dict[str, Any]:
        checkpoint = super().load_checkpoint(path, *args, **kwargs)
        for state in checkpoint.get("callbacks", {}).values():
            if "best_k_models" in state:
                _move(state, Path(os.path.realpath(path)).parent)  # as ModelCheckpoint has its own
        return checkpoint


def _move(state: dict[str, Any], folder: Path) -> None:
    """Make a ModelCheckpoint's state speak of `folder`; it would forget the best score of a moved run otherwise."""

    def moved(path: str) -> str:
        return str(folder / Path(path).name) if path else path

    state["dirpath"] = str(folder)
    state["best_k_models"] = {moved(path): score for path, score in state["best_k_models"].items()}
    for name in ("best_model_path", "last_model_path", "kth_best_model_path"):
        state[name] = moved(state[name])
