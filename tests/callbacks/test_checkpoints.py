"""A checkpoint within an epoch is gone on from bit for bit, whatever was trained and whenever it was killed."""

import dataclasses
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging

from tests import tiny
from tests.tiny import Noise, Rows, differing, module
from vae_lightning.callbacks.checkpoints import Checkpoints
from vae_lightning.checkpoints import AtomicCheckpointIO
from vae_lightning.objectives.elbo import ELBO
from vae_lightning.objectives.iwae import IWAE
from vae_lightning.resumed_state import Live, resumed_state


class KilledError(Exception):
    pass


class Remembering(torch.nn.Module):
    """An objective whose weight is a buffer that every training step moves on."""

    num_samples = 1

    def __init__(self):
        super().__init__()
        self.plain = ELBO()
        self.schedules = self.plain.schedules
        self.register_buffer("moved", torch.ones(()))

    def forward(self, output, x, step):
        terms = self.plain(output, x, step)
        if torch.is_grad_enabled():
            self.moved += 0.1 * terms.rate.detach().mean().tanh()
        return dataclasses.replace(terms, loss=terms.loss * self.moved)


def killed_at(step, trained):
    """Have the training die as it begins its batch number `step`, counted from 0 over all epochs."""
    plain, begun = trained._train_on, []

    def train_on(*arguments, **named):
        if len(begun) == step:
            raise KilledError
        begun.append(step)
        plain(*arguments, **named)

    trained._train_on = train_on


def fit(folder: Path, steps, make, *callbacks, kill=None, every=1, data=None, **options):
    folder.mkdir(exist_ok=True)
    trained = make()
    if kill is not None:
        killed_at(kill, trained)
    last = folder / "checkpoints/last.ckpt"
    taken = AtomicCheckpointIO(lambda: resumed_state(Live(trained, trained.trainer, trained.trainer.datamodule)))
    options |= {"default_root_dir": folder, "enable_checkpointing": True, "plugins": [taken]}
    checkpoints = Checkpoints(every_minutes=None, every_steps=every)
    return tiny.fit(
        steps,
        *(callback() for callback in callbacks),
        checkpoints,
        trained=trained,
        data=Noise(**(data or {})),
        ckpt_path=last if last.is_file() else None,
        **options,
    )


def state_of(folder: Path) -> dict:
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


def flat(value, name=""):
    if isinstance(value, dict):
        return {key: found for part in value for key, found in flat(value[part], f"{name}.{part}").items()}
    if isinstance(value, list | tuple):
        return flat(dict(enumerate(value)), name)
    return {name: value}


def assert_equal_states(one: Path, other: Path) -> None:
    parts = ("state_dict", "optimizer_states", "callbacks", "global_step", "epoch", "current_model_state")
    first, second = (flat({key: state_of(folder).get(key) for key in parts}) for folder in (one, other))
    assert first.keys() == second.keys()
    same = {
        name: torch.equal(value, second[name]) if isinstance(value, torch.Tensor) else value == second[name]
        for name, value in first.items()
    }
    assert [name for name, equal in same.items() if not equal] == []


CASES = {
    "plain": {},
    "dynamic and flipped": {"data": {"binarize": "dynamic", "horizontal_flip": True}},
    "bf16": {"precision": "bf16-mixed"},
    "accumulating": {"stepping": {"accumulate_grad_batches": 3}},
    "accumulating all": {"stepping": {"accumulate_grad_batches": 100}},
    "clipped": {"stepping": {"gradient_clip_val": 0.5, "accumulate_grad_batches": 2}},
    "averaged": {"callbacks": [EMAWeightAveraging], "steps": (1, 1)},
    "limited": {"limit_train_batches": 7},
    "overfitting": {"overfit_batches": 5},
    "bound": {"objective": lambda: IWAE(num_samples=3)},
    "remembering": {"objective": Remembering},
    "warmed up": {"objective": lambda: ELBO(beta=2.0, warmup_steps=17)},
    "annealed": {"schedule": lambda progress: 1 - progress / 2},
    "validating within": {"val_check_interval": 4, "steps": (1, 1)},
    "bounded": {"max_steps": 19, "steps": (1, 1)},
    "other executions": {"steps": (3, 4)},
    "many executions": {"steps": (2, 16)},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_killed_training_ends_as_one_that_was_not(tmp_path, case):
    options = dict(case)
    steps, callbacks = options.pop("steps", (2, 2)), options.pop("callbacks", [])
    made = {name: options.pop(name) for name in ("objective", "schedule") if name in options}
    stepping = options.pop("stepping", {})

    def make():
        trained = module(**stepping)
        if "objective" in made:
            trained.objective = made["objective"]()
        trained.schedule = made.get("schedule")
        return trained

    logged = Rows()
    whole = fit(tmp_path / "whole", steps[0], make, *callbacks, logger=logged, **options)
    rows, part = [], None
    for kill in (5, 12, None):  # within the first epoch, and then within the second
        folder = tmp_path / "part"
        last = folder / "checkpoints/last.ckpt"
        first_step = state_of(folder)["global_step"] if last.is_file() else 0
        rows = [row for row in rows if row[0] < first_step]
        logger = Rows()
        with suppress(KilledError):
            part = fit(folder, steps[kill != 5], make, *callbacks, kill=kill, logger=logger, **options)
        rows += logger.rows
    assert part is not None
    assert rows == logged.rows
    assert_equal_states(tmp_path / "whole", tmp_path / "part")
    assert differing(part.weights, whole.weights) == []
    assert part.trainer.global_step == whole.trainer.global_step
