"""What is told before a training begins: of pictures that can never be drawn, and why a resumed run can not go on."""

import inspect
import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.checkpoints.changing import ADAM, FIRST, GONE, NAN, edit, put
from tests.conftest import TINY
from tests.end_to_end.runs import assert_equal_weights, run_command
from vae_lightning.callbacks.pruning import PruneTrial
from vae_lightning.errors import UserError
from vae_lightning.runs.records import RunDir
from vae_lightning.training.preflight import check_watched
from vae_lightning.training.run import build

MORE = "trainer.max_epochs=3"


@pytest.fixture
def pictures(colour_run, tmp_path) -> Path:
    """A copy of the pictures that `colour_run` was trained on."""
    return shutil.copytree(colour_run.path.parent / "pictures", tmp_path / "elsewhere")


def resumed(run: RunDir, **data):
    config = run.config()
    config["trainer"]["max_epochs"] = 3
    return build(config | {"data": config["data"] | data}, run, resume=True)


def test_the_same_images_may_lie_elsewhere(colour_run, pictures):
    assert resumed(colour_run, root=str(pictures)).resume


OTHERS = {
    "one more": lambda folder: shutil.copy(folder / "02.png", folder / "new.png"),
    "one fewer": lambda folder: (folder / "02.png").unlink(),
    "another name": lambda folder: (folder / "02.png").rename(folder / "2.png"),
}


@pytest.mark.parametrize("how", OTHERS)
def test_other_images_are_refused_before_anything_is_written(colour_run, pictures, how):
    OTHERS[how](pictures)
    before = {path: path.stat().st_mtime_ns for path in colour_run.path.rglob("*")}
    with pytest.raises(UserError) as error:
        resumed(colour_run, root=str(pictures))
    message = str(error.value)
    assert message.startswith(f"resume={colour_run.path}: data: the run was trained with ")
    assert f"init_from={colour_run.path} trains its weights on others, in a new run" in message
    assert "\n" not in message
    assert {path: path.stat().st_mtime_ns for path in colour_run.path.rglob("*")} == before


def test_another_split_of_the_same_images_is_refused(colour_run, digits_run):
    with pytest.raises(UserError, match="was trained with 1,257 training images, and these are 1,257 others"):
        resumed(digits_run, seed=9)
    with pytest.raises(UserError, match=r"was trained with \d+ training images, and these are \d+; a run keeps"):
        resumed(colour_run, val_fraction=0.3)


def test_what_changes_no_image_may_be_typed(digits_run):
    assert resumed(digits_run, batch_size=64, horizontal_flip=True, binarize="dynamic", shuffle=False).resume


def test_a_run_of_an_earlier_version_has_recorded_nothing_and_goes_on(digits_run, moved):
    copied = moved(digits_run)
    for file in (copied.last, copied.best):
        edit(file, put("data", GONE))
    assert resumed(copied, seed=9).resume


def test_what_is_recorded_is_not_believed_blindly(digits_run, moved):
    copied = moved(digits_run)
    edit(copied.last, put("data/val", {"num_images": -1, "digest": None}))
    with pytest.raises(UserError, match=r"last.ckpt can't be read \(data.val.num_images is -1, not a whole number"):
        resumed(copied)


LOST = {
    "gone": lambda run: run.last.unlink(),
    "cut": lambda run: run.last.write_bytes(run.last.read_bytes()[:1000]),
    "diverged": lambda run: edit(run.last, put(f"state_dict/{FIRST}", torch.full((16, 784), NAN))),
    "optimizer": lambda run: edit(run.last, put(f"{ADAM}/exp_avg", torch.zeros(2))),
}


def offered(message: str) -> list[str]:
    """What a message says can be typed, as a shell hands it on."""
    return shlex.split(message.partition("; ")[2].removesuffix(" goes on from the best one, of epoch 2"))


@pytest.mark.parametrize("how", LOST)
def test_where_last_is_lost_best_is_offered(digits_run, moved, how):
    run = moved(digits_run, "it's (a) copy")
    LOST[how](run)
    with pytest.raises(UserError) as error:
        resumed(run)
    assert offered(str(error.value)) == [f"resume='{run.best}'".replace("it's", r"it\'s")]
    assert "\n" not in str(error.value)


def test_what_is_offered_goes_on_as_the_lost_one_would_have(digits_run, moved, command, error_of):
    whole, run = moved(digits_run, "whole"), moved(digits_run, "it's (a) copy")
    assert torch.load(run.best, weights_only=True)["epoch"] == 1  # the last one, too
    run.last.unlink()
    command(*offered(error_of(f"resume={str(run.path)!r}", MORE)), MORE)
    command(f"resume={whole.path}", MORE)
    assert_equal_weights(run, whole)
    assert run.metrics()["epochs"] == 3
    assert run.config()["resume"] is None  # from here on it is last.ckpt
    assert torch.load(run.last, weights_only=True)["config"]["resume"] is None


def test_a_later_last_one_is_not_lost(digits_run, moved, command, error_of):
    run = moved(digits_run)
    command(f"resume={run.path}", MORE, "optimizer.lr=1")  # after which none is better
    before = {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()}
    assert torch.load(run.best, weights_only=True)["epoch"] == 1
    assert error_of(f"resume={run.best}", "trainer.max_epochs=4") == (
        f"resume={run.best}: last.ckpt, of epoch 3, is later and would be lost; resume={run.path} goes on from it, "
        f"init_from={run.best} starts a new run from the weights of best.ckpt"
    )
    assert {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()} == before
    edit(run.last, put(f"{ADAM}/exp_avg", torch.zeros(2)))
    command(f"resume={run.best}", "trainer.max_epochs=3", "optimizer.lr=0.01")
    assert torch.load(run.last, weights_only=True)["epoch"] == 2


def test_ranks_go_on_from_the_best_one_and_then_from_the_last(digits_run, moved, command, tmp_path):
    run = moved(digits_run)
    run.last.unlink()
    done = run_command(f"resume={run.best}", MORE, "trainer.devices=2", "trainer.strategy=ddp", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert run.metrics()["epochs"] == 3
    command(f"resume={run.path}", "trainer.max_epochs=4", "trainer.devices=1", "trainer.strategy=auto")
    assert run.metrics()["epochs"] == 4


def test_from_the_first_step_on_last_is_what_was_gone_on_from(digits_run, moved, command, monkeypatch):
    from vae_lightning.training.module import VAEModule

    run = moved(digits_run)
    run.last.write_bytes(b"")

    def fail(*_):
        raise RuntimeError("killed")

    monkeypatch.setattr(VAEModule, "on_train_epoch_start", fail)
    with pytest.raises(RuntimeError, match="killed"):
        command(f"resume={run.best}", MORE)
    assert run.last.read_bytes() == run.best.read_bytes()


def test_nothing_is_offered_that_would_not_work(digits_run, moved):
    run = moved(digits_run)
    run.last.unlink()
    run.best.write_bytes(b"")
    with pytest.raises(UserError) as error:
        resumed(run)
    assert str(error.value).endswith("no checkpoint there (checkpoints/last.ckpt); start a new run")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("callbacks.transition.images=[a.png,b.png]", "callbacks.transition: images: a.png: no such file"),
        ("callbacks.traversals.dims=[44]", "callbacks.traversals: dims=[44]: choose from 0 to 3"),
        ("+callbacks.tsne.images=a.png", "callbacks.tsne: images: a.png: no such file"),
        ("callbacks.reconstructions.indices=[9999]", "callbacks.reconstructions: indices: "),
    ],
)
def test_what_can_never_be_drawn_is_told_before_anything_is_written(error_of, override, message, tmp_path):
    words = ["callbacks=[transition,traversals,tsne,reconstructions]", "run_dir=run", override]
    assert error_of(*TINY[:6], *words).startswith(message)
    assert not (tmp_path / "run").exists()


def test_of_a_resumed_run_too_unless_it_has_chosen_its_images(digits_run, moved, error_of):
    run = moved(digits_run)
    before = run.config()
    message = error_of(
        f"resume={run.path}", MORE, "callbacks=[transition]", "callbacks.transition.images=[a.png,b.png]"
    )
    assert message == "callbacks.transition: images: a.png: no such file"
    assert run.config() == before
    assert run.status()["status"] == "finished"


def test_a_search_for_an_elbo_that_there_is_none_of_is_refused_by_what_it_is_typed_by():
    watched = inspect.unwrap(check_watched)
    without, search = SimpleNamespace(has_density=False), PruneTrial(0)
    with pytest.raises(
        UserError, match=r"^hydra\.sweeper\.metric=val/elbo: .*; choose hydra\.sweeper\.metric=val/loss "
    ):
        watched({"pruning": search}, without)
    watched({"pruning": PruneTrial(0, metric="val/loss")}, without)
    watched({"pruning": search}, SimpleNamespace(has_density=True))
