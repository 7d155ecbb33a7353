"""What holds of every score: what it does not depend on, and that it needs NumPy and scikit-learn alone."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import vae_lightning.latents
from tests.latents.factors.grids import grid, noise
from vae_lightning.errors import ArgumentError
from vae_lightning.latents import disentanglement

FACTORS = grid(3, 4, copies=20)
MIXED = FACTORS @ np.array([[1.0, 0.3, 0], [0.2, 1, 0.5]]) + 0.4 * noise(len(FACTORS), 3, 0)
SCALES = np.array([4.0, 0.5, 1024.0])  # powers of two, by which no bit of a number changes
NAMES = [
    *("beta_vae_score", "factor_vae_score", "mig", "dci_disentanglement", "dci_completeness", "dci_informativeness"),
    *("sap", "modularity", "explicitness"),
]


@pytest.fixture(scope="module")
def found():
    return disentanglement(MIXED, FACTORS, num_resamples=2, seed=3)


def test_all_are_there_with_a_value_inside_the_interval(found):
    assert list(found) == NAMES
    for each in found.values():
        assert 0 <= each.low <= each.value <= each.high <= 1


def test_nothing_depends_on_the_order_of_the_latents_or_on_their_scale(found):
    for codes in (MIXED[:, [2, 0, 1]], MIXED * SCALES):
        assert disentanglement(codes, FACTORS, num_resamples=2, seed=3) == found


def test_the_seed_decides_and_numpys_own_generator_is_left_alone(found):
    before = np.random.get_state()[1].tolist()
    assert disentanglement(MIXED, FACTORS, num_resamples=2, seed=3) == found
    assert np.random.get_state()[1].tolist() == before
    other = disentanglement(MIXED, FACTORS, num_resamples=2, seed=4)
    assert other["sap"] != found["sap"]
    assert other["mig"].value == found["mig"].value
    assert other["mig"].stderr != found["mig"].stderr


def test_names_of_values_count_for_nothing(found):
    named = {"a": np.array(["x", "y", "z"])[FACTORS[:, 0]], "b": FACTORS[:, 1] * 7.5}
    assert disentanglement(MIXED, named, num_resamples=2, seed=3) == found


def test_one_factor_is_too_few():
    with pytest.raises(ArgumentError, match=r"^factors: expected 2 to 100 of them, got 1$"):
        disentanglement(MIXED, FACTORS[:, :1])


def test_arrays_need_no_torch():
    script = (
        "import sys\n"
        "import vae_lightning.latents as latents\n"
        "assert not {'numpy', 'sklearn', 'torch'} & set(sys.modules)\n"
        "import numpy as np\n"
        "factors = np.tile([[0, 0], [0, 1], [1, 0], [1, 1]], (20, 1))\n"
        "assert latents.mig(factors.astype(float), factors).value == 1\n"
        "assert 'sklearn' not in sys.modules\n"
        "assert latents.disentanglement(factors.astype(float), factors, num_resamples=2)['sap'].value == 1\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_room_names_what_it_offers():
    for name in vae_lightning.latents.__all__:
        assert getattr(vae_lightning.latents, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'migs'"):
        _ = vae_lightning.latents.migs
