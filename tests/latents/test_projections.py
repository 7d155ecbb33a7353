"""Projections are functions of the points and the seed, and keep what they are there to keep."""

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from vae_lightning.latents import projections
from vae_lightning.latents.projections import pca, tsne


@pytest.mark.parametrize(("num_points", "num_dims", "num_components"), [(40, 6, 2), (40, 6, 6), (5, 80, 3)])
def test_pca_is_scikit_learns(num_points, num_dims, num_components):
    from sklearn.decomposition import PCA

    points = 7 + torch.randn(num_points, num_dims) @ torch.randn(num_dims, num_dims)
    oracle = PCA(num_components, svd_solver="full")
    expected = oracle.fit_transform(points.double().numpy())
    projected, fractions = pca(points, num_components)
    np.testing.assert_allclose(projected, expected, atol=1e-7 * np.abs(expected).max())
    np.testing.assert_allclose(fractions, oracle.explained_variance_ratio_, atol=1e-9)


def test_pca_keeps_all_distances_when_all_axes_are_kept():
    points = torch.randn(30, 4)
    projected, fractions = pca(points, 4)
    distances = torch.pdist(torch.from_numpy(projected))
    torch.testing.assert_close(distances, torch.pdist(points.double()))
    assert fractions.sum() == pytest.approx(1)
    assert (np.diff(fractions) <= 0).all()


def test_axes_that_the_points_do_not_have_are_zero():
    points = torch.randn(10, 1)
    projected, fractions = pca(points)
    np.testing.assert_allclose(np.abs(projected[:, 0]), (points - points.mean()).abs()[:, 0].numpy(), atol=1e-6)
    assert fractions[0] == pytest.approx(1)
    assert not projected[:, 1].any()
    assert fractions[1] == 0


@pytest.mark.parametrize("points", [torch.randn(1, 3), torch.full((5, 3), 0.1), torch.zeros(2, 3)])
def test_points_without_variance_lie_on_the_origin(points):
    projected, fractions = pca(points)
    np.testing.assert_allclose(projected, np.zeros((len(points), 2)), atol=1e-15)
    assert fractions.tolist() == [0, 0]


def clusters(num_points=150, num_dims=8):
    labels = torch.arange(num_points) % 3
    return 12 * torch.eye(num_dims)[labels] + torch.randn(num_points, num_dims), labels


@pytest.mark.parametrize("num_dims", [3, 60])
def test_tsne_keeps_clusters_together(num_dims):
    points, labels = clusters(num_dims=num_dims)
    plane = torch.from_numpy(tsne(points, seed=0))
    assert plane.shape == (150, 2)
    nearest = torch.cdist(plane, plane).topk(11, largest=False).indices[:, 1:]
    assert (labels[nearest] == labels[:, None]).float().mean() > 0.99


def test_tsne_depends_on_the_points_and_the_seed_alone():
    points, _ = clusters(60)
    first = tsne(points, seed=1)
    np.random.seed(5)
    torch.manual_seed(5)
    assert np.array_equal(first, tsne(points, seed=1))
    assert not np.array_equal(first, tsne(points, seed=2))


def test_tsne_keeps_to_one_thread(monkeypatch):
    from openTSNE import TSNEEmbedding

    num_threads, optimize = [], TSNEEmbedding.optimize

    def noting(self, *steps, **options):
        num_threads.extend([pool["num_threads"] for pool in threadpool_info()] + [self.affinities.n_jobs])
        num_threads.append(self.gradient_descent_params["n_jobs"])
        return optimize(self, *steps, **options)

    monkeypatch.setattr(TSNEEmbedding, "optimize", noting)
    with threadpool_limits(limits=2):
        tsne(torch.randn(20, 3), seed=0)
    assert set(num_threads) == {1}


@pytest.fixture(scope="module")
def by_scikit_learn():
    """Points on a curved sheet, and what scikit-learn's t-SNE makes of them."""
    from sklearn.manifold import TSNE

    torch.manual_seed(0)
    points = (torch.randn(300, 3) @ torch.randn(3, 10)).sin()
    return points, TSNE(perplexity=30, init="pca", random_state=0).fit_transform(points.numpy())


@pytest.mark.parametrize("is_in_a_tree", [True, False])
def test_tsne_keeps_as_many_neighbours_as_scikit_learns(monkeypatch, by_scikit_learn, is_in_a_tree):
    from sklearn.manifold import trustworthiness

    points, oracle = by_scikit_learn
    monkeypatch.setattr(projections, "_MOST_IN_A_TREE", 300 if is_in_a_tree else 299)
    kept = [trustworthiness(points.numpy(), plane, n_neighbors=12) for plane in (tsne(points, seed=0), oracle)]
    assert kept[0] >= 0.995 * kept[1]


def test_tsne_leaves_global_states_alone():
    points, _ = clusters(20)
    states = np.random.get_state()[1].copy(), torch.get_rng_state(), torch.get_num_threads()
    before = points.clone()
    tsne(points, seed=1)
    assert np.array_equal(np.random.get_state()[1], states[0])
    assert torch.equal(torch.get_rng_state(), states[1])
    assert torch.get_num_threads() == states[2]
    assert torch.equal(points, before)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "points",
    [
        torch.full((20, 3), 0.1),
        torch.zeros(20, 60),
        torch.randn(10, 3).repeat(5, 1),
        torch.randn(30, 1),
        torch.cat([torch.zeros(29, 2), torch.ones(1, 2)]),
        torch.randn(4, 2),
    ],
    ids=["constant", "constant-60d", "duplicates", "1d", "one-outlier", "four"],
)
def test_tsne_of_degenerate_points_is_finite(points):
    assert np.isfinite(tsne(points, seed=0)).all()


def test_what_cannot_be_projected_is_refused():
    with pytest.raises(ValueError, match=r"^points must be at least 4, got 3$"):
        tsne(torch.zeros(3, 2), seed=0)
    with pytest.raises(ValueError, match=r"^points must be finite$"):
        tsne(torch.full((9, 2), torch.nan), seed=0)
    with pytest.raises(ValueError, match=r"^points must be at least 1, got 0$"):
        pca(torch.zeros(0, 2))
    with pytest.raises(ValueError, match=r"^num_components must be at least 1, got 0$"):
        pca(torch.zeros(3, 2), 0)


def test_of_fewer_points_than_dimensions_the_components_are_the_same():
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(12, 30, generator=generator) * torch.linspace(3, 0.1, 30)
    places, fractions = pca(points, 5)
    padded, others = pca(torch.cat([points] * 3), 5)  # more points than dimensions, and the same axes
    assert places == pytest.approx(padded[:12], abs=1e-9)
    assert fractions == pytest.approx(others, abs=1e-12)
    assert pca(points, 20)[1][11:] == pytest.approx(0, abs=1e-12)  # 12 points span 11 dimensions
    assert pca(torch.ones(3, 10), 2)[0] == pytest.approx(0)
