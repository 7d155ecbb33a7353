"""The export command: folders to give away, and what they are for whoever opens them."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.conftest import refusal
from vae_lightning import open_run
from vae_lightning.export import main
from vae_lightning.runs.records import RunDir


@pytest.fixture
def shared(export, digits_run) -> Path:
    export(f"run={digits_run.path}", "out=model")
    return Path("model").absolute()


@pytest.fixture
def refused(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["vae-export", *arguments])
        return refusal(main)

    return call


def test_what_was_given_away_is_the_run(export, digits_run, shared):
    run, given = open_run(digits_run.path), open_run(shared)
    images = np.random.default_rng(0).random((3, 28, 28))
    assert np.array_equal(given.encode(images), run.encode(images))
    assert np.array_equal(given.elbo(images), run.elbo(images))
    assert np.array_equal(given.sample(4, seed=3), run.sample(4, seed=3))
    assert (given.name, given.epoch, given.kind, given.class_names) == (run.name, run.epoch, run.kind, run.class_names)
    ours, theirs = run._opened, given._opened
    assert theirs.usual == ours.usual
    assert torch.equal(theirs.units.variance, ours.units.variance)
    assert sorted(file.name for file in shared.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "samples.png",
    ]


def test_a_conditional_one_keeps_its_classes_and_finds_other_images_in_its_place(export, named_run):
    export(f"run={named_run.path}", "out=model")
    run, given = open_run(named_run.path), open_run("model")
    assert given.class_names == ("cat", "dog", "owl")
    assert np.array_equal(given.sample(3, labels="owl"), run.sample(3, labels="owl"))
    pictures = named_run.path.parent / "pictures"
    assert np.array_equal(given.encode(pictures / "cat", labels="cat"), run.encode(pictures / "cat", labels="cat"))


def test_nothing_of_the_machine_is_given_away(export, colour_run):
    export(f"run={colour_run.path}", "out=model")
    texts = [Path("model", name).read_text() for name in ("config.json", "README.md")]
    places = [str(colour_run.path.parent), str(Path.home()), "cache_dir="]
    assert not [place for place in places for text in texts if place in text]
    assert json.loads(texts[0])["config"]["data"]["root"] == "pictures"


def test_half_precision_is_half_as_large_and_nearly_the_same(export, digits_run, shared):
    export(f"run={digits_run.path}", "out=half", "dtype=float16")
    files = [folder / "model.safetensors" for folder in (shared, Path("half"))]
    assert {each.dtype for each in load_file(files[1]).values() if each.is_floating_point()} == {torch.float16}
    assert files[1].stat().st_size < 0.75 * files[0].stat().st_size
    images = np.random.default_rng(0).random((3, 28, 28))
    whole, half = (open_run(folder).encode(images) for folder in (shared, "half"))
    assert 0 < np.abs(whole - half).max() < 0.01


def test_weights_beyond_half_precision_are_refused(refused, moved, digits_run):
    run = moved(digits_run)
    checkpoint = torch.load(run.best, weights_only=True)
    name = next(name for name in checkpoint["state_dict"] if name.startswith("vae.") and name.endswith("weight"))
    checkpoint["state_dict"][name][0, 0] = 1e6
    torch.save(checkpoint, run.best)
    told = refused(f"run={run.path}", "out=half", "dtype=float16")
    assert told == f"dtype=float16: {name.removeprefix('vae.')} has values beyond it; dtype=float32 takes them"
    assert not Path("half").exists()


def test_the_page_tells_what_it_is_how_good_and_how_to_repeat_it(shared, digits_run):
    page = (shared / "README.md").read_text()
    metrics = digits_run.metrics()
    assert page.startswith("---\nlibrary_name: vae_lightning\n")
    elbo = f"{metrics['test/elbo']:,.2f} +- {metrics['test/elbo_stderr']:,.2f}"
    assert f"| ELBO       | {elbo} | nats per image |" in page
    assert "cross-entropy of grey levels" in page
    assert "![Samples](samples.png)" in page
    assert "python -m vae_lightning.train data=digits model=mlp trainer=cpu model.encoder.hidden=" in page
    assert "run_dir=" not in page
    assert "## Licence\n\nTo be filled in" in page


def test_nothing_in_a_name_becomes_markup(export, shared):
    content = json.loads((shared / "config.json").read_text())
    content["config"]["name"] = "x](http://evil) <img src=x>"
    content["overrides"] = ["name=1\n```\n<script>", "name=\ud800"]
    (shared / "config.json").write_text(json.dumps(content))
    export(f"run={shared}", "out=again")
    page = Path("again/README.md").read_text()
    assert "# x\\](http://evil) \\<img src=x\\>\n" in page
    assert page.count("```") == 4
    assert "\n<script>" not in page


def test_a_licence_stands_in_the_head_and_below(export, digits_run):
    export(f"run={digits_run.path}", "out=model", "license=mit", "pictures=[]")
    page = Path("model/README.md").read_text()
    assert "\nlicense: mit\ntags:" in page
    assert "To be filled in" not in page
    export(f"run={digits_run.path}", "out=other", "license=no", "pictures=[]")
    assert "\nlicense: 'no'\ntags:" in Path("other/README.md").read_text()
    assert page.endswith("## Licence\n\nThe weights: mit. The images that they were trained on have their own.\n")


def test_the_other_commands_take_it_for_a_run(shared, digits_run, generate, monkeypatch):
    told = generate(f"run={shared}", "mode=samples", "num_images=4")
    assert str(shared / "generated/samples") in told
    generate(f"run={digits_run.path}", "mode=samples", "num_images=4", "out=ours")
    ours, theirs = (Path(place, "sample_000003.png").read_bytes() for place in ("ours", shared / "generated/samples"))
    assert ours == theirs


def test_its_figures_are_those_of_the_run(shared, digits_run, monkeypatch, capsys):
    from vae_lightning.evaluate import main as evaluate

    monkeypatch.setattr(sys, "argv", ["vae-evaluate", "device=cpu", f"run={shared}", "metrics=[elbo]"])
    evaluate()
    found = RunDir(shared).metrics()
    assert found["test/elbo"] == pytest.approx(digits_run.metrics()["test/elbo"], abs=1e-4)
    assert sorted(file.name for file in shared.glob("metrics*")) == ["metrics.json"]


def test_it_is_given_away_again_as_it_is(export, shared):
    export(f"run={shared}", "out=again")
    for name in ("README.md", "config.json", "model.safetensors", "samples.png"):
        assert Path("again", name).read_bytes() == (shared / name).read_bytes()


def test_reconstructions_are_shown_when_they_are_asked_for(export, refused, stateful_run, digits_run):
    export(f"run={stateful_run.path}", "out=shown", "pictures=[samples,reconstructions]")
    last = sorted((stateful_run.path / "images/reconstructions").iterdir())[-1]
    assert Path("shown/reconstructions.png").read_bytes() == last.read_bytes()
    told = refused(f"run={digits_run.path}", "out=none", "pictures=[reconstructions]")
    assert told == "pictures=[reconstructions]: the run has drawn none; leave them out"
    assert not Path("none").exists()


def test_an_export_goes_over_nothing_but_an_export(export, refused, digits_run, shared):
    os_file = shared / "notes.txt"
    os_file.write_text("mine")
    assert "is not empty; overwrite=true" in refused(f"run={digits_run.path}", f"out={shared}")
    export(f"run={digits_run.path}", f"out={shared}", "overwrite=true", "pictures=[]")
    assert sorted(file.name for file in shared.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "notes.txt",
    ]
    other = shared.parent / "other"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "bert", "files": ["notes.txt"]}')
    (other / "notes.txt").write_text("mine")
    told = refused(f"run={digits_run.path}", f"out={other}", "overwrite=true")
    assert "config.json is there already, and was not generated" in told
    assert (other / "config.json").read_text() == '{"model_type": "bert", "files": ["notes.txt"]}'
    assert (other / "notes.txt").read_text() == "mine"
    content = json.loads((shared / "config.json").read_text())
    (shared / "config.json").write_text(json.dumps(content | {"files": [*content["files"], "notes.txt"]}))
    export(f"run={digits_run.path}", f"out={shared}", "overwrite=true", "pictures=[]")
    assert (shared / "notes.txt").read_text() == "mine"


def test_of_what_was_typed_nothing_of_one_machine_is_kept():
    from vae_lightning.exports.card import repeatable

    kept = [
        "model/prior=vamp",
        "model.latent_dim=2",
        "data.horizontal_flip=false",
        "seed=3",
        "name=own",
        "+trainer.x=1",
    ]
    left = [
        "x=[/home/j/a,b]",
        "data.archive=/home/j/a.zip",
        "logger.mlflow.tracking_uri=http://j:pw@host",
        "tags=[secret]",
    ]
    left += [
        "hydra.searchpath=[file:///home/j]",
        "data.split_file=../j/x",
        "'data.root=/home/j'",
        "run_dir=x",
        "data.labels=$HOME",
    ]
    assert repeatable([*kept, *left, "data.root=../../john/faces"]) == [*kept, "data.root=faces"]


BROKEN = {
    "config.json can't be read (class_names is no list": lambda folder: _changed(folder, class_names=5),
    "config.json can't be read (epoch is 0": lambda folder: _changed(folder, epoch=0),
    "config.json can't be read (it has no data)": lambda folder: _changed(folder, config={}),
    "config.json can't be read (Expecting value": lambda folder: (folder / "config.json").write_text("no JSON"),
    "its config.json is not of a model that vae-export has written": lambda folder: _changed(folder, format="bert"),
    "was written by a newer vae_lightning; install that": lambda folder: _changed(folder, format_version=2),
    "its config.json has no format_version": lambda folder: _changed(folder, format_version="a"),
    "its config.json has no config": lambda folder: _changed(folder, config=[1]),
    "config.json can't be read (epoch is 'x'": lambda folder: _changed(folder, epoch="x"),
    "model.safetensors can't be read (Error while deserializing header": lambda folder: (
        folder / "model.safetensors"
    ).write_bytes(b"no weights"),
    "model.safetensors can't be read (No such file": lambda folder: _replaced(folder, Path("nowhere")),
    "model.safetensors is a named pipe, which a run directory may not hold; remove it": lambda folder: _pipe(folder),
    "generated is a link that leads out of it": lambda folder: (folder / "generated").symlink_to("/tmp"),
    "model.safetensors is of another model than its config.json says (it differs in": lambda folder: _tensors(
        folder, lambda found: found | {"more": torch.zeros(1)}
    ),
    "model.safetensors has values that are not finite": lambda folder: _tensors(
        folder, lambda found: {name: each * torch.nan for name, each in found.items()}
    ),
}


def _changed(folder: Path, **values: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def _replaced(folder: Path, target: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(target)


def _pipe(folder: Path) -> None:
    import os

    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")


def _tensors(folder: Path, change) -> None:
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file)


@pytest.mark.parametrize("told", BROKEN)
@pytest.mark.usefixtures("in_time")
def test_what_is_broken_is_told_in_a_line(told, shared, refused):
    BROKEN[told](shared)
    assert refused(f"run={shared}", "out=again").startswith((f"run={shared}: {told}", f"run={shared} {told}"))
    assert not Path("again").exists()


def test_a_strangers_folder_runs_no_code(shared, refused, tmp_path):
    content = json.loads((shared / "config.json").read_text())
    content["config"]["model"]["encoder"] = {"_target_": "os.system", "command": f"touch {tmp_path / 'owned'}"}
    (shared / "config.json").write_text(json.dumps(content))
    assert "os.system" in refused(f"run={shared}", "out=again")
    assert not (tmp_path / "owned").exists()


def test_other_mistakes(refused, digits_run, tmp_path, shared):
    run = f"run={digits_run.path}"
    assert refused("out=x") == "run: give a run directory, as in run=outputs/<date>/<time>_<name>"
    assert refused(run) == "out: give the folder to write, as in out=model"
    assert refused(run, "out=x", "dtype=int8").startswith("dtype='int8': expected float32, float16")
    assert refused(run, "out=x", "license=MIT").startswith("license must be a name that the Hugging Face Hub has")
    assert refused(run, "out=x", "license=-").startswith("license must be a name that the Hugging Face Hub has")
    assert refused(run, "out=x", "pictures=[samples,samples]") == "pictures must differ, got ['samples', 'samples']"
    assert refused(run, "out=x", "format=onnx", "opset=3") == "opset must be at least 18, got 3"
    assert refused(run, "out=x", "push=nobody").startswith("push=nobody: expected user/name on the Hugging Face Hub")
    assert refused(run, "out=x", "format=tensorflow").startswith("format=tensorflow: no such option; valid here: onnx")
    assert refused(run, "out=[a,b]") == "out=['a', 'b']: expected the name of a folder"
    assert refused("run=mnist_con", "out=x").endswith("no such directory; did you mean the example mnist_conv?")
    file = shared / "model.safetensors"
    assert refused(f"run={file}", "out=x") == f"run={file}: is a file; give its folder, {shared}"
    assert refused("-m", run, "out=x,y") == "-m: export takes one run; start it for each"
    assert refused(f"run={shared}", "ckpt=last", "out=x").endswith("it has no checkpoints; leave ckpt= out")
    empty = shutil.copytree(digits_run.path, tmp_path / "empty", ignore=shutil.ignore_patterns("*.ckpt"))
    assert refused(f"run={empty}", "out=x") == f"run={empty}: it has no checkpoint yet (checkpoints/best.ckpt)"
    assert not Path("x").exists()
