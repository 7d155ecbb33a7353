"""`print_config=true`: the composed config, before anything is made of it."""

import sys
from typing import Any

from vae_lightning.disk.files import dump_yaml
from vae_lightning.machine.terminal import can_be_drawn_on


def print_config(config: dict[str, Any]) -> None:
    """Print a config: as a tree with a branch a group on a terminal, as plain YAML elsewhere.

    Args:
        config: the resolved config as plain data.
    """
    if not can_be_drawn_on(sys.stdout):
        print(dump_yaml(config), end="")
        return
    # Imported here: a command that prints none does without.
    from rich.console import Console
    from rich.syntax import Syntax
    from rich.text import Text
    from rich.tree import Tree

    def highlighted(part: Any) -> Syntax:
        return Syntax(
            dump_yaml(part).rstrip("\n"), "yaml", theme="ansi_dark", background_color="default", word_wrap=True
        )

    tree = Tree("config", guide_style="dim")
    for name, part in config.items():
        if isinstance(part, dict) and part:
            tree.add(Text(name, style="bold")).add(highlighted(part))
        else:
            tree.add(highlighted({name: part}))
    Console(file=sys.stdout, force_terminal=True).print(tree)
