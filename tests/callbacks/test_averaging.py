"""The averages of the weights: what they are, and that nothing that looks at them touches what is trained."""

from contextlib import suppress

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import WeightAveraging

from tests.callbacks.fakes import pixels, train
from tests.tiny import differing, fit, module
from vae_lightning.callbacks.averaging import EMA, averages, exchanged, warmed_up
from vae_lightning.callbacks.projector import Projector
from vae_lightning.callbacks.training_gif import TrainingGif


class Steps(Callback):
    """Keeps the weights after each step, and what `looks` finds in the module while it holds the averages."""

    def __init__(self, looks=False):
        self.trained, self.shown, self.looks = [], [], looks

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.trained.append(copied(pl_module))
        if self.looks:
            with exchanged(trainer, pl_module):
                self.shown.append(copied(pl_module))


def copied(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


@pytest.mark.parametrize(("decay", "every"), [(0.4, 1), (0.999, 1), (0.999, 3)])
def test_the_first_updates_forget_faster_and_the_first_one_takes_the_weights(decay, every):
    steps = Steps(looks=True)
    fit(1, EMA(decay, every), steps, max_epochs=1)
    name = "vae.posterior.loc.weight"
    updates = [weights[name].double() for weights in steps.trained[::every]]
    expected = updates[0]
    for number, weights in enumerate(updates[1:], start=1):
        kept = min(decay, (1 + number) / (10 + number))
        expected = kept * expected + (1 - kept) * weights
    torch.testing.assert_close(steps.shown[-1][name].double(), expected, rtol=1e-5, atol=1e-7)
    assert torch.equal(steps.shown[0][name], steps.trained[0][name])
    counted = next(name for name in steps.trained[0] if name.endswith("num_batches_tracked"))
    assert torch.equal(steps.shown[-1][counted], steps.trained[::every][-1][counted])


def test_an_average_of_many_updates_has_the_decay_that_was_asked_for():
    average, weight = torch.zeros(3), torch.ones(3)
    warmed_up(0.99)([average], [weight], torch.tensor(10_000))
    torch.testing.assert_close(average, torch.full((3,), 0.01))


def test_who_looks_at_the_averages_leaves_what_is_trained_bit_for_bit():
    looked, unseen = (fit(1, EMA(), Steps(looks), max_epochs=1) for looks in (True, False))
    assert differing(looked.weights, unseen.weights) == []
    trainer, trained = looked.trainer, module()
    before = copied(trained)
    with suppress(KeyError), exchanged(trainer, trained):
        assert differing(copied(trained), before)
        raise KeyError
    assert differing(copied(trained), before) == []


def test_what_has_no_room_for_the_run_says_so_in_a_place_of_its_own(tmp_path):
    drawn = {}
    for folder, callbacks in {"averaged": [EMA()], "plain": []}.items():
        train(tmp_path / folder, *callbacks, TrainingGif(num_images=4), Projector(), max_epochs=1)
        drawn[folder] = pixels(tmp_path / folder / "images/training/epoch_0001.png").shape
        told = (tmp_path / folder / "projector_config.pbtxt").read_text()
        assert f'"newest posterior means, epoch 0001{", averaged weights" if callbacks else ""}"' in told
    (height, *rest), (plain_height, *plain_rest) = drawn["averaged"], drawn["plain"]
    assert (height > plain_height, rest) == (True, plain_rest)  # by a strip below


def test_whether_a_training_averages():
    assert averages(fit(1, WeightAveraging(), max_epochs=1, limit_train_batches=1).trainer)
    assert not averages(fit(1, max_epochs=1, limit_train_batches=1).trainer)
