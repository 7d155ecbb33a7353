"""`init_from`: a new run that starts from the weights of another, of which its record says which they were."""

import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from vae_lightning.checkpoints.contents import AVERAGING, EPOCH, present, reading, reading_weights, weights
from vae_lightning.checkpoints.expectations import Expectation, OtherModelError, mapping
from vae_lightning.checkpoints.reader import StoredTensor
from vae_lightning.errors import UserError
from vae_lightning.runs.opening import open_run
from vae_lightning.runs.shared import CONFIG, SharedModel, check_file, find_shared
from vae_lightning.training.module import VAEModule

_OF_THE_MODEL = "vae."  # what a checkpoint has before the names of the model's own weights


def take_weights(place: str, module: VAEModule) -> dict[str, Any]:
    """Put the weights of another run's model into this one; of its optimizer and its objective nothing is taken.

    Args:
        place: a run directory, of which best.ckpt counts; the path of a checkpoint; or a model that was given away, as
            `runs.shared.find_shared` finds it. Each may be anybody's.
        module: whose model is of the same shape.

    Returns:
        what is recorded of them: the checkpoint's file, after which epoch they had been kept, the file's SHA-256, and
        of averages that they are.

    Raises:
        UserError: there is none, it can't be read, it is of another model, or it has weights that are not finite.
    """
    shared = find_shared(place, "init_from")
    file = _checkpoint(place) if shared is None else shared.weights
    told = f"init_from={place}: {file.name}"
    prefix = _OF_THE_MODEL if shared is None else ""
    fitting = partial(_fitting, model=module.vae.state_dict(), told=told, prefix=prefix)
    if shared is None:
        with reading(file, told) as take:
            found = take(mapping({"state_dict": fitting, "epoch": EPOCH}, {AVERAGING: present}))
        epoch, averaged = found["epoch"] + 1, AVERAGING in found
    else:
        found, epoch, averaged = _given_away(shared, told, fitting)
    module.vae.load_state_dict(found["state_dict"])
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    facts = {"checkpoint": str(file.resolve()), "epoch": epoch, "sha256": digest}
    return facts | ({"averaged": True} if averaged else {})


def _given_away(shared: SharedModel, told: str, fitting: Expectation) -> tuple[dict[str, Any], int, bool]:
    """The weights, the epoch and whether they are averages, of a model of whose checkpoint nothing else is there."""
    facts = shared.content
    if type(facts.get("epoch")) is not int or facts["epoch"] < 1:
        raise UserError(f"{shared.told}: its {CONFIG} has no epoch")
    check_file(shared.weights, shared.told)
    with reading_weights(shared.weights, told) as take:
        return {"state_dict": take(fitting)}, facts["epoch"], facts.get("averaged") is True


def _checkpoint(place: str) -> Path:
    path = Path(place)
    if path.is_file():
        return path
    if not path.is_dir():
        raise UserError(f"init_from={place}: no such run directory, and no checkpoint file")
    file = open_run(place, "init_from", idle=False).best
    if not file.is_file():
        raise UserError(f"init_from={place}: it has no checkpoint yet (checkpoints/best.ckpt)")
    return file


def _fitting(value: Any, where: str, model: Mapping[str, Tensor], told: str, prefix: str) -> dict[str, Tensor]:
    try:
        return weights(model, prefix)(value, where)
    except OtherModelError as error:
        config = "its run has in its config.yaml" if prefix else f"it has in its {CONFIG}"
        raise UserError(
            f"{told} is of another model: {_difference(value, model, prefix)}; give the keys of model= that {config}, "
            "and images of the same shape"
        ) from error


def _difference(stored: Mapping[str, StoredTensor], model: Mapping[str, Tensor], prefix: str) -> str:
    """The first weight that differs, and how."""
    own = {name.removeprefix(prefix): part for name, part in stored.items() if name.startswith(prefix)}
    for name, part in model.items():
        if name in own and own[name].shape != tuple(part.shape):
            return f"{name} is {list(own[name].shape)} there and {list(part.shape)} here"
    missing = next((name for name in model if name not in own), None)
    if missing is not None:
        return f"it has no {missing}"
    other = next((name for name in own if name not in model), "a weight")
    return f"it has {other.encode('unicode_escape').decode()[:80]} besides"
