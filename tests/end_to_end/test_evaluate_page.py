"""What docs/evaluate.md says of BatchNorm holds, and its commands compose."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.test_config import composed

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/evaluate.md").read_text()
BLOCKS = dict(re.findall(r"```(bash|python)\n(.*?)```", PAGE, re.DOTALL))
TRAIN = "python -m vae_lightning.train "


@pytest.fixture
def elbo_of() -> Callable[..., Tensor]:
    names: dict[str, Any] = {}
    exec(BLOCKS["python"], names)
    return names["elbo_of"]


@pytest.fixture
def images(colour) -> Tensor:
    return torch.cat([batch.images for batch in colour.data.stream("test")]).float() / 255


def test_an_opened_run_goes_by_its_stored_statistics(colour, elbo_of, images):
    assert any(isinstance(part, nn.BatchNorm2d) for part in colour.vae.modules())
    assert not any(part.training for part in colour.vae.modules())
    whole = elbo_of(colour.vae, images, len(images), False)
    for size in (1, 5):
        torch.testing.assert_close(elbo_of(colour.vae, images, size, False), whole, rtol=1e-4, atol=1e-2)


def test_in_training_mode_the_figure_is_the_batchs(colour, elbo_of, images):
    whole, halves = (elbo_of(colour.vae, images, size, True) for size in (len(images), len(images) // 2))
    stored = elbo_of(colour.vae, images, len(images), False)
    assert ((whole - halves).abs() > 0.1).all()
    assert ((whole - stored).abs() > 0.1).all()


@pytest.mark.parametrize("line", BLOCKS["bash"].splitlines())
def test_its_commands_compose(line):
    assert composed(*shlex.split(line.removeprefix(TRAIN)))["model"]["encoder"]


def test_the_tests_that_it_names_are_there():
    named = re.findall(r"`((?:tests|vae_lightning)/[\w/.]+)`", PAGE)
    assert len(named) >= 5
    assert [path for path in named if not (ROOT / path).exists()] == []
