"""How checkpoints reach the disk and come back: whole or not at all, and nothing of them unexpected."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from vae_lightning.checkpoint_contents import reading
from vae_lightning.errors import UserError
from vae_lightning.expectations import Expectation
from vae_lightning.files import replacing


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target and renames, so that a run killed meanwhile keeps its last checkpoint.

    Lightning itself writes to memory and to the system's temporary folder first, which may be another disk. It also
    reads and removes what any file system's protocol reaches, whole folders too; here a path is one of a file on this
    machine.

    Args:
        expected: asked at each reading for what the checkpoint must be.
    """

    def __init__(self, expected: Callable[[], Expectation]):
        super().__init__()
        self._expected = expected

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
        """What is believed of the file, on the CPU.

        Raises:
            UserError: it can't be read, or is not as expected.
        """
        with reading(Path(path), f"{path}") as take:
            return take(self._expected())

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a file, never a folder."""
        if Path(path).is_file():
            Path(path).unlink()


def current_node(node: dict[str, Any] | None, *, stored: bool = False) -> dict[str, Any]:
    """The config of `Checkpoints`, also for a run of an earlier version, whose `best` and `last` were Lightning's.

    Args:
        node: as it was typed, or is stored.
        stored: whether it was found in a run directory, where there may be none.

    Raises:
        UserError: no checkpoints, or keys of an earlier version beside those of this one.
    """
    if not node and not stored:
        raise UserError(
            "checkpoint=null: a run tests its best checkpoint; checkpoint.every_minutes=null has it saved at the end "
            "of epochs only"
        )
    node = node or {}
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
