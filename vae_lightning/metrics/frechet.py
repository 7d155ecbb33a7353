"""The distance between two sets of features, each taken for a Gaussian."""

import torch
from jaxtyping import Float
from torch import Tensor

_FEWEST = 2  # rows of which a covariance can be taken


def frechet_distance(one: Float[Tensor, "N F"], other: Float[Tensor, "M F"]) -> float:
    """|m - n|^2 + tr(S + T - 2 (S T)^(1/2)) of the means m, n and the covariances S, T of two sets; never negative.

    Covariances are divided by the number of rows less one. Of fewer rows than features they have no full rank.

    The squared distance of Frechet, which is that of Wasserstein for Gaussians: Dowson & Landau, The Frechet distance
    between multivariate normal distributions, 1982; of features of images Heusel et al., arXiv 1706.08500. In float64.

    Raises:
        ValueError: less than two rows.
    """
    if min(len(one), len(other)) < _FEWEST:
        raise ValueError(f"one and other must have at least {_FEWEST} rows, got {len(one)} and {len(other)}")
    first, second = one.double(), other.double()
    means = (first.mean(0) - second.mean(0)).square().sum()
    left, right = _factor(first), _factor(second)
    # S = A^T A and T = B^T B: the eigenvalues of S T are those of (A B^T)(A B^T)^T, but for zeros.
    between = torch.linalg.svdvals(left @ right.T).sum()
    return max(0.0, float(means + left.square().sum() + right.square().sum() - 2 * between))


def _factor(rows: Float[Tensor, "N F"]) -> Float[Tensor, "R F"]:
    """A of the covariance A^T A, with no more rows than there are, nor than features."""
    away = (rows - rows.mean(0)) / (len(rows) - 1) ** 0.5
    if len(away) <= away.shape[1]:
        return away
    values, vectors = torch.linalg.eigh(away.T @ away)
    return (vectors * values.clamp(min=0).sqrt()).T
