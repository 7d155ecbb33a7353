import json
import os
import socket

import pytest

from tests.reports.runs_on_disk import CROSS_ENTROPY, figures, write_picture, write_run
from vae_lightning.errors import UserError
from vae_lightning.reports.runs import RunRecord, find_runs, given_runs, read_runs, runs_of_sweep


def read(path) -> RunRecord:
    (record,) = read_runs([path])
    return record


def test_a_finished_run_is_read_whole(tmp_path):
    run = write_run(
        tmp_path / "3",
        {"model__latent_dim": 8},
        ["data=digits", "model.latent_dim=8"],
        figures(-97.5, rate=21),
        curve=[-300, -150, -98.5],
    )
    record = read(run)
    assert (record.name, record.status, record.reason, record.kind) == ("3", "finished", "", CROSS_ENTROPY)
    assert record.settings["model.latent_dim"] == 8
    assert record.typed == {"data": "digits", "model.latent_dim": 8}
    assert record.metrics["test/distortion"] == 76.5
    assert "test/kind" not in record.metrics
    assert record.val_elbo == -98.5
    assert record.curves == {
        "val/elbo": [(1, -300.0), (2, -150.0), (3, -98.5)],
        "train/loss": [(1, 305.0), (2, 155.0), (3, 103.5)],
    }


def test_figures_that_are_none_or_not_finite_are_missing(tmp_path):
    run = write_run(tmp_path / "0", {}, [], figures(float("nan"), **{"val/elbo": None, "steps": True}))
    assert {"test/elbo", "val/elbo", "steps"}.isdisjoint(read(run).metrics)
    assert read(run).val_elbo is None


def test_a_test_of_one_image_has_no_standard_error_whatever_an_earlier_version_stored(tmp_path):
    of_one = read(write_run(tmp_path / "1", {}, [], figures(-97.0, **{"test/num_images": 1})))
    of_two = read(write_run(tmp_path / "2", {}, [], figures(-97.0, **{"test/num_images": 2})))
    assert [run.metrics.get("test/elbo_stderr") for run in (of_one, of_two)] == [None, 0.25]


def test_a_run_that_failed_before_training_has_its_settings_and_its_reason(tmp_path):
    run = write_run(tmp_path / "0", {"model__latent_dim": 0}, [], status="failed", reason="must be at least 1, got 0")
    record = read(run)
    assert (record.status, record.reason, record.has_failed) == ("failed", "must be at least 1, got 0", True)
    assert record.settings["model.latent_dim"] == 0
    assert (record.metrics, record.curves, record.pictures) == ({}, {}, {})


def test_a_killed_run_is_interrupted_and_keeps_the_best_it_came_to(tmp_path):
    run = write_run(tmp_path / "0", {}, [], curve=[-300, -120, -130])
    dead = {"status": "running", "reason": None, "host": socket.gethostname(), "pid": 2**22 + 1}
    (run / "status.json").write_text(json.dumps(dead))
    with (run / "metrics.csv").open("a") as stream:
        stream.write("3,31,1")  # it was writing when it was killed
    record = read(run)
    assert (record.status, record.reason) == ("interrupted", "killed")
    assert record.val_elbo == -120
    assert not record.has_failed


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("config.yaml", "model: {latent_dim: [2"),
        ("config.yaml", "- a list"),
        ("config.yaml", "\x00"),
        ("status.json", '{"status": "fini'),
        ("status.json", "[1, 2]"),
        ("status.json", '{"status": "running"}'),
        ("metrics.json", ""),
        ("metrics.json", '"text"'),
    ],
)
def test_a_damaged_file_makes_a_run_unreadable_and_is_named(tmp_path, file, text):
    run = write_run(tmp_path / "0", {}, [], figures(-100))
    (run / file).write_text(text)
    record = read(run)
    if "running" not in text:
        assert record.status == "unreadable"
        assert record.reason.startswith(f"{file} can't be read (")
        assert "\n" not in record.reason
    assert record.name == "0"


@pytest.mark.parametrize("file", ["overrides.yaml", "metrics.csv"])
def test_a_run_can_do_without_what_was_typed_and_without_curves(tmp_path, file):
    run = write_run(tmp_path / "0", {}, ["seed=1"], figures(-100), curve=[-100])
    (run / file).write_bytes(b"\xff\xfe: [\x00")
    record = read(run)
    assert record.status == "finished"
    assert (record.typed is None) == (file == "overrides.yaml")
    assert (record.curves == {}) == (file == "metrics.csv")


def test_directories_with_nothing_in_them_still_give_a_record(tmp_path):
    (tmp_path / "empty").mkdir()
    assert [(record.status, record.reason) for record in read_runs([tmp_path / "empty", tmp_path / "gone"])] == [
        ("unknown", "no status.json"),
        ("unknown", "no such directory"),
    ]


def test_the_newest_picture_of_each_kind_is_taken(tmp_path):
    run = write_run(tmp_path / "0", {}, [], colours={"training": "red"})
    for epoch in (9, 9999, 10000):
        newest = write_picture(run, "samples", "red", epoch=epoch)
    assert read(run).pictures == {"samples": newest, "training": run / "training.gif"}


def test_runs_of_a_sweep_come_by_number_and_gaps_do_not_matter(tmp_path):
    for name in ("10", "2", "0", "extra"):
        write_run(tmp_path / name, {}, [])
    (tmp_path / "1").mkdir()
    (tmp_path / "summary.csv").touch()
    (tmp_path / "images").mkdir()
    assert [run.name for run in find_runs(tmp_path)] == ["0", "2", "10", "extra"]


def test_names_are_unique_and_as_short_as_they_can_be(tmp_path):
    first, second = write_run(tmp_path / "a/0", {}), write_run(tmp_path / "b/0", {})
    assert [record.name for record in read_runs([first, second])] == ["a/0", "b/0"]
    assert [record.name for record in read_runs([first, first, tmp_path / "a/../a/0"])] == ["0"]


def test_named_runs_may_be_patterns(tmp_path):
    for name in ("1_mlp", "2_mlp", "3_conv"):
        write_run(tmp_path / name, {})
    (tmp_path / "4_mlp").mkdir()
    assert [run.name for run in given_runs([f"{tmp_path}/*_mlp", f"{tmp_path}/3_conv"])] == ["1_mlp", "2_mlp", "3_conv"]


def test_mistakes_are_told_by_name(tmp_path):
    (tmp_path / "empty").mkdir()
    run = write_run(tmp_path / "run", {})
    for name, message in {
        "gone": "no such directory",
        "gone*": "no such directory",
        "empty": "no run directory",
    }.items():
        with pytest.raises(UserError, match=f"runs=.*{message}|runs=.*there is {message}"):
            given_runs([f"{tmp_path}/{name}"])
    for path, message in {
        tmp_path / "gone": "no such directory",
        tmp_path / "empty": "there is no run in it",
        run: "this is a run, not a sweep; runs=",
    }.items():
        with pytest.raises(UserError, match=f"sweep={path}: {message}"):
            runs_of_sweep(path)


def test_a_living_run_is_running(tmp_path):
    run = write_run(tmp_path / "0", {}, [])
    alive = {"status": "running", "reason": None, "host": socket.gethostname(), "pid": os.getpid()}
    (run / "status.json").write_text(json.dumps(alive))
    assert read(run).status == "running"
