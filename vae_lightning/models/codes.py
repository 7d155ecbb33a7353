"""Discrete codes as distributions: the one code that an image gets, and the uniform prior over all of them."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.distributions import Distribution, register_kl

from vae_lightning.errors import UserError
from vae_lightning.models.distributions import sample
from vae_lightning.noise import Noise


class ChosenCode(Distribution):
    """All of the mass on one code: batch shape [B], event shape [D], or both in the batch shape.

    Args:
        z: the quantized vectors of all positions, side by side.
        indices: of the codes, [B, P].
        event_dim: 1, or 0 for each dimension by itself.
    """

    def __init__(self, z: Float[Tensor, "B D"], indices: Int64[Tensor, "B P"], event_dim: int = 1):
        self.z = z
        self.indices = indices
        split = z.ndim - event_dim
        super().__init__(z.shape[:split], z.shape[split:], validate_args=False)

    @property
    def mean(self) -> Float[Tensor, "B D"]:
        """The code itself."""
        return self.z

    def log_prob(self, value: Float[Tensor, "... D"]) -> Float[Tensor, "..."]:
        """Of a mass, no density: 0 at the code, minus infinity elsewhere."""
        is_there = value == self.z
        if self.event_shape:
            is_there = is_there.all(-1)
        return torch.where(is_there, 0.0, -torch.inf).to(value.dtype)

    def marginals(self) -> "ChosenCode":
        """Of each dimension of the event: batch shape [B, D]."""
        return ChosenCode(self.z, self.indices, 0)


class UniformCodes(Distribution):
    """P positions with one of `num_codes` codes each, all equally probable: batch shape [], event shape [D].

    Args:
        nats: how many of the P log(num_codes) nats fall to each dimension.
        num_codes: of the codebook.
        num_positions: P.
        vectors_of: indices [N, P] to latents [N, D].
        event_dim: 1, or 0 for each dimension by itself.
    """

    def __init__(
        self,
        nats: Float[Tensor, " D"],
        num_codes: int,
        num_positions: int,
        vectors_of: Callable[[Tensor], Tensor],
        event_dim: int = 1,
    ):
        self.nats = nats
        self.num_codes = num_codes
        self.num_positions = num_positions
        self.vectors_of = vectors_of
        shape = nats.shape
        super().__init__(*((torch.Size(), shape) if event_dim else (shape, torch.Size())), validate_args=False)

    def log_prob(self, value: Float[Tensor, "... D"]) -> Float[Tensor, "..."]:
        """Of codes alone, of which every one has the same mass: -P log(num_codes)."""
        if self.event_shape:
            return -self.nats.sum().to(value.dtype).expand(value.shape[:-1])
        return -self.nats.to(value.dtype).expand(value.shape)

    def marginals(self) -> "UniformCodes":
        """Of each dimension of the event: batch shape [D]."""
        return UniformCodes(self.nats, self.num_codes, self.num_positions, self.vectors_of, 0)


@register_kl(ChosenCode, UniformCodes)
def _kl_from_uniform(q: ChosenCode, p: UniformCodes) -> Float[Tensor, "..."]:
    """The same for every code: log(num_codes) a position."""
    return -p.log_prob(q.z)


@sample.register
def _sample_point(distribution: ChosenCode, noise: Noise, temperature: float = 1.0) -> Float[Tensor, "K B D"]:
    num_samples = len(noise.uniform((0,)))  # which draws nothing
    return distribution.z.expand(num_samples, *distribution.z.shape)


@sample.register
def _sample_uniform(distribution: UniformCodes, noise: Noise, temperature: float = 1.0) -> Float[Tensor, "K B D"]:
    check_temperature(temperature)
    drawn = noise.uniform((distribution.num_positions,)) * distribution.num_codes
    indices = drawn.long().clamp(max=distribution.num_codes - 1)  # which a product may round up to
    return distribution.vectors_of(indices.flatten(0, 1)).unflatten(0, indices.shape[:2])


def check_temperature(temperature: float) -> None:
    """Refuse another spread than its own for the uniform prior.

    Raises:
        UserError: it is not 1.
    """
    if temperature != 1:
        raise UserError(f"temperature={temperature:g}: the uniform prior over codes has no spread to change; choose 1")
