"""README, docs/ and the other pages: links lead somewhere, and what is to be typed can be read and pasted."""

from pathlib import Path

import pytest

from tests.pages import ROOT, Page, commands_of, page

PAGES = sorted(
    str(file.relative_to(ROOT))
    for folder in (".", "docs", "docs/notebooks", "benchmarks")
    for file in (ROOT / folder).glob("*.md")
)
WIDEST = 88  # letters of a line of code that GitHub shows beside its sidebar, and the site in its column


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name):
    here = (ROOT / name).parent
    for link in page(name).links:
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = here / path if path else ROOT / name
        assert target.exists(), link
        if anchor:
            assert anchor in page(str(target.resolve().relative_to(ROOT))).anchors, link


def test_a_broken_link_would_be_found():
    told = Page("# A *b* `c`\n[x](y.md#z)\n```bash\n# no heading [n](o)\n```\n`[not](one)`\n## What it's for\n")
    assert told.links == ["y.md#z"]
    assert told.anchors == {"a-b-c", "what-its-for"}


def test_commands_are_read_as_a_shell_does():
    assert commands_of("# first\nvae-train a=1 \\\n  b=2   # two\n\nvae-report c=#3\n") == [
        "vae-train a=1 b=2",
        "vae-report c=#3",
    ]


@pytest.mark.parametrize("name", [name for name in PAGES if Path(name).parts[0] != "benchmarks"])
def test_no_line_of_code_is_cut_off(name):
    wide = [line for _, text in page(name).blocks for line in text.splitlines() if len(line) > WIDEST]
    assert wide == []
