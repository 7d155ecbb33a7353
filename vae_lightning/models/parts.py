"""What the parts of a model must have: abstract classes, of which a model is made."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.distributions import Distribution

Shape = tuple[int, ...]
Encode = Callable[[Tensor], Any]  # images [B, C, H, W] in [0, 1] to their q(z|x)
Images = Callable[[int], Tensor]  # so many training images [N, C, H, W] in [0, 1], or all where there are fewer


class ConditionalDistribution(nn.Module, ABC):
    """A distribution over latents: a posterior, given an encoder's features, or a prior, given nothing.

    A part that wants to see training images has `start(images: Images)`, which is called once on a fresh run, before
    step 0.

    Attributes:
        needs_encoder: whether a prior is given a function from images to q(z|x), the model's own encoder.
        has_independent_components: whether a posterior's components are, given the features.
        has_density: whether a posterior is told by a density, without which there is no rate.
        has_marginals: whether mean, covariance and the densities of single dimensions are known.
    """

    needs_encoder: ClassVar[bool] = False
    has_independent_components: ClassVar[bool] = True
    has_density: ClassVar[bool] = True
    has_marginals: ClassVar[bool] = True

    @abstractmethod
    def forward(self, *context: Any, **_: Any) -> Distribution:
        """The distribution, batch shape [*B] for a context of features [*B, F] and [] for a prior, event shape [D].

        It is of a family that `distributions.sample` knows.
        """


class Likelihood(nn.Module, ABC):
    """p(x|z), which owns every pixel convention: decoders end in a plain layer and know nothing of it.

    Attributes:
        levels: of how many values of a pixel it gives the probability (2, 256); None for a density.
        measure: what it measures in words, where that is no log-probability of any kind; empty for a likelihood.
        beside_mean: what else the decoder is to put out, of which the mean image says nothing; empty for nothing.
    """

    levels: int | None
    measure: str = ""
    beside_mean: str = ""

    @abstractmethod
    def forward(
        self, decoded: Float[Tensor, "*KB C2 H W"], target: Float[Tensor, "B C H W"] | None = None
    ) -> Distribution:
        """The distribution of images in [0, 1], event shape [C, H, W], whose `mean` is an image to show.

        Args:
            decoded: what the decoder puts out.
            target: the images that are to be explained, for a likelihood that fits its own scale to them.
        """

    @abstractmethod
    def decoder_output(self, mean: Float[Tensor, "C H W"]) -> Float[Tensor, "C2 H W"]:
        """What the decoder must put out for the likelihood to have about this mean image."""

    def decoder_shape(self, image_shape: Shape) -> Shape:
        """What the decoder must put out for images of shape (C, H, W): as many channels, unless it says otherwise."""
        return image_shape


@dataclass(frozen=True)
class Quantized:
    """The codes of B images, at P positions each; `[rows]` are those of some images.

    Attributes:
        vectors: of the codes; in training they pass the gradient on to what was quantized.
        indices: of the codes.
        penalty: what training adds to the loss for their sake, of each image; None for nothing.
    """

    vectors: Float[Tensor, "B P V"]
    indices: Int64[Tensor, "B P"]
    penalty: Float[Tensor, " B"] | None = None

    def __getitem__(self, rows: slice) -> "Quantized":
        penalty = None if self.penalty is None else self.penalty[rows]
        return Quantized(self.vectors[rows], self.indices[rows], penalty)


class Quantizer(nn.Module, ABC):
    """How vectors become codes of a codebook, and codes vectors. What it learns without gradients is buffers.

    Attributes:
        code_dim: V, of the vectors.
        num_codes: of the codebook, at least 2.
        host_waits: why a step with it can't be captured as a CUDA graph; None where it can.
    """

    code_dim: int
    num_codes: int
    host_waits: ClassVar[str | None] = None

    @abstractmethod
    def forward(self, vectors: Float[Tensor, "B P V"]) -> Quantized:
        """The codes of float32 or float64 vectors, of which in training a codebook without gradients learns."""

    @abstractmethod
    def vectors_of(self, indices: Int64[Tensor, "N P"]) -> Float[Tensor, "N P V"]:
        """The vectors of codes, 0 to num_codes - 1."""

    def nats(self) -> Float[Tensor, " V"]:
        """How much of log(num_codes) falls to each dimension of a vector: equal parts, unless it says otherwise."""
        return torch.full((self.code_dim,), math.log(self.num_codes) / self.code_dim)


class Conditioning(nn.Module, ABC):
    """How a model is told the labels of images: to its encoder as part of the image, to its decoder of the latents."""

    num_classes: int

    @abstractmethod
    def encoder_shape(self, image_shape: Shape) -> Shape:
        """The shape of the images that the encoder is given."""

    @abstractmethod
    def decoder_dim(self, latent_dim: int) -> int:
        """The number of latents that the decoder is given."""

    @abstractmethod
    def with_images(self, x: Float[Tensor, "B C H W"], labels: Int64[Tensor, " B"]) -> Float[Tensor, "B C2 H W"]:
        """Images with their labels, of `encoder_shape`."""

    @abstractmethod
    def with_latents(self, z: Float[Tensor, "N D"], labels: Int64[Tensor, " N"]) -> Float[Tensor, "N D2"]:
        """Latents with their labels, of `decoder_dim`."""


def made(name: str, factory: Callable[..., nn.Module], *arguments: Any) -> Any:
    """A part by its factory.

    Raises:
        ValueError: what the part has to say against its own arguments, with its name before that of the argument; or
            that there is no room for it.
    """
    try:
        return factory(*arguments)
    except RuntimeError as error:
        if "memory" not in str(error):
            raise
        raise ValueError(f"{name} must be smaller: there is no memory for so much") from error
    except ValueError as error:
        if str(error).startswith("image_size"):  # which is no argument of its own
            raise
        raise ValueError(f"{name}.{error}") from error


def made_prior(factory: Callable[..., nn.Module], latent_dim: int, image_shape: Sequence[int]) -> nn.Module:
    """A prior by its factory.

    Raises:
        ValueError: as for `made`, or it makes images of its own that are of another shape than the model's.
    """
    prior = made("prior", factory, latent_dim)
    if tuple(getattr(prior, "image_shape", image_shape)) != tuple(image_shape):
        raise ValueError(f"prior.image_shape must be that of the model's images, {list(image_shape)}")
    return prior


def prior_from(prior: nn.Module, encode: Encode | None) -> Distribution:
    """p(z) of a prior part, which is given the way from images to q(z|x) if it needs it."""
    return prior(encode) if getattr(prior, "needs_encoder", False) else prior()


def check_prior(prior: nn.Module, posterior: nn.Module, reason: str | None = None) -> None:
    """Refuse a prior that needs an encoder for a model that can't give one, for this reason or by its posterior.

    Raises:
        ValueError: it is so.
    """
    if not getattr(posterior, "has_density", True):
        reason = reason or f"that of a {type(posterior).__name__} has no density"
    if not getattr(posterior, "has_independent_components", True):
        reason = reason or f"that of a {type(posterior).__name__} has no independent components"
    if reason is not None and getattr(prior, "needs_encoder", False):
        raise ValueError(
            f"prior must not be a {type(prior).__name__}, which needs an encoder: {reason}; choose another prior"
        )


def decoder_shape(likelihood: nn.Module, image_shape: Sequence[int]) -> Shape:
    """What a decoder is to put out for this likelihood; one of a user's own may say nothing of it.

    Raises:
        ValueError: a likelihood that does not say of how many levels it is.
    """
    if not hasattr(likelihood, "levels"):
        raise ValueError(
            f"likelihood must have levels: 2 or 256, or None for a density (once is_discrete); "
            f"{type(likelihood).__name__} has none"
        )
    shape = tuple(image_shape)
    return likelihood.decoder_shape(shape) if isinstance(likelihood, Likelihood) else shape
