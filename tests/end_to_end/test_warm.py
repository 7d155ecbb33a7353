"""A command forked from the process that has the imports is as one that a shell starts, but sooner."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import warm
from tests.conftest import TINY
from tests.end_to_end.runs import assert_equal_weights, processes_of, wait_for
from vae_lightning.runs.records import RunDir

# Tells what a process has inherited, before and after the imports of a training.
PROBE = """
import faulthandler, gc, json, os, resource, signal, sys, warnings
numbers = sorted(set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP})
told = {
    "argv": sys.argv, "original": sys.orig_argv, "path": sys.path, "file": __file__, "spec": __spec__.name,
    "main": sys.modules["__main__"].__dict__ is globals(), "executable": sys.executable, "flags": list(sys.flags),
    "handlers": [str(signal.getsignal(number)) for number in numbers],
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])), "wakeup": signal.set_wakeup_fd(-1),
    "files": sorted(file for file in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{file}")),
    "cwd": os.getcwd(), "umask": os.umask(0), "leads": (os.getsid(0), os.getpgid(0)) == (os.getpid(), os.getpid()),
    "threads": len(os.listdir("/proc/self/task")), "faults": faulthandler.is_enabled(), "nice": os.nice(0),
    "buffered": (sys.stdout.line_buffering, sys.stdout.encoding, sys.stderr.errors), "stdin": sys.stdin.read(),
    "garbage": (gc.get_threshold(), gc.isenabled()), "files_at_most": resource.getrlimit(resource.RLIMIT_NOFILE),
    "command": open("/proc/self/cmdline").read().rstrip(chr(0)).split(chr(0)), "hooks": sys.excepthook.__name__,
}
os.umask(told["umask"])
import vae_lightning.training.run, sklearn.manifold
import torch
ignored = [[str(part) for part in entry] for entry in warnings.filters]
told |= {
    "torch": (torch.get_num_threads(), torch.get_default_dtype().itemsize, torch.get_rng_state().shape),
    "precision": torch.get_float32_matmul_precision(), "filters": sorted(ignored),
    "environment": sorted(f"{name}={value}" for name, value in os.environ.items() if name != "_"),
}
print(json.dumps(told))
"""
# Starts a rank as a sweep does, in each environment that it is told of; a hash seed is what no fork can have.
LAUNCHING = f"""
{PROBE}
from vae_lightning.launch.children import _same_imports
from vae_lightning.launch.forked import children_forked
from vae_lightning.machine.environment import environment
with environment(**_same_imports()), children_forked():
    from torch.distributed.elastic.multiprocessing.subprocess_handler.subprocess_handler import SubprocessHandler
    for more in json.load(open("environments.json")):
        arguments = ("-u", "-m", "rank", "an argument", "-x")
        handler = SubprocessHandler(sys.executable, arguments, dict(RANK="1", **more), None, None, 0, None)
        assert handler.proc.poll() is None
        assert handler.proc.wait(100) == 3
        assert handler.proc.poll() == 3
print(os.getpid())
"""
RANK = """
print(json.dumps([gc.get_freeze_count() > 0, os.getppid(), open("/proc/self/environ").read().split(chr(0))]))
raise SystemExit(3)
"""
CHANCE = """
import json, random, numpy, torch
print(json.dumps([random.random(), numpy.random.random(), torch.rand(1).item()]))
"""
ENDINGS = {
    "an exit": ("raise SystemExit(3)", 3, ""),
    "a reason": ("raise SystemExit('why')", 1, "why\n"),
    "an exception": ("raise RuntimeError('why')", 1, "RuntimeError: why\n"),
    "Ctrl-C": ("raise KeyboardInterrupt", -signal.SIGINT, "KeyboardInterrupt\n"),
    "exit handlers": ("import atexit, sys; atexit.register(print, 'late', file=sys.stderr)", 0, "late\n"),
    "a kill": ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL, ""),
}
LONG = [*TINY, "trainer.max_epochs=5000", "callbacks=none"]


def fresh(module: str, *arguments: str, cwd) -> subprocess.CompletedProcess:
    options = {"capture_output": True, "text": True, "check": False, "stdin": subprocess.DEVNULL}
    options |= {"env": dict(os.environ), "start_new_session": True}
    return subprocess.run([sys.executable, "-m", module, *arguments], cwd=cwd, **options)


Told = tuple[dict, list[tuple[dict, bool]]]


@pytest.fixture(scope="module")
def told_fresh(tmp_path_factory) -> Told:
    return launched(tmp_path_factory.mktemp("fresh"), fresh, {}, {"PYTHONHASHSEED": "random"})


@pytest.fixture(scope="module")
def told_forked(tmp_path_factory) -> Told:
    return launched(tmp_path_factory.mktemp("forked"), warm.run, {})


def launched(folder: Path, start: Callable, *environments: dict[str, str]) -> Told:
    """What a process has, and what its rank in each of these environments has, and whether that is a fork."""
    (folder / "rank.py").write_text(PROBE + RANK)
    (folder / "launching.py").write_text(LAUNCHING)
    (folder / "environments.json").write_text(json.dumps(environments))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VAE_LIGHTNING_DATA", "elsewhere")
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, ["/added", os.environ.get("PYTHONPATH")])))
        done = start("launching", "an argument", "-x", cwd=folder)
    assert done.returncode == 0, done.stderr
    printed = done.stdout.replace(str(folder), "<folder>")
    own, *told, launcher = map(json.loads, printed.splitlines())
    has, outside = told[::2], told[1::2]
    assert len(has) == len(environments)
    assert [parent for _, parent, _ in outside] == [launcher] * len(has)
    assert all("RANK=1" in variables for _, _, variables in outside)
    return own, [(one, forked) for one, (forked, _, _) in zip(has, outside, strict=True)]


def test_it_has_what_a_fresh_process_has(told_fresh, told_forked):
    expected, found = ({**own, "environment": set(own["environment"])} for own, _ in (told_fresh, told_forked))
    # What the imports do to filters and environment happens in both, but not the order in which.
    assert {tuple(entry) for entry in expected["filters"]} <= {tuple(entry) for entry in found["filters"]}
    assert found.pop("files") == [*expected.pop("files"), "3"]  # the way to what it would fork a sweep's jobs from
    names = (expected.keys() | found.keys()) - {"filters"}
    assert {name: (expected[name], found[name]) for name in names if expected[name] != found[name]} == {}


def test_what_a_sweep_forks_has_what_a_fresh_process_has(told_fresh, told_forked):
    found, (expected, is_forked) = told_fresh[1]
    (of_a_fork,) = told_forked[1]
    assert [forked for _, forked in (found, of_a_fork)] == [True, True]
    assert not is_forked
    # What a sweep forks sets the first itself; for the others see tests/zygote.py.
    for (one, _), left_out in ((found, {"garbage"}), (of_a_fork, {"flags", "buffered"})):
        assert set(expected["environment"]) ^ set(one["environment"]) == {"PYTHONHASHSEED=random"}
        names = expected.keys() - {"filters", "environment"} - left_out
        assert {name: (expected[name], one[name]) for name in names if expected[name] != one[name]} == {}


def test_chance_differs_from_fork_to_fork(tmp_path):
    (tmp_path / "chance.py").write_text(CHANCE)
    first, second = (json.loads(warm.run("chance", cwd=tmp_path).stdout) for _ in range(2))
    assert all(one != other for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize(("ending", "status", "told"), ENDINGS.values(), ids=ENDINGS)
def test_it_ends_as_the_interpreter_does(tmp_path, ending, status, told):
    (tmp_path / "ending.py").write_text(f"print('printed')\nimport sys; sys.stdout.flush()\n{ending}\n")
    done = warm.run("ending", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (status, "printed\n")
    assert done.stderr.endswith(told)
    assert bool(done.stderr) == bool(told)


def test_it_trains_to_the_same_weights_and_says_the_same(tmp_path):
    arguments, told = [*TINY, "callbacks=default", "trainer.max_epochs=1", "run_dir=run"], []
    for start in (fresh, warm.run):
        folder = tmp_path / start.__name__
        folder.mkdir()
        done = start("vae_lightning.train", *arguments, cwd=folder)
        assert done.returncode == 0, done.stderr
        told.append((re.sub(r"[\d.]+ (images/s +[\d.]+ s|GiB)", "", done.stdout), done.stderr))
    assert told[0] == told[1]
    runs = [RunDir(tmp_path / start.__name__ / "run") for start in (fresh, warm.run)]
    assert_equal_weights(*runs)
    one, other = (json.loads((run.path / "environment.json").read_text()) for run in runs)
    assert one | {"started": ""} == other | {"started": ""}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_signals_end_it(tmp_path, number):
    if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("SIGHUP is ignored here, as under nohup")
    (tmp_path / "sleeping.py").write_text("import time; print('ready', flush=True); time.sleep(600)")
    process = warm.Warm("sleeping", cwd=tmp_path)
    wait_for(lambda: process.printed()[0] == "ready\n")
    process.send_signal(number)
    assert process.wait(timeout=60) == -number
    assert process.communicate()[0] == "ready\n"


def test_a_training_is_a_process_like_any_other(tmp_path):
    run = RunDir(tmp_path / "run")
    process = warm.Warm("vae_lightning.train", *LONG, f"run_dir={run.path}", cwd=tmp_path)
    wait_for(run.last.is_file)
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=0.01)
    assert processes_of(tmp_path).keys() == {process.pid}
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.startswith("interrupted: Ctrl-C; ")
    assert processes_of(tmp_path) == {}


def test_the_tests_themselves_can_have_forks():
    assert warm.can_start(dict(os.environ))
