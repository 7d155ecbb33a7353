"""What of an image a model does not explain, in colours from dark to light."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from vae_lightning.drawing.palette import scale

_SHARE = 0.995  # of all pixels' differences that the scale holds: single ones do not darken the rest


def differences(images: UInt8[Tensor, "N C H W"], made: UInt8[Tensor, "N C H W"]) -> Float[Tensor, "N H W"]:
    """How far apart two images are in each pixel, the mean over its channels, in [0, 1]."""
    return (images.float() - made.float()).abs().mean(1) / 255


def top_of_scale(of_pixels: Float[Tensor, "N H W"]) -> float:
    """The difference that has the lightest colour: hardly a pixel has a larger one."""
    flat = of_pixels.flatten()
    number = max(0, min(len(flat) - 1, round(_SHARE * (len(flat) - 1))))
    return max(float(flat.kthvalue(number + 1).values), 1 / 255)


def heat_maps(of_pixels: Float[Tensor, "N H W"], top: float) -> UInt8[Tensor, "N 3 H W"]:
    """Differences as pictures: dark where there is none, light from `top` on."""
    levels = (of_pixels / top).clamp(0, 1).numpy()
    colours = torch.from_numpy(scale()(levels)[..., :3])
    return colours.mul(255).round().to(torch.uint8).permute(0, 3, 1, 2)
