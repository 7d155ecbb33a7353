"""A second VAE, of the codes of the first."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from vae_lightning.errors import require_at_least
from vae_lightning.latents.samplers.sampler import CodeDistribution, Codes, Sampler, Standardized, minimized
from vae_lightning.noise import Noise, seeded

_BATCH, _LR = 256, 3e-3


@dataclass(frozen=True)
class TwoStageSampler(Sampler):
    """Codes from a second VAE that is trained on draws of the first one's posteriors.

    Its latents u are as many as the codes', its prior is N(0, I), its likelihood N(z; f(u), gamma^2 I) with a learned
    gamma, z being the codes at a mean of 0 and a spread of 1 of each dimension, and drawn with its noise.
    Dai & Wipf, Diagnosing and enhancing VAE models, arXiv 1903.05789.

    Attributes:
        hidden: the width of the two hidden layers of encoder and decoder.
        num_steps: optimizer steps, of 256 codes each.
        num_images: training images that are encoded, at most.

    Raises:
        ValueError: a number below 1.
    """

    name: ClassVar[str] = "two_stage"

    hidden: int = 256
    num_steps: int = 5000
    num_images: int = 60_000

    def __post_init__(self) -> None:
        require_at_least("hidden", self.hidden, 1)
        require_at_least("num_steps", self.num_steps, 1)
        require_at_least("num_images", self.num_images, 1)

    def empty(self, code_dim: int) -> "_Second":
        with seeded(0):
            return _Second(code_dim, self.hidden)

    def fit(self, codes: Codes, seed: int) -> "_Second":
        dim = codes.z.shape[1]
        with seeded(seed):
            fitted = _Second(dim, self.hidden)
            encoder = _layers(dim, self.hidden, 2 * dim)
            both = nn.ModuleList([encoder, fitted])
            rows = fitted.standardized.start(codes.z)
            minimized(both, lambda z: _cost(encoder, fitted, z), rows, self.num_steps, _BATCH, _LR)
        return fitted


def _layers(num_inputs: int, hidden: int, num_outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(num_inputs, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, num_outputs)
    )


class _Second(CodeDistribution):
    def __init__(self, code_dim: int, hidden: int):
        super().__init__()
        self.decoder = _layers(code_dim, hidden, code_dim)
        self.log_gamma = nn.Parameter(torch.zeros(()))
        self.standardized = Standardized(code_dim)

    def forward(self, noise: Noise, temperature: float = 1.0) -> Float[Tensor, "K B D"]:
        shape = self.standardized.mean.shape
        u, around = (temperature * noise.normal(tuple(shape)).to(self.standardized.mean) for _ in range(2))
        return self.standardized(self.decoder(u) + self.log_gamma.exp() * around)


def _cost(encoder: nn.Module, second: _Second, z: Float32[Tensor, "B D"]) -> Float[Tensor, ""]:
    """The negative ELBO of standardized codes, in nats."""
    loc, log_scale = encoder(z).chunk(2, -1)
    u = loc + log_scale.exp() * torch.randn_like(loc)
    squares = (z - second.decoder(u)).square() * (-2 * second.log_gamma).exp()
    distortion = 0.5 * (squares + math.log(2 * math.pi)).sum(-1) + z.shape[-1] * second.log_gamma
    rate = 0.5 * (loc.square() + (2 * log_scale).exp() - 1 - 2 * log_scale).sum(-1)
    return (distortion + rate).mean()
