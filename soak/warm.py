"""A process that has everything imported, of which each case is a fork: 0.05 s for the 5 s of a fresh command."""

import gc
import importlib
import json
import os
import pkgutil
import tempfile
from pathlib import Path

from soak.commands import evaluate, generate, report, train
from soak.forks import forked

TINY = (
    *("data=digits", "model=mlp", "trainer=cpu", "model.encoder.hidden=[16]", "model.decoder.hidden=[16]"),
    *("model.latent_dim=4", "callbacks=basic", "trainer.max_epochs=1"),
)
_PACKAGES = (
    "torch",
    "lightning",
    "torchmetrics",
    "tensorboard",
    "PIL",
    "numpy",
    "sklearn",
    "openTSNE",
    "scipy",
    "matplotlib",
)


def warm(*, learning: bool = True) -> None:
    """Import whatever the commands import, and keep this process to one thread, so that it can be forked.

    Args:
        learning: whether a fork calls each command once, to tell what that is beside the packages; for a few cases
            it takes longer than what they import themselves.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    import vae_lightning

    for module in pkgutil.walk_packages(vae_lightning.__path__, "vae_lightning."):
        importlib.import_module(module.name)
    for name in _learned() if learning else ():
        try:
            importlib.import_module(name)
        except Exception:  # a name that is no module of its own, or one that wants another before it
            continue
    gc.freeze()  # a fork then copies no page for the garbage collector's sake


def _learned() -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        forked(lambda: _call_everything(place), cwd=place, limit_s=300)
        listed = place / "modules.json"
        return json.loads(listed.read_text()) if listed.is_file() else []


def _call_everything(place: Path) -> None:
    import sys

    before = set(sys.modules)
    run = place / "run"
    train(*TINY, f"run_dir={run}")
    train(f"resume={run}", "trainer.max_epochs=2")
    evaluate(f"run={run}", "metrics=elbo", "device=cpu")
    generate(f"run={run}", "mode=samples", "num_images=2", "device=cpu")
    report(f"runs=[{run}]", f"output={place / 'report'}")
    names = [name for name in sys.modules if name not in before and not name.startswith("__")]
    (place / "modules.json").write_text(json.dumps(names))
