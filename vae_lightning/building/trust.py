"""How far a config is its user's own: what was typed beside a stored one, and whose packages it may build."""

import json
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Trust:
    """What the user has typed beside a stored config.

    Attributes:
        packages: whose classes it may build, too, or single classes: those of `trust=` on the command line.
        typed: the keys whose values are the command line's.
    """

    packages: tuple[str, ...] = ()
    typed: frozenset[str] = frozenset()

    def is_typed(self, key: str) -> bool:
        """Whether the key, or one that it lies below, was typed."""
        return any(key == one or key.startswith((f"{one}.", f"{one}[")) for one in self.typed)

    def opens(self, target: str) -> bool:
        """Whether the target lies in a package that the user trusts."""
        return target in self.packages or target.startswith(tuple(f"{name}." for name in self.packages))

    def as_text(self) -> str:
        """For the command line of a process that is to build what this one may."""
        return json.dumps({"packages": self.packages, "typed": sorted(self.typed)})

    @classmethod
    def from_text(cls, text: str) -> "Trust":
        """What `as_text` gave."""
        values = json.loads(text)
        return cls(tuple(values["packages"]), frozenset(values["typed"]))


def trusting(packages: str | Iterable[str], typed: Iterable[str] = ()) -> Trust:
    """The trust of a command line: of `trust=`, one name or a list, and the keys that it has typed."""
    return Trust((packages,) if isinstance(packages, str) else tuple(packages), frozenset(typed))
