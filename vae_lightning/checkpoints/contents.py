"""What is taken out of a checkpoint to use a trained model: its weights, its epoch, and what was found of its units."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from vae_lightning.checkpoints.expectations import (
    Expectation,
    NotFiniteError,
    OtherModelError,
    UnexpectedError,
    mapping,
    number,
    optional,
    sequence,
    tensor_like,
    text,
    whole,
)
from vae_lightning.checkpoints.reader import StoredTensor, UnreadableError, stored
from vae_lightning.checkpoints.safe_tensors import stored_safely
from vae_lightning.errors import UserError
from vae_lightning.latents.units import UnitStatistics

EPOCH = whole(0, 2**31)
FACTS = "config.json"  # beside a file of weights alone
CLASS_NAMES = "class_names"  # of the labels of the data, where they have names
IMAGES = "data"  # what `ImageDataModule.identity` said of them
_MOST_NAMES = 100_000
AVERAGING = "averaging_state"  # what Lightning's WeightAveraging adds, whose averages are the state_dict then


@dataclass(frozen=True)
class Trained:
    """A trained model, as a checkpoint holds it.

    Attributes:
        weights: by name, each of its parameter's shape and type, finite.
        epoch: the number of epochs that were begun, so that the first is 1.
        units: of the validation images at that epoch, None where none was validated.
        averaged: whether the weights are averages of those that were trained.
        class_names: of the labels of the data that it was trained on; None where they had none.
        images: what tells those images from others, see `images_of_splits`; None of an earlier version.
    """

    weights: dict[str, Tensor]
    epoch: int
    units: UnitStatistics | None
    averaged: bool
    class_names: tuple[str, ...] | None = None
    images: dict[str, dict[str, Any]] | None = None


def trained(path: Path, model: Mapping[str, Tensor], told: str, latent_dim: int, prefix: str = "") -> Trained:
    """Read a trained model.

    Args:
        path: a file, which may be anybody's.
        model: the model's own state_dict.
        told: what an error begins with, such as "run=outputs/x: best.ckpt".
        latent_dim: D.
        prefix: what the file has before those names; weights without it are left.

    Raises:
        UserError: it can't be read, or is of another model, or has weights that are not finite.
    """
    with reading(path, told) as take:
        return _of(take(mapping({"state_dict": weights(model, prefix), "epoch": EPOCH}, _may_have(latent_dim))))


def trained_of_weights(
    path: Path, facts: Mapping[str, Any], model: Mapping[str, Tensor], told: str, latent_dim: int
) -> Trained:
    """Read a trained model that was given away: a file of weights alone, and what else a checkpoint would have.

    Args:
        path: of the weights, which may be anybody's.
        facts: the rest, of whoever's file, too, by the names that a checkpoint has for them; epochs count from 1.
        model: the model's own state_dict.
        told: what an error begins with, such as "run=model".
        latent_dim: D.

    Raises:
        UserError: as `trained`.
    """
    with _telling(f"{told}: {FACTS}"):
        found = mapping({"epoch": whole(1, 2**31)}, _may_have(latent_dim))(facts, "")
    with reading_weights(path, f"{told}: {path.name}") as take:
        return _of(found | {"epoch": found["epoch"] - 1, "state_dict": take(weights(model))})


@contextmanager
def reading_weights(path: Path, told: str) -> Iterator[Callable[[Expectation], Any]]:
    """A file of weights alone that is open: a function that takes what is expected of its tensors by name.

    Raises:
        UserError: as `reading`.
    """
    with _telling(told, FACTS), stored_safely(path) as tensors:
        yield lambda expected: expected(tensors, "")


def _may_have(latent_dim: int) -> dict[str, Expectation]:
    known = {"units": optional(units(latent_dim)), AVERAGING: present, CLASS_NAMES: class_names}
    return known | {IMAGES: images_of_splits}


def _of(found: dict[str, Any]) -> Trained:
    statistics = found.get("units")
    known = UnitStatistics.from_dict(statistics) if statistics else None
    of_data = found.get(CLASS_NAMES), found.get(IMAGES)
    return Trained(found["state_dict"], found["epoch"] + 1, known, AVERAGING in found, *of_data)


@contextmanager
def reading(path: Path, told: str) -> Iterator[Callable[[Expectation], Any]]:
    """A checkpoint that is open: a function that takes what is expected of it.

    Raises:
        UserError: it can't be read or has not what is expected; in the block, too.
    """
    with _telling(told), stored(path) as contents:
        yield lambda expected: expected(contents, "")


@contextmanager
def _telling(told: str, others: str = "config.yaml") -> Iterator[None]:
    try:
        yield
    except (UnreadableError, NotFiniteError, OtherModelError, UnexpectedError) as error:
        raise UserError(f"{told} {_reason(error, others)}") from error


def _reason(error: Exception, others: str) -> str:
    if isinstance(error, OtherModelError):
        return f"is of another model than its {others} says ({error})"
    if isinstance(error, NotFiniteError):
        return f"has values that are not finite ({error}): its training has diverged"
    return f"can't be read ({error})"


def weights(model: Mapping[str, Tensor], prefix: str = "") -> Expectation:
    """The weights of a model, by the names that its own state_dict has, without the prefix."""
    return partial(_weights, model=model, prefix=prefix)


def _weights(value: Any, where: str, model: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    if not isinstance(value, dict) or not all(
        isinstance(name, str) and isinstance(part, StoredTensor) for name, part in value.items()
    ):
        raise UnexpectedError(f"{where} is not a dict of tensors")
    found = {name.removeprefix(prefix): part for name, part in value.items() if name.startswith(prefix)}
    different = sorted(found.keys() ^ model.keys()) or [
        name for name, part in found.items() if (part.shape, part.dtype) != (model[name].shape, model[name].dtype)
    ]
    if different:
        raise OtherModelError(f"it differs in {_visible(different[0])}")
    return {name: tensor_like(model[name])(part, f"{where}.{prefix}{name}") for name, part in found.items()}


def class_names(value: Any, where: str) -> tuple[str, ...]:
    """A name for each label, no two the same."""
    if not isinstance(value, list) or len(value) > _MOST_NAMES:
        raise UnexpectedError(f"{where} is no list of at most {_MOST_NAMES} names")
    names = tuple(text(name, f"{where}[{index}]") for index, name in enumerate(value))
    if len(set(names)) < len(names):
        raise UnexpectedError(f"{where} has a name twice")
    return names


def images_of_splits(value: Any, where: str) -> dict[str, dict[str, Any]]:
    """The number of images and the digest of each split, as `ImageDataModule.identity` gives them."""
    split = mapping({"num_images": whole(), "digest": optional(text)})
    return mapping(dict.fromkeys(("train", "val", "test"), split))(value, where)


def present(value: Any, where: str) -> bool:
    """That there is something, of which nothing is read."""
    return True


def units(latent_dim: int) -> Expectation:
    """What `UnitStatistics.as_dict` gives of so many latent dimensions."""
    values = sequence([number(finite=False)] * latent_dim)
    return mapping({"variance": values}, {"rate": values})


def _visible(name: str) -> str:
    return repr(name[:80])[1:-1]
