"""The LightningModule of a config, and of a checkpoint alone, which has its config in it."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning.pytorch import LightningModule

from vae_lightning.building.stored import check_config
from vae_lightning.building.trust import Trust, trusting
from vae_lightning.checkpoints.contents import reading, trained
from vae_lightning.checkpoints.expectations import mapping, settings
from vae_lightning.config import checked, instantiate
from vae_lightning.errors import ArgumentError, UserError, first_line
from vae_lightning.models.latent_model import LatentModel
from vae_lightning.objectives.terms import Objective
from vae_lightning.training.execution import stepping_options
from vae_lightning.training.stepping import Stepping

M = TypeVar("M", bound=LightningModule)
_SUITED = "such as gaussian with model.likelihood.scale=optimal"
_NEEDED = ("model", "objective", "optimizer", "trainer")


def module_of(kind: Callable[..., M], config: dict[str, Any], trusted: Trust | None) -> M:
    """The module that a config describes.

    Args:
        kind: `VAEModule`.
        config: the resolved config as plain data.
        trusted: see `config.instantiate`.

    Raises:
        UserError: anything in the config that can't work.
    """
    model = instantiate(config["model"], "model", trusted=trusted)
    objective = instantiate(config["objective"], "objective", trusted=trusted)
    _check_kinds(model, objective)
    _check_objective(model, objective, config["trainer"])
    return kind(
        model,
        objective,
        instantiate(config["optimizer"], "optimizer", trusted=trusted),
        seed=config["seed"],
        config=config,
        stepping=checked(Stepping, stepping_options(config["trainer"]), "trainer"),
        schedule=instantiate(config["schedule"], "schedule", trusted=trusted) if config.get("schedule") else None,
        capture=config["trainer"].get("capture", "auto"),
    )


def loaded(
    kind: Callable[..., M],
    path: str | os.PathLike[str],
    device: Any = None,
    trust: str | Sequence[str] = (),
) -> M:
    """The module of a checkpoint, by the config that it holds; a file from a stranger runs no code.

    Args:
        kind: `VAEModule`.
        path: of best.ckpt or last.ckpt of any run.
        device: where to put it; None is the CPU.
        trust: packages besides this project's whose classes the config may build.

    Raises:
        UserError: a file that can't be read, that holds no config, or whose weights are those of another model; or what
            is no device, or not here.
    """
    place = _device(device)
    file, told, trusted = Path(path).expanduser(), f"{path}:", trusting(trust)
    if not file.is_file():
        raise UserError(f"{told} no such file")
    with reading(file, told) as take:
        config = take(mapping({"config": settings}))["config"]
    try:
        check_config(config, trusted, needed=_NEEDED)
        with torch.random.fork_rng(devices=[]):  # the first weights are drawn on the CPU before they are read
            module = module_of(kind, config, trusted)
    except UserError as error:
        raise UserError(f"{told} {error}") from error
    except ValueError as error:
        raise UserError(f"{told} its config can't be used ({error})") from error
    vae: Any = module.vae
    module.load_state_dict(trained(file, module.state_dict(), told, vae.latent_dim).weights)
    return module.to(place)


def _device(given: Any) -> torch.device:
    wanted = "give a device, such as cpu or cuda, or None for the CPU"
    if given is not None and not isinstance(given, str | torch.device):
        raise ArgumentError(f"map_location: {type(given).__name__} is no device; {wanted}")
    try:
        return torch.empty(0, device=given or "cpu").device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ArgumentError(f"map_location={given}: can't be used ({first_line(error)}); {wanted}") from error


def _check_kinds(model: Any, objective: Any) -> None:
    """Raise a UserError where model or objective is not what a training can go on."""
    for key, made, kind in (("model", model, LatentModel), ("objective", objective, Objective)):
        if not isinstance(made, kind):
            place = f"{kind.__module__}.{kind.__name__}"
            raise UserError(f"{key}: {type(made).__name__} is not derived from {place}; see docs/architecture.md")


def _check_objective(model: LatentModel, objective: Objective, trainer: dict[str, Any]) -> None:
    """Raise a UserError where the objective can't train this model, or not for an unknown time."""
    why_not = _why_not(model, objective)
    if why_not is not None:
        raise UserError(f"objective: {type(objective).__name__} {why_not}")
    key = objective.whole_training
    if key and (trainer.get("max_epochs") or -1) < 0:
        raise UserError(f"objective.{key}=0: takes the whole training; choose a trainer.max_epochs, or at least 1 step")


def _why_not(model: LatentModel, objective: Objective) -> str | None:
    if objective.needs_continuous and model.is_discrete:
        return f"needs continuous latents, and {type(model).__name__} has codes; choose objective=elbo or another model"
    if objective.needs_density and not model.has_density:
        return "needs a posterior with a density; choose another model/posterior, or objective=rae or objective=wae"
    own, of_likelihood = objective.why_not(model), _against(model.likelihood, objective)
    if own is None and of_likelihood is not None:
        return f"{of_likelihood}; choose another model.likelihood, {_SUITED}"
    return own


def _against(likelihood: Any, objective: Objective) -> str | None:
    """Why an objective and a likelihood can't go together; None where they can."""
    measure, untrained = (getattr(likelihood, name, "") for name in ("measure", "beside_mean"))
    own = [name for name, _ in likelihood.named_parameters()]
    if measure and objective.needs_likelihood:
        return f"needs a likelihood, and {measure} is none"
    if objective.trains_likelihood:
        return None
    if measure:
        return f"trains the mean image by an error of its own, to which {measure} adds nothing"
    if own:
        return f"does not train the likelihood's own {', '.join(own)}"
    return f"does not train {untrained}" if untrained else None
