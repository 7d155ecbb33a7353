"""How a conditional VAE is told the labels of its images."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import one_hot

from vae_lightning.models.parts import Conditioning, Shape


class LabelChannel(Conditioning):
    """The encoder gets a learned picture of the label as one more channel, the decoder the label as one-hot latents.

    q(z|x, y) and p(x|z, y) with p(z) the same for all labels: the conditional VAE of Sohn, Lee & Yan, Learning
    structured output representation using deep conditional generative models, 2015, here with images for outputs.

    Args:
        num_classes: labels are 0 to num_classes - 1.
        image_shape: (C, H, W).
    """

    def __init__(self, num_classes: int, image_shape: Shape):
        super().__init__()
        self.num_classes = num_classes
        self.pictures = nn.Embedding(num_classes, math.prod(image_shape[1:]))

    def encoder_shape(self, image_shape: Shape) -> Shape:
        """One channel more."""
        return (image_shape[0] + 1, *image_shape[1:])

    def decoder_dim(self, latent_dim: int) -> int:
        """So many latents more as there are labels."""
        return latent_dim + self.num_classes

    def with_images(self, x: Float[Tensor, "B C H W"], labels: Int64[Tensor, " B"]) -> Float[Tensor, "B C2 H W"]:
        """The label's picture behind the image's own channels."""
        return torch.cat([x, self.pictures(labels).unflatten(1, (1, *x.shape[2:]))], 1)

    def with_latents(self, z: Float[Tensor, "N D"], labels: Int64[Tensor, " N"]) -> Float[Tensor, "N D2"]:
        """The label as a one-hot vector behind the latents."""
        return torch.cat([z, one_hot(labels, self.num_classes).to(z)], 1)
