"""What is evaluated: the images as evaluation sees them, each on one rank."""

import pytest
import torch

from vae_lightning.errors import UserError
from vae_lightning.machine.world import World
from vae_lightning.metrics.subject import Subject


def subject(run, split="test", rank=0, size=1, batch_size=50) -> Subject:
    return Subject(run, split, 0, batch_size, World(rank=rank, size=size))


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_binarized_images_are_binary_in_every_split_and_the_same_each_time(plane, split):
    first, again = (torch.cat([batch.images for batch in subject(plane, split).batches()]) for _ in range(2))
    assert set(first.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(first, again)
    assert len(first) == len(plane.data.splits[split])


@pytest.mark.parametrize("most", [None, 7, 10**6])
def test_the_ranks_shares_follow_one_another(plane, most):
    shares = [
        torch.cat([batch.indices for batch in subject(plane, rank=rank, size=3, batch_size=4).batches(most=most)])
        for rank in range(3)
    ]
    assert torch.cat(shares).tolist() == list(range(min(most or 360, 360)))


def test_posteriors_are_encoded_once_and_in_order(plane, monkeypatch):
    of_all = subject(plane, batch_size=7)
    latents = of_all.posteriors()
    images = plane.data.images_at(torch.arange(5), "test").images.float() / 255
    with torch.no_grad():
        expected = plane.vae.encode(images)
    torch.testing.assert_close(latents.loc[:5], expected.loc)
    torch.testing.assert_close(latents.scale[:5], expected.scale)
    monkeypatch.setattr(Subject, "batches", None)
    assert of_all.posteriors() is latents


def test_fewer_images_than_ranks_are_refused(plane):
    with pytest.raises(UserError, match="split=test: 3 ranks cannot share 2 images"):
        next(subject(plane, rank=2, size=3).batches(most=2))
