"""The whole of a 2-D latent space: z 1 to the right, z 2 upwards."""

import pytest

from vae_lightning.errors import UserError
from vae_lightning.latents.paths import manifold
from vae_lightning.pictures.manifold import DrawManifold


def test_the_plane_is_laid_out_as_a_map(plane, tmp_path, places_of):
    DrawManifold(num_points=3)(plane, tmp_path)
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
        DrawManifold()(digits, tmp_path)
    expected = "mode=manifold is for two latent dimensions, and this run has 4; try mode=traversal"
    assert str(error.value) == expected
    assert list(tmp_path.iterdir()) == []


def test_no_points_are_refused():
    with pytest.raises(ValueError, match=r"^num_points must be at least 1, got 0$"):
        DrawManifold(num_points=0)
