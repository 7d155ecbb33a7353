"""Fully connected networks of gated layers, for one group of latents or several (arXiv 1705.07120)."""

import itertools
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae_lightning.models.networks.sizes import check_hidden


class GatedEncoder(nn.Module):
    """Flattened image [B, C, H, W] through gated layers to features [B, F], F the last width.

    A gated layer is h(x) = (A x + a) * sigmoid(B x + b) (arXiv 1612.08083), as Tomczak & Welling, VAE with a VampPrior,
    arXiv 1705.07120, have them throughout.

    Raises:
        ValueError: hidden widths that are none, or not positive.
    """

    def __init__(self, image_shape: Sequence[int], hidden: Sequence[int] = (300, 300)):
        super().__init__()
        check_hidden(hidden)
        self.num_features = hidden[-1]
        self.layers = nn.Sequential(nn.Flatten(), *_gated_layers([math.prod(image_shape), *hidden]))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        return self.layers(x)


class GatedDecoder(nn.Module):
    """Latents [N, D] through gated layers to [N, C, H, W]; the widths are given from the latents outwards.

    Args:
        latent_dim: D.
        image_shape: (C, H, W).
        hidden: widths; the first is that of each group's own layer.
        groups: the widths of the groups that the latents consist of, each of which has a first layer of its own; None
            for one group of all.

    Raises:
        ValueError: hidden widths that are none, or not positive, or groups that don't make up the latents.
    """

    def __init__(
        self,
        latent_dim: int,
        image_shape: Sequence[int],
        hidden: Sequence[int] = (300, 300),
        groups: Sequence[int] | None = None,
    ):
        super().__init__()
        check_hidden(hidden)
        self.groups = [latent_dim] if groups is None else list(groups)
        if sum(self.groups) != latent_dim or min(self.groups) < 1:
            raise ValueError(f"groups must be positive widths that add up to {latent_dim} latents, got {self.groups}")
        first, *others = hidden
        widths = [first * len(self.groups), *others]
        self.of_groups = nn.ModuleList(_gated(width, first) for width in self.groups)
        self.layers = nn.Sequential(
            *_gated_layers(widths),
            nn.Linear(widths[-1], math.prod(image_shape)),
            nn.Unflatten(1, tuple(image_shape)),
        )

    def forward(self, z: Float[Tensor, "N D"]) -> Float[Tensor, "N C H W"]:
        parts = [layer(part) for layer, part in zip(self.of_groups, z.split(self.groups, -1), strict=True)]
        return self.layers(_side_by_side(parts))


class GatedBetween(nn.Module):
    """What is given of an image, [..., F], and the latents above, [..., D], side by side, to features [..., H].

    The latents go through a gated layer of their own, then both through another: q(z_l | z_<l, x) of arXiv 1705.07120
    where the image is given, p(z_l | z_<l) where it is not (F = 0).

    Args:
        num_given: F.
        num_latents: D.
        hidden: H.
    """

    def __init__(self, num_given: int, num_latents: int, hidden: int):
        super().__init__()
        self.sizes = [num_given, num_latents]
        self.of_latents = _gated(num_latents, hidden)
        self.of_both = _gated(num_given + hidden, hidden)

    def forward(self, inputs: Float[Tensor, "*B FD"]) -> Float[Tensor, "*B H"]:
        given, latents = inputs.split(self.sizes, -1)
        features = self.of_latents(latents)
        return self.of_both(_side_by_side([given, features] if self.sizes[0] else [features]))


def _gated(num_inputs: int, num_outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(num_inputs, 2 * num_outputs), nn.GLU())


def _gated_layers(widths: Sequence[int]) -> list[nn.Module]:
    return [_gated(*pair) for pair in itertools.pairwise(widths)]


def _side_by_side(parts: Sequence[Float[Tensor, "*B _"]]) -> Float[Tensor, "*B _"]:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), -1)
