"""What takes long to draw is drawn beside the test, where a core is free, and is the same picture."""

import inspect
import logging
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback

from tests.callbacks.fakes import FakeData, FakeModule, train
from vae_lightning.callbacks import beside, periodic, progress
from vae_lightning.callbacks.beside import DrawnBeside, free_cores
from vae_lightning.callbacks.progress import ProgressBar
from vae_lightning.errors import UserError
from vae_lightning.pictures import embedding
from vae_lightning.pictures.embedding import Embedding
from vae_lightning.pictures.picture import Drawing, Picture

TESTED = threading.Event()


class Own(Picture):
    """A user's own picture, which takes as long as the test does."""

    def look(self, source):
        return source.epoch

    def takes_long(self, seen):
        return True

    def draw(self, seen, context):
        if threading.current_thread() is not threading.main_thread():
            assert TESTED.wait(60)
        return Drawing(np.full((4, 4, 3), seen, np.uint8))


class Mistaken(Own):
    error: Exception = ZeroDivisionError("no picture")

    def draw(self, seen, context):
        raise self.error


class AtTheEnd(Callback):
    """What there is of the pictures when the test begins, and when its figures have been logged."""

    def __init__(self):
        self.found = []

    def note(self, trainer, pl_module):
        files = Path(trainer.default_root_dir).glob("images/*/epoch_0001.png")
        self.found.append(sorted(path.parent.name for path in files))

    on_test_start = on_test_end = note


@pytest.fixture(autouse=True)
def tested(monkeypatch):
    """Lets models be tested, and a core be free."""
    TESTED.clear()
    monkeypatch.setattr(FakeModule, "test_step", lambda *_: TESTED.set(), raising=False)
    monkeypatch.setattr(FakeData, "test_dataloader", FakeData.val_dataloader, raising=False)
    monkeypatch.setattr(beside, "free_cores", lambda *_: 1)


def train_and_test(run_dir, *callbacks, **options):
    trainer = train(run_dir, DrawnBeside(), *callbacks, max_epochs=1, **options)
    trainer.test(trainer.lightning_module, trainer.datamodule, verbose=False)
    return trainer


def test_what_takes_long_is_drawn_while_the_test_runs_and_shown_before_its_end(tmp_path):
    noting = AtTheEnd()
    train_and_test(tmp_path, Own(), noting)
    assert noting.found == [[], ["own"]]


@pytest.mark.parametrize(("cores", "quick"), [(0, False), (1, True)])
def test_where_no_core_is_free_and_of_what_is_quick_it_is_drawn_before(tmp_path, monkeypatch, cores, quick):
    monkeypatch.setattr(beside, "free_cores", lambda *_: cores)
    monkeypatch.setattr(Own, "takes_long", lambda *_: not quick)
    noting = AtTheEnd()
    train_and_test(tmp_path, Own(), noting)
    assert noting.found == [["own"], ["own"]]


def test_free_cores_are_counted_once_and_for_what_takes_long_alone(tmp_path, monkeypatch):
    counted = []
    monkeypatch.setattr(beside, "free_cores", lambda *_: counted.append("counted") or 2)
    train_and_test(tmp_path / "long", Own(), AtTheEnd())
    assert counted == ["counted"]
    monkeypatch.setattr(Own, "takes_long", lambda *_: False)
    train_and_test(tmp_path / "quick", Own(), AtTheEnd())
    assert counted == ["counted"]


def test_what_is_due_on_the_way_is_drawn_on_the_way(tmp_path):
    noting = AtTheEnd()
    train_and_test(tmp_path, Own(every_n_epochs=1), noting)
    assert noting.found == [["own"], ["own"]]


def test_a_test_of_no_images_loses_no_picture(tmp_path):
    TESTED.set()
    train_and_test(tmp_path, Own(), limit_test_batches=0)
    assert (tmp_path / "images/own/epoch_0001.png").is_file()


def test_a_mistake_is_told_with_the_pictures_name(tmp_path):
    with pytest.raises(ZeroDivisionError, match="no picture") as error:
        train_and_test(tmp_path, Mistaken())
    assert error.value.__notes__ == ["while callbacks.mistaken was drawn, a Mistaken"]


def test_what_can_not_be_drawn_ends_no_run(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("vae_lightning"), "propagate", True)
    monkeypatch.setattr(Mistaken, "error", UserError("there is nothing to draw"))
    train_and_test(tmp_path, Mistaken())
    assert TESTED.is_set()
    assert caplog.text.count("callbacks.mistaken: there is nothing to draw") == 1


def test_who_breaks_the_test_off_waits_for_no_picture(tmp_path, monkeypatch):
    def break_off(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeModule, "test_step", break_off)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train_and_test(tmp_path, Own())
    left = [thread for thread in threading.enumerate() if thread.name == "picture"]
    assert [thread.daemon for thread in left] == [True]
    TESTED.set()
    left[0].join()
    assert not (tmp_path / "images").exists()


def test_what_is_being_drawn_is_told(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("vae_lightning"), "propagate", True)
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress, "_TOLD_AFTER_S", 0.001)
    monkeypatch.setattr(periodic, "told_on_bar", lambda *_, **__: nullcontext())  # a slow look has a line, too
    monkeypatch.setattr(FakeModule, "test_step", lambda *_: time.sleep(0.05) or TESTED.set())
    train_and_test(tmp_path, ProgressBar(), Own(), enable_progress_bar=True)
    told = [record.message for record in caplog.records if record.name == "vae_lightning"]
    assert [line.split("  ")[0] for line in told] == ["epoch 1/1", "drawing own"]


def test_a_picture_is_the_same_beside_the_test(tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "_MANY", 4)
    drawn = []
    original = Embedding.draw
    monkeypatch.setattr(
        Embedding, "draw", lambda *args: drawn.append(threading.current_thread().name) or original(*args)
    )
    for folder, cores in (("beside", 1), ("before", 0)):
        monkeypatch.setattr(beside, "free_cores", lambda *_, cores=cores: cores)
        train_and_test(tmp_path / folder, Embedding(method="tsne"))
    assert drawn == ["picture", threading.main_thread().name]
    pictures = [(tmp_path / folder / "images/tsne/epoch_0001.png").read_bytes() for folder in ("beside", "before")]
    assert pictures[0] == pictures[1]


@pytest.mark.parametrize(
    ("device", "ranks", "taken", "free"),
    [("cpu", 1, 0.0, 12), ("cpu", 4, 0.0, 0), ("cuda", 1, 0.0, 15), ("cuda", 4, 7.6, 4), ("cuda", 1, 16.0, 0)],
)
def test_free_cores_are_those_that_nobody_computes_on(monkeypatch, device, ranks, taken, free):
    monkeypatch.setattr(beside, "num_cpus", lambda: 16)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device(device)), num_devices=ranks)
    others = SimpleNamespace(cores_taken=lambda: taken)
    assert inspect.unwrap(free_cores)(trainer, others) == free
