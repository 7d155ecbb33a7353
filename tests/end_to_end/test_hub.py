"""A model goes to the Hugging Face Hub and comes back, from a server of one's own; offline it is in the cache."""

import sys
from pathlib import Path

import pytest

from tests.end_to_end.runs import run_command
from tests.runs.hub_server import Hub, serving

pytest.importorskip("huggingface_hub")


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with serving({}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        yield server


def call(command: str, *arguments: str, cwd: Path):
    return run_command(*arguments, cwd=cwd, program=[sys.executable, "-m", f"vae_lightning.{command}"])


def test_a_model_goes_there_and_comes_back(hub: Hub, digits_run, tmp_path, monkeypatch):
    done = call("export", f"run={digits_run.path}", "out=model", "push=ann/digits", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"pushed to {hub.url}/ann/digits" in done.stdout
    files = hub.repositories["ann/digits"]
    assert sorted(files) == ["README.md", "config.json", "model.safetensors", "samples.png"]
    assert all(content == (tmp_path / "model" / name).read_bytes() for name, content in files.items())

    there = ["run=hf://ann/digits", "num_images=4"]
    first = call("generate", *there, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert first.stderr == ""  # a bar of progress would be many lines
    drawn = tmp_path / "outputs/shared/ann--digits/generated"
    assert call("generate", f"run={digits_run.path}", "num_images=4", "out=ours", cwd=tmp_path).returncode == 0
    assert (drawn / "samples/samples.png").read_bytes() == (tmp_path / "ours/samples.png").read_bytes()

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    asked = len(hub.asked)
    assert call("generate", *there, cwd=tmp_path).returncode == 0
    assert (drawn / "samples_2/samples.png").read_bytes() == (drawn / "samples/samples.png").read_bytes()
    assert len(hub.asked) == asked


def test_what_is_not_there_or_no_model_is_told_in_a_line(hub: Hub, tmp_path, monkeypatch):
    hub.repositories["ann/text"] = {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"x"}
    hub.repositories["ann/empty"] = {"README.md": b"x"}
    told = {
        "hf://ann/none": "the Hub has no such model, or shows it to others only (hf auth login)",
        "hf://ann/text": "its config.json is not of a model that vae-export has written",
        "hf://ann/empty": "has no config.json and model.safetensors, as format=safetensors push= puts there",
        "hf://ann": "expected user/name on the Hugging Face Hub, as in hf://user/name",
    }
    for name, reason in told.items():
        done = call("generate", f"run={name}", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (1, f"error: run={name}: {reason}\n")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = call("generate", "run=hf://ann/none", cwd=tmp_path)
    assert done.stderr == "error: run=hf://ann/none: the Hub can't be reached, and the cache has no copy\n"


def test_a_hub_that_does_not_take_it_leaves_the_folder(hub: Hub, digits_run, tmp_path, monkeypatch):
    monkeypatch.setattr(Hub, "refuses", True)
    done = call("export", f"run={digits_run.path}", "out=model", "push=ann/digits", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: push=ann/digits: ")
    assert done.stderr.endswith("; the folder model is written\n")
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "model/model.safetensors").is_file()


def test_a_repository_of_something_else_stays_as_it_is(hub: Hub, digits_run, tmp_path):
    hub.repositories["ann/text"] = {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"x"}
    hub.repositories["ann/data"] = {"train.csv": b"x"}
    before = {name: dict(files) for name, files in hub.repositories.items()}
    for name, told in {"ann/text": "holds another model", "ann/data": "holds something else (train.csv)"}.items():
        done = call("export", f"run={digits_run.path}", f"out={name}", f"push={name}", cwd=tmp_path)
        written = f"the folder {name} is written"
        assert (done.returncode, done.stderr) == (1, f"error: push={name}: {told}; give another name; {written}\n")
    assert hub.repositories == before
