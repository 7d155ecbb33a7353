"""Checkpoints are saved when they are to be: within an epoch, at its end, at a signal, and never a diverged one."""

import os
import signal
from functools import partial

import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging

from tests import tiny
from tests.callbacks.struck import assert_equal_states, fit, state_of
from tests.tiny import NUM_BATCHES, Rows, differing, module
from vae_lightning.callbacks.checkpoints import Checkpoints
from vae_lightning.errors import UserError
from vae_lightning.machine.interruption import exit_code, interruptible


class Saved(Checkpoints):
    """Notes the batches of the epoch that were trained on whenever last.ckpt was saved."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.places = []

    def _save(self, trainer, name):
        super()._save(trainer, name)
        if name == "last":
            self.places.append((trainer.current_epoch, trainer.lightning_module.epochs.num_trained))


def saved(folder, *, steps=2, make=module, every_minutes=None, every_steps=None, **options):
    checkpoints = Saved(every_minutes, every_steps)
    options |= {"default_root_dir": folder, "enable_checkpointing": True}
    tiny.fit(steps, checkpoints, trained=make(), **options)
    return checkpoints.places


ENDS = [(0, NUM_BATCHES), (1, NUM_BATCHES)]
IN_FIVES = [(0, 5), (0, 10), ENDS[0], (1, 5), (1, 10), ENDS[1]]
SKIPPING = [(0, 6), ENDS[0], (1, 6), ENDS[1]]


@pytest.mark.parametrize(
    ("options", "places"),
    [
        ({}, ENDS),
        ({"every_minutes": 10}, ENDS),
        ({"every_minutes": 1e-9, "steps": 11}, [ENDS[0]] * 3 + [ENDS[1]] * 3),  # there are two batches of validation
        ({"every_minutes": 1e-9, "steps": 5, "limit_val_batches": 0}, IN_FIVES),
        ({"every_steps": 8}, [(0, 8), ENDS[0], (1, 6), ENDS[1]]),  # 8, 16 of the whole training, and 17 for it
        ({"every_steps": 3, "steps": 4}, [(0, 4), (0, 8), ENDS[0], (1, 4), (1, 8), ENDS[1]]),
        ({"every_steps": 11, "limit_val_batches": 0}, ENDS),
        ({"every_steps": 11}, ENDS),  # at the end of an epoch it is saved anyway
        ({"every_steps": 2, "make": partial(module, accumulate_grad_batches=3)}, [(0, 6), ENDS[0], (1, 6), ENDS[1]]),
        # A step that may be dropped is waited for, as what was before it would be lost.
        ({"every_steps": 1, "make": partial(module, accumulate_grad_batches=3, on_nan="skip")}, SKIPPING),
        ({"every_steps": 4, "steps": 1, "val_check_interval": 4, "max_epochs": 1}, [(0, 5), (0, 9), ENDS[0]]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "places",
)
def test_last_ckpt_is_saved_between_calls_and_at_the_end_of_each_epoch(tmp_path, options, places):
    assert saved(tmp_path, **options) == places


@pytest.mark.parametrize("stepping", [{}, {"on_nan": "skip"}, {"accumulate_grad_batches": 3}])
def test_saving_after_each_call_and_batch_of_validation_changes_nothing(tmp_path, stepping):
    options = {"enable_checkpointing": True, "val_check_interval": 4}
    often, seldom = (
        tiny.fit(
            1,
            EMAWeightAveraging(),
            Checkpoints(every_minutes),
            trained=module(**stepping),
            default_root_dir=tmp_path / str(every_minutes),
            **options,
        )
        for every_minutes in (1e-9, None)
    )
    assert differing(often.weights, seldom.weights) == []
    assert often.rows == seldom.rows
    assert_equal_states(tmp_path / "1e-09", tmp_path / "None")


def test_what_the_disk_had_no_room_for_is_tried_again_once_a_checkpoint_is_there(tmp_path):
    tried = []

    class Holding(Rows):
        def save(self):
            tried.append(sorted(path.name for path in tmp_path.glob("checkpoints/*.ckpt")))

    saved(tmp_path, steps=16, logger=Holding(), max_epochs=1)
    assert tried.count(["best.ckpt"]) == 2  # after the one, and before the other


def test_a_signal_is_answered_by_a_checkpoint_of_the_running_call(tmp_path):
    def train(kill):
        with interruptible():
            fit(tmp_path, 3, module, every=None, kill=kill, strike=lambda: os.kill(os.getpid(), signal.SIGTERM))

    for kill, place in {4: (0, 6), 4 + 10: (1, NUM_BATCHES)}.items():  # of the second epoch's last call
        with pytest.raises(SystemExit) as leaving:
            train(kill)
        assert exit_code(leaving.value.__context__) == 143
        state = state_of(tmp_path)
        assert (state["epoch"], state.get("within_epoch", {}).get("batches")) == place


def test_a_checkpoint_at_the_end_of_an_epoch_is_no_place_within_it(tmp_path):
    fit(tmp_path, 2, module, max_epochs=1)
    assert "within_epoch" not in state_of(tmp_path)


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    trained = module()

    def poison():
        trained.vae.posterior.loc.weight.data[0] = torch.nan

    with pytest.raises(UserError, match="not finite"):
        fit(tmp_path, 1, lambda: trained, kill=17, strike=poison)
    assert state_of(tmp_path)["global_step"] == 17


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every_minutes": 0}, "every_minutes must be above 0, or null, got 0"),
        ({"every_minutes": float("nan")}, "every_minutes must be above 0, or null, got nan"),
        ({"every_steps": 0}, "every_steps must be at least 1, got 0"),
    ],
)
def test_intervals_must_be_positive(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Checkpoints(**options)
