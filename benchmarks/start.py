"""How long commands take to start, and where the time goes: python -m benchmarks.start

`--help`; `data=mnist model=conv` up to the end of its first call of training_step; and a whole run of two small epochs,
also as Python itself would begin and end it (vae_lightning/machine/process.py). Each in a fresh process, in turns. The
recorded results are in README.md.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

REPEATS = 5
# Run in place of the command: notes the time at each stage.
STAGES = """
import os, sys, time
begin = float(os.environ["BEGIN"])
def note(stage):
    print("STAGE", stage, time.time() - begin, flush=True)
def noting(function, before, after):
    def noted(*arguments, **options):
        note(before)
        result = function(*arguments, **options)
        note(after)
        return result
    return noted
note("python")
from vae_lightning import train
import hydra
train._train = noting(train._train, "compose the config", "")
def step(self, *arguments):
    result = original(self, *arguments)
    note("first training_step")
    os._exit(0)
def build(*arguments, **options):
    global original
    note("import torch, lightning and the rest")
    parts = original_build(*arguments, **options)
    original, VAEModule.training_step = VAEModule.training_step, step
    note("build model, data and trainer")
    return parts
original_run = train._train_run
def run(config, overrides):
    global VAEModule, original_build
    from vae_lightning.training import run as training
    from vae_lightning.training.module import VAEModule
    original_build, training.build = training.build, build
    return original_run(config, overrides)
train._train_run = run
from vae_lightning.machine.process import run_as_program
run_as_program(train.main)
"""
AS_PYTHON_HAS_IT = ["-c", "from vae_lightning.train import main; main()"]
AS_IT_IS = ["-m", "vae_lightning.train"]


def help_seconds() -> float:
    """Of `python -m vae_lightning.train --help`."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "vae_lightning.train", "--help"], check=True, capture_output=True)
    return time.perf_counter() - started


def stages() -> dict[str, float]:
    """Seconds from the command's start to the end of each stage."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", STAGES, "data=mnist", "model=conv", f"output_dir={folder}"]
        environment = {**os.environ, "BEGIN": str(time.time())}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
    lines = [line.removeprefix("STAGE ") for line in done.stdout.splitlines() if line.startswith("STAGE ")]
    ends = {line.rpartition(" ")[0].strip(): float(line.rpartition(" ")[2]) for line in lines}
    if "first training_step" not in ends:
        sys.exit(done.stderr)
    return ends


def whole_run_seconds(program: list[str]) -> float:
    """Of two epochs on the digits."""
    with tempfile.TemporaryDirectory() as folder:
        small = ["data=digits", "callbacks=none", "logger=none", "trainer.max_epochs=2", f"output_dir={folder}"]
        started = time.perf_counter()
        subprocess.run([sys.executable, *program, *small], check=True, capture_output=True)
        return time.perf_counter() - started


def main() -> None:
    """Measure and print medians."""
    runs = [(help_seconds(), stages()) for _ in range(REPEATS)]
    whole = [(whole_run_seconds(AS_IT_IS), whole_run_seconds(AS_PYTHON_HAS_IT)) for _ in range(REPEATS)]
    print(f"{'--help':<42}{statistics.median(seconds for seconds, _ in runs):>6.2f} s")
    before = 0.0
    for stage in runs[0][1]:
        end = statistics.median(ends[stage] for _, ends in runs)
        print(f"{stage:<42}{end - before:>6.2f} s  after {end:.2f} s")
        before = end
    ours, pythons = (statistics.median(seconds) for seconds in zip(*whole, strict=True))
    print(f"{'a whole small run':<42}{ours:>6.2f} s  begun and ended by Python alone {pythons:.2f} s")


if __name__ == "__main__":
    main()
