"""Runs laid side by side: in which settings they differ, which of them may be compared, and who is best."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from vae_lightning.reports.runs import RunRecord
from vae_lightning.reports.settings import Setting, setting_order, setting_text
from vae_lightning.runs.records import unit_of

# Images of another set, size or colour have another likelihood altogether, though its kind may bear the same name.
_DATA = ("data._target_", "data.image_size", "data.fit", "data.channels", "data.binarize")
_ONCE = {"data.fit": "crop"}  # what was meant before there was such a key
_Population = tuple[str | None, tuple[str, ...]]
SEED = "seed"
_GROUPS = ("model", "objective", "optimizer", "data", "trainer")


@dataclass(frozen=True)
class Ranking:
    """Runs whose figures may be compared, best first.

    The best is the one with the highest validation ELBO: choosing by the test set would spoil its figures. Runs that
    were cut short follow those that ended, then come those without a validation ELBO, and those that failed.

    Attributes:
        kind: what their test figures are, and of which images where that differs too; None where none has any.
    """

    kind: str | None
    records: list[RunRecord]

    @property
    def unit(self) -> str:
        """What their ELBO, distortion and loss are in."""
        return unit_of(self.kind)

    @property
    def ranks(self) -> dict[str, int]:
        """Name -> place, from 1, of the runs that ended with a validation ELBO."""
        return {record.name: place for place, record in enumerate(filter(_is_ranked, self.records), start=1)}


@dataclass(frozen=True)
class Comparison:
    """A set of runs, and what can be said of them together."""

    runs: list[RunRecord]
    _values: dict[str, list[Setting | None]] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def told_apart(self) -> list[str]:
        """The settings that differ between the runs, the seed among them.

        They are those that were typed where that tells the runs apart: `model=conv,mlp` is one choice, though dozens of
        keys differ in its wake. Otherwise they are the differing keys of the configs.
        """
        typed = dict.fromkeys(key for run in self.runs for key in run.typed or {})
        keys = dict.fromkeys(key for run in self.runs for key in run.settings)
        found = self._differing(typed) or sorted(self._differing(keys), key=_importance)
        return [*found, *(key for key in self._unexplained(found) if key not in found)]

    def _unexplained(self, keys: list[str]) -> list[str]:
        """The settings in which runs differ that were typed alike but for the seed: by another version's defaults, say.

        What one of them doesn't know is no difference, nor is what follows the seed.
        """
        alike: dict[tuple[Setting | None, ...], list[RunRecord]] = {}
        for run in self.runs:
            if run.settings:
                alike.setdefault(tuple(setting_of(run, key) for key in keys if key != SEED), []).append(run)
        pairs = [(runs[0], other) for runs in alike.values() for other in runs[1:]]
        differing = {
            key
            for one, other in pairs
            for key in one.settings.keys() & other.settings.keys()
            if one.settings[key] != other.settings[key] and not key.endswith(SEED)
        }
        return sorted(differing, key=_importance)

    @cached_property
    def varied(self) -> list[str]:
        """The settings that differ between the runs; the seed is none of them where runs differ in it alone."""
        return [key for key in self.told_apart if not (self.has_seeds and key == SEED)]

    @cached_property
    def has_seeds(self) -> bool:
        """Whether runs that may be compared differ in their seeds alone, so that their figures have a mean."""
        if SEED not in self.told_apart:
            return False
        others = [key for key in self.told_apart if key != SEED]
        seeds = {
            ((place, *(setting_of(run, key) for key in others)), setting_of(run, SEED))
            for place, ranking in enumerate(self.rankings)
            for run in ranking.records
            if all(is_known(run, key) for key in self.told_apart)
        }
        return max(Counter(settings for settings, _ in seeds).values(), default=0) > 1

    @cached_property
    def labels(self) -> dict[str, str]:
        """A key that differs -> its last part where that is unique among them, else the whole key."""
        last = {key: key.removesuffix("._target_").replace("/", ".").rpartition(".")[2] for key in self.told_apart}
        shared = Counter(last.values())
        return {key: name if shared[name] == 1 else key for key, name in last.items()}

    @cached_property
    def rankings(self) -> list[Ranking]:
        """The runs in comparable sets, the largest first, and last those of which it can't be said."""
        members: dict[_Population, list[RunRecord]] = {}
        for run in self.runs:
            members.setdefault(self._population(run), []).append(run)
        ordered = sorted(members, key=lambda population: (population[0] is None, -len(members[population])))
        return [_ranking(_label(population, members), members[population]) for population in ordered]

    @cached_property
    def records(self) -> list[RunRecord]:
        """All runs, best first, one comparable set after another."""
        return [record for ranking in self.rankings for record in ranking.records]

    @cached_property
    def ranks(self) -> dict[str, int]:
        """Name -> place within its comparable set."""
        return {name: place for ranking in self.rankings for name, place in ranking.ranks.items()}

    @cached_property
    def counts(self) -> dict[str, int]:
        """Status -> how many runs have it."""
        return dict(Counter(run.status for run in self.runs))

    @property
    def has_tags(self) -> bool:
        """Whether any run has tags."""
        return any(run.tags for run in self.runs)

    def values(self, key: str) -> list[Setting | None]:
        """The distinct values of a setting, in order; what a damaged run can't tell of itself is none of them."""
        if key not in self._values:
            known = {setting_of(run, key) for run in self.runs if is_known(run, key)}
            self._values[key] = sorted(known, key=setting_order)
        return self._values[key]

    def settings_text(self, run: RunRecord, *, with_seed: bool = True) -> str:
        """The settings of a run that differ, as in `latent_dim=8, beta=4, seed=1`, as far as they are known."""
        known = [key for key in (self.told_apart if with_seed else self.varied) if is_known(run, key)]
        return ", ".join(f"{self.labels[key]}={setting_text(setting_of(run, key))}" for key in known)

    def _differing(self, keys: Iterable[str]) -> list[str]:
        return [key for key in keys if len(self.values(key)) > 1 and self._matters(key)]

    def _matters(self, key: str) -> bool:
        """Whether what was typed made a difference: `data=mnist`, left out elsewhere, is the default and makes none."""
        name = key.replace("/", ".")
        chosen = [frozenset(_inside(run, name)) for run in self.runs if run.settings]
        return not any(chosen) or len(set(chosen)) > 1

    @cached_property
    def _populations(self) -> set[_Population]:
        return {(run.kind, _data(run)) for run in self.runs if run.kind and run.settings}

    def _population(self, run: RunRecord) -> _Population:
        """What the run's figures are figures of; a run without a test joins the only set that it may belong to."""
        if run.kind and run.settings:
            return run.kind, _data(run)
        candidates = [
            population
            for population in self._populations
            if run.kind in (None, population[0]) and (not run.settings or population[1] == _data(run))
        ]
        if not candidates and run.kind is None:
            candidates = list(self._populations)
        return candidates[0] if len(candidates) == 1 else (run.kind, ())


def setting_of(run: RunRecord, key: str) -> Setting | None:
    """The value of a setting in a run; of a config group the option that was typed, None where none was."""
    name, typed = key.replace("/", "."), run.typed or {}
    if name in run.settings and name not in run.groups:
        return run.settings[name]
    return typed.get(key)


def _inside(run: RunRecord, name: str) -> list[tuple[str, Setting]]:
    return [item for item in run.settings.items() if f"{item[0]}.".startswith(f"{name}.")]


def is_known(run: RunRecord, key: str) -> bool:
    """Whether the run can be said to have, or not to have, this setting: of a damaged one nothing can be said."""
    name = key.replace("/", ".")
    if not run.settings:
        return key in (run.typed or {})
    if run.typed is None:  # then nobody knows which option of a group it was
        return name not in run.groups and (name in run.settings or "." in name)
    return True


def _data(run: RunRecord) -> tuple[str, ...]:
    texts = {key: setting_text(run.settings.get(key, _ONCE.get(key))) for key in _DATA}
    return tuple(text if key == "data._target_" else f"{key}={text}" for key, text in texts.items())


def _label(population: _Population, others: Iterable[_Population]) -> str | None:
    """The kind, with what else sets it apart from others of its kind."""
    kind, data = population
    rivals = [other for other_kind, other in others if other_kind == kind and other != data]
    apart = [part for part in data if any(part not in rival for rival in rivals)]
    return "; ".join([kind, ", ".join(apart)]) if kind and apart else kind


def _ranking(kind: str | None, runs: list[RunRecord]) -> Ranking:
    return Ranking(kind, sorted(runs, key=_order))


def _order(run: RunRecord) -> tuple[int, float]:
    if run.has_failed or run.val_elbo is None:
        return (3 if run.has_failed else 2, 0.0)
    return (0 if _is_ranked(run) else 1, -run.val_elbo)


def _is_ranked(run: RunRecord) -> bool:
    return "val/elbo" in run.metrics and run.status == "finished"  # else the figures are of before it was resumed


def _importance(key: str) -> tuple[int, int, str]:
    group = key.partition(".")[0]
    return (_GROUPS.index(group) if group in _GROUPS else len(_GROUPS), key.count("."), key)
