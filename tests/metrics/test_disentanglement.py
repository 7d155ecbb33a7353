"""Scores of a trained run: on drawn sprites, on a folder with a table, and what is said where there are none."""

import re
import sys
from collections.abc import Callable

import numpy as np
import pytest

from tests.conftest import refusal
from tests.trained import FOLDER, opened, train_once, write_pictures
from vae_lightning.latents import mig, sap
from vae_lightning.machine.world import World
from vae_lightning.metrics.disentanglement import Disentanglement
from vae_lightning.metrics.record import flat, paragraph, replaced
from vae_lightning.metrics.score import Figure, Score
from vae_lightning.metrics.subject import Subject
from vae_lightning.noise import evaluation_seed
from vae_lightning.runs.records import RunDir

SCORES = [
    *("beta_vae_score", "factor_vae_score", "mig", "dci_disentanglement", "dci_completeness", "dci_informativeness"),
    *("sap", "modularity", "explicitness"),
]
SPRITES = ["data=sprites", "data.num_scales=2", "data.num_orientations=3", "data.num_positions=4", "model=mlp"]
SMALL = ["model.encoder.hidden=[8]", "model.decoder.hidden=[8]", "model.latent_dim=3", "trainer=cpu"]
QUICK = ["metrics=[disentanglement]", "disentanglement.num_resamples=2"]


@pytest.fixture
def evaluate(monkeypatch, tmp_path, capsys) -> Callable[..., str]:
    """Call the evaluate command in an empty folder and return what it printed."""
    from vae_lightning.evaluate import main

    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["vae-evaluate", "device=cpu", *arguments])
        main()
        return capsys.readouterr().out

    return call


@pytest.fixture(scope="module")
def sprites_run(tmp_path_factory) -> RunDir:
    """Three latent dimensions, one epoch of a grid of 288 sprites."""
    place = tmp_path_factory.mktemp("trained")
    fewer = ["data.batch_size=8", "data.test_fraction=0.3", f"data.cache_dir={place / 'cache'}", "optimizer.lr=0.01"]
    return train_once(place / "run", *SPRITES, *SMALL, *fewer, "trainer.max_epochs=1")


@pytest.fixture(scope="module")
def table_run(tmp_path_factory) -> RunDir:
    """Three latent dimensions, one epoch of 60 pictures with a label and four factors in a table."""
    place = tmp_path_factory.mktemp("trained")
    write_pictures(place / "pictures")
    files = sorted(path.relative_to(place / "pictures") for path in (place / "pictures").rglob("*.*"))
    rows = [f"{file},{n % 2},{n % 3},{('red', 'blue')[n // 5 % 2]},1,{n}" for n, file in enumerate(files)]
    (place / "labels.csv").write_text("\n".join(["file,label,size,colour,same,number", *rows]))
    places = [f"data.root={place / 'pictures'}", f"data.cache_dir={place / 'cache'}", f"data.labels={place}/labels.csv"]
    return train_once(place / "run", *FOLDER, *places, "data.test_fraction=0.6", "trainer.max_epochs=1")


def test_the_scores_of_sprites_are_recorded_with_intervals_and_told(evaluate, sprites_run, moved):
    run = moved(sprites_run)
    printed = evaluate(f"run={run.path}", *QUICK)
    metrics = run.metrics()
    for name in SCORES:
        low, high = metrics[f"test/{name}_interval"]
        assert -1 <= low <= metrics[f"test/{name}"] <= high <= 1
        assert metrics[f"test/{name}_stderr"] >= 0
    assert metrics["test/disentanglement_factors"] == ["shape", "scale", "orientation", "position_x", "position_y"]
    assert metrics["test/disentanglement_num_images"] == 86
    assert metrics["test/disentanglement_left_out"] == {}
    assert re.search(r"mutual information gap \(MIG\) +\d\.\d{3} \+- \d\.\d{3} +95%: \d\.\d{3} to \d\.\d{3}\n", printed)
    assert "(86 test images, " in printed
    told = metrics["test/disentanglement_told"]
    assert list(told) == metrics["test/disentanglement_factors"]
    assert max(told["scale"]) == pytest.approx(metrics["test/told_of_scale"], abs=1e-4)
    best = told["scale"].index(max(told["scale"]))
    assert re.search(rf"of scale, latent {best} tells +\d\.\d{{3}}\n", printed)


def test_they_are_those_of_the_arrays_and_do_not_depend_on_the_batch(sprites_run):
    run = opened(sprites_run)
    subject = Subject(run, "test", 0, 7, World())
    figures = Disentanglement(num_resamples=2, factors=("shape", "scale"))(subject).figures
    factors = {name: run.data.splits["test"].factors[name].numpy() for name in ("shape", "scale")}
    given = {"num_resamples": 2, "seed": evaluation_seed(0, "test", 7)}
    found = {each.__name__: each(subject.posteriors().loc.numpy(), factors, **given) for each in (mig, sap)}
    for name, of_arrays in found.items():
        assert (figures[name].value, figures[name].stderr) == (of_arrays.value, of_arrays.stderr)
    assert found["sap"].stderr > 0  # so little trained, it may have no gap of the other kind
    again = Disentanglement(num_resamples=2, factors=("shape", "scale"))(Subject(run, "test", 0, 86, World())).figures
    for name, of_arrays in found.items():
        assert again[name].value == pytest.approx(of_arrays.value, abs=1e-6)


def test_some_factors_and_images_are_typed(evaluate, sprites_run, moved):
    run = moved(sprites_run)
    evaluate(f"run={run.path}", *QUICK, "disentanglement.factors=[scale,label]", "disentanglement.num_images=60")
    metrics = run.metrics()
    assert metrics["test/disentanglement_factors"] == ["scale", "label"]
    assert metrics["test/disentanglement_num_images"] == 60


def test_a_tables_columns_are_factors_and_what_does_not_fit_is_left_out_and_told(evaluate, table_run, moved):
    run = moved(table_run)
    printed = evaluate(f"run={run.path}", *QUICK)
    metrics = run.metrics()
    assert metrics["test/disentanglement_factors"] == ["size", "colour"]
    left_out = metrics["test/disentanglement_left_out"]
    assert left_out["same"] == "it is 1 in all rows"
    few = "is that of 1 row in 38, and each needs 4 (floats of more than 20 values are cut into bins)"
    assert left_out["number"].endswith(few)
    assert "disentanglement: same is left out: it is 1 in all rows\n" in printed
    assert 0 <= metrics["test/mig"] < 0.7
    evaluate(f"run={run.path}", *QUICK, "disentanglement.factors=[same,size]")
    assert run.metrics()["test/mig"] is None
    assert "test/mig_interval" not in run.metrics()
    assert run.metrics()["test/mig_reason"] == "1 of 2 factors is left, and 2 are needed"


def test_data_without_factors_have_none(evaluate, plane_run, colour_run, moved):
    for run in (plane_run, colour_run):
        copied = moved(run, run.path.parent.name)
        printed = evaluate(f"run={copied.path}", *QUICK)
        assert [copied.metrics()[f"test/{name}"] for name in SCORES] == [None] * 9
        assert "none, these data have no factors" in printed


def test_what_is_known_of_no_image_is_refused_before_anything_is_computed(evaluate, sprites_run, plane_run, colour_run):
    typed = "disentanglement.factors=[scale,colour]"
    there = "choose some of shape, scale, orientation, position_x, position_y, label"
    told = "disentanglement.factors=colour: no such factor; "
    assert refusal(evaluate, f"run={sprites_run.path}", *QUICK, typed) == f"{told}{there}"
    assert refusal(evaluate, f"run={plane_run.path}", *QUICK, typed) == (
        "disentanglement.factors=scale: no such factor; choose some of label"
    )
    assert refusal(evaluate, f"run={colour_run.path}", *QUICK, typed) == (
        "disentanglement.factors=scale: no such factor; these data have none"
    )
    empty = refusal(evaluate, f"run={sprites_run.path}", *QUICK, "disentanglement.factors=[]")
    assert empty == f"disentanglement.factors=[]: {there}"
    few = refusal(evaluate, f"run={sprites_run.path}", "disentanglement.num_resamples=1")
    assert few == "disentanglement.num_resamples must be at least 2, got 1"


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["model.latent_dim=1001"], "it takes 1,000 latents at most, and these are 1,001"),
        (
            ["model=fsq", "model.encoder.channels=[4,4]", "model.quantizer.levels=[4,4]"],
            "codes of a codebook have no posterior means",
        ),
    ],
)
def test_what_codes_do_not_fit_is_said_instead(evaluate, sprites_run, overrides, reason, tmp_path):
    cache = f"data.cache_dir={sprites_run.path.parent / 'cache'}"
    small = SMALL if "model=fsq" not in overrides else ["trainer=cpu"]
    short = ["data.batch_size=8", "trainer.max_epochs=1", "trainer.limit_train_batches=1", cache]
    run = train_once(tmp_path / "run", *SPRITES, *small, *short, *overrides)
    printed = evaluate(f"run={run.path}", *QUICK)
    assert run.metrics()["test/sap_reason"] == reason
    assert f"explicitness: none, {reason}\n" in printed


def test_of_a_model_that_is_told_labels_the_factors_that_these_give_away_are_left_out(evaluate, sprites_run, tmp_path):
    cache = f"data.cache_dir={sprites_run.path.parent / 'cache'}"
    short = ["data.batch_size=8", "data.test_fraction=0.3", "trainer.max_epochs=1", cache]
    run = train_once(tmp_path / "run", *SPRITES, *SMALL, *short, "model.num_classes=auto")
    evaluate(f"run={run.path}", *QUICK)
    metrics = run.metrics()
    assert metrics["test/disentanglement_factors"] == ["scale", "orientation", "position_x", "position_y"]
    assert metrics["test/disentanglement_left_out"] == {"shape": "the model is told it by the labels"}
    assert metrics["test/mig"] is not None


def test_many_latents_and_factors_have_fewer_images_unless_these_are_typed(sprites_run, monkeypatch):
    """A million values of images times latents times factors: of 3 and 5 66,666 images, of which there are 86."""
    subject = Subject(opened(sprites_run), "test", 0, 100, World())
    columns = {str(number): np.zeros(86, int) for number in range(5)}
    assert len(Disentanglement()._chosen(subject, columns)) == 86
    monkeypatch.setattr("vae_lightning.metrics.disentanglement._LEAST_IMAGES", 10)
    monkeypatch.setattr("vae_lightning.metrics.disentanglement._MOST_VALUES", 450)
    chosen = Disentanglement()._chosen(subject, columns)
    assert len(chosen) == 30
    assert (np.diff(chosen) > 0).all()
    assert chosen[-1] > 60  # of all, and not the first
    assert len(Disentanglement(num_images=50)._chosen(subject, columns)) == 50


def test_an_interval_is_recorded_told_and_replaced_with_its_figure():
    score = Score({"mig": Figure(0.5, 0.01, "MIG", digits=3, interval=(0.45, 0.52))}, {"seconds": 1.0})
    assert flat({"own": score}, "test")["test/mig_interval"] == [0.45, 0.52]
    assert "test/mig_interval" in replaced({"own": score}, "test")
    assert paragraph(score, "test").splitlines()[0].split() == [
        *("MIG", "0.500", "+-", "0.010", "95%:", "0.450", "to", "0.520")
    ]
