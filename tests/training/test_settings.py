"""What `trainer.precision=auto` has chosen is told, and a run that is gone on with keeps it."""

import json

import pytest
import torch

from tests.machine.test_hardware import pretend
from vae_lightning.runs.records import RunDir
from vae_lightning.training.settings import chosen_precision

AMD, INTEL = (True, False, "AuthenticAMD"), (True, False, "GenuineIntel")
QUICK = ["callbacks=none", "logger=none", "trainer.max_epochs=1"]


def told(run: RunDir) -> tuple[str, str | None]:
    environment = json.loads((run.path / "environment.json").read_text())
    return environment["precision"], environment.get("precision_because")


@pytest.mark.parametrize(
    ("cpu", "precision", "because"),
    [
        (AMD, "bf16-mixed", "a CPU of AMD's with AVX-512-BF16"),
        (INTEL, "32-true", "a CPU with AVX-512-BF16, but without AMX and not of AMD's"),
    ],
)
def test_a_run_tells_its_precision_and_why(train, monkeypatch, cpu, precision, because):
    pretend(monkeypatch, *cpu)
    run = train(*QUICK)
    assert told(run) == (precision, because)
    assert run.config()["trainer"]["precision"] == "auto"


def test_a_precision_that_was_given_needs_no_reason(train, monkeypatch):
    pretend(monkeypatch, *AMD)
    assert told(train(*QUICK, "trainer.precision=32-true")) == ("32-true", None)


def test_a_run_goes_on_in_the_precision_that_it_began_with(train, command, monkeypatch):
    pretend(monkeypatch, *AMD)
    run = train(*QUICK)
    pretend(monkeypatch, *INTEL)
    for epochs in (2, 3):  # the second time what it says of itself is of a run that went on
        command(f"resume={run.path}", f"trainer.max_epochs={epochs}")
        assert told(run) == ("bf16-mixed", "the run began in it")
    command(f"resume={run.path}", "trainer.max_epochs=4", "trainer.precision=32-true")
    assert told(run) == ("32-true", None)


@pytest.mark.parametrize("before", [{}, {"precision": None}, {"precision": "16-mixed"}, {"precision": ["32-true"]}])
def test_what_auto_never_chooses_is_not_believed(monkeypatch, before):
    pretend(monkeypatch, *INTEL)
    assert torch.cpu._is_avx512_bf16_supported()
    assert chosen_precision({"precision": "auto", "accelerator": "cpu"}, before)[0] == "32-true"
