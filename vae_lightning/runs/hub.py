"""Models on the Hugging Face Hub, by its own library: `hf://user/name`, kept in its cache."""

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from vae_lightning.disk.files import load_json, read_text
from vae_lightning.errors import UserError, first_line, one_line

SCHEME = "hf://"
_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", re.ASCII)


@cache
def downloaded(name: str, files: Sequence[str], key: str = "run") -> Path:
    """The folder of a model of the Hub, downloaded unless it is in the cache; nothing of it is believed yet.

    Args:
        name: hf://user/name, and maybe @ and a revision.
        files: those that are wanted.
        key: the config key that has the name, for the messages.

    Raises:
        UserError: no such name, nothing there, or the Hub can't be reached and the cache has nothing.
    """
    repository, revision = named(name, key)
    with _telling(f"{key}={name}"):
        from huggingface_hub import snapshot_download

        _hide_unwatched_progress()
        folder = Path(snapshot_download(repository, revision=revision, allow_patterns=list(files)))
    if not all((folder / file).is_file() for file in files[:2]):
        raise UserError(f"{key}={name}: has no {files[0]} and {files[1]}, as format=safetensors push= puts there")
    return folder


def pushed(folder: Path, name: str, key: str, files: Sequence[str]) -> str:
    """Put files of a folder on the Hub, in a new private repository if there is none of that name; its address.

    Raises:
        UserError: no such name, no library, a repository of something else, or the Hub does not take it.
    """
    repository, revision = named(name, key)
    with _telling(f"{key}={name}", is_push=True):
        from huggingface_hub import HfApi

        _hide_unwatched_progress()
        api = HfApi()
        if api.repo_exists(repository) and not api.file_exists(repository, files[0]):
            others = [file for file in api.list_repo_files(repository) if file != ".gitattributes"]
            if others:
                raise UserError(f"{key}={name}: holds something else ({one_line(others[0])}); give another name")
        elif api.repo_exists(repository):
            _check_ours(api.hf_hub_download(repository, files[0]), f"{key}={name}")
        address = api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, revision=revision, allow_patterns=list(files))
    return str(address)


def _check_ours(config: str, told: str) -> None:
    try:
        content = load_json(read_text(Path(config)))
        is_ours = isinstance(content, dict) and content.get("format") == "vae_lightning"
    except (OSError, ValueError):
        is_ours = False
    if not is_ours:
        raise UserError(f"{told}: holds another model; give another name")


def named(name: str, key: str) -> tuple[str, str | None]:
    """The repository and the revision of a name with or without hf:// before it.

    Raises:
        UserError: it is none.
    """
    found = _NAME.fullmatch(name.removeprefix(SCHEME))
    if found is None:
        raise UserError(f"{key}={name}: expected user/name on the Hugging Face Hub, as in {SCHEME}user/name")
    return found[1], found[2]


def _hide_unwatched_progress() -> None:
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():  # in a file each step would be a line
        disable_progress_bars()


@contextmanager
def _telling(told: str, is_push: bool = False) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise UserError(f"{told}: needs huggingface_hub; pip install 'vae-lightning[hub]'") from error
    except UserError:
        raise
    except Exception as error:  # of the library, of its HTTP client, of the disk
        raise UserError(f"{told}: {_reason(error, is_push)}") from error


def _reason(error: Exception, is_push: bool) -> str:
    kind = type(error).__name__
    if kind in ("RepositoryNotFoundError", "GatedRepoError"):
        return "the Hub has no such model, or shows it to others only (hf auth login)"
    if kind == "RevisionNotFoundError":
        return "has no such revision"
    if kind in ("LocalEntryNotFoundError", "OfflineModeIsEnabled", "ConnectError", "ConnectionError"):
        return "the Hub can't be reached" + ("" if is_push else ", and the cache has no copy")
    return first_line(error)
