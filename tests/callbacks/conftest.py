import functools

import pytest

from tests.callbacks.fakes import events, train


@pytest.fixture
def fit(tmp_path):
    """`fit(*callbacks)` trains in `tmp_path`, or in another `run_dir`, as `train` does."""
    return lambda *callbacks, run_dir=tmp_path, **options: train(run_dir, *callbacks, **options)


@pytest.fixture
def tensorboard(tmp_path):
    """`tensorboard()` reads back the events written below `tmp_path`."""
    return functools.partial(events, tmp_path)


@pytest.fixture(scope="module")
def module_patch():
    """`monkeypatch` for runs that several tests look at."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch
