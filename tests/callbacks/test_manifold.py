from statistics import NormalDist

import pytest
import torch

from tests.callbacks.fakes import captured, evaluated, pixels, places
from vae_lightning.callbacks.manifold import Manifold


@pytest.mark.parametrize("latent_dim", [1, 3])
def test_nothing_unless_there_are_two_dimensions(fit, tmp_path, latent_dim):
    fit(Manifold(num_points=3), latent_dim=latent_dim)
    assert not (tmp_path / "images").exists()


@pytest.mark.parametrize("channels", [1, 3])
def test_the_corners_are_the_images_at_the_outer_quantiles(fit, tmp_path, channels):
    trainer = fit(Manifold(num_points=4), latent_dim=2, channels=channels)
    picture = pixels(tmp_path / "images/manifold/epoch_0003.png")
    low, high = NormalDist().inv_cdf(1 / 8), NormalDist().inv_cdf(7 / 8)
    corners = torch.tensor([[low, high], [high, high], [low, low], [high, low]])
    with torch.no_grad():
        images = evaluated(trainer).generate(corners)
    scale, step = 12, 8 * 12  # 8 px to 96, without gaps
    (top_left,), (top_right,), (bottom_left,), (bottom_right,) = (places(picture, image, scale) for image in images)
    top, left = top_left
    assert top_right == (top, left + 3 * step)
    assert bottom_left == (top + 3 * step, left)
    assert bottom_right == (top + 3 * step, left + 3 * step)


def test_the_axes_say_the_quantiles_and_the_caption_the_epoch(fit, monkeypatch):
    calls = captured(monkeypatch, "vae_lightning.callbacks.manifold.manifold_picture")
    fit(Manifold(num_points=5), latent_dim=2, max_epochs=1)
    images, values, title, context = calls[0]
    assert images.shape == (5, 5, 3, 8, 8)
    assert values == pytest.approx([NormalDist().inv_cdf((index + 0.5) / 5) for index in range(5)], abs=1e-6)
    assert title == "images over the latent plane"
    assert context == "fake · epoch 1"
