"""One run, from its resolved config: build the parts, fit, test the best checkpoint, write the figures."""

import logging
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import ProgressBar as LightningProgressBar
from torch import Tensor

from vae_lightning.building.arguments import below
from vae_lightning.building.trust import Trust
from vae_lightning.callbacks.averaging import averages
from vae_lightning.callbacks.beside import DrawnBeside
from vae_lightning.callbacks.busy_cores import BusyCores
from vae_lightning.callbacks.checkpoints import current_checkpoint
from vae_lightning.callbacks.pictures import as_callbacks, prepare_pictures
from vae_lightning.callbacks.progress import ProgressBar
from vae_lightning.checkpoints.contents import trained
from vae_lightning.checkpoints.expectations import Expectation
from vae_lightning.checkpoints.writing import AtomicCheckpointIO
from vae_lightning.config import checked, instantiate
from vae_lightning.data.image_data import ImageDataModule
from vae_lightning.disk.files import replacing
from vae_lightning.disk.unwritten import spared
from vae_lightning.drawing.captions import AVERAGED
from vae_lightning.errors import UserError
from vae_lightning.loggers.showing import show_start
from vae_lightning.machine.cores import OtherProcesses, take_threads
from vae_lightning.machine.environment import environment
from vae_lightning.machine.hardware import (
    device_name,
    flush_denormals,
    keep_freed_memory,
)
from vae_lightning.machine.interruption import interruptible
from vae_lightning.machine.memory import forget_peak
from vae_lightning.machine.world import given_world
from vae_lightning.models.latent_model import LatentModel
from vae_lightning.models.parts import ConditionalDistribution, Likelihood
from vae_lightning.runs.records import TRAINING_IMAGES, RunDir
from vae_lightning.runs.resuming import resumed_checkpoint
from vae_lightning.runs.seals import rewrite_config
from vae_lightning.runs.tags import checked_tags
from vae_lightning.runs.tested_images import TEST_IMAGES, write_test_images
from vae_lightning.runs.usual import described
from vae_lightning.training.averaging import averaging_of
from vae_lightning.training.execution import Unprofiled, execute_together, lightning_options
from vae_lightning.training.initial_weights import take_weights
from vae_lightning.training.loading import module_of
from vae_lightning.training.log_file import kept_records, log_file
from vae_lightning.training.module import VAEModule
from vae_lightning.training.outcome import final_metrics, peak_memory, rates_bound_means, recorded, told_of_units
from vae_lightning.training.plug_ins import working
from vae_lightning.training.preflight import (
    check_classes_of_run,
    check_compilable,
    check_hardware,
    check_image_shape,
    check_labels,
    check_nothing_newer,
    check_optimizer,
    check_resumable,
    check_same_images,
    check_state,
    check_watched,
    with_num_classes,
)
from vae_lightning.training.profiling import StepProfiler
from vae_lightning.training.resumed_state import Live, resumed_state
from vae_lightning.training.settings import check_settings, chosen_precision
from vae_lightning.training.stepper import introduce
from vae_lightning.training.variety import check_variety

log = logging.getLogger("vae_lightning")


@dataclass(frozen=True)
class Parts:
    """What a run is made of. Building it has checked the whole config and readied the data, and has written no run.

    Attributes:
        config: the resolved config as plain data.
        resume: whether a checkpoint of the run directory is to be gone on from.
        origin: where the weights were taken from, by `init_from`; None where they were not.
        notes: lines to tell when it begins: on pictures that are not for this model, on busy cores.
        told: what was logged while it was built, as what the splits and the labels of its data go by.
        precision_because: why `trainer.precision=auto` has chosen this one; empty where it was given.
    """

    config: dict[str, Any]
    run_dir: RunDir
    resume: bool
    data: ImageDataModule
    module: VAEModule
    trainer: Trainer
    origin: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)
    told: list[logging.LogRecord] = field(default_factory=list)
    precision_because: str = ""

    @property
    def needed_bytes(self) -> int:
        """About what the run takes on disk: two checkpoints (one more while it is being written) and the pictures."""
        weights = sum(value.numel() * value.element_size() for value in self.module.state_dict().values())
        with_adam = 4 if averages(self.trainer) else 3
        return 3 * with_adam * weights + 20_000_000


def build(config: dict[str, Any], run_dir: RunDir, *, resume: bool = False, trusted: Trust | None = None) -> Parts:
    """Build data, model and trainer of a run.

    Args:
        config: the resolved config as plain data.
        run_dir: where the run is to write; need not exist yet.
        resume: go on from the run directory's last checkpoint.
        trusted: see `config.instantiate`.

    Raises:
        UserError: anything in the config that can't work.
    """
    with kept_records() as told:
        parts = _built(config, run_dir, resume, trusted)
    return replace(parts, told=told)


def _built(config: dict[str, Any], run_dir: RunDir, resume: bool, trusted: Trust | None) -> Parts:
    checkpoint = current_checkpoint(config.get("checkpoint"), stored=resume)
    config = config | {"checkpoint": checkpoint, "tags": checked_tags(config.get("tags"))}
    check_settings(config)
    check_hardware(config)
    others = OtherProcesses()
    flush_denormals()
    seed_everything(config["seed"], verbose=False)
    data = instantiate(config["data"], "data", trusted=trusted)
    config = with_num_classes(config, data)
    module = module_of(VAEModule, config | {"resume": None}, trusted)  # its checkpoints are gone on from themselves
    check_optimizer(module)
    check_image_shape(config, data)
    first_step = check_resumable(config, module, run_dir) if resume else 0

    def expected() -> Expectation:
        return resumed_state(Live(module, trainer, data, frozenset() if trusted is None else trusted.typed))

    chosen = working(_build_all(config["callbacks"], "callbacks", trusted))
    averaging = averaging_of(config, chosen, trusted)
    check_watched(chosen, module.vae)
    check_compilable(config["trainer"], module.objective)
    callbacks, notes = as_callbacks(chosen, module.vae)
    precision, why = chosen_precision(config["trainer"], run_dir.environment() if resume else {})
    in_precision = config | {"trainer": config["trainer"] | {"precision": precision}}
    trainer = _build_trainer(in_precision, run_dir, first_step, trusted, expected, averaging + callbacks)
    # As Lightning will do: the number of ranks decides whether the batch size fits, and pictures look at the data.
    introduce(trainer, data)
    data.prepare_data()
    data.setup()
    if data.found:
        config = module.config = config | {"data": config["data"] | data.found}
    check_labels(module.vae, data)
    if resume:
        check_same_images(config, data, run_dir)
        check_classes_of_run(config, module.vae, data, run_dir)
    else:  # what was trained on, whatever it is, can be gone on with
        notes += check_variety(data)
    execute_together(config["trainer"].get("steps_per_execution", "auto"), trainer, data)
    origin = None
    if not resume and config.get("init_from"):
        origin = take_weights(config["init_from"], module)
        if config.get("initialization"):  # an experiment's
            log.info("initialization: without effect, for init_from says where the weights start")
    elif not resume:
        if config.get("initialization"):
            _initialize(module, data, instantiate(config["initialization"], "initialization", trusted=trusted))
        start_parts(module.vae, data)
    if resume:  # told now, before anything of the run is touched
        state = check_state(resumed_checkpoint(run_dir, config), expected(), run_dir)
        check_nothing_newer(config, expected(), run_dir)
    prepare_pictures(callbacks, trainer, module, state["callbacks"] if resume else {})
    if trainer.strategy.root_device.type == "cpu":
        before = run_dir.environment().get("num_threads") if resume else None
        told = take_threads(config["trainer"].get("num_threads", "auto"), others, before)
        notes += [told] if told else []
    return Parts(config, run_dir, resume, data, module, trainer, origin, notes, precision_because=why)


def run(parts: Parts) -> dict[str, Any]:
    """Fit and test in this process and return the final figures; the run's status file tells how it ended."""
    run_dir, trainer, module = parts.run_dir, parts.trainer, parts.module
    with interruptible(), recorded(run_dir, trainer), log_file(run_dir, trainer, parts.told):
        _describe(parts)
        if trainer.strategy.root_device.type == "cpu":
            keep_freed_memory()
        forget_peak()
        started = time.perf_counter()
        if parts.config["trainer"]["compile"]:
            # Inductor's own random numbers are others: a compiled run would be one of another seed.
            module.vae.compile(options={"fallback_random": True})
        # Importing Lightning sets this, and PyTorch then looks for NVIDIA's driver in every optimizer step.
        with environment(PYTORCH_NVML_BASED_CUDA_CHECK=None):
            trainer.fit(module, parts.data, ckpt_path=_checkpoint_of(parts), weights_only=True)
        if not run_dir.best.is_file():
            raise UserError(
                "the training was stopped before its first step, so there is nothing to test; give it more time"
            )
        # Not by ckpt_path, which would restore callbacks too: averaging would put the trained weights in place again.
        best = trained(run_dir.best, module.state_dict(), f"{run_dir.best}", module.vae.latent_dim)
        module.load_state_dict(best.weights)
        trainer.test(module, parts.data, verbose=False)
        metrics = final_metrics(trainer, module, time.perf_counter() - started, best.units) | peak_memory(trainer)
        if best.averaged:
            metrics["test/weights"] = AVERAGED
        if trainer.is_global_zero:
            run_dir.write_metrics(metrics, best.epoch)
            if module.rows is not None:
                with spared(TEST_IMAGES):
                    write_test_images(run_dir, module.rows, best.epoch, module.seed)
            unused = told_of_units(
                best.units,
                parts.config["objective"],
                module.vae.num_classes,
                math.prod(parts.data.image_shape),
                _num_validated(parts),
                partial(rates_bound_means, module.vae),
            )
            if unused:
                log.warning(unused)
        return metrics


def _num_validated(parts: Parts) -> int:
    """How many images a validation looks at."""
    count, limit = len(parts.data.splits["val"]), parts.config["trainer"].get("limit_val_batches")
    if isinstance(limit, float):
        return int(count * limit)
    return count if limit is None else min(count, limit * parts.config["data"]["eval_batch_size"])


def _checkpoint_of(parts: Parts) -> Path | None:
    """The file to go on from, None for a new run. It is last.ckpt from now on, so that a kill loses none of it."""
    if not parts.resume:
        return None
    file, last = resumed_checkpoint(parts.run_dir, parts.config), parts.run_dir.last
    if file != last and parts.trainer.is_global_zero:
        with file.open("rb") as original, replacing(last, durable=True) as copy:
            shutil.copyfileobj(original, copy)
        parts.run_dir.write_config(parts.config | {"resume": None}, parts.run_dir.overrides())
    return file


def _initialize(module: VAEModule, data: ImageDataModule, initialization: Callable[..., None]) -> None:
    try:
        initialization(module.vae, data.mean_image())
    except (ValueError, AttributeError) as error:
        raise UserError(f"initialization: {str(error).splitlines()[0]}") from error


def start_parts(vae: LatentModel, data: ImageDataModule) -> None:
    """Show training images to those parts of a model that want to start from some.

    Raises:
        UserError: what a part says that they are not good for.
    """

    def images(count: int) -> Tensor:
        return data.example_images(count, "train", balanced=False).to(memory_format=torch.channels_last)

    for name, part in vae.named_modules():
        start: Any = getattr(part, "start", None)
        if start is not None and isinstance(part, ConditionalDistribution | Likelihood):
            checked(start, {"images": images}, below("model", name))


def _describe(parts: Parts) -> None:
    trainer = parts.trainer
    if trainer.is_global_zero:
        if parts.data.found:  # since a sweep has written the config of its job
            rewrite_config(parts.run_dir, parts.config)
        device = device_name(trainer.strategy.root_device.type)
        origin = parts.origin or (parts.run_dir.origin() if parts.resume else None)
        facts: dict[str, Any] = {"device": device, "num_threads": torch.get_num_threads()}
        facts |= {"precision": trainer.precision, "num_ranks": trainer.world_size}
        facts |= {"precision_because": parts.precision_because} if parts.precision_because else {}
        facts |= {TRAINING_IMAGES: described(parts.data)} | ({"init_from": origin} if origin else {})
        parts.run_dir.write_environment(**facts)
        if parts.origin:
            which = AVERAGED if parts.origin.get("averaged") else "weights"
            log.info("%s of %s, kept after its epoch %d", which, parts.origin["checkpoint"], parts.origin["epoch"])
        ranks = f"{trainer.world_size} ranks, " if trainer.world_size > 1 else ""
        for line in parts.notes:
            log.info(line)
        log.info("%s on %s%s, precision %s", parts.run_dir.path, ranks, device, trainer.precision)
        show_start(trainer, parts.config)


def _build_trainer(
    config: dict[str, Any],
    run_dir: RunDir,
    first_step: int,
    trusted: Trust | None,
    expected: Callable[[], Expectation],
    callbacks: list[Callback],
) -> Trainer:
    world = given_world()
    options = lightning_options(world.trainer_settings(config["trainer"]))
    checkpoints = instantiate(config["checkpoint"], "checkpoint", trusted=trusted)
    place = {"run_dir": str(run_dir.path), "first_step": first_step, "run_tags": config["tags"]}
    is_users = trusted is None or trusted.is_typed("output_dir")  # a stored config names no place
    place["output_dir"] = config.get("output_dir") if is_users else None
    loggers = list(_build_all(config["logger"], "logger", trusted, offered=place).values())
    chosen = "profiler" in options and (trusted is None or trusted.is_typed("trainer.profiler"))
    if not chosen:
        options.pop("profiler", None)
    trainer = instantiate(
        options,
        "trainer",
        trusted=trusted,
        default_root_dir=str(run_dir.path),
        callbacks=[DrawnBeside(), *callbacks, *_lines_at_least(callbacks), BusyCores(), checkpoints],
        plugins=[AtomicCheckpointIO(expected), world.cluster_environment()],
        logger=loggers or False,
        enable_progress_bar=True,
        **({} if chosen else {"profiler": Unprofiled()}),
    )
    profiler = trainer.profiler
    if isinstance(profiler, StepProfiler):
        profiler.dirpath = run_dir.path
    return trainer


def _lines_at_least(callbacks: list[Callback]) -> list[Callback]:
    """What tells of each epoch where nothing else of the callbacks does."""
    if any(isinstance(callback, LightningProgressBar) for callback in callbacks):
        return []
    lines = ProgressBar()
    lines.disable()
    return [lines]


def _build_all(nodes: dict[str, Any] | None, key: str, trusted: Trust | None, **extra: Any) -> dict[str, Any]:
    built = {}
    for name, node in (nodes or {}).items():
        if isinstance(node, dict) and node and "_target_" not in node:  # an experiment's, with callbacks=none
            log.info("%s.%s: settings without effect, for %s has none of this name", key, name, key)
        elif node and (made := instantiate(node, f"{key}.{name}", trusted=trusted, **extra)) is not None:
            built[name] = made
    return built
