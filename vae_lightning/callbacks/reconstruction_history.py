"""How reconstructions became what they are: one tall picture, a row an epoch."""

from typing import Any

import torch
from jaxtyping import UInt8
from lightning.pytorch import LightningModule
from torch import Tensor

from vae_lightning.callbacks.pictures import PictureCallback
from vae_lightning.callbacks.source import TrainingSource
from vae_lightning.checkpoints.expectations import Expectation, mapping, table, tensor, whole
from vae_lightning.drawing.png import to_uint8
from vae_lightning.drawing.walks import history_picture
from vae_lightning.pictures.picture import Drawing
from vae_lightning.pictures.reconstructions import Reconstructions

_MOST_ROWS = 1_000  # of a checkpoint: three a power of ten, and the last epoch of every time that it was gone on with


class ReconstructionHistory(PictureCallback):
    """Draws the same validation images and below them their reconstructions after epochs 1, 2, 5, 10, ..., the last.

    The rows are kept in the checkpoint, so that a resumed run's picture has them all. `PictureCallback` says where.

    Args:
        num_images: how many validation images.

    Raises:
        ValueError: `num_images` is below 1.
    """

    def __init__(self, num_images: int = 10):
        super().__init__(Reconstructions(num_images=num_images), "reconstruction_history")
        self._rows: dict[int, UInt8[Tensor, "N C H W"]] = {}  # by epoch

    def is_due(self, epoch: int) -> bool:
        return epoch in (1, 2, 5) or (epoch % 10 == 0 and self.is_due(epoch // 10))

    def drawn(self, source: TrainingSource) -> Drawing:
        originals, reconstructions = self.picture.look(source)
        self._rows[source.epoch] = to_uint8(reconstructions)
        rows = torch.stack([originals, *(row.float() / 255 for row in self._rows.values())])
        labels = ["input", *(f"epoch {epoch}" for epoch in self._rows)]
        return Drawing(
            history_picture(rows, labels, "reconstructions at the posterior means, over the epochs", source.context)
        )

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"rows": dict(self._rows)}

    def expected_state(self, module: LightningModule, data: Any) -> Expectation:
        known = super().expected_state(module, data)

        def take(value: Any, where: str) -> dict[str, Any]:
            state = known(value, where)
            row = tensor(state["fixed"].shape if "fixed" in state else (), torch.uint8)
            rows = table(whole(1), row, most=_MOST_ROWS)
            return state | mapping({}, {"rows": rows})(value, where)

        return take

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._rows = dict(state_dict.get("rows", {}))
