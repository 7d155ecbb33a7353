"""What images a run has learned, in a few numbers: recorded when its training begins, for whoever gives it others."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from jaxtyping import Float
from torch import Tensor

from vae_lightning.data.image_data import ImageDataModule
from vae_lightning.runs.records import TRAINING_IMAGES, RunDir
from vae_lightning.runs.shared import SharedModel

_MOST = 1000  # images that are recorded
_MOST_BYTES = 50_000_000  # of their pixels
_FINEST = 1 / 255  # no pixels differ by less
_ALWAYS = 2.0  # deviations: so far off may be the mean of many images of one kind, such as one class
_BEYOND = 1.0  # deviations beyond what was seen of single images
_WORST = 5.0  # deviations below the mean: so low is the ELBO of the worst in thousands of test images


@dataclass(frozen=True)
class Usual:
    """One number that each image has, over the images that a run knows.

    Attributes:
        mean, deviation: over those images.
        below, above: how far single ones lie from the mean at most, in deviations; infinite where no image is too far.
    """

    mean: float
    deviation: float
    below: float
    above: float

    def strangeness(self, values: Float[Tensor, " N"]) -> float:
        """How far the mean of some images lies from the usual one, over what is tolerated of so many: above 1 is far.

        One image may lie a little beyond all that are known; the mean of many, of which chance leaves less, by no more
        than that of images of one kind.
        """
        away = (float(values.double().mean()) - self.mean) / self.deviation
        seen = max(self.above if away > 0 else self.below, 1.0)
        return abs(away) / (_ALWAYS + (seen + _BEYOND - _ALWAYS) / math.sqrt(len(values)))


def pixel_figures(images: Float[Tensor, "N C H W"]) -> dict[str, Float[Tensor, " N"]]:
    """Mean and spread of each image's values; the spread is their standard deviation."""
    values = images.flatten(1)
    return {"mean": values.mean(1), "spread": values.std(1, correction=0)}


def described(data: ImageDataModule) -> dict[str, Any]:
    """The figures of some training images, chosen by the seed, as plain data for environment.json."""
    count = max(2, min(_MOST, _MOST_BYTES // math.prod(data.image_shape)))
    images = data.example_images(count, "train", balanced=False)
    known = {name: asdict(_over(values)) for name, values in pixel_figures(images).items()}
    return {"num_images": len(images)} | known


def _over(values: Float[Tensor, " N"]) -> Usual:
    mean, deviation = float(values.mean()), max(float(values.std(correction=0)), _FINEST)
    return Usual(mean, deviation, (mean - float(values.min())) / deviation, (float(values.max()) - mean) / deviation)


def usual_of(run: RunDir | SharedModel) -> dict[str, Usual]:
    """What a run has recorded of its images: `mean` and `spread` of the pixels, and the test images' `ELBO`.

    What is missing, as in a run of an earlier version or one that was not tested, or can't be understood is left out.
    """
    recorded = run.environment().get(TRAINING_IMAGES)
    parts = recorded if isinstance(recorded, dict) else {}
    known = {name: _pixels(parts.get(name)) for name in ("mean", "spread")} | {"ELBO": _elbo(run)}
    return {name: usual for name, usual in known.items() if usual is not None}


def _pixels(recorded: Any) -> Usual | None:
    numbers = _numbers(recorded, [field.name for field in fields(Usual)])
    return None if numbers is None or numbers[1] <= 0 else Usual(*numbers)


def _elbo(run: RunDir | SharedModel) -> Usual | None:
    try:
        numbers = _numbers(run.metrics(), ["test/elbo", "test/elbo_stderr", "test/num_images"])
    except (OSError, ValueError):  # not there yet, or cut short by a full disk
        return None
    if numbers is None or numbers[1] <= 0 or numbers[2] < 2:
        return None
    mean, stderr, count = numbers
    return Usual(mean, stderr * math.sqrt(count), _WORST, math.inf)


def _numbers(recorded: Any, names: list[str]) -> list[float] | None:
    """Finite numbers by their names, None unless all are there."""
    values: list[Any] = [recorded.get(name) for name in names] if isinstance(recorded, dict) else [None]
    numbers = [float(value) for value in values if type(value) in (int, float)]  # a bool is none
    return numbers if len(numbers) == len(values) and all(map(math.isfinite, numbers)) else None
