"""A sampler is fitted once and kept in the run: of another checkpoint, damaged or a stranger's it is fitted anew."""

import dataclasses
import logging
import os
import re
import shutil

import pytest
import torch
from hydra import compose, initialize_config_dir

from tests.trained import DIGITS, opened, train_once
from vae_lightning.command_line.schema import CONF_DIR, register
from vae_lightning.config import instantiate, named_option, plain
from vae_lightning.errors import UserError
from vae_lightning.latents.samplers.gmm import GMMSampler
from vae_lightning.latents.samplers.vamp import VampSampler
from vae_lightning.noise import Indexed
from vae_lightning.runs.sampling import codes_of, drawing_by, drawn_from, file_of, fitted, mean_of_prior
from vae_lightning.runs.trained import TrainedRun

GMM = GMMSampler(num_components=2)
TEN = torch.arange(10)


@pytest.fixture
def run(digits_run, moved) -> TrainedRun:
    return opened(moved(digits_run))


def fits_told(caplog) -> int:
    return sum("fitted on" in message for message in caplog.messages)


def test_codes_are_draws_of_the_posteriors_of_all_training_images(digits):
    codes = codes_of(digits, GMM)
    assert len(codes) == len(digits.data.splits["train"])
    batch = digits.data.images_at(torch.arange(len(codes)), "train")
    expected = digits.posteriors(batch.images)
    torch.testing.assert_close(codes.loc, expected.loc, atol=1e-4, rtol=1e-4)
    noise = (codes.z - codes.loc) / codes.scale
    assert float(noise.mean()) == pytest.approx(0, abs=0.05)
    assert float(noise.std()) == pytest.approx(1, abs=0.05)


def test_of_more_images_so_many_are_drawn(digits):
    few, all_codes = codes_of(digits, dataclasses.replace(GMM, num_images=7)), codes_of(digits, GMM)
    assert len(few) == 7
    apart = torch.cdist(few.loc, all_codes.loc, compute_mode="donot_use_mm_for_euclid_dist")
    assert float(apart.min(1).values.max()) < 1e-3


def test_without_a_sampler_the_prior_draws_as_ever(digits):
    assert torch.equal(drawing_by(digits, None)(TEN, 3), digits.draw(TEN, 3))


def test_it_is_fitted_once_kept_and_read_again(run, caplog):
    caplog.set_level(logging.INFO, "vae_lightning")
    first = drawing_by(run, GMM)(TEN, 3)
    assert file_of(run, "gmm").is_file()
    assert f"fitted on {len(run.data.splits['train']):,} codes in " in caplog.text
    assert "kept in samplers/gmm.pt" in caplog.text
    again = dataclasses.replace(run)  # which has none of it in memory
    shutil.rmtree(run.run_dir.path / "images", ignore_errors=True)
    assert torch.equal(drawing_by(again, GMM)(TEN, 3), first)
    assert fits_told(caplog) == 1
    assert not torch.equal(drawing_by(again, GMM)(TEN, 4), first)


def test_other_weights_or_settings_are_fitted_anew(run, caplog):
    caplog.set_level(logging.INFO, "vae_lightning")
    fitted(run, GMM)
    fitted(dataclasses.replace(run), GMMSampler(num_components=3))
    assert fits_told(caplog) == 2
    other = dataclasses.replace(run)
    with torch.no_grad():
        next(other.vae.parameters()).add_(0.1)
    fitted(other, GMMSampler(num_components=3))
    assert fits_told(caplog) == 3
    assert "of another checkpoint or other settings" in caplog.text


@pytest.mark.parametrize("damage", ["bytes", "shape", "infinite", "pickle"])
def test_what_can_not_be_read_is_told_and_fitted_anew(run, caplog, damage):
    caplog.set_level(logging.INFO, "vae_lightning")
    expected = drawing_by(run, GMM)(TEN, 3)
    path = file_of(run, "gmm")
    content = torch.load(path, weights_only=True)
    if damage == "bytes":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "pickle":
        torch.save(content | {"more": os.path.join}, path)
    else:
        means = content["tensors"]["means"]
        content["tensors"]["means"] = means[:, :1] if damage == "shape" else means / 0
        torch.save(content, path)
    assert torch.equal(drawing_by(dataclasses.replace(run), GMM)(TEN, 3), expected)
    assert "can't be read" in caplog.text
    assert fits_told(caplog) == 2
    fitted(dataclasses.replace(run), GMM)
    assert fits_told(caplog) == 2


def test_a_link_out_of_the_run_is_not_written_through(run, tmp_path, caplog):
    caplog.set_level(logging.INFO, "vae_lightning")
    (tmp_path / "elsewhere").mkdir()
    (run.run_dir.path / "samplers").symlink_to(tmp_path / "elsewhere")
    fitted(run, GMM)
    assert "not kept" in caplog.text
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_another_checkpoint_has_a_file_of_its_own(run):
    last = dataclasses.replace(run, checkpoint="last.ckpt")
    assert file_of(run, "gmm").name == "gmm.pt"
    assert file_of(last, "gmm").name == "gmm_last.pt"


def test_without_the_training_images_what_is_kept_draws_and_nothing_else(colour_run, moved, caplog):
    there = opened(moved(colour_run))
    expected = drawing_by(there, GMM)(TEN, 3)
    config = there.run_dir.config()
    config["data"]["root"] = "/nowhere"
    there.run_dir.write_config(config, [])
    gone = opened(there.run_dir)
    assert torch.equal(drawing_by(gone, GMM)(TEN, 3), expected)
    with pytest.raises(UserError, match=r"^sampler=vamp: it is fitted on the training images, which are not there: .*"):
        drawing_by(gone, VampSampler(num_components=2))


def test_what_it_can_not_be_fitted_to_is_told_by_the_key(run):
    with pytest.raises(UserError, match=r"^sampler.num_components must be at most \d+, as there are"):
        fitted(run, VampSampler(num_components=1_000_000))


def test_a_model_that_is_told_labels_is_refused(named):
    with pytest.raises(UserError, match=r"^sampler=gmm: this run's model is told labels, .* valid here: prior$"):
        fitted(named, GMM)


def test_of_a_ladder_the_top_group_is_drawn_and_the_others_from_their_priors(tmp_path):
    small = ["model.latent_dims=[2,3]", "model.hidden=8", "trainer.max_epochs=1"]
    overrides = [word for word in DIGITS if not word.startswith("model")]
    run = opened(train_once(tmp_path / "run", *overrides, "model=ladder", *small))
    z = drawing_by(run, GMM)(torch.arange(500), 3)
    codes = fitted(run, GMM)(Indexed(3, torch.arange(500), 1, torch.device("cpu")))[0].float()
    assert z.shape == (500, 5)
    torch.testing.assert_close(z[:, :2], codes)
    with torch.no_grad():
        below = run.vae.priors[0](z[:, :2])
    standardized = (z[:, 2:] - below.base_dist.loc) / below.base_dist.scale
    assert float(standardized.mean()) == pytest.approx(0, abs=0.1)
    assert float(standardized.std()) == pytest.approx(1, abs=0.1)


def test_every_option_is_an_object_by_its_name_and_an_unknown_one_is_told():
    assert named_option("sampler", "prior", "sampler") is None
    for name in ("gaussian", "gmm", "flow", "two_stage", "vamp"):
        option = named_option("sampler", name, "sampler")
        assert option.name == name
        assert option == type(option)()  # the file has the defaults of the class
    message = (
        "samples.sampler=gm: no such option; did you mean gmm? valid here: flow, gaussian, gmm, prior, two_stage, vamp"
    )
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        named_option("sampler", "gm", "samples.sampler")


@pytest.mark.parametrize(
    ("words", "origin", "centre"),
    [
        (("model=mlp",), "the prior", "the prior's mean"),
        (
            ("model=mlp", "objective=rae", "model/posterior=point"),
            "N(0, I), to which no rate holds the codes",
            "the mean of N(0, I)",
        ),
        (("model=fsq",), "the uniform prior over codes, which is not learned", "the prior's mean"),
    ],
)
def test_what_samples_are_from_is_told_as_it_is(words, origin, centre):
    register()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config = compose("train", overrides=["data=digits", "name=none", "run_dir=none", *words])
    vae = instantiate(plain(config)["model"], "model")
    assert drawn_from(vae) == origin
    assert mean_of_prior(vae) == centre
    assert drawn_from(vae, GMM) == "sampler=gmm"
