"""Models whose log p(x) is known exactly."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Independent, MultivariateNormal, Normal

from vae_lightning.models.distributions import DiagonalNormal, sample
from vae_lightning.models.latent_model import Group, LatentModel, Latents

SHAPE = (1, 2, 3)
PIXELS = 6


class TwoGroups(LatentModel):
    """p(z_1) = N(0, I), p(z_2 | z_1) = N(A z_1, s^2 I), p(x | z) = N(W_1 z_1 + W_2 z_2, t^2 I).

    Its posterior q(z_1|x) q(z_2|z_1, x) has the exact conditional means, but independent components, wider by `width`.
    """

    latent_dim = 5
    step, noise_scale = 0.7, 0.5

    def __init__(self, width: float = 1.3):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.width = width
        self.likelihood = nn.Identity()
        self.likelihood.levels = None
        self.between = torch.randn(2, 3, generator=generator) * 0.6  # A: z_2 of 2, z_1 of 3
        self.weights = torch.randn(PIXELS, 5, generator=generator) * 0.6  # W_1, W_2
        z_covariance = self._covariance_of_z()
        precision = z_covariance.inverse() + self.weights.T @ self.weights / self.noise_scale**2
        self.posterior_covariance = precision.inverse()
        self.gain = self.posterior_covariance @ self.weights.T / self.noise_scale**2

    def _covariance_of_z(self) -> Tensor:
        lower = self.between @ self.between.T + self.step**2 * torch.eye(2)
        top = torch.cat([torch.eye(3), self.between.T], 1)
        return torch.cat([top, torch.cat([self.between, lower], 1)])

    def log_marginal(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, " B"]:
        """log p(x), exactly."""
        covariance = self.weights @ self._covariance_of_z() @ self.weights.T + self.noise_scale**2 * torch.eye(PIXELS)
        return MultivariateNormal(torch.zeros(PIXELS), covariance).log_prob(x.flatten(1))

    def images(self, count: int) -> Float[Tensor, "N C H W"]:
        """Some that the model makes, so that its likelihood of them is typical."""
        generator = torch.Generator().manual_seed(1)
        z = torch.randn(count, 5, generator=generator) @ torch.linalg.cholesky(self._covariance_of_z()).T
        noise = torch.randn(count, PIXELS, generator=generator)
        return (z @ self.weights.T + self.noise_scale * noise).unflatten(1, SHAPE)

    def observe(self, x, labels=None):
        return x.flatten(1) @ self.gain.T  # E[z|x]

    def infer(self, observed, noise):
        covariance = self.posterior_covariance
        q = DiagonalNormal(observed[:, :3], self.width * covariance[:3, :3].diagonal().sqrt().expand(len(observed), 3))
        prior = DiagonalNormal(torch.zeros(3), torch.ones(3))
        first = Group(q, prior, sample(q, noise))
        regression = covariance[3:, :3] @ covariance[:3, :3].inverse()
        left = covariance[3:, 3:] - regression @ covariance[:3, 3:]
        loc = observed[:, 3:] + (first.z - observed[:, :3]) @ regression.T
        q = DiagonalNormal(loc, self.width * left.diagonal().sqrt().expand(loc.shape))
        prior = DiagonalNormal(first.z @ self.between.T, torch.full(loc.shape, self.step))
        return first, Group(q, prior, sample(q, noise))

    def latents(self, observed):
        return Latents(observed, None)

    def decode(self, z, labels=None, target=None):
        return Independent(Normal((z @ self.weights.T).unflatten(-1, SHAPE), self.noise_scale), 3)

    def draw(self, noise, labels=None, temperature=1.0):
        z = temperature * noise.normal((3,))
        return torch.cat([z, z @ self.between.T + temperature * self.step * noise.normal((2,))], -1)

    def latent_prior(self):
        return None
