"""What every VAE of several groups of latents has in common, each group drawn given those above it."""

import itertools
from abc import ABC, abstractmethod

from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.distributions import Distribution

from vae_lightning.models.distributions import sample
from vae_lightning.models.latent_model import LatentModel, Temperature, of_each_group
from vae_lightning.models.parts import prior_from
from vae_lightning.noise import Noise


class Hierarchy(LatentModel, ABC):
    """p(z) = prod_l p(z_l | z_<l), whose top group has the prior of a plain VAE.

    Attributes:
        prior: the part that makes p(z_1).
    """

    prior: nn.Module
    _dims: tuple[int, ...]

    def _take(self, group_dims: tuple[int, ...]) -> None:
        """Have groups of these widths, the top one first."""
        self._dims = group_dims
        self.latent_dim = sum(group_dims)
        self.num_groups = len(group_dims)

    @property
    def group_dims(self) -> tuple[int, ...]:
        """Of each group, the top one first."""
        return self._dims

    def num_groups_in(self, width: int) -> int:
        """How many groups, from the top one on, have so many dimensions side by side.

        Raises:
            ValueError: it is no whole number of groups.
        """
        widths = list(itertools.accumulate(self._dims))
        if width not in widths:
            raise ValueError(f"code must be of whole groups, of {', '.join(map(str, widths))} dimensions; got {width}")
        return widths.index(width) + 1

    def draw(
        self, noise: Noise, labels: Int64[Tensor, " B"] | None = None, temperature: Temperature = 1.0
    ) -> Float[Tensor, "K B D"]:
        """Latents from the prior, each group with that many times its own spread."""
        top, *_ = of_each_group(temperature, self.num_groups)
        return self.completed(sample(self._top_prior(), noise, top), noise, temperature)

    def latent_prior(self) -> None:
        """None: it is one distribution a group."""

    def _top_prior(self) -> Distribution:
        return prior_from(self.prior, self._encode_top)

    @abstractmethod
    def _encode_top(self, x: Float[Tensor, "B C H W"]) -> Distribution:
        """q(z_1|x), for a prior that is made of it."""
