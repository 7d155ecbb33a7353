"""A normalizing flow, fitted by maximum likelihood."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float, Float32
from torch import Tensor

from vae_lightning.errors import require_at_least
from vae_lightning.latents.samplers.sampler import CodeDistribution, Codes, Sampler, Standardized, minimized
from vae_lightning.models.flows import library
from vae_lightning.noise import Noise, seeded

_BATCH, _LR = 256, 2e-3


@dataclass(frozen=True)
class FlowSampler(Sampler):
    """Codes from a masked autoregressive flow that is trained on draws of the posteriors, by zuko.

    Papamakarios et al., Masked autoregressive flow for density estimation, arXiv 1705.07057.

    Attributes:
        num_transforms: autoregressive layers, each in the other order.
        hidden: the width of the two hidden layers of each.
        num_steps: optimizer steps, of 256 codes each.
        num_images: training images that are encoded, at most.

    Raises:
        ValueError: a number below 1.
    """

    name: ClassVar[str] = "flow"

    num_transforms: int = 5
    hidden: int = 128
    num_steps: int = 3000
    num_images: int = 60_000

    def __post_init__(self) -> None:
        require_at_least("num_transforms", self.num_transforms, 1)
        require_at_least("hidden", self.hidden, 1)
        require_at_least("num_steps", self.num_steps, 1)
        require_at_least("num_images", self.num_images, 1)

    def empty(self, code_dim: int) -> "_Flow":
        with seeded(0):
            return _Flow(code_dim, self.num_transforms, self.hidden)

    def fit(self, codes: Codes, seed: int) -> "_Flow":
        with seeded(seed):
            fitted = _Flow(codes.z.shape[1], self.num_transforms, self.hidden)
            rows = fitted.standardized.start(codes.z)
            minimized(fitted, fitted.cost, rows, self.num_steps, _BATCH, _LR)
        return fitted


class _Flow(CodeDistribution):
    def __init__(self, code_dim: int, num_transforms: int, hidden: int):
        super().__init__()
        self.flow = library("sampler=flow").flows.MAF(
            code_dim, transforms=num_transforms, hidden_features=(hidden, hidden)
        )
        self.standardized = Standardized(code_dim)

    def cost(self, z: Float32[Tensor, "B D"]) -> Float[Tensor, ""]:
        """The mean of -log p(z) of standardized codes, in nats."""
        return -self.flow().log_prob(z).mean()

    def forward(self, noise: Noise, temperature: float = 1.0) -> Float[Tensor, "K B D"]:
        mean = self.standardized.mean
        base = temperature * noise.normal(tuple(mean.shape)).to(mean)
        return self.standardized(self.flow().transform.inv(base))
