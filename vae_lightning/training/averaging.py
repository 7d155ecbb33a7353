"""What keeps the averages of a training's weights, and what a dropped step must not touch of them."""

import logging
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging

from vae_lightning.building.trust import Trust
from vae_lightning.callbacks.averaging import EMA
from vae_lightning.config import instantiate
from vae_lightning.errors import UserError
from vae_lightning.training.finiteness import Undo

log = logging.getLogger("vae_lightning")


def averaging_of(config: dict[str, Any], chosen: dict[str, Any], trusted: Trust | None) -> list[Callback]:
    """The callbacks that average the weights: of `averaging`, or as it was in earlier versions, one of `callbacks`.

    They are to stand before all others, who see the averages then when training has ended.

    Args:
        config: the resolved config as plain data.
        chosen: the callbacks by name, out of which those that average are taken.
        trusted: see `config.instantiate`.

    Raises:
        UserError: an `averaging` that does not average, or several that do.
    """
    node = config.get("averaging")
    found = {"averaging": instantiate(node, "averaging", trusted=trusted)} if node else {}
    for key, callback in found.items():
        if not isinstance(callback, WeightAveraging):
            raise UserError(f"{key}={node}: does not average weights; choose averaging=ema or averaging=none")
    for name in [name for name, callback in chosen.items() if isinstance(callback, WeightAveraging)]:
        found[f"callbacks.{name}"] = chosen.pop(name)
    if len(found) > 1:
        raise UserError(f"{' and '.join(found)}: average the weights twice; leave {list(found)[-1]} out")
    for key, callback in found.items():
        if isinstance(callback, EMA) and key != "averaging":
            log.info("%s: averages the weights as averaging=ema does, which is the place for it now", key)
    averaging: list[Callback] = list(found.values())
    trainer = config["trainer"]
    if trainer.get("on_nan") == "skip" or trainer.get("skip_gradient_norm") is not None:
        averaging += [AverageOfTaken(callback) for callback in found.values()]
    return averaging


class AverageOfTaken(Callback):
    """Takes a step that was dropped out of the average again; to stand behind the averaging callback.

    Args:
        averaging: keeps the average.
    """

    def __init__(self, averaging: WeightAveraging):
        self._averaging = averaging
        self._undo: Undo | None = None

    def on_train_batch_start(self, *_: Any) -> None:
        average = self._averaging._average_model
        if self._undo is None and average is not None:
            self._undo = Undo([*average.parameters(), *average.buffers()])
        if self._undo is not None:
            self._undo.keep()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if self._undo is not None and pl_module.epochs.dropped is not None:
            self._undo.put_back(pl_module.epochs.dropped)
