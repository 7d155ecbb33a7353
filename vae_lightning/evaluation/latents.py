"""Where a model puts images in its latent space: posterior means and scales, and the aggregated posterior."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn

from vae_lightning.models.distributions import DiagonalNormal

_DENSITIES = 2**18  # computed at a time: 2 MB of float64, which stays in the cache


@runtime_checkable
class Encoder(Protocol):
    """What has posteriors: a `VAE`, or anything else that maps images in [0, 1] to q(z|x)."""

    def encode(self, x: Float[Tensor, "B C H W"]) -> DiagonalNormal:
        """The posterior q(z|x)."""
        ...


@runtime_checkable
class Decoder(Protocol):
    """What makes images of latents."""

    def generate(self, z: Float[Tensor, "N D"]) -> Float[Tensor, "N C H W"]:
        """The mean image of each latent, in [0, 1]."""
        ...


@dataclass(frozen=True)
class Latents:
    """The posteriors q(z|x) = N(z; loc, diag(scale^2)) of N images, on the CPU.

    Attributes:
        loc: posterior means, [N, D].
        scale: posterior standard deviations, [N, D].
    """

    loc: Float32[Tensor, "N D"]
    scale: Float32[Tensor, "N D"]

    def __len__(self) -> int:
        return len(self.loc)


def encode(vae: Encoder, images: UInt8[Tensor, "N C H W"], batch_size: int = 500) -> Latents:
    """The posteriors of uint8 images, computed batch by batch on the model's device, without gradients.

    The images become floats in [0, 1] there, in the model's precision and in their memory format (channels_last stays
    so). The mode of the model is the caller's: in training mode, dropout and batch statistics take part.

    Raises:
        ValueError: a batch_size below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    device, dtype = _place(vae, images.device)
    with torch.no_grad():
        posteriors = [vae.encode(batch.to(device).to(dtype) / 255) for batch in images.split(batch_size)]
    loc = torch.cat([posterior.base_dist.loc for posterior in posteriors])
    scale = torch.cat([posterior.base_dist.scale for posterior in posteriors])
    return Latents(loc.float().cpu(), scale.float().cpu())


def _place(vae: Encoder, device: torch.device) -> tuple[torch.device, torch.dtype]:
    """Where the model computes, and in what precision; float32 on the given device if it has no parameters."""
    tensors = chain(vae.parameters(), vae.buffers()) if isinstance(vae, nn.Module) else iter(())
    places = ((tensor.device, tensor.dtype) for tensor in tensors if tensor.is_floating_point())
    return next(places, (device, torch.float32))


def decode(vae: Decoder, z: Float[Tensor, "N D"], batch_size: int) -> Float[Tensor, "N C H W"]:
    """The mean images of latents, batch by batch on the device that they are on; the caller's mode, as in `encode`."""
    return torch.cat([vae.generate(batch) for batch in z.split(batch_size)])


def aggregated_posterior(latents: Latents, dim: int, edges: Float[Tensor, " E"]) -> Float[Tensor, " G"]:
    """One latent dimension's aggregated posterior: its mean density in each of the G = E - 1 bins between the edges.

        q(z_d) = 1/N sum_n N(z_d; loc_nd, scale_nd^2)

    The exact mixture over the N images, not a histogram of samples: no posterior is too narrow for a bin. Hoffman &
    Johnson, ELBO surgery, 2016; the name is from Makhzani et al., Adversarial Autoencoders, arXiv 1511.05644.

    Raises:
        ValueError: a dim the latents don't have, no latents at all, or less than two edges.
    """
    num_images, num_dims = latents.loc.shape
    if not 0 <= dim < num_dims:
        raise ValueError(f"dim must be from 0 to {num_dims - 1}, got {dim}")
    if num_images == 0:
        raise ValueError("latents must hold at least 1 image, got 0")
    if len(edges) < 2:
        raise ValueError(f"edges must be at least 2, got {len(edges)}")
    points, below = edges.cpu().double(), torch.zeros(len(edges), dtype=torch.float64)
    num_rows = max(1, _DENSITIES // len(edges))
    columns = latents.loc[:, dim, None].double(), latents.scale[:, dim, None].double()
    for loc, scale in zip(*(column.split(num_rows) for column in columns), strict=True):
        below += torch.special.ndtr((points - loc) / scale).sum(0)
    return (below.diff() / num_images / points.diff()).to(edges)


def aggregated_posteriors(
    latents: Latents, dims: Sequence[int], num_bins: int = 200
) -> tuple[Float[Tensor, " G"], Float[Tensor, "R G"]]:
    """The middles of G = `num_bins` bins, the same for all dimensions, and the density of each of R dimensions in them.

    The bins reach from -4 to 4, and further where 99.9% of the posteriors, three scales to both sides, do.
    """
    reach = (latents.loc[:, dims].abs() + 3 * latents.scale[:, dims]).flatten()
    limit = max(4.0, float(np.quantile(reach.numpy(), 0.999, method="higher")))
    edges = torch.linspace(-limit, limit, num_bins + 1)
    return (edges[1:] + edges[:-1]) / 2, torch.stack([aggregated_posterior(latents, dim, edges) for dim in dims])
