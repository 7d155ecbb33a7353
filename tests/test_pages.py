"""README, docs/ and the other pages: links lead somewhere, and what is to be typed can be read and pasted."""

from pathlib import Path

import pytest

from tests.pages import ROOT, Page, commands_of, page

PAGES = sorted(
    str(file.relative_to(ROOT))
    for folder in (".", "docs", "docs/notebooks", "benchmarks")
    for file in (ROOT / folder).glob("*.md")
)
DOCS = [name for name in PAGES if Path(name).parts[0] == "docs"]
LARGEST = 13_000  # bytes of a page that is read at once
LARGER = {"docs/architecture.md": 20_000}  # a plan of the whole house, in which one looks things up
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


@pytest.mark.parametrize("name", DOCS)
def test_a_page_is_short(name):
    assert (ROOT / name).stat().st_size <= LARGER.get(name, LARGEST)


def test_every_page_is_reached_from_readme():
    beginnings = {name for name in ("README.md", "docs/index.md") if name in PAGES}
    assert reached_from(beginnings) >= set(DOCS)


def reached_from(beginnings: set[str]) -> set[str]:
    """The pages to which links lead, from one to the next."""
    reached, new = set(beginnings), set(beginnings)
    while new:
        paths = {((ROOT / name).parent / link.partition("#")[0]).resolve() for name in new for link in page(name).links}
        new = {name for name in PAGES if ROOT / name in paths} - reached
        reached |= new
    return reached
