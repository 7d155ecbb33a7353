"""Which latent dimensions a model uses: the rate of each, and how much its posterior mean moves with the image."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from vae_lightning.models.latent_model import Latents

ACTIVE = 0.01  # the variance of its posterior mean above which a unit counts as active


@dataclass(frozen=True)
class UnitStatistics:
    """What tells a latent dimension in use from an idle one, over a set of images.

    Attributes:
        rate: mean over the images of KL(q(z_d|x) || p(z_d)), nats per image, [D]; None where the posterior has no
            density.
        variance: Var_x(E_q(z|x)[z_d]) over the images (divided by their number), in squared units of z, [D].
    """

    rate: Float64[Tensor, " D"] | None
    variance: Float64[Tensor, " D"]

    @property
    def by_rate(self) -> list[int]:
        """The dimensions by number, that of the largest rate (or variance, without rates) first; equal ones ascend."""
        in_use = self.variance if self.rate is None else self.rate
        return torch.argsort(in_use, descending=True, stable=True).tolist()

    def active(self, threshold: float = ACTIVE) -> Bool[Tensor, " D"]:
        """Active units: Var_x(E_q(z|x)[z_d]) > threshold. Burda, Grosse & Salakhutdinov, arXiv 1509.00519."""
        return self.variance > threshold

    def as_dict(self) -> dict[str, list[float]]:
        """Plain data for a checkpoint or a JSON file; `from_dict` reads it back to the last bit."""
        rates = {} if self.rate is None else {"rate": self.rate.tolist()}
        return rates | {"variance": self.variance.tolist()}

    @classmethod
    def from_dict(cls, data: dict[str, list[float]]) -> "UnitStatistics":
        """The statistics that `as_dict` wrote down."""
        found = {name: torch.tensor(values, dtype=torch.float64) for name, values in data.items()}
        return cls(found.get("rate"), found["variance"])


class UnitMeter:
    """Accumulates `UnitStatistics` in float64: every image counts once, however it was batched."""

    def __init__(self):
        self._moments: Tensor | None = None
        self._has_rates = True

    def update(self, rates: Float[Tensor, "B D"] | None, means: Float[Tensor, "B D"]) -> None:
        """Add one batch of images: the rate of each of their latent dimensions, if any, and their posterior means."""
        loc, self._has_rates = _double(means), rates is not None
        rate = torch.zeros_like(loc) if rates is None else _double(rates)
        moments = torch.stack([torch.ones_like(loc), rate, loc, loc.square()]).sum(1)
        self._moments = moments if self._moments is None else self._moments + moments

    def compute(self, sum_over_ranks: Callable[[Tensor], Tensor] = lambda moments: moments) -> UnitStatistics | None:
        """The statistics on the CPU, or None when no image was seen.

        `sum_over_ranks` adds a tensor up over the processes that share the data; it is called once. A process that saw
        no batch doesn't call it (it can't know D), so either all processes see one or none does.
        """
        if self._moments is None:
            return None
        count, rate, loc, square = sum_over_ranks(self._moments).cpu()
        if not count.any():
            return None
        return UnitStatistics(
            rate / count if self._has_rates else None, (square / count - (loc / count).square()).clamp(min=0)
        )


def unit_statistics(latents: Latents) -> UnitStatistics:
    """The statistics of images that are encoded already, with their rates if they have any.

    Raises:
        ValueError: no latents at all.
    """
    meter = UnitMeter()
    meter.update(latents.rates, latents.loc)
    statistics = meter.compute()
    if statistics is None:
        raise ValueError("latents must hold at least 1 image, got 0")
    return statistics


def _double(values: Tensor) -> Tensor:
    values = values.detach()
    return (values.cpu() if values.device.type == "mps" else values).double()  # MPS has no float64
