"""`init_from`: a new run that starts from the weights of another, of which its record says which they were."""

import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from vae_lightning.checkpoints.contents import AVERAGING, EPOCH, present, reading, weights
from vae_lightning.checkpoints.expectations import OtherModelError, mapping
from vae_lightning.checkpoints.reader import StoredTensor
from vae_lightning.errors import UserError
from vae_lightning.runs.opening import open_run
from vae_lightning.training.module import VAEModule

_OF_THE_MODEL = "vae."  # what a checkpoint has before the names of the model's own weights


def take_weights(place: str, module: VAEModule) -> dict[str, Any]:
    """Put the weights of another run's model into this one; of its optimizer and its objective nothing is taken.

    Args:
        place: a run directory, of which best.ckpt counts, or the path of a checkpoint; either may be anybody's.
        module: whose model is of the same shape.

    Returns:
        what is recorded of them: the checkpoint's file, after which epoch they had been kept, the file's SHA-256, and
        of averages that they are.

    Raises:
        UserError: there is none, it can't be read, it is of another model, or it has weights that are not finite.
    """
    file = _checkpoint(place)
    told = f"init_from={place}: {file.name}"
    model = module.vae.state_dict()
    expected = mapping({"state_dict": partial(_fitting, model=model, told=told), "epoch": EPOCH}, {AVERAGING: present})
    with reading(file, told) as take:
        found = take(expected)
    module.vae.load_state_dict(found["state_dict"])
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    averaged = {"averaged": True} if AVERAGING in found else {}
    return {"checkpoint": str(file.resolve()), "epoch": found["epoch"] + 1, "sha256": digest} | averaged


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


def _fitting(value: Any, where: str, model: Mapping[str, Tensor], told: str) -> dict[str, Tensor]:
    try:
        return weights(model, _OF_THE_MODEL)(value, where)
    except OtherModelError as error:
        raise UserError(
            f"{told} is of another model: {_difference(value, model)}; give the keys of model= that its run has in "
            "its config.yaml, and images of the same shape"
        ) from error


def _difference(stored: Mapping[str, StoredTensor], model: Mapping[str, Tensor]) -> str:
    """The first weight that differs, and how."""
    own = {name.removeprefix(_OF_THE_MODEL): part for name, part in stored.items() if name.startswith(_OF_THE_MODEL)}
    for name, part in model.items():
        if name in own and own[name].shape != tuple(part.shape):
            return f"{name} is {list(own[name].shape)} there and {list(part.shape)} here"
    missing = next((name for name in model if name not in own), None)
    if missing is not None:
        return f"it has no {missing}"
    other = next((name for name in own if name not in model), "a weight")
    return f"it has {other.encode('unicode_escape').decode()[:80]} besides"
