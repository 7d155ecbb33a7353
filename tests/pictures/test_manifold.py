"""The whole of a 2-D latent space: z 1 to the right, z 2 upwards."""

from statistics import NormalDist

import pytest
import torch

from tests.callbacks.fakes import captured, evaluated, pixels, places
from vae_lightning.errors import UserError
from vae_lightning.exports.saving import save_picture
from vae_lightning.latents.paths import manifold
from vae_lightning.pictures.manifold import Manifold


def test_the_plane_is_laid_out_as_a_map(plane, tmp_path, places_of):
    save_picture(Manifold(num_points=3), plane, tmp_path, "manifold")
    z, values = manifold(3)
    assert z[0, 0].tolist() == [values[0], values[2]]
    images = plane.decode(z.flatten(0, 1))
    places = [places_of(image, tmp_path / "manifold.png") for image in images]
    assert [len(found) for found in places] == [1] * 9
    ordered = [found[0] for found in places]
    assert ordered == sorted(ordered)
    assert len({top for top, _ in ordered}) == len({left for _, left in ordered}) == 3


def test_other_latent_spaces_are_refused_with_a_better_mode(digits, tmp_path):
    with pytest.raises(UserError) as error:
        save_picture(Manifold(), digits, tmp_path, "manifold")
    expected = "mode=manifold is for two latent dimensions, and this run has 4"
    assert str(error.value) == expected
    assert list(tmp_path.iterdir()) == []


def test_no_points_are_refused():
    with pytest.raises(ValueError, match=r"^num_points must be at least 1, got 0$"):
        Manifold(num_points=0)


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
    calls = captured(monkeypatch, "vae_lightning.pictures.manifold.manifold_picture")
    fit(Manifold(num_points=5), latent_dim=2, max_epochs=1)
    images, values, title, context = calls[0]
    assert images.shape == (5, 5, 3, 8, 8)
    assert values == pytest.approx([NormalDist().inv_cdf((index + 0.5) / 5) for index in range(5)], abs=1e-6)
    assert title == "images over the latent plane"
    assert context == "fake · epoch 1"
