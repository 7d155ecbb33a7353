"""`trainer.skip_gradient_norm`: an update whose gradient is too large is dropped, before clipping, and told."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch

from tests.callbacks.struck import KilledError, state_of
from tests.callbacks.struck import fit as fit_with_checkpoints
from tests.conftest import TINY
from tests.test_config import composed
from tests.tiny import ADAM, NUM_BATCHES, SGD, differing, fit, module
from tests.training.test_finiteness import Recorded, moved, spoil
from vae_lightning.errors import UserError
from vae_lightning.training.averaging import AverageOfTaken, averaging_of
from vae_lightning.training.finiteness import Skip, Stop

LIMIT = 24.5  # which about half of the steps are above
OPTIMIZERS = {"fused": ADAM, "plain": partial(ADAM, fused=False), "sgd": SGD}


class Norms(Recorded):
    """Of every step's gradients, as PyTorch computes them, and everything after it."""

    def __init__(self):
        super().__init__()
        self.norms = []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        gradients = [each.grad for each in pl_module.parameters() if each.grad is not None]
        self.norms.append(float(torch.nn.utils.get_total_norm(gradients)))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gradient_clip_val": 1.0},
        {"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"},
        {"on_nan": "skip"},
        {"accumulate_grad_batches": 3, "gradient_clip_val": 1.0},
    ],
    ids=str,
)
def test_a_step_is_dropped_just_where_the_norm_before_clipping_is_larger(optimizer, options):
    seen, per_step = Norms(), options.get("accumulate_grad_batches", 1)
    start = {name: value.clone() for name, value in module().state_dict().items()}
    limit = LIMIT if per_step == 1 else 22.0  # a mean of more images is smaller
    trained = module(OPTIMIZERS[optimizer], skip_gradient_norm=limit, **options)
    fitted = fit(1, seen, trained=trained, max_epochs=2, log_every_n_steps=1)
    ends = [number for number in range(NUM_BATCHES) if (number + 1) % per_step == 0 or number + 1 == NUM_BATCHES]
    after = [start, *(seen.states[epoch * NUM_BATCHES + end] for epoch in range(2) for end in ends)]
    assert len(seen.norms) == len(after) - 1
    kept = [moved({name: now[name] for name in before}, before) == [] for before, now in pairwise(after)]
    assert kept == [norm > limit for norm in seen.norms]
    assert 0 < sum(kept) < len(kept)
    logged = [row["train/gradient_norm"] for _, row in fitted.of("train")]
    assert logged == pytest.approx(seen.norms, rel=1e-5)


def test_dropped_steps_are_counted_and_told(told):
    seen = Norms()
    fitted = fit(1, seen, trained=module(skip_gradient_norm=LIMIT), max_epochs=1, log_every_n_steps=1)
    count = sum(norm > LIMIT for norm in seen.norms)
    assert fitted.of("train")[-1][1]["train/skipped"] == count
    reason = "as the gradient's norm was above skip_gradient_norm=24.5"
    assert told() == [f"epoch 1: {count} updates were skipped, {reason}"]


def test_the_training_is_the_same_where_no_norm_is_larger():
    plain, limited = (fit(4, trained=module(**options)) for options in ({}, {"skip_gradient_norm": 1e9}))
    assert differing(plain.weights, limited.weights) == []


@pytest.mark.parametrize("how", ["loss", "nan", "inf"])
@pytest.mark.parametrize("optimizer", ["fused", "sgd"])
def test_what_is_not_finite_ends_the_training_all_the_same(how, optimizer):
    trained = spoil(module(OPTIMIZERS[optimizer], skip_gradient_norm=1e9), {4}, how)
    with pytest.raises(UserError, match=r"not finite (at|after) step \d"):
        fit(4, trained=trained, max_epochs=1)


def test_what_is_not_finite_is_dropped_besides_where_it_is_to_be(told):
    trained = spoil(module(on_nan="skip", skip_gradient_norm=1e9), {4, 6}, "inf")
    fit(4, trained=trained, max_epochs=1)
    assert told() == [
        "epoch 1: 2 updates were skipped, as the loss or the gradient was not finite or the gradient's norm was above "
        "skip_gradient_norm=1e+09"
    ]


def test_a_norm_too_large_for_its_type_is_larger():
    layer = torch.nn.Linear(2, 1, bias=False)
    for gradient, dropped in ((1e30, True), (math.inf, False), (math.nan, False), (1.0, False)):
        watch, optimizer = Skip(layer, 5, limit=2.0, stop=Stop(layer)), torch.optim.SGD(layer.parameters(), lr=1)
        layer.weight.grad = torch.full((1, 2), gradient)
        watch.gradient(optimizer)
        assert bool(watch.dropped) is dropped


def test_a_scaled_gradient_is_measured_unscaled_and_dropped_at_the_same_scale():
    layer = torch.nn.Linear(2, 1, bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    before = layer.weight.detach().clone()
    for limit, is_dropped in ((1.0, True), (3.0, False)):
        watch = Skip(layer, 5, scaled=True, limit=limit, stop=Stop(layer))
        optimizer.zero_grad()
        scaler.scale(layer(torch.full((1, 2), 1.5)).sum()).backward()  # of norm 2.12
        scaler.unscale_(optimizer)
        watch.gradient(optimizer)
        scaler.step(optimizer)
        scaler.update()
        assert torch.equal(layer.weight, before) is is_dropped
        assert scaler.get_scale() == 1024.0


def test_too_many_in_a_row_end_the_run():
    trained = module(skip_gradient_norm=1e-3, max_skipped=4)
    with pytest.raises(UserError) as error:
        fit(4, trained=trained, max_epochs=1, log_every_n_steps=10)
    assert str(error.value) == (
        "10 updates in a row were skipped up to step 9, as the gradient's norm was above skip_gradient_norm=0.001 "
        "(trainer.max_skipped=4) (epoch 1); try a smaller optimizer.lr or a larger trainer.skip_gradient_norm"
    )


def test_a_killed_training_goes_on_with_its_counts(tmp_path):
    make = partial(module, skip_gradient_norm=LIMIT)
    whole = fit_with_checkpoints(tmp_path / "whole", 1, make)
    for kill in (5, 13):
        with pytest.raises(KilledError):
            fit_with_checkpoints(tmp_path / "part", 1, make, kill=kill)
        assert state_of(tmp_path / "part")["skipped"]["in_epoch"] > 0
    part = fit_with_checkpoints(tmp_path / "part", 1, make)
    assert differing(part.weights, whole.weights) == []
    rows = {step: row["train/skipped"] for step, row in whole.of("train")}
    assert len(part.of("train")) > 1
    assert all(rows[step] == row["train/skipped"] for step, row in part.of("train"))


def test_averages_know_nothing_of_what_is_dropped():
    config = {
        "averaging": {"_target_": "vae_lightning.callbacks.averaging.EMA"},
        "trainer": {"skip_gradient_norm": 9.0},
    }
    assert [type(one) for one in averaging_of(config, {}, None)][1:] == [AverageOfTaken]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("0", " must be above 0, or null, got 0"),
        ("-2", " must be above 0, or null, got -2"),
        ("nan", " must be above 0, or null, got nan"),
        ("large", "='large': expected float"),
    ],
)
def test_what_can_not_be_is_refused(error_of, tmp_path, value, message):
    option = f"trainer.skip_gradient_norm={value}"
    assert error_of(*TINY, option, f"run_dir={tmp_path / 'run'}").startswith(f"trainer.skip_gradient_norm{message}")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_in_fp16_the_norm_is_not_left_to_a_fused_optimizer(optimizer):
    from vae_lightning.training.settings import check_settings

    words = [*TINY, f"optimizer={optimizer}", "trainer.skip_gradient_norm=9", "trainer.precision=16-mixed"]
    assert composed(*words)["optimizer"]["fused"] is False
    with pytest.raises(UserError, match=r"^optimizer\.fused=true: in fp16 it unscales the gradients itself"):
        check_settings(composed(*words, "optimizer.fused=true"))
