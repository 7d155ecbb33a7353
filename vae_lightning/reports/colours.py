"""Which colour a run has: that of its value of one setting, the same in every chart."""

from dataclasses import dataclass
from functools import cached_property

from vae_lightning.reports.comparison import Comparison, setting_of
from vae_lightning.reports.runs import RunRecord
from vae_lightning.reports.settings import Setting, setting_text

# Of the ten colours of Matthew A. Petroff, arXiv 2107.02270, those that are seen on white and on dark, for texts: told
# apart by colour-blind people too.
_DISTINCT = ("#3f90da", "#e76300", "#832db6", "#94a4a2", "#bd1f01", "#ffa90e", "#a96b59", "#717581")
# Viridis without its ends, which are lost on dark and on white, for numbers: from small to large.
_SCALE = ((50, 100, 142), (39, 128, 142), (31, 154, 138), (47, 180, 124), (105, 205, 91))
_UNKNOWN = "#9aa5b1"
_MOST_NAMED = 8


@dataclass(frozen=True)
class Palette:
    """Colours by the values of a setting.

    Attributes:
        key: the setting; None where there is none to tell the runs apart by, and all have the same colour.
    """

    comparison: Comparison
    key: str | None

    @property
    def label(self) -> str:
        """The setting's short name."""
        return self.comparison.labels[self.key] if self.key else ""

    def of(self, run: RunRecord) -> str:
        """The colour of a run."""
        return self._colours.get(setting_of(run, self.key), _UNKNOWN) if self.key else distinct(0)

    def value_text(self, run: RunRecord) -> str:
        """The run's value of the setting, as the legend has it."""
        return setting_text(setting_of(run, self.key)) if self.key else ""

    def legend(self, runs: list[RunRecord]) -> list[tuple[str, str]]:
        """The runs' values as text with their colours; of many numbers a few, of many texts none."""
        present = {setting_of(run, self.key) for run in runs} if self.key else set()
        colours = {setting_text(value): colour for value, colour in self._colours.items() if value in present}
        if len(colours) <= _MOST_NAMED:
            return list(colours.items())
        if not self._are_numbers:
            return []
        return [list(colours.items())[round(step * (len(colours) - 1) / 4)] for step in range(5)]

    @cached_property
    def _colours(self) -> dict[Setting | None, str]:
        values = self.comparison.values(self.key) if self.key else []
        if self._are_numbers:
            return {value: scaled(place / max(len(values) - 1, 1)) for place, value in enumerate(values)}
        return {value: distinct(place) for place, value in enumerate(values)}

    @cached_property
    def _are_numbers(self) -> bool:
        return self.key is not None and not any(isinstance(value, str) for value in self.comparison.values(self.key))


def distinct(place: int) -> str:
    """One of a few colours that are told apart well; they begin again where there are no more."""
    return _DISTINCT[place % len(_DISTINCT)]


def most_varied(comparison: Comparison, besides: str | None = None) -> str | None:
    """The setting with the most values, which tells the most runs apart; None where none varies."""
    keys = [key for key in comparison.varied if key != besides]
    return max(keys, key=lambda key: len(comparison.values(key)), default=None)


def scaled(position: float) -> str:
    place = position * (len(_SCALE) - 1)
    left = min(int(place), len(_SCALE) - 2)
    mixed = (round(a + (b - a) * (place - left)) for a, b in zip(_SCALE[left], _SCALE[left + 1], strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)
