"""What a checkpoint within an epoch holds besides weights and optimizer, so that training goes on bit for bit.

Under `KEY`, as plain data and tensors:

    batches      how many of the epoch's batches are trained on, on each rank
    validating   whether a validation was due after them, which is run from its beginning then
    accumulated  how many of them since the last optimizer step
    run          what must be the same for going on bit for bit: number and size of the batches, ranks, ...
    ranks        of each rank: `random`, the states of its generators by device; `gradients`, those that no step has
                 used yet; `buffers`, in which ranks differ (BatchNorm); `loss`, the sum of the epoch's so far and the
                 number of its images, which an earlier version did not have
"""

from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from vae_lightning.noise import derive_seed

KEY = "within_epoch"
_GENERATORS = {"cuda": torch.cuda, "mps": torch.mps}


@dataclass(frozen=True)
class Place:
    """Where in an epoch training goes on.

    Attributes:
        batches: how many of the epoch's are left out.
        validating: whether training goes on with a validation.
        accumulated: how many of them since the last optimizer step.
        state: what this rank had there; None where it is not known, and training goes on from other random numbers.
        changed: what is not as it was, where that is why.
    """

    batches: int
    validating: bool = False
    accumulated: int = 0
    state: dict[str, Any] | None = None
    changed: tuple[str, ...] = ()


def is_within(checkpoint: dict[str, Any]) -> bool:
    """Whether a checkpoint was saved before the end of its epoch."""
    return checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"] <= checkpoint["epoch"]


def state_of(trainer: Trainer, module: LightningModule) -> dict[str, Any]:
    """The state between two calls of `training_step`, or while validating after one, with the weights of training.

    To be called on every rank; the ranks' states are rank zero's alone.
    """
    gradients = {}
    if module.epochs.stepper.num_accumulated:
        named = module.named_parameters()
        gradients = {name: value.grad.cpu() for name, value in named if value.grad is not None}
    buffers = {name: value.cpu() for name, value in module.named_buffers()}
    own = {"random": _random_states(module.device), "gradients": gradients, "buffers": buffers}
    own["loss"] = module.epochs.stepper.epoch_loss.state()
    return {
        "batches": module.epochs.num_trained,
        "validating": trainer.validating,
        "accumulated": module.epochs.stepper.num_accumulated,
        "run": _run(trainer, module),
        "ranks": _gathered(own, trainer),
    }


def place_in(checkpoint: dict[str, Any], trainer: Trainer, module: LightningModule) -> Place | None:
    """Where a checkpoint's training goes on within an epoch; None if it was saved at the end of one.

    Where the run has changed meanwhile, so that batches or gradients are others, it is the same share of the epoch.
    """
    if not is_within(checkpoint):
        return None
    loops = checkpoint["loops"]["fit_loop"]
    num_batches = trainer.datamodule.num_train_batches
    state = checkpoint.get(KEY)
    if state is None:  # an earlier version's, one batch a call, of which nothing else is known
        trained = loops["epoch_loop.batch_progress"]["current"]["processed"]
        return Place(min(trained, num_batches - 1), changed=("version of this program",))
    before, now = state["run"], _run(trainer, module)
    changed = tuple(key for key in now if before.get(key) != now[key])
    if changed:
        trained = before.get("num_batches") or 0
        share = state["batches"] * num_batches // trained if isinstance(trained, int) and trained > 0 else 0
        return Place(min(share, num_batches - 1), changed=changed)
    return Place(state["batches"], state["validating"], state["accumulated"], state["ranks"][trainer.global_rank])


def rewind(loops: dict[str, Any], epoch: int, step: int, place: Place, trainer: Trainer) -> None:
    """Have Lightning's loops, as a checkpoint stores them, go on at the place within the epoch, at that step.

    They count calls of `training_step`, of which there may be others now, of more batches or fewer.
    """
    steps, num_batches = trainer.datamodule.steps_per_execution, trainer.datamodule.num_train_batches
    batches_left = num_batches - place.batches
    calls = -(-num_batches // steps) - -(-batches_left // steps)
    for progress in loops["epoch_progress"].values():
        progress |= {"ready": epoch + 1, "started": epoch + 1, "processed": epoch, "completed": epoch}
    batches = loops["epoch_loop.batch_progress"]
    for progress in (batches["total"], batches["current"]):
        progress |= dict.fromkeys(("started", "processed", "completed"), progress["ready"])
    batches["current"] |= dict.fromkeys(("ready", "started", "processed", "completed"), calls)
    batches["is_last_batch"] = not batches_left
    # Lightning validates again where one batch was begun and not ended, and counts the call before it only then.
    begun = int(place.validating)
    counts = {"ready": begun, "started": begun, "processed": 0, "completed": 0}
    for progress in ("total", "current"):
        loops["epoch_loop.val_loop.batch_progress"][progress] |= counts
    # The step at which its plug-ins log next: after a validation it is moved on by one, unless gradients accumulate.
    moves_on = place.validating and not place.accumulated
    loops["epoch_loop.state_dict"]["_batches_that_stepped"] = step - moves_on


def restore(place: Place, trainer: Trainer, module: LightningModule) -> None:
    """Put this rank's state in place again, on a module whose epoch has been started."""
    if place.state is None:
        torch.manual_seed(derive_seed(module.seed, trainer.current_epoch, trainer.global_rank, place.batches))
        return
    module.epochs.stepper.num_accumulated = place.accumulated
    parameters, buffers = dict(module.named_parameters()), dict(module.named_buffers())
    for name, gradient in place.state["gradients"].items():
        parameters[name].grad = gradient.to(module.device)
    with torch.no_grad():
        for name, buffer in place.state["buffers"].items():
            buffers[name].copy_(buffer)
    if "loss" in place.state:
        module.epochs.stepper.epoch_loss.restore(place.state["loss"])
    random = place.state["random"]
    torch.set_rng_state(random["cpu"])
    if module.device.type in _GENERATORS:
        _GENERATORS[module.device.type].set_rng_state(random[module.device.type], *_numbered(module.device))


def _run(trainer: Trainer, module: LightningModule) -> dict[str, Any]:
    data = trainer.datamodule
    return {
        "num_batches": data.num_train_batches,
        "batch_size": data.batch_size,
        "num_ranks": trainer.world_size,
        "accumulate_grad_batches": module.stepping.accumulate_grad_batches,
        "precision": str(trainer.precision),
        "device": module.device.type,
    }


def _random_states(device: torch.device) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if device.type in _GENERATORS:
        states[device.type] = _GENERATORS[device.type].get_rng_state(*_numbered(device))
    return states


def _numbered(device: torch.device) -> tuple[torch.device, ...]:
    return (device,) if device.type == "cuda" else ()


def _gathered(own: dict[str, Any], trainer: Trainer) -> list[dict[str, Any]]:
    if trainer.world_size == 1:
        return [own]
    ranks: list[Any] | None = [None] * trainer.world_size if trainer.is_global_zero else None
    torch.distributed.gather_object(own, ranks)
    return ranks or []
