"""The terms that every objective is made of, read off a `VAEOutput`, in nats per image."""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor
from torch.distributions import kl_divergence

from vae_lightning.models.distributions import DiagonalNormal
from vae_lightning.models.vae import VAEOutput


@dataclass(frozen=True)
class Terms:
    """What an objective returns, per image.

    Attributes:
        loss: what is minimised, [B].
        rate: KL(q(z|x) || p(z)), [B].
        distortion: -E_q log p(x|z), [B].
    """

    loss: Float[Tensor, " B"]
    rate: Float[Tensor, " B"]
    distortion: Float[Tensor, " B"]

    @property
    def elbo(self) -> Float[Tensor, " B"]:
        """The plain bound -(distortion + rate), at beta = 1 whatever is minimised."""
        return -(self.distortion + self.rate)

    def by_name(self) -> dict[str, Float[Tensor, " B"]]:
        """All of them, detached, in the order in which they are reported."""
        terms = {"loss": self.loss, "elbo": self.elbo} | vars(self)
        return {name: values.detach() for name, values in terms.items()}


@runtime_checkable
class Objective(Protocol):
    """What training minimises.

    Attributes:
        num_samples: latents drawn of each image's posterior, K.
    """

    num_samples: int = 1

    def __call__(self, output: VAEOutput, x: Float[Tensor, "B C H W"], step: int) -> Terms:
        """The terms of a batch at an optimizer step, per image; `VAEModule` takes their mean."""
        ...

    def schedules(self, step: int) -> dict[str, float]:
        """The scheduled values at an optimizer step, by the name they are logged under."""
        ...


def distortion(log_likelihood: Float[Tensor, "K B"]) -> Float[Tensor, " B"]:
    """-E_q log p(x|z) of `output.likelihood.log_prob(x)`, the mean over the K samples."""
    nats = -log_likelihood
    return nats.mean(0) if len(nats) > 1 else nats.squeeze(0)  # of one, as in training, a mean is work for nothing


def rate(output: VAEOutput) -> Float[Tensor, " B"]:
    """KL(q(z|x) || p(z)) in the closed form that is registered with `torch.distributions` for the pair."""
    return kl_divergence(output.posterior, output.prior)


def rate_per_dimension(posterior: DiagonalNormal, prior: DiagonalNormal) -> Float[Tensor, "B D"]:
    """KL(q(z_d|x) || p(z_d)) of each latent dimension, in nats: `rate` is its sum over D, for both factorize."""
    return kl_divergence(posterior.base_dist, prior.base_dist)


def log_weight(output: VAEOutput, log_likelihood: Float[Tensor, "K B"]) -> Float[Tensor, "K B"]:
    """log p(x|z) + log p(z) - log q(z|x) of each sample, `log_likelihood` being `output.likelihood.log_prob(x)`."""
    return log_likelihood + output.prior.log_prob(output.z) - output.posterior.log_prob(output.z)


def importance_weighted_bound(log_weight: Float[Tensor, "K B"]) -> Float[Tensor, " B"]:
    """log 1/K sum_k w_k <= log p(x) in expectation: the sampled ELBO at K = 1, and tighter the larger K is.

    Burda, Grosse & Salakhutdinov, Importance Weighted Autoencoders, arXiv 1509.00519.
    """
    return log_weight.logsumexp(0) - math.log(len(log_weight))
