"""One Gaussian with a full covariance: the least that can be fitted to codes."""

from dataclasses import dataclass
from typing import ClassVar

from vae_lightning.errors import require_at_least
from vae_lightning.latents.samplers.gmm import GMMSampler
from vae_lightning.latents.samplers.sampler import CodeDistribution, Codes, Sampler


@dataclass(frozen=True)
class GaussianSampler(Sampler):
    """Codes from N(m, S), of the mean and the covariance of draws of the posteriors.

    What Ghosh et al., arXiv 1903.12436, call N of their autoencoders without a prior, beside their mixtures.

    Attributes:
        num_images: training images that are encoded, at most.

    Raises:
        ValueError: a number below 1.
    """

    name: ClassVar[str] = "gaussian"

    num_images: int = 60_000

    def __post_init__(self) -> None:
        require_at_least("num_images", self.num_images, 1)

    def empty(self, code_dim: int) -> CodeDistribution:
        return self._mixture.empty(code_dim)

    def fit(self, codes: Codes, seed: int) -> CodeDistribution:
        if len(codes) < 2:
            raise ValueError("num_images must be at least 2 here, of which there is a covariance")
        return self._mixture.fit(codes, seed)

    @property
    def _mixture(self) -> GMMSampler:
        return GMMSampler(num_components=1)
