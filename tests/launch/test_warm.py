"""What jobs are forked from has the imports, and nothing that a fork can't take over."""

import subprocess
import sys

SCRIPT = """
import random, sys, torch
state, seed = torch.get_rng_state(), torch.initial_seed()
from vae_lightning.launch.warm import import_training
from vae_lightning.machine.forks import why_not_to_fork
import_training()
print(repr(why_not_to_fork()), torch.cuda.is_initialized())
print(torch.equal(state, torch.get_rng_state()), seed == torch.initial_seed())
late = ["sklearn.manifold", "torch._dynamo", "vae_lightning.pictures.embedding", "vae_lightning.models.vae"]
print([name for name in late if name not in sys.modules], "vae_lightning.launch.children" in sys.modules)
"""


def test_the_imports_start_no_thread_touch_no_gpu_and_draw_nothing():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[:3] == ["'' False", "True True", "[] False"]
