"""Images to latents and back: posteriors of a batch or of many images, mean images of latents."""

from dataclasses import dataclass
from itertools import chain
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn

from vae_lightning.models.distributions import DiagonalNormal


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
