"""What a run that is gone on with believes of its last checkpoint: each part as the live run has it itself.

The trainer, its callbacks and the optimizer are built before a checkpoint is read, and know what they would write. Only
what is like that reaches them; keys that nobody asks for are left out, and no path is taken.
"""

import copy
import math
import stat
import struct
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import Any, Protocol, runtime_checkable

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, Timer, WeightAveraging
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason
from packaging.version import InvalidVersion, Version
from torch import Tensor
from torch.optim import Optimizer

from vae_lightning.callbacks import within_epoch
from vae_lightning.callbacks.checkpoints import Checkpoints
from vae_lightning.checkpoints.contents import CLASS_NAMES, EPOCH, units, weights
from vae_lightning.checkpoints.expectations import (
    Expectation,
    UnexpectedError,
    flag,
    like,
    mapping,
    number,
    optional,
    plain,
    score,
    sequence,
    table,
    tensor,
    tensor_like,
    text,
    whole,
)
from vae_lightning.data.image_data import ImageDataModule
from vae_lightning.training.module import VAEModule

_FORMER_BEST = "ModelCheckpoint{'monitor': 'val/elbo', 'mode': 'max', "


@dataclass(frozen=True)
class Live:
    """A run that is built and may take a checkpoint."""

    module: VAEModule
    trainer: Trainer
    data: ImageDataModule
    typed: frozenset[str] = frozenset()  # keys of the config that count, whatever the checkpoint has


@runtime_checkable
class ExpectsState(Protocol):
    """A callback that says what its `load_state_dict` can take."""

    def expected_state(self, module: VAEModule, data: ImageDataModule) -> Expectation: ...


def resumed_state(live: Live) -> Expectation:
    """What of a whole checkpoint is believed, for Lightning to go on from."""
    required, may_have = ({name: part(live) for name, part in parts.items()} for parts in (_REQUIRED, _MAY_HAVE))
    return partial(_whole_state, known=mapping(required, may_have), live=live)


def _whole_state(value: Any, where: str, known: Expectation, live: Live) -> dict[str, Any]:
    believed = known(value, where)
    if any(_reads_more(callback) for callback in live.trainer.callbacks):
        believed |= {key: plain(part, "a callback's own key") for key, part in value.items() if key not in _OWN_KEYS}
    return believed


# The parts of a checkpoint


def _version(value: Any, where: str) -> str:
    """Lightning takes what an older one has written apart by its version, before anything else."""
    try:
        if Version(text(value, where)).major == 2:
            return value
    except InvalidVersion:
        pass
    raise UnexpectedError(f"{where} is not a version 2 of Lightning")


EPOCHS = mapping({"fit_loop": mapping({"epoch_progress": mapping({"current": mapping({"processed": whole()})})})})
"""Of a checkpoint's loops only how many epochs are done."""


def _loops(live: Live) -> Expectation:
    """Lightning's counts of what it has done, by its own names; an older version may not have had them all."""
    loops = {f"{name}_loop": getattr(live.trainer, f"{name}_loop").state_dict() for name in ("fit", "validate", "test")}
    counts = {loop: {name: like(count) for name, count in state.items()} for loop, state in loops.items()}
    fit = counts.pop("fit_loop")
    needed = (
        "epoch_progress",
        "epoch_loop.batch_progress",
        "epoch_loop.state_dict",
        "epoch_loop.val_loop.batch_progress",
    )
    return mapping(
        {"fit_loop": mapping({name: fit.pop(name) for name in needed}, fit)},
        {loop: mapping({}, known) for loop, known in counts.items()},
    )


def _optimizer_states(live: Live) -> Expectation:
    typed = {key.removeprefix("optimizer.") for key in live.typed}
    return sequence([lambda value, where: optimizer_state(live.module.configure_optimizers(), value, where, typed)])


def _scaler(live: Live) -> Expectation:
    """How fp16 scales its losses."""
    return like(live.trainer.precision_plugin.state_dict())


def _callbacks(live: Live) -> Expectation:
    states = {callback.state_key: _callback_state(callback, live) for callback in live.trainer.callbacks}
    return partial(_callback_states, known=mapping({}, states), saves=Checkpoints.__qualname__ in states)


def _callback_states(value: Any, where: str, known: Expectation, saves: bool) -> dict[str, Any]:
    states = known(value, where)
    if saves and Checkpoints.__qualname__ not in states:  # an earlier version's, whose best one was Lightning's
        former: Any = next((state for key, state in value.items() if str(key).startswith(_FORMER_BEST)), {})
        found = mapping({}, {"best_model_score": optional(score)})(former, f"{where}.ModelCheckpoint")
        best = found.get("best_model_score")
        states[Checkpoints.__qualname__] = {"best_score": None if best is None else float(best)}
    return states


def _within_epoch(live: Live) -> Expectation:
    """What `callbacks.within_epoch` says that it holds."""
    counts = ("num_batches", "batch_size", "num_ranks", "accumulate_grad_batches")
    run = mapping({}, {name: whole(1) for name in counts} | {"precision": text, "device": text})
    needed = {"batches": whole(), "accumulated": whole(), "run": run, "ranks": lambda value, where: value}
    known = mapping(needed, {"validating": flag})
    return partial(_place, known=known, live=live)


def _place(value: Any, where: str, known: Expectation, live: Live) -> dict[str, Any]:
    place = known(value, where)
    run, ranks = place["run"], place["ranks"]
    validating = place.setdefault("validating", False)  # which an earlier version waited for
    if not place["accumulated"] <= place["batches"] < run.get("num_batches", math.inf) + validating:
        raise UnexpectedError(f"{where}.batches is not within the epoch")
    if not isinstance(ranks, list) or len(ranks) != run.get("num_ranks"):
        raise UnexpectedError(f"{where}.ranks is not a list of each rank's state")
    device = live.trainer.strategy.root_device.type
    known_rank = _rank(live, (device,) if run.get("device") == device else ())
    return place | {"ranks": [known_rank(rank, f"{where}.ranks[{number}]") for number, rank in enumerate(ranks)]}


def _rank(live: Live, devices: tuple[str, ...]) -> Expectation:
    """A rank's state; the gradients may be infinite, which their step will find."""
    parameters, buffers = live.module.named_parameters(), live.module.named_buffers()
    states = {
        "random": mapping({device: partial(_generator_state, device=device) for device in ("cpu", *devices)}),
        "gradients": mapping({}, {name: tensor_like(value.detach(), allowed="all") for name, value in parameters}),
        "buffers": mapping({}, {name: tensor_like(value) for name, value in buffers}),
    }
    return mapping(states, {"loss": tensor((2,), torch.float64)})


def _generator_state(value: Any, where: str, device: str) -> Tensor:
    state = tensor((None,), torch.uint8)(value, where)
    told = f"{where} is no state of a generator of random numbers"
    try:
        torch.Generator(device).set_state(state)
    except RuntimeError as error:
        raise UnexpectedError(told) from error
    if device == "cpu" and not _is_within_its_words(state):
        raise UnexpectedError(told)
    return state


def _is_within_its_words(state: Tensor) -> bool:
    """Whether a Mersenne twister draws as many of its 624 words as are left: PyTorch would read on beyond the last."""
    _seed, left, _seeded, following = struct.unpack_from("=Qiiq", state.numpy().tobytes())
    just_seeded = (left, following) == (1, 0)
    return just_seeded or (1 <= left <= 624 and left + following == 625)


def _none_of(value: Any, where: str) -> list[Any]:
    return []  # what has no schedulers of Lightning's takes nothing from theirs


_REQUIRED: dict[str, Callable[[Live], Expectation]] = {
    "state_dict": lambda live: weights(live.module.state_dict()),
    "epoch": lambda live: EPOCH,
    "global_step": lambda live: whole(),
    "pytorch-lightning_version": lambda live: _version,
    "loops": _loops,
    "optimizer_states": _optimizer_states,
    "lr_schedulers": lambda live: _none_of,
    "callbacks": _callbacks,
}
_MAY_HAVE: dict[str, Callable[[Live], Expectation]] = {
    "current_model_state": lambda live: weights(live.module.state_dict()),
    "averaging_state": lambda live: mapping({"n_averaged": like(torch.zeros((), dtype=torch.int64))}),
    "MixedPrecision": _scaler,
    "skipped": lambda live: mapping({}, {"in_a_row": whole(), "in_epoch": whole()}),
    "units": lambda live: optional(units(live.module.vae.latent_dim)),
    within_epoch.KEY: _within_epoch,
}
_OWN_KEYS = _REQUIRED.keys() | _MAY_HAVE.keys() | {"config", "data", CLASS_NAMES, "native_amp_scaling_state"}


def _reads_more(callback: Callback) -> bool:
    """Whether it is a user's own that may have put keys of its own into the checkpoint."""
    own = not type(callback).__module__.startswith(("vae_lightning.", "lightning."))
    return own and type(callback).on_load_checkpoint is not Callback.on_load_checkpoint


# The optimizer

_HOW_IT_STEPS = ("foreach", "fused", "capturable", "differentiable")  # decided anew on every machine
_RANGES = {"betas": (0.0, 1.0), "momentum": (0.0, math.inf), "alpha": (0.0, math.inf)} | dict.fromkeys(
    ("lr", "eps", "weight_decay", "rho"), (0.0, math.inf)
)


def optimizer_state(optimizer: Optimizer, value: Any, where: str, typed: Collection[str] = ()) -> dict[str, Any]:
    """The state of an optimizer like this one, which is fresh, and keeps the settings that were typed for it."""
    fresh = optimizer.state_dict()["param_groups"]
    groups = mapping({"param_groups": sequence([_param_group(group, typed) for group in fresh])})(value, where)
    stepped = _stepped(optimizer, groups["param_groups"], where)
    states = mapping({}, {index: partial(_parameter_state, example=state) for index, state in stepped.items()})
    return groups | mapping({"state": states})(value, where)


def _param_group(fresh: dict[str, Any], typed: Collection[str]) -> Expectation:
    own = {*_HOW_IT_STEPS, "params", *typed}
    settings = {key: _setting(key, setting) for key, setting in fresh.items() if key not in own}
    known = mapping({"params": partial(_numbers, expected=fresh["params"])}, settings)
    return lambda value, where: fresh | known(value, where)


def _numbers(value: Any, where: str, expected: list[int]) -> list[int]:
    if not isinstance(value, list) or value != expected:
        raise UnexpectedError(f"{where} are not the numbers of the model's {len(expected)} parameters")
    return expected


def _setting(key: str, fresh: Any) -> Expectation:
    """A setting of an optimizer: of the kind that the fresh one's is, maybe another number."""
    if isinstance(fresh, tuple | list):
        return sequence([_setting(key, part) for part in fresh])
    if isinstance(fresh, bool | str | Tensor):
        return like(fresh)
    return optional(number(*_RANGES.get(key, ()))) if fresh is None else number(*_RANGES.get(key, ()))


def _stepped(optimizer: Optimizer, groups: list[dict[str, Any]], where: str) -> dict[int, dict[str, Any]]:
    """The state that a step of the optimizer with these settings leaves, taken on a copy of the parameters."""
    trial = copy.deepcopy(optimizer)
    for group, settings in zip(trial.param_groups, groups, strict=True):
        group.update({key: setting for key, setting in settings.items() if key != "params"})
        group.update({key: False for key in ("fused", "capturable") if key in group})  # of a GPU that may not be there
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    try:
        trial.step()
    except Exception as error:
        raise UnexpectedError(f"{where}.param_groups: the optimizer takes no step ({str(error)[:80]!r})") from error
    return trial.state_dict()["state"]


def _parameter_state(value: Any, where: str, example: dict[str, Any]) -> dict[str, Any]:
    state = like(example)(value, where)
    if "step" in state and state["step"] < 0:
        raise UnexpectedError(f"{where}.step is negative")
    return state


# The callbacks


def _callback_state(callback: Callback, live: Live) -> Expectation:
    if isinstance(callback, ExpectsState):
        return callback.expected_state(live.module, live.data)
    if isinstance(callback, ModelCheckpoint):
        return partial(_checkpoints_kept, callback=callback)
    if isinstance(callback, WeightAveraging):
        return mapping({"latest_update_step": whole()})
    if isinstance(callback, EarlyStopping):
        return _EARLY_STOPPING
    if isinstance(callback, Timer):
        return like(callback.state_dict())
    return _like_where_known(callback.state_dict())


_EARLY_STOPPING = mapping(
    {"wait_count": whole(), "stopped_epoch": whole(), "best_score": score, "patience": whole()},
    {
        "stopping_reason": whole(0, max(reason.value for reason in EarlyStoppingReason)),
        "stopping_reason_message": optional(text),
    },
)


def _like_where_known(fresh: dict[str, Any]) -> Expectation:
    """A user's callback: what it has from the start stays of its kind, and the rest is its own affair."""
    return partial(_of_kinds, known={key: type(part) for key, part in fresh.items() if part is not None})


def _of_kinds(value: Any, where: str, known: dict[str, type]) -> dict[Any, Any]:
    state = table(lambda key, _: key, plain)(value, where)
    for key, part in state.items():
        kinds = (int, float) if known.get(key) in (int, float) else known.get(key, object)
        if not isinstance(part, kinds):
            raise UnexpectedError(f"{where}.{key} is not a {known[key].__name__}")
    return state


def _checkpoints_kept(value: Any, where: str, callback: ModelCheckpoint) -> dict[str, Any]:
    """Lightning's ModelCheckpoint removes what its state names: scores are believed, and files of its own folder."""
    stored = mapping({"best_k_models": table(text, score), "best_model_path": text}, {"last_model_path": text})
    state = stored(value, where)
    scores = {_own_file(callback, path): points for path, points in state["best_k_models"].items()}
    scores.pop("", None)
    best, worst = (max, min) if callback.mode == "max" else (min, max)
    kth = worst(scores, key=scores.__getitem__, default="") if len(scores) == callback.save_top_k else ""
    first = best(scores, key=scores.__getitem__, default="") or _own_file(callback, state["best_model_path"])
    return {
        "monitor": callback.monitor,
        "dirpath": callback.dirpath,
        "best_k_models": scores,
        "best_model_path": first,
        "best_model_score": scores.get(first),
        "current_score": None,
        "kth_best_model_path": kth,
        "kth_value": scores.get(kth, callback.kth_value),
        "last_model_path": _own_file(callback, state.get("last_model_path", "")),
    }


def _own_file(callback: ModelCheckpoint, path: str) -> str:
    """The file of this name in the callback's folder, wherever the run was when it wrote it; "" if there is none."""
    name = PurePath(path).name
    if not callback.dirpath or name in ("", "..") or "\0" in name:
        return ""
    file = Path(callback.dirpath) / name
    try:
        regular = stat.S_ISREG(file.lstat().st_mode)
    except OSError:
        return ""
    return str(file) if regular else ""
