"""The variational autoencoder of one group of latents: encoder, posterior, prior, decoder and likelihood."""

from collections.abc import Callable, Sequence
from typing import Any

from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from vae_lightning.errors import require_at_least
from vae_lightning.models.distributions import centre, sample
from vae_lightning.models.latent_model import Group, LatentModel, Latents, Temperature, of_each_group
from vae_lightning.models.parts import Conditioning, check_prior, decoder_shape, made, made_prior, prior_from
from vae_lightning.noise import Noise

_NO_LABELS = "the model's encoder is told labels (num_classes), which a prior's own images have not"
_MOST_CLASSES = 10_000  # whose labels take memory, each as much as an image


class VAE(LatentModel):
    """A VAE of its parts; `build_vae` makes one from factories.

    Args:
        encoder: images [B, C, H, W] in [0, 1] to features [B, F].
        posterior: features to q(z|x).
        prior: p(z).
        decoder: latents [N, D] to what the likelihood makes p(x|z) of.
        likelihood: `likelihood(decoded, target)` to p(x|z).
        latent_dim: D; None for what a prior that needs no encoder says.
        conditioning: how encoder and decoder are told labels; None for a model that is not.

    Raises:
        ValueError: a prior that needs an encoder, with conditioning or posteriors that no mixture can be made of.
    """

    def __init__(
        self,
        encoder: nn.Module,
        posterior: nn.Module,
        prior: nn.Module,
        decoder: nn.Module,
        likelihood: nn.Module,
        latent_dim: int | None = None,
        conditioning: Conditioning | None = None,
    ):
        super().__init__()
        check_prior(prior, posterior, None if conditioning is None else _NO_LABELS)
        self.has_density = getattr(posterior, "has_density", True)
        self.encoder = encoder
        self.posterior = posterior
        self.prior = prior
        self.decoder = decoder
        self.likelihood = likelihood
        self.latent_dim = prior().event_shape[0] if latent_dim is None else latent_dim
        self.conditioning = conditioning
        self.num_classes = None if conditioning is None else conditioning.num_classes

    def observe(self, x: Float[Tensor, "B C H W"], labels: Int64[Tensor, " B"] | None = None) -> Distribution:
        """The posterior q(z|x)."""
        if self.conditioning is not None:
            x = self.conditioning.with_images(x, _given(labels))
        return self.posterior(self.encoder(x))

    def infer(self, observed: Distribution, noise: Noise) -> tuple[Group, ...]:
        """The one group that there is."""
        z = sample(observed, noise)
        return (Group(observed, self.latent_prior(), z),)

    def latents(self, observed: Distribution) -> Latents:
        """Mean of the posterior, and its standard deviation where its components are independent."""
        return Latents(centre(observed), observed.base_dist.scale if isinstance(observed, Independent) else None)

    def decoder_input(self, z: Float[Tensor, "N D"], labels: Int64[Tensor, " N"] | None) -> Float[Tensor, "N D2"]:
        """The latents with their labels, if it is told any."""
        return z if self.conditioning is None else self.conditioning.with_latents(z, _given(labels))

    def draw(
        self, noise: Noise, labels: Int64[Tensor, " B"] | None = None, temperature: Temperature = 1.0
    ) -> Float[Tensor, "K B D"]:
        """Latents from the prior, which is the same for all labels."""
        return sample(self.latent_prior(), noise, *of_each_group(temperature, 1))

    def latent_prior(self) -> Distribution:
        """p(z)."""
        return prior_from(self.prior, self.observe)


def _given(labels: Tensor | None) -> Tensor:
    if labels is None:
        raise ValueError("labels must be given to a model with num_classes")
    return labels


def build_vae(
    image_shape: Sequence[int],
    latent_dim: int,
    encoder: Callable[..., nn.Module],
    posterior: Callable[..., nn.Module],
    prior: Callable[..., nn.Module],
    decoder: Callable[..., nn.Module],
    likelihood: nn.Module,
    num_classes: int | None = None,
    conditioning: Callable[..., Conditioning] | None = None,
) -> VAE:
    """A VAE from its parts' factories, each told only what it can't know itself.

    Args:
        image_shape: (C, H, W).
        latent_dim: number of latent dimensions D, at least 1.
        encoder: `encoder(image_shape)`, a module with the attribute `num_features`.
        posterior: `posterior(num_features, latent_dim)`.
        prior: `prior(latent_dim)`.
        decoder: `decoder(latent_dim, image_shape)`, of as many channels as the likelihood wants.
        likelihood: a module, called with the decoder's output.
        num_classes: of the labels that encoder and decoder are told; None for a model that knows of none.
        conditioning: `conditioning(num_classes, image_shape)`, how they are told.

    Raises:
        ValueError: a latent_dim or num_classes below 1, more than 10,000 classes, or an image that is too small.
    """
    require_at_least("latent_dim", latent_dim, 1)
    shape = tuple(image_shape)
    told = _conditioning(num_classes, conditioning, shape)
    encoder_module = made("encoder", encoder, shape if told is None else told.encoder_shape(shape))
    decoder_dim = latent_dim if told is None else told.decoder_dim(latent_dim)
    parts: dict[str, Any] = {
        "encoder": encoder_module,
        "posterior": made("posterior", posterior, encoder_module.num_features, latent_dim),
        "prior": made_prior(prior, latent_dim, shape),
        "decoder": made("decoder", decoder, decoder_dim, decoder_shape(likelihood, shape)),
        "likelihood": likelihood,
    }
    return VAE(**parts, latent_dim=latent_dim, conditioning=told)


def _conditioning(
    num_classes: int | None, conditioning: Callable[..., Conditioning] | None, image_shape: tuple[int, ...]
) -> Conditioning | None:
    if num_classes is None:
        return None
    if not 1 <= num_classes <= _MOST_CLASSES:
        raise ValueError(f"num_classes must be from 1 to {_MOST_CLASSES:,}, got {num_classes}")
    if conditioning is None:
        raise ValueError("num_classes must be null without conditioning, which says how the labels are told")
    return made("conditioning", conditioning, num_classes, image_shape)
