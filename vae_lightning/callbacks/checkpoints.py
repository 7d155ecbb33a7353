"""When checkpoints are saved: the best and the last one after each epoch, and the last one within epochs, too."""

import logging
import math
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from vae_lightning.callbacks import within_epoch
from vae_lightning.callbacks.averaging import exchanged
from vae_lightning.checkpoints.expectations import Expectation, mapping, number, optional
from vae_lightning.checkpoints.writing import first_not_finite
from vae_lightning.errors import UserError, require_at_least
from vae_lightning.latents.units import UnitStatistics
from vae_lightning.machine import interruption

log = logging.getLogger("vae_lightning")

MONITOR = "val/elbo"  # the plain one (beta = 1), which no warm-up can fool
_WITHOUT = "val/loss"  # the lowest, where the posterior has no density and there is no ELBO


class Checkpoints(Checkpoint):
    """Saves `checkpoints/best.ckpt`, of the highest validation ELBO, and `checkpoints/last.ckpt`, to be gone on from.

    Where the posterior has no density and there is no ELBO, best.ckpt is of the lowest validation loss.

    Both are saved after an epoch, last.ckpt also within one, between two calls of `training_step` (see
    `training.execution`) or two batches of validation, and when SIGTERM or Ctrl-C has come. Training that goes on from
    any of them is the same bit for bit. No path is kept in a checkpoint.

    Args:
        every_minutes: so long after the last one, last.ckpt is saved within the epoch; null only at its end.
        every_steps: so is it at the end of the call in which so many optimizer steps are full; null never.

    Attributes:
        best_score: that of best.ckpt, of a loss with its sign turned; None where nothing was validated.

    Raises:
        ValueError: an interval that is not above 0.
    """

    def __init__(self, every_minutes: float | None = 10, every_steps: int | None = None):
        if every_minutes is not None and not every_minutes > 0:
            raise ValueError(f"every_minutes must be above 0, or null, got {every_minutes}")
        if every_steps is not None:
            require_at_least("every_steps", every_steps, 1)
        self.every_minutes = every_minutes
        self.every_steps = every_steps
        self.best_score: float | None = None
        self._candidate: float | None = None  # of a validation in this epoch
        self._resumed: within_epoch.Place | None = None
        self._units: UnitStatistics | None = None
        self._is_due = False
        self._saved_at = 0.0
        self._step = 0

    @property
    def unsaved_seconds(self) -> float:
        """How long ago last.ckpt was saved, or the training began that goes on from it: so much is lost with it."""
        return time.monotonic() - self._saved_at if self._saved_at else 0.0

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn != "fit":
            return
        self._resumed = place = within_epoch.place_in(checkpoint, trainer, pl_module)
        if place is None:
            return
        trainer.datamodule.first_batch = place.batches
        loops, epoch, step = checkpoint["loops"]["fit_loop"], checkpoint["epoch"], checkpoint["global_step"]
        within_epoch.rewind(loops, epoch, step, place, trainer)
        units = checkpoint.get("units")  # of a validation within the epoch
        self._units = UnitStatistics.from_dict(units) if units else None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._saved_at, self._step, self._is_due = time.monotonic(), trainer.global_step, False
        place, self._resumed = self._resumed, None
        if place is not None:
            self._go_on_within(place, trainer, pl_module)

    def _go_on_within(self, place: within_epoch.Place, trainer: Trainer, pl_module: LightningModule) -> None:
        # Lightning leaves out the start of an epoch that it goes on within; most callbacks can't do without.
        candidate = self._candidate
        for callback in trainer.callbacks:
            callback.on_train_epoch_start(trainer, pl_module)
        pl_module.on_train_epoch_start()
        self._candidate, pl_module.units = candidate, self._units
        within_epoch.restore(place, trainer, pl_module)
        if trainer.is_global_zero and place.changed:
            log.warning(
                "goes on within epoch %d, but not bit for bit: it was saved with another %s",
                trainer.current_epoch + 1,
                " and ".join(place.changed),
            )

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._candidate = None
        interruption.put_off()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step, before, self._step = trainer.global_step, self._step, trainer.global_step
        if self.every_steps is not None and step // self.every_steps != before // self.every_steps:
            self._is_due = True
        signal, is_time = self._agree(trainer)
        self._is_due |= is_time
        if (signal or self._is_due) and not _is_about_to_validate(trainer):
            self._answer(signal, trainer, pl_module)

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        signal, is_time = self._agree(trainer)
        if signal or is_time:  # not for steps, whose checkpoint comes at the end of the validation
            with exchanged(trainer, pl_module):  # for the weights of training
                self._answer(signal, trainer, pl_module)

    def _answer(self, signal: int, trainer: Trainer, pl_module: LightningModule) -> None:
        if _may_be_dropped(pl_module):
            return
        if _is_finite(trainer, pl_module):  # else the next loss will say so, and the last good checkpoint is kept
            self._save_within(trainer, pl_module)
        if signal:
            raise interruption.Interrupted(signal)

    def _agree(self, trainer: Trainer) -> tuple[int, bool]:
        """The signal that has come to any rank, 0 for none, and whether it is time to save by rank zero's clock."""
        is_time = self.every_minutes is not None and time.monotonic() - self._saved_at >= 60 * self.every_minutes
        if trainer.world_size == 1:
            return interruption.asked(), is_time
        mine = [int(is_time and trainer.is_global_zero), interruption.asked()]
        of_all = torch.tensor(mine, device=trainer.strategy.root_device)
        torch.distributed.all_reduce(of_all, torch.distributed.ReduceOp.MAX)
        is_time, signal = of_all.tolist()
        return signal, bool(is_time)

    def _save_within(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.epochs.settle()
        self._save(trainer, "last")

    def _save(self, trainer: Trainer, name: str) -> None:
        trainer.save_checkpoint(Path(trainer.default_root_dir) / "checkpoints" / f"{name}.ckpt", weights_only=False)
        for logger in trainer.loggers:
            logger.save()  # what had no room on the disk before has it now, or a run that goes on from here lacks it
        self._saved_at, self._is_due = time.monotonic(), False

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if within_epoch.is_within(checkpoint):  # whoever has it saved
            checkpoint[within_epoch.KEY] = within_epoch.state_of(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        metrics = trainer.callback_metrics
        if MONITOR in metrics:
            self._candidate = float(metrics[MONITOR])
        elif _WITHOUT in metrics:
            self._candidate = -float(metrics[_WITHOUT])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        best = -math.inf if self.best_score is None else self.best_score
        if self._candidate is not None and self._candidate > best:
            self.best_score = self._candidate
            self._save(trainer, "best")
        self._save(trainer, "last")
        signal, _ = self._agree(trainer)
        if signal:
            raise interruption.Interrupted(signal)
        interruption.heed()

    def state_dict(self) -> dict[str, Any]:
        return {"best_score": self.best_score, "candidate": self._candidate}

    def expected_state(self, module: LightningModule, data: Any) -> Expectation:
        """What `load_state_dict` can take of a checkpoint."""
        return mapping({"best_score": optional(number(finite=False))}, {"candidate": _candidate})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_score, self._candidate = state_dict["best_score"], state_dict.get("candidate")


def current_checkpoint(node: Any, *, stored: bool = False) -> dict[str, Any]:
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
    if not isinstance(node, dict):
        raise UserError(f"checkpoint={node}: give single keys, such as checkpoint.every_minutes=5")
    old = [name for name in ("best", "last") if name in node]
    if "_target_" not in node:
        steps = (node.get("last") or {}).get("every_n_train_steps")
        return {"_target_": f"{Checkpoints.__module__}.{Checkpoints.__name__}", "every_steps": steps or None}
    if old:
        raise UserError(
            f"checkpoint.{old[0]}: no such key any more; checkpoint.every_steps and checkpoint.every_minutes say how "
            "often last.ckpt is saved"
        )
    return node


def _candidate(value: Any, where: str) -> float | None:
    """What a validation has given, which is better than nothing unless it is NaN."""
    return None if value is None or value != value else number(finite=False)(value, where)


def _is_finite(trainer: Trainer, module: LightningModule) -> bool:
    """Whether the weights are, on every rank: all save, or none does. BatchNorm's statistics are each rank's own."""
    bad = first_not_finite(module.state_dict()) is not None
    if trainer.world_size == 1:
        return not bad
    of_all = torch.tensor(int(bad), device=trainer.strategy.root_device)
    torch.distributed.all_reduce(of_all, torch.distributed.ReduceOp.MAX)
    return not of_all.item()


def _may_be_dropped(module: LightningModule) -> bool:
    """Whether a step is under way that may yet be put back to what was before it, which no checkpoint holds."""
    return module.epochs.dropped is not None and module.epochs.is_within_step


def _is_about_to_validate(trainer: Trainer) -> bool:
    """Whether this call was the epoch's last one, or a validation follows, within which it is saved if need be."""
    loop = trainer.fit_loop.epoch_loop
    return loop.batch_progress.is_last_batch or loop._should_check_val_fx(trainer.fit_loop._data_fetcher)
