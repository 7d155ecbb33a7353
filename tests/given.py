"""Noise that a test has chosen itself."""

import torch
from torch import Tensor

from vae_lightning.noise import Draw, Fresh, Noise


class Given(Noise):
    """Hands out these tensors `[K, B, *shape]`, one a draw."""

    def __init__(self, *draws: Tensor):
        self._draws = list(draws)

    def draw(self, draw: Draw, shape: tuple[int, ...]) -> Tensor:
        noise = self._draws.pop(0)
        assert noise.shape[2:] == shape
        return noise


def fresh(num_samples: int, num_images: int) -> Fresh:
    """What training draws on the CPU."""
    return Fresh(num_samples, num_images, torch.device("cpu"))
