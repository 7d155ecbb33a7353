"""Runs the notebooks beside this file, and writes them back with what came out.

    python docs/notebooks/execute.py                  # all, or: make notebooks
    python docs/notebooks/execute.py compare_a_sweep  # one

Needs nbclient and ipykernel. The tests run the notebooks by `executed`, and hold that
`main` has written them.
"""

import base64
import copy
import hashlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NAMES = ("train_and_look", "compare_a_sweep", "use_a_trained_model")
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
SOURCES = (
    "vae_lightning_sources"  # of the metadata: from which sources the outputs came
)
_GREYS, _COLOURS = 24, 128  # of a picture: a third of the size, and hardly seen
_TIMEOUT_S = 300  # of a cell
_BEGIN_ANEW = """%reset -f
import os, sys
os.chdir({place!r})
if "matplotlib" in sys.modules:
    sys.modules["matplotlib"].rcdefaults()
"""


def read(name: str) -> NotebookNode:
    return nbformat.read(HERE / f"{name}.ipynb", as_version=nbformat.NO_CONVERT)


def digest(notebook: NotebookNode) -> str:
    """What the code cells are told from others by."""
    sources = [cell.source for cell in code_cells(notebook)]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()


def executed(
    notebooks: Mapping[str, NotebookNode],
    folder: Path,
    parameters: Mapping[str, str] | None = None,
) -> dict[str, NotebookNode]:
    """Copies of notebooks with their outputs, each run in a folder of its own name.

    They share one kernel, for its imports take longer than the rest, but no names.

    Args:
        notebooks: by their names.
        folder: theirs lie in here.
        parameters: other values, as code, of names in cells that are tagged so.

    Raises:
        CellExecutionError: a cell raises.
    """
    from nbclient import NotebookClient  # what else is here needs none

    done = {
        name: _with_parameters(notebook, parameters or {})
        for name, notebook in notebooks.items()
    }
    together = []
    for name, notebook in done.items():
        (folder / name).mkdir()
        together.append(new_code_cell(_BEGIN_ANEW.format(place=str(folder / name))))
        together += [new_code_cell(cell.source) for cell in code_cells(notebook)]
    client = NotebookClient(
        new_notebook(cells=together),
        kernel_name="python3",
        timeout=_TIMEOUT_S,
        record_timing=False,
        coalesce_streams=True,
    )
    client.execute(cwd=str(folder), env=_environment(folder))
    run = iter(together)
    for notebook in done.values():
        next(run)  # which has begun anew
        for cell in code_cells(notebook):
            cell.outputs = next(run).outputs
        _tidy(notebook)
    return done


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _with_parameters(
    notebook: NotebookNode, parameters: Mapping[str, str]
) -> NotebookNode:
    changed = copy.deepcopy(notebook)
    for cell in code_cells(changed):
        if "parameters" in cell.metadata.get("tags", []):
            lines = [line.partition(" = ") for line in cell.source.splitlines()]
            cell.source = "\n".join(
                f"{name} = {parameters.get(name, value)}" for name, _, value in lines
            )
    return changed


def _environment(folder: Path) -> dict[str, str]:
    """This process's, but no other backend for pictures, and nothing in the home."""
    kept = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    paths = os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH")]))
    return kept | {"PYTHONPATH": paths, "IPYTHONDIR": str(folder / "ipython")}


def _tidy(notebook: NotebookNode) -> None:
    """Count its cells from 1, and leave out what is of this kernel and terminal."""
    for number, cell in enumerate(code_cells(notebook), start=1):
        cell.execution_count = number
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = number
            if "text" in output:
                output.text = output.text.replace("\r\n", "\n")
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = _small(output.data["image/png"])
    notebook.metadata = nbformat.from_dict(METADATA | {SOURCES: digest(notebook)})


def _small(png: str) -> str:
    """The same picture with a palette, as Jupyter keeps it."""
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    is_grey = picture.convert("L").convert("RGB").tobytes() == picture.tobytes()
    written = io.BytesIO()
    # Colours that fill little room, as points, are lost by the median cut.
    method = Image.Quantize.MEDIANCUT if is_grey else Image.Quantize.FASTOCTREE
    few = picture.quantize(
        _GREYS if is_grey else _COLOURS, method, dither=Image.Dither.NONE
    )
    few.save(written, "png", optimize=True)
    return base64.b64encode(written.getvalue()).decode()


def main(names: Sequence[str]) -> None:
    for name in names or NAMES:
        with tempfile.TemporaryDirectory() as folder:
            done = executed({name: read(name)}, Path(folder))[name]
        nbformat.validate(done)
        nbformat.write(done, HERE / f"{name}.ipynb")
        print(f"{name}: {(HERE / f'{name}.ipynb').stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
