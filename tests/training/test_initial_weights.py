"""`init_from`: a new run with the weights of another, and nothing else of it; its record says whose they were."""

import hashlib
import json
from pathlib import Path

import pytest
import torch

from tests.checkpoints.changing import FIRST, NAN, edit, put
from tests.trained import DIGITS
from vae_lightning.errors import UserError
from vae_lightning.runs.records import RunDir
from vae_lightning.runs.resuming import run_to_resume
from vae_lightning.training.run import build

SAME = [*DIGITS, "model.latent_dim=4", "callbacks=none", "logger=none"]


def built(run: RunDir, place: Path | str, new: Path, **keys):
    return build(run.config() | {"init_from": str(place)} | keys, RunDir(new))


def begins_with(parts, checkpoint: Path) -> bool:
    stored = torch.load(checkpoint, weights_only=True)["state_dict"]
    return all(torch.equal(stored[f"vae.{name}"], value) for name, value in parts.module.vae.state_dict().items())


@pytest.mark.parametrize("name", ["", "checkpoints/best.ckpt", "checkpoints/last.ckpt"])
def test_a_new_run_begins_with_the_weights_of_a_run_or_of_a_checkpoint(digits_run, tmp_path, name):
    place = digits_run.path / name
    parts = built(digits_run, place, tmp_path / "new", seed=5)
    file = place if place.is_file() else digits_run.best
    assert begins_with(parts, file)
    assert not begins_with(built(digits_run, "", tmp_path / "other", seed=5), file)
    epoch = torch.load(file, weights_only=True)["epoch"] + 1
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert parts.origin == {"checkpoint": str(file.resolve()), "epoch": epoch, "sha256": digest}


def test_and_with_those_of_a_model_that_was_given_away(digits_run, export, tmp_path):
    export(f"run={digits_run.path}", "out=model")
    parts = built(digits_run, "model", tmp_path / "new", seed=5)
    assert begins_with(parts, digits_run.best)
    digest = hashlib.sha256(Path("model/model.safetensors").read_bytes()).hexdigest()
    epoch = torch.load(digits_run.best, weights_only=True)["epoch"] + 1
    file = str(Path("model/model.safetensors").resolve())
    assert parts.origin == {"checkpoint": file, "epoch": epoch, "sha256": digest}
    with pytest.raises(
        UserError, match=r"^init_from=digits_conv: model.safetensors is of another model: .* it has in its config.json"
    ):
        built(digits_run, "digits_conv", tmp_path / "other")
    content = json.loads(Path("model/config.json").read_text())
    Path("model/config.json").write_text(json.dumps(content | {"epoch": None}))
    with pytest.raises(UserError, match=r"^init_from=model: its config.json has no epoch$"):
        built(digits_run, "model", tmp_path / "third")
    with pytest.raises(UserError, match=r"^resume=model: is a model that was given away, of weights alone; init_from="):
        run_to_resume("model")


def test_an_experiments_initialization_gives_way(digits_run, tmp_path, told):
    glorot = {"_target_": "vae_lightning.models.initialization.Glorot"}
    assert begins_with(built(digits_run, digits_run.path, tmp_path / "new", initialization=glorot), digits_run.best)
    assert "initialization: without effect, for init_from says where the weights start" in told()


def test_parts_that_would_start_from_images_keep_what_was_learned(digits_run, tmp_path):
    vamp = {"_target_": "vae_lightning.models.priors.vamp.VampPrior", "_partial_": True}
    vamp |= {"num_components": 7, "image_shape": [1, 28, 28]}
    config = digits_run.config()
    first = build(config | {"model": config["model"] | {"prior": vamp}}, RunDir(tmp_path / "first"))
    state = first.module.state_dict()
    checkpoint = {"state_dict": {name: torch.rand_like(value) for name, value in state.items()}, "epoch": 0}
    torch.save(checkpoint, tmp_path / "first.ckpt")
    parts = built(digits_run, tmp_path / "first.ckpt", tmp_path / "new", model=config["model"] | {"prior": vamp})
    assert begins_with(parts, tmp_path / "first.ckpt")


def test_the_record_says_whose_weights_they_were_and_the_other_run_is_not_needed_any_more(
    digits_run, moved, command, error_of, tmp_path
):
    other = moved(digits_run, "other")
    before = {path: path.read_bytes() for path in other.path.rglob("*") if path.is_file()}
    new = RunDir(tmp_path / "new")
    command(*SAME, f"init_from={other.path}", "objective=geco", "trainer.max_epochs=1", f"run_dir={new.path}")
    assert {path: path.read_bytes() for path in other.path.rglob("*") if path.is_file()} == before
    assert new.config()["init_from"] == str(other.path)
    assert new.metrics()["epochs"] == 1
    recorded = json.loads((new.path / "environment.json").read_text())["init_from"]
    assert recorded["sha256"] == hashlib.sha256(other.best.read_bytes()).hexdigest()
    assert f"weights of {other.best}, kept after its epoch" in (new.path / "train.log").read_text()
    other.path.rename(tmp_path / "gone")
    command(f"resume={new.path}", "trainer.max_epochs=2")
    assert new.metrics()["epochs"] == 2
    assert json.loads((new.path / "environment.json").read_text())["init_from"] == recorded
    message = error_of(f"resume={new.path}", "init_from=elsewhere", "trainer.max_epochs=3")
    assert message == f"init_from=elsewhere: {new.path} has weights already; without resume= it starts a new run"


def test_the_ranks_of_a_sweeps_job_begin_alike_and_home_is_known(digits_run, moved, command, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "matplotlib"))
    moved(digits_run, "other")
    barely = ["optimizer.lr=1e-9", "trainer.max_epochs=1"]  # so that weights stay as they begin
    command("-m", *SAME, *barely, "trainer=ddp_cpu", "init_from=~/other", f"sweep_dir={tmp_path / 'sweep'}")
    job = RunDir(tmp_path / "sweep/0")
    assert job.config()["init_from"] == str(tmp_path / "other")
    assert job.origin()["checkpoint"] == str(tmp_path / "other/checkpoints/best.ckpt")
    stored = torch.load(digits_run.best, weights_only=True)["state_dict"]
    trained = torch.load(job.best, weights_only=True)["state_dict"]
    assert all(torch.allclose(stored[name], value, atol=1e-5) for name, value in trained.items())


REFUSED = {
    "model.latent_dim=3": "is of another model: posterior.loc.weight is [4, 16] there and [3, 16] here; give the keys",
    "model.encoder.hidden=[16,16]": "is of another model: it has no encoder.layers.3.weight; give the keys",
    "model.num_classes=10": "is of another model: encoder.layers.1.weight is [16, 784] there and [16, 1568] here",
    "data.image_size=32": "is of another model: encoder.layers.1.weight is [16, 784] there and [16, 1024] here",
    "initialization=glorot": "and initialization=glorot: both say where the weights start; give one of them",
}


@pytest.mark.parametrize("override", REFUSED)
def test_what_does_not_fit_is_told_in_a_line_before_anything_is_written(digits_run, error_of, tmp_path, override):
    message = error_of(*SAME, f"init_from={digits_run.path}", override, f"run_dir={tmp_path / 'new'}")
    assert message.startswith(f"init_from={digits_run.path}")
    assert REFUSED[override] in message
    assert list(tmp_path.iterdir()) == []


def test_a_place_without_weights_is_told(digits_run, moved, tmp_path):
    other = moved(digits_run)
    places = {"nowhere": "no such run directory, and no checkpoint file", str(tmp_path): "not a run directory"}
    for file in (other.last, other.best):
        file.unlink()
    places[str(other.path)] = "it has no checkpoint yet (checkpoints/best.ckpt)"
    for place, told in places.items():
        with pytest.raises(UserError) as error:
            built(digits_run, place, tmp_path / "new")
        assert str(error.value).startswith(f"init_from={place}: {told}")


@pytest.mark.parametrize("damage", ["code", "NaN", "cut"])
def test_a_strangers_file_runs_no_code_and_is_refused(digits_run, moved, tmp_path, damage):
    other = moved(digits_run)
    if damage == "code":
        import pickle

        class Evil:
            def __reduce__(self):
                return (Path(tmp_path / "owned").touch, ())

        other.best.write_bytes(pickle.dumps(Evil()))
    elif damage == "NaN":
        edit(other.best, put(f"state_dict/{FIRST}", torch.full((16, 784), NAN)))
    else:
        other.best.write_bytes(other.best.read_bytes()[:900])
    with pytest.raises(UserError, match=r"best\.ckpt (can't be read|has values that are not finite)"):
        built(digits_run, other.path, tmp_path / "new")
    assert not (tmp_path / "owned").exists()
