"""A run that is gone on with believes what it would have saved itself to the bit, and refuses the rest in a line."""

import copy
from collections import OrderedDict

import pytest
import torch

from tests.checkpoints.changing import ADAM, FIRST, GONE, INF, NAN, put, same
from tests.training.believed import believed, refusal
from vae_lightning.checkpoints.contents import reading
from vae_lightning.errors import UserError
from vae_lightning.training.resumed_state import optimizer_state

# What was saved


def test_a_checkpoint_is_read_as_pytorch_reads_it(parts, stateful_run, saved):
    found = believed(parts, stateful_run.last)
    assert set(saved) - set(found) == {"config", "data"}  # which nothing is restored from
    for key in ("state_dict", "current_model_state", "averaging_state", "optimizer_states", "epoch", "global_step"):
        assert same(found[key], dict(saved[key]) if isinstance(saved[key], OrderedDict) else saved[key])
    for name, state in found["callbacks"].items():
        assert "ModelCheckpoint" in name or same(state, saved["callbacks"][name])
    assert same(found["loops"]["fit_loop"], saved["loops"]["fit_loop"])


def test_a_damaged_file_is_refused_or_as_it_was(parts, stateful_run, file):
    """Flipped bits and cuts all over the file: those where nothing stands change nothing."""
    whole, expected, refused = stateful_run.last.read_bytes(), believed(parts, stateful_run.last), 0
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
    "callbacks/Reconstructions/chosen_by": [torch.zeros(3), {"seed": torch.zeros(3)}, {"num_images": [torch.zeros(2)]}],
    "callbacks/Samples/chosen_by": [
        *(None, torch.zeros(3), {}, {"seed": 0}, {"seed": torch.zeros(3), "num_images": 4}),
        *({"seed": "x", "num_images": 4}, {"seed": 2**63, "num_images": 4}),
        *({"seed": 0, "num_images": number} for number in (0, 1.5, 10**9, True)),
    ],
    "callbacks/ReconstructionHistory/rows": [
        *(None, [], {"a": 1}, {1: None}, {0: torch.zeros(10, 1, 28, 28, dtype=torch.uint8)}),
        {1: torch.zeros(9, 1, 28, 28, dtype=torch.uint8)},
        dict.fromkeys(range(1, 1002), torch.zeros(10, 1, 28, 28, dtype=torch.uint8)),
    ],
    "callbacks/EMA": [None, {}, {"latest_update_step": "x"}, {"latest_update_step": -1}],
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


def test_what_nobody_asks_for_reaches_nobody(parts, stateful_run, saved, file):
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
    assert same(believed(parts, file), believed(parts, stateful_run.last))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *[("Adam", {}), ("Adam", {"amsgrad": True}), ("AdamW", {"fused": True}), ("SGD", {"lr": 0.1}), ("ASGD", {})],
        *[("SGD", {"lr": 0.1, "momentum": 0.9}), ("RMSprop", {"momentum": 0.1, "centered": True}), ("NAdam", {})],
        *[("Adagrad", {}), ("Adadelta", {}), ("Adafactor", {}), ("Adamax", {}), ("RAdam", {}), ("Rprop", {})],
    ],
)
def test_the_state_of_every_optimizer_is_taken_as_it_was(file, name, settings):
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
