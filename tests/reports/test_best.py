"""best@<sweep> is the run that the sweep's report puts first, wherever a run is named."""

import sys

import pytest

import vae_lightning
from tests.conftest import TINY
from tests.reports.runs_on_disk import DENSITY, figures, write_run, write_seeds, write_sweep
from vae_lightning.errors import UserError
from vae_lightning.reports.best import best_run, named_best, named_origin
from vae_lightning.runs.records import RunDir


def test_it_is_the_finished_run_of_the_highest_validation_elbo(tmp_path, told):
    sweep = write_sweep(tmp_path / "a sweep", [2, 8], [1, 4])
    write_run(sweep / "4", {"seed": 1}, ["seed=1"], figures(-1), status="interrupted")
    write_run(sweep / "5", None, None, None, status="failed")
    assert best_run(sweep) == sweep / "2"
    assert named_best(f"best@{sweep}", "run") == str(sweep / "2")
    assert told() == [f"run=best@{sweep}: {sweep / '2'}"]


def test_the_home_folder_may_be_typed_in_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_sweep(tmp_path / "sweep", [2], [1])
    assert named_best("best@~/sweep", "run") == str(tmp_path / "sweep/0")


def test_a_folder_of_that_name_and_any_other_name_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "best@x").mkdir()
    for name in ("best@x", "best", "latest", "outputs/best@x"):
        assert named_best(name, "run") == name


def test_mistakes_are_told_in_a_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write_run(tmp_path / "run", {}, [], figures(-1))
    write_run(tmp_path / "going/0", {}, [], figures(-1), status="running")
    expected = {
        "": "give a sweep's directory, as in init_from=best@outputs/sweeps/<date>/<time>_<name>",
        "nowhere": "no such directory",
        "empty": "there is no run in it (a folder with a config.yaml)",
        "run": "this is a run, not a sweep; init_from=run names it",
        "going": "none of its 1 runs has finished with a validation ELBO",
    }
    for place, problem in expected.items():
        with pytest.raises(UserError) as error:
            named_best(f"best@{place}", "init_from")
        assert str(error.value) == f"init_from=best@{place}: {problem}"


def test_runs_that_cannot_be_compared_have_no_best(tmp_path):
    sweep = write_sweep(tmp_path, [2, 8], [1])
    write_run(sweep / "2", {"model__latent_dim": 3}, ["x=1"], figures(5000, **{"test/kind": DENSITY}))
    told = r"its runs can't all be compared.* name one, as in run=.*/1 \(best of each: "
    with pytest.raises(UserError, match=told) as error:
        best_run(sweep)
    assert "\n" not in str(error.value)
    assert "log-density of pixels in [0, 1]: 2 (4,999.00)" in str(error.value)


def test_ranks_of_a_launcher_name_the_run(monkeypatch):
    world = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "TORCHELASTIC_RUN_ID": "1"}
    for name, value in world.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"^run=best@x: ranks might find different ones"):
        named_best("best@x", "run")


@pytest.fixture
def sweep(tmp_path, plane_run, moved):
    """Of a real run, and of one that is named by its figures only."""
    place = tmp_path / "sweep"
    place.mkdir()
    moved(plane_run, "sweep/7")
    write_run(place / "8", None, [], figures(-9999, **{"test/kind": plane_run.metrics()["test/kind"]}))
    (place / "8/config.yaml").write_text((plane_run.path / "config.yaml").read_text())
    return place


def test_each_command_takes_it_for_a_run(sweep, monkeypatch, capsys, generate, export):
    from vae_lightning.evaluate import main as evaluate

    assert f"run=best@{sweep}: {sweep / '7'}" in generate(f"run=best@{sweep}", "mode=samples", "num_images=4")
    assert (sweep / "7/generated/samples").is_dir()
    assert f"run=best@{sweep}: {sweep / '7'}" in export(f"run=best@{sweep}", "out=given", "format=safetensors")
    monkeypatch.setattr(sys, "argv", ["vae-evaluate", f"run=best@{sweep}", "metrics=elbo"])
    evaluate()
    assert f"run=best@{sweep}: {sweep / '7'}" in capsys.readouterr().out
    assert RunDir(sweep / "7").metrics()["test/elbo_seed"] == 0


def test_python_and_a_new_training_take_it(sweep, command, tmp_path):
    opened = vae_lightning.open_run(f"best@{sweep}", device="cpu")
    assert opened.path == sweep / "7"
    same = ["model.latent_dim=2", "data.binarize=dynamic", "callbacks=none", "logger=none", "trainer.max_epochs=1"]
    command(*TINY, *same, f"init_from=best@{sweep}", f"run_dir={tmp_path / 'new'}")
    run = RunDir(tmp_path / "new")
    assert run.config()["init_from"] == str(sweep / "7")
    assert run.origin()["checkpoint"] == str(sweep / "7/checkpoints/best.ckpt")


def test_of_several_seeds_it_is_of_the_settings_with_the_best_mean(tmp_path):
    sweep = write_seeds(tmp_path / "sweep", {2: [-100, -190, -190], 8: [-141, -140, -142]})
    assert best_run(sweep) == sweep / "4"


@pytest.mark.parametrize("origin", ["latest", "best@latest", "mine,latest"])
def test_jobs_of_a_sweep_would_each_begin_from_another(error_of, tmp_path, origin):
    told = f"init_from={origin}: each job of a sweep would find another; name the run"
    assert error_of("-m", *TINY, "seed=0,1", f"init_from={origin}") == told
    assert list(tmp_path.iterdir()) == []


def test_the_best_run_is_not_resumed(error_of):
    told = "resume=best@latest: name its directory, or begin a new run from it by init_from="
    assert error_of("resume=best@latest") == told


def test_the_newest_sweep_is_looked_for_where_the_runs_are(tmp_path, monkeypatch, told):
    monkeypatch.chdir(tmp_path)
    for folder in ("outputs/a", "mine/b"):
        (write_sweep(tmp_path / folder, [2, 8], [1]) / "multirun.yaml").touch()
    assert named_origin("best@latest", "mine") == "mine/b/1"
    assert told() == ["init_from=best@latest: mine/b", "init_from=best@latest: mine/b/1"]
