"""How a run ended: its final figures, and what its status file and its user are told."""

import logging
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float64
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor

from vae_lightning.callbacks.checkpoints import Checkpoints
from vae_lightning.callbacks.pruning import PruneTrial
from vae_lightning.callbacks.throughput import Throughput
from vae_lightning.disk.unwritten import FULL, UNWRITABLE, spared
from vae_lightning.errors import UserError, first_line
from vae_lightning.latents.aggregated import why_no_marginals
from vae_lightning.latents.units import UnitStatistics
from vae_lightning.likelihood.kind import kind_of
from vae_lightning.loggers.showing import show_end
from vae_lightning.machine.interruption import Interrupted, number_of
from vae_lightning.machine.memory import peak_bytes, peak_gpu_bytes
from vae_lightning.models.latent_model import LatentModel
from vae_lightning.runs.records import GONE, RunDir
from vae_lightning.runs.status import record_status
from vae_lightning.training.finiteness import SLOWER
from vae_lightning.training.module import VAEModule

log = logging.getLogger("vae_lightning")


@contextmanager
def recorded(run_dir: RunDir, trainer: Trainer) -> Iterator[None]:
    """Keep the status file true, whatever happens inside."""
    try:
        if trainer.is_global_zero:
            record_status(run_dir, "running")
        yield
        if trainer.is_global_zero:
            reasons = [callback.reason for callback in trainer.callbacks if isinstance(callback, PruneTrial)]
            reason = next(iter(reasons), None)
            show_end(trainer, "finished", reason, run_dir.metrics())
            record_status(run_dir, "finished", reason)
    except BaseException as error:
        status, told = _ending(error, run_dir, _unsaved_seconds(trainer))
        reason = first_line(told)
        with spared("status.json"):
            # Ranks fail after one another: the first one knows why.
            if run_dir.status().get("status") == "running":
                record_status(run_dir, status, reason)
        if trainer.is_global_zero:
            show_end(trainer, status, reason, {})
        if told is error:
            raise
        raise told from error


def _ending(error: BaseException, run_dir: RunDir, lost_seconds: float = 0.0) -> tuple[str, BaseException]:
    """The status of a run that ended with an error, and what its user is to be told."""
    if isinstance(error, OSError) and not run_dir.path.is_dir():
        return "failed", UserError(f"{run_dir.path}: {GONE}")
    way_on = run_dir.way_on(lost_seconds)
    interrupt = error.__context__ if isinstance(error, SystemExit) else error  # as which Lightning raises it again
    if isinstance(interrupt, KeyboardInterrupt):
        return "interrupted", Interrupted(number_of(interrupt), way_on)
    if isinstance(error, OSError) and error.errno in UNWRITABLE and _is_in(run_dir, error.filename):
        why = "is full" if error.errno in FULL else f"can't be written to ({error.strerror})"
        return "failed", UserError(f"output_dir: the disk of {run_dir.path} {why}; {way_on}")
    if isinstance(error, OSError) and str(error.filename or "").startswith(f"{run_dir.path}{os.sep}"):
        return "failed", UserError(f"{error.filename}: {error.strerror}; {way_on}")
    if isinstance(error, RuntimeError) and str(error).startswith("Early stopping conditioned on metric"):
        return "failed", UserError(f"callbacks: {str(error).splitlines()[0].partition(' HINT')[0]}")
    if isinstance(error, MisconfigurationException):
        return "failed", UserError(f"trainer: {str(error).splitlines()[0]}")
    if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        return "failed", UserError(f"out of memory; try a smaller data.batch_size; {way_on}")
    if isinstance(error, torch.distributed.DistError) or "gloo/transport" in str(error):
        return "failed", UserError(f"another rank was lost; {way_on}")
    return "failed", error


def _unsaved_seconds(trainer: Trainer) -> float:
    """How much of the training no checkpoint has, as far as a clock tells."""
    return next((one.unsaved_seconds for one in trainer.callbacks if isinstance(one, Checkpoints)), 0.0)


def _is_in(run_dir: RunDir, file: Any) -> bool:
    """Whether a file that failed may be the run's own; many an error names none."""
    return not isinstance(file, str) or Path(file).absolute().is_relative_to(run_dir.path.absolute())


def final_metrics(
    trainer: Trainer, module: VAEModule, seconds: float, units: UnitStatistics | None = None
) -> dict[str, Any]:
    """The figures of a run that has been tested, for metrics.json.

    Args:
        trainer, module: of the test.
        seconds: the time that the run took.
        units: the validation images' statistics of the weights that were tested; None where none was validated.
    """
    metrics: dict[str, Any] = {}
    for name, mean in module.results.items():
        metrics |= {name: mean.value} | ({} if mean.stderr is None else {f"{name}_stderr": mean.stderr})
    metrics["test/kind"] = kind_of(
        module.vae.likelihood, trainer.datamodule.binarize, given_labels=module.vae.num_classes is not None
    )
    metrics["test/num_images"] = module.results["test/loss"].count
    best = next((one.best_score for one in trainer.callbacks if isinstance(one, Checkpoints)), None)
    has_elbo = "test/elbo" in module.results
    metrics["val/elbo" if has_elbo else "val/loss"] = best if has_elbo or best is None else -best
    if units is not None:
        metrics |= {"val/active_units": int(units.active().sum()), "val/num_units": len(units.variance)}
    metrics |= {"epochs": trainer.current_epoch, "steps": trainer.global_step, "seconds": round(seconds, 1)}
    throughput = [callback for callback in trainer.callbacks if isinstance(callback, Throughput)]
    if throughput:
        metrics["train/images_per_s"] = throughput[0].mean_images_per_second
    return metrics


def peak_memory(trainer: Trainer) -> dict[str, int]:
    """How much memory the run has taken at most, in megabytes, of the rank that took most; told in the log, too."""
    bytes_taken = torch.tensor([peak_bytes(), peak_gpu_bytes()], device=trainer.strategy.root_device)
    if trainer.world_size > 1:
        torch.distributed.all_reduce(bytes_taken, torch.distributed.ReduceOp.MAX)
    process, gpu = bytes_taken.tolist()
    of_what = " of a rank" if trainer.world_size > 1 else ""
    texts = [f"{number / 2**30:.1f} GiB{of}" for number, of in ((process, of_what), (gpu, " of the GPU")) if number]
    if trainer.is_global_zero and texts:
        log.info("peak memory %s", ", ".join(texts))
    peaks = {"peak_memory_mb": process, "peak_gpu_memory_mb": gpu}
    return {name: round(number / 1e6) for name, number in peaks.items() if number}


_LESS_COLLAPSED = {  # what to try, by the key of the objective that it takes
    "beta": "a smaller objective.beta (it is {})",
    "warmup_steps": "objective.warmup_steps, as many optimizer steps as some epochs have (it is {})",
    "tolerance": "a smaller objective.tolerance (it is {})",
    "max_capacity": "a larger objective.max_capacity (it is {})",
    "free_nats": "a larger objective.free_nats (it is {})",
}
_SAYS_LITTLE = 1.0  # nats per image in all: a unit that tells images apart has more
_SAYS_NOTHING = 0.1
_ALL_THE_SAME = 1e-9  # a variance of posterior means that float32 has of one and the same code
_LARGEST_EXPONENT = 700.0  # of which float64 has the exponential
_ENOUGH = 10  # images, that they should differ
_OF_A_BYTE = math.log(256)  # nats: what a value of an image costs that is not encoded at all
_FAR_ABOVE = 10  # times that is no code's rate: a density of narrow scale may ask for somewhat more than the bytes


def told_of_units(
    units: UnitStatistics | None,
    objective: dict[str, Any],
    num_classes: int | None,
    num_values: int,
    num_images: int,
    bounds_means: Callable[[], bool] = lambda: False,
) -> str | None:
    """One line on a model whose code is not used, and what to try; None where there is nothing to say.

    Few active units need not be a collapse: under a narrow prior small moves of the means tell images apart, at a rate
    that says so. If nothing moves, such a rate says nothing, and next to nothing where no unit is active and the means
    move by less than a posterior of that rate is wide; one far above an image's own bytes is no code's.

    Args:
        units: the validation images' statistics of the weights that were tested.
        objective: its config, whose keys say what can be tried.
        num_classes: how many labels the model is told; None for none.
        num_values: of an image: pixels times channels.
        num_images: that were validated: a few may be alike, and one is always like itself.
        bounds_means: asked where it matters, whether a rate says how narrow a posterior can be: `rates_bound_means`.
    """
    if units is None or units.rate is None:
        return None
    rate = float(units.rate.sum())
    if not rate <= _FAR_ABOVE * num_values * _OF_A_BYTE:
        return (
            f"the rate is {rate:.4g} nats per image, where the bytes of an image are {num_values * _OF_A_BYTE:,.0f}: "
            f"the training has diverged; try {SLOWER}"
        )
    if rate >= _SAYS_LITTLE and num_images >= _ENOUGH:
        cause = f"on its image, as after a step that was too large; try {SLOWER}"
        if not (units.variance > _ALL_THE_SAME).any():
            same = f"all images have the same code, at a rate of {rate:.2f} nats that tells nothing"
            return f"{same}: the encoder no longer depends {cause}"
        is_idle = not units.active().any() and bounds_means()
        if is_idle and _told_by_means(units.rate, units.variance) < _SAYS_LITTLE:
            alike = f"all images have nearly the same code, at a rate of {rate:.2f} nats that tells next to nothing"
            return f"{alike}: the encoder hardly depends {cause}, or a longer training if this was a short one"
    if units.active().any() or rate >= _SAYS_LITTLE:
        return None
    return _told_of_collapse(len(units.rate), rate, objective, num_classes)


@torch.no_grad()
def rates_bound_means(vae: LatentModel) -> bool:
    """Whether the posteriors are Gaussians of independent components beside a prior N(0, I)."""
    return vae.has_unit_prior and why_no_marginals(vae) is None


def _told_by_means(rates: Float64[Tensor, " D"], variances: Float64[Tensor, " D"]) -> float:
    """Nats per image that the means of such posteriors can tell, were these of one width in each dimension.

    Beside N(0, 1) a posterior of rate R has a variance of exp(-1 - 2 R) or more, for no other term of its rate is
    negative; and of the means' variance V a channel of such noise lets log(1 + V exp(1 + 2 R)) / 2 through.
    """
    widest = (1 + 2 * rates).clamp(max=_LARGEST_EXPONENT).exp()
    return float(torch.log1p(variances * widest).sum() / 2)


def _told_of_collapse(num_units: int, rate: float, objective: dict[str, Any], num_classes: int | None) -> str:
    images = "every image" if num_classes is None else "every image of a label"
    if rate < _SAYS_NOTHING:
        found = f"the posterior has collapsed, the code is not used, and {images} gets the same reconstruction"
    else:
        found = f"the code is hardly used, and {images} gets nearly the same reconstruction"
    tries = [advice.format(objective[key]) for key, advice in _LESS_COLLAPSED.items() if key in objective]
    longer = "a longer training (trainer.max_epochs) if this was a short one"
    return (
        f"none of the {num_units} latent units is active, at a rate of {rate:.2f} nats: {found}; "
        f"try {', '.join([*tries, f'or {longer}'] if tries else [longer])}"
    )
