"""A key at the top that nothing reads is told; one that others refer to is not."""

import pytest
from omegaconf import OmegaConf

from vae_lightning.command_line.unread import tell_unread


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"seed": 0, "data": {}}, []),
        ({"foo": 1, "model": {"foo": 2}}, ["foo: nothing reads it; of a group it is +<group>.foo="]),
        ({"width": 64, "model": {"a": "${width}", "b": "x${other}"}}, []),
        ({"sizes": {"a": 1}, "model": {"a": "${sizes.a}"}}, []),
        ({"wide": 64, "model": {"a": "${wider}"}}, ["wide: nothing reads it; of a group it is +<group>.wide="]),
    ],
)
def test_what_nothing_reads_is_told(config, expected, told):
    tell_unread(OmegaConf.create(config))
    assert told() == expected
