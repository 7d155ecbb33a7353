"""The labels of what a conditional model makes."""

import torch

from tests.objectives.test_elbo import LinearGaussian
from vae_lightning.latents.classes import labels_along, labels_of_samples

CPU = torch.device("cpu")


def models():
    plain, told = LinearGaussian().vae(), LinearGaussian().vae()
    told.num_classes = 3
    return plain, told


def test_sample_n_has_label_n_modulo_their_number():
    plain, told = models()
    assert labels_of_samples(told, torch.tensor([0, 4, 5, 300])).tolist() == [0, 1, 2, 0]
    assert labels_of_samples(plain, torch.arange(4)) is None


def test_a_walk_has_the_label_of_its_nearer_end():
    labels = labels_along(torch.tensor([5, 6, 7]), num_ways=2, num_points=4)
    assert labels.shape == (2, 2, 4)
    assert labels[:, 0].tolist() == labels[:, 1].tolist() == [[5, 5, 6, 6], [6, 6, 7, 7]]
    assert labels_along(torch.tensor([5, 6]), 1, 3)[0, 0].tolist() == [5, 5, 6]
    assert labels_along(None, 1, 3) is None


def test_labels_reach_a_model_only_that_asks_for_them():
    plain, told = models()
    labels = torch.tensor([1, 2])
    assert plain.told(labels) is None
    assert told.told(labels) is labels
