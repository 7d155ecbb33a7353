"""`auto` means what the hardware can do."""

import pytest
import torch

from vae_lightning.hardware import native_accelerator, native_precision, num_cpus


@pytest.mark.parametrize(
    ("avx512", "amx", "precision"),
    [
        (True, False, "bf16-mixed"),
        (False, True, "bf16-mixed"),
        (False, False, "32-true"),
    ],
)
def test_cpus_with_native_bfloat16_use_it(monkeypatch, avx512, amx, precision):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert native_precision("cpu") == precision


@pytest.mark.parametrize(
    ("capability", "precision"), [((7, 5), "32-true"), ((8, 0), "bf16-mixed"), ((9, 0), "bf16-mixed")]
)
def test_gpus_use_bfloat16_from_ampere_on(monkeypatch, capability, precision):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert native_accelerator("auto") == "cuda"
    assert native_precision("gpu") == precision
    assert native_accelerator("cpu") == "cpu"


def test_num_cpus_is_positive():
    assert num_cpus() >= 1
