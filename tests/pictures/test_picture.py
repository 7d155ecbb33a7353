"""What holds for every picture: its limits, which a stranger's config keeps, too, and what decides what is chosen."""

import pytest

from tests.test_config import composed
from vae_lightning.config import instantiate
from vae_lightning.pictures.aggregated_posterior import AggregatedPosterior
from vae_lightning.pictures.embedding import Embedding
from vae_lightning.pictures.latent_units import LatentUnits
from vae_lightning.pictures.manifold import Manifold
from vae_lightning.pictures.neighbours import Neighbours
from vae_lightning.pictures.reconstructions import Reconstructions
from vae_lightning.pictures.samples import Samples
from vae_lightning.pictures.transition import Transition
from vae_lightning.pictures.traversals import Traversals

LIMITS = [
    (Samples, "num_images", 10_000),
    (Neighbours, "num_images", 1_000),
    (Neighbours, "num_nearest", 100),
    (Traversals, "num_columns", 100),
    (Transition, "num_frames", 500),
    (Manifold, "num_points", 100),
]


@pytest.mark.parametrize(("kind", "name", "most"), LIMITS)
def test_a_number_that_would_fill_the_memory_is_refused(kind, name, most):
    kind(**{name: most})
    with pytest.raises(ValueError, match=f"^{name} must be at most {most}, got {most + 1}$"):
        kind(**{name: most + 1})


def test_what_chooses_nothing_is_none_of_what_the_images_are_chosen_by():
    assert "num_images" not in Traversals().chosen_by
    assert Traversals(centre="image").chosen_by["centre"] == "image"
    assert Transition(num_images=3).chosen_by["num_images"] == 3


def test_what_a_picture_is_for_is_known_of_the_model_alone(digits):
    ladder = instantiate(composed("data=digits", "model=ladder")["model"], "model")
    assert str(AggregatedPosterior().why_not(ladder)).startswith("for one group of latents")
    assert AggregatedPosterior().why_not(digits.vae) is None
    discrete = instantiate(composed("data=digits", "model=fsq")["model"], "model")
    for kind in (Traversals, Transition, Manifold, AggregatedPosterior, LatentUnits):
        assert str(kind().why_not(discrete)).startswith("for continuous latents: ")
    for kind in (Samples, Embedding, Neighbours, Reconstructions):
        assert kind().why_not(discrete) is None
