"""Means are exact however the images were batched or shared out."""

import pytest
import torch

from vae_lightning.likelihood.means import ExactMeans, Mean


@pytest.mark.parametrize("batch_sizes", [[1003], [500, 500, 3], [1] * 3 + [1000]])
def test_mean_and_standard_error_do_not_depend_on_the_batches(batch_sizes):
    values = torch.randn(1003, generator=torch.Generator().manual_seed(0)) * 30 - 1000
    means = ExactMeans()
    for batch in values.split(batch_sizes):
        means.update({"elbo": batch})
    mean = means.compute()["elbo"]
    assert mean.count == 1003
    assert mean.value == pytest.approx(float(values.double().mean()), rel=1e-9)
    assert mean.stderr == pytest.approx(float(values.double().std()) / 1003**0.5, rel=1e-6)


def test_ranks_of_uneven_length_add_up():
    values = torch.randn(10)
    ranks = [ExactMeans(), ExactMeans()]
    ranks[0].update({"rate": values[:7]})
    ranks[1].update({"rate": values[7:]})
    moments = sum(rank._moments["rate"] for rank in ranks)
    mean = ranks[0].compute(lambda own: moments)["rate"]
    assert (mean.count, mean.value) == (10, pytest.approx(float(values.double().mean())))


def test_one_image_has_no_standard_error():
    means = ExactMeans()
    means.update({"elbo": torch.tensor([-3.0])})
    assert means.compute() == {"elbo": Mean(-3.0, None, 1)}
