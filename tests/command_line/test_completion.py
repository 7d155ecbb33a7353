"""TAB completes groups, their options and keys, as the shell asks for them."""

import subprocess
import sys

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
    options = sorted(f"data={file.stem}" for file in (CONF_DIR / "data").glob("*.yaml"))
    assert (done.stdout.split(), done.stderr) == (options, "")


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
