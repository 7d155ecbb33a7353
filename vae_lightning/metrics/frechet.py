"""The distance between two sets of features, each taken for a Gaussian."""

import torch
from jaxtyping import Float
from torch import Tensor

_FEWEST = 2  # rows of which a covariance can be taken


def frechet_distance(one: Float[Tensor, "N F"], other: Float[Tensor, "M F"]) -> float:
    """|m - n|^2 + tr(S + T - 2 (S T)^(1/2)) of the means m, n and the covariances S, T of two sets; never negative.

    The squared distance of Frechet, which is that of Wasserstein for Gaussians: Dowson & Landau, The Frechet distance
    between multivariate normal distributions, 1982; of features of images Heusel et al., arXiv 1706.08500. In float64.

    Raises:
        ValueError: less than two rows.
    """
    if min(len(one), len(other)) < _FEWEST:
        raise ValueError(f"one and other must have at least {_FEWEST} rows, got {len(one)} and {len(other)}")
    first, second = one.double(), other.double()
    covariance, further = (
        torch.cov(first.T).reshape(first.shape[1], -1),
        torch.cov(second.T).reshape(first.shape[1], -1),
    )
    root = _square_root(covariance)
    # tr (S T)^(1/2) by the eigenvalues of S^(1/2) T S^(1/2), which are the same and of a symmetric matrix.
    between = torch.linalg.eigvalsh(root @ further @ root).clamp(min=0).sqrt().sum()
    means = (first.mean(0) - second.mean(0)).square().sum()
    return max(0.0, float(means + covariance.trace() + further.trace() - 2 * between))


def _square_root(covariance: Float[Tensor, "F F"]) -> Float[Tensor, "F F"]:
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
