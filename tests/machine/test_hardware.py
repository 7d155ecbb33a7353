"""`auto` means what the hardware can do."""

import ctypes
import platform
import subprocess
import sys

import pytest
import torch

from vae_lightning.machine.hardware import (
    flush_denormals,
    keep_freed_memory,
    native_accelerator,
    native_precision,
    num_cpus,
)


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


class FakeLibrary:
    """glibc's malloc settings, or those of a library that refuses some of them."""

    def __init__(self, refused=()):
        self.refused = refused
        self.settings: dict[int, int] = {}

    def mallopt(self, parameter, value):
        self.settings[parameter] = value
        return int(parameter not in self.refused)


@pytest.mark.parametrize(("refused", "kept"), [((), True), ((-1,), False), ((-3,), False)])
def test_glibc_is_asked_to_keep_memory_and_believed(monkeypatch, refused, kept):
    library = FakeLibrary(refused)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    assert keep_freed_memory() is kept
    assert set(library.settings.values()) == {-1}
    if kept:
        assert library.settings.keys() == {-1, -3}  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD


@pytest.mark.parametrize("name", ["", "musl"])
def test_another_library_is_left_alone(monkeypatch, name):
    monkeypatch.setattr(platform, "libc_ver", lambda: (name, ""))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: pytest.fail("has no mallopt"))
    assert keep_freed_memory() is False


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
def test_this_glibc_can_keep_memory():
    assert keep_freed_memory() is True


DENORMALS = """
import warnings, numpy, torch
warnings.simplefilter("error")
from vae_lightning.machine.hardware import flush_denormals
torch.set_num_threads(4)
print(flush_denormals(), flush_denormals())
print(torch.full((1_000_000,), 1e-39).mul(1.0).count_nonzero().item())  # large enough for every thread
print(torch.full((1_000_000,), 1e-37).mul(1.0).count_nonzero().item())
numpy.finfo(numpy.float32), numpy.finfo(numpy.float64)
"""


def test_denormals_are_zero_in_every_thread_of_a_fresh_process():
    if not flush_denormals():
        pytest.skip("this CPU cannot take denormals for zero")
    done = subprocess.run([sys.executable, "-c", DENORMALS], capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (["True", "True", "0", "1000000"], "")
