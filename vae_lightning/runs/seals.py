"""Which services a run is told to by its user, so that a resumed run goes on there and a stranger's never does.

A config that lies in a run directory may be anybody's. So what a user types of a service is sealed: `services.json` has
a code of it that only this user's key can make, which never leaves the user's own folder of state.
"""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from vae_lightning.building.table import TABLE
from vae_lightning.building.trust import Trust, trusting
from vae_lightning.disk.files import dump_yaml, load_json, part_of, read_bytes, read_text, write_atomically
from vae_lightning.runs.records import RunDir

_FILE = "services.json"
_MOST_BYTES = 100_000
_KEY_BYTES = 32
_OF_THE_RUN = ("name", "seed", "data", "model", "objective")


def seal_services(run: RunDir, config: Mapping[str, Any], trusted: Trust | None) -> None:
    """Seal those loggers of the config that tell a service and are the user's own.

    Args:
        run: whose directory takes `services.json`, where there is anything to be sealed.
        config: the run's, resolved.
        trusted: what the user has typed beside a stored config; None where the whole config is the user's.
    """
    # The node as a whole must have been typed: what a stored one has of keys that weren't is not the user's.
    own = {
        name: node for name, node in _services(config).items() if trusted is None or trusted.is_typed(f"logger.{name}")
    }
    file = run.path / _FILE
    with suppress(OSError):  # no home, or a full disk: a resumed run is then told what is to be typed
        file.unlink(missing_ok=True)
        if own:
            key = _key() or _new_key()
            output_dir = os.path.abspath(config["output_dir"])
            seals = {name: _seal(key, name, config, output_dir) for name in own}
            write_atomically(file, json.dumps({"output_dir": output_dir, "seals": seals}, indent=2))


def rewrite_config(run: RunDir, config: dict[str, Any]) -> None:
    """Write a config in which something was found since it was written, and seal again what was sealed."""
    stored = run.config()
    if stored == config:
        return
    sealed, _ = own_services(run, stored)
    run.write_config(config, run.overrides())
    seal_services(run, config, trusting((), [f"logger.{name}" for name in sealed]))


def own_services(run: RunDir, stored: Mapping[str, Any]) -> tuple[list[str], str | None]:
    """The loggers of a stored config that this user has sealed as they are there.

    Returns:
        their names; and the folder of all runs at the time, if it is there and there are such loggers.
    """
    try:
        content = load_json(read_text(run.path / _FILE, _MOST_BYTES, within=run.path))
        output_dir, seals = content["output_dir"], content["seals"]
        key = _key()
        own = [
            name
            for name in _services(stored)
            if key and hmac.compare_digest(seals.get(name, ""), _seal(key, name, stored, output_dir))
        ]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):  # there is none, or it is none of ours
        return [], None
    return own, output_dir if own and os.path.isdir(output_dir) else None


def _services(config: Mapping[str, Any]) -> dict[str, Any]:
    loggers = config.get("logger")
    nodes = loggers.items() if isinstance(loggers, dict) else ()
    return {name: node for name, node in nodes if isinstance(node, dict) and _is_service(node.get("_target_"))}


def _is_service(target: Any) -> bool:
    return isinstance(target, str) and target in TABLE and bool(TABLE[target].typed_as)


def _seal(key: bytes, name: str, config: Mapping[str, Any], output_dir: str) -> str:
    """The code of a logger, of the folder of all runs, and of what the run trains: it is no other run's."""
    sealed = [name, config["logger"][name], output_dir, *(config.get(part) for part in _OF_THE_RUN)]
    return hmac.new(key, dump_yaml(sealed).encode(), hashlib.sha256).hexdigest()


def _key_file() -> Path:
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    state = state if state.is_absolute() else Path.home() / ".local/state"  # by the standard another is none
    return state / "vae_lightning" / "key"


def _key() -> bytes | None:
    """This user's key; None where there is none yet."""
    try:
        key = read_bytes(_key_file(), _KEY_BYTES)
    except (OSError, ValueError, RuntimeError):  # RuntimeError: a user without a home
        return None
    return key if len(key) == _KEY_BYTES else None


def _new_key() -> bytes:
    """A key that nobody else can read: the first one, should several processes make one at once."""
    try:
        file = _key_file()
    except RuntimeError as error:
        raise OSError("there is no home folder") from error
    file.parent.mkdir(parents=True, exist_ok=True)
    file.parent.chmod(0o700)
    made = part_of(file)
    write_atomically(made, secrets.token_bytes(_KEY_BYTES))
    try:
        os.link(made, file)  # unless another process was faster
    except FileExistsError:
        pass
    finally:
        made.unlink(missing_ok=True)
    key = _key()
    if key is None:
        raise OSError(f"{file} is no key")
    return key
