"""A run that is killed anywhere and gone on with has the pictures that it would have had."""

import os
import shutil
import sys
import traceback

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests import tiny
from tests.callbacks.fakes import drawing
from vae_lightning.callbacks.averaging import EMA
from vae_lightning.callbacks.checkpoints import Checkpoints
from vae_lightning.callbacks.projector import Projector
from vae_lightning.callbacks.reconstruction_history import ReconstructionHistory
from vae_lightning.callbacks.training_gif import TrainingGif
from vae_lightning.checkpoints.writing import AtomicCheckpointIO
from vae_lightning.loggers.metrics_csv import MetricsCSV
from vae_lightning.loggers.tensorboard import TensorBoard
from vae_lightning.pictures.reconstructions import Reconstructions
from vae_lightning.pictures.samples import Samples
from vae_lightning.pictures.transition import Transition
from vae_lightning.training.execution import execute_together
from vae_lightning.training.resumed_state import Live, resumed_state

EPOCHS = 3


def callbacks(extra):
    return [
        drawing(Samples(every_n_epochs=1, num_images=4)),
        drawing(Reconstructions(every_n_epochs=2, num_images=2)),  # at 2, and after the last
        drawing(Transition(every_n_epochs=None, num_images=2, num_frames=2)),  # after the last
        ReconstructionHistory(num_images=2),  # at 1, 2, and after the last
        TrainingGif(every_n_epochs=2, num_images=4),
        Projector(every_n_epochs=None),
        *extra(),
        Checkpoints(every_steps=6),  # within each epoch, too
    ]


@tiny.one_thread()
def train(folder, extra=list):
    """A run of three epochs in the folder, which goes on where another has come to."""
    last = folder / "checkpoints/last.ckpt"
    first_step = torch.load(last, weights_only=True)["global_step"] if last.is_file() else 0
    trained, data = tiny.module(), tiny.Noise()
    trained.config = {"name": "run"}
    fitting = tiny.trainer(
        *callbacks(extra),
        default_root_dir=folder,
        max_epochs=EPOCHS,
        logger=[logger(str(folder), first_step) for logger in (TensorBoard, MetricsCSV)],
        log_every_n_steps=4,
        enable_checkpointing=True,
        plugins=[AtomicCheckpointIO(lambda: resumed_state(Live(trained, fitting, data)))],
    )
    data.trainer = fitting
    execute_together("auto" if extra is averaged else 4, fitting, data)
    fitting.fit(trained, data, ckpt_path=last if first_step else None, weights_only=True)
    fitting.test(trained, data, verbose=False)


class Moments:
    """Counts the moments at which a file is about to take its name, or to be added to, and keeps what is there then.

    A process that dies at one of them leaves just that.
    """

    def __init__(self, folder):
        self.names = []
        self.folder = folder

    def patched(self, function):
        def call(*args, **kwargs):
            shutil.copytree(self.folder, self.folder.parents[1] / f"{len(self.names)}" / self.folder.name)
            self.names.append(os.path.basename(args[1]) if function is REPLACE else "more of a file")
            return function(*args, **kwargs)

        return call


REPLACE = os.replace


def in_a_child(folder, extra, moments=None):
    """Train in a process of its own, which tells its moments in a file."""
    child = os.fork()
    if child:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        return
    try:
        if moments:
            os.replace, os.write = moments.patched(os.replace), moments.patched(os.write)
        train(folder, extra)
        if moments:
            (folder / "moments").write_text("\n".join(moments.names))
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def left(folder):
    """What there is to see of a run: its pictures' bytes, and TensorBoard's images by tag and step."""
    kinds = {".png", ".gif", ".tsv", ".pbtxt"}
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix in kinds and not path.name.startswith(".")
    }
    events = EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0}).Reload()
    images = {
        tag: [(event.step, event.encoded_image_string) for event in events.Images(tag)]
        for tag in events.Tags()["images"]
    }
    return files, images


def run_and_moments(folder, extra):
    folder.mkdir(parents=True)
    in_a_child(folder, extra, Moments(folder))
    return left(folder), (folder / "moments").read_text().splitlines()


def averaged():
    return [EMA(decay=0.9)]


def stopped_early():
    return [EarlyStopping("val/elbo", mode="max", min_delta=1e9, patience=1)]


def gone_on_with(folder, extra):
    """What a run has that was killed, of which the folder is left, and begun again."""
    if not (folder / "checkpoints/last.ckpt").is_file():  # there is nothing to go on from
        shutil.rmtree(folder)
        folder.mkdir()
    in_a_child(folder, extra)
    return left(folder)


def differences(one, other):
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked for each run")
@pytest.mark.parametrize(
    ("extra", "steps", "from_end", "every"),
    [(list, [10, 21, 32], False, 6), (averaged, [10, 21, 32], True, 5), (stopped_early, [10, 21], True, 5)],
    ids=["plain", "averaged", "stopped early"],
)
def test_no_picture_is_lost_wherever_a_run_is_killed(tmp_path, extra, steps, from_end, every):
    # In folders of one name, which is in the pictures.
    (files, images), moments = run_and_moments(tmp_path / "whole" / "run", extra)
    assert {"training.gif", "projector_config.pbtxt", f"images/transition/epoch_{len(steps):04}.png"} <= files.keys()
    assert [step for step, _ in images["images/samples"]] == steps
    assert [step for step, _ in images["animations/training"]] == steps[-1:]
    last_saved = len(moments) - 1 - moments[::-1].index("last.ckpt")
    for moment in range(last_saved + 1 if from_end else 2, len(moments), every):
        found = gone_on_with(tmp_path / f"{moment}" / "run", extra)
        assert (differences(found[0], files), differences(found[1], images)) == ([], []), moments[:moment]
