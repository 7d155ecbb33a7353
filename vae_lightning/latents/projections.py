"""Latent points on a plane: principal components and t-SNE, both functions of the points (and a seed) alone."""

from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

_TSNE_INPUT_DIM = 50  # van der Maaten & Hinton reduce to this many dimensions first
_EXAGGERATION, _EARLY_STEPS, _STEPS = 12, 60, 300  # benchmarks/README.md tells what others bring
_ANGLE = 0.8  # under which a cell of the Barnes-Hut tree stands for its points
_MOST_IN_A_TREE = 10_000  # points, from which on interpolation on a grid is quicker
_INITIAL_STD = 1e-4  # of the first axis at the start of t-SNE: small, so that points can still change sides


def pca(
    points: Float[Tensor, "N D"], num_components: int = 2
) -> tuple[Float[np.ndarray, "N k"], Float[np.ndarray, " k"]]:
    """The points on their first k = `num_components` principal axes, and each axis' fraction of the total variance.

    The sign of an axis is the one that makes its largest loading positive, as in scikit-learn. Axes the points don't
    have (k > D) are columns of zeros; points without variance have fractions of zero.

    Raises:
        ValueError: no points, points that are not finite, or a num_components below 1.
    """
    mean, axes, fractions = principal_axes(points, num_components)
    return (_finite(points) - mean) @ axes, fractions


def principal_axes(
    points: Float[Tensor, "N D"], num_components: int = 2
) -> tuple[Float[np.ndarray, " D"], Float[np.ndarray, "D k"], Float[np.ndarray, " k"]]:
    """The mean of the points, their first k principal axes as columns, and each axis' fraction of the total variance.

    Signs, and axes that the points don't have, are those of `pca`.

    Raises:
        ValueError: as `pca`.
    """
    if num_components < 1:
        raise ValueError(f"num_components must be at least 1, got {num_components}")
    values = _finite(points)
    mean = values.mean(0)
    centred = values - mean
    variances, axes = _principal(centred)
    largest_first = np.argsort(-variances, kind="stable")[:num_components]
    axes, variances = axes[:, largest_first], variances[largest_first].clip(min=0)
    axes = axes * np.where(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])] < 0, -1.0, 1.0)
    total = np.square(centred).mean(0).sum()
    fractions = variances / total if total > 0 else np.zeros_like(variances)
    missing = (0, num_components - len(variances))
    return mean, np.pad(axes, ((0, 0), missing)), np.pad(fractions, missing)


def _principal(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variances along the principal axes, and these axes; of fewer points than dimensions, those that points span."""
    count, dim = centred.shape
    if dim <= count:
        return np.linalg.eigh(centred.T @ centred / count)
    variances, combinations = np.linalg.eigh(centred @ centred.T / count)  # of N x N in place of D x D
    is_spanned = variances > 1e-12 * max(variances.max(), 0.0)
    variances, combinations = variances[is_spanned], combinations[:, is_spanned]
    return variances, centred.T @ combinations / np.sqrt(count * variances)


def tsne(points: Float[Tensor, "N D"], seed: int, perplexity: float = 30.0) -> Float[np.ndarray, "N 2"]:
    """The points on a plane such that neighbours stay neighbours; distances between clusters mean little.

    van der Maaten & Hinton, Visualizing data using t-SNE, JMLR 2008, as openTSNE computes it: Poličar, Stražar & Zupan,
    JSS 2024, with the learning rate of Belkina et al., Nature Communications 2019, N / exaggeration. More than 50
    dimensions are reduced to 50 by PCA first; the perplexity is lowered to at most (N - 1) / 3. The same points and
    seed give the same picture; no global random state is read or changed.

    Raises:
        ValueError: fewer than 4 points, or points that are not finite.
    """
    from openTSNE import TSNEEmbedding  # takes a second
    from openTSNE.affinity import PerplexityBasedNN
    from threadpoolctl import threadpool_limits

    if len(points) < 4:
        raise ValueError(f"points must be at least 4, got {len(points)}")
    start = _initial_plane(points, seed)
    inputs = pca(points, _TSNE_INPUT_DIM)[0] if points.shape[1] > _TSNE_INPUT_DIM else _finite(points)
    perplexity = min(perplexity, (len(points) - 1) / 3)
    alone: dict[str, Any] = {"n_jobs": 1, "random_state": 0}
    gradient: dict[str, Any] = {
        "negative_gradient_method": "bh" if len(points) <= _MOST_IN_A_TREE else "fft",
        "theta": _ANGLE,
    }
    # On one thread, because threads that wait for a core which others keep busy cost more than they ever bring. On two
    # cores a second thread of scikit-learn's took 1,000 points from 2 s to 43 s.
    with threadpool_limits(limits=1):
        affinities = PerplexityBasedNN(inputs, perplexity, method="exact", **alone)
        places = TSNEEmbedding(start, affinities, **gradient, **alone)
        places.optimize(_EARLY_STEPS, exaggeration=_EXAGGERATION, momentum=0.8, inplace=True)
        places.optimize(_STEPS, momentum=0.8, inplace=True)
    return np.array(places)


def _initial_plane(points: Tensor, seed: int) -> np.ndarray:
    """Where t-SNE starts: principal components, and noise of a hundredth of them.

    The noise parts duplicates and lets points that lie on one line leave it; it is where the seed comes in.
    """
    plane = pca(points)[0]
    std = plane[:, 0].std()
    plane = plane / std if std > 0 else plane
    noise = np.random.default_rng(seed).standard_normal(plane.shape)
    return _INITIAL_STD * (plane + 0.01 * noise)


def _finite(points: Tensor) -> np.ndarray:
    values = points.detach().cpu().double().numpy()
    if len(values) == 0:
        raise ValueError("points must be at least 1, got 0")
    if not np.isfinite(values).all():
        raise ValueError("points must be finite")
    return values
