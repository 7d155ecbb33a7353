"""What is evaluated of discrete codes, and what is said in place of figures that they have not."""

import math

import pytest

from tests.trained import train_once
from vae_lightning.exports.units import WriteUnits
from vae_lightning.machine.world import World
from vae_lightning.metrics.aggregate import Aggregate
from vae_lightning.metrics.bounds import Bounds
from vae_lightning.metrics.log_likelihood import LogLikelihood
from vae_lightning.metrics.subject import Subject
from vae_lightning.metrics.units import ActiveUnits
from vae_lightning.pictures.picture import NothingToDrawError
from vae_lightning.pictures.samples import Samples
from vae_lightning.runs.trained import open_trained


def test_of_codes_the_use_of_the_codebook_takes_the_place_of_active_units(tmp_path, capsys):
    small = ["model.encoder.channels=[4]", "model.quantizer.levels=[16,16]", "trainer.max_epochs=1"]
    batches = ["data.image_size=8", "trainer.limit_train_batches=2", "trainer=cpu"]
    path = train_once(tmp_path / "run", "data=digits", "model=fsq", *small, *batches)
    assert "codebook use" in capsys.readouterr().out
    run = open_trained(str(path.path), "last", "cpu")
    subject = Subject(run, "test", 0, 100, World())
    units = ActiveUnits()(subject).figures
    recorded = path.metrics()
    for name in ("codebook_use", "perplexity"):
        assert units[name].value == pytest.approx(recorded[f"test/{name}"])
    assert units["active_units"].reason == "codes have none"
    assert Bounds()(subject).figures["rate"].value == pytest.approx(16 * math.log(256))
    nll = LogLikelihood()
    nll.check(subject)
    assert {figure.value for figure in nll(subject).figures.values()} == {None}
    assert "importance sampling only gives the ELBO again" in str(nll(subject).figures["nll"].reason)
    (reason,) = {figure.reason for figure in Aggregate()(subject).figures.values()}
    assert reason == "codes of a codebook have no densities"
    title = Samples(num_images=2).look(run).title
    assert title.startswith("samples from the uniform prior over codes, which is not learned")
    with pytest.raises(NothingToDrawError, match=r"^mode=units is for continuous latents"):
        WriteUnits()(run, tmp_path)
