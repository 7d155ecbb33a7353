"""The site that `make docs` builds: no warning, every page in its contents, and no link that leads nowhere."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

import vae_lightning
from tests import warm
from tests.pages import ROOT

for library in ("sphinx", "furo", "myst_nb", "sphinx_copybutton"):
    pytest.importorskip(library, reason=f'{library} is not installed, which pip install -e ".[docs]" brings')


class Read(HTMLParser):
    """What a page leads to, and by what it can be led to."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors |= {given[name] or "" for name in ("id", "name") if name in given}
        self.links += [given[name] or "" for name in ("href", "src") if name in given]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("site")
    options = ["--fail-on-warning", "--keep-going", "--quiet", "-d", str(place / "read")]
    done = warm.run("sphinx", *options, str(ROOT / "docs"), str(place / "site"), cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return place / "site"


def test_no_link_and_no_anchor_leads_nowhere(site):
    pages = {file: Read(file.read_text(encoding="utf-8")) for file in site.rglob("*.html")}
    assert len(pages) > 30
    broken = []
    for file, read in pages.items():
        for link in read.links:
            if link.startswith(("https://", "http://", "data:", "mailto:")):
                continue
            path, _, anchor = unquote(link).partition("#")
            target = (file.parent / path.partition("?")[0]).resolve() if path else file
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file() or (anchor and target in pages and anchor not in pages[target].anchors):
                broken.append(f"{file.relative_to(site)}: {link}")
    assert broken == []


def test_it_asks_nothing_of_other_servers_to_be_shown(site):
    for file in site.rglob("*.html"):
        text = file.read_text(encoding="utf-8")
        assert 'src="http' not in text, file
        assert '<link rel="stylesheet" type="text/css" href="http' not in text, file


def test_the_contents_name_every_page(site):
    listed = Read((site / "index.html").read_text(encoding="utf-8")).links
    pages = {file.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for file in (ROOT / "docs").rglob("*.md")}
    pages |= {f"notebooks/{file.stem}.html" for file in (ROOT / "docs/notebooks").glob("*.ipynb")}
    assert {page for page in pages if page not in listed} - {"index.html"} == set()


def test_the_names_of_the_package_are_told_with_their_docstrings(site):
    text = (site / "api.html").read_text(encoding="utf-8")
    anchors = Read(text).anchors
    names = set(vae_lightning.__all__) - {"__version__"}
    assert {
        name for name in names if not any(a.startswith("vae_lightning") and a.endswith(f".{name}") for a in anchors)
    } == set()
    assert "The posterior means of images, an array [N, D]" in text
