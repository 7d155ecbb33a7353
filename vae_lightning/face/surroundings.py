"""What a call from Python leaves as it was: a notebook goes on after it."""

import logging
import os
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch

from vae_lightning.machine.environment import environment

_LOGGERS = (
    "vae_lightning",
    "py.warnings",
    "lightning.pytorch",
    "lightning.pytorch.utilities.rank_zero",
    "lightning.fabric.utilities.rank_zero",
    "lightning.fabric.utilities.distributed",
)
_VARIABLES = ("PL_GLOBAL_SEED", "PL_SEED_WORKERS")  # which Lightning sets with the seed


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put back what training changes in this process: random numbers, logging, warnings, threads, how small numbers are
    taken.

    Signal handlers are put back where they are set (`machine.interruption`).
    """
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        stack.enter_context(environment(**{name: os.environ.get(name) for name in _VARIABLES}))
        for keep in (_logging, _random_numbers, _denormals, _backends, _threads):
            stack.callback(keep())
        yield


def _logging() -> Callable[[], None]:
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    states = [(logger, list(logger.handlers), logger.level, logger.propagate) for logger in loggers]

    def restore() -> None:
        for logger, handlers, level, propagate in states:
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)

    return restore


def _random_numbers() -> Callable[[], None]:
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None

    def restore() -> None:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)

    return restore


def _denormals() -> Callable[[], None]:
    flushed = bool((torch.tensor(1e-310, dtype=torch.float64) * 0.5 == 0).item())

    def restore() -> None:
        torch.set_flush_denormal(flushed)

    return restore


def _backends() -> Callable[[], None]:
    cudnn, benchmark = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()

    def restore() -> None:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn, benchmark
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)

    return restore


def _threads() -> Callable[[], None]:
    number = torch.get_num_threads()

    def restore() -> None:
        torch.set_num_threads(number)

    return restore
