"""Batches become optimizer steps as a loop written by hand would make them."""

import copy
import math
from functools import partial

import numpy as np
import pytest
import torch

from tests.conftest import TINY
from tests.given import fresh
from tests.tiny import ADAM, NUM_BATCHES, SGD, Noise, differing, fit, module, one_thread
from vae_lightning.noise import derive_seed
from vae_lightning.training.stepping import Stepping

# The oracle


@one_thread()
def by_hand(trained, optimizer, *, epochs=1, accumulate=1, max_norm=None, max_value=None, autocast=False):
    """The weights and the losses of a plain PyTorch loop over the same batches."""
    vae, data, losses = copy.deepcopy(trained.vae).train(), Noise(), []
    steps = optimizer(vae.parameters())
    for epoch in range(epochs):
        loader = data.train_dataloader()
        loader.batches.set_epoch(epoch)
        batches = [batches.images[0] for batches in loader]
        torch.manual_seed(derive_seed(7, epoch, 0))
        for number, images in enumerate(batches, start=1):
            x = images.float() / 255
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast, cache_enabled=False):
                output = vae(x, fresh(1, len(x)))
                distortion = -output.likelihood.log_prob(x).mean()
                loss = distortion + torch.distributions.kl_divergence(*as_normals(output)).sum(-1).mean()
            (loss / accumulate).backward()
            losses.append(loss.item())
            if number % accumulate == 0 or number == len(batches):
                if max_norm is not None:
                    norm = torch.stack([weight.grad.norm() for weight in vae.parameters()]).norm()
                    for weight in vae.parameters():
                        weight.grad *= min(1, max_norm / (norm.item() + 1e-6))
                if max_value is not None:
                    for weight in vae.parameters():
                        weight.grad.clamp_(-max_value, max_value)
                steps.step()
                steps.zero_grad()
    return vae.state_dict(), losses


def as_normals(output):
    posterior, prior = output.groups[0].posterior, output.groups[0].prior
    return tuple(torch.distributions.Normal(each.mean, each.stddev) for each in (posterior, prior))


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize(
    ("stepping", "loop"),
    [
        ({}, {}),
        ({}, {"epochs": 2}),
        ({}, {"autocast": True}),
        ({"accumulate_grad_batches": 3}, {"accumulate": 3}),
        ({"gradient_clip_val": 5.0}, {"max_norm": 5.0}),
        ({"gradient_clip_val": 0.1, "gradient_clip_algorithm": "value"}, {"max_value": 0.1}),
        ({"gradient_clip_val": 5.0, "accumulate_grad_batches": 2}, {"accumulate": 2, "max_norm": 5.0, "epochs": 2}),
    ],
    ids=str,
)
@pytest.mark.parametrize("optimizer", [SGD, partial(ADAM, eps=1e-2)], ids=["sgd", "adam"])
def test_training_is_a_plain_loop(optimizer, stepping, loop, steps):
    trained = module(optimizer, **stepping)
    expected, losses = by_hand(trained, optimizer, **loop)
    begin = {name: value.clone() for name, value in trained.vae.state_dict().items()}
    precision = "bf16-mixed" if loop.get("autocast") else "32-true"
    options = {"max_epochs": loop.get("epochs", 1), "precision": precision, "log_every_n_steps": 1}
    fitted = fit(steps, trained=trained, **options)
    for name, value in trained.vae.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-6, msg=name)
    moved = [name for name, value in begin.items() if not torch.allclose(value, expected[name], rtol=1e-3, atol=1e-5)]
    assert len(moved) > len(begin) / 2
    if "accumulate" not in loop:
        logged = [row["train/loss"] for _, row in fitted.of("train") if "train/loss" in row]
        assert logged == pytest.approx(losses, rel=1e-4)
    of_epoch = [row["train/loss_epoch"] for _, row in fitted.rows if "train/loss_epoch" in row]
    epochs = loop.get("epochs", 1)
    assert of_epoch == pytest.approx([sum(each) / len(each) for each in np.split(np.array(losses), epochs)], rel=1e-4)


def test_steps_are_counted_and_logged_from_zero_on():
    fitted = fit(4, trained=module(accumulate_grad_batches=2), log_every_n_steps=2, max_epochs=2)
    assert fitted.trainer.global_step == 2 * 6
    assert [step for step, _ in fitted.of("train")] == [1, 3, 5, 7, 9, 11]
    assert [row["epoch"] for _, row in fitted.of("train")] == [0, 0, 0, 1, 1, 1]
    assert [step for step, _ in fitted.of("val")] == [5, 11]


def test_an_epoch_of_fewer_steps_than_the_logging_interval_is_logged_once():
    fitted = fit(4, log_every_n_steps=1000, max_epochs=3)
    assert [step for step, _ in fitted.of("train")] == [NUM_BATCHES * epoch - 1 for epoch in (1, 2, 3)]


# Clipping


def gradients(*values):
    weights = [torch.nn.Parameter(torch.zeros(len(each))) for each in values]
    for weight, each in zip(weights, values, strict=True):
        weight.grad = torch.tensor(each)
    return weights


@pytest.mark.parametrize("off", [None, 0, 0.0])
@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_no_limit_or_zero_leaves_gradients_alone(off, algorithm):
    weights = gradients([3e8, -4e8])
    Stepping(gradient_clip_val=off, gradient_clip_algorithm=algorithm).clip(iter(weights))
    assert weights[0].grad.tolist() == [3e8, -4e8]


def test_the_norm_is_that_of_all_gradients_together():
    weights = gradients([3.0, 0.0], [4.0])
    Stepping(gradient_clip_val=1).clip(iter(weights))
    assert weights[0].grad.tolist() == pytest.approx([0.6, 0.0], rel=1e-4)
    assert weights[1].grad.tolist() == pytest.approx([0.8], rel=1e-4)
    Stepping(gradient_clip_val=2.0).clip(iter(weights))  # which they are within
    assert weights[1].grad.tolist() == pytest.approx([0.8], rel=1e-4)


def test_values_are_clipped_one_by_one():
    weights = gradients([3.0, -0.25], [-4.0])
    Stepping(gradient_clip_val=0.5, gradient_clip_algorithm="value").clip(iter(weights))
    assert [weight.grad.tolist() for weight in weights] == [[0.5, -0.25], [-0.5]]


def test_weights_that_took_no_part_are_passed_over():
    weights = [*gradients([3.0, 4.0]), torch.nn.Parameter(torch.zeros(2))]
    for algorithm in ("norm", "value"):
        Stepping(gradient_clip_val=1.0, gradient_clip_algorithm=algorithm).clip(iter(weights))
    assert weights[1].grad is None
    assert weights[0].grad.norm().item() == pytest.approx(1, rel=1e-4)


# Mistakes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accumulate_grad_batches": 0}, "accumulate_grad_batches must be at least 1, got 0"),
        ({"accumulate_grad_batches": -3}, "accumulate_grad_batches must be at least 1, got -3"),
        ({"gradient_clip_val": -1.0}, "gradient_clip_val must be at least 0, got -1.0"),
        ({"gradient_clip_val": -math.inf}, "gradient_clip_val must be at least 0, got -inf"),
    ],
)
def test_what_cannot_be_is_named(options, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        Stepping(**options)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("trainer.accumulate_grad_batches=0", "trainer.accumulate_grad_batches must be at least 1, got 0"),
        ("trainer.accumulate_grad_batches=two", "trainer.accumulate_grad_batches='two': expected int"),
        ("trainer.accumulate_grad_batches=1.5", "trainer.accumulate_grad_batches=1.5: expected int"),
        ("trainer.gradient_clip_val=-1", "trainer.gradient_clip_val must be at least 0, got -1"),
        ("+trainer.gradient_clip_algorithm=foo", "trainer.gradient_clip_algorithm='foo': expected norm, value"),
    ],
)
def test_the_command_names_the_trainers_key(error_of, tmp_path, option, message):
    assert error_of(*TINY, option, f"run_dir={tmp_path / 'run'}") == message
    assert not (tmp_path / "run").exists()


def test_the_command_clips_and_accumulates(train):
    from tests.end_to_end.runs import weights

    few = ["callbacks=none", "trainer.max_epochs=1", "trainer.precision=32-true", "trainer.limit_train_batches=1"]
    ways = {"plain": [], "norm": ["trainer.gradient_clip_val=1e-3"], "value": ["trainer.gradient_clip_val=1e-6"]}
    ways["value"].append("+trainer.gradient_clip_algorithm=value")
    trained = {
        name: weights(train(*few, "optimizer.eps=1", *options, name=name))["vae.posterior.loc.bias"]
        for name, options in ways.items()
    }
    # With an epsilon as large as this Adam's first step is nearly in proportion to the gradient.
    begin = weights(train(*few, "optimizer.lr=0", name="begin"))["vae.posterior.loc.bias"]
    step = {name: (value - begin).norm().item() for name, value in trained.items()}
    assert step["value"] < step["norm"] < step["plain"]


def test_a_validation_within_an_epoch_loses_no_gradient():
    plain, validated = (fit(1, trained=module(accumulate_grad_batches=3), val_check_interval=n) for n in (1.0, 4))
    assert len(validated.of("val")) == 2 * len(plain.of("val"))
    assert differing(validated.weights, plain.weights) == []
