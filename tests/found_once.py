"""What libraries look for anew each time, though nothing of it changes, is found once in a test process.

For each trainer Lightning reads what all installed packages plug in; at each `instantiate` Hydra computes a checksum of
its own list of what it refuses to build; torch's launcher reads the source of all frames, twice, to name one of them in
a record that nobody reads; for each graph in ONNX torch goes through all operators, in half a second; and each time
that its generators are seeded it formats the whole stack, three times, for the case that a GPU is found later.
"""

import functools
import sys
from collections.abc import Callable
from typing import Any

_LOOKS = {
    "lightning.fabric.utilities.registry": "entry_points",
    "hydra._internal.instantiate._instantiate2": "_validated_target_policy",
    "hydra._internal.target_policy": "_validated_target_policy",
    "torch.distributed.elastic.rendezvous.dynamic_rendezvous": "get_method_name",
}


def remember() -> None:
    """Have the libraries that are imported by now repeat what they have found."""
    for module, name in _LOOKS.items():
        look = getattr(sys.modules.get(module), name, None)
        if look and not hasattr(look, "cache_info"):
            setattr(sys.modules[module], name, functools.cache(look))
    for module in ("torch.cuda", "torch.mtia", "torch.xpu"):
        if module in sys.modules:
            sys.modules[module].traceback = _NoStack  # type: ignore[attr-defined]
    onnx: Any = sys.modules.get("torch.onnx")
    if onnx and not hasattr(onnx.export, "__wrapped__"):
        onnx.export = _finding_operators_once(onnx.export)


class _NoStack:
    @staticmethod
    def format_stack() -> list[str]:
        return []


def _finding_operators_once(export: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(export)
    def exported(*arguments: Any, **options: Any) -> Any:
        from torch.onnx._internal.exporter._registration import ONNXRegistry  # takes seconds

        find: Any = ONNXRegistry.from_torchlib
        if not hasattr(find, "cache_info"):
            ONNXRegistry.from_torchlib = staticmethod(functools.cache(find))  # type: ignore[method-assign]
        return export(*arguments, **options)

    return exported
