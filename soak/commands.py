"""The commands as functions: what they print and how they end is what a user sees."""

import importlib
import sys


def train(*arguments: str) -> None:
    _call("train", arguments)


def evaluate(*arguments: str) -> None:
    _call("evaluate", arguments)


def generate(*arguments: str) -> None:
    _call("generate", arguments)


def report(*arguments: str) -> None:
    _call("report", arguments)


def _call(command: str, arguments: tuple[str, ...]) -> None:
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    sys.argv = [f"vae-{command}", *arguments]
    importlib.import_module(f"vae_lightning.{command}").main()
