"""TAB completes groups, their options and keys, as the shell asks for them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vae_lightning.command_line.schema import CONF_DIR
from vae_lightning.generate import main as generate
from vae_lightning.train import main

# Bash calls the function so; it fails at once if the command that answers should import torch.
DRIVE = """
vae-train() { "$PYTHON" -c '
import sys
sys.modules["torch"] = None
sys.argv[0] = "vae-train"
from vae_lightning.train import main
main()' "$@"; }
command() { echo /bin/sh; }
eval "$(vae-train -sc install=bash)"
COMP_LINE="vae-train data=" COMP_WORDS=(vae-train data=) COMP_CWORD=1 COMP_POINT=15
hydra_bash_completion
echo "${COMPREPLY[@]}"
"""

# A terminal of its own, for zsh completes nothing without; it has neither compinit nor bashcompinit.
DRIVE_ZSH = """
zmodload zsh/zpty
zpty shell 'zsh -f -i'
zpty -w shell 'eval "$(vae-train -sc install=bash)"; echo it was evaluated as $((20 + 1))'
zpty -r shell printed '*evaluated as 21*'
zpty -n -w shell $'vae-train data=dig\\t'
zpty -r shell printed '*data=digits*'
echo completed
zpty -d shell
"""
DRIVE_FISH = """
vae-train -sc install=fish | source
complete -C 'vae-train data='
complete -C 'vae-train data=digits model/pr'
"""
OPTIONS = sorted(f"data={file.stem}" for file in (CONF_DIR / "data").glob("*.yaml"))


@pytest.fixture
def installed(tmp_path) -> dict[str, str]:
    """An environment with the command `vae-train` of this code, and a home without anything in it."""
    file = tmp_path / "bin/vae-train"
    file.parent.mkdir()
    code = 'import sys; sys.argv[0] = "vae-train"; from vae_lightning.train import main; main()'
    file.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{code}' \"$@\"\n")
    file.chmod(0o755)
    path = f"{file.parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "PYTHONPATH": str(CONF_DIR.parent), "HOME": str(tmp_path), "TERM": "xterm"}


def asked(command: list[str], environment: dict[str, str], place: Path) -> tuple[str, str]:
    done = subprocess.run(
        command, env=environment, cwd=place, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    return done.stdout, done.stderr


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_completes_by_the_line_for_bash_alone(installed, tmp_path):
    assert asked(["zsh", "-f", "-c", DRIVE_ZSH], installed, tmp_path) == ("completed\n", "")


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes(installed, tmp_path):
    out, error = asked(["fish", "--no-config", "-c", DRIVE_FISH], installed, tmp_path)
    assert (out.split(), error) == ([*OPTIONS, "model/prior="], "")


@pytest.fixture
def choices(monkeypatch, capsys):
    """What the shell is answered to a line."""

    def ask(line: str, command=main) -> list[str]:
        monkeypatch.setenv("COMP_LINE", line)
        monkeypatch.setattr(sys, "argv", [line.split()[0], "-sc", "query=bash"])
        command()
        out, err = capsys.readouterr()
        assert err == ""
        return out.split()

    return ask


def test_bash_completes_options_without_torch(tmp_path):
    environment = {"PYTHON": sys.executable, "PYTHONPATH": str(CONF_DIR.parent)}
    command = ["bash", "--norc", "-c", DRIVE]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (OPTIONS, "")


def test_groups_options_and_keys_are_completed(choices):
    assert choices("vae-train model.lat") == ["model.latent_dim="]
    assert choices("vae-train model=ladder model.latent") == ["model.latent_dims."]
    assert choices("vae-train data=digits model/pr") == ["model/prior="]
    assert "model.latent_dim=" in choices("vae-train model=conv trainer=cpu model.")
    assert {"mode=samples", "mode=encode"} <= set(choices("vae-generate mode=", generate))


def test_what_is_no_choice_is_not_offered(choices):
    assert "model=base" not in choices("vae-train model=")
    assert "model=conv" in choices("vae-train model=")


def test_a_line_that_is_wrong_so_far_is_answered_with_nothing(choices):
    assert choices("vae-train data.root='/a model.l") == []
