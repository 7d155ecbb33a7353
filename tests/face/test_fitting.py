"""`fit` trains what the command trains, and leaves the caller's process as it was."""

import inspect
import logging
import os
import random
import signal
import sys
import threading
import warnings
from pathlib import Path

import hydra
import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

from tests import warm
from tests.conftest import TINY
from tests.end_to_end.runs import assert_equal_weights
from vae_lightning.building.trust import trusting
from vae_lightning.command_line.schema import CONF_DIR
from vae_lightning.errors import UserError
from vae_lightning.face.fitting import fit
from vae_lightning.face.opening import open_run
from vae_lightning.runs.records import RunDir

QUICK = [*TINY, "callbacks=none", "logger=none", "trainer.max_epochs=1"]


def surroundings() -> list[object]:
    logger = logging.getLogger("vae_lightning")
    return [
        signal.getsignal(signal.SIGINT),
        signal.getsignal(signal.SIGTERM),
        list(logger.handlers),
        logger.level,
        logger.propagate,
        warnings.showwarning,
        list(warnings.filters),
        list(sys.argv),
        torch.get_default_dtype(),
        str((torch.tensor(1e-310, dtype=torch.float64) * 0.5).item()),  # a number itself would be equal to 0 then
        GlobalHydra.instance().hydra,
        {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
        threading.active_count(),
        torch.get_num_threads(),
    ]


def draws() -> list[float]:
    return [random.random(), float(np.random.rand()), torch.rand(()).item()]


def test_the_same_weights_as_the_commands_and_twice_in_one_process(train, tmp_path):
    commanded = train("callbacks=none", "logger=none", "trainer.max_epochs=1", name="commanded")
    for name in ("first", "second"):
        run = fit([*QUICK, f"run_dir={tmp_path / name}"], device="cpu")
        assert run.path == tmp_path / name
        assert_equal_weights(commanded, RunDir(run.path))
    assert RunDir(run.path).overrides() == [*QUICK, f"run_dir={tmp_path / 'second'}"]
    assert "vae-train" in (run.path / "environment.json").read_text()


def test_it_leaves_the_process_as_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):  # which runs of earlier tests have set
        monkeypatch.delenv(name, raising=False)
    torch.set_flush_denormal(False)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = draws()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    unchecked = inspect.unwrap(fit)  # what checks types while tests run draws which items of a list it looks at
    with hydra.initialize_config_dir(str(CONF_DIR), version_base="1.3"):  # a program of the caller's own
        before = surroundings()
        run = unchecked([*QUICK, "trainer.num_threads=2"], device="cpu")
        assert surroundings() == before
        with pytest.raises(UserError):
            unchecked([*QUICK, "model.latent_dim=0"])
        assert surroundings() == before
        inspect.unwrap(open_run)(run.path, device="cpu")
    assert draws() == expected
    assert run.path.relative_to(tmp_path).parts[0] == "outputs"
    assert ", outputs/" in repr(run)
    assert run.path.name.endswith("_digits_mlp")


def test_it_goes_on_with_a_run(tmp_path):
    run = fit([*QUICK, f"run_dir={tmp_path / 'run'}"], device="cpu")
    assert run.epoch == 1
    resumed = fit([f"resume={run.path}", "trainer.max_epochs=2"], device="cpu")
    assert resumed.path == run.path
    # Not the file's, which may be a stranger's.
    assert resumed._opened.trusted == trusting((), ["trainer.max_epochs", "output_dir"])
    assert RunDir(run.path).metrics()["epochs"] == 2


def test_own_yaml_and_own_classes(tmp_path, monkeypatch):
    (tmp_path / "my_parts.py").write_text(
        "from vae_lightning.models.networks.mlp import MLPEncoder\n\n\nclass Mine(MLPEncoder):\n    pass\n"
    )
    own = tmp_path / "it's [my] conf"
    (own / "model").mkdir(parents=True)
    (own / "model/mine.yaml").write_text("defaults: [mlp]\nencoder: {_target_: my_parts.Mine}\n")
    monkeypatch.syspath_prepend(tmp_path)
    words = ["data=digits", "model=mine", "trainer=cpu", "trainer.limit_train_batches=1", *QUICK[-3:]]
    run = fit([*words, f"run_dir={tmp_path / 'run'}"], config_dir=own, device="cpu")
    assert type(run.model.encoder).__name__ == "Mine"
    assert run.name == "digits_mine"
    resumed = fit([f"resume={run.path}", "trainer.max_epochs=2", "trust=[my_parts]"], device="cpu")
    assert type(resumed.model.encoder).__name__ == "Mine"
    with pytest.raises(UserError, match=r"^model.latent_dims: no such key; did you mean latent_dim\?"):
        fit(["data=digits", "model=mine", "model.latent_dims=2"], config_dir=own)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data=digit"], "data=digit: no such option; did you mean digits?"),
        (["model.latent_dims=3"], "model.latent_dims: no such key; did you mean latent_dim?"),
        (["data=digits", "optimizer.lr=-1"], "optimizer: Invalid learning rate: -1"),
        (
            ["data=digits", "init_from=nowhere", "initialization=glorot"],
            "init_from=nowhere and initialization=glorot: both say where the weights start; give one of them",
        ),
        (["resume=nowhere"], "resume=nowhere: no such directory"),
        (["sweep=nowhere"], "sweep=nowhere: "),
        (["data=digits", "name=a/b"], "name=a/b"),
        (["-m", "data=digits"], "overrides: -m: is none; -m and the like are for python -m vae_lightning.train"),
        ("data=digits", 'overrides: str is no list; give a list of text, as in ["data=digits", "model=mlp"]'),
        (None, "overrides: NoneType is no list; give a list of text"),
        ({"data": "digits"}, "overrides: dict is no list; give a list of text"),
        ([3], "overrides: give a list of text"),
    ],
)
def test_a_mistake_is_one_line(overrides, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as told:
        inspect.unwrap(fit)(overrides)  # not through what checks types while tests run
    assert str(told.value).startswith(message)
    assert "\n" not in str(told.value)
    assert not list(tmp_path.iterdir())


def test_overrides_that_come_but_once_are_all_heard(tmp_path):
    run = inspect.unwrap(fit)(word for word in [*QUICK, f"run_dir={tmp_path / 'run'}"])
    assert RunDir(run.path).overrides() == [*QUICK, f"run_dir={tmp_path / 'run'}"]


def test_a_folder_of_yaml_that_is_not_there_and_a_device_that_is_none_are_value_errors(tmp_path):
    with pytest.raises(ValueError, match=r"^config_dir: .*nowhere: no such folder$"):
        fit(QUICK, config_dir=tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"^config_dir: expected a path, got 5$"):
        inspect.unwrap(fit)(QUICK, config_dir=5)
    with pytest.raises(ValueError, match=r"^device: expected one of "):
        inspect.unwrap(fit)(QUICK, device="tpu")


def test_it_can_be_quiet(tmp_path, capsys):
    run = fit([*QUICK, f"run_dir={tmp_path / 'run'}"], device="cpu", quiet=True)
    printed = capsys.readouterr()
    assert printed.out.startswith("none of the 4 latent units is active")  # which is a warning
    assert (printed.out.count("\n"), printed.err) == (1, "")
    assert "epoch 1/1" in (run.path / "train.log").read_text()
    assert "VAE_LIGHTNING_QUIET" not in os.environ
    with pytest.raises(ValueError, match=r"^quiet: expected True or False, got 1$"):
        inspect.unwrap(fit)(QUICK, quiet=1)


def test_a_rank_of_torchrun_is_refused(monkeypatch):
    world = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "TORCHELASTIC_RUN_ID": "1"}
    for name, value in world.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="fit: torchrun has started 2 processes"):
        fit(QUICK)


INTERRUPTED = """
import os, signal, sys, threading, vae_lightning
place = sys.argv[1]
def press():
    import time
    while not os.path.exists(place + "/checkpoints/last.ckpt"):
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=press, daemon=True).start()
try:
    vae_lightning.fit([*sys.argv[2:], "trainer.max_epochs=100000", f"run_dir={place}"])
except KeyboardInterrupt as interrupt:
    print("interrupted:", interrupt)
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
assert vae_lightning.open_run(place, ckpt="last", device="cpu").epoch >= 1
print("goes on")
"""


def test_ctrl_c_is_a_keyboard_interrupt_and_the_notebook_goes_on(tmp_path):
    code = [f"import os; os.chdir({str(tmp_path)!r})\n{INTERRUPTED}", str(tmp_path / "run"), *QUICK[:-1]]
    done = warm.run("tests.script", *code, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    assert "interrupted: Ctrl-C; go on with resume=" in done.stdout
    assert done.stdout.endswith("goes on\n")
