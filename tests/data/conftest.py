import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def real_data() -> Path:
    """The folder of real datasets, which not every machine has."""
    if "VAE_LIGHTNING_DATA" not in os.environ:
        pytest.skip("VAE_LIGHTNING_DATA is unset: no real images here")
    return Path(os.environ["VAE_LIGHTNING_DATA"])


@pytest.fixture
def pictures(tmp_path) -> Path:
    """A folder of 60 small noise pictures, `00.png` to `59.png`."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (60, 12, 10, 3), dtype=np.uint8)
    for number, pixels in enumerate(noise):
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return folder
