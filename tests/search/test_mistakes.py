"""Every mistake in a search's settings is answered with one line that names the key, before anything is written."""

import sys

import pytest

BASE = ["-m", "hparams_search=optuna", "data=digits", "model=mlp"]
RATE = "optimizer.lr=tag(log,interval(1e-4,1e-2))"

MISTAKES = {
    "": "hparams_search=optuna: nothing to search; give keys several values",
    "optimizer.lr=interval(2,1)": "optimizer.lr=interval(2,1): `low <= high` must hold",
    "optimizer.lr=tag(log,interval(0,1))": "optimizer.lr=tag(log,interval(0,1)): `low > 0` must hold",
    "optimizer.lr=tag(foo,interval(1,2))": "no such tag as foo; valid here: log",
    "optimizer.lr=tag(log,choice(1,2))": "a choice has no order and takes no tag",
    "optimizer.lr=range(5,1)": "optimizer.lr=range(5,1): there is nothing in this range",
    "optimizer.lr=range(5,1,0)": "optimizer.lr=range(5,1,0): the step is zero",
    "optimizer.lr=interval(1,inf)": "optimizer.lr=interval(1,inf): its ends must be finite",
    "optimizer=glob(x*)": "optimizer=glob(x*): there is nothing to choose from",
    "optimizer.lrr=interval(1,2)": "optimizer.lrr: no such key; did you mean lr?",
    "optimizer=adam,admw": "optimizer=admw: no such option; did you mean adamw?",
    f"{RATE} hydra.sweeper.n_trials=0": "hydra.sweeper.n_trials must be at least 1, got 0",
    f"{RATE} hydra.sweeper.n_trials=abc": "hydra.sweeper.n_trials='abc': expected int",
    f"{RATE} hydra.sweeper.n_jobs=0": "hydra.sweeper.n_jobs must be at least 1, or -1 for one a core, got 0",
    f"{RATE} hydra.sweeper.direction=up": "hydra.sweeper.direction='up': expected maximize, minimize",
    f"{RATE} hydra.sweeper.n_trails=3": "hydra.sweeper.n_trails: no such key",
    f"{RATE} +hydra.sweeper.foo=3": "hydra.sweeper.foo: no such key; valid here: direction, metric",
    f"{RATE} +hydra.sweeper.sampler.foo=3": "hydra.sweeper.sampler.foo: no such key; valid here: ",
    f"{RATE} +hydra.sweeper.pruner.foo=3": "hydra.sweeper.pruner.foo: no such key; valid here: interval_steps",
    f"{RATE} hydra/sweeper/sampler=tpee": "hydra/sweeper/sampler=tpee: no such option; did you mean tpe?",
    f"{RATE} hydra/sweeper/pruner=none hydra.sweeper.pruner._target_=builtins.dict": "must have a _target_ that is an",
    f"{RATE} hydra.sweeper.storage=sqlite:///x.db": "study_name must be given with hydra.sweeper.storage=sqlite:///x.db",
    f"{RATE} hydra.sweeper.study_name=a hydra.sweeper.storage=sqlite:////nowhere/x.db": "unable to open database file",
    f"{RATE} hydra.sweeper.study_name=a hydra.sweeper.storage=nodb://x": "hydra.sweeper.storage=nodb://x: can't be op",
    f"{RATE} hydra.sweeper.study_name=a hydra.sweeper.storage=/nowhere/x": "hydra.sweeper.storage=/nowhere/x: can't be",
}


@pytest.mark.parametrize("overrides", MISTAKES)
def test_mistakes_are_told_in_one_line(error_of, tmp_path, overrides):
    assert MISTAKES[overrides] in error_of(*BASE, *overrides.split())
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_search_and_a_search_without_m(error_of, tmp_path):
    assert "did you mean optuna?" in error_of("-m", "hparams_search=optun")
    assert "a search is a sweep; add -m" in error_of(*BASE[1:], "optimizer.lr=0.1")
    assert list(tmp_path.iterdir()) == []


def test_optuna_that_is_not_installed(error_of, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert error_of(*BASE, RATE).endswith('Optuna is not installed: pip install "vae-lightning[search]"')
