"""The aggregated posterior q(z) = 1/N sum_n q(z|x_n) of a data set, and what the rate is made of."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor
from torch.distributions import Distribution

from vae_lightning.models.distributions import DiagonalNormal, centre, marginals
from vae_lightning.models.latent_model import LatentModel, Latents

_DENSITIES = 2**18  # computed at a time: 2 MB of float64, which stays in the cache
_CPU_VALUES = 2**18  # densities computed at a time: 1 MB of float32, which stays in the cache
_GPU_VALUES = 2**26

_CODES = "codes of a codebook have no densities"
_HIERARCHY = "of a hierarchy no density of single dimensions is known"
_DEPENDENT = "the density of an aggregated posterior is known of independent components only"


def aggregated_posterior(latents: Latents, dim: int, edges: Float[Tensor, " E"]) -> Float[Tensor, " G"]:
    """One latent dimension's aggregated posterior: its mean density in each of the G = E - 1 bins between the edges.

        q(z_d) = 1/N sum_n N(z_d; loc_nd, scale_nd^2)

    The exact mixture over the N images, not a histogram of samples: no posterior is too narrow for a bin. Hoffman &
    Johnson, ELBO surgery, 2016; the name is from Makhzani et al., Adversarial Autoencoders, arXiv 1511.05644.

    Raises:
        ValueError: a dim the latents don't have, no latents at all, or less than two edges.
    """
    num_images, num_dims = latents.loc.shape
    if not 0 <= dim < num_dims:
        raise ValueError(f"dim must be from 0 to {num_dims - 1}, got {dim}")
    if num_images == 0:
        raise ValueError("latents must hold at least 1 image, got 0")
    if len(edges) < 2:
        raise ValueError(f"edges must be at least 2, got {len(edges)}")
    assert latents.scale is not None
    points, below = edges.cpu().double(), torch.zeros(len(edges), dtype=torch.float64)
    num_rows = max(1, _DENSITIES // len(edges))
    columns = latents.loc[:, dim, None].double(), latents.scale[:, dim, None].double()
    for loc, scale in zip(*(column.split(num_rows) for column in columns), strict=True):
        below += torch.special.ndtr((points - loc) / scale).sum(0)
    return (below.diff() / num_images / points.diff()).to(edges)


class Densities(NamedTuple):
    """Densities of R latent dimensions at the middles of G bins, which are the same for all of them.

    Attributes:
        posteriors: the aggregated posterior's.
        priors: the prior's.
        grid: the middles.
    """

    posteriors: Float[Tensor, "R G"]
    priors: Float[Tensor, "R G"]
    grid: Float[Tensor, " G"]


NO_DENSITY = "of a code without noise there is no density (model/posterior=point)"


def why_no_aggregate(vae: LatentModel, latents: Latents) -> str | None:
    """Why there is no density of the aggregated posterior, or of the prior to compare it with; or None."""
    if vae.is_discrete:
        return _CODES
    if not vae.has_density:
        return NO_DENSITY
    if vae.latent_prior() is None:
        return _HIERARCHY
    return _DEPENDENT if latents.scale is None else None


def why_no_marginals(vae: LatentModel) -> str | None:
    """Why single dimensions of the posteriors or of the prior have no density that is known; or None."""
    if vae.is_discrete:
        return _CODES
    if not vae.has_density:
        return NO_DENSITY
    prior = vae.latent_prior()
    if prior is None:
        return _HIERARCHY
    if marginals(prior) is None:
        return "of a flow no density of single dimensions is known"
    is_diagonal = getattr(getattr(vae, "posterior", None), "has_independent_components", True)
    return None if is_diagonal else _DEPENDENT


def marginal_densities(latents: Latents, prior: Distribution, dims: Sequence[int], num_bins: int = 200) -> Densities:
    """The aggregated posterior and the prior of each of these dimensions, in G = `num_bins` bins.

    The bins reach as far to both sides of 0 as four of the prior's deviations from its mean do, and further where
    99.9% of the posteriors, three scales to both sides, do.
    """
    assert latents.scale is not None
    of_prior = marginals(prior)
    assert of_prior is not None
    mean, stddev = (values.detach().cpu()[dims] for values in (of_prior.mean, of_prior.stddev))
    reach = (latents.loc[:, dims].abs() + 3 * latents.scale[:, dims]).flatten()
    limit = max(float((mean.abs() + 4 * stddev).max()), float(np.quantile(reach.numpy(), 0.999, method="higher")))
    edges = torch.linspace(-limit, limit, num_bins + 1)
    grid = (edges[1:] + edges[:-1]) / 2
    posteriors = torch.stack([aggregated_posterior(latents, dim, edges) for dim in dims])
    priors = of_prior.log_prob(grid[:, None].to(of_prior.mean)).detach().exp().cpu()[:, dims].T
    return Densities(posteriors, priors, grid)


@dataclass(frozen=True)
class RateTerms:
    """The rate taken apart, for each latent in nats; their means over z ~ q(z|x_n), n = 1..N, are the figures.

        rate = mutual_information + marginal_kl
        marginal_kl = total_correlation + dimension_kl

    Hoffman & Johnson, ELBO surgery, 2016; Chen et al., arXiv 1802.04942.

    Attributes:
        rate: log q(z|x) - log p(z), whose mean is E_x KL(q(z|x) || p(z)), [M].
        mutual_information: log q(z|x) - log q(z): I(x; z) under q, at most ln N, [M].
        marginal_kl: log q(z) - log p(z): KL(q(z) || p(z)), [M].
        total_correlation: log q(z) - sum_d log q(z_d), [M].
        dimension_kl: sum_d log q(z_d) - log p(z_d): the sum of KL(q(z_d) || p(z_d)), [M].
    """

    rate: Float64[Tensor, " M"]
    mutual_information: Float64[Tensor, " M"]
    marginal_kl: Float64[Tensor, " M"]
    total_correlation: Float64[Tensor, " M"]
    dimension_kl: Float64[Tensor, " M"]

    def by_name(self) -> dict[str, Float64[Tensor, " M"]]:
        """All of them by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@torch.no_grad()
def rate_terms(noise: Float32[Tensor, "M D"], own: Latents, all_latents: Latents, prior: Distribution) -> RateTerms:
    """The terms of one latent of each of M images: z = loc + scale * noise with the image's own posterior.

    q(z) is the exact mixture over all N posteriors, the image's own among them, so that no estimate of the mutual
    information exceeds ln N. Computed where the prior lies, in float32; the work is M N D densities. With a prior that
    does not factorize, `dimension_kl` is no KL, but what is left of the marginal one.

    Raises:
        ValueError: no posteriors at all.
    """
    if len(all_latents) == 0:
        raise ValueError("all_latents must hold at least 1 image, got 0")
    assert own.scale is not None
    assert all_latents.scale is not None
    place = centre(prior).device
    loc, scale = all_latents.loc.to(place), all_latents.scale.to(place)
    own_loc, own_scale = own.loc.to(place), own.scale.to(place)
    own_posterior, z = DiagonalNormal(own_loc, own_scale), own_loc + own_scale * noise.to(place)
    num_rows = max(1, (_CPU_VALUES if place.type == "cpu" else _GPU_VALUES) // loc.numel())
    parts = [_mixture_log_densities(rows, loc, scale) for rows in z.split(num_rows)]
    joint, marginals = (torch.cat(column) for column in zip(*parts, strict=True))
    conditional, of_prior = (_double(each.log_prob(z)) for each in (own_posterior, prior))
    joint = joint.clamp(min=conditional - math.log(len(loc)))  # the mixture holds it; but for rounding
    return RateTerms(
        rate=conditional - of_prior,
        mutual_information=conditional - joint,
        marginal_kl=joint - of_prior,
        total_correlation=joint - marginals,
        dimension_kl=marginals - of_prior,
    )


def _mixture_log_densities(
    z: Float[Tensor, "R D"], loc: Float[Tensor, "N D"], scale: Float[Tensor, "N D"]
) -> tuple[Float64[Tensor, " R"], Float64[Tensor, " R"]]:
    """log q(z) and sum_d log q(z_d), [R] each."""
    # In place, one array of R x D x N: its passes are what this costs.
    densities = (z.unsqueeze(2) - loc.T).div_(scale.T).square_().mul_(-0.5).sub_(scale.T.log())
    joint = densities.sum(1).logsumexp(1)
    # Without the maximum taken out: no density overflows, and each sum holds that of the image's own posterior.
    marginals = densities.exp_().sum(2).log()
    constant = math.log(len(loc)) + 0.5 * loc.shape[1] * math.log(2 * math.pi)
    by_dimension = math.log(len(loc)) + 0.5 * math.log(2 * math.pi)
    return _double(joint) - constant, _double(marginals - by_dimension).sum(1)


def _double(values: Tensor) -> Float64[Tensor, "..."]:
    return values.cpu().double()
