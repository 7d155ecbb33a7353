"""A loss or a gradient that is not finite ends the training, or costs one step and nothing else."""

import copy
import csv
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback

from tests.conftest import TINY
from tests.given import fresh
from tests.tiny import ADAM, NUM_BATCHES, SGD, differing, fit, module, one_thread
from vae_lightning.callbacks.averaging import EMA
from vae_lightning.checkpoints.writing import first_not_finite
from vae_lightning.errors import UserError
from vae_lightning.objectives.elbo import ELBO
from vae_lightning.objectives.terms import Progress
from vae_lightning.training.averaging import AverageOfTaken
from vae_lightning.training.evaluating import Evaluator
from vae_lightning.training.finiteness import Undo

NAN, INF = float("nan"), float("inf")


class Spoiled(ELBO):
    """Makes the loss, or a gradient, not finite at some steps."""

    def __init__(self, steps, spoil):
        super().__init__()
        self.steps, self.spoil = steps, spoil

    def forward(self, output, x, progress):
        terms = super().forward(output, x, progress)
        if progress.step in self.steps and torch.is_grad_enabled():
            self.spoil(output, terms)
        return terms


def spoil(trained, steps, how):
    """At these steps the loss is NaN, of which no gradient knows; or the gradient of one weight is NaN or infinite."""
    values = {"nan": NAN, "inf": INF}

    def loss(output, terms):
        terms.loss.add_(NAN)

    def nothing(output, terms):
        pass

    if how in values:
        last = list(trained.vae.parameters())[-1]
        last.register_hook(lambda gradient: gradient + values[how] if trained.global_step in steps else gradient)
    trained.objective = Spoiled(steps, loss if how == "loss" else nothing)
    return trained


OPTIMIZERS = {
    "fused adam": ADAM,
    "adam": partial(ADAM, fused=False),
    "fused adamw": partial(torch.optim.AdamW, lr=1e-2, fused=True),
    "momentum": partial(SGD, momentum=0.9, dampening=0.1),
    "fused momentum": partial(SGD, momentum=0.9, fused=True),
    "rmsprop": partial(torch.optim.RMSprop, lr=1e-3),
}


class Recorded(Callback):
    """Everything that a step may change, after every step."""

    def __init__(self):
        self.states = []

    def on_train_batch_end(self, trainer, pl_module, *_):
        optimizer = {
            f"{number} {name}": value.clone()
            for number, each in enumerate(trainer.optimizers[0].state.values())
            for name, value in each.items()
            if isinstance(value, torch.Tensor)
        }
        weights = {name: value.clone() for name, value in pl_module.state_dict().items()}
        self.states.append(weights | optimizer)


def moved(before, after):
    return differing({name: before[name] for name in before}, {name: after[name] for name in before})


@pytest.mark.parametrize("how", ["loss", "nan", "inf"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_dropped_step_leaves_weights_statistics_and_moments_bit_by_bit(name, how):
    recorded = Recorded()
    fitted = fit(1, recorded, trained=spoil(module(OPTIMIZERS[name], on_nan="skip"), {0, 5, 6}, how), max_epochs=1)
    states = recorded.states
    assert len(states) == fitted.trainer.global_step == NUM_BATCHES
    start = {name: value.clone() for name, value in module().state_dict().items()}
    assert moved(start, states[0]) == []
    assert len(states[0]) == len(start)  # the optimizer has not begun
    assert moved(states[4], states[5]) == moved(states[4], states[6]) == []
    assert "vae.posterior.loc.weight" in moved(states[6], states[7])
    assert all(value.isfinite().all() for value in states[-1].values())


@one_thread()
def test_the_steps_after_it_are_those_of_a_loop_without_it():
    """The oracle: the state before step 5, a plain step on batch 6, as if batch 5 had not been."""
    trained = spoil(module(on_nan="skip"), {5}, "nan")
    seen = {}

    class Keep(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if batch_idx in (4, 6):
                optimizer = copy.deepcopy(trainer.optimizers[0].state_dict())
                seen[batch_idx] = (copy.deepcopy(pl_module.vae.state_dict()), optimizer)
            if batch_idx == 5:
                seen["batch"], seen["random"] = None, torch.get_rng_state()

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if batch_idx == 6:
                seen["batch"] = batch.images[0].clone()

    fit(1, Keep(), trained=trained, max_epochs=1)
    vae = module().vae.train()
    optimizer = ADAM(vae.parameters())
    vae.load_state_dict(seen[4][0])
    optimizer.load_state_dict(seen[4][1])
    torch.set_rng_state(seen["random"])
    x = seen["batch"].float() / 255
    terms = ELBO()(vae(x, fresh(1, len(x))), x, Progress(6))
    terms.loss.mean().backward()
    optimizer.step()
    assert differing(vae.state_dict(), seen[6][0]) == []


def test_dropped_steps_are_counted_logged_and_told(caplog, monkeypatch):
    monkeypatch.setattr("logging.Logger.propagate", True, raising=False)
    trained = spoil(module(on_nan="skip"), {3, 4, 7, NUM_BATCHES + 2}, "loss")
    with caplog.at_level("WARNING", logger="vae_lightning"):
        fitted = fit(4, trained=trained, max_epochs=3)
    counts = {step: row["train/skipped"] for step, row in fitted.of("train")}
    assert [counts[step] for step in (1, 3, 5, 7, 9)] == [0, 1, 2, 3, 3]
    assert counts[2 * NUM_BATCHES - 1] == 1
    assert [record.message for record in caplog.records] == [
        "epoch 1: 3 updates were skipped, as the loss or the gradient was not finite",
        "epoch 2: 1 updates were skipped, as the loss or the gradient was not finite",
    ]


@pytest.mark.parametrize("how", ["loss", "nan"])
def test_of_accumulated_batches_one_spoils_the_step(how):
    recorded = Recorded()
    trained = spoil(module(on_nan="skip", accumulate_grad_batches=3), {1}, how)
    fitted = fit(1, recorded, trained=trained, max_epochs=1)
    assert fitted.trainer.global_step == 4
    steps = recorded.states[2::3]  # after batches 3, 6, 9
    assert moved(steps[0], steps[1]) == []
    assert "vae.posterior.loc.weight" in moved(steps[1], steps[2])


@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_clipping_hides_no_nan(algorithm):
    clipping = {"gradient_clip_val": 1.0, "gradient_clip_algorithm": algorithm}
    fitted = fit(4, trained=spoil(module(on_nan="skip", **clipping), {2}, "nan"), max_epochs=1)
    assert fitted.of("train")[-1][1]["train/skipped"] == 1
    assert first_not_finite(fitted.weights) is None


def test_the_training_is_the_same_where_nothing_is_dropped():
    for options in ({}, {"gradient_clip_val": 0.5, "accumulate_grad_batches": 2}):
        skipping, stopping = (fit(4, trained=module(on_nan=way, **options)) for way in ("skip", "stop"))
        assert differing(skipping.weights, stopping.weights) == []
        assert [row for _, row in stopping.rows] == [
            {name: value for name, value in row.items() if name != "train/skipped"} for _, row in skipping.rows
        ]


def test_averaged_weights_know_nothing_of_a_dropped_step():
    averages = []

    class Average(Callback):
        def on_train_batch_end(self, *_):
            averages.append({name: value.clone() for name, value in ema._average_model.state_dict().items()})

    ema = EMA(decay=0.9)
    trained = spoil(module(on_nan="skip"), {4, 5}, "loss")
    fit(1, ema, AverageOfTaken(ema), Average(), trained=trained, max_epochs=1)
    assert moved(averages[3], averages[5]) == []
    assert moved(averages[5], averages[6])


def test_too_many_in_a_row_end_the_run():
    trained = spoil(module(on_nan="skip", max_skipped=3), {2, 3, 5, 6, 7, 9}, "loss")
    with pytest.raises(UserError) as error:
        fit(4, trained=trained, max_epochs=1, log_every_n_steps=10)
    assert str(error.value) == (
        "3 updates in a row were skipped up to step 9, as the loss or the gradient was not finite "
        "(trainer.max_skipped=3) (epoch 1); try a smaller optimizer.lr or trainer.gradient_clip_val=1"
    )
    fit(4, trained=spoil(module(on_nan="skip", max_skipped=3), {2, 3, 5, 6, 8, 9}, "loss"), max_epochs=1)


def test_a_row_of_dropped_steps_is_counted_over_epochs_and_in_the_checkpoint():
    trained = spoil(module(on_nan="skip", max_skipped=5), set(range(NUM_BATCHES - 3, 100)), "loss")
    checkpoint = {"state_dict": {}}
    fit(4, trained=trained, max_epochs=1)
    trained.on_save_checkpoint(checkpoint)
    assert checkpoint["skipped"] == {"in_a_row": 3, "in_epoch": 0}
    resumed = spoil(module(on_nan="skip", max_skipped=5), {0, 1}, "loss")
    resumed.on_load_checkpoint(checkpoint)
    with pytest.raises(UserError, match=r"^5 updates in a row"):
        fit(4, trained=resumed, max_epochs=1)


# Stop


@pytest.mark.parametrize(
    ("how", "told"), [("loss", "the loss was not finite at step 6"), ("nan", "the loss was not finite at step 7")]
)
def test_stop_names_the_first_loss_that_shows_it(how, told):
    with pytest.raises(UserError, match=f"^{told} "):
        fit(4, trained=spoil(module(), {6}, how), max_epochs=1)


def test_stop_names_the_step_of_a_gradient_that_went_wrong_on_the_way_back():
    trained = module()

    def behind_the_decoder(output, terms):
        output.groups[0].z.register_hook(lambda gradient: gradient * INF)

    trained.objective = Spoiled({6}, behind_the_decoder)
    with pytest.raises(UserError, match=r"^the gradient was not finite at step 6 "):
        fit(4, trained=trained, max_epochs=1)


@pytest.mark.parametrize("how", ["nan", "inf"])
def test_weights_that_are_not_finite_are_told_before_any_loss_shows_them(how):
    last = NUM_BATCHES - 1
    with pytest.raises(UserError, match=f"^the weights were not finite after step {last} "):
        fit(4, trained=spoil(module(SGD), {last}, how), max_epochs=1)


def test_no_checkpoint_holds_weights_that_are_not_finite(tmp_path):
    from lightning.pytorch.callbacks import ModelCheckpoint

    class Poison(Callback):
        """Reaches the weights behind every watch's back."""

        def on_train_epoch_end(self, trainer, pl_module):
            if trainer.current_epoch == 1:
                next(pl_module.parameters()).data.fill_(NAN)

    saving = ModelCheckpoint(tmp_path, "last", every_n_epochs=1, enable_version_counter=False)
    with pytest.raises(UserError, match=r"is not finite \(epoch 2\): no checkpoint is written of that"):
        fit(4, Poison(), saving, enable_checkpointing=True)
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert kept["epoch"] == 0
    assert first_not_finite(kept["state_dict"]) is None


def test_what_was_not_finite_is_named():
    state = {"a": torch.ones(2), "n": torch.tensor(3), "b": torch.tensor([1.0, INF]), "c": torch.tensor(NAN)}
    assert first_not_finite(state) == "b"
    assert first_not_finite({}) is None


def test_undo_puts_back_where_it_is_asked_to():
    for wanted, expected in ((True, [1.0, 2.0]), (False, [5.0, 5.0])):
        tensor = torch.tensor([1.0, 2.0])
        undo = Undo([tensor])
        undo.keep()
        tensor.fill_(5)
        undo.put_back(torch.tensor(wanted))
        assert tensor.tolist() == expected


# The command


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("trainer.on_nan=ignore", "trainer.on_nan='ignore': expected stop, skip"),
        ("trainer.max_skipped=0", "trainer.max_skipped must be at least 1, got 0"),
        ("trainer.max_skipped=few", "trainer.max_skipped='few': expected int"),
    ],
)
def test_what_cannot_be_is_refused(error_of, tmp_path, option, message):
    assert error_of(*TINY, option, f"run_dir={tmp_path / 'run'}") == message


def test_a_run_goes_on_past_a_step_that_it_skips(train, monkeypatch, capsys):
    plain = ELBO.forward

    def poisoned(self, output, x, progress):
        terms = plain(self, output, x, progress)
        if progress.step == 4 and torch.is_grad_enabled():
            terms.loss.mul_(NAN)
        return terms

    monkeypatch.setattr(ELBO, "forward", poisoned)
    run = train("trainer.on_nan=skip", "averaging=ema", "trainer.log_every_n_steps=3", "callbacks=none")
    assert "epoch 1: 1 updates were skipped" in capsys.readouterr().out
    with (run.path / "metrics.csv").open() as stream:
        skipped = [float(row["train/skipped"]) for row in csv.DictReader(stream) if row["train/skipped"]]
    assert skipped == [0, 1, 1, 0, 0, 0]
    for name in ("state_dict", "current_model_state"):
        assert first_not_finite(torch.load(run.best, weights_only=True)[name]) is None


def test_a_validation_that_is_not_finite_is_told_is_no_best_and_stops_nothing(train, monkeypatch, capsys):
    plain, asked = Evaluator.results, []

    def poisoned(self):
        asked.append(self._split)
        if asked == ["val"]:
            self._means.update({"elbo": torch.tensor([NAN])})
        return plain(self)

    monkeypatch.setattr(Evaluator, "results", poisoned)
    run = train("callbacks=[progress,early_stopping]")
    assert capsys.readouterr().out.count("epoch 1: val/elbo is nan; no checkpoint is the best for that") == 1
    assert torch.load(run.best, weights_only=True)["epoch"] == 1
    assert run.metrics()["epochs"] == 2
