"""A model is taken out of a checkpoint only where it is one that can be used; else it is told in a line."""

import pytest
import torch

from tests.checkpoints.changing import FIRST, GONE, INF, NAN, edit, put
from vae_lightning.errors import UserError
from vae_lightning.runs.trained import open_trained


@pytest.mark.parametrize("value", [NAN, INF])
def test_a_model_that_has_diverged_is_told_when_it_is_opened(stateful_run, moved, value):
    copied = moved(stateful_run)
    edit(copied.best, put(f"state_dict/{FIRST}", torch.full((4, 784), value)))
    with pytest.raises(UserError) as error:
        open_trained(str(copied.path), device="cpu")
    told = f"best.ckpt has values that are not finite (state_dict.{FIRST}): its training has diverged"
    assert str(error.value) == f"run={copied.path}: {told}"


OPENED = {
    "state_dict": [None, GONE, {FIRST: "x"}, {}],
    f"state_dict/{FIRST}": [torch.zeros(2), torch.zeros(4, 784, dtype=torch.int8)],
    "epoch": [None, GONE, "x", -1],
    "units": [3, {}, {"rate": [1.0], "variance": [1.0]}, {"rate": ["a", "b"], "variance": [1.0, 1.0]}],
}


@pytest.mark.parametrize("path", OPENED)
def test_a_model_that_cannot_be_used_is_told_when_it_is_opened(stateful_run, moved, path):
    copied = moved(stateful_run)
    whole = copied.best.read_bytes()
    for value in OPENED[path]:
        copied.best.write_bytes(whole)
        edit(copied.best, put(path, value))
        with pytest.raises(UserError) as error:
            open_trained(str(copied.path), device="cpu")
        assert str(error.value).startswith(f"run={copied.path}: best.ckpt ")
        assert "\n" not in str(error.value)
