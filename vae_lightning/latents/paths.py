"""Walks through the latent space: between two points, along one dimension, over the plane of a 2-D prior."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vae_lightning.errors import UserError
from vae_lightning.latents.classes import labels_of_samples
from vae_lightning.models.distributions import UnitNormal, marginals
from vae_lightning.models.latent_model import LatentModel
from vae_lightning.noise import Seeded

_NUM_SAMPLES, _FEWEST_SAMPLES = 4096, 256  # of a prior whose moments are not known
_MOST_NUMBERS = 2**22  # in all of them


def linear(start: Float[Tensor, "*P D"], end: Float[Tensor, "*P D"], num_points: int) -> Float[Tensor, "N *P D"]:
    """N = `num_points` evenly spaced points of the straight line from `start` to `end`, both included to the bit.

        z(t) = (1 - t) start + t end

    Raises:
        ValueError: a num_points below 2.
    """
    return _between(start, end, torch.lerp(start, end, _inner_weights(start, num_points)))


def spherical(start: Float[Tensor, "*P D"], end: Float[Tensor, "*P D"], num_points: int) -> Float[Tensor, "N *P D"]:
    """N = `num_points` points along the great circle from `start` to `end`, both included to the bit.

        z(t) = ((1 - t) |start| + t |end|) slerp(start / |start|, end / |end|; t)

    The direction turns at a constant rate; the norm changes linearly, so that it stays between its ends also when they
    differ (slerp of the vectors themselves leaves that range for nearly opposite ones). Exactly opposite points are
    joined through one fixed perpendicular direction. Where there is no direction to turn (a point at the origin,
    D = 1) the path is the straight line. Shoemake, Animating rotation with quaternion curves, 1985; for generative
    models White, Sampling generative networks, arXiv 1609.04468.

    Raises:
        ValueError: a num_points below 2.
    """
    weights = _inner_weights(start, num_points)
    straight = torch.lerp(start, end, weights)
    if start.shape[-1] == 1:
        return _between(start, end, straight)
    norms = _norm(start), _norm(end)
    turns = (norms[0] > 0) & (norms[1] > 0)
    units = [torch.where(turns, point / norm, 0.0) for point, norm in zip((start, end), norms, strict=True)]
    curved = _great_circle(units[0], units[1], weights) * torch.lerp(*norms, weights)
    return _between(start, end, torch.where(turns, curved, straight))


PATHS: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {"linear": linear, "spherical": spherical}


def chain(points: Float[Tensor, "M D"], num_points: int) -> Float[Tensor, "P L N D"]:
    """The P = M - 1 ways from each of M points to the next, by each of the L `PATHS`, of N = `num_points` points.

    Raises:
        ValueError: a num_points below 2.
    """
    return torch.stack([path(points[:-1], points[1:], num_points).transpose(0, 1) for path in PATHS.values()], dim=1)


class Spread(NamedTuple):
    """Mean and standard deviation of a prior, dimension by dimension.

    Attributes:
        mean: zeros for N(0, I).
        stddev: ones for N(0, I).
        is_unit: whether it is N(0, I).
    """

    mean: Float[Tensor, " D"]
    stddev: Float[Tensor, " D"]
    is_unit: bool


@torch.no_grad()
def prior_spread(vae: LatentModel, device: torch.device) -> Spread:
    """Of a model's prior; of a hierarchy or a flow as 4,096 samples have it, which are always the same.

    Of more than a thousand dimensions there are fewer samples, by their number.
    """
    prior = vae.latent_prior()
    if prior is not None and marginals(prior) is not None:
        return Spread(prior.mean, prior.stddev, isinstance(prior, UnitNormal))
    count = min(_NUM_SAMPLES, max(_FEWEST_SAMPLES, _MOST_NUMBERS // vae.latent_dim))
    labels = labels_of_samples(vae, torch.arange(count, device=device))
    z = vae.draw(Seeded(0, count, device), labels)[0]
    return Spread(z.mean(0), z.std(0), False)


def traversals(
    centre: Float[Tensor, " D"], dims: Sequence[int], values: Float[Tensor, " N"], spread: Spread
) -> Float[Tensor, "R N D"]:
    """Latents that vary one dimension at a time: row r runs z_dims[r] over the values, all else stays at the centre.

    The values are in standard deviations of the prior from its mean; for N(0, I) they are those of z.

    Raises:
        ValueError: a dimension the centre doesn't have.
    """
    if wrong := [dim for dim in dims if not 0 <= dim < len(centre)]:
        raise ValueError(f"dims must be from 0 to {len(centre) - 1}, got {wrong[0]}")
    rows = centre.repeat(len(dims), len(values), 1)
    for row, dim in zip(rows, dims, strict=True):
        row[:, dim] = spread.mean[dim] + spread.stddev[dim] * values
    return rows


def manifold(num_points: int) -> tuple[Float[Tensor, "n n 2"], Float[Tensor, " n"]]:
    """An n x n grid over a 2-D standard normal prior, spaced evenly in probability, and the n values along its axes.

        q_i = Phi^-1((i + 1/2) / n), ascending

    Row i, column j of the grid is (z_0, z_1) = (q_j, q_{n-1-i}): drawn from the top row down, z_0 grows to the right
    and z_1 upwards. Kingma & Welling, Auto-Encoding Variational Bayes, arXiv 1312.6114, figure 4.

    Raises:
        ValueError: a num_points below 1.
    """
    if num_points < 1:
        raise ValueError(f"num_points must be at least 1, got {num_points}")
    probabilities = (torch.arange(num_points, dtype=torch.float64) + 0.5) / num_points
    quantiles = torch.special.ndtri(probabilities).float()
    second, first = torch.meshgrid(quantiles.flip(0), quantiles, indexing="ij")
    return torch.stack([first, second], -1), quantiles


def why_no_manifold(vae: LatentModel) -> str | None:
    """What models `manifold` is for, if this is none of them, as in "for two latent dimensions"; None if it is one."""
    if (reason := why_no_path(vae)) is not None:
        return reason
    if vae.latent_dim != 2:
        return f"for two latent dimensions, and this run has {vae.latent_dim}"
    if not vae.has_unit_prior:
        return "for a prior N(0, I) of both dimensions, by whose quantiles it goes, and this run has another"
    return None


def why_no_path(vae: LatentModel) -> str | None:
    """What models walks between and around latents are for, if this is none of them; None if it is one."""
    return "for continuous latents: between codes of a codebook there is nothing" if vae.is_discrete else None


def _inner_weights(point: Tensor, num_points: int) -> Tensor:
    if num_points < 2:
        raise ValueError(f"num_points must be at least 2, got {num_points}")
    weights = torch.linspace(0, 1, num_points, dtype=point.dtype, device=point.device)[1:-1]
    return weights.view(-1, *[1] * point.dim())


def _between(start: Tensor, end: Tensor, inner: Tensor) -> Tensor:
    return torch.cat([start[None], inner, end[None]])


def _norm(points: Tensor) -> Tensor:
    return torch.linalg.vector_norm(points, dim=-1, keepdim=True)


def _great_circle(start: Tensor, end: Tensor, weights: Tensor) -> Tensor:
    """Unit vectors from one to another: cos(t angle) start + sin(t angle) perpendicular."""
    # Twice the arctangent, because the arccosine of the inner product loses half the digits near 0 and pi.
    angle = 2 * torch.atan2(_norm(end - start), _norm(end + start))
    towards_end = _orthogonal(end, start)
    # Below this what is left of `end` is rounding, and may point anywhere, along `start` even.
    is_noise = _norm(towards_end) < 8 * torch.finfo(start.dtype).eps
    perpendicular = torch.where(is_noise, _fixed_perpendicular(start), towards_end)
    # Once more, because the first pass leaves rounding that normalizing can make large.
    perpendicular = torch.nn.functional.normalize(_orthogonal(perpendicular, start), dim=-1)
    return torch.cos(weights * angle) * start + torch.sin(weights * angle) * perpendicular


def _orthogonal(vector: Tensor, unit: Tensor) -> Tensor:
    return vector - (vector * unit).sum(-1, keepdim=True) * unit


def _fixed_perpendicular(unit: Tensor) -> Tensor:
    """What is left of the axis that the unit vector follows least: never close to zero for D > 1."""
    axis = torch.zeros_like(unit).scatter_(-1, unit.abs().argmin(-1, keepdim=True), 1.0)
    return _orthogonal(axis, unit)


def of_groups(vae: LatentModel, groups: Sequence[int]) -> Bool[Tensor, " D"]:
    """Which latent dimensions belong to these groups of a hierarchy, counted from 1 at the top.

    Raises:
        UserError: there is no such group, or none is given.
    """
    if not groups or not all(1 <= group <= vae.num_groups for group in groups):
        raise UserError(f"groups={list(groups)}: choose from 1 to {vae.num_groups}")
    numbers = torch.arange(1, vae.num_groups + 1).repeat_interleave(torch.tensor(vae.group_dims))
    return torch.isin(numbers, torch.tensor(list(groups)))
