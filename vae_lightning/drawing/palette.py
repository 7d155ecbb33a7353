"""Colours and shapes that tell the classes of a plot apart, for colour-blind people too."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

# Matthew A. Petroff, "Accessible Color Sequences for Data Visualization", arXiv 2107.02270: ten colours as far apart
# as ten can be for all of normal, deuteranomalous, protanomalous and tritanomalous sight.
LABELS = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
SHAPES = ("o", "s", "^", "D", "v", "P", "X", "<", "*", ">")
# Paul Tol, "Colour Schemes", SRON technical note (2021): blue and red of his bright scheme.
ACTIVE, INACTIVE = "#4477aa", "#ee6677"
MOST_MARKED = len(LABELS) * 2  # labels that have a mark of their own
_LIGHTEST = 0.93  # of viridis: its yellow end is lost on white


def label_colours(names: Int[np.ndarray, " M"]) -> Float[np.ndarray, "M 4"]:
    """A colour for each label: the same in every picture for labels that count from 0. Labels 10 to 19 have those of
    0 to 9 again; of more than 20 labels, from dark to light.
    """
    from matplotlib.colors import to_rgba_array

    if len(names) > MOST_MARKED:
        return scale()((names - names.min()) / np.ptp(names))
    return to_rgba_array(LABELS)[_places(names) % len(LABELS)]


def label_shapes(names: Int[np.ndarray, " M"]) -> list[str]:
    """A shape for each label, so that no two labels have the same colour and shape; a dot for all of more than 20."""
    if len(names) > MOST_MARKED:
        return [SHAPES[0]] * len(names)
    turns, places = np.divmod(_places(names), len(SHAPES))
    return [SHAPES[place] for place in ((places + turns * len(SHAPES) // 2) % len(SHAPES)).tolist()]


def scale() -> "Colormap":
    """Colours from dark to light, which are in that order for the colour-blind too, and on paper."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps["viridis"](np.linspace(0, _LIGHTEST, 256)))


def _places(names: Int[np.ndarray, " M"]) -> Int[np.ndarray, " M"]:
    """Of labels in the sequence of marks: their own numbers where they can be."""
    size = len(LABELS) if len(names) <= len(LABELS) else MOST_MARKED
    return names if names.min() >= 0 and names.max() < size else np.arange(len(names))
