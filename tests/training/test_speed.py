"""What the speed of training rests on, without a clock: nothing waits, nothing is copied, and the fast kernels run."""

import os

import pytest
import torch
from lightning.pytorch import Callback
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.conftest import TINY
from tests.test_config import composed
from tests.tiny import NUM_BATCHES, Noise, fit, module
from vae_lightning.objectives.elbo import ELBO
from vae_lightning.runs.records import RunDir
from vae_lightning.training import run as training
from vae_lightning.training.epochs import Epochs
from vae_lightning.training.module import VAEModule

# Nothing is read back: on a GPU every reading waits until all that was begun is done


class Reading(TorchDispatchMode):
    """Notes the operators that hand a tensor's values to Python, or shapes that depend on them."""

    def __init__(self):
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.name()
        if name.split(".")[0] in ("aten::_local_scalar_dense", "aten::equal", "aten::nonzero", "aten::masked_select"):
            self.seen.append(name)
        return function(*args, **kwargs or {})


@pytest.fixture
def readings(monkeypatch):
    """A callback that notes what is read during the batches of a training, but not what is at the end of an epoch."""
    reading = Reading()
    active = []

    def noting(name):
        plain = getattr(torch.Tensor, name)

        def method(self, *args, **kwargs):
            if active:
                reading.seen.append(name)
            return plain(self, *args, **kwargs)

        monkeypatch.setattr(torch.Tensor, name, method)

    for name in ("item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__", "__index__", "__array__"):
        noting(name)

    class Noting(Callback):
        seen = reading.seen

        def on_train_epoch_start(self, *_):
            reading.__enter__()
            active.append(True)

    def ended(self, *arguments):  # read after the last step
        if active:
            active.clear()
            reading.__exit__(None, None, None)
        return settle(self, *arguments)

    settle = Epochs.settle
    monkeypatch.setattr(Epochs, "settle", ended)

    return Noting()


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize(
    ("stepping", "options"),
    [
        ({}, {}),
        ({"accumulate_grad_batches": 2, "gradient_clip_val": 1.0}, {"precision": "bf16-mixed"}),
        ({"gradient_clip_val": 1.0, "gradient_clip_algorithm": "value"}, {}),
    ],
)
def test_no_figure_is_read_while_steps_are_taken(readings, monkeypatch, steps, stepping, options):
    # Not even at an epoch's last step, at which a short epoch would be logged.
    begin = VAEModule.on_train_start

    def begun(self):
        begin(self)
        self.trainer.log_every_n_steps = 1000

    monkeypatch.setattr(VAEModule, "on_train_start", begun)
    data = Noise(binarize="dynamic", horizontal_flip=True)
    quiet = {"limit_val_batches": 0, **options}
    fit(steps, readings, trained=module(**stepping), data=data, **quiet)
    assert readings.seen == []


def test_reading_is_noticed(readings):
    fit(3, readings, log_every_n_steps=5, limit_val_batches=0, max_epochs=1)
    assert readings.seen.count("tolist") == 2 * (NUM_BATCHES // 5)  # the watch, and the figures
    assert set(readings.seen) == {"tolist"}


# Fused optimizers


@pytest.mark.parametrize("clip", ["null", "0", "1.0"])
@pytest.mark.parametrize("precision", ["auto", "32-true", "bf16-mixed"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_the_optimizer_of_a_run_is_fused(tmp_path, optimizer, precision, clip):
    options = [f"trainer.precision={precision}", f"trainer.gradient_clip_val={clip}", f"optimizer={optimizer}"]
    parts = training.build(composed(*TINY, *options), RunDir(tmp_path))
    assert [group["fused"] for group in parts.module.configure_optimizers().param_groups] == [True]


# Channels last, the memory format that convolutions are fast in


@pytest.mark.parametrize("model", ["conv", "conv5", "upsample"])
@pytest.mark.parametrize(
    ("precision", "channels", "data"),
    [
        ("32-true", 3, {"horizontal_flip": True}),
        ("bf16-mixed", 3, {"binarize": "dynamic"}),
        ("32-true", 1, {"binarize": "fixed"}),
    ],
)
def test_images_and_maps_stay_channels_last_through_a_training_step(model, precision, channels, data):
    from functools import partial

    from vae_lightning.config import instantiate

    options = [f"model={model}", f"data.channels={channels}", "data.image_size=32", "model.latent_dim=2"]
    narrow = {"conv": "[4,8,8]", "conv5": "[4,8,8,8,8]", "upsample": "[4,8,8,8,8]"}[model]
    vae = instantiate(composed("data=anime", "data.root=x", *options, f"model.encoder.channels={narrow}")["model"], "")
    trained = VAEModule(vae, ELBO(), partial(torch.optim.Adam, fused=True))
    wrong, num_seen = [], []

    def look(layer, inputs, output):
        num_seen.append(layer)
        for place, tensor in (("input", inputs[0]), ("output", output)):
            if not tensor.is_contiguous(memory_format=torch.channels_last):
                wrong.append((names[layer], place))

    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d)
    names = {layer: name for name, layer in vae.named_modules() if isinstance(layer, kinds)}
    for layer in names:
        layer.register_forward_hook(look)
    images = Noise(num_train=8, image_size=32, channels=channels, **data)
    fit(2, trained=trained, data=images, precision=precision, max_epochs=1, limit_val_batches=0)
    assert len(num_seen) == 2 * len(names) > 10
    # A decoder's first map is made by a Linear layer, one channel after the other.
    first = next(name for name in names.values() if name.startswith("decoder"))
    assert set(wrong) <= {(first, "input")}


# The environment of a run


def test_drivers_are_not_looked_for_in_every_step_of_a_run(train, monkeypatch):
    seen = []
    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    plain = VAEModule.training_step

    def noting(self, *args):
        seen.append(os.environ.get("PYTORCH_NVML_BASED_CUDA_CHECK"))
        return plain(self, *args)

    monkeypatch.setattr(VAEModule, "training_step", noting)
    train("callbacks=none", "trainer.max_epochs=1")
    assert set(seen) == {None}
    assert os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] == "1"


def test_a_run_on_the_cpu_keeps_the_memory_it_frees_before_it_trains(train, monkeypatch):
    calls = []
    monkeypatch.setattr(training, "keep_freed_memory", lambda: calls.append("kept") or True)
    plain = VAEModule.training_step
    monkeypatch.setattr(VAEModule, "training_step", lambda self, *args: calls.append("step") or plain(self, *args))
    train("callbacks=none", "trainer.max_epochs=1")
    assert calls[:2] == ["kept", "step"]
    assert calls.count("kept") == 1


def test_denormals_are_zero_before_anything_is_built(train, monkeypatch):
    calls = []
    monkeypatch.setattr(training, "flush_denormals", lambda: calls.append("flushed") or True)
    plain = training.instantiate
    monkeypatch.setattr(training, "instantiate", lambda *a, **k: calls.append("built") or plain(*a, **k))
    train("callbacks=none", "trainer.max_epochs=1")
    assert calls[:2] == ["flushed", "built"]
    assert calls.count("flushed") == 1
