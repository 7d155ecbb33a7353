"""A checkpoint within an epoch is gone on from bit for bit, whatever was trained and whenever it was killed."""

import dataclasses
import os
import signal
import socket
import traceback
from contextlib import suppress
from functools import partial

import pytest
import torch
from lightning.fabric.plugins.environments import TorchElasticEnvironment

from tests.callbacks.struck import KilledError, assert_equal_states, die, fit, state_of, struck_at
from tests.tiny import NUM_BATCHES, Rows, differing, module
from vae_lightning.callbacks.averaging import EMA
from vae_lightning.callbacks.progress import ProgressBar
from vae_lightning.callbacks.throughput import Throughput
from vae_lightning.machine.interruption import Interrupted, exit_code, interruptible
from vae_lightning.objectives.elbo import ELBO
from vae_lightning.objectives.iwae import IWAE
from vae_lightning.objectives.terms import Objective


class Remembering(Objective):
    """An objective whose weight is a buffer that every training step moves on."""

    def __init__(self):
        super().__init__()
        self.plain = ELBO()
        self.register_buffer("moved", torch.ones(()))

    def forward(self, output, x, progress):
        terms = self.plain(output, x, progress)
        if torch.is_grad_enabled():
            self.moved += 0.1 * terms.rate.detach().mean().tanh()
        return dataclasses.replace(terms, loss=terms.loss * self.moved)


CASES = {
    "plain": {},
    "dynamic and flipped": {"data": {"binarize": "dynamic", "horizontal_flip": True}},
    "augmented": {"data": {"augmentations": ["shift", "crop", {"name": "colour", "hue": 0.1}]}},
    "bf16": {"precision": "bf16-mixed"},
    "accumulating": {"stepping": {"accumulate_grad_batches": 3}},
    "accumulating all": {"stepping": {"accumulate_grad_batches": 100}},
    "clipped": {"stepping": {"gradient_clip_val": 0.5, "accumulate_grad_batches": 2}},
    "skipping": {"stepping": {"on_nan": "skip"}},
    "averaged": {"callbacks": [EMA], "steps": (1, 1)},
    "limited": {"limit_train_batches": 7},
    "overfitting": {"overfit_batches": 5},
    "bound": {"objective": lambda: IWAE(num_samples=3)},
    "remembering": {"objective": Remembering},
    "warmed up": {"objective": lambda: ELBO(beta=2.0, warmup_steps=17)},
    "annealed": {"schedule": lambda progress: 1 - progress / 2},
    "validating within": {"val_check_interval": 4, "steps": (1, 1), "kills": (4, 12)},
    "validated within": {"val_check_interval": 4, "steps": (1, 1), "kills": (4, 17)},
    "bounded": {"max_steps": 19, "steps": (1, 1)},
    "other executions": {"steps": (3, 4)},
    "many executions": {"steps": (2, 16)},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_killed_training_ends_as_one_that_was_not(tmp_path, case):
    options = dict(case)
    steps, callbacks = options.pop("steps", (2, 2)), options.pop("callbacks", [])
    made = {name: options.pop(name) for name in ("objective", "schedule") if name in options}
    stepping, kills = options.pop("stepping", {}), options.pop("kills", (5, 12))

    def make():
        trained = module(**stepping)
        if "objective" in made:
            trained.objective = made["objective"]()
        trained.schedule = made.get("schedule")
        return trained

    logged = Rows()
    whole = fit(tmp_path / "whole", steps[0], make, *callbacks, logger=logged, every=None, **options)
    rows, part = [], None
    for kill in (*kills, None):  # within the first epoch, and then within the second
        options["every"] = 1 if kill else None
        folder = tmp_path / "part"
        last = folder / "checkpoints/last.ckpt"
        first_step = state_of(folder)["global_step"] if last.is_file() else 0
        rows = [row for row in rows if row[0] < first_step]
        logger = Rows()
        with suppress(KilledError):
            part = fit(folder, steps[kill != kills[0]], make, *callbacks, kill=kill, logger=logger, **options)
        rows += logger.rows
    assert part is not None
    assert rows == logged.rows
    assert_equal_states(tmp_path / "whole", tmp_path / "part")
    assert differing(part.weights, whole.weights) == []
    assert part.trainer.global_step == whole.trainer.global_step


WITHIN_A_VALIDATION = {
    "plain": {},
    "averaged": {"callbacks": [EMA], "steps": (1, 1)},
    "bf16": {"precision": "bf16-mixed"},
    "other executions": {"steps": (3, 4)},
    "within an epoch": {"val_check_interval": 4, "steps": (1, 1)},
    "accumulating": {"val_check_interval": 4, "steps": (1, 1), "stepping": {"accumulate_grad_batches": 3}},
    "two epochs": {"check_val_every_n_epoch": 2, "kills": (1,)},
}


@pytest.mark.parametrize("case", WITHIN_A_VALIDATION.values(), ids=WITHIN_A_VALIDATION.keys())
def test_a_signal_within_a_validation_is_answered_before_its_end(tmp_path, case):
    options = dict(case)
    steps, callbacks = options.pop("steps", (2, 2)), options.pop("callbacks", [])
    stepping, kills = options.pop("stepping", {}), options.pop("kills", (0, 1, 2))
    make = partial(module, **stepping)
    train = partial(fit, at="validation_step", strike=lambda: os.kill(os.getpid(), signal.SIGTERM), every=None)
    logged = Rows()
    whole = fit(tmp_path / "whole", steps[0], make, *callbacks, logger=logged, every=None, **options)
    rows = []
    for number, kill in enumerate(kills):
        logger = Rows()
        with pytest.raises(SystemExit), interruptible():
            train(tmp_path / "part", steps[number % 2], make, *callbacks, kill=kill, logger=logger, **options)
        assert state_of(tmp_path / "part")["within_epoch"]["validating"]
        assert not any("val/loss" in row for _, row in logger.rows[-1:])
        rows += logger.rows
    logger = Rows()
    part = train(tmp_path / "part", steps[1], make, *callbacks, logger=logger, **options)
    assert rows + logger.rows == logged.rows
    assert_equal_states(tmp_path / "whole", tmp_path / "part")
    assert differing(part.weights, whole.weights) == []


def test_who_shows_the_progress_goes_on_as_well(tmp_path):
    with suppress(KilledError):
        fit(tmp_path, 2, module, kill=5)
    bar = ProgressBar(refresh_rate=1)
    fit(tmp_path, 2, module, lambda: bar, Throughput, max_epochs=1, enable_progress_bar=True)
    assert bar._num_batches == NUM_BATCHES


# Runs that have changed


def test_what_has_changed_is_told_and_the_same_share_of_the_epoch_is_left(tmp_path, caplog):
    with suppress(KilledError):
        fit(tmp_path, 2, module, kill=7)
    assert state_of(tmp_path)["within_epoch"]["batches"] == 6
    with caplog.at_level("WARNING"):
        done = fit(tmp_path, 2, module, data={"batch_size": 2}, max_epochs=1)  # 22 batches
    assert "epoch 1, but not bit for bit: it was saved with another num_batches and batch_size" in caplog.text
    assert done.trainer.global_step == 6 + (22 - 12)
    assert [step for step, _ in done.of("val")] == [15]


def test_a_checkpoint_within_an_epoch_of_an_earlier_version_goes_on_there(tmp_path, caplog):
    with suppress(KilledError):
        fit(tmp_path, 1, module, kill=7)
    state = state_of(tmp_path)
    del state["within_epoch"]
    torch.save(state, tmp_path / "checkpoints/last.ckpt")
    with caplog.at_level("WARNING"):
        done = fit(tmp_path, 2, module, max_epochs=1)
    assert "it was saved with another version of this program" in caplog.text
    assert done.trainer.global_step == NUM_BATCHES


# Two ranks


def in_two_ranks(act) -> list[int]:
    """Call `act` in two forks of this process that find each other as ranks; what each exits with."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    forks = []
    for rank in range(2):
        fork = os.fork()
        if fork == 0:
            place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "GROUP_RANK": 0}
            os.environ |= {name: str(value) for name, value in place.items()}
            os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test"}
            code = 1
            try:
                act(rank)
                code = 0
            except KilledError:
                code = 9
            except Interrupted as interrupt:
                code = exit_code(interrupt)
            except SystemExit as leaving:  # as which Lightning raises it again
                code = exit_code(leaving.__context__)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        forks.append(fork)
    return [os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]) for fork in forks]


def test_two_ranks_go_on_bit_for_bit_and_end_together(tmp_path):
    # BatchNorm, dropout and gradients that no step has used yet: each rank has its own.
    def make():
        return module(accumulate_grad_batches=3)

    def train(name, kill=None, strike=die, **place):
        def act(rank):
            hit = kill if strike is die or rank == 1 else None
            options = {"accelerator": "cpu", "devices": 2, "strategy": "ddp", "plugins": [TorchElasticEnvironment()]}
            options |= {"data": {"num_train": 8 * NUM_BATCHES + 1, "binarize": "dynamic"}, "kill": hit} | place
            with interruptible():
                fit(tmp_path / name, 2, make, strike=strike, **options)

        return in_two_ranks(act)

    assert train("whole") == [0, 0]
    assert train("part", 5) == [9, 9]
    state = state_of(tmp_path / "part")["within_epoch"]
    first, second = state["ranks"]
    assert (state["batches"], state["accumulated"]) == (4, 1)
    for part in ("random", "gradients"):
        assert differing(first[part], second[part]) == list(first[part])
    assert differing(first["buffers"], second["buffers"]) != []
    end = partial(train, "part", strike=lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert end(3) == [143, 143]
    assert state_of(tmp_path / "part")["within_epoch"]["batches"] == 8
    assert end(0, at="validation_step") == [143, 143]
    state = state_of(tmp_path / "part")["within_epoch"]
    assert (state["batches"], state["validating"]) == (NUM_BATCHES, True)
    assert train("part") == [0, 0]
    assert_equal_states(tmp_path / "whole", tmp_path / "part")


def test_what_is_not_finite_on_one_rank_is_saved_by_none(tmp_path):
    def act(rank):
        signal.alarm(30)  # ranks that do not agree wait for each other
        trained = module()

        def poison():
            means = [value for name, value in trained.named_buffers() if name.endswith("running_mean")]
            means[0][0] = torch.nan if rank == 1 else 0.0

        struck_at(2, trained, poison)
        options = {"accelerator": "cpu", "devices": 2, "strategy": "ddp", "plugins": [TorchElasticEnvironment()]}
        fit(tmp_path, 2, lambda: trained, kill=4, data={"num_train": 8 * NUM_BATCHES}, **options)

    assert in_two_ranks(act) == [9, 9]
    assert state_of(tmp_path)["within_epoch"]["batches"] == 2
