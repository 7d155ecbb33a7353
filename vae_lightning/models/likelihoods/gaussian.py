"""p(x|z) as a normal distribution with one scale for all pixels."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from vae_lightning.models.distributions import at_least_float32, clamped_logit, normal_image
from vae_lightning.models.parts import Likelihood
from vae_lightning.models.ranks import mean_over_ranks


class GaussianLikelihood(Likelihood):
    """p(x|z) = N(x; sigmoid(decoder(z)), scale^2 I), one scale for all pixels; the default for colour images.

    `scale="optimal"` takes the scale that maximises the batch's likelihood, the root mean squared error, in training,
    and in evaluation a running average of its square (sigma-VAE: Rybkin, Daniilidis, Levine, arXiv 2006.13202).
    `scale="learned"` is one parameter, started at `initial_scale`; a number is a fixed scale in pixel units.

    Its log-probability is a density: it is positive when the scale is small, and bits per dimension do not apply.

    Raises:
        ValueError: a scale that is not positive.
    """

    levels = None  # a density
    variance: Tensor
    num_updates: Tensor

    def __init__(
        self,
        scale: float | Literal["optimal", "learned"] = "optimal",
        initial_scale: float = 0.1,
        minimum_scale: float = 1e-3,
        averaging: float = 0.98,
    ):
        super().__init__()
        if not isinstance(scale, str) and scale <= 0:
            raise ValueError(f"scale must be positive, or one of optimal, learned; got {scale}")
        for name, value in {"initial_scale": initial_scale, "minimum_scale": minimum_scale}.items():
            if value <= 0:
                raise ValueError(f"{name} must be positive, got {value}")
        if not 0 <= averaging < 1:
            raise ValueError(f"averaging must lie in [0, 1), got {averaging}")
        self.mode = scale if isinstance(scale, str) else "fixed"
        self.minimum_scale = minimum_scale
        self.averaging = averaging
        if self.mode == "learned":
            self.log_scale = nn.Parameter(torch.tensor(float(initial_scale)).log())
        elif self.mode == "optimal":
            self.register_buffer("variance", torch.tensor(float(initial_scale) ** 2))
            self.register_buffer("num_updates", torch.tensor(0.0))
        else:
            self.fixed_scale = float(scale)

    def forward(
        self, decoded: Float[Tensor, "*KB C H W"], target: Float[Tensor, "B C H W"] | None = None
    ) -> Distribution:
        loc = torch.sigmoid(at_least_float32(decoded))
        return normal_image(loc, self._scale(loc, target))

    def decoder_output(self, mean: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """What the decoder must give for the likelihood to have this mean."""
        return clamped_logit(mean)

    def _scale(self, loc: Tensor, target: Tensor | None) -> Tensor | float:
        if self.mode == "fixed":
            return self.fixed_scale
        if self.mode == "learned":
            return self.log_scale.exp().clamp_min(self.minimum_scale)
        if self.training and target is not None:
            # At the optimum the derivative with respect to the scale is zero, so detaching it changes no gradient.
            variance = mean_over_ranks((loc.detach() - target).square().mean())
            self._update_average(variance)
        else:
            variance = self.variance
        return variance.sqrt().clamp_min(self.minimum_scale)

    @torch.no_grad()
    def _update_average(self, variance: Tensor) -> None:
        self.num_updates += 1
        # A plain mean over the first updates, so that the start value has no say.
        weight = torch.clamp(1 / self.num_updates, min=1 - self.averaging)
        self.variance.lerp_(variance, weight)
