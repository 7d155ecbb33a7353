"""TensorBoard opens on the curves that matter, and a run that was begun before it did keeps its curves in one piece."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vae_lightning.loggers.event_files import EventFile
from vae_lightning.loggers.hparams import write_entry
from vae_lightning.loggers.tensorboard import TensorBoard, tag_of

FIGURES = {f"{split}/{name}": 1.0 for split in ("val", "train") for name in ("rate", "loss", "distortion", "elbo")}
FIGURES |= {"beta": 1.0, "learning_rate": 0.1, "train/images_per_s": 9.0, "train/loss_epoch": 1.0, "epoch": 0.0}
FIGURES |= {"test/elbo": -1.0, "train/skipped": 0.0, "mine/own": 1.0}


def as_the_browser_orders(tag: str) -> list[tuple[bool, str]]:
    """The order of names in TensorBoard's front end: digits and slashes before all else."""
    return [(letter not in "/0123456789", letter) for letter in tag]


def tags(folder) -> list[str]:
    return EventAccumulator(str(folder)).Reload().Tags()["scalars"]


def test_the_curves_of_training_and_validation_come_first_and_single_points_behind_them(tmp_path):
    logger = TensorBoard(str(tmp_path))
    logger.log_metrics(FIGURES, 0)
    logger.show_picture("animations/training", b"gif", (1, 1), 0)
    logger.finalize("success")
    write_entry(tmp_path, {}, "finished", {"test/elbo": -1.0, "seconds": 2.0})
    assert sorted(tags(tmp_path), key=as_the_browser_orders) == [
        *("1 elbo/train", "1 elbo/val", "2 loss/train", "2 loss/train_epoch", "2 loss/val"),
        *("3 rate/train", "3 rate/val", "4 distortion/train", "4 distortion/val"),
        *("5 schedules/beta", "5 schedules/epoch", "5 schedules/learning_rate", "6 speed/images_per_s"),
        *("7 skipped/train", "(final)/elbo", "(final)/seconds", "mine/own", "test/elbo"),
    ]


@pytest.mark.parametrize("is_of_before", [True, False])
def test_a_curve_that_was_begun_goes_on_under_its_name(tmp_path, is_of_before):
    def tag(name: str) -> str:
        return name if is_of_before else tag_of(name)

    first = TensorBoard(str(tmp_path))
    for name in ("val/elbo", "epoch"):
        first.experiment.add_scalar(tag(name), 1.0, 0)
    first.finalize("success")
    EventFile(tmp_path).close()  # a process that was killed before its first figure
    resumed = TensorBoard(str(tmp_path), first_step=1)
    resumed.log_metrics({"val/elbo": 2.0, "epoch": 0.0}, 0)  # which has been told
    resumed.log_metrics({"val/elbo": 3.0, "epoch": 1.0}, 1)
    resumed.finalize("success")
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in events.Scalars(tag("val/elbo"))] == [(0, 1.0), (1, 3.0)]
    assert len(tags(tmp_path)) == 2
