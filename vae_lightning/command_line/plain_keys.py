"""Keys of a command that are called as another's config group: `format=pdf` of generate, `format=onnx` of export.

Hydra knows groups by their folders, whatever the command, and takes such a word for the choice of an option. A mapping
it takes for a value: the word is made one of a single entry for Hydra to read, and the value is taken out of it again.
"""

from collections.abc import Iterator, Sequence

from omegaconf import DictConfig, OmegaConf, open_dict

from vae_lightning.command_line.choices import file_of, groups
from vae_lightning.command_line.schema import CONF_DIR

_VALUE = "_value_"


def plain_keys(config_name: str) -> list[str]:
    """Those of a command."""
    are_groups = groups(config_name)
    return [
        key
        for key, value in file_of(config_name).items()
        if key != "defaults" and not isinstance(value, dict) and key not in are_groups and (CONF_DIR / key).is_dir()
    ]


def as_values(words: Sequence[str], config_name: str) -> list[str]:
    """What Hydra is to read in the place of the words of a command line."""
    pairs = dict(_pairs(words, config_name))
    return [pairs.get(word, word) for word in words]


def as_keys(message: str, words: Sequence[str], config_name: str) -> str:
    """A message of Hydra's with the words in it as they were typed."""
    for typed, read in _pairs(words, config_name):
        message = message.replace(read, typed)
    return message


def with_values(config: DictConfig, config_name: str) -> DictConfig:
    """The config with the values of such keys where Hydra has put mappings."""
    for key in plain_keys(config_name):
        node = OmegaConf.select(config, key)
        if isinstance(node, DictConfig) and _VALUE in node:
            with open_dict(config):
                config[key] = node[_VALUE]
    return config


def _pairs(words: Sequence[str], config_name: str) -> Iterator[tuple[str, str]]:
    """What was typed of such a key, and what Hydra reads; of one without a value Hydra tells."""
    keys = plain_keys(config_name)
    for word in words:
        key, _, value = word.partition("=")
        if key in keys and value:
            yield word, f"{key}={{{_VALUE}:{value}}}"
