"""A VAE whose latents are codes of a codebook, one at each position of the encoder's map."""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from vae_lightning.models.codes import ChosenCode, UniformCodes
from vae_lightning.models.distributions import sample
from vae_lightning.models.latent_model import Group, LatentModel, Latents, Temperature, of_each_group
from vae_lightning.models.parts import Quantized, Quantizer, decoder_shape, made
from vae_lightning.noise import Noise


class DiscreteVAE(LatentModel):
    """The encoder's map [B, C', H', W'] becomes P = H' W' codes, and their vectors, as such a map, are decoded.

        z_p = e_k(p),  k(p) the code that the quantizer chooses at position p
        q(k|x) = 1 for these codes,  p(k) = K^-P,  rate = P log K

    The prior is uniform over all K codes of each position and the code is a function of the image. So the rate is a
    constant, and ELBO = log p(x|z) - P log K = log p(x, k) <= log p(x): a true lower bound, for p(x) is the sum of
    p(x, k) over all codes, of which none is negative. Whatever the quantizer asks of training besides is the group's
    penalty and no part of it. van den Oord, Vinyals & Kavukcuoglu, Neural discrete representation learning (VQ-VAE),
    arXiv 1711.00937.

    A latent is the map of vectors, flattened: D = code_dim * P, channel by channel.

    Args:
        image_shape: (C, H, W).
        encoder: `encoder(image_shape)`, a module with `map_shape` (C', H', W'), whose features are such a map,
            flattened or not; a linear map of each position makes vectors of `code_dim` of it.
        quantizer: vectors to codes.
        decoder: `decoder(latent_dim, image_shape)`, given flattened maps.
        likelihood: a module, called with the decoder's output.

    Raises:
        ValueError: an encoder that does not end in a map, or an image too small for the network.
    """

    is_discrete = True
    nats: Tensor

    def __init__(
        self,
        image_shape: Sequence[int],
        encoder: Callable[..., nn.Module],
        quantizer: Quantizer,
        decoder: Callable[..., nn.Module],
        likelihood: nn.Module,
    ):
        super().__init__()
        shape = tuple(image_shape)
        self.encoder = made("encoder", encoder, shape)
        if not hasattr(self.encoder, "map_shape"):
            raise ValueError(
                f"encoder must end in a map (map_shape), as ResidualEncoder does, and not {type(self.encoder).__name__}"
            )
        self._map: tuple[int, int, int] = self.encoder.map_shape
        self.quantizer = quantizer
        self.num_positions = math.prod(self._map[1:])
        self.latent_dim = quantizer.code_dim * self.num_positions
        self.to_vectors = nn.Conv2d(self._map[0], quantizer.code_dim, kernel_size=1)
        self.decoder = made("decoder", decoder, self.latent_dim, decoder_shape(likelihood, shape))
        self.likelihood = likelihood
        self.register_buffer("nats", quantizer.nats().repeat_interleave(self.num_positions), persistent=False)

    def observe(self, x: Float[Tensor, "B C H W"], labels: Int64[Tensor, " B"] | None = None) -> Quantized:
        """The codes of the images."""
        features = self.encoder(x).reshape(x.shape[0], *self._map)  # of which an export takes `len` for a constant
        vectors = self.to_vectors(features).flatten(2).mT
        with torch.autocast(vectors.device.type, enabled=False):  # distances are differences of large numbers
            return self.quantizer(vectors if vectors.dtype == torch.float64 else vectors.float())

    def infer(self, observed: Quantized, noise: Noise) -> tuple[Group, ...]:
        """The one group that there is, whose samples are all the same."""
        posterior = ChosenCode(observed.vectors.mT.flatten(1), observed.indices)
        return (Group(posterior, self.latent_prior(), sample(posterior, noise), observed.penalty),)

    def latents(self, observed: Quantized) -> Latents:
        """The quantized vectors."""
        return Latents(observed.vectors.mT.flatten(1), None)

    def draw(
        self, noise: Noise, labels: Int64[Tensor, " B"] | None = None, temperature: Temperature = 1.0
    ) -> Float[Tensor, "K B D"]:
        """Vectors of codes, each of the same probability at each position; a temperature but 1 is a UserError."""
        return sample(self.latent_prior(), noise, *of_each_group(temperature, 1))

    def latent_prior(self) -> UniformCodes:
        """p(k), uniform."""
        return UniformCodes(self.nats, self.quantizer.num_codes, self.num_positions, self.vectors_of)

    def vectors_of(self, indices: Int64[Tensor, "N P"]) -> Float[Tensor, "N D"]:
        """The latents of codes."""
        return self.quantizer.vectors_of(indices).to(self.nats.dtype).mT.flatten(1)


def code_groups(groups: Sequence[Group]) -> list[tuple[Int64[Tensor, "B P"], int]]:
    """Of those groups that are codes, their indices and how many codes there are."""
    return [
        (group.posterior.indices, group.prior.num_codes)
        for group in groups
        if isinstance(group.posterior, ChosenCode) and isinstance(group.prior, UniformCodes)
    ]
