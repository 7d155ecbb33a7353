"""Trials that go worse than those before end early, on a real study; those that can't be judged train on."""

import optuna
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from optuna.pruners import MedianPruner
from optuna.trial import TrialState, create_trial

from vae_lightning.callbacks.pruning import PruneTrial, open_storage
from vae_lightning.errors import UserError

NUM_BEFORE = 3


@pytest.fixture(params=["journal", "sqlite"])
def place(request, tmp_path):
    """The sweep's directory, in which trials 0 to 2 have finished with these values, and trial 3 runs."""
    storage = None if request.param == "journal" else f"sqlite:///{tmp_path / 'search.db'}"

    class Place:
        run_dir = tmp_path / str(NUM_BEFORE)

        def study(self) -> optuna.Study:
            return optuna.load_study(study_name="search", storage=open_storage(storage, tmp_path))

        def begin(self, *values: float) -> None:
            study = optuna.create_study(
                study_name="search", storage=open_storage(storage, tmp_path), direction="maximize"
            )
            for _ in range(NUM_BEFORE):
                study.add_trial(create_trial(value=values[-1], intermediate_values=dict(enumerate(values))))
            assert study.ask().number == NUM_BEFORE

        def trial(self) -> optuna.trial.FrozenTrial:
            return self.study().trials[NUM_BEFORE]

        def callback(self, **options) -> PruneTrial:
            pruner = options.pop("pruner", MedianPruner(n_startup_trials=1, n_warmup_steps=1))
            return PruneTrial(NUM_BEFORE, storage, pruner=pruner, **options)

    return Place()


def test_a_trial_that_goes_worse_is_ended(fit, place):
    place.begin(0.0, 0.0, 0.0)
    callback = place.callback()
    trainer = fit(callback, run_dir=place.run_dir)
    value = float(trainer.callback_metrics["val/elbo"])
    assert value < 0
    assert trainer.current_epoch == 2  # the first is never judged
    assert callback.reason == "pruned after epoch 2"
    assert place.trial().intermediate_values == {0: value, 1: value}
    assert place.trial().user_attrs["pruned_after_epoch"] == 2
    assert place.trial().state == TrialState.RUNNING  # what it was, the search tells


def test_a_trial_that_goes_better_trains_on(fit, place):
    place.begin(-1e9, -1e9, -1e9)
    callback = place.callback()
    assert fit(callback, run_dir=place.run_dir).current_epoch == 3
    assert callback.reason is None
    assert list(place.trial().intermediate_values) == [0, 1, 2]
    assert not place.trial().user_attrs


def test_without_a_pruner_no_trial_ends(fit, place):
    place.begin(0.0, 0.0, 0.0)
    assert fit(place.callback(pruner=None), run_dir=place.run_dir).current_epoch == 3
    assert list(place.trial().intermediate_values) == [0, 1, 2]


def test_pruning_changes_no_weights(fit, place):
    def weights(*callbacks, **options):
        return fit(*callbacks, **options).lightning_module.state_dict()

    place.begin(-1e9, -1e9, -1e9)
    bare, reported = weights(), weights(place.callback(), run_dir=place.run_dir)
    assert all(torch.equal(bare[name], reported[name]) for name in bare)


def checkpoint(tmp_path) -> ModelCheckpoint:
    return ModelCheckpoint(tmp_path, "last", save_on_train_epoch_end=True, enable_version_counter=False)


@pytest.mark.filterwarnings("error:.*already reported")
def test_a_resumed_trial_reports_an_epoch_again(fit, place, tmp_path):
    place.begin(-1e9, -1e9, -1e9)
    fit(place.callback(), checkpoint(tmp_path), run_dir=place.run_dir, max_epochs=1)
    # Killed after the validation of epoch 2 and before its checkpoint.
    trial = optuna.trial.Trial(place.study(), place.trial()._trial_id)
    trial.report(-7.0, 1)
    trainer = fit(place.callback(), run_dir=place.run_dir, ckpt_path=tmp_path / "last.ckpt")
    assert trainer.current_epoch == 3
    assert list(place.trial().intermediate_values) == [0, 1, 2]
    assert place.trial().intermediate_values[1] == -7.0


def test_a_trial_killed_after_it_was_pruned_trains_no_further(fit, place, tmp_path):
    place.begin(0.0, 0.0, 0.0)
    first = fit(place.callback(), checkpoint(tmp_path), run_dir=place.run_dir)
    callback = place.callback()
    again = fit(callback, run_dir=place.run_dir, ckpt_path=tmp_path / "last.ckpt")
    assert again.global_step == first.global_step
    assert callback.reason == "pruned after epoch 2"


def test_a_trial_killed_while_it_was_pruned_finishes_that_epoch(fit, place, tmp_path):
    place.begin(0.0, 0.0, 0.0)
    fit(place.callback(), checkpoint(tmp_path), run_dir=place.run_dir, max_epochs=1)
    optuna.trial.Trial(place.study(), place.trial()._trial_id).set_user_attr("pruned_after_epoch", 2)
    callback = place.callback()
    trainer = fit(callback, run_dir=place.run_dir, ckpt_path=tmp_path / "last.ckpt", max_epochs=9)
    assert trainer.current_epoch == 2
    assert callback.reason == "pruned after epoch 2"


def test_a_run_of_a_search_that_is_over_trains_on(fit, place):
    place.begin(0.0, 0.0, 0.0)
    place.study().tell(NUM_BEFORE, -1.0)
    assert fit(place.callback(), run_dir=place.run_dir).current_epoch == 3
    assert place.trial().intermediate_values == {}


def test_nan_is_not_reported(fit, place, monkeypatch):
    place.begin(0.0, 0.0, 0.0)
    from tests.callbacks.fakes import FakeModule

    monkeypatch.setattr(FakeModule, "validation_step", lambda self, batch, _: self.log("val/elbo", torch.nan))
    assert fit(place.callback(), run_dir=place.run_dir).current_epoch == 3
    assert place.trial().intermediate_values == {}


def test_the_sanity_check_is_no_epoch_and_two_validations_are_one(fit, place):
    place.begin(-1e9, -1e9, -1e9)
    fit(place.callback(), run_dir=place.run_dir, num_sanity_val_steps=2, val_check_interval=0.5)
    assert list(place.trial().intermediate_values) == [0, 1, 2]


def test_a_storage_that_fails_does_not_end_a_run(fit, place, monkeypatch, caplog):
    place.begin(0.0, 0.0, 0.0)

    def fail(*_):
        raise optuna.exceptions.StorageInternalError("the database is gone\nfor good")

    monkeypatch.setattr(optuna.trial.Trial, "report", fail)
    with caplog.at_level("WARNING", "vae_lightning"):
        assert fit(place.callback(), run_dir=place.run_dir).current_epoch == 3
    assert "the database is gone: not judged after epoch 1" in caplog.text


def test_a_run_moved_out_of_its_search_trains_on(fit, tmp_path, caplog):
    with caplog.at_level("WARNING", "vae_lightning"):
        assert fit(PruneTrial(0), run_dir=tmp_path / "elsewhere/0").current_epoch == 3
    assert "is no longer in its search's directory: trains without pruning" in caplog.text
    assert not (tmp_path / "elsewhere/study.log").exists()


def test_a_study_or_a_trial_that_is_not_there(fit, place, caplog):
    place.begin(0.0)
    with caplog.at_level("WARNING", "vae_lightning"):
        fit(place.callback(study_name="other"), run_dir=place.run_dir)
        callback = place.callback()
        callback.number = 77
        fit(callback, run_dir=place.run_dir)
    assert caplog.text.count("trains without pruning") == 2


def test_mistakes_are_told(fit, place):
    with pytest.raises(UserError, match="a search is a sweep; add -m"):
        PruneTrial(None)
    place.begin(0.0)
    with pytest.raises(UserError, match="metric=val/elb: not measured by validation; valid here: val/elbo"):
        fit(place.callback(metric="val/elb"), run_dir=place.run_dir)
