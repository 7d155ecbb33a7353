"""README and docs/ as the tests read them: their blocks, their commands, their anchors."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[1]
_FENCED = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Page:
    """A Markdown page, or a part of one."""

    text: str

    @cached_property
    def blocks(self) -> list[tuple[str, str]]:
        """The language and the text of each block of code."""
        return re.findall(r"^```(\w+)\n(.*?)^```", self.text, re.MULTILINE | re.DOTALL)

    def of(self, language: str) -> list[str]:
        return [text for of, text in self.blocks if of == language]

    @property
    def commands(self) -> list[str]:
        """What its bash blocks have one type, a command each: comments off, continued lines joined."""
        return [command for text in self.of("bash") for command in commands_of(text)]

    def part(self, heading: str) -> "Page":
        """What stands below a heading of the second level."""
        _, found, rest = self.text.partition(f"\n## {heading}\n")
        assert found, heading
        return Page(rest.partition("\n## ")[0])

    @property
    def anchors(self) -> set[str]:
        """What a link may name of it, as GitHub makes them of headings."""
        headings = re.findall(r"^#+ (.*)$", _FENCED.sub("", self.text), re.MULTILINE)
        plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
        return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in plain}

    @property
    def links(self) -> list[str]:
        """Where its links and pictures lead, as they are written."""
        prose = re.sub(r"`[^`\n]*`", "", _FENCED.sub("", self.text))
        return re.findall(r"\]\(([^)\s]+)\)", prose)


def commands_of(block: str) -> list[str]:
    lines = re.sub(r" *\\\n *", " ", block).splitlines()
    return [command for line in lines if (command := re.sub(r"(^|\s+)#.*", "", line).strip())]


def page(path: str) -> Page:
    return Page((ROOT / path).read_text(encoding="utf-8"))
