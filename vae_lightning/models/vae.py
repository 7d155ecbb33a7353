"""The variational autoencoder: encoder, posterior, prior, decoder and likelihood put together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from vae_lightning.models.distributions import DiagonalNormal


@dataclass(frozen=True)
class VAEOutput:
    """What one pass leaves for the objectives and the evaluation to read.

    Attributes:
        posterior: q(z|x), batch shape [B], event shape [D].
        prior: p(z), event shape [D].
        z: samples of the posterior, [K, B, D].
        likelihood: p(x|z), batch shape [K, B], event shape [C, H, W].
    """

    posterior: DiagonalNormal
    prior: DiagonalNormal
    z: Float[Tensor, "K B D"]
    likelihood: Distribution


class VAE(nn.Module):
    """A VAE of its five parts; `build_vae` makes one from factories.

    Args:
        encoder: images [B, C, H, W] in [0, 1] to features [B, F].
        posterior: features to q(z|x).
        prior: called without arguments, p(z).
        decoder: latents [N, D] to [N, C, H, W], of any range.
        likelihood: `likelihood(decoded, target)` to p(x|z).
    """

    def __init__(
        self, encoder: nn.Module, posterior: nn.Module, prior: nn.Module, decoder: nn.Module, likelihood: nn.Module
    ):
        super().__init__()
        self.encoder = encoder
        self.posterior = posterior
        self.prior = prior
        self.decoder = decoder
        self.likelihood = likelihood

    def forward(
        self, x: Float[Tensor, "B C H W"], num_samples: int = 1, noise: Float[Tensor, "K B D"] | None = None
    ) -> VAEOutput:
        """Encode, sample K = `num_samples` latents an image, decode.

        Given `noise` replaces the draw from the global random generator (its K counts then).
        """
        posterior = self.encode(x)
        z = posterior.rsample((num_samples,)) if noise is None else posterior.rsample_from(noise)
        return VAEOutput(posterior, self.prior(), z, self.decode(z, x))

    def encode(self, x: Float[Tensor, "B C H W"]) -> DiagonalNormal:
        """The posterior q(z|x)."""
        return self.posterior(self.encoder(x))

    def decode(self, z: Float[Tensor, "*KB D"], target: Float[Tensor, "B C H W"] | None = None) -> Distribution:
        """The likelihood p(x|z) of images, for latents of any batch shape."""
        decoded = self.decoder(z.flatten(0, -2))
        return self.likelihood(decoded.unflatten(0, z.shape[:-1]), target)

    def sample_prior(self, num_images: int, seed: int) -> Float[Tensor, "N D"]:
        """Latents from the prior: a function of the seed, which leaves the global random generator alone."""
        prior = self.prior()
        noise = torch.randn(num_images, *prior.event_shape, generator=torch.Generator().manual_seed(seed))
        return prior.rsample_from(noise.to(prior.mean.device))

    def generate(self, z: Float[Tensor, "N D"]) -> Float[Tensor, "N C H W"]:
        """The mean image of each latent, in [0, 1]."""
        return self.decode(z).mean

    def reconstruct(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
        """The mean image at the posterior's mean, in [0, 1]; no random numbers."""
        return self.generate(self.encode(x).mean)


def build_vae(
    image_shape: Sequence[int],
    latent_dim: int,
    encoder: Callable[..., nn.Module],
    posterior: Callable[..., nn.Module],
    prior: Callable[..., nn.Module],
    decoder: Callable[..., nn.Module],
    likelihood: nn.Module,
) -> VAE:
    """A VAE from its parts' factories, each told only what it can't know itself.

    Args:
        image_shape: (C, H, W).
        latent_dim: number of latent dimensions D, at least 1.
        encoder: `encoder(image_shape)`, a module with the attribute `num_features`.
        posterior: `posterior(num_features, latent_dim)`.
        prior: `prior(latent_dim)`.
        decoder: `decoder(latent_dim, image_shape)`.
        likelihood: a module, called with the decoder's output.

    Raises:
        ValueError: a latent_dim below 1, or an image too small for the network.
    """
    if latent_dim < 1:
        raise ValueError(f"latent_dim must be at least 1, got {latent_dim}")
    shape = tuple(image_shape)
    encoder_module = encoder(shape)
    return VAE(
        encoder_module,
        posterior(encoder_module.num_features, latent_dim),
        prior(latent_dim),
        decoder(latent_dim, shape),
        likelihood,
    )
