"""What libraries look for anew each time, though nothing of it changes, is found once in a test process.

For each trainer Lightning reads what all installed packages plug in; at each `instantiate` Hydra computes a checksum of
its own list of what it refuses to build; and torch's launcher reads the source of all frames, twice, to name one of
them in a record that nobody reads.
"""

import functools
import sys

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
