"""Which latent dimensions the model uses."""

import copy
import csv
import dataclasses
from pathlib import Path

import pytest
import torch

from vae_lightning.exports.units import WriteUnits
from vae_lightning.pictures import aggregated_posterior


def made(run, folder: Path, **settings) -> list[list[str]]:
    folder.mkdir()
    WriteUnits(**settings)(run, folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "aggregated_posterior.png",
        "latent_units.png",
        "units.csv",
    ]
    with (folder / "units.csv").open(newline="") as stream:
        return list(csv.reader(stream))


def test_the_table_has_a_row_a_dimension_most_kl_first(digits, tmp_path):
    header, *rows = made(digits, tmp_path / "out", split="test", num_images=50)
    assert header == ["dimension", "kl", "variance_of_means", "active"]
    assert sorted(int(row[0]) for row in rows) == [0, 1, 2, 3]
    rates = [float(row[1]) for row in rows]
    assert rates == sorted(rates, reverse=True)
    images = digits.data.examples(50, "test", balanced=False).images.float() / 255
    with torch.no_grad():
        posterior = digits.vae.encode(images)
    loc, scale = posterior.loc.double(), posterior.scale.double()
    by_hand = (0.5 * (loc**2 + scale**2 - 1) - scale.log()).mean(0)
    variances = loc.var(0, correction=0)
    for dim, rate, variance, active in rows:
        assert float(rate) == pytest.approx(float(by_hand[int(dim)]), rel=1e-4)
        assert float(variance) == pytest.approx(float(variances[int(dim)]), rel=1e-4)
        assert active == str(int(float(variance) > 0.01))


def test_an_idle_dimension_is_told_from_an_active_one(digits, tmp_path):
    vae = copy.deepcopy(digits.vae)
    with torch.no_grad():
        vae.posterior.loc.weight[2] = 0
        vae.posterior.loc.weight[[0, 1, 3]] = 1
        vae.posterior.log_variance.weight.zero_()
        vae.posterior.log_variance.bias.zero_()
        vae.posterior.loc.bias.zero_()
    rows = made(dataclasses.replace(digits, vae=vae), tmp_path / "out")[1:]
    assert [row[3] for row in rows] == ["1", "1", "1", "0"]
    assert [row[0] for row in rows] == ["0", "1", "3", "2"]  # equal ones by number
    assert [float(figure) for figure in rows[-1][1:3]] == [0, 0]


def test_only_so_many_dimensions_are_drawn(digits, tmp_path, monkeypatch):
    drawn = []
    plain = aggregated_posterior.marginal_densities
    monkeypatch.setattr(
        aggregated_posterior, "marginal_densities", lambda *given: drawn.append(given[2]) or plain(*given)
    )
    made(digits, tmp_path / "out", num_dims=2)
    assert drawn == [digits.units.by_rate[:2]]


def test_the_stored_statistics_come_first(digits):
    stored = dataclasses.replace(digits.units, rate=torch.arange(4.0, dtype=torch.float64))
    assert dataclasses.replace(digits, units=stored).unit_statistics(5000) is stored
    computed = dataclasses.replace(digits, units=None).unit_statistics(5000)
    torch.testing.assert_close(computed.rate, digits.units.rate, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["num_images", "num_dims"])
def test_numbers_too_small_are_named(name):
    with pytest.raises(ValueError, match=rf"^{name} must be at least 1, got 0$"):
        WriteUnits(**{name: 0})
