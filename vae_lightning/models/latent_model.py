"""What every VAE is to the rest of the program, however many groups of latents it has."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.distributions import Distribution

from vae_lightning.errors import UserError
from vae_lightning.models.distributions import (
    PointMass,
    UnitNormal,
    centre,
    closed_form_kl,
    log_prob_by_dimension,
    marginals,
)
from vae_lightning.noise import Noise

Temperature = float | Sequence[float]  # of all groups, or one of each, the top one first


@dataclass(frozen=True)
class Latents:
    """Where the posteriors of N images lie, all groups of latents side by side.

    Attributes:
        loc: posterior means, [N, D]; of a group that depends on others at the means of those;
            of a flow its `distributions.centre`.
        scale: posterior standard deviations, [N, D], if q(z|x) = N(z; loc, diag(scale^2)); else None.
        rates: the rate of each latent dimension in nats, [N, D]; None where nobody asked for it, or there is none.
    """

    loc: Float[Tensor, "N D"]
    scale: Float[Tensor, "N D"] | None
    rates: Float[Tensor, "N D"] | None = None

    def __len__(self) -> int:
        return len(self.loc)


@dataclass(frozen=True)
class Group:
    """One group of latents in a pass: where it was drawn from, and what it is held against.

    Attributes:
        posterior: q(z_l | z_<l, x), batch shape [B], or [K, B] where it depends on other groups.
        prior: p(z_l | z_<l), batch shape [] or [K, B].
        z: samples of the posterior, [K, B, D].
        penalty: what the model itself has training add to the loss for this group, [B], whatever the objective: the
            commitment of discrete codes. No part of rate or ELBO; None for nothing.
    """

    posterior: Distribution
    prior: Distribution
    z: Float[Tensor, "K B D"]
    penalty: Float[Tensor, " B"] | None = None

    def log_ratio(self) -> Float[Tensor, "K B"]:
        """log p(z_l | z_<l) - log q(z_l | z_<l, x) of each sample."""
        return self.prior.log_prob(self.z) - self.posterior.log_prob(self.z)

    @property
    def has_density(self) -> bool:
        """Whether the posterior has a density, without which there is no rate to ask for."""
        return not isinstance(self.posterior, PointMass)

    def rate(self) -> Float[Tensor, " B"]:
        """KL(q || p), in closed form where one is registered with `torch.distributions` for the pair, else sampled."""
        nats = closed_form_kl(self.posterior, self.prior)
        return mean_of_samples(-self.log_ratio() if nats is None else nats)

    def rate_per_dimension(self) -> Float[Tensor, "B D"]:
        """KL(q(z_d) || p(z_d)) of each latent dimension, whose sum is the rate where both factorize.

        Without a closed form it is that of the first sample, for a mixture's densities take memory; of a flow each
        dimension has its term of the log-density.
        """
        q, p = marginals(self.posterior), marginals(self.prior)
        nats = None if q is None or p is None else closed_form_kl(q, p)
        if nats is not None:
            return nats.mean(0) if nats.ndim == 3 else nats
        of_posterior = log_prob_by_dimension(self.posterior, self.z)[0]  # of all: a flow remembers those
        return of_posterior - log_prob_by_dimension(self.prior, self.z[:1])[0]


def mean_of_samples(values: Float[Tensor, "*K B"]) -> Float[Tensor, " B"]:
    """The mean over the samples, if there are any."""
    if values.ndim == 1:
        return values
    return values.mean(0) if len(values) > 1 else values.squeeze(0)  # of one, as in training, it is work for nothing


@dataclass(frozen=True)
class VAEOutput:
    """What one pass leaves for the objectives and the evaluation to read.

    Attributes:
        groups: of latents, each before those that depend on it.
        likelihood: p(x|z), batch shape [K, B], event shape [C, H, W].
        decoder: the network that it was made with, for an objective that weighs its parameters.
        observed: what inference knew of the images, of which `latents` tells where the posteriors lie.
    """

    groups: tuple[Group, ...]
    likelihood: Distribution
    decoder: nn.Module | None = None
    observed: Any = None

    @property
    def has_density(self) -> bool:
        """Whether all groups have one."""
        return all(group.has_density for group in self.groups)


def rates_per_dimension(groups: Sequence[Group]) -> Float[Tensor, "B D"] | None:
    """The rate of each dimension of all groups; None where one of them has none."""
    if not all(group.has_density for group in groups):
        return None
    return torch.cat([group.rate_per_dimension() for group in groups], -1)


def side_by_side(groups: Sequence[Group]) -> Float[Tensor, "K B D"]:
    """The samples of all groups as one vector each."""
    return groups[0].z if len(groups) == 1 else torch.cat([group.z for group in groups], -1)


def of_each_group(temperature: Temperature, num_groups: int) -> list[float]:
    """The temperature of each group.

    Raises:
        UserError: it is neither one number nor one for each group.
    """
    if isinstance(temperature, int | float):
        return [temperature] * num_groups
    if len(temperature) != num_groups:
        wanted = "one number" if num_groups == 1 else f"one number, or {num_groups}, one of each group"
        raise UserError(f"temperature={list(temperature)}: expected {wanted}")
    return list(temperature)


class LatentModel(nn.Module, ABC):
    """A VAE: images to latents and back.

    Attributes:
        latent_dim: D, of all groups of latents together.
        num_groups: of latents, some of which are drawn given others; 1 for a plain VAE.
        has_density: whether q(z|x) has one; else z is a code without noise, and there is no rate and no ELBO.
        num_classes: of a model that is told labels, 0 to num_classes - 1; None for one that is not.
        decoder: the part that ends in what the likelihood wants.
        likelihood: the part that makes p(x|z) of it.
        is_discrete: whether latents are codes of a codebook: they have masses and no densities, and between two of them
            there is nothing.
    """

    is_discrete: ClassVar[bool] = False
    latent_dim: int
    num_groups: int = 1
    has_density: bool = True
    num_classes: int | None = None
    decoder: nn.Module
    likelihood: nn.Module

    def forward(
        self, x: Float[Tensor, "B C H W"], noise: Noise, labels: Int64[Tensor, " B"] | None = None
    ) -> VAEOutput:
        """Encode, sample as many latents an image as the noise has, decode."""
        observed = self.observe(x, labels)
        groups = self.infer(observed, noise)
        likelihood = self.decode(side_by_side(groups), labels, x)
        return VAEOutput(groups, likelihood, getattr(self, "decoder", None), observed)

    def encode(self, x: Float[Tensor, "B C H W"], labels: Int64[Tensor, " B"] | None = None) -> Latents:
        """Where the posteriors of the images lie."""
        return self.latents(self.observe(x, labels))

    @abstractmethod
    def observe(self, x: Float[Tensor, "B C H W"], labels: Int64[Tensor, " B"] | None = None) -> Any:
        """All that inference needs to know of the images, of which `[rows]` is that of some of them."""

    @abstractmethod
    def infer(self, observed: Any, noise: Noise) -> tuple[Group, ...]:
        """The groups of latents, drawn with this noise."""

    @abstractmethod
    def latents(self, observed: Any) -> Latents:
        """Where the posteriors lie."""

    def decode(
        self,
        z: Float[Tensor, "*KB D"],
        labels: Int64[Tensor, "*B"] | None = None,
        target: Float[Tensor, "B C H W"] | None = None,
    ) -> Distribution:
        """The likelihood p(x|z) of images, for latents of any batch shape.

        Args:
            z: all groups side by side.
            labels: one for each latent, or for each of its last dimensions' rows: [B] for [K, B, D].
            target: the images that are to be explained, in training.
        """
        told = None if labels is None else labels.expand(z.shape[:-1]).flatten()
        decoded = self.decoder(self.decoder_input(z.flatten(0, -2), told))
        return self.likelihood(decoded.unflatten(0, z.shape[:-1]), target)

    def decoder_input(self, z: Float[Tensor, "N D"], labels: Int64[Tensor, " N"] | None) -> Float[Tensor, "N D2"]:
        """What the decoder is given: the latents, and of a model with labels those too."""
        return z

    @property
    def group_dims(self) -> tuple[int, ...]:
        """How many latent dimensions each group has, as they lie side by side, the top one first."""
        return (self.latent_dim,)

    @property
    def code_dim(self) -> int:
        """Of the codes that a sampler stands in for: all latents, or of a hierarchy those of its top group."""
        return self.group_dims[0]

    def completed(
        self, code: Float[Tensor, "K B D2"], noise: Noise, temperature: Temperature = 1.0
    ) -> Float[Tensor, "K B D"]:
        """Latents of a hierarchy whose first groups are given: those below are drawn from their priors.

        Args:
            code: the top group, or the first few side by side; of a model of one group all that there is.
            noise: what the others are made of.
            temperature: so many times their own spread; of all groups or of each, those given included.
        """
        return code

    @abstractmethod
    def draw(
        self, noise: Noise, labels: Int64[Tensor, " B"] | None = None, temperature: Temperature = 1.0
    ) -> Float[Tensor, "K B D"]:
        """Latents from the prior, whose spread is that many times the prior's own, of all groups or of each."""

    @abstractmethod
    def latent_prior(self) -> Distribution | None:
        """p(z) of all groups side by side; None where it is no single distribution, as that of a hierarchy."""

    @property
    def has_unit_prior(self) -> bool:
        """Whether p(z) is N(0, I)."""
        return isinstance(self.latent_prior(), UnitNormal)

    def means_of(
        self, output: VAEOutput, x: Float[Tensor, "B C H W"], labels: Int64[Tensor, " B"] | None = None
    ) -> Float[Tensor, "B D"]:
        """The posterior means of the images of an output, which are seen again where the output does not tell them."""
        first, *others = output.groups
        if not others:
            return centre(first.posterior)
        return self.encode(x, labels).loc if output.observed is None else self.latents(output.observed).loc

    def told(self, labels: Tensor | None) -> Tensor | None:
        """The labels for a model that is told labels, None for any other."""
        return None if self.num_classes is None else labels

    def generate(self, z: Float[Tensor, "N D"], labels: Int64[Tensor, " N"] | None = None) -> Float[Tensor, "N C H W"]:
        """The mean image of each latent, in [0, 1]."""
        return self.decode(z, labels).mean

    def reconstruct(
        self, x: Float[Tensor, "N C H W"], labels: Int64[Tensor, " N"] | None = None
    ) -> Float[Tensor, "N C H W"]:
        """The mean image at the posterior's mean, in [0, 1]; no random numbers."""
        return self.generate(self.encode(x, labels).loc, labels)
