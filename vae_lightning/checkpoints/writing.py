"""How checkpoints reach the disk and come back: whole or not at all, and nothing of them unexpected."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor

from vae_lightning.checkpoints.contents import reading
from vae_lightning.checkpoints.expectations import Expectation
from vae_lightning.disk.files import replacing


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


def first_not_finite(state: dict[str, Any]) -> str | None:
    """The name of a tensor in a state dict that is not finite; None where all are."""
    values = {name: value for name, value in state.items() if isinstance(value, Tensor) and value.is_floating_point()}
    finite = torch.stack([value.isfinite().all() for value in values.values()]).tolist() if values else []
    return next((name for name, is_finite in zip(values, finite, strict=True) if not is_finite), None)
