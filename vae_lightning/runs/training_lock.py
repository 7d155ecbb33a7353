"""The locks of a run directory, which let one command at a time train there; readers take no notice of them.

The command that trains holds one for as long as it lives. Where it trains in processes of its own, the first of them
holds another, for it may outlive a killed command by some seconds. Who begins to train needs both to be free.
"""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from vae_lightning.disk.files import is_part
from vae_lightning.disk.locks import HeldError, NoLocksError, alone_in, hold, holder
from vae_lightning.errors import UserError

log = logging.getLogger("vae_lightning")

COMMAND_LOCK, PROCESS_LOCK = ".lock", ".process.lock"
_READERS_S = 0.5  # a reader that asks who holds the lock has it itself for a moment
_PATIENCE_S = 15.0  # the processes of a killed command end within ten seconds


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold a run directory for a command that is to train there; nothing in it may be changed before.

    Args:
        path: the run directory.
        what: begins the message, such as `resume=outputs/...`.

    Raises:
        UserError: another command trains there, or the directory can't be written to.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(hold(path / COMMAND_LOCK, _READERS_S))
            with hold(path / PROCESS_LOCK, _PATIENCE_S):
                _remove_parts(path)
        except HeldError as error:
            raise UserError(f"{naming(what, path)}: {error} is still training it") from error
        except NoLocksError:
            log.warning("%s: its file system has no locks; start one command at a time on it", path)
        except OSError as error:
            raise UserError(f"{naming(what, path)} can't be written to ({error.strerror})") from error
        except ValueError as error:
            raise UserError(f"{naming(what, path)}: a lock file is {error}") from error
        yield


def naming(what: str, path: Path) -> str:
    """How a message begins that is about a run directory: what names it, and the directory unless that has it."""
    return what if what.endswith(f"={path}") else f"{what}: {path}"


@contextmanager
def locked_for_process(path: Path) -> Iterator[None]:
    """Hold a run directory for the process that trains in it for a command, which holds it as well.

    Raises:
        UserError: another such process is there.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(hold(path / PROCESS_LOCK, _PATIENCE_S))
        except HeldError as error:
            raise UserError(f"{path}: {error} is still training it") from error
        except NoLocksError:  # which the command has told
            pass
        yield


def trainer_of(path: Path) -> str | None:
    """Who trains in a run directory, as in `process 4711 on gpu3`; empty for nobody, None where locks don't tell."""
    holders = [holder(path / name) for name in (COMMAND_LOCK, PROCESS_LOCK)]
    if any(holders):
        return next(name for name in holders if name)
    return None if holders[0] is None else ""


def _remove_parts(path: Path) -> None:
    """Remove what killed processes have left half written; a checkpoint's may be large."""
    folders = [path, *(path / name for name in ("checkpoints", "projector")), *(path / "images").glob("*")]
    with alone_in(path):  # an evaluation writes its figures there
        for folder in folders:
            for file in folder.glob("*.part"):
                if (is_part(file) or file.name.endswith(".ckpt.part")) and not file.is_dir():
                    file.unlink(missing_ok=True)
