"""Checkpoints of a stranger, or of a disk that fails: each is refused in a line, or is what was saved to the bit."""

import copy
import io
import os
import pickle
import sys
import time
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from torch import Tensor

from tests.trained import DIGITS
from vae_lightning.callbacks.samples import Samples
from vae_lightning.checkpoints.expectations import plain
from vae_lightning.checkpoints.reader import UnreadableError, stored
from vae_lightning.errors import UserError
from vae_lightning.runs.records import RunDir
from vae_lightning.runs.trained import open_trained
from vae_lightning.training.run import Parts, build

CALLBACKS = "callbacks=[reconstructions,samples,reconstruction_history,ema,early_stopping]"
OWN = (
    "+callbacks.own={_target_:lightning.pytorch.callbacks.ModelCheckpoint,filename:own,monitor:val/elbo,mode:max,"
    "save_top_k:1,every_n_epochs:1,save_on_train_epoch_end:true,enable_version_counter:false}"
)  # a user's, of Lightning's class
SMALL = ["model.encoder.hidden=[4]", "model.decoder.hidden=[4]", "model.latent_dim=2", "logger=none"]
FIRST = "vae.encoder.layers.1.weight"  # [4, 784]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunDir:
    """One epoch with everything that leaves a state: pictures, averaged weights, early stopping, fused Adam."""
    from vae_lightning.train import main

    path = tmp_path_factory.mktemp("checkpoints") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path.parent)
        arguments = [*DIGITS, *SMALL, CALLBACKS, OWN, "trainer.max_epochs=1", f"run_dir={path}"]
        patch.setattr(sys, "argv", ["vae-train", *arguments])
        main()
    return RunDir(path)


@pytest.fixture(scope="module")
def saved(run) -> dict[str, Any]:
    """What last.ckpt holds, as PyTorch reads it; not to be changed."""
    return torch.load(run.last, weights_only=True)


@pytest.fixture(scope="module")
def parts(run) -> Parts:
    """The run, built to be gone on with."""
    config = run.config()
    config["trainer"]["max_epochs"] = 2
    built = build(config, run, resume=True)
    for callback in built.trainer.checkpoint_callbacks:
        callback.dirpath = str(run.checkpoints)  # as Lightning will find it
    return built


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "forged.ckpt"


def believed(parts: Parts, file: Path) -> dict[str, Any]:
    """What `trainer.fit(ckpt_path=file)` restores from."""
    return parts.trainer.strategy.load_checkpoint(file, weights_only=True)


def refusal(parts: Parts, file: Path) -> str:
    with pytest.raises(UserError) as error:
        believed(parts, file)
    message = str(error.value)
    assert message.startswith(f"{file} ")
    assert message.isprintable()  # so it is one line, and takes no terminal over
    assert len(message) < 600
    return message.removeprefix(f"{file} ")


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        alike = (one.dtype, one.shape, one.stride()) == (other.dtype, other.shape, other.stride())
        return alike and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def key_of(saved: dict[str, Any], name: str) -> str:
    return next(key for key in saved["callbacks"] if key.startswith(name))


# What was saved


def test_a_checkpoint_is_read_as_pytorch_reads_it(parts, run, saved):
    found = believed(parts, run.last)
    assert set(saved) - set(found) == {"config"}  # which nothing is restored from
    for key in ("state_dict", "current_model_state", "averaging_state", "optimizer_states", "epoch", "global_step"):
        assert same(found[key], dict(saved[key]) if isinstance(saved[key], OrderedDict) else saved[key])
    for name, state in found["callbacks"].items():
        assert "ModelCheckpoint" in name or same(state, saved["callbacks"][name])
    assert same(found["loops"]["fit_loop"], saved["loops"]["fit_loop"])


def test_every_kind_of_data_is_read_as_it_was_saved(file):
    weights = torch.randn(4, 3, 2, 2)
    kinds = ("float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
    data = {
        "tensors": {kind: weights.mul(3).to(getattr(torch, kind)) for kind in kinds},
        "laid out": [weights.contiguous(memory_format=torch.channels_last), weights[1:3], weights.permute(3, 1, 0, 2)],
        "small": [torch.zeros(0, 5), torch.zeros(3, 0), torch.tensor(3.0), torch.ones(1, 1)],
        "numbers": [0, -1, 255, 65535, 2**31 - 1, -(2**40), 0.1, float("inf"), True, False, None],
        "text": ["", "ä\n\u2028", "x" * 300],
        "others": ({1, 2}, b"\x00\xff", OrderedDict(a=1), (), (1,), (1, 2, 3, 4), torch.Size([2, 3])),
        7: {"many": {str(number): number for number in range(300)}},
    }
    torch.save(data, file)
    with stored(file) as contents:
        read = plain(contents, "")
    assert same(read | {"others": ()}, data | {"others": ()})
    assert read["others"] == data["others"]


def test_a_damaged_file_is_refused_or_as_it_was(parts, run, file):
    """Flipped bits and cuts all over the file: those where nothing stands change nothing."""
    whole, expected, refused = run.last.read_bytes(), believed(parts, run.last), 0
    for position in range(7, len(whole), len(whole) // 40):
        changed = bytearray(whole)
        changed[position] ^= 1 << position % 8
        file.write_bytes(changed)
        try:
            assert same(believed(parts, file), expected)
        except UserError:
            refused += 1
    assert refused > 30
    for length in (0, 1, 30, 1000, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        assert refusal(parts, file).startswith("can't be read (")


# Contents of another shape, kind or value


def put(path: str, value: Any):
    """Change what stands at a path of keys: `a/0/b`, where a callback is named by the beginning of its key."""

    def change(checkpoint: dict[str, Any]) -> None:
        *parents, last = path.split("/")
        node: Any = checkpoint
        for name in parents:
            node = node[_key(node, name)]
        if value is GONE:
            del node[_key(node, last)]
        else:
            node[_key(node, last)] = value

    return change


def _key(node: Any, name: str) -> Any:
    number = int(name) if name.isdigit() else name
    if isinstance(node, list) or number in node:
        return number
    return next((key for key in node if str(key).startswith(name)), name)


GONE = object()
NAN, INF = float("nan"), float("inf")
ADAM = "optimizer_states/0/state/0"
GROUP = "optimizer_states/0/param_groups/0"
PROGRESS = "loops/fit_loop/epoch_progress"

CHANGES = {
    # The weights
    "state_dict": [None, GONE, "weights", 3, [], {}, {"a": "b"}, {FIRST: None}, {1: torch.ones(3)}, torch.ones(3)],
    f"state_dict/{FIRST}": [
        *(None, GONE, "text", 1.0, [[0.0]]),
        *(torch.zeros(784, 4), torch.zeros(0), torch.zeros(()), torch.zeros(4, 785), torch.zeros(3136)),
        *(torch.zeros(4, 784, dtype=kind) for kind in (torch.float64, torch.int64, torch.bool)),
        *(torch.full((4, 784), value) for value in (NAN, INF, -INF)),
    ],
    "state_dict/more\nweights": [torch.ones(2)],
    f"current_model_state/{FIRST}": [torch.zeros(2), torch.full((4, 784), NAN), None],
    "averaging_state/n_averaged": [torch.tensor(1.0), torch.zeros(5, dtype=torch.int64), 3],
    # How far it has come
    "epoch": [None, GONE, "1", "x" * 1000, 1.0, -1, 2**40, 10**20, True, torch.tensor(1)],
    "global_step": [None, GONE, -1, 2.5, 2**60],
    "pytorch-lightning_version": [None, GONE, "", "x", "0.1", "1.9.0", "2.\n6", "2" * 1000, 2.6],
    "loops": [None, GONE, {}, {"fit_loop": None}, "x"],
    PROGRESS: [None, GONE, {}, {"total": 3, "current": 3}, "x"],
    f"{PROGRESS}/current/completed": [None, GONE, "1", -1, 1.5, torch.tensor(1)],
    "loops/fit_loop/epoch_loop.batch_progress": [None, GONE],
    "loops/fit_loop/epoch_loop.state_dict": [None, GONE],
    "loops/fit_loop/epoch_loop.batch_progress/is_last_batch": [None, 1, "yes"],
    "loops/fit_loop/epoch_loop.state_dict/_batches_that_stepped": ["x", -3],
    # The optimizer
    "optimizer_states": [None, GONE, [], {}, [{}], [{}, {}], ["x"]],
    "optimizer_states/0/state": [None, [], "x", {0: None}, {0: {}}],
    f"{ADAM}/exp_avg": [
        *(None, GONE, "x", 0.0),
        *(torch.zeros(1), torch.zeros(()), torch.zeros(784, 4), torch.zeros(4, 785)),
        torch.zeros(4, 784, dtype=torch.float64),
        torch.full((4, 784), NAN),
    ],
    f"{ADAM}/exp_avg_sq": [torch.zeros(2), torch.full((4, 784), INF)],
    f"{ADAM}/step": [None, GONE, 3, torch.zeros(2), torch.tensor(-1.0), torch.tensor(NAN), torch.tensor(1)],
    GROUP: [None, [], {}, "x"],
    f"{GROUP}/params": [None, GONE, [], [0], list(range(9, -1, -1)), list(range(11)), ["0"] * 10, [0] * 10],
    f"{GROUP}/lr": [None, 2**55, "0.1", NAN, -1.0, True, [0.1], torch.zeros(3)],
    f"{GROUP}/betas": [None, (0.9,), (0.9, 1.0), (-0.1, 0.9), ("a", "b"), 0.9, (0.9, NAN)],
    f"{GROUP}/eps": [-1e-8, None, INF],
    f"{GROUP}/weight_decay": [-1.0, "x"],
    f"{GROUP}/amsgrad": [None, 1, "x", True],  # True: then each parameter has one state more
    # The callbacks
    "callbacks": [None, GONE, [], "x"],
    "callbacks/Reconstructions": [None, [], "x"],
    "callbacks/Reconstructions/fixed": [
        *(None, "x", torch.zeros(16, 1, 28, 28), torch.zeros(16, 1, 28, 27, dtype=torch.uint8)),
        *(torch.zeros(shape, dtype=torch.uint8) for shape in ((28, 28), (), (1001, 1, 28, 28))),
    ],
    "callbacks/Samples/fixed": [torch.zeros(64, 3), torch.zeros(64), torch.full((64, 2), NAN), torch.zeros(1001, 2)],
    "callbacks/Samples/chosen_by": [torch.zeros(3), {"seed": torch.zeros(3)}, {"num_images": [torch.zeros(2)]}],
    "callbacks/ReconstructionHistory/rows": [
        *(None, [], {"a": 1}, {1: None}, {0: torch.zeros(10, 1, 28, 28, dtype=torch.uint8)}),
        {1: torch.zeros(9, 1, 28, 28, dtype=torch.uint8)},
        dict.fromkeys(range(1, 1002), torch.zeros(10, 1, 28, 28, dtype=torch.uint8)),
    ],
    "callbacks/EMAWeightAveraging": [None, {}, {"latest_update_step": "x"}, {"latest_update_step": -1}],
    "callbacks/EarlyStopping/wait_count": [None, GONE, "x", -1, 1.5],
    "callbacks/EarlyStopping/best_score": [None, "x", torch.zeros(3), torch.tensor(NAN), torch.tensor(3)],
    "callbacks/EarlyStopping/stopping_reason": [99, "x"],
    "callbacks/ModelCheckpoint/best_k_models": [
        *(None, [], {"a": "b"}, {"a": torch.tensor(NAN)}, {"a" * 10_001: 1.0}),
        dict.fromkeys(map(str, range(100_001)), 1.0),
    ],
    "callbacks/Checkpoints": [
        None,
        {},
        {"best_score": "x"},
        {"best_score": NAN},
        {"best_score": 1.0, "candidate": "x"},
    ],
    "units": [3, {"rate": [1.0], "variance": [1.0]}],
}


@pytest.mark.parametrize("path", CHANGES)
def test_what_the_live_run_would_not_write_is_refused(parts, saved, file, path):
    for value in CHANGES[path]:
        checkpoint = copy.deepcopy(saved)
        put(path, value)(checkpoint)
        torch.save(checkpoint, file)
        message = refusal(parts, file)
        assert message.startswith(
            ("can't be read (", "is of another model than ", "has values that are not finite (")
        ), value


def test_a_validation_that_was_not_finite_is_gone_on_from(parts, saved, file):
    checkpoint = copy.deepcopy(saved)
    put("callbacks/Checkpoints/candidate", NAN)(checkpoint)
    torch.save(checkpoint, file)
    assert believed(parts, file)["callbacks"]["Checkpoints"]["candidate"] is None


def test_what_nobody_asks_for_reaches_nobody(parts, run, saved, file):
    checkpoint = copy.deepcopy(saved)
    checkpoint |= {
        "hyper_parameters": {"a": 1},
        "Digits": {"x": 1},
        "native_amp_scaling_state": {},
        "lr_schedulers": [{}],
    }
    checkpoint["callbacks"]["Foreign\x1b[2J"] = {"x": 1}
    checkpoint["callbacks"]["Samples"]["more"] = 1
    checkpoint["loops"]["fit_loop"]["more"] = {"x": 1}
    checkpoint["optimizer_states"][0]["state"][99] = {"exp_avg": torch.ones(3)}
    checkpoint["optimizer_states"][0]["param_groups"][0] |= {"fused": "x", "capturable": True, "more": 1}
    torch.save(checkpoint, file)
    assert same(believed(parts, file), believed(parts, run.last))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *[("Adam", {}), ("Adam", {"amsgrad": True}), ("AdamW", {"fused": True}), ("SGD", {"lr": 0.1}), ("ASGD", {})],
        *[("SGD", {"lr": 0.1, "momentum": 0.9}), ("RMSprop", {"momentum": 0.1, "centered": True}), ("NAdam", {})],
        *[("Adagrad", {}), ("Adadelta", {}), ("Adafactor", {}), ("Adamax", {}), ("RAdam", {}), ("Rprop", {})],
    ],
)
def test_the_state_of_every_optimizer_is_taken_as_it_was(file, name, settings):
    from vae_lightning.checkpoints.contents import reading
    from vae_lightning.training.resumed_state import optimizer_state

    def optimizer() -> torch.optim.Optimizer:
        torch.manual_seed(0)
        weights = [torch.randn(3, 4), torch.randn(4, 3, 2, 2).contiguous(memory_format=torch.channels_last)]
        return getattr(torch.optim, name)(map(torch.nn.Parameter, weights), **settings)

    trained = optimizer()
    for _ in range(3):
        for parameter in trained.param_groups[0]["params"]:
            parameter.grad = torch.ones_like(parameter)
        trained.step()
    fresh = optimizer()
    before = copy.deepcopy(fresh.state_dict())
    torch.save(trained.state_dict(), file)
    with reading(file, "") as take:
        state = take(lambda value, where: optimizer_state(fresh, value, where))
    assert same(state["state"], trained.state_dict()["state"])
    assert same(state["param_groups"], trained.state_dict()["param_groups"])
    assert same(fresh.state_dict(), before)
    assert all(
        torch.equal(a, b) for a, b in zip(*(o.param_groups[0]["params"] for o in (fresh, optimizer())), strict=True)
    )


class Foreign(Callback):
    """A user's own callback, with a state and a key of its own in the checkpoint."""

    def __init__(self):
        self.count, self.seen = 0, None

    def state_dict(self):
        return {"count": self.count, "seen": self.seen}

    def on_load_checkpoint(self, trainer, pl_module, checkpoint): ...


def test_a_users_own_callback_has_its_state_and_its_keys(parts, saved, file):
    checkpoint = copy.deepcopy(saved)
    state = {"count": 3, "seen": [torch.ones(2), {"a": None}], "more": b"x"}
    checkpoint |= {"own": {"x": torch.ones(3)}}
    checkpoint["callbacks"]["Foreign"] = state
    torch.save(checkpoint, file)
    parts.trainer.callbacks.append(Foreign())
    try:
        found = believed(parts, file)
        assert same(found["callbacks"]["Foreign"], state)
        assert same(found["own"], checkpoint["own"])
        for wrong in ({"count": "x"}, {"seen": torch.full((2,), NAN)}, [1]):
            torch.save(saved | {"callbacks": {"Foreign": wrong}}, file)
            refusal(parts, file)
    finally:
        parts.trainer.callbacks.pop()
    torch.save(checkpoint, file)
    assert "own" not in believed(parts, file)


def test_a_state_laid_out_otherwise_is_laid_out_as_its_parameter(parts, saved, file):
    checkpoint = copy.deepcopy(saved)
    states = checkpoint["optimizer_states"][0]["state"][0]
    expected = torch.randn(4, 784)
    states["exp_avg"] = expected.t().contiguous().t()
    states["exp_avg_sq"] = torch.ones(4 * 784).expand(4, 4 * 784)[
        :, :784
    ]  # rows that are one row, in a storage of four
    torch.save(checkpoint, file)
    found = believed(parts, file)["optimizer_states"][0]["state"][0]
    assert {found[name].stride() for name in ("exp_avg", "exp_avg_sq")} == {(784, 1)}
    assert torch.equal(found["exp_avg"], expected)
    assert found["exp_avg_sq"].untyped_storage().nbytes() == 4 * 4 * 784


@pytest.mark.parametrize(("own", "num_stored"), [(4, 1000), (1200, 1200), (1200, 4)])
def test_pictures_of_another_number_than_the_run_now_asks_for_are_taken(parts, file, own, num_stored):
    state = {"fixed": torch.randn(num_stored, 2), "chosen_by": {"num_images": num_stored, "seed": 0}}
    torch.save(state, file)
    with stored(file) as contents:
        found = Samples(num_images=own).expected_state(parts.module, parts.data)(contents, "")
    assert same(found, state)


# Paths


PATHS = [
    *("", "/", ".", "..", "../..", "/a/..", "local:///etc", "s3://bucket/x.ckpt", "http://localhost:1/x.ckpt"),
    *(
        "file:///etc/passwd",
        "memory://x",
        "/etc/passwd",
        "zip://x::s3://y",
        "best.ckpt\0",
        "folder",
        "link.ckpt",
        "x" * 5000,
    ),
]


def test_no_path_is_taken_out_of_a_file(parts, run, saved, file, monkeypatch):
    import fsspec

    (run.checkpoints / "folder").mkdir()
    (run.checkpoints / "link.ckpt").symlink_to(run.path / "config.yaml")
    asked: list[Any] = []
    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda *path, **_: asked.append(path))
    checkpoint = copy.deepcopy(saved)
    for key, state in checkpoint["callbacks"].items():
        if key.startswith("ModelCheckpoint"):
            state["best_k_models"] = dict.fromkeys([*PATHS, "/elsewhere/own.ckpt"], torch.tensor(1.0))
            state |= {
                "best_model_path": "..",
                "kth_best_model_path": "s3://b/c",
                "last_model_path": "local:///x",
                "dirpath": "/",
            }
    torch.save(checkpoint, file)
    states = [state for key, state in believed(parts, file)["callbacks"].items() if key.startswith("ModelCheckpoint")]
    assert len(states) == 1
    for state in states:
        assert list(state["best_k_models"]) == [str(run.checkpoints / "own.ckpt")]
        assert state["dirpath"] == str(run.checkpoints)
        assert state["best_model_path"] == state["kth_best_model_path"] == str(run.checkpoints / "own.ckpt")
        assert state["last_model_path"] == ""
        assert state["best_model_score"] == 1
    assert not asked
    (run.checkpoints / "link.ckpt").unlink()
    (run.checkpoints / "folder").rmdir()


def test_resuming_removes_nothing_that_a_checkpoint_names(train, command, tmp_path):
    own = OWN.replace("filename:own,monitor:val/elbo,mode:max,", "filename:own,")
    trained = train("callbacks=none", "logger=none", own)
    canary = tmp_path / "canary"
    (canary / "below").mkdir(parents=True)
    checkpoint = torch.load(trained.last, weights_only=True)
    checkpoint["callbacks"][key_of(checkpoint, "ModelCheckpoint")]["best_model_path"] = f"local://{canary}"
    torch.save(checkpoint, trained.last)
    trust = "trust=[lightning.pytorch.callbacks.ModelCheckpoint]"
    command(f"resume={trained.path}", "trainer.max_epochs=3", trust)
    assert trained.metrics()["epochs"] == 3
    assert (canary / "below").is_dir()


# Earlier versions, and checkpoints within an epoch


@pytest.mark.parametrize("best", [-123.5, None])
def test_the_best_score_of_an_earlier_version_is_taken_over(parts, saved, file, best):
    checkpoint = copy.deepcopy(saved)
    former = {"monitor": "val/elbo", "best_model_score": None if best is None else torch.tensor(best)}
    former |= {"best_model_path": "s3://x/..", "best_k_models": {"..": torch.tensor(1.0)}}
    settings = "'every_n_train_steps': 0, 'every_n_epochs': 1, 'train_time_interval': None}"
    del checkpoint["callbacks"]["Checkpoints"]
    checkpoint["callbacks"] |= {
        f"ModelCheckpoint{{'monitor': 'val/elbo', 'mode': 'max', {settings}": former,
        f"ModelCheckpoint{{'monitor': None, 'mode': 'min', {settings}": former,
    }
    torch.save(checkpoint, file)
    assert believed(parts, file)["callbacks"]["Checkpoints"] == {"best_score": best}


def within(parts: Parts) -> dict[str, Any]:
    module = parts.module
    run = {"num_batches": 9, "batch_size": 128, "num_ranks": 1, "accumulate_grad_batches": 1, "device": "cpu"}
    rank = {
        "random": {"cpu": torch.get_rng_state()},
        "gradients": {FIRST: torch.full((4, 784), INF)},
        "buffers": dict(module.named_buffers()),
    }
    place = {"batches": 4, "validating": False, "accumulated": 1}
    return place | {"run": run | {"precision": "bf16-mixed"}, "ranks": [rank]}


def twister(left: int, following: int) -> Tensor:
    """A generator's state that has so many words left, of 624, and draws that one next."""
    state = torch.Generator().get_state()
    state[8:12].view(torch.int32).fill_(left)
    state[16:24].view(torch.int64).fill_(following)
    return state


WITHIN = {
    "batches": [None, GONE, -1, 9, 10, "x", 10**9, 0],
    "validating": [None, 1, "x"],
    "accumulated": [None, -1, 5],
    "run": [None, [], {"num_batches": "x"}, {"num_ranks": 2}],
    "ranks": [None, [], {}, ["x"], [{}]],
    "ranks/0/random": [None, {}, {"cpu": "x"}, {"cpu": torch.zeros(3, dtype=torch.uint8)}],
    "ranks/0/random/cpu": [
        *(torch.zeros(5056, dtype=torch.uint8), torch.zeros(5056), torch.full((5056,), 255).byte()),
        *(twister(*words) for words in ((624, 624), (624, 2), (1, 623), (300, 326), (0, 624), (625, 0), (2, 0))),
    ],
    "ranks/0/gradients": [None, {FIRST: torch.zeros(2)}, {FIRST: None}, {FIRST: torch.zeros(4, 784).double()}],
    "ranks/0/buffers": [None, {"vae.prior.loc": torch.zeros(3)}, {"vae.prior.loc": torch.tensor([NAN, 0.0])}],
}


def test_a_place_within_an_epoch_is_taken_as_it_was_and_refused_where_it_is_none(parts, saved, file):
    place = within(parts)
    torch.save(saved | {"within_epoch": place}, file)
    assert same(believed(parts, file)["within_epoch"], place)
    torch.save(saved | {"within_epoch": {key: place[key] for key in place if key != "validating"}}, file)
    assert same(believed(parts, file)["within_epoch"], place)  # an earlier version's
    torch.save(saved | {"within_epoch": place | {"batches": 9, "validating": True}}, file)
    assert believed(parts, file)["within_epoch"]["batches"] == 9
    for path, values in WITHIN.items():
        for value in values:
            changed = copy.deepcopy(place)
            put(path, value)(changed)
            torch.save(saved | {"within_epoch": changed}, file)
            assert "within_epoch" in refusal(parts, file), (path, value)


@pytest.mark.parametrize("num_drawn", [0, 1, 2, 100, 311, 623, 624, 625, 1248, 1249])
def test_the_state_of_a_generator_is_taken_whatever_it_has_drawn(parts, saved, file, num_drawn):
    generator, place = torch.Generator().manual_seed(num_drawn), within(parts)
    for draw in (torch.rand, torch.randn, torch.randperm):
        for _ in range(num_drawn):
            draw(1, generator=generator)
        put("ranks/0/random/cpu", generator.get_state())(place)
        torch.save(saved | {"within_epoch": place}, file)
        assert same(believed(parts, file)["within_epoch"], place)


# Files that are no checkpoints, or promise what they have not


class Call:
    """Pickled as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class Storage:
    """Pickled as a storage, of so many values, whose bytes are in a file of the archive."""

    def __init__(self, key="0", size=4, kind=torch.FloatStorage, told="storage"):
        self.persistent = (told, kind, key, "cpu", size)


class Pickler(pickle._Pickler):
    def persistent_id(self, obj):
        return getattr(obj, "persistent", None) if isinstance(obj, Storage) else None


def forge(file: Path, value: Any, *, protocol: int = 2, pickled: bytes | None = None, **options: Any) -> None:
    """An archive as `torch.save` writes it, of any pickle; storage 0 has 16 bytes."""
    buffer = io.BytesIO()
    Pickler(buffer, protocol).dump(value)
    compression = options.get("compression", zipfile.ZIP_STORED)
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("archive/data.pkl", buffer.getvalue() if pickled is None else pickled)
        archive.writestr("archive/byteorder", options.get("byteorder", sys.byteorder))
        archive.writestr("archive/data/0", options.get("content", bytes(16)))
        for name in options.get("more", []):
            archive.writestr(name, b"x")


def rebuilt(storage=None, offset=0, shape=(4,), stride=(1,), function=torch._utils._rebuild_tensor_v2, more=()):
    return Call(function, storage or Storage(), offset, shape, stride, False, OrderedDict(), *more)


def doubled(times: int) -> list[Any]:
    value: list[Any] = [1]
    for _ in range(times):
        value = [value, value]
    return value


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def endless() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["x"] = value
    return value


def check_unreadable(file: Path, name: str) -> None:
    with pytest.raises(UnreadableError) as error, stored(file) as contents:
        plain(contents, "")
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 300
    assert REASONS.get(name, "") in str(error.value)


# By which of the limits it is refused, where others would refuse it later, or after it has taken memory.
REASONS = {
    **dict.fromkeys(
        ["a storage longer than its bytes", "a little longer", "shorter", "a storage of another kind"],
        "a storage of another type or size than its bytes",
    ),
    **dict.fromkeys(
        [
            "a persistent thing that is no storage",
            "a storage by a number",
            "a size that is none",
            "a number for a kind",
        ],
        "a storage without a name or a size",
    ),
    **dict.fromkeys(
        ["a shape beyond its storage", "a shape of terabytes", "strides beyond", "an offset beyond"],
        "a tensor that reaches beyond its storage",
    ),
    **dict.fromkeys(
        ["a negative offset", "a negative stride", "a negative shape", "a shape of truths", "a text for a storage"],
        "a tensor without a shape",
    ),
    **dict.fromkeys(
        ["more strides than sizes", "fewer strides than sizes", "26 dimensions", "a conjugated tensor"],
        "a tensor without a shape",
    ),
    **dict.fromkeys(["doubled", "endless", "61 lists", "a million numbers"], "its values are nested too deep"),
    **dict.fromkeys(["a long key", "an infinite key", "a set of a long number"], "a key that is a"),
    **dict.fromkeys(
        ["a meta tensor", "an object", "a call of os.system", "a quantized storage"], "which no run's checkpoint does"
    ),
    "a text that doubles": "bytes in a code of their own",
    **dict.fromkeys(["a mark in a mark", "another protocol", "a state of a number"], "its pickle has the instruction"),
    "a dict that is a number": "a dict that is none",
    "a list that is a number": "a list that is none",
    **dict.fromkeys(
        ["a call of a number", "a call without a tuple", "a call of a kind"], "it calls what is no function"
    ),
    **dict.fromkeys(["an archive of nothing", "two of one name"], "an archive of nothing, or of two files of one name"),
    **dict.fromkeys(["compressed", "compressed to the same size"], "an archive whose files are compressed"),
    "a storage beyond the file": "an archive of more bytes than the file has",
    **dict.fromkeys(["an archive without a pickle", "another order of bytes"], "an archive without data.pkl, or of"),
    **dict.fromkeys(["a pickle of 70 MB", "gigabytes of nothing"], "an archive with too long a part"),
}


VALUES = {
    "a storage longer than its bytes": rebuilt(Storage(size=2**40), shape=(2**40,)),
    "a little longer": rebuilt(Storage(size=5), shape=(5,)),
    "shorter": rebuilt(Storage(size=3), shape=(3,)),
    "no such storage": rebuilt(Storage(key="1")),
    "a storage outside": rebuilt(Storage(key="../data.pkl")),
    "a storage of another kind": {"a": rebuilt(), "b": rebuilt(Storage(kind=torch.IntStorage))},
    "a negative size": rebuilt(Storage(size=-4)),
    "a storage by a number": rebuilt(Storage(key=0)),
    "a size that is none": rebuilt(Storage(size=4.0)),
    "a number for a kind": rebuilt(Storage(kind=3)),
    "a persistent thing that is no storage": rebuilt(Storage(told="module")),
    "a shape beyond its storage": rebuilt(shape=(5,)),
    "a shape of terabytes": rebuilt(shape=(2**40,), stride=(0,)),
    "strides beyond": rebuilt(shape=(2, 2), stride=(4, 1)),
    "an offset beyond": rebuilt(offset=1),
    "a negative offset": rebuilt(offset=-1),
    "a negative stride": rebuilt(offset=3, stride=(-1,)),
    "a negative shape": rebuilt(shape=(-1,)),
    "a shape of texts": rebuilt(shape=("a",)),
    "a shape of truths": rebuilt(shape=(True,)),
    "a text for a storage": rebuilt("x"),
    "more strides than sizes": rebuilt(stride=(1, 1)),
    "fewer strides than sizes": rebuilt(shape=(4, 1)),
    "26 dimensions": rebuilt(shape=(1,) * 26, stride=(1,) * 26),
    "a conjugated tensor": rebuilt(more=({"conj": True},)),
    "a meta tensor": Call(torch._utils._rebuild_meta_tensor_no_storage, torch.float32, (2**50,), (1,), False),
    "a sparse tensor": Call(torch._utils._rebuild_sparse_tensor, torch.sparse_coo, (rebuilt(), rebuilt(), (9,))),
    "a quantized tensor": rebuilt(function=torch._utils._rebuild_qtensor),
    "a tensor of another version": rebuilt(function=torch._utils._rebuild_tensor_v3, more=(torch.float32,)),
    "a subclass": Call(torch._tensor._rebuild_from_type_v2, torch.Tensor, torch.nn.Parameter, (3,), {}),
    "a complex storage": rebuilt(Storage(kind=torch.ComplexFloatStorage, size=2), shape=(2,)),
    "a quantized storage": rebuilt(Storage(kind=torch.QInt8Storage, size=16), shape=(16,)),
    "a tensor of terabytes": Call(torch.Tensor, 2**45),
    "an array of bytes": Call(bytearray, 2**45),
    "a call of eval": Call(eval, "1/0"),
    "a call of os.system": Call(os.system, "true"),
    "a text that doubles": Call(__import__("_codecs").encode, "x", "hex"),
    "an object": Call(object),
    "a NumPy number": np.float64(3.0),
    "a complex number": 1j,
    "doubled": doubled(60),
    "endless": endless(),
    "61 lists": nested(61),
    "a million numbers": [0] * 1_000_000,
    "a long key": {10**30: 1},
    "a set of a long number": {10**30},
    "an infinite key": {INF: 1},
    "a key that is a tuple": {(1, 2): 3},
    "a key that is a tensor": {None: 3},
    "a call of a text": Call(print, "x"),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_forged_pickle_is_refused(file, name):
    forge(file, VALUES[name])
    started = time.process_time()
    check_unreadable(file, name)
    assert time.process_time() - started < 10


PICKLES = {
    "deep": b"\x80\x02" + b"]" * 9_000 + b"a" * 8_999 + b".",
    "nothing": b"",
    "no end": b"\x80\x02}",
    "an empty stack": b"\x80\x02.",
    "a mark that is missing": b"\x80\x02u.",
    "a dict of three": b"\x80\x02}(K\x01K\x02K\x03u.",
    "a dict that is a number": b"\x80\x02K\x01K\x01K\x01s.",
    "a list that is a number": b"\x80\x02K\x01K\x01a.",
    "a memo that is missing": b"\x80\x02h\x07.",
    "a text beyond the end": b"\x80\x02X\xff\xff\xff\x7fabc.",
    "a text that is none": b"\x80\x02X\x02\x00\x00\x00\xff\xfe.",
    "a call of a number": b"\x80\x02K\x01)R.",
    "a call of a kind": b"\x80\x02ctorch\nFloatStorage\n)R.",
    "a call without a tuple": b"\x80\x02ccollections\nOrderedDict\nK\x01R.",
    "a state of a number": b"\x80\x02K\x01}b.",
    "a persistent number": b"\x80\x02K\x01Q.",
    "another protocol": b"\x80\x05}.",
    "an instance of old": b"(i__builtin__\nprint\n.",
    "a storage that is a dtype": b"\x80\x02(X\x07\x00\x00\x00storageK\x01K\x01K\x01K\x01tQ.",
    "no pickle": b"\xff\xfe\xfd",
    "a name that takes a terminal over": b"\x80\x02c\x1b[2J" + b"x" * 1000 + b"\nprint\n.",
}


@pytest.mark.parametrize("name", PICKLES)
def test_a_pickle_that_is_none_is_refused(file, name):
    forge(file, {}, pickled=PICKLES[name])
    check_unreadable(file, name)


def giant(file: Path, *, field: int, marker: bytes = b"PK\x01\x02") -> None:
    """Have the last record of the archive's list of contents, or its end, hold a giant number."""
    patch(file, field, b"\xf0\xff\xff\x7f", marker)


def patch(file: Path, field: int, value: bytes, marker: bytes = b"PK\x01\x02") -> None:
    content = bytearray(file.read_bytes())
    place = content.rindex(marker) + field
    content[place : place + len(value)] = value
    file.write_bytes(content)


ARCHIVES = {
    "text": lambda file: file.write_text("not a checkpoint"),
    "a picture": lambda file: file.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100)),
    "nothing": lambda file: file.write_bytes(b""),
    "a folder": lambda file: file.mkdir(),
    "a named pipe": lambda file: os.mkfifo(file),
    "a device": lambda file: file.symlink_to("/dev/zero"),
    "nowhere": lambda file: None,
    "the old format": lambda file: torch.save({"epoch": 1}, file, _use_new_zipfile_serialization=False),
    "a pickle": lambda file: file.write_bytes(pickle.dumps({"epoch": 1})),
    "an archive of nothing": lambda file: zipfile.ZipFile(file, "w").close(),
    "an archive without a pickle": lambda file: _archive(file, "archive/x"),
    "compressed": lambda file: forge(file, {}, compression=zipfile.ZIP_DEFLATED, content=bytes(10**7)),
    "two of one name": lambda file: forge(file, {}, more=["archive/data/0"]),
    "another order of bytes": lambda file: forge(file, {}, byteorder="middle"),
    "a storage of gigabytes": lambda file: (forge(file, rebuilt()), giant(file, field=24)),
    "packed gigabytes": lambda file: (forge(file, rebuilt()), giant(file, field=20)),
    "a storage beyond the file": lambda file: (forge(file, rebuilt()), giant(file, field=20), giant(file, field=24)),
    "compressed to the same size": lambda file: (forge(file, rebuilt()), patch(file, 10, b"\x0e\x00")),
    "a storage far away": lambda file: (forge(file, rebuilt()), giant(file, field=42)),
    "a list of contents of gigabytes": lambda file: (forge(file, {}), giant(file, field=12, marker=b"PK\x05\x06")),
    "a list of contents far away": lambda file: (forge(file, {}), giant(file, field=16, marker=b"PK\x05\x06")),
    "a pickle of 70 MB": lambda file: forge(file, {}, pickled=b"\x80\x02" + b"N" * 70_000_000),
    "gigabytes of nothing": lambda file: (forge(file, {}), os.truncate(file, 2**35), giant_end(file)),
}


def giant_end(file: Path) -> None:
    """At the end of a sparse file, an end of an archive whose list of contents is all that is before."""
    with file.open("r+b") as stream:
        stream.seek(0, io.SEEK_END)
        stream.write(b"PK\x05\x06" + bytes(4) + b"\x01\x00\x01\x00" + b"\x00\x00\x00\x70" + bytes(4) + bytes(2))


def _archive(file: Path, name: str) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, b"x")


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_file_that_is_no_checkpoint_is_refused(file, name):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # zipfile's, of two of one name
        ARCHIVES[name](file)
    check_unreadable(file, name)


# What the commands say


RESUMED = {
    "empty": (lambda run: run.last.write_bytes(b""), "last.ckpt can't be read (File is not a zip file)"),
    "no epoch": (lambda run: edit(run.last, put("epoch", GONE)), "last.ckpt can't be read (it has no epoch)"),
    "weights of texts": (
        lambda run: edit(run.last, put("state_dict", {FIRST: "x"})),
        "last.ckpt can't be read (state_dict is not a dict of tensors)",
    ),
    "weights of another shape": (
        lambda run: edit(run.last, put(f"state_dict/{FIRST}", torch.zeros(2))),
        f"last.ckpt is of another model than its config.yaml says (it differs in {FIRST})",
    ),
    "NaN": (
        lambda run: edit(run.last, put(f"state_dict/{FIRST}", torch.full((4, 784), NAN))),
        f"last.ckpt has values that are not finite (state_dict.{FIRST}): its training has diverged",
    ),
    "another optimizer's state": (
        lambda run: edit(run.last, put(f"{ADAM}/exp_avg", torch.zeros(2))),
        "last.ckpt can't be read (optimizer_states[0].state.0.exp_avg is a tensor [2] of float32, "
        "not [4, 784] of float32)",
    ),
    "a fixed tensor of another shape": (
        lambda run: edit(run.last, put("callbacks/Samples/fixed", torch.zeros(64, 3))),
        "last.ckpt can't be read (callbacks.Samples.fixed is a tensor [64, 3] of float32, "
        "not [up to 1000, 2] of float32)",
    ),
    "a best one that is cut": (lambda run: os.truncate(run.best, 900), "best.ckpt can't be read ("),
}


def edit(file: Path, change) -> None:
    checkpoint = torch.load(file, weights_only=True)
    change(checkpoint)
    torch.save(checkpoint, file)


@pytest.mark.parametrize("name", RESUMED)
def test_a_resumed_run_is_refused_before_anything_of_it_is_touched(run, moved, name):
    damage, told = RESUMED[name]
    copied = moved(run)
    damage(copied)
    config = run.config()
    config["trainer"]["max_epochs"] = 2
    before = {path: path.stat().st_mtime_ns for path in copied.path.rglob("*")}
    with pytest.raises(UserError) as error:
        build(config, copied, resume=True)
    assert str(error.value).startswith(f"resume={copied.path}: {told}")
    assert "\n" not in str(error.value)
    assert {path: path.stat().st_mtime_ns for path in copied.path.rglob("*")} == before


@pytest.mark.parametrize("value", [NAN, INF])
def test_a_model_that_has_diverged_is_told_when_it_is_opened(run, moved, value):
    copied = moved(run)
    edit(copied.best, put(f"state_dict/{FIRST}", torch.full((4, 784), value)))
    with pytest.raises(UserError) as error:
        open_trained(str(copied.path), device="cpu")
    told = f"best.ckpt has values that are not finite (state_dict.{FIRST}): its training has diverged"
    assert str(error.value) == f"run={copied.path}: {told}"


OPENED = {
    "state_dict": [None, GONE, {FIRST: "x"}, {}],
    f"state_dict/{FIRST}": [torch.zeros(2), torch.zeros(4, 784, dtype=torch.int8)],
    "epoch": [None, GONE, "x", -1],
    "units": [3, {}, {"rate": [1.0], "variance": [1.0]}, {"rate": ["a", "b"], "variance": [1.0, 1.0]}],
}


@pytest.mark.parametrize("path", OPENED)
def test_a_model_that_cannot_be_used_is_told_when_it_is_opened(run, moved, path):
    copied = moved(run)
    whole = copied.best.read_bytes()
    for value in OPENED[path]:
        copied.best.write_bytes(whole)
        edit(copied.best, put(path, value))
        with pytest.raises(UserError) as error:
            open_trained(str(copied.path), device="cpu")
        assert str(error.value).startswith(f"run={copied.path}: best.ckpt ")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "place", ["s3://bucket/best.ckpt", "http://localhost:1/best.ckpt", "local:///x", "~nobody-here/x"]
)
def test_a_checkpoint_is_a_file_of_this_machine(run, place):
    with pytest.raises(UserError) as error:
        open_trained(str(run.path), ckpt=place, device="cpu")
    assert str(error.value) == f"checkpoint {place}: no such file; choose best, last or the path of a checkpoint"
