"""`auto` means what the hardware can do."""

import ctypes
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vae_lightning.machine.hardware import (
    bfloat16,
    cpu_vendor,
    flush_denormals,
    keep_freed_memory,
    native_accelerator,
    native_precision,
    num_cpus,
)

CPUS = {  # AVX-512-BF16, AMX, vendor: what is chosen, and why
    "AMD with AVX-512-BF16": (True, False, "AuthenticAMD", "bf16-mixed", "a CPU of AMD's with AVX-512-BF16"),
    "Intel with AMX": (True, True, "GenuineIntel", "bf16-mixed", "a CPU with AMX"),
    "Intel without": (
        True,
        False,
        "GenuineIntel",
        "32-true",
        "a CPU with AVX-512-BF16, but without AMX and not of AMD's",
    ),
    "of whom nobody tells": (True, False, "", "32-true", "a CPU with AVX-512-BF16, but without AMX and not of AMD's"),
    "an old one": (False, False, "AuthenticAMD", "32-true", "a CPU without bfloat16"),
}


def pretend(monkeypatch, avx512: bool, amx: bool, vendor: str) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr("vae_lightning.machine.hardware.cpu_vendor", lambda: vendor)


@pytest.mark.parametrize(("avx512", "amx", "vendor", "precision", "because"), CPUS.values(), ids=CPUS)
def test_cpus_use_bfloat16_where_it_is_faster(monkeypatch, avx512, amx, vendor, precision, because):
    pretend(monkeypatch, avx512, amx, vendor)
    assert native_precision("cpu") == precision
    assert bfloat16("cpu") == (precision == "bf16-mixed", because)


@pytest.mark.parametrize(
    ("cpuinfo", "processor", "vendor"),
    [
        ("processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R): 6\n", "", "GenuineIntel"),
        ("processor\t: 0\nCPU implementer\t: 0x41\n", "", ""),
        (None, "AMD64 Family 26 Model 2 Stepping 1, AuthenticAMD", "AuthenticAMD"),
        (None, "arm", "arm"),
    ],
)
def test_a_cpu_says_who_made_it(monkeypatch, cpuinfo, processor, vendor):
    def read(path, **_):
        assert path == Path("/proc/cpuinfo")
        if cpuinfo is None:
            raise FileNotFoundError(path)
        return cpuinfo

    monkeypatch.setattr(Path, "read_text", read)
    monkeypatch.setattr(platform, "processor", lambda: processor)
    assert cpu_vendor() == vendor


@pytest.mark.parametrize(
    ("capability", "precision"), [((7, 5), "32-true"), ((8, 0), "bf16-mixed"), ((9, 0), "bf16-mixed")]
)
def test_gpus_use_bfloat16_from_ampere_on(monkeypatch, capability, precision):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert native_accelerator("auto") == "cuda"
    assert native_precision("gpu") == precision
    assert bfloat16("cuda")[1] == f"a GPU of compute capability {capability[0]}.{capability[1]}"
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
