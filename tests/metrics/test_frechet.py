"""The Frechet distance of Gaussians, whose value is known."""

import pytest
import torch

from vae_lightning.metrics.frechet import frechet_distance


def whitened(num_rows: int, dim: int) -> torch.Tensor:
    """Rows of mean 0 and covariance I, to rounding."""
    rows = torch.randn(num_rows, dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = rows - rows.mean(0)
    return rows @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(rows.T))).T


def test_means_and_diagonal_covariances_give_the_closed_form():
    rows = whitened(200, 3)
    spread, mean = torch.tensor([2.0, 0.5, 0.0]).double(), torch.tensor([1.0, -2.0, 0.0]).double()
    expected = float(mean.square().sum() + (spread - 1).square().sum())
    assert frechet_distance(rows, rows * spread + mean) == pytest.approx(expected, rel=1e-9)


def test_covariances_that_do_not_commute_give_the_root_of_their_product():
    rows = whitened(300, 2)
    one = torch.tensor([[2.0, 0.0], [0.0, 1.0]]).double()
    other = torch.tensor([[1.0, 0.9], [0.9, 3.0]]).double()
    made = [rows @ torch.linalg.cholesky(covariance).T for covariance in (one, other)]
    roots = torch.linalg.eigvals(one @ other).real.sqrt().sum()
    expected = float(one.trace() + other.trace() - 2 * roots)
    assert frechet_distance(*made) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(*made[::-1]) == pytest.approx(expected, rel=1e-9)


def test_a_set_is_at_no_distance_from_itself_even_with_fewer_rows_than_features():
    rows = torch.randn(5, 20, generator=torch.Generator().manual_seed(1))
    assert frechet_distance(rows, rows) == pytest.approx(0, abs=1e-5)


def test_it_is_the_same_of_fewer_rows_than_features():
    one, other = torch.randn(2, 30, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    expected = frechet_distance(one, other[:20] * 2 + 1)
    nothing = torch.zeros(30, 35).double()
    few, others = torch.cat([one, nothing], 1), torch.cat([other * 2 + 1, nothing], 1)[:20]
    assert frechet_distance(few, others) == pytest.approx(expected, rel=1e-9)


def test_one_row_is_refused():
    with pytest.raises(ValueError, match="at least 2 rows"):
        frechet_distance(torch.zeros(1, 3), torch.zeros(4, 3))
