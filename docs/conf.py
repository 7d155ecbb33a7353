"""How Sphinx builds the pages of this folder into a site: `make docs`.

The pages are plain Markdown that GitHub shows as well. So what only the site needs is added here: the table of
contents, made of the first page's lists, and copies of the pages that lie beside this folder.
"""

import os
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from vae_lightning import __version__  # noqa: E402  (found by the path above)

project = "vae_lightning"
author = "The vae_lightning maintainers"
version = release = __version__
copyright = "2026, the vae_lightning maintainers, under the MIT licence"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_site", "jupyter_execute"]
html_theme = "furo"
html_title = "vae_lightning"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
default_role = "literal"  # single backticks of docstrings
highlight_language = "text"
suppress_warnings = ["misc.highlighting_failure"]  # of a shell's line within a notebook's Python
nb_render_markdown_format = "gfm"  # what a cell gives as Markdown
nb_execution_mode = "off"  # the notebooks lie there with what they gave
myst_heading_anchors = 4  # as GitHub has them
autodoc_member_order = "bysource"
autodoc_use_type_comments = False

COPIES = HERE / "_beside"
# Pages beside this folder, by what they are called in the site; what else lies out there is offered as a file.
BESIDE = {
    "README.md": COPIES / "readme.md",
    "CHANGELOG.md": COPIES / "changelog.md",
    "CONTRIBUTING.md": COPIES / "contributing.md",
    "SECURITY.md": HERE / "security.md",  # in its place
    "LICENSE": None,
    **{f"benchmarks/{file.name}": COPIES / f"measured_{file.name}" for file in (ROOT / "benchmarks").glob("*.md")},
}
SECTIONS = ("Args:", "Attributes:", "Raises:", "Returns:", "Yields:")
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")


def leading_within(text: str, page: Path, place: Path) -> str:
    """The Markdown of a page with its links as they have to be in the site.

    Args:
        text: the page.
        page: where it lies in the repository.
        place: where it lies in the site's source.
    """

    def lead(link: re.Match[str]) -> str:
        target = (page.parent / link[1]).resolve()
        beside = BESIDE.get(target.relative_to(ROOT).as_posix()) if target.is_relative_to(ROOT) else None
        return Path(os.path.relpath(beside or target, place.parent)).as_posix()

    return LINK.sub(lead, text)


def copy_pages_beside(app: Any) -> None:
    """Their badges, which are pictures of other servers, are left out."""
    del app
    COPIES.mkdir(exist_ok=True)
    for name, place in BESIDE.items():
        if place is not None and place.parent == COPIES:
            text = re.sub(r"^\[!\[.*\n", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
            place.write_text(leading_within(text, ROOT / name, place), encoding="utf-8")


def complete(app: Any, name: str, source: list[str]) -> None:
    """A page as the site has it: with links that lead within it, and on the first one the table of contents."""
    page = Path(app.env.doc2path(name))
    if page.suffix == ".md" and page.parent != COPIES:
        source[0] = leading_within(source[0], page, page)
    if name == "index":
        source[0] += contents(source[0])


def contents(page: str) -> str:
    """Sphinx's table of contents, of the pages that the lists below each heading lead to."""
    tables = []
    for part in page.split("\n## ")[1:]:
        listed = re.findall(r"^- \[([^]]+)\]\(([^)]+)\.(?:md|ipynb)\)", part, re.MULTILINE)
        pages = [f"{title} <{path}>" for title, path in listed]
        tables.append("\n".join(["```{toctree}", ":hidden:", f":caption: {part.splitlines()[0]}", "", *pages, "```"]))
    return "\n\n" + "\n\n".join(tables) + "\n"


def as_rst(app: Any, what: str, name: str, item: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text: `p(x|z)` and `a * b` stay as they are, and what is indented is shown as it stands."""
    del app, what, name, item, options
    text, lines[:] = list(lines), []
    section, as_it_stands = False, False
    for before, line in zip(["", *text], text, strict=False):
        if line and not line[0].isspace():
            section, as_it_stands = line in SECTIONS, False
        elif line.startswith("    ") and not (section or as_it_stands or before.strip()):
            as_it_stands = True
            lines += ["::", ""]
        lines.append(line if as_it_stands else _escaped(line))


def _escaped(line: str) -> str:
    parts = line.split("`")  # every second one is code
    return "`".join(
        part if number % 2 else re.sub(r"([|*]|_(?!\w))", r"\\\1", part) for number, part in enumerate(parts)
    )


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", as_rst, priority=400)  # before napoleon
    app.connect("builder-inited", copy_pages_beside)
    app.connect("source-read", complete)
