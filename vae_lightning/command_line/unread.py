"""Keys at the top of a config that were added and that nothing reads."""

import logging
import re

from omegaconf import DictConfig, OmegaConf

from vae_lightning.command_line.schema import TrainConfig

log = logging.getLogger("vae_lightning")


def tell_unread(config: DictConfig) -> None:
    """Say of each key that was added by `+<key>=` that nothing reads it, unless another key refers to it."""
    known = {*TrainConfig.__dataclass_fields__, "experiment", "debug", "hparams_search", "hydra"}
    own = [str(key) for key in config if str(key) not in known]
    text = OmegaConf.to_yaml(config, resolve=False) if own else ""
    for key in own:
        if not re.search(rf"\$\{{(?:\w+:)?{re.escape(key)}[.}}\[]", text):
            log.warning("%s: nothing reads it; of a group it is +<group>.%s=", key, key)
