"""A run that is gone on with believes of its callbacks' states what each would have saved, and not a single path."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

from tests.checkpoints.changing import NAN, same
from tests.training.believed import believed, refusal
from vae_lightning.callbacks.pictures import DrawPicture
from vae_lightning.checkpoints.reader import stored
from vae_lightning.pictures.reconstructions import Reconstructions
from vae_lightning.pictures.samples import Samples


class Foreign(Callback):
    """A user's own callback, with a state and a key of its own in the checkpoint."""

    def __init__(self):
        self.count, self.seen = 0, None

    def state_dict(self):
        return {"count": self.count, "seen": self.seen}

    def on_load_checkpoint(self, trainer, pl_module, checkpoint): ...


def test_a_users_own_callback_has_its_state_and_its_keys(parts, saved, file):
    checkpoint = copy.deepcopy(saved)
    state = {"count": 3, "seen": [torch.ones(2), {"a": None}], "more": b"x"}
    checkpoint |= {"own": {"x": torch.ones(3)}}
    checkpoint["callbacks"]["Foreign"] = state
    torch.save(checkpoint, file)
    parts.trainer.callbacks.append(Foreign())
    try:
        found = believed(parts, file)
        assert same(found["callbacks"]["Foreign"], state)
        assert same(found["own"], checkpoint["own"])
        for wrong in ({"count": "x"}, {"seen": torch.full((2,), NAN)}, [1]):
            torch.save(saved | {"callbacks": {"Foreign": wrong}}, file)
            refusal(parts, file)
    finally:
        parts.trainer.callbacks.pop()
    torch.save(checkpoint, file)
    assert "own" not in believed(parts, file)


@pytest.mark.parametrize(("own", "num_stored"), [(4, 1000), (1200, 1200), (1200, 4)])
def test_pictures_of_another_number_than_the_run_now_asks_for_are_taken(parts, file, own, num_stored):
    chosen_by = {"num_images": num_stored, "seed": 0}
    images = {"fixed": torch.zeros(num_stored, *parts.data.image_shape, dtype=torch.uint8), "chosen_by": chosen_by}
    samples = {"fixed": torch.randn(num_stored, 2), "chosen_by": chosen_by}  # as an earlier version kept them
    pictures = {"reconstructions": Reconstructions(num_images=own), "samples": Samples(num_images=own)}
    for (name, picture), state in zip(pictures.items(), (images, samples), strict=True):
        callback = DrawPicture(picture, name)
        torch.save(state, file)
        with stored(file) as contents:
            found = callback.expected_state(parts.module, parts.data)(contents, "")
        assert same(found, state if callback.name == "reconstructions" else {"chosen_by": chosen_by})


# Paths


PATHS = [
    *("", "/", ".", "..", "../..", "/a/..", "local:///etc", "s3://bucket/x.ckpt", "http://localhost:1/x.ckpt"),
    *(
        "file:///etc/passwd",
        "memory://x",
        "/etc/passwd",
        "zip://x::s3://y",
        "best.ckpt\0",
        "folder",
        "link.ckpt",
        "x" * 5000,
    ),
]


@pytest.fixture
def checkpoints(stateful_run) -> Iterator[Path]:
    """The folder of the run's checkpoints, with a folder and a link in it while the test runs."""
    folder, link = stateful_run.checkpoints / "folder", stateful_run.checkpoints / "link.ckpt"
    folder.mkdir()
    link.symlink_to(stateful_run.path / "config.yaml")
    yield stateful_run.checkpoints
    link.unlink()
    folder.rmdir()


def test_no_path_is_taken_out_of_a_file(parts, checkpoints, saved, file, monkeypatch):
    import fsspec

    asked: list[Any] = []
    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda *path, **_: asked.append(path))
    checkpoint = copy.deepcopy(saved)
    for key, state in checkpoint["callbacks"].items():
        if key.startswith("ModelCheckpoint"):
            state["best_k_models"] = dict.fromkeys([*PATHS, "/elsewhere/own.ckpt"], torch.tensor(1.0))
            state |= {
                "best_model_path": "..",
                "kth_best_model_path": "s3://b/c",
                "last_model_path": "local:///x",
                "dirpath": "/",
            }
    torch.save(checkpoint, file)
    states = [state for key, state in believed(parts, file)["callbacks"].items() if key.startswith("ModelCheckpoint")]
    assert len(states) == 1
    for state in states:
        assert list(state["best_k_models"]) == [str(checkpoints / "own.ckpt")]
        assert state["dirpath"] == str(checkpoints)
        assert state["best_model_path"] == state["kth_best_model_path"] == str(checkpoints / "own.ckpt")
        assert state["last_model_path"] == ""
        assert state["best_model_score"] == 1
    assert not asked


# Earlier versions


@pytest.mark.parametrize("best", [-123.5, None])
def test_the_best_score_of_an_earlier_version_is_taken_over(parts, saved, file, best):
    checkpoint = copy.deepcopy(saved)
    former = {"monitor": "val/elbo", "best_model_score": None if best is None else torch.tensor(best)}
    former |= {"best_model_path": "s3://x/..", "best_k_models": {"..": torch.tensor(1.0)}}
    settings = "'every_n_train_steps': 0, 'every_n_epochs': 1, 'train_time_interval': None}"
    del checkpoint["callbacks"]["Checkpoints"]
    checkpoint["callbacks"] |= {
        f"ModelCheckpoint{{'monitor': 'val/elbo', 'mode': 'max', {settings}": former,
        f"ModelCheckpoint{{'monitor': None, 'mode': 'min', {settings}": former,
    }
    torch.save(checkpoint, file)
    assert believed(parts, file)["callbacks"]["Checkpoints"] == {"best_score": best}
