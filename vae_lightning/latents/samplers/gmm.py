"""A mixture of Gaussians with full covariances, fitted by expectation maximization."""

import logging
import warnings
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.errors import require_at_least
from vae_lightning.latents.samplers.sampler import CodeDistribution, Codes, Sampler
from vae_lightning.noise import Noise

log = logging.getLogger("vae_lightning")


@dataclass(frozen=True)
class GMMSampler(Sampler):
    """Codes from a mixture of Gaussians with full covariances that scikit-learn fits to draws of the posteriors.

    Ghosh et al., From variational to deterministic autoencoders, arXiv 1903.12436, who take 10 components.

    Attributes:
        num_components: of the mixture.
        num_images: training images that are encoded, at most.

    Raises:
        ValueError: a number below 1.
    """

    name: ClassVar[str] = "gmm"

    num_components: int = 10
    num_images: int = 60_000

    def __post_init__(self) -> None:
        require_at_least("num_components", self.num_components, 1)
        require_at_least("num_images", self.num_images, 1)

    def empty(self, code_dim: int) -> "_Gaussians":
        return _Gaussians(self.num_components, code_dim)

    def fit(self, codes: Codes, seed: int) -> "_Gaussians":
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture
        from threadpoolctl import threadpool_limits

        if len(codes) < max(2, self.num_components):
            raise ValueError(f"num_components must be at most {len(codes)}, as there are codes, and of two at least")
        z = codes.z.double().numpy()
        mixture = GaussianMixture(self.num_components, random_state=seed % 2**32, reg_covar=_added(z.var(0).min()))
        with threadpool_limits(limits=1), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            mixture.fit(z)
        if any(issubclass(each.category, ConvergenceWarning) for each in caught):
            log.info("sampler=%s: taken as it is after %d rounds", self.name, mixture.max_iter)
        fitted = self.empty(codes.z.shape[1])
        covariances = torch.from_numpy(mixture.covariances_)
        found = {
            "weights": torch.from_numpy(mixture.weights_),
            "means": torch.from_numpy(mixture.means_),
            "factors": torch.linalg.cholesky(covariances),
        }
        fitted.load_state_dict(found)
        return fitted


def _added(least_variance: float) -> float:
    """What is added to every variance, so that no component shrinks to a point: scikit-learn's 1e-6, or less.

    Codes of a prior that nothing holds them to may be as narrow as that, and would come out wider than they are.
    """
    return min(1e-6, max(1e-12, 1e-4 * float(least_variance)))


class _Gaussians(CodeDistribution):
    weights: Tensor
    means: Tensor
    factors: Tensor

    def __init__(self, num_components: int, code_dim: int):
        super().__init__()
        self.register_buffer("weights", torch.full((num_components,), 1 / num_components).double())
        self.register_buffer("means", torch.zeros(num_components, code_dim).double())
        self.register_buffer("factors", torch.eye(code_dim).double().repeat(num_components, 1, 1))

    def forward(self, noise: Noise, temperature: float = 1.0) -> Float[Tensor, "K B D"]:
        below = self.weights.cumsum(0)
        chosen = torch.searchsorted(below, noise.uniform(()).to(below)).clamp(max=len(below) - 1)
        shift = temperature * noise.normal((self.means.shape[1],)).to(below)
        z = torch.empty_like(shift)
        for component in chosen.unique().tolist():
            rows = chosen == component
            z[rows] = self.means[component] + shift[rows] @ self.factors[component].T
        return z
