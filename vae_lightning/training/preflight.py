"""What is refused before a run begins, for Lightning would trip over it later."""

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from vae_lightning.callbacks.pruning import PruneTrial
from vae_lightning.checkpoints.contents import (
    CLASS_NAMES,
    EPOCH,
    IMAGES,
    class_names,
    images_of_splits,
    reading,
    trained,
    weights,
)
from vae_lightning.checkpoints.expectations import Expectation, mapping, whole
from vae_lightning.data.image_data import ImageDataModule
from vae_lightning.errors import UserError
from vae_lightning.latents.aggregated import NO_DENSITY
from vae_lightning.machine.gpus import no_gpu
from vae_lightning.machine.hardware import native_accelerator
from vae_lightning.machine.world import given_world
from vae_lightning.models.latent_model import LatentModel
from vae_lightning.objectives.terms import Objective
from vae_lightning.runs.images import SPLIT_NAMES
from vae_lightning.runs.records import RunDir, typed
from vae_lightning.runs.resuming import AUTO, resumed_checkpoint
from vae_lightning.runs.trained import check_classes
from vae_lightning.training.module import VAEModule
from vae_lightning.training.resumed_state import EPOCHS


def check_hardware(config: dict[str, Any]) -> None:
    """Refuse what can't work on this machine, or in this world of ranks.

    Raises:
        UserError: a GPU, a compiler, GPUs for SyncBatchNorm or nodes that there are not.
    """
    trainer = config["trainer"]
    if trainer["accelerator"] in ("gpu", "cuda") and native_accelerator("auto") == "cpu":
        built = "" if torch.version.cuda else f", and torch {torch.__version__} is built without CUDA"
        raise no_gpu(trainer["accelerator"], built)
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


def check_image_shape(config: dict[str, Any], data: ImageDataModule) -> None:
    """Raise a UserError where the model was built for images of another shape than the data's."""
    built_for = config["model"].get("image_shape")
    if built_for is not None and tuple(built_for) != data.image_shape:
        raise UserError(f"data: images of shape {list(data.image_shape)}, but the model is for {built_for}")


def with_num_classes(config: dict[str, Any], data: ImageDataModule) -> dict[str, Any]:
    """The config with `model.num_classes=auto` replaced by how many labels the data have, which are opened for it.

    Raises:
        UserError: the data have no labels.
    """
    if config["model"].get("num_classes") != AUTO:
        return config
    data.prepare_data()
    if data.num_classes is None:
        raise UserError(f"model.num_classes={AUTO}: these data have no labels; choose null")
    return config | {"model": config["model"] | {"num_classes": data.num_classes}}


def check_labels(vae: LatentModel, data: ImageDataModule) -> None:
    """Raise a UserError where a model is to be told labels that the data have not, or that it does not know."""
    if vae.num_classes is None:
        return
    for split, images in data.splits.items():
        if images.labels is None:
            raise UserError(f"model.num_classes={vae.num_classes}: these data have no labels; choose null")
        lowest, highest = int(images.labels.min()), int(images.labels.max())
        if lowest < 0 or highest >= vae.num_classes:
            raise UserError(
                f"model.num_classes={vae.num_classes}: the {SPLIT_NAMES[split]} images have labels {lowest} to "
                f"{highest}; choose at least {highest + 1}"
            )


def check_classes_of_run(config: dict[str, Any], vae: LatentModel, data: ImageDataModule, run_dir: RunDir) -> None:
    """Raise a UserError where a run that is to be gone on with, and is told labels, has been told others."""
    if vae.num_classes is None:
        return
    file = resumed_checkpoint(run_dir, config)
    with reading(file, f"resume={run_dir.path}: {file.name}") as take:
        known = take(mapping({}, {CLASS_NAMES: class_names})).get(CLASS_NAMES)
    check_classes(known, data.class_names, f"resume={run_dir.path}: data")


def check_optimizer(module: VAEModule) -> None:
    """Raise a UserError where the optimizer can't be made of its settings."""
    try:
        module.configure_optimizers()
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"optimizer: {str(error).splitlines()[0]}") from error


def check_resumable(config: dict[str, Any], module: VAEModule, run_dir: RunDir) -> int:
    """The first step after the checkpoint that is gone on from, counted from 0.

    Raises:
        UserError: there is none, it can't be gone on from, or best.ckpt can't be tested at the end. Where last.ckpt is
            lost, the line says how to go on from best.ckpt, if that is whole.
    """
    resumed, told = resumed_checkpoint(run_dir, config), f"resume={run_dir.path}"
    expected = mapping({"state_dict": weights(module.state_dict()), "epoch": EPOCH})
    if not resumed.is_file():
        way_out = _or_from_best(resumed, expected, run_dir)
        raise UserError(f"{told}: no checkpoint there (checkpoints/{resumed.name}){way_out or '; start a new run'}")
    try:
        trained(resumed, module.state_dict(), f"{told}: {resumed.name}", module.vae.latent_dim)
    except UserError as error:
        raise UserError(f"{error}{_or_from_best(resumed, expected, run_dir)}") from error
    for file in {run_dir.best} - {resumed, run_dir.last}:
        trained(file, module.state_dict(), f"{told}: {file.name}", module.vae.latent_dim)
    with reading(resumed, f"{told}: {resumed.name}") as take:
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


def check_state(file: Path, expected: Expectation, run_dir: RunDir) -> dict[str, Any]:
    """What of a checkpoint the run, built by now, can take to go on from.

    Raises:
        UserError: it is of another kind, or damaged.
    """
    try:
        with reading(file, f"resume={run_dir.path}: {file.name}") as take:
            return take(expected)
    except UserError as error:
        raise UserError(f"{error}{_or_from_best(file, expected, run_dir)}") from error


def check_nothing_newer(config: dict[str, Any], expected: Expectation, run_dir: RunDir) -> None:
    """Raise a UserError where a checkpoint is named in whose place a later, whole last.ckpt would be lost."""
    named, last = resumed_checkpoint(run_dir, config), run_dir.last
    if named == last or not last.is_file():
        return
    try:
        later = _progress(last, expected)
    except UserError:  # damaged: it is what the named one is to take the place of
        return
    if later["global_step"] > _progress(named, expected)["global_step"]:
        plain, new = typed("resume", run_dir.path), typed("init_from", named)
        raise UserError(
            f"resume={named}: last.ckpt, of epoch {later['epoch'] + 1}, is later and would be lost; {plain} goes on "
            f"from it, {new} starts a new run from the weights of {named.name}"
        )


def _progress(file: Path, expected: Expectation) -> dict[str, Any]:
    """Where the training stood that a checkpoint, which is read whole, is of."""
    with reading(file, f"resume={file}:") as take:
        take(expected)
        return take(mapping({"global_step": whole(), "epoch": EPOCH}))


def _or_from_best(lost: Path, expected: Expectation, run_dir: RunDir) -> str:
    """What a message on a lost checkpoint ends with: how to go on from the best one, if that is another, and whole."""
    best = run_dir.best
    with suppress(UserError):
        if best.is_file() and best != lost:
            with reading(best, "") as take:
                epoch = take(expected)["epoch"] + 1
            return f"; {typed('resume', best)} goes on from the best one, of epoch {epoch}"
    return ""


def check_same_images(config: dict[str, Any], data: ImageDataModule, run_dir: RunDir) -> None:
    """Raise a UserError where a run that is to be gone on with has been trained on other images, or another split.

    The same images may lie elsewhere. What is typed is no exception where it deals them out anew (data.val_fraction,
    data.num_val, data.seed): images that were trained on would be tested. Runs of an earlier version have recorded
    nothing, and are believed.
    """
    file = resumed_checkpoint(run_dir, config)
    with reading(file, f"resume={run_dir.path}: {file.name}") as take:
        recorded = take(mapping({}, {IMAGES: images_of_splits})).get(IMAGES)
    for name, before in (recorded or {}).items():
        now = data.identity[name]
        if now == before:
            continue
        number, kind = before["num_images"], f"{SPLIT_NAMES[name]} images"
        others = f"{now['num_images']:,}"
        if now["num_images"] == number:
            others += " others, by their names or labels"
        raise UserError(
            f"resume={run_dir.path}: data: the run was trained with {number:,} {kind}, and these are {others}; a run "
            f"keeps its images and their splits, wherever they lie; {typed('init_from', run_dir.path)} trains its "
            "weights on others, in a new run"
        )


def check_watched(callbacks: Mapping[str, Any], vae: LatentModel) -> None:
    """Refuse callbacks that go by the ELBO or the rate of a model that has neither.

    Args:
        callbacks: by name.
        vae: that is to be trained.

    Raises:
        UserError: there is one.
    """
    if vae.has_density:
        return
    for name, each in callbacks.items():
        for key in ("monitor", "metric"):
            watched = getattr(each, key, None)
            if watched in ("val/elbo", "val/rate"):
                if isinstance(each, PruneTrial):  # which has it from the search
                    place, falls = f"hydra.sweeper.{key}", " with hydra.sweeper.direction=minimize"
                else:
                    place = f"callbacks.{name}.{key}"
                    falls = f" with callbacks.{name}.mode=min" if hasattr(each, "mode") else ""
                raise UserError(f"{place}={watched}: {NO_DENSITY}; choose {place}=val/loss{falls}")


def check_compilable(trainer: dict[str, Any], objective: Objective) -> None:
    """Refuse to compile a model for an objective that has its gradient in the loss.

    Raises:
        UserError: it is so.
    """
    if trainer["compile"] and objective.differentiates_twice:
        name = type(objective).__name__
        raise UserError(
            f"trainer.compile=true: a compiled model can't be differentiated twice, as {name} does; choose false"
        )
