"""Types and shapes of every signature of the package are checked while tests run."""

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from tests.typecheck import sparing
from vae_lightning.latents.paths import linear
from vae_lightning.models.latent_model import Latents


def test_a_parameter_of_another_type_is_refused():
    with pytest.raises(TypeError, match="num_points"):
        linear(torch.zeros(3), torch.zeros(3), "many")


def test_a_parameter_of_another_dtype_is_refused():
    with pytest.raises(TypeError, match="start"):
        linear(torch.zeros(3, dtype=torch.int64), torch.zeros(3), 2)


def test_shapes_that_disagree_are_refused():
    with pytest.raises(TypeError, match="end"):
        linear(torch.zeros(3), torch.zeros(4), 2)


def test_fields_are_checked_too():
    with pytest.raises(TypeError, match="scale"):
        Latents(torch.zeros(3, 2), torch.ones(3, 4))


def test_what_is_returned_has_the_shape_of_the_parameters():
    def doubled(x: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
        return torch.cat([x, x])

    with pytest.raises(TypeError, match="return"):
        sparing(doubled)(torch.zeros(3))
