"""Pictures and images as files."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from vae_lightning.drawing.gifs import encode_gif


def to_uint8(images: Float[Tensor, "*N C H W"]) -> UInt8[Tensor, "*N C H W"]:
    """Pixels in [0, 1] as 0 to 255, rounded."""
    return images.clamp(0, 1).mul(255).round().to(torch.uint8)


def save_image(path: Path, image: UInt8[Tensor, "C H W"]) -> None:
    """One image at its own size, grey or RGB, without any margin."""
    levels = image.permute(1, 2, 0).numpy()
    Image.fromarray(levels[..., 0] if levels.shape[2] == 1 else levels).save(path)


def save_picture(path: Path, picture: UInt8[np.ndarray, "H W 3"]) -> None:
    """A figure."""
    Image.fromarray(picture).save(path)


def save_animation(path: Path, frames: list[UInt8[np.ndarray, "H W 3"]], frame_ms: int) -> None:
    """A GIF that plays for ever."""
    path.write_bytes(encode_gif(frames, frame_ms, frame_ms))
