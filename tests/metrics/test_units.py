"""What is evaluated of discrete codes, and what is said in place of figures that they have not."""

import math

import numpy as np
import pytest

from tests.trained import train_once
from vae_lightning.command_line.console import print_run
from vae_lightning.errors import UserError
from vae_lightning.exports.samples import WriteSamples
from vae_lightning.exports.units import WriteUnits
from vae_lightning.face.opening import open_run
from vae_lightning.machine.world import World
from vae_lightning.metrics.aggregate import Aggregate
from vae_lightning.metrics.bounds import Bounds
from vae_lightning.metrics.log_likelihood import LogLikelihood
from vae_lightning.metrics.subject import Subject
from vae_lightning.metrics.units import ActiveUnits
from vae_lightning.pictures.neighbours import Neighbours
from vae_lightning.pictures.picture import Drawing, NothingToDrawError
from vae_lightning.pictures.samples import Samples
from vae_lightning.runs.records import RunDir
from vae_lightning.runs.trained import open_trained

BLANK = np.zeros((2, 2, 3), np.uint8)


@pytest.fixture(scope="module")
def of_codes(tmp_path_factory) -> RunDir:
    small = ["model.encoder.channels=[4]", "model.quantizer.levels=[16,16]", "trainer.max_epochs=1"]
    batches = ["data.image_size=8", "trainer.limit_train_batches=2", "trainer=cpu"]
    return train_once(tmp_path_factory.mktemp("trained") / "run", "data=digits", "model=fsq", *small, *batches)


def test_of_codes_the_use_of_the_codebook_takes_the_place_of_active_units(of_codes, tmp_path, capsys):
    path = of_codes
    print_run(path, "outputs")
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


def test_samples_of_codes_are_told_and_refused_alike_by_the_picture_the_command_and_in_python(
    of_codes, tmp_path, monkeypatch
):
    run, titles = open_trained(str(of_codes.path), "last", "cpu"), []
    monkeypatch.setattr(Samples, "draw", lambda self, seen, context: titles.append(seen.title) or Drawing(BLANK))
    WriteSamples(num_images=2, save="grid")(run, tmp_path)
    assert titles == [Samples(num_images=2).look(run).title]
    assert "which is not learned" in titles[0]
    beside = "samples from the uniform prior over codes, which is not learned, and their nearest training images"
    assert Neighbours(num_images=2).look(run).title == beside
    refused = r"^temperature=0\.5: the uniform prior over codes has no spread to change; choose 1$"
    with pytest.raises(UserError, match=refused):
        next(WriteSamples(temperature=0.5)._batches(run))
    opened = open_run(of_codes.path, device="cpu", ckpt="last")
    with pytest.raises(ValueError, match=refused):
        opened.sample(2, temperature=0.5)
    images = np.full((8, 8), 0.5)
    with pytest.raises(ValueError, match=r"^log_likelihood: all samples of an image are its one code, .*; use elbo$"):
        opened.log_likelihood(images)
    assert opened.elbo(images).shape == (1,)
