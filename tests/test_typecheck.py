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


def test_what_is_defined_within_a_function_is_checked_at_each_definition():
    def definition(number):
        def add(value: int) -> int:
            return value + number

        return sparing(add)

    by_one, by_two = definition(1), definition(2)
    assert (by_one(1), by_two(1), by_one(1)) == (2, 3, 2)
    for each in (by_one, by_two):
        with pytest.raises(TypeError, match="value"):
            each("1")
    assert by_two.__wrapped__.__closure__[0].cell_contents == 2


def test_what_is_annotated_otherwise_at_each_definition_is_checked_so():
    def definition(kind):
        def same(value: kind) -> object:
            return value

        return sparing(same)

    assert (definition(int)(1), definition(str)("1")) == (1, "1")
    with pytest.raises(TypeError, match="value"):
        definition(int)("1")
