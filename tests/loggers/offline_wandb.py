"""What W&B wrote offline, read from its file: blocks of 32 KiB with records, as LevelDB's log has them."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_BLOCK, _HEADER, _FULL, _LAST = 32768, 7, 1, 4
_STEP = "trainer/global_step"


@dataclass
class Offline:
    """What one folder `offline-run-*` has of a run."""

    run: Any = None
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None

    def points(self, name: str) -> list[tuple[int, Any]]:
        """The steps and values of a figure or picture."""
        return [(row[_STEP], row[name]) for row in self.history if name in row]


def read_offline(folder: Path) -> Offline:
    (file,) = folder.glob("*.wandb")
    return _of(_records(file.read_bytes()))


def _of(records: Iterator[bytes]) -> Offline:
    from wandb.proto.wandb_internal_pb2 import Record

    found = Offline()
    for content in records:
        record = Record.FromString(content)
        if record.HasField("run"):
            found.run = record.run
        elif record.HasField("config"):
            found.config |= _items(record.config.update)
        elif record.HasField("history"):
            found.history.append(_items(record.history.item))
        elif record.HasField("summary"):
            found.summary |= _items(record.summary.update)
        elif record.HasField("exit"):
            found.exit_code = record.exit.exit_code
    return found


def _items(items: Any) -> dict[str, Any]:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def _records(content: bytes) -> Iterator[bytes]:
    assert content.startswith(b":W&B")
    place, parts = _HEADER, b""
    while place + _HEADER <= len(content):
        left = _BLOCK - place % _BLOCK
        if left < _HEADER:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        parts += content[place + _HEADER : place + _HEADER + length]
        place += _HEADER + length
        if kind in (_FULL, _LAST):
            yield parts
            parts = b""
