"""Whether a user's images are such as a run has learned; if not, what would make them so, found by trying it."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from vae_lightning.noise import Indexed, evaluation_seed
from vae_lightning.objectives.elbo import evaluated_elbo
from vae_lightning.runs.cures import CENTRED, CURES, INVERTED, Cure, have_ground
from vae_lightning.runs.source import Source
from vae_lightning.runs.usual import Usual, pixel_figures

_LOOKED_AT = 64  # images: as many tell what is wrong with thousands
_TRIED = 16  # images that cures are tried on
_NEARER = 1 / 3  # of the strangeness is left by a cure that is worth telling although they do not fit
_A_STEP = 0.4  # of strangeness a cure has to take away for each step that it is longer than another
_FEWEST_TURNED = 4  # images: of single faces that a run has learned some are likelier inverted
_WHOSE = {"mean": "training images", "spread": "training images", "ELBO": "test images"}
_KIND = "are they of the kind that this run has learned?"


@dataclass(frozen=True)
class Strange:
    """Images that are far from what a run has learned.

    Attributes:
        figures: the names of those that are far.
        cure: what would make them fit, or bring them nearer; None where nothing was found.
        fits: whether they would fit.
        told: all of it in a line.
    """

    figures: tuple[str, ...]
    cure: Cure | None
    fits: bool
    told: str


@dataclass(frozen=True)
class Likeness:
    """How images are held against what a run knows.

    Attributes:
        source: the run.
        usual: see `runs.usual.usual_of`.
        turned: the setting that inverts the images, or no longer does, in words.
    """

    source: Source
    usual: dict[str, Usual]
    turned: str

    def look(self, images: Float[Tensor, "N C H W"], labels: Int64[Tensor, " N"] | None) -> Strange | None:
        """What is strange about images in [0, 1], with the labels that the model is told; None if nothing is."""
        if not self.usual or not len(images):
            return None
        rows = torch.linspace(0, len(images) - 1, min(len(images), _LOOKED_AT)).round().long()
        chosen = _Chosen(images[rows].float().cpu(), None if labels is None else labels[rows].cpu())
        figures = self._figures(chosen)
        single = [
            bool(self._far({name: values[[row]] for name, values in figures.items()})) for row in range(len(rows))
        ]
        found = [self._found(chosen, figures, torch.tensor(some)) for some in ([True] * len(rows), single)]
        together, apart = found
        told = together if apart is None or (together is not None and together.fits) else apart
        return told if told is not None or "ELBO" not in figures else self._likelier(chosen, figures["ELBO"])

    def _likelier(self, chosen: "_Chosen", elbo: Float32[Tensor, " N"]) -> Strange | None:
        """Images that are not far, yet by one step would be likelier by more than a run's own ever are."""
        usual, everyone = self.usual["ELBO"], torch.ones(len(elbo), dtype=torch.bool)
        for cure in (INVERTED, CENTRED) if have_ground(chosen.images) else (INVERTED,):
            cured = self._figures(_Chosen(cure(chosen.images), chosen.labels))
            gains = (cured["ELBO"] - elbo) / usual.deviation
            much = torch.tensor([_is_much(cure, gains[[row]]) for row in range(len(gains))])
            for some in (everyone, much & (elbo < usual.mean)):
                # With what is likelier than usual as it is, nothing is wrong.
                is_low = some.any() and elbo[some].mean() < usual.mean
                fit = is_low and self._strangeness({name: values[some] for name, values in cured.items()}) <= 1
                if fit and _is_much(cure, gains[some]):
                    return self._gaining(chosen, some, cure, elbo[some], cured["ELBO"][some])
        return None

    def _gaining(
        self, chosen: "_Chosen", some: Bool[Tensor, " N"], cure: Cure, before: Tensor, after: Tensor
    ) -> Strange:
        seen = f"ELBO {_number(before.mean())} ({self._known('ELBO')})"
        advice = f"{self._advice(chosen.those(some), cure, fits=True)}, with {_number(after.mean())}"
        return Strange(("ELBO",), cure, True, f"images: {_many(some)}{seen}: {advice}")

    def _found(self, chosen: "_Chosen", figures: dict[str, Tensor], some: Bool[Tensor, " N"]) -> Strange | None:
        figures = {name: values[some] for name, values in figures.items()}
        far = self._far(figures) if some.any() else ()
        if not far:
            return None
        those = chosen.those(some)
        cure, fits = self._cure(those, self._strangeness(figures))
        seen = ", ".join(f"{name} {_number(figures[name].mean())} ({self._known(name)})" for name in far)
        return Strange(far, cure, fits, f"images: {_many(some)}{seen}: {self._advice(those, cure, fits)}")

    def _figures(self, chosen: "_Chosen") -> dict[str, Tensor]:
        figures = pixel_figures(chosen.images)
        if "ELBO" in self.usual:
            figures["ELBO"] = self._elbo(*chosen)
        return {name: values for name, values in figures.items() if name in self.usual}

    def _elbo(self, images: Float[Tensor, "N C H W"], labels: Int64[Tensor, " N"] | None) -> Float32[Tensor, " N"]:
        place, seed = self.source.device, evaluation_seed(self.source.seed, "test")
        told = None if labels is None else labels.to(place)
        noise = Indexed(seed, torch.arange(len(images)), 1, place)
        elbo = evaluated_elbo(self.source.vae, images.to(place), noise, told).elbo
        assert elbo is not None
        return elbo.float().cpu()

    def _far(self, figures: dict[str, Tensor]) -> tuple[str, ...]:
        return tuple(name for name, values in figures.items() if self.usual[name].strangeness(values) > 1)

    def _strangeness(self, figures: dict[str, Tensor]) -> float:
        return max(self.usual[name].strangeness(values) for name, values in figures.items())

    def _cure(self, chosen: "_Chosen", strangeness: float) -> tuple[Cure | None, bool]:
        """A simple one that makes images fit; else the best one, if it helps; and whether they fit."""
        if chosen.are_blank:
            return None, False
        images, labels = (None if part is None else part[:_TRIED] for part in chosen)
        assert images is not None
        # What is moved or scaled, the pixels' mean and spread can't tell.
        movable = "ELBO" in self.usual and have_ground(images)
        cures = [cure for cure in CURES if cure.size is None or movable]
        left = {cure: self._strangeness(self._figures(_Chosen(cure(images), labels))) for cure in cures}
        fitting = [cure for cure in cures if left[cure] <= 1]
        if fitting:
            return min(fitting, key=lambda cure: left[cure] + _A_STEP * cure.steps), True
        best = min(cures, key=lambda cure: left[cure])
        return (best, False) if left[best] <= _NEARER * strangeness else (None, False)

    def _known(self, name: str) -> str:
        return f"the {_WHOSE[name]}: {_number(self.usual[name].mean)}"

    def _advice(self, chosen: "_Chosen", cure: Cure | None, fits: bool) -> str:
        if chosen.are_blank:
            return "nothing is on them"
        if cure is None:
            return f"nothing that was tried would make them fit; {_KIND}"
        inverted = f"inverted ({self.turned})" if cure.invert else None
        size = " x ".join(map(str, chosen.images.shape[2:]))
        # Tried on what is left of a picture at this size: thin lines are grey there, however black in the file.
        stretched = f"with full contrast at {size} pixels (light evened, bolder lines)" if cure.stretch else None
        sized = (
            None if cure.size is None else "centred" if cure.size == 1 else f"centred at {cure.size:g} times their size"
        )
        *others, last = [way for way in (inverted, stretched, sized) if way is not None]
        ways = f"{', '.join(others)} and {last}" if others else last
        return f"{ways} they would {'fit' if fits else 'be much nearer, yet not fit'}"


class _Chosen(NamedTuple):
    """Images in [0, 1] that are looked at, on the CPU, and their labels."""

    images: Float[Tensor, "N C H W"]
    labels: Int64[Tensor, " N"] | None

    def those(self, some: Bool[Tensor, " N"]) -> "_Chosen":
        return _Chosen(self.images[some], None if self.labels is None else self.labels[some])

    @property
    def are_blank(self) -> bool:
        """Whether each is of one colour."""
        return bool((self.images.flatten(2).amax(2) == self.images.flatten(2).amin(2)).all())


def _many(some: Bool[Tensor, " N"]) -> str:
    return "" if some.all() else f"{int(some.sum())} of {len(some)} have "


def _is_much(cure: Cure, gains: Float[Tensor, " N"]) -> bool:
    """Whether images gain more by a cure, in deviations of the test images' ELBO, than a run's own do.

    Of nine small runs on digits, faces and sprites, some hardly trained, single ones of 113 to 500 test images gained
    at most 3.0 when they were centred. Inverted, single faces gained up to 6.2, the mean of all of a run's 0.06.
    """
    number = len(gains)
    least = 1 + 2.5 / math.sqrt(number) if cure is CENTRED else max(0.4, 1.5 / math.sqrt(number))
    return (cure is CENTRED or number >= _FEWEST_TURNED) and float(gains.mean()) > least


def _number(value: Tensor | float) -> str:
    return f"{float(value):.2f}" if abs(float(value)) < 10 else f"{float(value):,.0f}"
