"""How reconstructions became what they are: one tall picture, a row an epoch."""

from typing import Any

import torch
from jaxtyping import UInt8
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from vae_lightning.callbacks.pictures import Drawing, FixedPictureCallback
from vae_lightning.checkpoints.expectations import Expectation, mapping, table, tensor, whole
from vae_lightning.data.loader import ImageBatch
from vae_lightning.drawing.walks import history_picture
from vae_lightning.errors import require_at_least

_MOST_ROWS = 1_000  # of a checkpoint: three a power of ten, and the last epoch of every time that it was gone on with


class ReconstructionHistory(FixedPictureCallback):
    """Draws the same validation images and below them their reconstructions after epochs 1, 2, 5, 10, ..., the last.

    The rows are kept in the checkpoint, so that a resumed run's picture has them all. `PictureCallback` says where.

    Args:
        num_images: how many validation images.

    Raises:
        ValueError: `num_images` is below 1.
    """

    def __init__(self, num_images: int = 10):
        super().__init__("reconstruction_history", every_n_epochs=None, chosen_by={"num_images": num_images})
        require_at_least("num_images", num_images, 1)
        self.num_images = num_images
        self._epoch = 0
        self._rows: dict[int, UInt8[Tensor, "N C H W"]] = {}  # by epoch

    def is_due(self, epoch: int) -> bool:
        return epoch in (1, 2, 5) or (epoch % 10 == 0 and self.is_due(epoch // 10))

    def choose(self, data: Any) -> ImageBatch:
        return data.examples(self.num_images)

    def act(self, trainer: Trainer, pl_module: LightningModule, epoch: int) -> None:
        self._epoch = epoch
        super().act(trainer, pl_module, epoch)

    def look(self, trainer: Trainer, pl_module: LightningModule) -> UInt8[Tensor, "R N C H W"]:
        originals = self.fixed_on(pl_module.device)
        images = pl_module.vae.reconstruct(originals.float() / 255, self.told_on(pl_module))
        self._rows[self._epoch] = images.mul(255).round().to(torch.uint8).cpu()
        return torch.stack([originals.cpu(), *self._rows.values()])

    def draw(self, seen: UInt8[Tensor, "R N C H W"], context: str) -> Drawing:
        labels = ["input", *(f"epoch {epoch}" for epoch in self._rows)]
        return Drawing(history_picture(seen.float() / 255, labels, "reconstructions over the epochs", context))

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
