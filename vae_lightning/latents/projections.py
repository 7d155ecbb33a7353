"""Latent points on a plane: principal components and t-SNE, both functions of the points (and a seed) alone."""

import numpy as np
from jaxtyping import Float
from torch import Tensor

_TSNE_INPUT_DIM = 50  # van der Maaten & Hinton reduce to this many dimensions first
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
    if num_components < 1:
        raise ValueError(f"num_components must be at least 1, got {num_components}")
    centred = _finite(points)
    centred = centred - centred.mean(0)
    variances, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    largest_first = np.argsort(-variances, kind="stable")[:num_components]
    axes, variances = axes[:, largest_first], variances[largest_first].clip(min=0)
    axes = axes * np.where(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])] < 0, -1.0, 1.0)
    total = np.square(centred).mean(0).sum()
    fractions = variances / total if total > 0 else np.zeros_like(variances)
    missing = num_components - len(variances)
    return np.pad(centred @ axes, ((0, 0), (0, missing))), np.pad(fractions, (0, missing))


def tsne(points: Float[Tensor, "N D"], seed: int, perplexity: float = 30.0) -> Float[np.ndarray, "N 2"]:
    """The points on a plane such that neighbours stay neighbours; distances between clusters mean little.

    van der Maaten & Hinton, Visualizing data using t-SNE, JMLR 2008, in scikit-learn's Barnes-Hut approximation. More
    than 50 dimensions are reduced to 50 by PCA first; the perplexity is lowered to at most (N - 1) / 3. The same points
    and seed give the same picture; no global random state is read or changed.

    Raises:
        ValueError: fewer than 4 points, or points that are not finite.
    """
    from sklearn.manifold import TSNE  # takes a second
    from threadpoolctl import threadpool_limits

    if len(points) < 4:
        raise ValueError(f"points must be at least 4, got {len(points)}")
    start = _initial_plane(points, seed)
    inputs = pca(points, _TSNE_INPUT_DIM)[0] if points.shape[1] > _TSNE_INPUT_DIM else _finite(points)
    perplexity = min(perplexity, (len(points) - 1) / 3)
    # On one thread, because threads that wait for a core which others keep busy cost more than they ever bring. On two
    # cores a second thread took 2,000 points from 6 s to 4 s while all was quiet, and 1,000 from 2 s to 43 s else.
    with threadpool_limits(limits=1):
        return TSNE(perplexity=perplexity, init=start, random_state=0).fit_transform(inputs.astype(np.float32))


def _initial_plane(points: Tensor, seed: int) -> np.ndarray:
    """Where t-SNE starts: principal components, and noise of a hundredth of them.

    The noise parts duplicates and lets points that lie on one line leave it; it is where the seed comes in.
    """
    plane = pca(points)[0]
    std = plane[:, 0].std()
    plane = plane / std if std > 0 else plane
    noise = np.random.default_rng(seed).standard_normal(plane.shape)
    return (_INITIAL_STD * (plane + 0.01 * noise)).astype(np.float32)


def _finite(points: Tensor) -> np.ndarray:
    values = points.detach().cpu().double().numpy()
    if len(values) == 0:
        raise ValueError("points must be at least 1, got 0")
    if not np.isfinite(values).all():
        raise ValueError("points must be finite")
    return values
