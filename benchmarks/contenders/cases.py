"""The cases that every contender trains: network, images, batch size."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from vae_lightning.models.networks.conv5 import Conv5Decoder, Conv5Encoder
from vae_lightning.models.networks.mlp import MLPDecoder, MLPEncoder
from vae_lightning.models.networks.upsample import UpsampleDecoder, UpsampleEncoder

DATA = Path(os.environ.get("VAE_LIGHTNING_DATA", "data"))


@dataclass(frozen=True)
class Case:
    """A network on images, as all contenders train it.

    Attributes:
        encoder, decoder: `encoder(image_shape)`, `decoder(latent_dim, image_shape)`.
        overrides: what the train command is told.
        num_images: in an epoch; None for all there are.
        flips: horizontal flips in training.
    """

    title: str
    image_shape: tuple[int, int, int]
    latent_dim: int
    encoder: Callable[..., nn.Module]
    decoder: Callable[..., nn.Module]
    overrides: tuple[str, ...]
    num_images: int | None
    flips: bool

    @property
    def is_grey(self) -> bool:
        """Whether the images are MNIST's digits (else they are faces)."""
        return self.image_shape[0] == 1

    def network(self) -> "Network":
        """A fresh network."""
        return Network(self)


class Network(nn.Module):
    """Encoder, two heads and decoder, without any of vae_lightning but the layers."""

    def __init__(self, case: Case):
        super().__init__()
        self.encoder = case.encoder(case.image_shape)
        self.mean = nn.Linear(self.encoder.num_features, case.latent_dim)
        self.log_variance = nn.Linear(self.encoder.num_features, case.latent_dim)
        self.decoder = case.decoder(case.latent_dim, case.image_shape)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The decoder's output before its sigmoid, the posterior's mean and its log-variance."""
        features = self.encoder(x)
        mean, log_variance = self.mean(features), self.log_variance(features)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        return self.decoder(z), mean, log_variance


CASES = {
    "mlp": Case(
        "MLP 784-512-20, MNIST",
        (1, 28, 28),
        20,
        lambda shape: MLPEncoder(shape, [512]),
        lambda latent_dim, shape: MLPDecoder(latent_dim, shape, [512]),
        ("data=mnist", "model=mlp", "model.latent_dim=20", "model.encoder.hidden=[512]", "model.decoder.hidden=[512]"),
        None,
        flips=False,
    ),
    "conv5": Case(
        "conv5, 64 x 64 x 3 faces",
        (3, 64, 64),
        128,
        Conv5Encoder,
        Conv5Decoder,
        ("data=anime", "model=conv5"),
        3200,
        flips=True,
    ),
    "ladder": Case(
        "ladder of three groups, MNIST",
        (1, 28, 28),
        0,
        lambda shape: nn.Identity(),  # this project alone trains it
        lambda latent_dim, shape: nn.Identity(),
        ("data=mnist", "model=ladder"),
        None,
        flips=False,
    ),
    "hvae": Case(
        "two-level HVAE with VampPrior, binarized MNIST",
        (1, 28, 28),
        0,
        lambda shape: nn.Identity(),  # of the others handwritten_hvae alone trains it
        lambda latent_dim, shape: nn.Identity(),
        (
            *("experiment=hvae_vamp_mnist", "schedule=two_hours", "callbacks=none", "logger=none"),
            "trainer.check_val_every_n_epoch=1",
        ),
        10_000,
        flips=False,
    ),
    "upsample": Case(
        "upsample, 150 x 150 x 3 faces",
        (3, 150, 150),
        128,
        UpsampleEncoder,
        UpsampleDecoder,
        ("data=anime", "model=upsample", "data.image_size=150"),
        1280,
        flips=True,
    ),
}
CASES["conv5_long"] = replace(CASES["conv5"], num_images=25_600)  # an epoch that a GPU takes longer for than an eye
