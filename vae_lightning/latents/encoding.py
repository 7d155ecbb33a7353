"""Images to latents, batch by batch."""

from collections.abc import Iterable
from itertools import chain
from typing import Any

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from vae_lightning.models.latent_model import LatentModel, Latents, rates_per_dimension
from vae_lightning.noise import Indexed, Noise

_SEED = 0  # of what is drawn for rates that have no closed form


@torch.no_grad()
def encode(
    vae: LatentModel,
    images: UInt8[Tensor, "N C H W"],
    labels: Int64[Tensor, " N"] | None = None,
    batch_size: int = 500,
) -> Latents:
    """The posteriors of uint8 images, computed batch by batch on the model's device, on the CPU.

    The images become floats in [0, 1] there, in the model's precision and in their memory format (channels_last stays
    so). The mode of the model is the caller's: in training mode, dropout and batch statistics take part.

    Args:
        vae: the model.
        images: any number of them.
        labels: of the images; only a model that is told labels needs them.
        batch_size: images at a time.

    Raises:
        ValueError: a batch_size below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    device, dtype = _place(vae, images.device)
    known = vae.told(labels)
    parts = []
    for batch, rows in zip(images.split(batch_size), torch.arange(len(images)).split(batch_size), strict=True):
        told = None if known is None else known[rows].to(device)
        parts.append(encoded(vae, batch.to(device).to(dtype) / 255, told, Indexed(_SEED, rows, 1, device)))
    return joined(parts)


def encoded(vae: LatentModel, x: Float[Tensor, "B C H W"], labels: Int64[Tensor, " B"] | None, noise: Noise) -> Latents:
    """One batch of images in [0, 1] on the model's device, with the rate of each latent dimension, on the CPU.

    The noise serves rates that have no closed form.
    """
    observed = vae.observe(x, labels)
    latents = vae.latents(observed)
    rates = rates_per_dimension(vae.infer(observed, noise))
    loc, scale, rates = (_float_on_cpu(each) for each in (latents.loc, latents.scale, rates))
    assert loc is not None
    return Latents(loc, scale, rates)


def joined(parts: Iterable[Latents]) -> Latents:
    """The latents of all images of several batches."""
    columns = zip(*((each.loc, each.scale, each.rates) for each in parts), strict=True)
    loc, scale, rates = (None if column[0] is None else torch.cat(column) for column in columns)
    assert loc is not None
    return Latents(loc, scale, rates)


def _float_on_cpu(values: Tensor | None) -> Any:
    return None if values is None else values.float().cpu()


def _place(vae: LatentModel, device: torch.device) -> tuple[torch.device, torch.dtype]:
    """Where the model computes, and in what precision; float32 on the given device if it has no parameters."""
    tensors = chain(vae.parameters(), vae.buffers())
    places = ((tensor.device, tensor.dtype) for tensor in tensors if tensor.is_floating_point())
    return next(places, (device, torch.float32))
