"""Averaging as an option of a run: what is tested, opened, shown and gone on with are the averages."""

import dataclasses

import pytest
import torch
import yaml
from lightning.fabric.plugins.environments import TorchElasticEnvironment
from lightning.pytorch import Callback

from tests.callbacks.struck import KilledError, assert_equal_states, fit, state_of
from tests.callbacks.test_within_epoch import in_two_ranks
from tests.tiny import NUM_BATCHES, differing, module
from vae_lightning.callbacks.averaging import EMA
from vae_lightning.errors import UserError
from vae_lightning.objectives.elbo import ELBO
from vae_lightning.runs.trained import open_trained
from vae_lightning.training.averaging import AverageOfTaken, averaging_of

LIGHTNINGS = "{_target_:lightning.pytorch.callbacks.EMAWeightAveraging,decay:0.9,update_every_n_steps:1}"
NO_AVERAGE = "averaging={'decay': 0.9}: does not average weights; choose averaging=ema or averaging=none"
CAPTION = "digits_mlp · epoch 1 · averaged weights"


def loaded(file):
    return torch.load(file, weights_only=True)


def test_a_short_run_tests_trained_weights_and_says_which(train, capsys):
    averaged = train("averaging=ema", "optimizer.lr=0.01", "callbacks=none", name="averaged")
    assert "                (averaged weights)\n" in capsys.readouterr().out
    plain = train("optimizer.lr=0.01", "callbacks=none", name="plain")
    assert "averaged" not in capsys.readouterr().out
    assert differing(loaded(averaged.last)["current_model_state"], loaded(plain.last)["state_dict"]) == []
    elbo, other = (run.metrics()["test/elbo"] for run in (averaged, plain))
    assert abs(elbo - other) < 0.1 * abs(other)  # without the warm-up it is that of the initial weights, -545
    assert averaged.metrics()["test/weights"] == "averaged weights"
    assert "test/weights" not in plain.metrics()
    assert open_trained(str(plain.path), device="cpu").context.endswith(" · epoch 2")


def test_what_is_drawn_of_the_averages_changes_nothing_that_is_trained(train):
    drawn, plain = (
        loaded(train("averaging=ema", f"callbacks={callbacks}", name=callbacks).last) for callbacks in ("basic", "none")
    )
    for weights in ("state_dict", "current_model_state"):
        assert differing(drawn[weights], plain[weights]) == []
    assert differing(drawn["state_dict"], drawn["current_model_state"])


def test_the_place_of_earlier_versions_does_the_same_and_tells_todays(train, capsys):
    now = loaded(train("averaging=ema", "averaging.decay=0.9", "callbacks=basic", name="now").last)
    assert "averaging=ema" not in capsys.readouterr().out
    before = loaded(train("callbacks=[basic,ema]", "callbacks.ema.decay=0.9", name="before").last)
    told = "callbacks.ema: averages the weights as averaging=ema does, which is the place for it now"
    assert told in capsys.readouterr().out.splitlines()
    for weights in ("state_dict", "current_model_state"):
        assert differing(now[weights], before[weights]) == []
    assert now["callbacks"]["EMA"] == before["callbacks"]["EMA"]


def test_a_run_of_an_earlier_version_is_gone_on_with_by_its_own_rule(train, command):
    old = [f"+callbacks.ema={LIGHTNINGS}", "callbacks=none"]
    whole = loaded(train(*old, "trainer.max_epochs=3", name="whole").last)
    part = train(*old, "trainer.max_epochs=2", name="part")
    stored = part.config()
    del stored["averaging"]  # which it did not know
    (part.path / "config.yaml").write_text(yaml.safe_dump(stored))
    command(f"resume={part.path}", "trainer.max_epochs=3")
    for weights in ("state_dict", "current_model_state"):
        assert differing(loaded(part.last)[weights], whole[weights]) == []
    assert open_trained(str(part.path), "last", "cpu").context.endswith(" · epoch 3 · averaged weights")


def test_who_takes_the_weights_of_a_run_takes_the_averages(stateful_run, train, capsys):
    from vae_lightning import VAEModule, open_run

    averages = loaded(stateful_run.best)["state_dict"]
    assert differing(averages, loaded(stateful_run.best)["current_model_state"])
    of_the_model = {name.removeprefix("vae."): value for name, value in averages.items() if name.startswith("vae.")}
    assert differing(dict(open_run(stateful_run.path).model.state_dict()), of_the_model) == []
    assert open_trained(str(stateful_run.path), device="cpu").context == CAPTION
    assert differing(VAEModule.load_from_checkpoint(stateful_run.best).state_dict(), averages) == []
    small = ["model.encoder.hidden=[4]", "model.decoder.hidden=[4]", "model.latent_dim=2"]
    begun = train(*small, f"init_from={stateful_run.path}", "optimizer.lr=0", "callbacks=none", name="begun")
    assert differing(loaded(begun.last)["state_dict"], averages) == []
    assert f"averaged weights of {stateful_run.best}, kept after its epoch 1" in capsys.readouterr().out
    assert begun.origin()["averaged"] is True


def test_a_step_that_is_dropped_is_none_of_the_averages_also_of_a_run_that_is_gone_on_with(tmp_path):
    class Spoilt(ELBO):
        def forward(self, output, x, progress):
            terms = super().forward(output, x, progress)
            spoilt = progress.step in (3, 9) and torch.is_grad_enabled()
            return dataclasses.replace(terms, loss=terms.loss * torch.nan) if spoilt else terms

    def make():
        trained = module(on_nan="skip")
        trained.objective = Spoilt()
        return trained

    def train(name, kill=None):
        ema = EMA(0.9)
        return fit(tmp_path / name, 1, make, lambda: ema, lambda: AverageOfTaken(ema), kill=kill, every=kill and 1)

    whole = train("whole")
    for kill in (5, 8):
        with pytest.raises(KilledError):
            train("part", kill)
    assert differing(train("part").weights, whole.weights) == []
    assert_equal_states(tmp_path / "whole", tmp_path / "part")
    assert int(state_of(tmp_path / "whole")["averaging_state"]["n_averaged"]) == 2 * 11 - 2


def test_ranks_validate_the_same_averages(tmp_path):
    # Of BatchNorm's statistics, too, of which each rank has its own: checkpoints hold those of rank zero.
    class Seen(Callback):
        def on_validation_batch_end(self, trainer, pl_module, *_):
            torch.save(pl_module.state_dict(), tmp_path / f"{trainer.global_rank}.pt")

    def act(rank):
        options = {"accelerator": "cpu", "devices": 2, "strategy": "ddp", "plugins": [TorchElasticEnvironment()]}
        options["every"] = None
        fit(tmp_path / "run", 1, module, EMA, Seen, data={"num_train": 8 * NUM_BATCHES}, max_epochs=1, **options)

    assert in_two_ranks(act) == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert differing(first, second) == []
    saved = state_of(tmp_path / "run")["state_dict"]
    assert differing(first, saved) == []


@pytest.mark.parametrize(
    ("config", "chosen", "message"),
    [
        (
            {"decay": 0.9},
            {},
            NO_AVERAGE,
        ),
        ({}, {"a": EMA(), "b": EMA()}, "callbacks.a and callbacks.b: average the weights twice; leave callbacks.b out"),
    ],
)
def test_what_can_not_average_is_refused_in_a_line(config, chosen, message):
    with pytest.raises(UserError) as error:
        averaging_of({"averaging": config, "trainer": {}}, chosen, None)
    assert str(error.value) == message


def test_averages_stand_before_what_looks_at_them_and_a_config_of_an_earlier_version_has_none():
    other, ema = Callback(), EMA()
    chosen = {"other": other, "mine": ema}
    found = averaging_of({"trainer": {"on_nan": "skip"}}, chosen, None)
    assert found[0] is ema
    assert isinstance(found[1], AverageOfTaken)
    assert chosen == {"other": other}
    assert averaging_of({"trainer": {}}, chosen, None) == []
