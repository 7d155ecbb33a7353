"""Checkpoints as a stranger may hand them on: cut, flipped, of other shapes and kinds, with paths, code and lies."""

import io
import itertools
import os
import pickle
import random
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from soak.attacks import Attack
from soak.canary import Place
from soak.specimens import Specimens

Change = Callable[[dict[str, Any], Place, random.Random], Any]


def hostile_checkpoints(specimens: Specimens, seed: int, count: int) -> Iterator[Attack]:
    """So many attacks: damaged bytes, damaged values, chosen lies and pickles that execute, in turns."""
    kinds: list[Iterator[tuple[str, Callable[[Place], None]]]] = [
        _bytes(random.Random(f"{seed}/bytes")),
        _values(random.Random(f"{seed}/values")),
        _lies(random.Random(f"{seed}/lies")),
        _lies(random.Random(f"{seed}/more lies"), start=len(LIES) // 2),
        _files(),
    ]
    for number, attacks in enumerate(itertools.islice(itertools.cycle(kinds), count)):
        name, damage = next(attacks)
        yield Attack(f"{number:04} {name}", damage, specimens.digits, readable=specimens.readable)


def _checkpoints(place: Place) -> list[Path]:
    return [place.run / "checkpoints" / name for name in ("last.ckpt", "best.ckpt")]


def _bytes(draw: random.Random) -> Iterator[tuple[str, Callable[[Place], None]]]:
    """The file cut, or some of its bits flipped, or a stretch of it emptied."""
    for number in itertools.count():
        seed = draw.random()
        kind = (_truncated, _flipped, _emptied)[number % 3]
        yield kind.__name__.strip("_"), partial(_rewritten, kind, seed)


def _rewritten(change: Callable[[bytes, random.Random], bytes], seed: float, place: Place) -> None:
    for file in _checkpoints(place):
        file.write_bytes(change(file.read_bytes(), random.Random(seed)))


def _truncated(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.choice((0, 1, 30, draw.randrange(len(content)), len(content) - 1))]


def _flipped(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice((1, 3, 30, 1000))):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _emptied(content: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(content))
    length = min(draw.choice((8, 500, 4096)), len(content) - start)
    return content[:start] + bytes(length) + content[start + length :]


def _values(draw: random.Random) -> Iterator[tuple[str, Callable[[Place], None]]]:
    """Any one value of the stored structure replaced by another thing."""
    while True:
        seed = draw.random()
        yield f"value {seed:.6f}", partial(_restored, _any_value_replaced, seed)


def _restored(change: Change, seed: float, place: Place) -> None:
    for file in _checkpoints(place):
        stored = torch.load(file, map_location="cpu", weights_only=True)
        changed = change(stored, place, random.Random(seed))
        torch.save(stored if changed is None else changed, file)


def _any_value_replaced(stored: dict[str, Any], place: Place, draw: random.Random) -> None:
    holder, key = draw.choice(list(_entries(stored)))
    holder[key] = draw.choice(_strange(holder[key], place))


def _entries(node: Any) -> Iterator[tuple[Any, Any]]:
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in list(pairs):
        yield node, key
        yield from _entries(value)


def _strange(value: Any, place: Place) -> list[Any]:
    things: list[Any] = [None, -1, 2**63, float("nan"), "", "x" * 10_000, [], {}, {"a": {}}, torch.zeros(2), True]
    things += [str(place.outside / "folder"), b"bytes", (1, 2), [[]], 10**400, float("inf"), complex(0, 1)]
    if isinstance(value, Tensor):
        things += [*_tensors(value)] * 2
    return things


def _tensors(value: Tensor) -> list[Tensor]:
    flat = value.detach().float().reshape(-1)
    kinds = [flat[:0], flat.repeat(3), value[None], value.double(), value.half(), value.to(torch.int64), value != 0]
    kinds += [torch.full_like(value.float(), torch.nan), torch.full_like(value.float(), torch.inf)]
    kinds += [value.float().to_sparse(), value.to(torch.complex64), value.to("meta"), torch.zeros(())]
    return [*kinds, torch.zeros(1).expand(10**12), torch.zeros(1).expand(*value.shape)]


def _lies(draw: random.Random, start: int = 0) -> Iterator[tuple[str, Callable[[Place], None]]]:
    names = list(LIES)
    for name in itertools.cycle(names[start:] + names[:start]):
        yield name, partial(_restored, LIES[name], draw.random())


def _optimizer(change: Callable[[dict[str, Any]], object]) -> Change:
    def changed(stored: dict[str, Any], place: Place, draw: random.Random) -> None:
        for state in stored["optimizer_states"][0]["state"].values():
            change(state)

    return changed


def _weights(change: Callable[[Tensor], Any]) -> Change:
    def changed(stored: dict[str, Any], place: Place, draw: random.Random) -> None:
        name = draw.choice([name for name in stored["state_dict"] if isinstance(stored["state_dict"][name], Tensor)])
        stored["state_dict"][name] = change(stored["state_dict"][name])

    return changed


def _top(**values: Any) -> Change:
    return lambda stored, place, draw: stored.update(values)


def _gone(key: str) -> Change:
    return lambda stored, place, draw: stored.pop(key, None) and None


def _callbacks(make: Callable[[Path, Path], dict[str, Any]]) -> Change:
    """The states of callbacks, with values put in that the place's outside and its checkpoints' folder give."""

    def changed(stored: dict[str, Any], place: Place, draw: random.Random) -> None:
        values = make(place.outside, place.run / "checkpoints")
        for state in stored.get("callbacks", {}).values():
            if isinstance(state, dict):
                state.update(values)
        name = "ModelCheckpoint{'monitor': 'val/elbo', 'mode': 'max'}"
        stored.setdefault("callbacks", {}).setdefault(name, values)

    return changed


def _kept_best(path: str) -> dict[str, Any]:
    """A state of ModelCheckpoint, which removes the file that it knows as its best when there is a better one."""
    paths = dict.fromkeys(("best_model_path", "last_model_path", "kth_best_model_path"), path)
    score = torch.tensor(-1e9)
    return paths | {
        "best_k_models": {path: score},
        "best_model_score": score,
        "kth_value": score,
        "current_score": score,
    }


def _nested(stored: dict[str, Any], place: Place, draw: random.Random) -> None:
    inner: Any = {}
    for _ in range(400):
        inner = {"a": inner}
    stored["loops"] = inner


# Of one name each: what is put into the structure that a checkpoint holds.
LIES: dict[str, Change] = {
    "optimizer state of one number": _optimizer(lambda state: state.update(exp_avg=torch.zeros(1))),
    "optimizer state of none": _optimizer(lambda state: state.update(exp_avg_sq=torch.zeros(0))),
    "optimizer state of integers": _optimizer(lambda state: state.update(exp_avg=state["exp_avg"].long())),
    "optimizer state of bytes": _optimizer(lambda state: state.update(exp_avg=state["exp_avg"].to(torch.uint8))),
    "optimizer state of doubles": _optimizer(lambda state: state.update(exp_avg_sq=state["exp_avg_sq"].double())),
    "optimizer state of not a number": _optimizer(lambda state: state["exp_avg"].fill_(torch.nan)),
    "optimizer state below zero": _optimizer(lambda state: state["exp_avg_sq"].fill_(-1)),
    "optimizer state expanded": _optimizer(
        lambda state: state.update(exp_avg=torch.zeros(1).expand(state["exp_avg"].shape))
    ),
    "optimizer steps below zero": _optimizer(lambda state: state.update(step=torch.tensor(-5.0))),
    "optimizer steps of a shape": _optimizer(lambda state: state.update(step=torch.zeros(7))),
    "optimizer steps as a word": _optimizer(lambda state: state.update(step="OUTSIDE")),
    "optimizer steps as integers": _optimizer(lambda state: state.update(step=torch.tensor(3))),
    "optimizer state of other names": _optimizer(lambda state: state.clear()),
    "optimizer state missing": _top(optimizer_states=[]),
    "optimizer states as a word": _top(optimizer_states="x"),
    "optimizer groups that lie": lambda stored, place, draw: stored["optimizer_states"][0]["param_groups"][0].update(
        lr="x", params=[0, 0, 0]
    ),
    "optimizer rate of not a number": lambda stored, place, draw: stored["optimizer_states"][0]["param_groups"][
        0
    ].update(lr=float("nan")),
    "optimizer fused and capturable": lambda stored, place, draw: stored["optimizer_states"][0]["param_groups"][
        0
    ].update(fused=True, capturable=True, foreach=True),
    "weights of not a number": _weights(lambda value: torch.full_like(value, torch.nan)),
    "weights of another shape": _weights(lambda value: value[:1]),
    "weights of doubles": _weights(lambda value: value.double()),
    "weights of integers": _weights(lambda value: value.long()),
    "weights that are sparse": _weights(lambda value: value.to_sparse()),
    "weights that are nowhere": _weights(lambda value: value.to("meta")),
    "weights of a million millions": _weights(lambda value: torch.zeros(1).expand(10**12)),
    "weights as words": _weights(lambda value: "x"),
    "weights as none": _top(state_dict=None),
    "weights as a list": _top(state_dict=[1, 2]),
    "weights under other names": _top(state_dict={"a": torch.zeros(1)}),
    "weights under numbers": _top(state_dict={1: torch.zeros(1)}),
    "no weights": _gone("state_dict"),
    "no epoch": _gone("epoch"),
    "no loops": _gone("loops"),
    "no steps": _gone("global_step"),
    "no callbacks": _gone("callbacks"),
    "no version of Lightning": _gone("pytorch-lightning_version"),
    "an epoch below zero": _top(epoch=-7),
    "an epoch of the far future": _top(epoch=10**12),
    "an epoch as a word": _top(epoch="many"),
    "an epoch as a tensor": _top(epoch=torch.zeros(3)),
    "steps below zero": _top(global_step=-3),
    "steps of the far future": _top(global_step=2**62),
    "steps as a word": _top(global_step="x"),
    "loops as a word": _top(loops="x"),
    "loops that are empty": _top(loops={"fit_loop": {}}),
    "loops without end": _nested,
    "a version of Lightning as a word": _top(**{"pytorch-lightning_version": "x"}),
    "a version of Lightning long ago": _top(**{"pytorch-lightning_version": "0.0.1"}),
    "callbacks as a word": _top(callbacks="x"),
    "callbacks of words": _top(callbacks={"EarlyStopping": "x", "ModelCheckpoint": "y"}),
    "a best checkpoint elsewhere": _callbacks(lambda outside, own: _kept_best(str(outside / "folder"))),
    "a best checkpoint by another protocol": _callbacks(lambda outside, own: _kept_best(f"local://{outside}/folder")),
    "a best checkpoint by file protocol": _callbacks(lambda outside, own: _kept_best(f"file://{outside}/folder")),
    "a best checkpoint above": _callbacks(lambda outside, own: _kept_best(f"{own}/../../outside/folder")),
    "a best checkpoint of two dots": _callbacks(lambda outside, own: _kept_best("..")),
    "a best checkpoint that is a folder": _callbacks(lambda outside, own: _kept_best(f"{own}/../..")),
    "a best checkpoint on a server": _callbacks(lambda outside, own: _kept_best("http://127.0.0.1:9/x.ckpt")),
    "a best checkpoint in a bucket": _callbacks(lambda outside, own: _kept_best("s3://bucket/x.ckpt")),
    "a folder of checkpoints elsewhere": _callbacks(lambda outside, own: {"dirpath": str(outside / "new")}),
    "scores as words": _callbacks(lambda outside, own: {"best_model_score": "x", "best_k_models": "y"}),
    "patience as a word": _callbacks(lambda outside, own: {"wait_count": "x", "patience": "y"}),
    "fixed images of another shape": _callbacks(lambda outside, own: {"fixed": torch.zeros(3, 3), "chosen_by": {}}),
    "fixed images as a path": _callbacks(lambda outside, own: {"fixed": str(outside / "secret.txt")}),
    "units that lie": _top(units={"kl": "x", "variance": torch.zeros(0)}),
    "units of a million millions": _top(units=dict.fromkeys(("kl", "variance"), torch.zeros(1).expand(10**12))),
    "a config that builds": _top(config={"model": {"_target_": "canary_module.touch"}}, hyper_parameters={"a": 1}),
    "hyperparameters that build": _top(
        hyper_parameters={"_target_": "canary_module.touch"}, hparams_name="kwargs", hparams_type="os.system"
    ),
    "a list in place of all": lambda stored, place, draw: [1, 2, 3],
    "a tensor in place of all": lambda stored, place, draw: torch.zeros(3),
    "nothing in place of all": lambda stored, place, draw: {},
}


class _Touch:
    """Executes when it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.marker}'",)


def _files() -> Iterator[tuple[str, Callable[[Place], None]]]:
    """Whole files of another making, the executing ones first."""
    yield from itertools.cycle(FILES.items())


def _all(write: Callable[[Path, Place], object]) -> Callable[[Place], None]:
    def damage(place: Place) -> None:
        for file in _checkpoints(place):
            original = file.read_bytes()
            file.unlink()
            write(file, place)
            if not os.path.lexists(file):
                file.write_bytes(original)

    return damage


def _pickled(protocol: int) -> Callable[[Path, Place], object]:
    return lambda file, place: file.write_bytes(pickle.dumps({"state_dict": _Touch(place.marker)}, protocol))


def _torch_saved(**options: Any) -> Callable[[Path, Place], object]:
    return lambda file, place: torch.save({"state_dict": _Touch(place.marker), "epoch": 1}, file, **options)


def _zipped(content: Callable[[Place], bytes], method: int = zipfile.ZIP_STORED) -> Callable[[Path, Place], object]:
    def write(file: Path, place: Place) -> None:
        with zipfile.ZipFile(file, "w", method) as archive:
            archive.writestr("archive/data.pkl", content(place))
            archive.writestr("archive/version", "3\n")
            archive.writestr("archive/byteorder", "little")

    return write


def _claimed_storage(place: Place) -> bytes:
    """A pickle of a tensor whose storage is said to hold 10^15 numbers."""
    buffer = io.BytesIO()
    torch.save({"state_dict": {"vae.a": torch.zeros(7)}}, buffer)
    with zipfile.ZipFile(buffer) as archive:
        name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        return archive.read(name).replace(b"K\x07", b"\x8a\x07" + (10**15).to_bytes(7, "little"))


def _script(file: Path, place: Place) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(file))


def _linked(target: str) -> Callable[[Path, Place], object]:
    return lambda file, place: file.symlink_to(target.replace("OUTSIDE", str(place.outside)))


def _sparse(size: int) -> Callable[[Path, Place], object]:
    def write(file: Path, place: Place) -> None:
        with file.open("wb") as stream:
            stream.write(b"PK\x03\x04")
            stream.truncate(size)

    return write


FILES: dict[str, Callable[[Place], None]] = {
    "a pickle that executes, protocol 2": _all(_pickled(2)),
    "a pickle that executes, protocol 5": _all(_pickled(5)),
    "torch's file that executes": _all(_torch_saved()),
    "torch's old file that executes": _all(_torch_saved(_use_new_zipfile_serialization=False)),
    "a zip whose pickle executes": _all(_zipped(lambda place: pickle.dumps(_Touch(place.marker)))),
    "a storage of 10^15 numbers": _all(_zipped(_claimed_storage)),
    "a pickle of 2 GB when unpacked": _all(_zipped(lambda place: bytes(2 * 10**9), zipfile.ZIP_DEFLATED)),
    "a pickle of a long string": _all(_zipped(lambda place: b"\x80\x04\x8d" + (2**40).to_bytes(8, "little") + b"x")),
    "a pickle without end": _all(_zipped(lambda place: b"\x80\x04" + b"(" * 10**6)),
    "a pickle of deep lists": _all(_zipped(lambda place: b"\x80\x04" + b"]" * 10**6 + b"a" * 10**6 + b".")),
    "a program of TorchScript": _all(_script),
    "a link to a file outside": _all(_linked("OUTSIDE/secret.txt")),
    "a link to a folder outside": _all(_linked("OUTSIDE/folder")),
    "a link to nothing outside": _all(_linked("OUTSIDE/new")),
    "a link to itself": _all(lambda file, place: file.symlink_to(file.name)),
    "a link to endless zeros": _all(_linked("/dev/zero")),
    "a FIFO": _all(lambda file, place: os.mkfifo(file)),
    "a folder": _all(lambda file, place: file.mkdir()),
    "a file of 1 TB": _all(_sparse(10**12)),
    "numpy's file of objects": _all(lambda file, place: file.write_bytes(b"\x93NUMPY\x01\x00v\x00{'descr': '|O'}\n")),
}
