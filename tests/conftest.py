"""What all tests share."""

import atexit
import functools
import gc
import importlib
import logging
import os
import signal
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from _pytest.unraisableexception import gc_collect_iterations_key

if "PYTEST_XDIST_WORKER" in os.environ:  # processes that each take every core slow each other down
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before `warm` looks at what its forks begin with
    # As the last that is done: to take all apart would take seconds. A fork ends as it would.
    atexit.register(lambda worker: os.getpid() == worker and os._exit(0), os.getpid())

import tests.typecheck  # noqa: F401  (before the package: jaxtyping's import hook looks it up)
from tests import composed, found_once, huge_pages, nursery, warm
from tests.trained import (  # noqa: F401
    colour,
    colour_run,
    digits,
    digits_run,
    export,
    generate,
    moved,
    named,
    named_run,
    plane,
    plane_run,
    stateful_run,
)
from vae_lightning.launch.forked import WarmProcess
from vae_lightning.runs.records import RunDir

_SITE = str(Path(__file__).with_name("site"))  # what processes that are started from here on begin with
if _SITE not in os.environ.get("PYTHONPATH", ""):
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), _SITE]))
composed.remember()
os.fsync = lambda file: None  # no power is cut here, and waiting for the disk is a part of many tests' time

TINY = [
    "data=digits",
    "model=mlp",
    "trainer=cpu",
    "model.encoder.hidden=[16]",
    "model.decoder.hidden=[16]",
    "model.latent_dim=4",
    "callbacks=basic",
]


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are cores, for many tests wait: with as many, an eighth of the processors' time was idle."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list[Any]) -> None:
    nursery.raise_workers(specs)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Nothing is looked for that could be thrown away while all is imported: it was a fifth of the time."""
    gc.disable()
    try:
        _import_own_share(session)
        return (yield)
    finally:
        gc.enable()
        sys.dont_write_bytecode = True  # of a module that a test writes twice within a second the first would be found


def _import_own_share(session: pytest.Session) -> None:
    """Have each worker begin with files of its own, whose rewritten assertions the others find in __pycache__ then.

    All would rewrite all of them otherwise, for they take the files in the same order at the same time.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if not worker or session.config.args != ["tests"]:
        return
    left_out = tuple(session.config.getoption("ignore") or [])
    root = session.config.rootpath
    files = [file.relative_to(root) for file in sorted(root.glob("tests/**/test_*.py"))]
    files = [file for file in files if not str(file).startswith(left_out)]
    for file in files[int(worker.removeprefix("gw")) :: int(os.environ["PYTEST_XDIST_WORKER_COUNT"])]:
        with suppress(Exception, pytest.skip.Exception):  # told when the file is collected
            importlib.import_module(".".join(file.with_suffix("").parts))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Have pytest-xdist send what there is to tell of a test, and not six messages, which take as long as a short test.

    What was set up and taken down at once, and well, is told nowhere.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return None
    for report in runtestprotocol(item, log=False, nextitem=nextitem):
        if report.when == "call" or not report.passed or report.duration > 0.005:  # as of --durations
            item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_warning_recorded(warning_message: warnings.WarningMessage) -> None:
    """Spare the process that tells of it the import of torch, where the class of a warning comes from there."""
    category = warning_message.category
    if "PYTEST_XDIST_WORKER" in os.environ and category.__module__ != "builtins":
        warning_message.message = Warning(f"{category.__name__}: {warning_message.message}")
        warning_message.category = Warning


def pytest_terminal_summary(terminalreporter):
    """Tell at the end how many tests were skipped and why, however few lines of a log are read."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    terminalreporter.write_line(f"skipped: {reasons.total()}")
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"  {count} x {reason}")


@pytest.fixture(scope="session")
def _cache(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session", autouse=True)
def _state(tmp_path_factory) -> Iterator[None]:
    """A key of the tests' own, not this machine's user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def _codec() -> Callable[[], str | None]:
    from vae_lightning.drawing import films

    return films._codec


@pytest.fixture
def encoder(monkeypatch, _codec) -> None:
    """Videos can be encoded."""
    if _codec() is None:
        pytest.skip("PyAV is not installed, or has no encoder of H.264")
    monkeypatch.setattr("vae_lightning.drawing.films._codec", _codec)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch, _cache, _codec):
    monkeypatch.setattr("vae_lightning.drawing.films._codec", lambda: None)  # videos take their time
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", _cache)  # not where this machine's user has what was decoded before
    monkeypatch.setattr("vae_lightning.disk.unwritten._failing", set())  # what an earlier test had no room for
    logger = logging.getLogger("vae_lightning")  # as it is before a command has set it up for the terminal
    logger.propagate, logger.level = True, logging.NOTSET


@pytest.fixture(autouse=True)
def _jobs_forked(monkeypatch) -> Iterator[None]:
    """The jobs of a command in this process are forked from one that has the imports."""
    monkeypatch.setattr(WarmProcess, "begin", staticmethod(warm.begin_beside))
    monkeypatch.setattr(WarmProcess, "current", None)
    yield
    if WarmProcess.current is not None:
        WarmProcess.current._asking.close()


@pytest.fixture(autouse=True)
def _seeded():
    import torch

    torch.manual_seed(0)


@pytest.fixture
def in_time() -> Iterator[None]:
    """A test that waits for a pipe fails after a while instead of hanging."""

    def give_up(*_: object) -> None:
        raise AssertionError("hangs")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(100)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def command(monkeypatch, tmp_path):
    """Call the train command in this process, in an empty folder: `command("data=digits", ...)`."""
    from vae_lightning.train import main

    monkeypatch.chdir(tmp_path)

    def call(*overrides: str) -> None:
        monkeypatch.setattr(sys, "argv", ["vae-train", *overrides])
        main()

    return call


@pytest.fixture
def train(command, tmp_path):
    """Train on the digits with a tiny MLP and return the run directory."""

    def call(*overrides: str, name: str = "run") -> RunDir:
        command(*TINY, "trainer.max_epochs=2", f"run_dir={tmp_path / name}", *overrides)
        return RunDir(tmp_path / name)

    return call


def refusal(call: Callable[..., object], *arguments: str) -> str:
    """The one line with which a command refuses its arguments."""
    with pytest.raises(SystemExit) as exit_info:
        call(*arguments)
    message = str(exit_info.value.code)
    assert message.startswith("error: ")
    assert "\n" not in message
    return message.removeprefix("error: ")


@pytest.fixture
def error_of(command):
    """Call the train command, which must fail with exit code 1, and return its one-line message."""
    return functools.partial(refusal, command)


@pytest.fixture
def told(caplog, monkeypatch) -> Callable[[], list[str]]:
    """What this project has logged."""
    monkeypatch.setattr(logging.getLogger("vae_lightning"), "propagate", True)  # which a command before may have ended
    caplog.set_level(logging.INFO, "vae_lightning")
    return lambda: [record.getMessage() for record in caplog.records if record.name.startswith("vae_lightning")]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images; the test is skipped where there is none."""
    root = os.environ.get("VAE_LIGHTNING_DATA")
    if not root:
        pytest.skip("VAE_LIGHTNING_DATA is not set: no MNIST and no anime faces at hand")
    return Path(root)


def pytest_collection_modifyitems(items):
    """Long tests come first, so that at the end no worker is left with one while the others have none."""
    items.sort(key=lambda item: (item.path.name != "test_soak.py", item.path.parent.name != "end_to_end"))


def pytest_collection_finish(session):
    """What the imports have made stays for good: a look for garbage needs not look at it again each time.

    And looks are fewer: they were an eighth of these tests' time.
    """
    found_once.remember()
    huge_pages.gather()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def pytest_unconfigure(config):
    if "PYTEST_XDIST_WORKER" in os.environ:
        config.stash[gc_collect_iterations_key] = 0  # what is left goes with the process
    else:
        gc.unfreeze()  # else a library tells at the end what it takes for leaks
