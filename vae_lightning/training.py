"""One run, from its resolved config: build the parts, fit, test the best checkpoint, write the figures."""

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from vae_lightning.callbacks.averaging import AverageOfTaken
from vae_lightning.callbacks.checkpoints import Checkpoints
from vae_lightning.callbacks.pruning import PruneTrial
from vae_lightning.callbacks.throughput import Throughput
from vae_lightning.checkpoint_contents import reading, trained
from vae_lightning.checkpoints import AtomicCheckpointIO, current_node
from vae_lightning.children import environment
from vae_lightning.config import instantiate
from vae_lightning.data.image_data import ImageDataModule
from vae_lightning.errors import UserError, plain_lines
from vae_lightning.evaluation.kind import kind_of
from vae_lightning.execution import Unprofiled, execute_together, lightning_options, stepping_options
from vae_lightning.expectations import Expectation, mapping, whole
from vae_lightning.files import check_regular
from vae_lightning.hardware import device_name, flush_denormals, keep_freed_memory, native_accelerator, native_precision
from vae_lightning.interruption import Interrupted, interruptible, number_of
from vae_lightning.module import VAEModule
from vae_lightning.resumed_state import EPOCHS, Live, resumed_state
from vae_lightning.run_dir import GONE, RunDir
from vae_lightning.stored import Trust
from vae_lightning.unwritten import FULL, UNWRITABLE, HeldFile, spared
from vae_lightning.world import given_world

log = logging.getLogger("vae_lightning")


@dataclass(frozen=True)
class Parts:
    """What a run is made of. Building it has checked the whole config and readied the data, and has written no run.

    Attributes:
        config: the resolved config as plain data.
        resume: whether `last.ckpt` of the run directory is to be gone on from.
    """

    config: dict[str, Any]
    run_dir: RunDir
    resume: bool
    data: ImageDataModule
    module: VAEModule
    trainer: Trainer

    @property
    def needed_bytes(self) -> int:
        """About what the run takes on disk: two checkpoints (one more while it is being written) and the pictures."""
        weights = sum(value.numel() * value.element_size() for value in self.module.state_dict().values())
        adam = 3
        return 3 * adam * weights + 20_000_000


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
    config = config | {"checkpoint": current_node(config.get("checkpoint"), stored=resume)}
    check_settings(config)
    flush_denormals()
    seed_everything(config["seed"], verbose=False)
    data = instantiate(config["data"], "data", trusted=trusted)
    module = VAEModule(
        instantiate(config["model"], "model", trusted=trusted),
        instantiate(config["objective"], "objective", trusted=trusted),
        instantiate(config["optimizer"], "optimizer", trusted=trusted),
        seed=config["seed"],
        config=config,
        stepping=instantiate(stepping_options(config["trainer"]), "trainer", trusted=trusted),
        schedule=instantiate(config["schedule"], "schedule", trusted=trusted) if config.get("schedule") else None,
    )
    _check_optimizer(module)
    _check_image_shape(config, data)
    first_step = _check_resumable(config, module, run_dir) if resume else 0

    def expected() -> Expectation:
        return resumed_state(Live(module, trainer, data, frozenset() if trusted is None else trusted.typed))

    trainer = _build_trainer(config, run_dir, first_step, trusted, expected)
    data.trainer = trainer  # as Lightning will do: the number of ranks decides whether the batch size fits
    data.prepare_data()
    data.setup()
    execute_together(config["trainer"].get("steps_per_execution", "auto"), trainer, data)
    if config.get("initialization") and not resume:
        _initialize(module, data, instantiate(config["initialization"], "initialization", trusted=trusted))
    if resume:  # told now, before anything of the run is touched
        with reading(run_dir.last, f"resume={run_dir.path}: last.ckpt") as take:
            take(expected())
    return Parts(config, run_dir, resume, data, module, trainer)


def run(parts: Parts) -> dict[str, Any]:
    """Fit and test in this process and return the final figures; the run's status file tells how it ended."""
    run_dir, trainer, module = parts.run_dir, parts.trainer, parts.module
    with interruptible(), _recorded(run_dir, trainer), _log_file(run_dir, trainer):
        _describe(parts)
        if trainer.strategy.root_device.type == "cpu":
            keep_freed_memory()
        started = time.perf_counter()
        if parts.config["trainer"]["compile"]:
            # Inductor's own random numbers are others: a compiled run would be one of another seed.
            module.vae.compile(options={"fallback_random": True})
        # Importing Lightning sets this, and PyTorch then looks for NVIDIA's driver in every optimizer step.
        with environment(PYTORCH_NVML_BASED_CUDA_CHECK=None):
            trainer.fit(module, parts.data, ckpt_path=run_dir.last if parts.resume else None, weights_only=True)
        # Not by ckpt_path, which would restore callbacks too: EMA would put the weights it averages in place again.
        best = trained(run_dir.best, module.state_dict(), f"{run_dir.best}", module.vae.prior().event_shape[0])
        module.load_state_dict(best.weights)
        trainer.test(module, parts.data, verbose=False)
        metrics = _final_metrics(trainer, module, time.perf_counter() - started)
        if trainer.is_global_zero:
            run_dir.write_metrics(metrics, best.epoch)
        return metrics


def _initialize(module: VAEModule, data: ImageDataModule, initialization: Callable[..., None]) -> None:
    try:
        initialization(module.vae, data.mean_image())
    except (ValueError, AttributeError) as error:
        raise UserError(f"initialization: {str(error).splitlines()[0]}") from error


def _describe(parts: Parts) -> None:
    trainer = parts.trainer
    if trainer.is_global_zero:
        device = device_name(trainer.strategy.root_device.type)
        parts.run_dir.write_environment(device=device, precision=trainer.precision, num_ranks=trainer.world_size)
        ranks = f"{trainer.world_size} ranks, " if trainer.world_size > 1 else ""
        log.info("%s on %s%s, precision %s", parts.run_dir.path, ranks, device, trainer.precision)


def _build_trainer(
    config: dict[str, Any],
    run_dir: RunDir,
    first_step: int,
    trusted: Trust | None,
    expected: Callable[[], Expectation],
) -> Trainer:
    world = given_world()
    options = lightning_options(world.trainer_settings(config["trainer"]))
    if options["precision"] == "auto":
        options["precision"] = native_precision(options["accelerator"])
    elif str(options["precision"]) in ("16", "16-mixed") and native_accelerator(options["accelerator"]) == "cpu":
        raise UserError("trainer.precision=16-mixed: fp16 needs a GPU; choose bf16-mixed, 32-true or auto")
    place = {"run_dir": str(run_dir.path), "first_step": first_step}
    callbacks = _build_all(config["callbacks"], "callbacks", trusted)
    # Averaging puts its weights into the model when training ends: after the pictures, which show those being trained.
    callbacks.sort(key=lambda callback: isinstance(callback, WeightAveraging))
    if config["trainer"].get("on_nan") == "skip":
        callbacks += [AverageOfTaken(callback) for callback in callbacks if isinstance(callback, WeightAveraging)]
    checkpoints = instantiate(config["checkpoint"], "checkpoint", trusted=trusted)
    loggers = _build_all(config["logger"], "logger", trusted, **place)
    chosen = "profiler" in options and (trusted is None or trusted.is_typed("trainer.profiler"))
    return instantiate(
        options,
        "trainer",
        trusted=trusted,
        default_root_dir=str(run_dir.path),
        callbacks=[*callbacks, checkpoints],
        plugins=[AtomicCheckpointIO(expected), world.cluster_environment()],
        logger=loggers or False,
        enable_progress_bar=bool((config["callbacks"] or {}).get("progress")),
        **({} if chosen else {"profiler": Unprofiled()}),
    )


def _build_all(nodes: dict[str, Any] | None, key: str, trusted: Trust | None, **extra: Any) -> list[Any]:
    built = []
    for name, node in (nodes or {}).items():
        if isinstance(node, dict) and node and "_target_" not in node:  # an experiment's, with callbacks=none
            log.info("%s.%s: settings without effect, for %s has none of this name", key, name, key)
        elif node:
            built.append(instantiate(node, f"{key}.{name}", trusted=trusted, **extra))
    return built


def check_settings(config: dict[str, Any]) -> None:
    """Refuse what Lightning would accept and trip over later.

    Raises:
        UserError: a seed out of range, a precision that can't work, a run with nothing to train on or to test.
    """
    trainer = config["trainer"]
    if not 0 <= config["seed"] < 2**32:
        raise UserError(f"seed={config['seed']}: choose 0 to {2**32 - 1}")
    if str(trainer["precision"]) in ("16-true", "bf16-true", "64-true", "64"):
        valid = "auto, 32-true, bf16-mixed, 16-mixed"
        raise UserError(f"trainer.precision={trainer['precision']}: the weights stay float32; choose one of {valid}")
    if (
        str(trainer["precision"]) in ("16", "16-mixed")
        and trainer["gradient_clip_val"]
        and config["optimizer"].get("fused")
    ):
        raise UserError("optimizer.fused=true: in fp16 it unscales the gradients itself, too late for clipping them")
    if not isinstance(trainer["compile"], bool):
        raise UserError(f"trainer.compile={trainer['compile']!r}: expected true or false")
    compilers = (os.environ.get("CXX", "g++"), "g++", "clang++", "cl")
    if (
        trainer["compile"]
        and native_accelerator(trainer["accelerator"]) == "cpu"
        and not any(map(shutil.which, compilers))
    ):
        raise UserError("trainer.compile=true needs a C++ compiler on the CPU, and there is no g++ or clang++")
    if trainer["sync_batchnorm"] and native_accelerator(trainer["accelerator"]) == "cpu":
        raise UserError("trainer.sync_batchnorm=true needs GPUs: PyTorch's SyncBatchNorm has no version for the CPU")
    if trainer.get("num_nodes", 1) not in (1, given_world().num_nodes):
        raise UserError(
            f"trainer.num_nodes={trainer['num_nodes']}: torchrun or srun starts the ranks of several nodes; see README"
        )
    if trainer.get("fast_dev_run"):
        raise UserError("trainer.fast_dev_run leaves no checkpoint to test; debug=fast does the same and leaves one")
    for key in ("max_epochs", "max_steps", "limit_train_batches", "limit_test_batches"):
        if trainer.get(key) == 0:
            raise UserError(f"trainer.{key}=0: a run trains and then tests; choose at least 1")
    if config.get("schedule") and (trainer.get("max_epochs") or -1) < 0:
        raise UserError("schedule: goes by how much of training is done; choose a trainer.max_epochs")
    if trainer.get("limit_val_batches") == 0 and (config["callbacks"] or {}).get("early_stopping"):
        raise UserError("callbacks: early_stopping watches val/elbo, and trainer.limit_val_batches=0 gives it none")


def _check_image_shape(config: dict[str, Any], data: ImageDataModule) -> None:
    built_for = config["model"].get("image_shape")
    if built_for is not None and tuple(built_for) != data.image_shape:
        raise UserError(f"data: images of shape {list(data.image_shape)}, but the model is for {built_for}")


def _check_optimizer(module: VAEModule) -> None:
    try:
        module.configure_optimizers()
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"optimizer: {str(error).splitlines()[0]}") from error


def _check_resumable(config: dict[str, Any], module: VAEModule, run_dir: RunDir) -> int:
    """The first step after the last checkpoint, counted from 0; a UserError where it can't be gone on from."""
    if not run_dir.last.is_file():
        raise UserError(f"resume={run_dir.path}: no checkpoint there (checkpoints/last.ckpt); start a new run")
    for file in {run_dir.last, run_dir.best}:
        trained(file, module.state_dict(), f"resume={run_dir.path}: {file.name}", module.vae.prior().event_shape[0])
    with reading(run_dir.last, f"resume={run_dir.path}: last.ckpt") as take:
        checkpoint = take(mapping({"global_step": whole(), "loops": EPOCHS}))
    # At the end of an epoch, whose number it has, or within the next one.
    epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    wanted = config["trainer"]["max_epochs"]
    # Else it was ended during its test or before its end was recorded, which is still to be done.
    tested = run_dir.is_tested(epochs) and run_dir.status().get("status") == "finished"
    if wanted is not None and (0 <= wanted < epochs or (wanted == epochs and tested)):
        raise UserError(
            f"trainer.max_epochs={wanted}: the run has trained {epochs} epochs already; choose more to go on"
        )
    return checkpoint["global_step"]


@contextmanager
def _recorded(run_dir: RunDir, trainer: Trainer) -> Iterator[None]:
    """Keep the status file true, whatever happens inside."""
    try:
        if trainer.is_global_zero:
            run_dir.write_status("running")
        yield
        if trainer.is_global_zero:
            reasons = [callback.reason for callback in trainer.callbacks if isinstance(callback, PruneTrial)]
            run_dir.write_status("finished", next(iter(reasons), None))
    except BaseException as error:
        status, told = _ending(error, run_dir)
        with spared("status.json"):
            # Ranks fail after one another: the first one knows why.
            if run_dir.status().get("status") == "running":
                run_dir.write_status(status, (str(told) or type(told).__name__).splitlines()[0])
        if told is error:
            raise
        raise told from error


def _ending(error: BaseException, run_dir: RunDir) -> tuple[str, BaseException]:
    """The status of a run that ended with an error, and what its user is to be told."""
    if isinstance(error, OSError) and not run_dir.path.is_dir():
        return "failed", UserError(f"{run_dir.path}: {GONE}")
    way_on = run_dir.way_on()
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


def _is_in(run_dir: RunDir, file: Any) -> bool:
    """Whether a file that failed may be the run's own; many an error names none."""
    return not isinstance(file, str) or Path(file).absolute().is_relative_to(run_dir.path.absolute())


class _LogFile(logging.Handler):
    """Adds to train.log."""

    def __init__(self, path: Path):
        super().__init__()
        self._file = HeldFile(path, "train.log")

    def emit(self, record: logging.LogRecord) -> None:
        self._file.write((plain_lines(self.format(record)) + "\n").encode(errors="backslashreplace"))
        self._file.flush()

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def _log_file(run_dir: RunDir, trainer: Trainer) -> Iterator[None]:
    """Send what is logged, warnings too, to train.log as well."""
    if not trainer.is_global_zero:
        yield
        return
    handler = _opened_log(run_dir)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    loggers = [log, logging.getLogger("lightning.pytorch"), logging.getLogger("py.warnings")]
    logging.captureWarnings(True)
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        logging.captureWarnings(False)
        handler.close()


def _opened_log(run_dir: RunDir) -> _LogFile:
    try:
        check_regular(run_dir.path / "train.log")
    except ValueError as error:
        raise UserError(f"{run_dir.path / 'train.log'}: {error}; remove it") from error
    return _LogFile(run_dir.path / "train.log")


def _final_metrics(trainer: Trainer, module: VAEModule, seconds: float) -> dict[str, Any]:
    metrics: dict[str, Any] = {}
    for name, mean in module.results.items():
        metrics |= {name: mean.value, f"{name}_stderr": mean.stderr}
    metrics["test/kind"] = kind_of(module.vae.likelihood, trainer.datamodule.binarize)
    metrics["test/num_images"] = module.results["test/elbo"].count
    metrics["val/elbo"] = next((one.best_score for one in trainer.callbacks if isinstance(one, Checkpoints)), None)
    metrics |= {"epochs": trainer.current_epoch, "steps": trainer.global_step, "seconds": round(seconds, 1)}
    throughput = [callback for callback in trainer.callbacks if isinstance(callback, Throughput)]
    if throughput:
        metrics["train/images_per_s"] = throughput[0].mean_images_per_second
    return metrics
