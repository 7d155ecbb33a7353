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
from pathlib import Path
from typing import Any

from vae_lightning.building.table import TABLE
from vae_lightning.building.trust import Trust
from vae_lightning.disk.files import load_json, read_bytes, read_text, write_atomically
from vae_lightning.runs.records import RunDir

_FILE = "services.json"
_MOST_BYTES = 100_000
_KEY_BYTES = 32


def seal_services(run: RunDir, config: Mapping[str, Any], trusted: Trust | None) -> None:
    """Seal those loggers of the config that tell a service and are the user's own.

    Args:
        run: whose directory takes `services.json`, where there is anything to be sealed.
        config: the run's, resolved.
        trusted: what the user has typed beside a stored config; None where the whole config is the user's.
    """
    own = {name: node for name, node in _services(config).items() if trusted is None or _is_typed(name, trusted)}
    file = run.path / _FILE
    if not own:
        file.unlink(missing_ok=True)
        return
    try:
        key = _key() or _new_key()
    except OSError:  # no home, or a full one: a resumed run is then told what is to be typed
        return
    output_dir = os.path.abspath(config["output_dir"])
    seals = {name: _seal(key, name, node, output_dir) for name, node in own.items()}
    write_atomically(file, json.dumps({"output_dir": output_dir, "seals": seals}, indent=2))


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
            for name, node in _services(stored).items()
            if key and hmac.compare_digest(seals.get(name, ""), _seal(key, name, node, output_dir))
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


def _is_typed(name: str, trusted: Trust) -> bool:
    return trusted.is_typed(f"logger.{name}") or trusted.is_typed(f"logger.{name}._target_")


def _seal(key: bytes, name: str, node: Mapping[str, Any], output_dir: str) -> str:
    return hmac.new(key, json.dumps([name, node, output_dir], sort_keys=True).encode(), hashlib.sha256).hexdigest()


def _key_file() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(state) / "vae_lightning" / "key"


def _key() -> bytes | None:
    """This user's key; None where there is none yet."""
    try:
        key = read_bytes(_key_file(), _KEY_BYTES)
    except (OSError, ValueError, RuntimeError):  # RuntimeError: a user without a home
        return None
    return key if len(key) == _KEY_BYTES else None


def _new_key() -> bytes:
    """A key that nobody else can read; the one that is in the file afterwards, should two processes make one."""
    try:
        file = _key_file()
    except RuntimeError as error:
        raise OSError("there is no home folder") from error
    file.parent.mkdir(parents=True, exist_ok=True)
    file.parent.chmod(0o700)
    write_atomically(file, secrets.token_bytes(_KEY_BYTES))
    return read_bytes(file, _KEY_BYTES)
