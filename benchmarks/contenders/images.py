"""The images that the contenders other than vae_lightning train on; Lightning must not be imported for them."""

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor
from torchvision.datasets import MNIST

from benchmarks.contenders.cases import DATA, Case

_MOST_DECODED = 3200  # of an epoch that has more, all others are these again


def uint8_images(case: Case) -> UInt8[Tensor, "N H W C"]:
    """Training images in memory: all of MNIST's, or as many faces as an epoch has."""
    if case.is_grey:
        return MNIST(DATA, train=True).data.unsqueeze(-1)
    files = sorted((DATA / "anime-faces").glob("*.jpg"))[: min(case.num_images, _MOST_DECODED)]
    size = case.image_shape[1]
    images = torch.from_numpy(np.stack([np.asarray(Image.open(file).resize((size, size))) for file in files]))
    return images.repeat(-(-case.num_images // len(files)), 1, 1, 1)[: case.num_images]
