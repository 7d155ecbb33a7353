"""What libraries look for anew each time, though nothing of it changes, is found once in a test process.

For each trainer Lightning reads what all installed packages plug in; at each `instantiate` Hydra computes a checksum of
its own list of what it refuses to build; torch's launcher reads the source of all frames, twice, to name one of them in
a record that nobody reads; for each graph in ONNX torch goes through all operators, in half a second; and each time
that its generators are seeded it formats the whole stack, three times, for the case that a GPU is found later.

And what takes long though no test looks at it is left out: images are written as larger files in less time, and pytest
listens to one logger of torch, to which the others pass on what they are told, in place of to each of 54, six times for
each test.
"""

import functools
import importlib
import logging
import sys
from collections.abc import Callable
from typing import Any

_LOOKS = {
    "lightning.fabric.utilities.registry": "entry_points",
    "hydra._internal.instantiate._instantiate2": "_validated_target_policy",
    "hydra._internal.target_policy": "_validated_target_policy",
    "torch.distributed.elastic.rendezvous.dynamic_rendezvous": "get_method_name",
}
_IMPORTED_LATER = {"torch.distributed.elastic.rendezvous.dynamic_rendezvous": "torch.distributed"}  # a part: of what


def remember() -> None:
    """Have the libraries that are imported by now repeat what they have found."""
    for part, library in _IMPORTED_LATER.items():
        if library in sys.modules:
            importlib.import_module(part)
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
    if "torch" in sys.modules:
        _pass_on_to_torch()
    images: Any = sys.modules.get("PIL.Image")
    if images:
        images.init()
        images.register_save("PNG", _in_little_time(images.SAVE["PNG"]))


def _pass_on_to_torch() -> None:
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith("torch.") and isinstance(logger, logging.Logger) and not logger.propagate:
            logger.handlers.clear()  # which does what the handler of "torch" does
            logger.propagate = True


def _in_little_time(save: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(save)
    def saved(image: Any, *arguments: Any, **options: Any) -> None:
        if not image.encoderinfo.get("optimize"):
            image.encoderinfo.setdefault("compress_level", 1)
        save(image, *arguments, **options)

    return saved


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
