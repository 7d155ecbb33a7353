"""A training that is struck within an epoch and gone on with from its last checkpoint, and what that holds."""

from pathlib import Path

import torch

from tests import tiny
from tests.tiny import Noise
from vae_lightning.callbacks.checkpoints import Checkpoints
from vae_lightning.checkpoints.writing import AtomicCheckpointIO
from vae_lightning.training.resumed_state import Live, resumed_state


class KilledError(Exception):
    pass


def die(*_):
    raise KilledError


def struck_at(step, trained, strike=die, method="_train_on"):
    """Have the training struck as it begins its batch number `step`, counted from 0 over all epochs."""
    plain, begun = getattr(trained, method), []

    def counted(*arguments, **named):
        if len(begun) == step:
            strike()
        begun.append(step)
        plain(*arguments, **named)

    setattr(trained, method, counted)


def fit(folder: Path, steps, make, *callbacks, kill=None, strike=die, at="_train_on", every=1, data=None, **options):
    folder.mkdir(exist_ok=True)
    trained = make()
    if kill is not None:
        struck_at(kill, trained, strike, at)
    last = folder / "checkpoints/last.ckpt"
    taken = AtomicCheckpointIO(lambda: resumed_state(Live(trained, trained.trainer, trained.trainer.datamodule)))
    plugins = [taken, *options.pop("plugins", [])]
    options |= {"default_root_dir": folder, "enable_checkpointing": True, "plugins": plugins}
    checkpoints = Checkpoints(every_minutes=None, every_steps=every)
    return tiny.fit(
        steps,
        *(callback() for callback in callbacks),
        checkpoints,
        trained=trained,
        data=Noise(**(data or {})),
        ckpt_path=last if last.is_file() else None,
        **options,
    )


def state_of(folder: Path) -> dict:
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


def flat(value, name=""):
    if isinstance(value, dict):
        return {key: found for part in value for key, found in flat(value[part], f"{name}.{part}").items()}
    if isinstance(value, list | tuple):
        return flat(dict(enumerate(value)), name)
    return {name: value}


def assert_equal_states(one: Path, other: Path) -> None:
    parts = ("state_dict", "optimizer_states", "callbacks", "global_step", "epoch", "current_model_state", "units")
    first, second = (flat({key: state.get(key) for key in parts}) for state in (state_of(one), state_of(other)))
    assert first.keys() == second.keys()
    same = {
        name: torch.equal(value, second[name]) if isinstance(value, torch.Tensor) else value == second[name]
        for name, value in first.items()
    }
    assert [name for name, equal in same.items() if not equal] == []
