"""How many optimizer steps are taken in one call of Lightning's loop, and which trainer settings that takes over.

Lightning spends about half a millisecond on each call of `training_step`, as much as a small network's forward pass.
So the loader hands out several batches at once, and `VAEModule.training_step` takes a step on each.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.utilities.model_helpers import is_overridden

from vae_lightning.callbacks.checkpoints import Checkpoints
from vae_lightning.callbacks.progress import ProgressBar
from vae_lightning.callbacks.throughput import Throughput
from vae_lightning.data.image_data import ImageDataModule
from vae_lightning.errors import UserError
from vae_lightning.training.stepper import STEP_HOOKS, take_limit
from vae_lightning.training.stepping import Stepping

# Of conf/trainer, which Lightning's Trainer has not.
_OWN_SETTINGS = ("capture", "compile", "num_threads", "steps_per_execution")
_STEPPING = tuple(field.name for field in fields(Stepping))
_BATCH_HOOKS = ("on_train_batch_start", "on_train_batch_end", *STEP_HOOKS)
_MOST_STEPS = 32
_MOST_BYTES = 4_000_000  # of uint8: a network with larger batches computes for long enough to hide the loop
_FEWEST_EXECUTIONS = 8  # in an epoch, so that the progress bar moves


def stepping_options(settings: dict[str, Any]) -> dict[str, Any]:
    """The trainer settings that `VAEModule` carries out in Lightning's place: the arguments of its `Stepping`."""
    return {name: settings[name] for name in _STEPPING if settings.get(name) is not None}


def lightning_options(settings: dict[str, Any]) -> dict[str, Any]:
    """The trainer settings that are left to Lightning's Trainer."""
    return {name: value for name, value in settings.items() if name not in _OWN_SETTINGS + _STEPPING}


def execute_together(steps: Any, trainer: Trainer, data: ImageDataModule) -> None:
    """Let the loader hand out so many batches at once; "auto" is as many as do no harm.

    Limits on the batches of an epoch pass from the trainer to the loader, which alone still counts batches.

    Raises:
        UserError: fewer than one step, or more than one where something wants to see every batch.
    """
    _pass_limit(trainer, data)
    watcher = _watcher(trainer)
    if steps == "auto":
        data.steps_per_execution = 1 if watcher else _affordable(data)
        return
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise UserError(f"trainer.steps_per_execution={steps}: choose auto or a whole number of at least 1")
    if steps > 1 and watcher:
        raise UserError(f"trainer.steps_per_execution={steps}: {watcher} goes by single batches; choose 1 or auto")
    data.steps_per_execution = steps


def _pass_limit(trainer: Trainer, data: ImageDataModule) -> None:
    limit, num_batches = take_limit(trainer), data.num_train_batches
    data.max_train_batches = limit if isinstance(limit, int) else int(num_batches * limit)
    if data.max_train_batches < 1:
        raise UserError(f"trainer.limit_train_batches={limit}: of {num_batches} batches none is left to train on")


def _affordable(data: ImageDataModule) -> int:
    channels, height, width = data.image_shape
    batch_bytes = data.batch_size * channels * height * width
    return max(1, min(_MOST_STEPS, _MOST_BYTES // batch_bytes, data.num_train_batches // _FEWEST_EXECUTIONS))


def _watcher(trainer: Trainer) -> str | None:
    """What must see every single batch: a callback, or an end or a validation within an epoch; None if nothing does."""
    if trainer.max_steps != -1:
        return f"max_steps={trainer.max_steps}"
    interval = trainer.val_check_interval  # 1.0 is an epoch, 1 a batch
    if interval is not None and (isinstance(interval, int) or interval != 1.0):
        return f"val_check_interval={interval}"
    return next((type(callback).__name__ for callback in trainer.callbacks if _watches(callback)), None)


def _watches(callback: Callback) -> bool:
    if isinstance(callback, ProgressBar | Throughput | Checkpoints):
        return False
    if isinstance(callback, ModelCheckpoint):
        return not callback.every_n_epochs  # saves by steps or minutes
    return any(is_overridden(hook, callback, Callback) for hook in _BATCH_HOOKS)


class Unprofiled(PassThroughProfiler):
    """Measures nothing, at less cost than Lightning's own: every hook of every callback is put in a context."""

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        return _NOTHING


_NOTHING: AbstractContextManager[None] = nullcontext()
